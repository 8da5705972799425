//! Findings: complete cases, recorded answers, human labels, Trivy's goldens, the forms of advisories and VEX.
//!
//! A case (`feed`, `rootfs`, `expected`) counts row by row. Answers and labels were given with other states of the
//! feeds, so they count as a set: one check that nothing the given feed states is missed and one that nothing is
//! reported which it does not state, for each ecosystem; rows that no given advisory decides are skipped.

use super::report::Report;
use super::{feeds, file_name, files, folders, inventory, json, json_lines};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use vuln::db::Db;
use vuln::matching::{Options, VexDocument, match_inventory, query};
use vuln::{Distro, Inventory, Mode, Package, PackageKind, Purl, SourcePackage};

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Complete cases: findings are exactly the expected ones.
pub(super) fn debian(dir: &Path, report: &mut Report) -> anyhow::Result<()> {
    for case in folders(dir)? {
        let group = file_name(&case);
        let (feed, expected) = (case.join("feed.osv.jsonl"), case.join("expected.jsonl"));
        if !feed.is_file() || !expected.is_file() {
            report.skip("debian", &group, 1, "no case of feed and expected findings");
            continue;
        }
        let bytes = feeds::database(&[("debian".to_owned(), vec![feed])])?;
        let db = Db::open(&bytes)?;
        let found = match_inventory(
            &db,
            &inventory::of_folder(&case.join("rootfs"), Mode::Image)?,
            &Options::default(),
        )?;
        let key =
            |id: &str, name: &str, version: &str, fixed: &str| format!("{id} {name} {version} fixed {fixed}");
        let found: BTreeSet<String> = found
            .counting()
            .map(|f| key(&f.id, &f.package, &f.version, &f.fixed_versions.join(",")))
            .collect();
        let expected: BTreeSet<String> = json_lines(&expected)?
            .iter()
            .map(|e| key(text(e, "cve"), text(e, "package"), text(e, "version"), text(e, "fixed")))
            .collect();
        for row in &expected {
            report.check(
                "debian",
                &group,
                if found.contains(row) { Ok(()) } else { Err(format!("missed {row}")) },
            );
        }
        for row in found.difference(&expected) {
            report.fail("debian", &group, &format!("not expected: {row}"));
        }
        let right = found.intersection(&expected).count() as f64;
        report.note(format!(
            "debian {group}: precision {:.4}, recall {:.4}",
            right / found.len().max(1) as f64,
            right / expected.len().max(1) as f64
        ));
    }
    Ok(())
}

#[derive(Default)]
struct Tally {
    decided: usize,
    missed: Vec<String>,
    extra: Vec<String>,
    newer: usize,
}

fn judge(report: &mut Report, set: &str, tallies: BTreeMap<String, Tally>) {
    for (ecosystem, t) in tallies {
        if t.decided == 0 && t.extra.is_empty() {
            continue;
        }
        let check = |list: &[String], what: &str| match list.first() {
            None => Ok(()),
            Some(first) => Err(format!("{} {what}, first {first}", list.len())),
        };
        report.check(set, &ecosystem, check(&t.missed, "missed"));
        report.check(set, &ecosystem, check(&t.extra, "reported without the feed stating it"));
        let right = (t.decided - t.missed.len()) as f64;
        report.note(format!(
            "{set} {ecosystem}: {} decided, recall {:.4}, precision {:.4}, {} more by records younger than the answer",
            t.decided,
            right / t.decided.max(1) as f64,
            right / (right + t.extra.len() as f64).max(1.0),
            t.newer
        ));
    }
}

