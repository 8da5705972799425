//! Real names and versions of packages to draw from.
//!
//! Debian's are those of an installed system and of the tracker's records, Alpine's those of secdb, AlmaLinux's those of
//! its errata, the languages' those of their advisories and of recorded answers of OSV.dev. Advisories name only what
//! once was vulnerable, so each name of a language comes with two relatives of which nothing is known.

use anyhow::Context;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use vuln::advisory::scope;
use vuln::db::Db;
use vuln::{Distro, PackageKind};

/// A package with the versions that are known of it, and its source's name.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) versions: Vec<String>,
    pub(super) source: Option<String>,
}

/// A distribution's release.
pub(super) struct System {
    pub(super) distro: Distro,
    pub(super) kind: PackageKind,
    pub(super) entries: Vec<Entry>,
}

/// A language's packages.
pub(super) struct Language {
    pub(super) kind: PackageKind,
    /// How often images have it, in parts of the sum.
    pub(super) weight: u64,
    pub(super) entries: Vec<Entry>,
}

/// All of it.
pub(super) struct Catalogue {
    pub(super) systems: Vec<System>,
    pub(super) languages: Vec<Language>,
}

impl Catalogue {
    pub(super) fn describe(&self) -> String {
        let systems = self.systems.iter().map(|s| s.entries.len()).sum::<usize>();
        let languages = self.languages.iter().map(|l| l.entries.len()).sum::<usize>();
        format!(
            "catalogue: {systems} packages of {} releases, {languages} of {} languages",
            self.systems.len(),
            self.languages.len()
        )
    }
}

type Known = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

const LANGUAGES: [(PackageKind, u64); 8] = [
    (PackageKind::Npm, 25),
    (PackageKind::Pypi, 25),
    (PackageKind::Maven, 15),
    (PackageKind::Golang, 20),
    (PackageKind::Gem, 5),
    (PackageKind::Composer, 4),
    (PackageKind::Cargo, 4),
    (PackageKind::Bitnami, 2),
];

/// Names for packages that stand for those of which no data is here.
const FURTHER: [(PackageKind, &str); 12] = [
    (PackageKind::Maven, "org.apache.logging.log4j:log4j-core"),
    (PackageKind::Maven, "org.apache.logging.log4j:log4j-api"),
    (PackageKind::Maven, "com.fasterxml.jackson.core:jackson-databind"),
    (PackageKind::Maven, "org.springframework:spring-core"),
    (PackageKind::Maven, "org.slf4j:slf4j-api"),
    (PackageKind::Maven, "com.google.guava:guava"),
    (PackageKind::Npm, "lodash"),
    (PackageKind::Npm, "@babel/core"),
    (PackageKind::Npm, "express"),
    (PackageKind::Npm, "minimist"),
    (PackageKind::Npm, "semver"),
    (PackageKind::Npm, "debug"),
];

/// Reads the catalogue from the data and the database made of it.
pub(super) fn read(dir: &Path, db: &[u8]) -> anyhow::Result<Catalogue> {
    let db = Db::open(db)?;
    let mut known = Known::new();
    for feed in db.feeds() {
        let Some(segment) = db.feed_segment(&feed.name) else { continue };
        let mut rows = Vec::new();
        segment.each_row(&mut |scope, name, row| rows.push((scope, name, row)))?;
        for (scope, name, row) in rows {
            let claim = segment.claim(row)?;
            let events = claim.ranges.iter().flat_map(|(_, e)| e).map(vuln::db::EventRef::version);
            let versions = known.entry(scope.to_owned()).or_default().entry(name.to_owned()).or_default();
            let all = events.chain(claim.versions).chain(claim.fixed).filter(|v| *v != "0" && v.len() < 60);
            versions.extend(all.take(20).map(str::to_owned));
        }
    }
    answers(&dir.join("osv-dev-answers/source.jsonl"), &mut known)?;
    let mut systems = vec![debian(dir, &known)?];
    for (scope, names) in &known {
        let (family, release) = scope.split_once(':').unwrap_or((scope, ""));
        let (id, kind) = match family {
            "Alpine" => ("alpine", PackageKind::Apk),
            "AlmaLinux" => ("almalinux", PackageKind::Rpm),
            "Debian" if matches!(release, "10" | "11") => ("debian", PackageKind::Deb),
            _ => continue,
        };
        if names.len() >= 60 {
            let version_id = release.trim_start_matches('v').to_owned();
            let distro = Distro { id: id.into(), version_id, ..Distro::default() };
            systems.push(System { distro, kind, entries: entries(names) });
        }
    }
    let languages = LANGUAGES.iter().map(|(kind, weight)| language(*kind, *weight, &known)).collect();
    Ok(Catalogue { systems, languages })
}

