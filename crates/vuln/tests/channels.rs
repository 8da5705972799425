//! Channels of a distribution that build on each other, and what no feed speaks of.

use serde_json::{Value, json};
use vuln::advisory::import::ImportLimits;
use vuln::db::{Db, FeedDraft, ShrinkPolicy, Update};
use vuln::matching::{Options, Report, match_inventory};
use vuln::{Distro, Inventory, Package, PackageKind, SourcePackage};

fn database(advisories: &[Value]) -> Vec<u8> {
    let lines: Vec<String> = advisories.iter().map(Value::to_string).collect();
    let mut draft = FeedDraft::new("feed", "feed", "2026-11-01T00:00:00Z");
    let text = lines.join("\n");
    draft.import("feed.jsonl", text.as_bytes(), &ImportLimits::default()).expect("imported");
    let mut update = Update::new();
    update.put(draft, ShrinkPolicy::Allow).expect("taken");
    update.finish()
}

/// A record in the form of Canonical's OSV data.
fn ubuntu(id: &str, upstream: &[&str], affected: &[(&str, &str, Option<&str>)]) -> Value {
    let affected = affected.iter().map(|(ecosystem, name, fixed)| {
        let mut events = vec![json!({ "introduced": "0" })];
        events.extend(fixed.map(|fixed| json!({ "fixed": fixed })));
        json!({ "package": { "ecosystem": ecosystem, "name": name },
                "ranges": [{ "type": "ECOSYSTEM", "events": events }] })
    });
    json!({ "id": id, "modified": "2026-01-01T00:00:00Z", "upstream": upstream,
            "affected": affected.collect::<Vec<_>>() })
}

fn deb(name: &str, version: &str, source: &str) -> Package {
    let source = SourcePackage { name: source.to_owned(), version: version.to_owned() };
    Package { source: Some(source), ..Package::new(PackageKind::Deb, name, version) }
}

fn scan(db: &[u8], distro: (&str, &str), packages: Vec<Package>) -> Report {
    let distro = Distro { id: distro.0.into(), version_id: distro.1.into(), ..Distro::default() };
    let inventory = Inventory { distro: Some(distro), packages, ..Inventory::default() };
    match_inventory(&Db::open(db).expect("database"), &inventory, &Options::default()).expect("judged")
}

fn counting(report: &Report) -> Vec<(&str, &str, Vec<&str>)> {
    report
        .counting()
        .map(|f| (f.package.as_str(), f.id.as_str(), f.fixed_versions.iter().map(String::as_str).collect()))
        .collect()
}

#[test]
fn what_is_repaired_only_in_extended_maintenance_is_not_repaired_without_it() {
    let db = database(&[
        ubuntu(
            "UBUNTU-CVE-2024-0001",
            &["CVE-2024-0001"],
            &[("Ubuntu:Pro:18.04:LTS", "pam", Some("1.1.8-3.6ubuntu2.18.04.6+esm1"))],
        ),
        ubuntu(
            "UBUNTU-CVE-2022-0002",
            &["CVE-2022-0002"],
            &[("Ubuntu:18.04:LTS", "pam", Some("1.1.8-3.6ubuntu2.18.04.3"))],
        ),
    ]);
    let with = |version: &str| {
        scan(&db, ("ubuntu", "18.04"), vec![deb("libpam0g", version, "pam"), deb("libpam-runtime", "1", "x")])
    };
    let old = with("1.1.8-3.6ubuntu2.18.04.6");
    assert_eq!(
        counting(&old),
        [("libpam0g", "CVE-2024-0001", vec!["1.1.8-3.6ubuntu2.18.04.6+esm1"])],
        "{old:#?}"
    );
    assert_eq!(old.findings[0].needs(), Some("Ubuntu Pro"));
    assert_eq!(old.findings[0].because[0].ecosystem, "Ubuntu:Pro:18.04");
    let older = with("1.1.8-3.6ubuntu2");
    assert_eq!(counting(&older).len(), 2);
    assert_eq!(older.findings[0].needs(), None, "that one is in the plain release");
    assert_eq!(counting(&with("1.1.8-3.6ubuntu2.18.04.6+esm1")), []);
    assert_eq!(old.problems, []);
}

