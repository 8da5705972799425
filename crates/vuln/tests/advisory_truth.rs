//! The given sets, judged: what the feeds state is found, and nothing else.
//!
//! Data is read from the folder beside the clone (or `BONDED_SHARED`); where it is absent the test says so and passes.

#![expect(clippy::print_stdout, reason = "a test says what it skipped and what it counted")]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use vuln::advisory::import::ImportLimits;
use vuln::db::{Db, FeedDraft, ShrinkPolicy, Update};
use vuln::matching::{self, IgnoreFile, Options, SuppressionKind, VexDocument};
use vuln::{Distro, Inventory, Package, PackageKind, SourcePackage};

fn shared(path: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the test's own switch")]
    let root = std::env::var("BONDED_SHARED").ok().map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR"));
    let roots = [root, Some(beside.join("../../../shared")), Some(beside.join("../../../../shared"))];
    let found = roots.into_iter().flatten().map(|r| r.join("data").join(path)).find(|p| p.exists());
    if found.is_none() {
        println!("skipped: shared data {path} is absent");
    }
    found
}

fn files(root: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).expect("folder").map(|e| e.expect("entry").path()));
        } else {
            out.push(path);
        }
    }
    out.sort();
    out
}

fn feed(update: &mut Update, name: &str, paths: &[PathBuf]) -> u64 {
    let mut draft = FeedDraft::new(name, name, "2026-11-21T00:00:00Z");
    for path in paths {
        let bytes = std::fs::read(path).expect("file");
        let stats = draft.import(&path.to_string_lossy(), &bytes, &ImportLimits::default()).expect("import");
        assert_eq!(
            stats.refused,
            0,
            "{}: {:?}",
            path.display(),
            stats.refusals.iter().take(5).collect::<Vec<_>>()
        );
    }
    let records = draft.records();
    update.put(draft, ShrinkPolicy::Refuse).expect("feed");
    records
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("text");
    text.lines().map(|l| serde_json::from_str(l).expect("json")).collect()
}

fn text<'a>(v: &'a Value, key: &str) -> &'a str {
    v.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[expect(clippy::unnecessary_wraps, reason = "one form for all readers")]
fn distro(id: &str, version: &str) -> Option<Distro> {
    Some(Distro { id: id.into(), version_id: version.into(), ..Distro::default() })
}

/// Every archive of the advisories folder in one file.
fn everything(folder: &Path) -> Vec<u8> {
    let mut update = Update::new();
    for path in files(folder).iter().filter(|p| p.extension().is_some_and(|e| e == "zip")) {
        let name = path.file_stem().expect("name").to_string_lossy().into_owned();
        feed(&mut update, &name, std::slice::from_ref(path));
    }
    update.finish()
}

#[test]
fn all_given_feeds_fit_in_one_small_file_that_opens_at_once() {
    let Some(folder) = shared("advisories") else { return };
    let bytes = everything(&folder);
    let start = std::time::Instant::now();
    let db = Db::open(&bytes).expect("open");
    let opened = start.elapsed();
    db.verify().expect("digest");
    let rows: u64 = db.feeds().iter().map(|f| f.rows).sum();
    println!("{} bytes, {rows} rows, opened in {opened:?}", bytes.len());
    for f in db.feeds() {
        println!("  {} {} records {} rows, newest {}", f.name, f.records, f.rows, f.newest);
    }
    assert!(bytes.len() <= 30 << 20, "{} bytes", bytes.len());
    assert!(opened.as_millis() < 1000);
    // 43 errata lie in the folder of every release they are for: each counts once.
    let records: BTreeMap<&str, u64> = db.feeds().iter().map(|f| (f.name.as_str(), f.records)).collect();
    assert_eq!(
        (records["Go"], records["AlmaLinux"], records["PyPI"], records["Bitnami"]),
        (4291, 5637, 7080, 7444)
    );
    answers(&db);
}