fn entries(names: &BTreeMap<String, BTreeSet<String>>) -> Vec<Entry> {
    let with_versions = names.iter().filter(|(_, v)| !v.is_empty());
    with_versions
        .map(|(name, versions)| Entry {
            name: name.clone(),
            versions: versions.iter().cloned().collect(),
            source: None,
        })
        .collect()
}

fn language(kind: PackageKind, weight: u64, known: &Known) -> Language {
    let mut names: BTreeMap<String, BTreeSet<String>> =
        scope::language(kind).and_then(|s| known.get(s)).cloned().unwrap_or_default();
    for (_, name) in FURTHER.iter().filter(|(k, _)| *k == kind) {
        let versions =
            ["1.0.0", "1.2.3", "2.0.0", "2.13.4", "2.14.1", "2.17.0", "2.17.1", "3.1.4", "4.17.20"];
        names.entry((*name).to_owned()).or_default().extend(versions.map(str::to_owned));
    }
    let mut entries = entries(&names);
    let relatives: Vec<Entry> = entries
        .iter()
        .flat_map(|e| {
            ["-utils", "-types"].map(|tail| Entry {
                name: format!("{}{tail}", e.name),
                versions: e.versions.iter().take(8).cloned().collect(),
                source: None,
            })
        })
        .collect();
    entries.extend(relatives);
    Language { kind, weight, entries }
}

/// Debian 12 as it is installed; a source's repaired versions are further versions of its packages.
fn debian(dir: &Path, known: &Known) -> anyhow::Result<System> {
    let path = dir.join("debian/changelog-bookworm/rootfs/var/lib/dpkg/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let sources = known.get("Debian:12");
    let mut entries = Vec::new();
    for stanza in text.split("\n\n") {
        let field = |key: &str| stanza.lines().find_map(|l| l.strip_prefix(key)).map(str::trim);
        let (Some(name), Some(version)) = (field("Package:"), field("Version:")) else { continue };
        let source = field("Source:").map(|s| s.split(' ').next().unwrap_or(s).to_owned());
        let mut versions = vec![version.to_owned()];
        let repaired = sources.and_then(|s| s.get(source.as_deref().unwrap_or(name)));
        versions.extend(repaired.into_iter().flatten().take(6).cloned());
        entries.push(Entry { name: name.to_owned(), versions, source });
    }
    let distro = Distro { id: "debian".into(), version_id: "12".into(), ..Distro::default() };
    Ok(System { distro, kind: PackageKind::Deb, entries })
}

/// Packages that OSV.dev was asked about.
fn answers(path: &Path, known: &mut Known) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line)?;
        let field = |key: &str| row.get(key).and_then(serde_json::Value::as_str);
        if let (Some(ecosystem), Some(name), Some(version)) =
            (field("ecosystem"), field("name"), field("version"))
            && matches!(ecosystem, "npm" | "Maven" | "PyPI" | "Go" | "crates.io")
        {
            let names = known.entry(ecosystem.to_owned()).or_default();
            names.entry(name.to_owned()).or_default().insert(version.to_owned());
        }
    }
    Ok(())
}
