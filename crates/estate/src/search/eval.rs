//! From conditions to the components of a segment that fulfil them.

use super::pattern::{Pattern, each_with, hits, is_pattern, plain_piece};
use super::range::Compared;
use super::{Condition, Query, SearchError, Statement};
use crate::bits::Bits;
use crate::container::OpenError;
use crate::findings::Findings;
use crate::layout;
use crate::lists::first;
use crate::package::is_system;
use crate::package::{KINDS, code, folded, title};
use crate::segment::Segment;
use std::collections::{BTreeSet, HashMap};
use vuln::advisory::scope;
use vuln::{PackageKind, Purl};

/// A statement with what does not depend on the segment.
pub(super) struct Prepared<'q> {
    statement: &'q Statement,
    /// For each vulnerability: the packages that have it.
    vulnerable: Vec<BTreeSet<crate::PackageRef>>,
}

pub(super) fn prepare<'q>(
    findings: &Findings<'_>,
    query: &'q Query,
) -> Result<Vec<Prepared<'q>>, SearchError> {
    let mut out = Vec::new();
    for statement in &query.statements {
        if !statement.conditions.iter().any(Condition::chooses) {
            return Err(SearchError::Unbounded);
        }
        let mut vulnerable = Vec::new();
        for condition in &statement.conditions {
            if let Condition::Vulnerability(name) = condition {
                vulnerable.push(findings.packages(name)?);
            }
        }
        out.push(Prepared { statement, vulnerable });
    }
    Ok(out)
}

/// The components of a segment that fulfil a statement.
pub(super) fn components(
    segment: &Segment<'_>,
    number: u32,
    prepared: &Prepared<'_>,
) -> Result<Bits, SearchError> {
    let mut all: Option<Bits> = None;
    let mut vulnerable = prepared.vulnerable.iter();
    for condition in &prepared.statement.conditions {
        let mut found = Bits::new(segment.components());
        match condition {
            Condition::Version(_) => continue,
            Condition::Purl(purl) => by_purl(segment, purl, &mut found)?,
            Condition::Name(name) => by_name(segment, name, &mut found)?,
            Condition::Kind(kind) => {
                let titles = titles_of(segment, *kind)?;
                add_titles(segment, titles, &mut found)?;
            }
            Condition::Distribution(name) => by_distribution(segment, name, &mut found)?,
            Condition::License(id) => by_license(segment, id, &mut found)?,
            Condition::Path(pattern) => by_path(segment, pattern, &mut found)?,
            Condition::Hash(hash) => {
                if let Some(at) = segment.texts(layout::HASHES).find(hash)? {
                    segment.lists(layout::HASH_COMPONENTS).join(at, segment.components(), &mut found)?;
                }
            }
            Condition::Vulnerability(_) => {
                for at in vulnerable.next().into_iter().flatten().filter(|at| at.segment == number) {
                    add_package(segment, at.package, &mut found)?;
                }
            }
        }
        match &mut all {
            Some(all) => all.and(&found),
            None => all = Some(found),
        }
    }
    let mut all = all.unwrap_or_default();
    for condition in &prepared.statement.conditions {
        if let Condition::Version(range) = condition {
            let mut compared = Compared::new(range);
            keep(segment, &mut all, |kind, version| compared.contains(kind, version))?;
        }
    }
    Ok(all)
}

/// The images that fulfil a statement, where they are written down: of a single condition that very many components
/// fulfil.
pub(super) fn known_images(
    segment: &Segment<'_>,
    prepared: &Prepared<'_>,
) -> Result<Option<Bits>, SearchError> {
    let [condition] = prepared.statement.conditions.as_slice() else { return Ok(None) };
    let bound = segment.images().len();
    let mut images = Bits::new(bound);
    match condition {
        Condition::Kind(kind) => segment.lists(layout::KIND_IMAGES).join(code(*kind), bound, &mut images)?,
        Condition::Distribution(name) => {
            let lists = segment.lists(layout::PLATFORM_IMAGES);
            for platform in platforms(segment, name)? {
                lists.join(platform, bound, &mut images)?;
            }
        }
        Condition::License(id) => {
            let lists = segment.lists(layout::LICENSE_IMAGES);
            for license in licenses(segment, id)? {
                if lists.size(license) == 0 {
                    return Ok(None);
                }
                lists.join(license, bound, &mut images)?;
            }
        }
        _ => return Ok(None),
    }
    Ok(Some(images))
}

