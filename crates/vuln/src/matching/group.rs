//! Claims joined into findings: one for each vulnerability, whatever its sources call it.
//!
//! A vulnerability has one finding for a package. Its names are joined over `aliases`, `upstream` and, for errata of
//! distributions that put their CVEs there, `related`. An erratum that passes on several CVEs makes a finding for each.

use super::candidates::Hit;
use super::finding::{Exploited, Finding, Reason, Score, Suppression, SuppressionKind};
use super::rating::{self, RatedBy, Rating};
use crate::advisory::import::is_cve;
use crate::advisory::{NameKind, Status, scope};
use crate::db::{AdvisoryRef, Db, DbError, Head};
use crate::package::{Distro, Package, PackageKind};
use crate::severity::Severity;
use std::collections::{BTreeMap, BTreeSet};

/// An identifier without what importers add after `#` to keep parts of one advisory apart.
fn public(id: &str) -> &str {
    id.split('#').next().unwrap_or(id)
}

/// The vulnerabilities that an advisory is about, each with its names.
fn vulnerabilities(head: &Head<'_>, scope: &str) -> Vec<BTreeSet<String>> {
    let errata = matches!(
        scope::family(scope),
        "AlmaLinux"
            | "Rocky Linux"
            | "Red Hat"
            | "SUSE"
            | "openSUSE"
            | "openEuler"
            | "Mageia"
            | "Oracle Linux"
            | "Fedora"
            | "Amazon Linux"
    );
    let own = public(head.id);
    let passed_on: Vec<&str> = match head.upstream.as_slice() {
        [] if errata && !is_cve(own) => head.related.iter().copied().filter(|r| is_cve(r)).collect(),
        upstream => upstream.to_vec(),
    };
    let mut cves: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for name in &passed_on {
        if let Some(cve) = cve_in(name) {
            cves.entry(cve).or_default().extend([cve.to_owned(), (*name).to_owned()]);
        }
    }
    if cves.len() > 1 {
        return cves.into_values().collect();
    }
    // Part of an erratum that an importer split by CVE: the erratum's name would join what was split.
    let own = (passed_on.is_empty() || !head.id.contains('#')).then_some(own);
    let named = own.into_iter().chain(passed_on).chain(head.aliases.iter().copied()).map(public);
    vec![named.flat_map(|name| cve_in(name).into_iter().chain([name])).map(str::to_owned).collect()]
}

/// The CVE that an identifier is or is made of (`UBUNTU-CVE-2023-1234`).
fn cve_in(id: &str) -> Option<&str> {
    let id = id.find("-CVE-").and_then(|at| id.get(at + 1..)).unwrap_or(id);
    is_cve(id).then_some(id)
}

/// `CVE-2021-44228` sorts by year and number.
fn id_order(id: &str) -> (u8, u64, u64, String) {
    let cve = id.strip_prefix("CVE-").and_then(|r| r.split_once('-'));
    match cve.and_then(|(y, n)| Some((y.parse().ok()?, n.parse().ok()?))) {
        Some((year, number)) => (0, year, number, String::new()),
        None if id.starts_with("GHSA-") => (1, 0, 0, id.to_owned()),
        None => (2, 0, 0, id.to_owned()),
    }
}

struct Group<'h, 'a> {
    names: BTreeSet<String>,
    hits: Vec<&'h Hit<'a>>,
}

/// What is wrong with a package, without the words around it: all that counters and comparisons need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// The vulnerability's first name: its CVE if it has one.
    pub id: String,
    /// Its other names, sorted.
    pub aliases: Vec<String>,
    /// What the vendor says.
    pub status: Status,
    /// How bad it is.
    pub severity: Severity,
    /// Versions that repair it, in order.
    pub fixed_versions: Vec<String>,
    /// The distribution says that the package is not affected: it does not count.
    pub denied: bool,
}

