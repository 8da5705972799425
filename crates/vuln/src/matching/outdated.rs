//! Packages of which a newer version exists, by feeds that state the newest one.
//!
//! Only languages' packages have one newest version: what is newest in a distribution its release decides, and that
//! shows as fixed vulnerabilities and as the release's end. A package that no feed speaks of is unknown and counted so.

use super::{Candidate, DbError};
use crate::advisory::scope;
use crate::db::Db;
use crate::version;
use crate::{Inventory, PackageKind, Severity};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// How far behind a version is: the first number that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Behind {
    /// The first number.
    Major,
    /// The second.
    Minor,
    /// A later one, or no number.
    Patch,
}

impl Behind {
    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Major => "major",
            Self::Minor => "minor",
            Self::Patch => "patch",
        }
    }

    fn of(version: &str, newest: &str) -> Self {
        let numbers = |text: &str| -> Vec<u64> {
            let text = text.trim_start_matches(['v', 'V']).split(['-', '+']).next().unwrap_or_default();
            text.split('.').map_while(|part| part.parse().ok()).collect()
        };
        let (ours, theirs) = (numbers(version), numbers(newest));
        let at = |list: &[u64], index: usize| list.get(index).copied().unwrap_or(0);
        match (0..2).find(|index| at(&ours, *index) != at(&theirs, *index)) {
            Some(0) => Self::Major,
            Some(_) => Self::Minor,
            None => Self::Patch,
        }
    }
}

/// A package of which a newer version exists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OutdatedFinding {
    /// Package, as its ecosystem writes it.
    pub package: String,
    /// Packaging system.
    pub kind: PackageKind,
    /// Version.
    pub version: String,
    /// The newest version.
    pub newest: String,
    /// How far behind.
    pub behind: Behind,
    /// Low for another major version, else negligible: old is not yet wrong.
    pub severity: Severity,
    /// File that states the package.
    pub path: String,
}

/// Outdated packages of an inventory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outdated {
    /// Packages whose newest version is known.
    pub judged: usize,
    /// Packages of languages that no feed speaks of, or whose version has no place in the order.
    pub unknown: usize,
    /// The outdated ones, sorted.
    pub findings: Vec<OutdatedFinding>,
}

/// Compares every package of a language with the newest version that a feed states.
///
/// # Errors
/// [`DbError`] if the database is damaged.
pub fn outdated(db: &Db<'_>, inventory: &Inventory) -> Result<Outdated, DbError> {
    let mut out = Outdated::default();
    for package in &inventory.packages {
        let Some(ecosystem) = scope::language(package.kind) else { continue };
        let asked = Candidate::plain(ecosystem, &scope::language_name(package), &package.version);
        let order = |newest: &str| version::compare(scope::scheme(ecosystem), &package.version, newest).ok();
        let found = db.newest(ecosystem, &asked.name)?;
        let Some((newest, order)) = found.and_then(|newest| Some((newest, order(newest)?))) else {
            out.unknown += 1;
            continue;
        };
        out.judged += 1;
        if order != Ordering::Less {
            continue;
        }
        let behind = Behind::of(&package.version, newest);
        out.findings.push(OutdatedFinding {
            package: package.full_name(),
            kind: package.kind,
            version: package.version.clone(),
            newest: newest.to_owned(),
            behind,
            severity: if behind == Behind::Major { Severity::Low } else { Severity::Negligible },
            path: package.evidence.first().map(|evidence| evidence.path.clone()).unwrap_or_default(),
        });
    }
    out.findings.sort();
    out.findings.dedup();
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Package;
    use crate::advisory::import::ImportLimits;
    use crate::db::{FeedDraft, ShrinkPolicy, Update};

    #[test]
    fn a_newer_version_is_named_and_what_no_feed_speaks_of_is_unknown() {
        let mut update = Update::new();
        for (feed, list) in [
            (
                "mirror",
                "pkg:npm/%40scope/a@2.1.0\npkg:pypi/Flask@3.1.2\npkg:npm/b@1.2.3\npkg:golang/example.org/m@v1.4.0\n",
            ),
            ("older", "pkg:npm/b@1.0.0\n"),
        ] {
            let mut draft = FeedDraft::new(feed, "list", "2026-01-01T00:00:00Z");
            draft.import("list", list.as_bytes(), &ImportLimits::default()).expect("list");
            update.put(draft, ShrinkPolicy::Refuse).expect("taken");
        }
        let bytes = update.finish();
        let db = Db::open(&bytes).expect("database");
        assert!(db.knows_newest());
        let npm = |name: &str, version: &str| Package::scoped(PackageKind::Npm, name, version);
        let packages = vec![
            npm("@scope/a", "1.9.0"),
            npm("b", "1.2.3"),
            npm("b", "1.2.0"),
            npm("c", "1.0.0"),
            Package::new(PackageKind::Pypi, "flask", "3.2.0"),
            Package::new(PackageKind::Golang, "example.org/m", "v1.3.9"),
            Package::new(PackageKind::Deb, "b", "0.1"),
        ];
        let found = outdated(&db, &Inventory { packages, ..Inventory::default() }).expect("judged");
        assert_eq!((found.judged, found.unknown), (5, 1), "a distribution's package is not asked for");
        let lines: Vec<String> = found
            .findings
            .iter()
            .map(|f| format!("{} {} {} {}", f.package, f.version, f.newest, f.behind.name()))
            .collect();
        assert_eq!(
            lines,
            ["@scope/a 1.9.0 2.1.0 major", "b 1.2.0 1.2.3 patch", "example.org/m v1.3.9 v1.4.0 minor"]
        );
    }
}