#[test]
fn a_repair_of_extended_maintenance_answers_for_the_plain_release() {
    // The plain release has none and is listed as affected without end.
    let db = database(&[
        ubuntu(
            "UBUNTU-CVE-2024-0003",
            &["CVE-2024-0003"],
            &[
                ("Ubuntu:22.04:LTS", "ffmpeg", None),
                ("Ubuntu:Pro:22.04:LTS", "ffmpeg", Some("7:4.4.2-0ubuntu0.22.04.1+esm2")),
            ],
        ),
        ubuntu("UBUNTU-CVE-2024-0004", &["CVE-2024-0004"], &[("Ubuntu:22.04:LTS", "ffmpeg", None)]),
        // The notice of the repair names the records, not the vulnerabilities.
        ubuntu(
            "USN-7000-1",
            &["UBUNTU-CVE-2024-0003", "UBUNTU-CVE-2024-0005"],
            &[("Ubuntu:Pro:22.04:LTS", "ffmpeg", Some("7:4.4.2-0ubuntu0.22.04.1+esm2"))],
        ),
    ]);
    let with = |version: &str| scan(&db, ("ubuntu", "22.04"), vec![deb("libavcodec58", version, "ffmpeg")]);
    let repaired = vec!["7:4.4.2-0ubuntu0.22.04.1+esm2"];
    assert_eq!(
        counting(&with("7:4.4.2-0ubuntu0.22.04.1")),
        [
            ("libavcodec58", "CVE-2024-0003", repaired.clone()),
            ("libavcodec58", "CVE-2024-0004", vec![]),
            ("libavcodec58", "CVE-2024-0005", repaired),
        ]
    );
    assert_eq!(
        counting(&with("7:4.4.2-0ubuntu0.22.04.1+esm2")),
        [("libavcodec58", "CVE-2024-0004", vec![])],
        "what extended maintenance has repaired is repaired"
    );
}

#[test]
fn builds_of_another_kind_mean_only_packages_of_that_kind() {
    let affected = [
        ("Ubuntu:Pro:FIPS-updates:20.04:LTS", "openssl", Some("1.1.1f-1ubuntu2.fips.22")),
        ("Ubuntu:Pro:20.04:LTS:Realtime:Kernel", "linux-realtime", Some("5.15.0-1050.56")),
        ("Ubuntu:20.04:LTS:for:NVIDIA:BlueField", "openssl", Some("9")),
    ];
    let db = database(&[
        ubuntu("UBUNTU-CVE-2024-0006", &["CVE-2024-0006"], &affected),
        ubuntu("UBUNTU-CVE-2024-0007", &["CVE-2024-0007"], &[("Ubuntu:20.04:LTS", "other", None)]),
    ]);
    let with = |name: &str, version: &str, source: &str| {
        counting(&scan(&db, ("ubuntu", "20.04"), vec![deb(name, version, source)])).len()
    };
    assert_eq!(with("libssl1.1", "1.1.1f-1ubuntu2.16", "openssl"), 0, "not of that build");
    assert_eq!(with("libssl1.1", "1.1.1f-1ubuntu2.fips.7", "openssl"), 1);
    assert_eq!(with("libssl1.1", "1.1.1f-1ubuntu2.fips.22", "openssl"), 0);
    assert_eq!(with("linux-image-5.15.0-1040-realtime", "5.15.0-1040.45", "linux-realtime"), 1);
    assert_eq!(with("linux-image-5.15.0-1040-generic", "5.15.0-1040.45", "linux"), 0);
}