/// Joins the hits of one package into assessments: those that [`findings`] would dress.
pub(super) fn assessments(
    db: &Db<'_>,
    package: &Package,
    distro: Option<&Distro>,
    hits: &[Hit<'_>],
) -> Result<Vec<Assessment>, DbError> {
    let mut out = Vec::new();
    for group in groups(hits) {
        if let Some(judged) = judged(db, package.kind, distro, &group)? {
            out.push(judged.assessment);
        }
    }
    Ok(out)
}

/// A finding, and the advisories that may say its title, the best first.
pub(super) struct Untitled {
    pub finding: Finding,
    pub advisories: Vec<AdvisoryRef>,
}

/// Joins the hits of one package.
pub(super) fn findings(
    db: &Db<'_>,
    package: &Package,
    distro: Option<&Distro>,
    hits: &[Hit<'_>],
) -> Result<Vec<Untitled>, DbError> {
    groups(hits).into_iter().filter_map(|g| finding(db, package, distro, &g).transpose()).collect()
}

fn groups<'h, 'a>(hits: &'h [Hit<'a>]) -> Vec<Group<'h, 'a>> {
    let mut groups: Vec<Group<'_, '_>> = Vec::new();
    for hit in hits {
        for names in vulnerabilities(&hit.head, &hit.scope) {
            let (mut same, other): (Vec<_>, Vec<_>) = std::mem::take(&mut groups)
                .into_iter()
                .partition(|g| g.names.iter().any(|n| names.contains(n)));
            groups = other;
            let mut joined = Group { names, hits: vec![hit] };
            for g in same.drain(..) {
                joined.names.extend(g.names);
                joined.hits.extend(g.hits);
            }
            groups.push(joined);
        }
    }
    for group in &mut groups {
        let farthest = group.hits.iter().filter(|h| h.repaired).map(|h| scope::distance(&h.scope)).max();
        if let Some(farthest) = farthest {
            group.hits.retain(|h| !h.repaired && scope::distance(&h.scope) >= farthest);
        }
    }
    groups
}

/// A group's assessment and what it was made from.
struct Judged<'h, 'a> {
    assessment: Assessment,
    rated_by: RatedBy,
    ratings: Vec<Rating>,
    denied: Vec<&'h Hit<'a>>,
    affected: Vec<&'h Hit<'a>>,
}

fn judged<'h, 'a>(
    db: &Db<'_>,
    kind: PackageKind,
    distro: Option<&Distro>,
    group: &Group<'h, 'a>,
) -> Result<Option<Judged<'h, 'a>>, DbError> {
    let (denied, affected): (Vec<&Hit<'_>>, Vec<&Hit<'_>>) =
        group.hits.iter().copied().partition(|h| h.status == Status::NotAffected);
    if affected.is_empty() {
        return Ok(None);
    }
    let Some(id) = group.names.iter().min_by_key(|n| id_order(n)).cloned() else { return Ok(None) };
    let status = affected.iter().map(|h| h.status).min().unwrap_or(Status::Affected);
    let (severity, rated_by, ratings) = rating::choose(db, &affected, &group.names, distro)?;
    let assessment = Assessment {
        aliases: group.names.iter().filter(|n| **n != id).cloned().collect(),
        id,
        status,
        severity,
        fixed_versions: fixed_versions(kind, &affected),
        denied: !denied.is_empty(),
    };
    Ok(Some(Judged { assessment, rated_by, ratings, denied, affected }))
}

fn finding(
    db: &Db<'_>,
    package: &Package,
    distro: Option<&Distro>,
    group: &Group<'_, '_>,
) -> Result<Option<Untitled>, DbError> {
    let Some(judged) = judged(db, package.kind, distro, group)? else { return Ok(None) };
    let Judged { assessment, rated_by, ratings, denied, affected } = judged;
    let cves: Vec<&String> = group.names.iter().filter(|n| is_cve(n)).collect();
    let (mut epss, mut exploited) = (None, None);
    for cve in &cves {
        epss = epss.or(db.epss(cve)?.map(|(probability, percentile)| Score { probability, percentile }));
        exploited = exploited.or(db.kev(cve)?.map(|k| Exploited {
            added: k.added,
            due: k.due,
            ransomware: k.ransomware,
        }));
    }
    let mut finding = Finding {
        kind: package.kind,
        package: display_name(package),
        version: package.version.clone(),
        arch: package.arch.clone(),
        id: assessment.id,
        aliases: assessment.aliases,
        status: assessment.status,
        severity: assessment.severity,
        severity_source: rated_by,
        ratings,
        fixed_versions: assessment.fixed_versions,
        title: String::new(),
        epss,
        exploited,
        source: package.source.as_ref().map(|s| (s.name.clone(), s.version.clone())),
        evidence: package.evidence.clone(),
        because: reasons(db, &affected),
        suppressed: Vec::new(),
    };
    if let Some(hit) = denied.first() {
        let feed = db.feed_of(hit.at).map(|f| f.name.clone()).unwrap_or_default();
        finding.suppress(Suppression {
            kind: SuppressionKind::NotAffected,
            reason: format!("{} says that {} is not affected", scope::family(&hit.scope), hit.name),
            source: format!("{feed}: {}", public(hit.head.id)),
            until: None,
        });
    }
    Ok(Some(Untitled { finding, advisories: affected.iter().map(|h| h.at).collect() }))
}

fn display_name(package: &Package) -> String {
    match scope::language(package.kind) {
        Some(_) => scope::language_name(package),
        None => package.name.clone(),
    }
}

/// Distribution packages have one line of versions: the newest repair is the one to take. Languages have branches.
fn fixed_versions(kind: PackageKind, hits: &[&Hit<'_>]) -> Vec<String> {
    let scheme = crate::version::Scheme::of(kind);
    let mut all: Vec<String> =
        hits.iter().filter(|h| h.status == Status::Fixed).flat_map(|h| h.fixed.clone()).collect();
    all.sort_by(|a, b| {
        crate::version::compare(scheme, a, b).unwrap_or_else(|_| a.cmp(b)).then_with(|| a.cmp(b))
    });
    all.dedup();
    if matches!(kind, PackageKind::Deb | PackageKind::Rpm | PackageKind::Apk) && all.len() > 1 {
        all.drain(..all.len() - 1);
    }
    all
}

#[expect(clippy::zero_sized_map_values, reason = "merged like the others")]
fn reasons(db: &Db<'_>, hits: &[&Hit<'_>]) -> Vec<Reason> {
    let mut out: BTreeMap<Reason, ()> = BTreeMap::new();
    for hit in hits {
        let name_is = match hit.names {
            NameKind::Source => "source package",
            NameKind::Binary => "binary package",
            _ => "package",
        };
        let order = scope::scheme(&hit.scope).to_string();
        out.insert(
            Reason {
                advisory: public(hit.head.id).to_owned(),
                feed: db.feed_of(hit.at).map(|f| f.name.clone()).unwrap_or_default(),
                ecosystem: hit.scope.clone(),
                name: hit.name.clone(),
                name_is: name_is.to_owned(),
                version: hit.version.clone(),
                range: hit.range.clone(),
                order: if hit.generic { format!("generic (not a version to {order})") } else { order },
                status: hit.status,
                fixed: hit.fixed.clone(),
                module: hit.claim.module.map(str::to_owned),
            },
            (),
        );
    }
    out.into_keys().collect()
}