fn add_package(segment: &Segment<'_>, package: u32, into: &mut Bits) -> Result<(), OpenError> {
    let components = segment.components_of(package)?;
    into.insert_range(components.start, components.end);
    Ok(())
}

fn add_titles(segment: &Segment<'_>, titles: std::ops::Range<u32>, into: &mut Bits) -> Result<(), OpenError> {
    if titles.start < titles.end {
        let packages = segment.packages_of(titles)?;
        if packages.start < packages.end {
            let start = segment.components_of(packages.start)?.start;
            into.insert_range(start, segment.components_of(packages.end - 1)?.end);
        }
    }
    Ok(())
}

/// Keeps components whose package's version passes; each version is tried once.
fn keep(
    segment: &Segment<'_>,
    components: &mut Bits,
    mut passes: impl FnMut(PackageKind, &str) -> bool,
) -> Result<(), OpenError> {
    let mut known: HashMap<(PackageKind, &str), bool> = HashMap::new();
    let mut last = (u32::MAX, false);
    for component in components.iter().collect::<Vec<_>>() {
        let package = segment.package_of(component)?;
        if last.0 != package {
            let kind = segment.title(segment.title_of(package)?)?.0;
            let version = segment.version_of(package)?;
            last = (package, *known.entry((kind, version)).or_insert_with(|| passes(kind, version)));
        }
        if !last.1 {
            components.remove(component);
        }
    }
    Ok(())
}

/// The titles of a packaging system.
fn titles_of(segment: &Segment<'_>, kind: PackageKind) -> Result<std::ops::Range<u32>, OpenError> {
    let number = code(kind);
    let below = |bound: u32| first(0, segment.titles(), |t| Ok(code(segment.title(t)?.0) < bound));
    Ok(below(number)?..below(number + 1)?)
}

/// The titles of a packaging system with a bare name.
fn titles_named(
    segment: &Segment<'_>,
    kind: PackageKind,
    bare: &str,
) -> Result<std::ops::Range<u32>, OpenError> {
    let wanted = (code(kind), bare);
    let start = first(0, segment.titles(), |t| {
        let (kind, _, name) = segment.title(t)?;
        Ok((code(kind), name) < wanted)
    })?;
    let end = first(start, segment.titles(), |t| {
        let (kind, _, name) = segment.title(t)?;
        Ok((code(kind), name) <= wanted)
    })?;
    Ok(start..end)
}

fn by_name(segment: &Segment<'_>, name: &str, into: &mut Bits) -> Result<(), SearchError> {
    if is_pattern(name) {
        return by_name_pattern(segment, name, into);
    }
    for kind in KINDS {
        let name = folded(kind, name);
        add_titles(segment, titles_named(segment, kind, &name)?, into)?;
        let bare = name.rsplit(['/', ':']).next().unwrap_or(&name);
        if bare.len() < name.len() {
            for title in titles_named(segment, kind, bare)? {
                if segment.title(title)?.1 == name {
                    add_titles(segment, title..title + 1, into)?;
                }
            }
        }
    }
    Ok(())
}