/// Recorded answers of OSV.dev: what it said and the feed states must be found; what is found it must have said, or the
/// feed's record is younger than the answer.
fn answers(db: &Db<'_>) {
    let Some(path) = shared("scan-truth/osv-dev-answers/source.jsonl") else { return };
    let mut tally: BTreeMap<String, (u64, u64, u64)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for row in lines(&path) {
        let ecosystem = text(&row, "ecosystem").to_owned();
        if !["Go", "PyPI", "crates.io"].contains(&ecosystem.as_str()) {
            continue;
        }
        let found =
            matching::query(db, &ecosystem, text(&row, "name"), text(&row, "version")).expect("query");
        let found: BTreeSet<&str> = found.iter().map(|f| f.0.as_str()).collect();
        let said: Vec<&str> = row["ids"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let entry = tally.entry(ecosystem).or_default();
        for id in &said {
            let known = db.by_id(id).expect("ids");
            if known.iter().any(|a| db.head(*a).is_ok_and(|h| h.id == *id && !h.withdrawn)) {
                entry.0 += 1;
                if !found.contains(id) {
                    entry.1 += 1;
                    wrong.push(format!("missed {id} in {}@{}", text(&row, "name"), text(&row, "version")));
                }
            }
        }
        for id in &found {
            if !said.contains(id) && row["partial"] != true {
                entry.2 += 1;
                println!("  more than recorded: {id} in {}@{}", text(&row, "name"), text(&row, "version"));
            }
        }
    }
    println!("recorded answers (decided, missed, more): {tally:?}");
    assert!(wrong.is_empty(), "{wrong:?}");
}

fn status_packages(path: &Path) -> Vec<Package> {
    let text = std::fs::read_to_string(path).expect("status");
    let mut out = Vec::new();
    for stanza in text.split("\n\n") {
        let field = |name: &str| {
            stanza.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':')).map(|v| v.trim().to_owned())
        };
        let (Some(name), Some(version)) = (field("Package"), field("Version")) else { continue };
        let mut package = Package::new(PackageKind::Deb, name.clone(), version.clone());
        let source = field("Source").unwrap_or_else(|| name.clone());
        let (source, source_version) = match source.split_once(" (") {
            Some((s, v)) => (s.to_owned(), v.trim_end_matches(')').to_owned()),
            None => (source, version),
        };
        package.source = Some(SourcePackage { name: source, version: source_version });
        out.push(package);
    }
    out
}

