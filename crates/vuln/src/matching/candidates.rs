//! Which names a package is looked up under, and which of the claims found there are meant for it.
//!
//! A distribution package has two names, source and binary; each feed says (or by custom means) one of them. Module
//! streams and architectures restrict a claim. See reference/scanning.md §1b for the table this follows.

use super::range::{Verdict, judge};
use crate::advisory::{NameKind, Status, scope};
use crate::db::{AdvisoryRef, Claim, Db, DbError, EventRef, Head};
use crate::package::{Distro, LOCAL, Package, PackageKind, Problem};
use crate::version::Scheme;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};

/// One way to look a package up.
#[derive(Clone, Debug)]
pub(super) struct Candidate<'p> {
    /// Canonical ecosystem.
    pub(super) scope: String,
    /// Normalised name.
    pub(super) name: String,
    /// Version compared.
    pub(super) version: String,
    /// Which name this is: `Any` where the ecosystem has only one, or where both are the same.
    pub(super) names: NameKind,
    /// The package, for modules and architectures.
    pub(super) package: Option<&'p Package>,
}

impl Candidate<'_> {
    /// A look-up without a package.
    pub(super) fn plain(scope: &str, name: &str, version: &str) -> Self {
        Self {
            scope: scope.to_owned(),
            name: scope::normal_name(scope, name).into_owned(),
            version: version.to_owned(),
            names: NameKind::Any,
            package: None,
        }
    }
}

/// A claim that speaks of the package's version.
#[derive(Clone, Debug)]
pub(super) struct Hit<'a> {
    pub(super) at: AdvisoryRef,
    pub(super) head: Head<'a>,
    pub(super) claim: Claim<'a>,
    pub(super) scope: String,
    pub(super) name: String,
    pub(super) names: NameKind,
    pub(super) version: String,
    pub(super) status: Status,
    pub(super) fixed: Vec<String>,
    pub(super) range: String,
    pub(super) generic: bool,
    /// The version is at or past what repairs it: no finding, but an answer for nearer channels ([`scope::distance`]).
    pub(super) repaired: bool,
}

/// Every claim on a package.
pub(super) fn hits<'a>(
    db: &Db<'a>,
    package: &Package,
    distro: Option<&Distro>,
    scopes: &[String],
    problems: &mut BTreeSet<Problem>,
) -> Result<Vec<Hit<'a>>, DbError> {
    let mut out: Vec<Hit<'a>> = Vec::new();
    if package.properties.get("source").is_some_and(|source| source == LOCAL) {
        return Ok(out);
    }
    for candidate in candidates(package, scopes) {
        for hit in of(db, &candidate, distro, problems)? {
            if !out.iter().any(|h| h.at == hit.at && h.claim == hit.claim) {
                out.push(hit);
            }
        }
    }
    if out.iter().any(|hit| hit.repaired) {
        drop_idle(&mut out);
    }
    Ok(out)
}

/// Drops repairs that answer nothing: there are as many of them as a package has had vulnerabilities.
fn drop_idle(hits: &mut Vec<Hit<'_>>) {
    let names = |hit: &Hit<'_>| {
        let head = &hit.head;
        let all =
            std::iter::once(head.id).chain(head.aliases.iter().copied()).chain(head.upstream.iter().copied());
        all.map(str::to_owned).collect::<Vec<_>>()
    };
    let open: HashSet<String> = hits.iter().filter(|hit| !hit.repaired).flat_map(names).collect();
    hits.retain(|hit| !hit.repaired || names(hit).iter().any(|name| open.contains(name)));
}

pub(super) fn candidates<'p>(package: &'p Package, scopes: &[String]) -> Vec<Candidate<'p>> {
    let one = |scope: &str, name: &str, version: &str, names: NameKind| Candidate {
        scope: scope.to_owned(),
        name: scope::normal_name(scope, name).into_owned(),
        version: version.to_owned(),
        names,
        package: Some(package),
    };
    if let Some(language) = scope::language(package.kind) {
        let mut out = vec![one(language, &scope::language_name(package), &package.version, NameKind::Any)];
        let repository = scope::repository(package);
        out.extend(repository.map(|name| one("GIT", &name, &package.version, NameKind::Any)));
        return out;
    }
    if !matches!(package.kind, PackageKind::Deb | PackageKind::Rpm | PackageKind::Apk | PackageKind::Alpm) {
        return Vec::new();
    }
    let mut out = Vec::new();
    for scope in &scope::of_package(package, scopes) {
        match &package.source {
            Some(source) if source.name != package.name || source.version != package.version => {
                let version = source_version(package, &source.version);
                out.push(one(scope, &source.name, &version, NameKind::Source));
                out.push(one(scope, &package.name, &package.version, NameKind::Binary));
            }
            _ => out.push(one(scope, &package.name, &package.version, NameKind::Any)),
        }
    }
    out
}

/// An rpm's source file name has no epoch: it is that of the binary.
fn source_version(package: &Package, source: &str) -> String {
    if source.is_empty() {
        return package.version.clone();
    }
    match package.version.split_once(':') {
        Some((epoch, _)) if package.kind == PackageKind::Rpm && !source.contains(':') => {
            format!("{epoch}:{source}")
        }
        _ => source.to_owned(),
    }
}