/// Whether some advisory with this identifier stands in the database and is not withdrawn.
fn stands(db: &Db<'_>, id: &str) -> anyhow::Result<bool> {
    for at in db.by_id(id)? {
        let head = db.head(at)?;
        if head.id == id && !head.withdrawn {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Answers of OSV.dev.
#[expect(clippy::if_not_else, reason = "the exception first")]
pub(super) fn answers(dir: &Path, report: &mut Report) -> anyhow::Result<()> {
    let bytes = feeds::all(dir.parent().unwrap_or(dir))?;
    let db = Db::open(&bytes)?;
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for path in files(dir)?.into_iter().filter(|p| p.extension().is_some_and(|e| e == "jsonl")) {
        for row in json_lines(&path)? {
            let (ecosystem, name, version) =
                (text(&row, "ecosystem"), text(&row, "name"), text(&row, "version"));
            let family = ecosystem.split(':').next().unwrap_or(ecosystem).to_owned();
            let scope = vuln::advisory::scope::canonical(ecosystem);
            if name.is_empty() || version.is_empty() || !db.knows_scope(&scope) {
                report.skip("osv-dev-answers", &family, 1, "no given feed speaks of the ecosystem");
                continue;
            }
            let found: BTreeSet<String> =
                query(&db, ecosystem, name, version)?.into_iter().map(|f| f.0).collect();
            let said: BTreeSet<&str> =
                row["ids"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let t = tallies.entry(family.clone()).or_default();
            for id in &said {
                if !stands(&db, id)? {
                    report.skip(
                        "osv-dev-answers",
                        &family,
                        1,
                        "the answer's advisory is not in the given feeds",
                    );
                } else {
                    t.decided += 1;
                    if !found.contains(*id) {
                        t.missed.push(format!("{id} for {name} {version}"));
                    }
                }
            }
            let known: BTreeSet<String> =
                found.iter().filter(|f| !said.contains(f.as_str())).cloned().collect();
            for id in known {
                // An answer is a moment: only a record that some answer knows of can be held against this one.
                let elsewhere = row["partial"] == true || !said.is_empty() || id.starts_with("CVE-");
                if elsewhere { t.newer += 1 } else { t.extra.push(format!("{id} for {name} {version}")) }
            }
        }
    }
    judge(report, "osv-dev-answers", tallies);
    Ok(())
}

/// The distribution of a labelled image, by its tag or by the packages' own release marks.
fn label_ecosystem(tag: &str, version: &str) -> Option<(String, PackageKind)> {
    let release = |at: &str| tag.split(at).nth(1).and_then(|t| t.split('-').next()).map(str::to_owned);
    if tag.contains("alpine") {
        let v = release("alpine-").or_else(|| release("alpine:"))?;
        return Some((format!("Alpine:v{v}"), PackageKind::Apk));
    }
    if version.contains(".el8") {
        return Some(("AlmaLinux:8".to_owned(), PackageKind::Rpm));
    }
    if tag.contains("golang") {
        return Some(("Go".to_owned(), PackageKind::Golang));
    }
    tag.contains("python").then(|| ("PyPI".to_owned(), PackageKind::Pypi))
}

/// Human labels: what a reviewer called true and the feed states must be found.
pub(super) fn labels(dir: &Path, report: &mut Report) -> anyhow::Result<()> {
    let bytes = feeds::all(dir.parent().unwrap_or(dir))?;
    let db = Db::open(&bytes)?;
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for path in files(dir)?.into_iter().filter(|p| p.extension().is_some_and(|e| e == "jsonl")) {
        for row in json_lines(&path)? {
            let (name, version, cve) = (text(&row, "package"), text(&row, "version"), text(&row, "cve"));
            let Some((ecosystem, kind)) = label_ecosystem(text(&row, "image_tag"), version) else {
                report.skip("match-labels", "", 1, "no given feed speaks of the image");
                continue;
            };
            let scope = vuln::advisory::scope::canonical(&ecosystem);
            let spoken = db.package(&scope, &vuln::advisory::scope::normal_name(&scope, name))?;
            let mut states = false;
            for (at, _) in &spoken {
                let h = db.head(*at)?;
                let mut names = [h.id].into_iter().chain(h.aliases).chain(h.upstream).chain(h.related);
                states |= names.any(|n| n == cve || n == text(&row, "vuln"));
            }
            if !states {
                report.skip("match-labels", &ecosystem, 1, "no given advisory decides the row");
                continue;
            }
            let package = Package::new(kind, name, version);
            let packages = vec![package];
            let distro = distro_of(&ecosystem);
            let result = match_inventory(
                &db,
                &Inventory { distro, packages, ..Inventory::default() },
                &Options::default(),
            )?;
            let hit = result.counting().any(|f| {
                [cve, text(&row, "vuln")].iter().any(|id| f.id == *id || f.aliases.iter().any(|a| a == id))
            });
            let given = [cve, text(&row, "vuln")];
            let plain = query(&db, &ecosystem, name, version)?.iter().any(|(id, _)| {
                let names = |at| db.head(at).map(|h| [vec![h.id], h.aliases, h.upstream, h.related].concat());
                spoken.iter().any(|(at, _)| {
                    names(*at)
                        .is_ok_and(|n| n[0] == id && n.iter().any(|n| !n.is_empty() && given.contains(n)))
                })
            });
            let t = tallies.entry(ecosystem).or_default();
            let line = format!("{cve} {name} {version} ({})", text(&row, "label"));
            t.decided += 1;
            match (text(&row, "label"), plain, hit) {
                ("TP", true, false) => t.missed.push(line),
                (_, false, true) => t.extra.push(line),
                _ => {}
            }
        }
    }
    judge(report, "match-labels", tallies);
    Ok(())
}

fn distro_of(ecosystem: &str) -> Option<Distro> {
    let (family, release) = ecosystem.split_once(':')?;
    let id = if family == "AlmaLinux" { "almalinux" } else { "alpine" };
    Some(Distro { id: id.into(), version_id: release.trim_start_matches('v').into(), ..Distro::default() })
}

/// Trivy's goldens against its fixture database: identifier, version, status, repair, severity.
pub(super) fn trivy(dir: &Path, report: &mut Report) -> anyhow::Result<()> {
    let bytes = feeds::database(&[("trivy".to_owned(), files(&dir.join("fixtures/db"))?)])?;
    let db = Db::open(&bytes)?;
    for path in files(&dir.join("goldens"))? {
        let group = file_name(&path).replace(".golden", "");
        let value = json(&path)?;
        let Some(results) = value.get("Results").and_then(Value::as_array) else {
            report.skip("trivy", &group, 1, "golden of another form, judged by its JSON sibling");
            continue;
        };
        let os = &value["Metadata"]["OS"];
        let distro = os.is_object().then(|| Distro {
            id: text(os, "Family").into(),
            version_id: text(os, "Name").into(),
            ..Distro::default()
        });
        for v in results.iter().flat_map(|r| r["Vulnerabilities"].as_array().into_iter().flatten()) {
            let mut package = Purl::parse(text(&v["PkgIdentifier"], "PURL"))?.to_package();
            text(v, "InstalledVersion").clone_into(&mut package.version);
            let source = text(v, "PkgID").split('@').next().unwrap_or_default();
            package.source =
                source_of(source).map(|s| SourcePackage { name: s.into(), version: package.version.clone() });
            let packages = vec![package];
            let found = match_inventory(
                &db,
                &Inventory { distro: distro.clone(), packages, ..Inventory::default() },
                &Options::default(),
            )?;
            let id = text(v, "VulnerabilityID");
            let outcome = match found.counting().find(|f| f.id == id) {
                None => Err(format!("missed {id}")),
                Some(f) => {
                    let ours = (
                        f.status.name(),
                        f.severity.as_str().to_uppercase(),
                        first(&f.fixed_versions.join(", ")),
                    );
                    let theirs =
                        (text(v, "Status"), text(v, "Severity").to_owned(), first(text(v, "FixedVersion")));
                    if ours == theirs { Ok(()) } else { Err(format!("{id}: {ours:?}, golden {theirs:?}")) }
                }
            };
            report.check("trivy", &group, outcome);
        }
    }
    Ok(())
}

/// Repairs as a set: Trivy lists them in its feed's order.
fn first(list: &str) -> BTreeSet<String> {
    list.split(", ").map(str::to_owned).collect()
}

/// Source names of the goldens' distribution packages, which the goldens themselves leave out.
fn source_of(name: &str) -> Option<&'static str> {
    match name {
        "libcrypto1.1" | "libssl1.1" => Some("openssl"),
        "libidn2-0" => Some("libidn2"),
        _ => None,
    }
}

/// Every feed document of the folder is read; every record counts.
pub(super) fn alpine(dir: &Path, report: &mut Report) -> anyhow::Result<()> {
    forms("alpine", dir, report)
}

/// Red Hat's document.
pub(super) fn claircore(dir: &Path, report: &mut Report) -> anyhow::Result<()> {
    forms("claircore", dir, report)
}

/// CISA's catalogue.
pub(super) fn kev(dir: &Path, report: &mut Report) -> anyhow::Result<()> {
    forms("kev", dir, report)
}

fn forms(set: &str, dir: &Path, report: &mut Report) -> anyhow::Result<()> {
    for path in files(dir)? {
        let outcome = feeds::database(&[(set.to_owned(), vec![path.clone()])]).map_err(|e| format!("{e:#}"));
        let known = outcome.and_then(|bytes| {
            let db = Db::open(&bytes).map_err(|e| e.to_string())?;
            Ok(db.feeds().iter().map(|f| f.records).sum::<u64>())
        });
        if known == Ok(0) {
            report.skip(set, &file_name(&path), 1, "the document states nothing");
            continue;
        }
        let known = known.map(|_| ());
        report.check(set, &file_name(&path), known);
    }
    Ok(())
}

/// VEX documents are read and have statements.
pub(super) fn vex(dir: &Path, report: &mut Report) -> anyhow::Result<()> {
    for path in files(dir)? {
        let name = file_name(&path);
        if name == "manifest.json" || name.ends_with("schema.json") || !name.ends_with(".json") {
            report.skip("vex", "", 1, "index or schema, no VEX document");
            continue;
        }
        let outcome = VexDocument::parse(&name, &std::fs::read(&path)?).map_err(|e| e.to_string());
        let outcome = outcome
            .and_then(|d| if d.statements.is_empty() { Err("no statements".to_owned()) } else { Ok(()) });
        report.check("vex", &name, outcome);
    }
    Ok(())
}