#[test]
fn the_debian_case_is_found_exactly() {
    let Some(folder) = shared("scan-truth/debian/changelog-bookworm") else { return };
    let mut update = Update::new();
    feed(&mut update, "debian", &[folder.join("feed.osv.jsonl")]);
    let bytes = update.finish();
    let db = Db::open(&bytes).expect("open");
    let packages = status_packages(&folder.join("rootfs/var/lib/dpkg/status"));
    let inventory = Inventory { distro: distro("debian", "12"), packages, ..Inventory::default() };
    let report = matching::match_inventory(&db, &inventory, &Options::default()).expect("match");
    let again = matching::match_inventory(&db, &inventory, &Options::default()).expect("match");
    assert_eq!(serde_json::to_vec(&report).expect("json"), serde_json::to_vec(&again).expect("json"));
    let found: BTreeSet<String> = report
        .findings
        .iter()
        .map(|f| format!("{} {} {} {}", f.id, f.package, f.version, f.fixed_versions.join(",")))
        .collect();
    let expected: BTreeSet<String> = lines(&folder.join("expected.jsonl"))
        .iter()
        .map(|e| {
            format!("{} {} {} {}", text(e, "cve"), text(e, "package"), text(e, "version"), text(e, "fixed"))
        })
        .collect();
    println!("expected {}, found {}", expected.len(), found.len());
    assert_eq!(expected.difference(&found).take(5).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(found.difference(&expected).take(5).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(expected.len(), 1699);
}

#[test]
fn dsa_and_dla_lists_give_the_recorded_answers_up_to_their_day() {
    let (Some(list), Some(answers)) = (
        shared("scan-truth/debian/dsa-dla-2023-04.jsonl"),
        shared("scan-truth/osv-dev-answers/source.jsonl"),
    ) else {
        return;
    };
    let mut update = Update::new();
    assert_eq!(feed(&mut update, "debian", &[list]), 8937);
    let bytes = update.finish();
    let db = Db::open(&bytes).expect("open");
    let (mut hits, mut extra) = (0, Vec::new());
    for row in lines(&answers).iter().filter(|r| text(r, "ecosystem").starts_with("Debian:")) {
        let found = matching::query(&db, text(row, "ecosystem"), text(row, "name"), text(row, "version"))
            .expect("query");
        let said: Vec<&str> = row["ids"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (id, _) in &found {
            // The list names updates (`DLA-3134-1`), OSV.dev answers may carry the base form.
            let base = id.rsplit_once('-').map_or(id.as_str(), |(b, _)| b);
            if said.contains(&id.as_str()) || said.contains(&base) {
                hits += 1;
            } else {
                extra.push(format!("{id} {row}"));
            }
        }
        for id in said.iter().filter(|id| db.by_id(id).is_ok_and(|a| !a.is_empty())) {
            assert!(found.iter().any(|(f, _)| f == id), "missed {id} {row}");
        }
    }
    println!("dsa-dla: {hits} as recorded, {} more", extra.len());
    assert!(extra.is_empty(), "{extra:?}");
    assert_eq!(hits, 4);
}

#[test]
fn alpine_security_database_is_read_whole_and_decides_by_origin() {
    let Some(folder) = shared("scan-truth/alpine/secdb-2020-06") else { return };
    let mut update = Update::new();
    feed(&mut update, "alpine", &files(&folder));
    let bytes = update.finish();
    let db = Db::open(&bytes).expect("open");
    let mut package = Package::new(PackageKind::Apk, "libssl1.1", "1.1.1c-r0");
    package.source = Some(SourcePackage { name: "openssl".into(), version: "1.1.1c-r0".into() });
    let inventory =
        Inventory { distro: distro("alpine", "3.10.2"), packages: vec![package], ..Inventory::default() };
    let report = matching::match_inventory(&db, &inventory, &Options::default()).expect("match");
    let ids: Vec<&str> = report.findings.iter().map(|f| f.id.as_str()).collect();
    assert!(ids.contains(&"CVE-2019-1547") && ids.contains(&"CVE-2019-1549"), "{ids:?}");
    let why = &report.findings[0].because[0];
    assert_eq!((why.name.as_str(), why.name_is.as_str()), ("openssl", "source package"));
}

fn trivy_db() -> Option<Vec<u8>> {
    let folder = shared("scan-truth/trivy/fixtures/db")?;
    let mut update = Update::new();
    feed(&mut update, "trivy", &files(&folder));
    Some(update.finish())
}

/// Findings of a golden as packages to judge and what must be said of them.
fn golden(name: &str) -> Option<(Inventory, BTreeSet<String>)> {
    let path = shared(&format!("scan-truth/trivy/goldens/{name}.json.golden"))?;
    let value: Value = serde_json::from_slice(&std::fs::read(path).expect("golden")).expect("json");
    let os = &value["Metadata"]["OS"];
    let mut inventory = Inventory::default();
    if os.is_object() {
        inventory.distro = distro(text(os, "Family"), text(os, "Name"));
    }
    let mut expected = BTreeSet::new();
    for result in value["Results"].as_array().into_iter().flatten() {
        for v in result["Vulnerabilities"].as_array().into_iter().flatten() {
            let Ok(purl) = vuln::Purl::parse(text(&v["PkgIdentifier"], "PURL")) else { continue };
            let mut package = purl.to_package();
            text(v, "InstalledVersion").clone_into(&mut package.version);
            // The source name is in the package id only; Debian's fixture names it.
            package.source = match text(v, "PkgName") {
                "libcrypto1.1" | "libssl1.1" => Some("openssl"),
                "libidn2-0" => Some("libidn2"),
                _ => None,
            }
            .map(|s| SourcePackage { name: s.into(), version: package.version.clone() });
            package.supplier = None;
            let status = text(v, "Status");
            expected.insert(format!(
                "{} {} {} {status} {}",
                text(v, "VulnerabilityID"),
                text(v, "PkgName").to_ascii_lowercase(),
                text(v, "InstalledVersion"),
                text(v, "Severity").to_ascii_lowercase()
            ));
            inventory.packages.push(package);
        }
    }
    inventory.packages.sort();
    inventory.packages.dedup();
    Some((inventory, expected))
}

#[test]
fn trivys_fixture_database_gives_trivys_own_findings() {
    let Some(bytes) = trivy_db() else { return };
    let db = Db::open(&bytes).expect("open");
    let mut checked = 0;
    for name in [
        "alpine-310",
        "centos-7",
        "composer.vendor",
        "debian-buster",
        "dotnet",
        "fluentd-multiple-lockfiles",
        "gomod",
        "npm",
        "pip",
    ] {
        let Some((inventory, expected)) = golden(name) else { return };
        let report = matching::match_inventory(&db, &inventory, &Options::default()).expect("match");
        let found: BTreeSet<String> = report
            .counting()
            .map(|f| {
                format!(
                    "{} {} {} {} {}",
                    f.id,
                    f.package.to_ascii_lowercase(),
                    f.version,
                    f.status.name(),
                    f.severity
                )
            })
            .collect();
        assert_eq!(found, expected, "{name}");
        checked += expected.len();
    }
    println!("{checked} findings as Trivy");
    assert!(checked >= 18, "{checked}");
}

#[test]
fn every_vex_document_of_the_hub_is_read_and_excuses_with_its_reason() {
    let Some(folder) = shared("scan-truth/vex/vexhub") else { return };
    let mut statements = 0;
    let mut excused = None;
    for path in files(&folder) {
        let name = path.to_string_lossy().into_owned();
        if name.ends_with("manifest.json") || !name.ends_with(".json") {
            continue;
        }
        let document = VexDocument::parse(&name, &std::fs::read(&path).expect("file")).expect("vex");
        statements += document.statements.len();
        if name.contains("helm-set-status") {
            excused = Some(document);
        }
    }
    println!("{statements} statements");
    assert!(statements > 0);
    let Some(document) = excused else { return };
    let mut update = Update::new();
    let mut draft = FeedDraft::new("x", "x", "2026-11-21T00:00:00Z");
    let record = br#"{"id":"GO-1","modified":"2026-01-01T00:00:00Z","aliases":["CVE-2025-15558"],"affected":[{"package":
      {"ecosystem":"Go","name":"github.com/docker/cli"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}]}]}"#;
    draft.import("x.json", record, &ImportLimits::default()).expect("import");
    update.put(draft, ShrinkPolicy::Allow).expect("feed");
    let bytes = update.finish();
    let db = Db::open(&bytes).expect("open");
    let product = Package::new(PackageKind::Golang, "github.com/k3s-io/helm-set-status", "v0.1.0");
    let part = Package::new(PackageKind::Golang, "github.com/docker/cli", "v23.0.1+incompatible");
    let inventory = Inventory { packages: vec![part.clone(), product], ..Inventory::default() };
    let vex = [document];
    let ignore =
        IgnoreFile::parse(".trivyignore", "CVE-2025-15558 exp:2026-12-31 # accepted\n").expect("rules");
    let options = Options { vex: &vex, ignore: Some(&ignore), today: "2026-11-21", ..Options::default() };
    let report = matching::match_inventory(&db, &inventory, &options).expect("match");
    assert_eq!(report.findings.len(), 1);
    let kinds: Vec<_> = report.findings[0].suppressed.iter().map(|s| s.kind).collect();
    assert_eq!(kinds, [SuppressionKind::Vex, SuppressionKind::Ignore]);
    assert_eq!(report.all().total(), 0);
    let late = Options { today: "2027-01-01", vex: &[], ..options };
    assert_eq!(matching::match_inventory(&db, &inventory, &late).expect("match").all().total(), 1);
}