/// Claims that one look-up finds and that are meant for it.
pub(super) fn of<'a>(
    db: &Db<'a>,
    candidate: &Candidate<'_>,
    _distro: Option<&Distro>,
    problems: &mut BTreeSet<Problem>,
) -> Result<Vec<Hit<'a>>, DbError> {
    let scheme = scope::scheme(&candidate.scope);
    let mut out = Vec::new();
    let far = scope::distance(&candidate.scope) > 0;
    for (at, claim) in db.package(&candidate.scope, &candidate.name)? {
        if !meant(candidate, &claim) || !stream_fits(candidate, &claim) || !arch_fits(candidate, &claim) {
            continue;
        }
        let hit = |status, fixed, range, generic, repaired| -> Result<Hit<'a>, DbError> {
            Ok(Hit {
                at,
                head: db.head(at)?,
                claim: claim.clone(),
                scope: candidate.scope.clone(),
                name: candidate.name.clone(),
                names: candidate.names,
                version: candidate.version.clone(),
                status,
                fixed,
                range,
                generic,
                repaired,
            })
        };
        match judge(scheme, &candidate.version, &claim) {
            Verdict::Outside if far && is_past_repair(scheme, &candidate.version, &claim) => {
                out.push(hit(Status::Fixed, Vec::new(), String::new(), false, true)?);
            }
            Verdict::Outside => {}
            Verdict::Incomparable => {
                problems.insert(incomparable(candidate, scheme));
            }
            Verdict::Inside { fixed, range, generic } => {
                let mut all: Vec<String> = fixed.into_iter().collect();
                let more = claim.fixed.iter().filter(|f| !all.iter().any(|a| a == *f));
                all.extend(more.map(|f| (*f).to_owned()).collect::<Vec<_>>());
                let status = match claim.status {
                    Some(status) => status,
                    None if all.is_empty() => Status::Affected,
                    None => Status::Fixed,
                };
                out.push(hit(status, all, range, generic, false)?);
            }
        }
    }
    Ok(out)
}

/// Whether a range of the claim ends at or before the version.
fn is_past_repair(scheme: Scheme, version: &str, claim: &Claim<'_>) -> bool {
    let ends = claim.ranges.iter().flat_map(|(_, events)| events);
    let past = |fixed: &str| crate::version::compare(scheme, version, fixed).is_ok_and(Ordering::is_ge);
    ends.into_iter().any(|event| matches!(event, EventRef::Fixed(fixed) if past(fixed)))
}

fn incomparable(candidate: &Candidate<'_>, scheme: Scheme) -> Problem {
    let path = candidate.package.and_then(|p| p.evidence.first()).map(|e| e.path.clone()).unwrap_or_default();
    let (scope, name, version) = (&candidate.scope, &candidate.name, &candidate.version);
    let message = if scope == "GIT" {
        format!("{name} cannot be judged: where {version} stands, only the repository's history tells")
    } else {
        format!("{scope} {name} cannot be judged: {version:?} has no place in the order of {scheme}")
    };
    Problem { source: "matching".into(), path, message }
}

/// Whether the claim speaks of the name that was looked up.
fn meant(candidate: &Candidate<'_>, claim: &Claim<'_>) -> bool {
    let said = match claim.names {
        NameKind::Default => scope::default_names(&candidate.scope),
        other => other,
    };
    said == NameKind::Any || candidate.names == NameKind::Any || said == candidate.names
}

fn arch_fits(candidate: &Candidate<'_>, claim: &Claim<'_>) -> bool {
    let Some(arch) = candidate.package.and_then(|p| p.arch.as_deref()) else { return true };
    claim.arches.is_empty() || arch == "noarch" || claim.arches.contains(&arch)
}

fn is_modular(version: &str) -> bool {
    version.contains(".module") || version.contains("+module")
}

/// A module's builds are repaired stream by stream; a claim of one stream says nothing of another, or of the plain rpm.
fn stream_fits(candidate: &Candidate<'_>, claim: &Claim<'_>) -> bool {
    let Some(package) = candidate.package.filter(|p| p.kind == PackageKind::Rpm) else { return true };
    let installed = package.module.as_deref().filter(|m| !m.is_empty());
    let modular = installed.is_some() || is_modular(&candidate.version);
    if let Some(wanted) = claim.module.filter(|w| !w.is_empty()) {
        return match installed {
            Some(label) => {
                label == wanted || label.strip_prefix(wanted).is_some_and(|rest| rest.starts_with(':'))
            }
            None => modular && same_branch(&candidate.version, claim),
        };
    }
    let fixed = claim
        .ranges
        .iter()
        .flat_map(|(_, e)| e)
        .find_map(|e| if let EventRef::Fixed(v) = e { Some(*v) } else { None });
    match fixed {
        Some(v) if is_modular(v) => modular && same_branch(&candidate.version, claim),
        Some(_) => !modular,
        None => true,
    }
}

/// Without a stream's name: the same major version of the software, which is what streams are cut by.
fn same_branch(version: &str, claim: &Claim<'_>) -> bool {
    let major = |v: &str| v.rsplit(':').next().unwrap_or(v).split(['.', '-']).next().map(str::to_owned);
    claim
        .ranges
        .iter()
        .flat_map(|(_, e)| e)
        .any(|e| matches!(e, EventRef::Fixed(v) if major(v) == major(version)))
}
