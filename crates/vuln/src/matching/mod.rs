//! From packages to findings: which advisories of a database speak of what was found, and what they say.
//!
//! Pure: an inventory, a database, statements and rules in; a report out, the same bytes for the same input. Nothing is
//! dropped in silence: what a vendor denies, a VEX statement excuses or a rule ignores stays in the report with the
//! reason ([`Suppression`]), and what could not be judged is a problem. Every finding names the advisory, the range, the
//! name and the version that made it.

mod candidates;
mod finding;
mod group;
mod ignore;
mod outdated;
mod range;
mod rating;
mod titles;
pub(crate) mod vex;

pub use finding::{Counts, Exploited, Finding, Reason, Report, Score, Suppression, SuppressionKind};
pub use group::Assessment;
pub(crate) use ignore::Ignorable;
pub use ignore::{IgnoreError, IgnoreFile, IgnoreRule};
pub use outdated::{Behind, Outdated, OutdatedFinding, outdated};
pub use range::{Verdict, judge};
pub use rating::{RatedBy, Rating};
pub use vex::{VexDocument, VexError, VexName, VexProduct, VexStatement, VexStatus};

use crate::advisory::{Status, scope};
use crate::db::{Db, DbError};
use crate::package::{Distro, Inventory, Package, Problem};
use candidates::Candidate;
use std::collections::{BTreeMap, BTreeSet};

/// What else a scan knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// VEX documents, the most trusted last.
    pub vex: &'a [VexDocument],
    /// Ignore rules.
    pub ignore: Option<&'a IgnoreFile>,
    /// Package URLs of what is scanned (`pkg:oci/name@sha256…`), for VEX products.
    pub products: &'a [String],
    /// Today (`YYYY-MM-DD`), for rules that expire and releases that end; empty: neither is judged.
    pub today: &'a str,
}

/// Judges an inventory.
///
/// # Errors
/// [`DbError`] if the database is damaged: a report from half a database would look clean.
pub fn match_inventory(db: &Db<'_>, inventory: &Inventory, options: &Options<'_>) -> Result<Report, DbError> {
    let distro = inventory.distro.as_ref();
    let scopes = distro.map(scope::of_distro).unwrap_or_default();
    let mut report = Report {
        scopes: scopes.clone(),
        problems: inventory.problems.clone(),
        feeds: db.feeds().into_iter().cloned().collect(),
        ..Report::default()
    };
    report.problems.extend(unknown_distro(db, inventory, &scopes));
    report.problems.extend(unknown_languages(db, inventory));
    report.end_of_life = end_of_life(db, distro, options.today)?;
    // Nothing is asked of no documents.
    let products = (!options.vex.is_empty()).then(|| vex::Products::of(inventory, options.products));
    let vex = products.map(|known| vex::Decisions::of(options.vex, &known)).unwrap_or_default();
    let all =
        inventory.packages.iter().map(|p| (p, false)).chain(inventory.suppressed.iter().map(|p| (p, true)));
    let mut findings = Vec::new();
    for (package, owned) in all {
        let mut problems = BTreeSet::new();
        let hits = candidates::hits(db, package, distro, &scopes, &mut problems)?;
        report.problems.extend(problems);
        for mut untitled in group::findings(db, package, distro, &hits)? {
            let finding = &mut untitled.finding;
            if owned {
                finding.suppress(owned_by(package));
            }
            if let Some(s) = third_party(package, distro, finding) {
                finding.suppress(s);
            }
            vex.apply(finding, package, distro);
            if let Some(ignore) = options.ignore {
                ignore::apply(finding, package, distro, ignore, options.today);
            }
            findings.push(untitled);
        }
    }
    report.findings = titles::titled(db, findings)?;
    report.findings.sort();
    report.findings.dedup();
    report.problems.sort();
    report.problems.dedup();
    Ok(report)
}

/// Packages of a distribution that no feed speaks of are unknown, not clean.
fn unknown_distro(db: &Db<'_>, inventory: &Inventory, scopes: &[String]) -> Option<Problem> {
    let of_distribution = inventory.packages.iter().filter(|p| crate::merge::is_system(p.kind)).count();
    // Edge says nothing of a release that it is mixed into.
    let (own, mixed) = scopes.split_first().map_or((None, &[][..]), |(own, mixed)| (Some(own), mixed));
    let known = own.is_some_and(|s| db.knows_scope(s))
        || mixed.iter().any(|s| s != "Alpine:edge" && db.knows_scope(s));
    if of_distribution == 0 || known {
        return None;
    }
    let name = own
        .cloned()
        .or_else(|| inventory.distro.as_ref().map(|d| format!("{} {}", d.id, d.version_id)))
        .unwrap_or_else(|| "an unknown distribution".into());
    Some(unjudged(&format!("{of_distribution} packages of {name}"), "this release"))
}