#[test]
fn red_hats_own_vex_document_and_cisas_catalogue_are_read() {
    let (Some(csaf), Some(kev)) = (shared("scan-truth/claircore/csaf-vex"), shared("scan-truth/kev")) else {
        return;
    };
    let mut update = Update::new();
    feed(&mut update, "redhat", &files(&csaf));
    feed(&mut update, "kev", &files(&kev));
    let bytes = update.finish();
    let db = Db::open(&bytes).expect("open");
    let judge = |name: &str, version: &str, release: &str| {
        let mut package = Package::new(PackageKind::Rpm, name, version);
        package.arch = Some("x86_64".into());
        let inventory =
            Inventory { distro: distro("rhel", release), packages: vec![package], ..Inventory::default() };
        matching::match_inventory(&db, &inventory, &Options::default()).expect("match").findings
    };
    let old = judge("libcurl", "7.76.1-26.el9_3.1", "9.3");
    assert_eq!((old.len(), old[0].fixed_versions.as_slice()), (1, &["7.76.1-26.el9_3.2".to_owned()][..]));
    assert_eq!(old[0].severity, vuln::Severity::High);
    assert!(judge("libcurl", "7.76.1-26.el9_3.2", "9.3").is_empty());
    assert!(judge("curl", "7.61.1-30.el8", "8.9").is_empty());
    assert!(db.kev("CVE-2025-48384").expect("kev").is_some_and(|k| k.added == "2025-08-25"));
    assert!(db.epss("CVE-2025-62593").expect("epss").is_some_and(|(p, _)| p > 0.0));
}