fn by_name_pattern(segment: &Segment<'_>, name: &str, into: &mut Bits) -> Result<(), SearchError> {
    // Small letters and digits are the same in every ecosystem.
    let piece = plain_piece(name, |c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let mut candidates = Vec::new();
    each_with(&segment.texts(layout::TITLE_TEXTS), piece, |title, _| {
        candidates.push(title);
        Ok(())
    })?;
    let mut patterns: Vec<(PackageKind, Pattern)> = Vec::new();
    for title in candidates {
        let (kind, full, bare) = segment.title(title)?;
        let at = match patterns.iter().position(|(k, _)| *k == kind) {
            Some(at) => at,
            None => {
                patterns.push((kind, Pattern::name(&folded(kind, name))?));
                patterns.len() - 1
            }
        };
        let pattern = &patterns[at].1;
        if pattern.matches(bare) || (bare.len() < full.len() && pattern.matches(full)) {
            add_titles(segment, title..title + 1, into)?;
        }
    }
    Ok(())
}

fn by_purl(segment: &Segment<'_>, purl: &Purl, into: &mut Bits) -> Result<(), SearchError> {
    let package = purl.to_package();
    let (full, bare) = title(&package);
    let bare = full.get(full.len() - bare..).unwrap_or_default();
    let distribution = is_system(package.kind);
    let release = purl.distro().filter(|_| purl.qualifier("distro").is_some());
    let scopes = release.map(|d| scope::of_distro(&d)).unwrap_or_default();
    let scheme = vuln::version::Scheme::of(package.kind);
    let same = |a: &str, b: &str| {
        a == b || vuln::version::compare(scheme, a, b).is_ok_and(std::cmp::Ordering::is_eq)
    };
    for title in titles_named(segment, package.kind, bare)? {
        if purl.namespace().is_some() && !distribution && segment.title(title)?.1 != full {
            continue;
        }
        for at in segment.packages_of(title..title + 1)? {
            let view = segment.view(at)?;
            let fits = (package.version.is_empty() || same(view.version, &package.version))
                && (package.arch.is_none() || package.arch.as_deref() == view.arch)
                && (!distribution || purl.namespace().is_none_or(|n| view.distro == Some(n)))
                && (scopes.is_empty() || scopes.iter().any(|s| view.scopes.contains(&s.as_str())));
            if fits {
                add_package(segment, at, into)?;
            }
        }
    }
    Ok(())
}

/// The numbers of the distributions of a name.
fn platforms(segment: &Segment<'_>, name: &str) -> Result<Vec<u32>, OpenError> {
    let platforms = segment.texts(layout::PLATFORMS);
    let canonical = scope::canonical(name);
    let is = |text: &str| text.eq_ignore_ascii_case(name) || text.eq_ignore_ascii_case(&canonical);
    let mut wanted = Vec::new();
    for platform in 0..platforms.len() {
        let mut lines = platforms.at(platform)?.split('\n');
        if lines.next().is_some_and(is) || lines.any(|s| is(s) || is(scope::family(s))) {
            wanted.push(platform);
        }
    }
    Ok(wanted)
}

fn by_distribution(segment: &Segment<'_>, name: &str, into: &mut Bits) -> Result<(), SearchError> {
    let mut wanted = Bits::new(segment.texts(layout::PLATFORMS).len().saturating_add(1));
    for platform in platforms(segment, name)? {
        wanted.insert(platform + 1);
    }
    if !wanted.is_empty() {
        for package in 0..segment.packages() {
            if wanted.contains(segment.platform_of(package)?) {
                add_package(segment, package, into)?;
            }
        }
    }
    Ok(())
}

/// The numbers of the licences of a name.
fn licenses(segment: &Segment<'_>, id: &str) -> Result<Vec<u32>, SearchError> {
    let ids = segment.texts(layout::LICENSES);
    let wanted = id.to_ascii_lowercase();
    if !is_pattern(&wanted) {
        return Ok(ids.find(&wanted)?.into_iter().collect());
    }
    let pattern = Pattern::name(&wanted)?;
    let mut found = Vec::new();
    for at in 0..ids.len() {
        if pattern.matches(ids.at(at)?) {
            found.push(at);
        }
    }
    Ok(found)
}

fn by_license(segment: &Segment<'_>, id: &str, into: &mut Bits) -> Result<(), SearchError> {
    let lists = segment.lists(layout::LICENSE_COMPONENTS);
    for license in licenses(segment, id)? {
        lists.join(license, segment.components(), into)?;
    }
    Ok(())
}

fn by_path(segment: &Segment<'_>, path: &str, into: &mut Bits) -> Result<(), SearchError> {
    let path = path.trim_start_matches('/');
    let anywhere = format!("**/{path}");
    let wanted = if path.contains('/') { path } else { &anywhere };
    let pattern = Pattern::path(wanted)?;
    let lists = segment.lists(layout::PATH_COMPONENTS);
    let texts = segment.texts(layout::PATHS);
    // A path that begins with the piece has no folder before it.
    let pieces = path.split(['*', '?']).map(|piece| piece.trim_start_matches('/'));
    let pieces: Vec<&str> = pieces.filter(|piece| !piece.is_empty()).take(8).collect();
    let piece = pieces.iter().min_by_key(|piece| hits(&texts, piece)).copied().unwrap_or_default();
    let mut found = Vec::new();
    each_with(&texts, piece, |at, text| {
        if pattern.matches(text) {
            found.push(at);
        }
        Ok(())
    })?;
    for at in found {
        lists.join(at, segment.components(), into)?;
    }
    Ok(())
}