/// Packages of a language that no feed speaks of are unknown as well: one problem for each ecosystem. Those that a
/// distribution's packages own are its to judge.
fn unknown_languages(db: &Db<'_>, inventory: &Inventory) -> Vec<Problem> {
    let mut unknown: BTreeMap<&str, usize> = BTreeMap::new();
    let ecosystems = inventory.packages.iter().filter_map(|p| scope::language(p.kind));
    for ecosystem in ecosystems.filter(|e| scope::is_published(e) && !db.knows_scope(e)) {
        *unknown.entry(ecosystem).or_default() += 1;
    }
    let problem =
        |(ecosystem, count)| unjudged(&format!("{count} packages of {ecosystem}"), "this ecosystem");
    unknown.into_iter().map(problem).collect()
}

fn unjudged(packages: &str, whole: &str) -> Problem {
    Problem {
        source: "matching".into(),
        path: String::new(),
        message: format!("{packages} cannot be judged: no feed speaks of {whole}"),
    }
}

fn end_of_life(db: &Db<'_>, distro: Option<&Distro>, today: &str) -> Result<Option<String>, DbError> {
    let Some(distro) = distro.filter(|_| !today.is_empty()) else { return Ok(None) };
    let version = distro.version_id.as_str();
    let minor = version.split('.').take(2).collect::<Vec<_>>().join(".");
    let major = version.split('.').next().unwrap_or(version);
    let product = match distro.id.as_str() {
        "alpine" => "alpine-linux",
        "ol" => "oracle-linux",
        "amzn" => "amazon-linux",
        "rocky" => "rocky-linux",
        "opensuse-leap" => "opensuse",
        other => other,
    };
    for product in [product, distro.id.as_str()] {
        for cycle in [version, minor.as_str(), major] {
            if let Some(e) = db.end_of_life(product, cycle)? {
                return Ok(Some(e.eol).filter(|day| !day.is_empty() && day.as_str() < today));
            }
        }
    }
    Ok(None)
}

fn owned_by(package: &Package) -> Suppression {
    let owner = package.properties.get("owner").map_or("a distribution package", String::as_str);
    Suppression {
        kind: SuppressionKind::Ownership,
        reason: format!("its files belong to {owner}, for which the distribution answers"),
        source: String::new(),
        until: None,
    }
}

/// What is wrong with one package of a distribution whose packages are looked up in `scopes`
/// ([`scope::of_distro`]): the findings of [`match_inventory`] for it, without explanations, statements and rules.
///
/// # Errors
/// [`DbError`] if the database is damaged.
pub fn assess(
    db: &Db<'_>,
    package: &Package,
    distro: Option<&Distro>,
    scopes: &[String],
) -> Result<Vec<Assessment>, DbError> {
    let hits = candidates::hits(db, package, distro, scopes, &mut BTreeSet::new())?;
    group::assessments(db, package, distro, &hits)
}

/// The same with the words around it: ratings, title, explanations.
///
/// # Errors
/// [`DbError`] if the database is damaged.
pub fn describe(
    db: &Db<'_>,
    package: &Package,
    distro: Option<&Distro>,
    scopes: &[String],
) -> Result<Vec<Finding>, DbError> {
    let hits = candidates::hits(db, package, distro, scopes, &mut BTreeSet::new())?;
    titles::titled(db, group::findings(db, package, distro, &hits)?)
}

/// The `(canonical ecosystem, normalised name)` pairs under which [`assess`] looks a package up.
pub fn lookups(package: &Package, scopes: &[String]) -> Vec<(String, String)> {
    candidates::candidates(package, scopes).into_iter().map(|c| (c.scope, c.name)).collect()
}

/// Whether a package of a distribution's packaging system is not the distribution's own: its findings do not count.
pub fn is_third_party(package: &Package, distro: Option<&Distro>) -> bool {
    use crate::package::PackageKind::{Deb, Rpm};
    let supplied = package.supplier.as_deref().is_some_and(|s| !s.trim().is_empty());
    supplied && matches!(package.kind, Deb | Rpm) && !crate::merge::is_official(distro, package)
}

/// A vendor's package is not what the distribution's advisory speaks of, even under the same name.
fn third_party(package: &Package, distro: Option<&Distro>, finding: &Finding) -> Option<Suppression> {
    let supplier = package.supplier.as_deref()?;
    (is_third_party(package, distro) && finding.status != Status::NotAffected).then(|| Suppression {
        kind: SuppressionKind::ThirdParty,
        reason: format!("supplied by {supplier}, not by the distribution that the advisory is of"),
        source: String::new(),
        until: None,
    })
}

/// The advisories that speak of a version in an ecosystem, as `(advisory, fixed versions)` by advisory identifier:
/// the plain question `is name@version of ecosystem affected`, for tools and checks.
///
/// # Errors
/// [`DbError`] if the database is damaged.
pub fn query(
    db: &Db<'_>,
    ecosystem: &str,
    name: &str,
    version: &str,
) -> Result<Vec<(String, Vec<String>)>, DbError> {
    let scope = scope::canonical(ecosystem);
    let candidate = Candidate::plain(&scope, name, version);
    let mut out = Vec::new();
    for hit in candidates::of(db, &candidate, None, &mut BTreeSet::new())? {
        if hit.status != Status::NotAffected && !hit.repaired {
            out.push((hit.head.id.to_owned(), hit.fixed.clone()));
        }
    }
    out.sort();
    out.dedup();
    Ok(out)
}