#[test]
fn one_feed_is_replaced_alone_and_an_absurd_loss_is_refused() {
    let make = |count: usize, fixed: &str| {
        let mut draft = FeedDraft::new("a", "a", "2026-11-21T00:00:00Z");
        for n in 0..count {
            let record = format!(
                r#"{{"id":"X-{n}","modified":"2026-01-01T00:00:00Z","affected":[{{"package":{{"ecosystem":"npm","name":"p{n}"}},
                "ranges":[{{"type":"SEMVER","events":[{{"introduced":"0"}},{{"fixed":"{}"}}]}}]}}]}}"#,
                if n == 3 { fixed } else { "1.0.0" }
            );
            draft.import("x.json", record.as_bytes(), &ImportLimits::default()).expect("import");
        }
        draft
    };
    let mut update = Update::new();
    update.put(make(100, "1.0.0"), ShrinkPolicy::Refuse).expect("first");
    let first = update.finish();
    let db = Db::open(&first).expect("open");
    let mut next = Update::of(&db);
    assert!(next.put(make(60, "1.0.0"), ShrinkPolicy::Refuse).is_err());
    assert!(next.put(FeedDraft::new("a", "a", ""), ShrinkPolicy::Refuse).is_err());
    next.put(make(100, "2.0.0"), ShrinkPolicy::Refuse).expect("same size");
    let second = next.finish();
    let newer = Db::open(&second).expect("open");
    assert_eq!(newer.generation(), db.generation() + 1);
    let changed = vuln::db::changed_packages(db.feed_segment("a").as_ref(), newer.feed_segment("a").as_ref())
        .expect("delta");
    let names: Vec<&str> = changed.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["p3"]);
    let mut damaged = second.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    assert!(Db::open(&damaged).and_then(|d| d.verify()).is_err());
    for cut in (0..second.len()).step_by(37) {
        if let Ok(db) = Db::open(&second[..cut]) {
            let _ = matching::query(&db, "npm", "p3", "0.1.0");
        }
    }
}