#[test]
fn a_release_mixed_with_edge_is_looked_up_in_both() {
    let record = |ecosystem: &str, id: &str| ubuntu(id, &[], &[(ecosystem, "curl", Some("8.20.0-r0"))]);
    let apk = || vec![Package::new(PackageKind::Apk, "curl", "8.10.0-r0")];
    let scan = |feeds: &[Value], channel: Option<&str>| {
        let distro = Distro {
            id: "alpine".into(),
            version_id: "3.20.1".into(),
            channel: channel.map(str::to_owned),
            ..Distro::default()
        };
        let inventory = Inventory { distro: Some(distro), packages: apk(), ..Inventory::default() };
        let db = database(feeds);
        match_inventory(&Db::open(&db).expect("database"), &inventory, &Options::default()).expect("judged")
    };
    let both = [record("Alpine:v3.20", "CVE-2026-1111"), record("Alpine:edge", "CVE-2026-2222")];
    assert_eq!(counting(&scan(&both, Some("edge"))).len(), 2);
    assert_eq!(counting(&scan(&both, None)).len(), 1);
    let edge = scan(&both[1..], Some("edge"));
    assert_eq!(edge.problems.len(), 1, "edge says nothing of the release: {:?}", edge.problems);
}

#[test]
fn packages_that_no_feed_speaks_of_are_a_problem_and_never_clean() {
    let db = database(&[ubuntu("CVE-2026-3333", &[], &[("Debian:12", "glibc", None)])]);
    let packages = vec![
        deb("libc6", "2.36-9", "glibc"),
        Package::new(PackageKind::Npm, "left-pad", "1.0.0"),
        Package::new(PackageKind::Npm, "right-pad", "1.0.0"),
        Package::new(PackageKind::Golang, "example.org/x", "v1.0.0"),
        Package::new(PackageKind::Generic, "redis", "7.0.0"),
        Package::new(PackageKind::Github, "actions/checkout", "v4"),
        Package::new(PackageKind::Cocoapods, "AFNetworking", "4.0.0"),
    ];
    let report = scan(&db, ("debian", "12"), packages.clone());
    let said: Vec<&str> = report.problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(
        said,
        [
            "1 packages of Go cannot be judged: no feed speaks of this ecosystem",
            "2 packages of npm cannot be judged: no feed speaks of this ecosystem",
        ]
    );
    assert!(report.problems.iter().all(|problem| problem.source == "matching"));

    let inventory = Inventory { suppressed: packages[1..].to_vec(), ..Inventory::default() };
    let db = Db::open(&db).expect("database");
    let owned = match_inventory(&db, &inventory, &Options::default()).expect("judged");
    assert_eq!(owned.problems, [], "a distribution answers for what it owns");

    let arch = vec![Package::new(PackageKind::Alpm, "glibc", "2.40-1")];
    let inventory = Inventory { packages: arch, ..Inventory::default() };
    assert_eq!(match_inventory(&db, &inventory, &Options::default()).expect("judged").problems.len(), 1);
}

/// A member of a workspace is named like a package of crates.io: RUSTSEC-2025-0026 is of another `registry`.
#[test]
fn what_was_made_from_the_code_at_hand_is_not_what_a_registry_has_under_its_name() {
    let db =
        database(&[json!({ "id": "RUSTSEC-2025-0026", "modified": "2026-01-01T00:00:00Z", "affected": [{
        "package": { "ecosystem": "crates.io", "name": "registry" },
        "ranges": [{ "type": "SEMVER", "events": [{ "introduced": "0.0.0-0" }] }] }] })]);
    let from = |source: Option<&str>| {
        let mut package = Package::new(PackageKind::Cargo, "registry", "0.1.0");
        package.properties.extend(source.map(|source| ("source".to_owned(), source.to_owned())));
        scan(&db, ("debian", "12"), vec![package]).findings.len()
    };
    let sources = [None, Some("git+https://example.org/registry"), Some("local")];
    assert_eq!(sources.map(from), [1, 1, 0]);
}
