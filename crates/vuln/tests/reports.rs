//! The five forms of one report as they were published (`tests/snapshots`), and valid by what reads them.
//!
//! A changed form is a changed interface: `INSTA_UPDATE=always` writes the snapshots anew, the difference is for review.

use oci::Digest;
use vuln::advisory::import::ImportLimits;
use vuln::db::{Db, FeedDraft, ShrinkPolicy, StaleFeed, Update};
use vuln::matching::{Behind, IgnoreFile, Options, Outdated, OutdatedFinding, VexDocument, match_inventory};
use vuln::report::{self, MalwareFinding, ScanReport, Target};
use vuln::sbom::{Document, Limits, SourceForm, Strictness, Subject, SubjectKind, read};
use vuln::secrets::SecretRules;
use vuln::{Distro, Evidence, Inventory, Package, PackageKind, Problem, Severity, SourcePackage, misconfig};

const FEED: &str = r#"
{"id":"DSA-1-1","modified":"2026-01-01T00:00:00Z","upstream":["CVE-2026-0001"],"summary":"openssl <b>overflow</b> & more","severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],"affected":[{"package":{"ecosystem":"Debian:12","name":"openssl"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"3.0.15-1"}]}]}]}
{"id":"DEBIAN-CVE-2026-0002","modified":"2026-01-01T00:00:00Z","upstream":["CVE-2026-0002"],"summary":"no repair yet","affected":[{"package":{"ecosystem":"Debian:12","name":"openssl"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"}]}],"ecosystem_specific":{"urgency":"low"}}]}
{"id":"GHSA-aaaa-bbbb-cccc","modified":"2026-01-01T00:00:00Z","aliases":["CVE-2026-0003"],"summary":"prototype pollution in left-pad, said at such length that a cell of a table cannot hold it","database_specific":{"severity":"HIGH"},"affected":[{"package":{"ecosystem":"npm","name":"left-pad"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.3.0"}]}]}]}
{"id":"GHSA-dddd-eeee-ffff","modified":"2026-01-01T00:00:00Z","aliases":["CVE-2026-0004"],"summary":"excused by VEX","database_specific":{"severity":"CRITICAL"},"affected":[{"package":{"ecosystem":"npm","name":"left-pad"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"2.0.0"}]}]}]}
{"id":"GHSA-gggg-hhhh-jjjj","modified":"2026-01-01T00:00:00Z","aliases":["CVE-2026-0005"],"summary":"ignored by rule","database_specific":{"severity":"MODERATE"},"affected":[{"package":{"ecosystem":"npm","name":"left-pad"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"last_affected":"1.2.0"}]}]}]}
"#;

const VEX: &str = r#"{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://example.org/vex/1","author":"Example","timestamp":"2026-01-02T00:00:00Z","version":1,
"statements":[{"vulnerability":{"name":"CVE-2026-0004"},"products":[{"@id":"pkg:npm/left-pad@1.2.0"}],"status":"not_affected","justification":"vulnerable_code_not_in_execute_path"}]}"#;

fn document() -> Document {
    let layer = Digest::sha256(b"layer");
    let at = |path: &str| vec![Evidence { layer: Some(layer), path: path.into() }];
    let mut ssl = Package::new(PackageKind::Deb, "libssl3", "3.0.11-1");
    ssl.arch = Some("amd64".into());
    ssl.source = Some(SourcePackage { name: "openssl".into(), version: "3.0.11-1".into() });
    ssl.evidence = at("var/lib/dpkg/status");
    let mut pad = Package::new(PackageKind::Npm, "left-pad", "1.2.0");
    pad.licenses = vec!["AGPL-3.0-only".into()];
    pad.evidence = at("app/node_modules/left pad/package.json");
    let problem = Problem {
        source: "java".into(),
        path: "app/broken.jar".into(),
        message: "no end of the central directory".into(),
    };
    let distro = Distro { id: "debian".into(), version_id: "12".into(), ..Distro::default() };
    let inventory = Inventory {
        distro: Some(distro),
        packages: vec![ssl, pad],
        problems: vec![problem],
        ..Inventory::default()
    };
    let subject = Subject {
        kind: SubjectKind::Container,
        name: "example.org/shop/app".into(),
        version: Some("1.0".into()),
        digest: Some(Digest::sha256(b"manifest")),
    };
    Document::new(subject, "2026-01-03T04:05:06Z".parse().ok(), inventory)
}

fn whole() -> (Document, ScanReport) {
    let document = document();
    let mut draft = FeedDraft::new("mixed", "mixed.jsonl", "2026-01-01T00:00:00Z");
    let stats = draft.import("mixed.jsonl", FEED.as_bytes(), &ImportLimits::default()).expect("feed");
    assert_eq!(stats.refused, 0, "{:?}", stats.refusals);
    let mut update = Update::new();
    update.put(draft, ShrinkPolicy::Refuse).expect("taken");
    let bytes = update.finish();
    let db = Db::open(&bytes).expect("database");
    let vex = [VexDocument::parse("vex.json", VEX.as_bytes()).expect("VEX")];
    let ignore = IgnoreFile::parse(".bondedignore", "CVE-2026-0005\n").expect("rules");
    let options = Options { vex: &vex, ignore: Some(&ignore), products: &[], today: "2026-01-03" };
    let found = match_inventory(&db, &document.inventory, &options).expect("matched");
    let key = format!("aws_key = AKIA{}\n", "QYLPMN5HHHFPZAM2");
    let rules = SecretRules::embedded().expect("rules");
    let inventory = &document.inventory;
    let report = ScanReport {
        target: Target {
            name: document.subject.name.clone(),
            version: document.subject.version.clone(),
            digest: document.subject.digest,
            distro: inventory.distro.clone(),
            packages: inventory.packages.len(),
        },
        created: "2026-01-03T04:05:06Z".into(),
        end_of_life: Some("2025-12-31".into()),
        vulnerabilities: Some(found),
        secrets: Some(rules.scan("app/settings.conf", key.as_bytes())),
        misconfigurations: misconfig::check_file("Dockerfile", b"FROM debian:12\nRUN sudo make\nUSER app\n"),
        licenses: Some(report::license_findings(inventory)),
        malware: Some(vec![MalwareFinding {
            path: "usr/bin/miner".into(),
            digest: Digest::sha256(b"miner"),
            name: "Miner".into(),
            layer: Some(Digest::sha256(b"layer")),
            suppressed: Vec::new(),
        }]),
        outdated: Some(Outdated {
            judged: 1,
            unknown: 0,
            findings: vec![OutdatedFinding {
                package: "left-pad".into(),
                kind: PackageKind::Npm,
                version: "1.2.0".into(),
                newest: "1.3.0".into(),
                behind: Behind::Minor,
                severity: Severity::Negligible,
                path: "app/node_modules/left pad/package.json".into(),
            }],
        }),
        base: None,
        stale_feeds: vec![StaleFeed {
            name: "mixed".into(),
            imported_at: "2026-01-01T00:00:00Z".into(),
            age_hours: Some(300),
        }],
        problems: inventory.problems.clone(),
    };
    (document, report)
}

#[test]
fn every_form_of_a_report_is_as_published() {
    let (document, report) = whole();
    assert!(report.is_incomplete());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    insta::assert_snapshot!("table", report::table(&report, false));
    insta::assert_snapshot!("table_suppressed", report::table(&report, true));
    insta::assert_snapshot!("json", text(report::json(&report).expect("JSON")));
    insta::assert_snapshot!("sarif", text(report::sarif(&report).expect("SARIF")));
    insta::assert_snapshot!("junit", text(report::junit(&report).expect("JUnit")));
    insta::assert_snapshot!("cyclonedx", text(report::vdr(&document, &report).expect("VDR")));
}

#[test]
fn the_disclosure_report_is_valid_and_is_read_back() {
    let (document, report) = whole();
    let bytes = report::vdr(&document, &report).expect("VDR");
    let reading = read(&bytes, Strictness::Strict, &Limits::default()).expect("valid by the official schema");
    assert!(matches!(reading.form, SourceForm::CycloneDxJson(_)));
    assert_eq!(reading.document.inventory.packages.len(), 2);
    let bom: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    let refs: Vec<&str> = bom["components"]
        .as_array()
        .expect("components")
        .iter()
        .filter_map(|component| component["bom-ref"].as_str())
        .collect();
    let vulnerabilities = bom["vulnerabilities"].as_array().expect("vulnerabilities");
    assert_eq!(vulnerabilities.len(), 5);
    for vulnerability in vulnerabilities {
        let affects = vulnerability["affects"].as_array().expect("affects");
        assert!(!affects.is_empty(), "{vulnerability}");
        assert!(affects.iter().all(|entry| refs.contains(&entry["ref"].as_str().unwrap_or_default())));
    }
}

#[test]
fn a_json_report_is_read_back_whole() {
    let (_, report) = whole();
    let bytes = report::json(&report).expect("JSON");
    assert_eq!(serde_json::from_slice::<ScanReport>(&bytes).expect("report"), report);
}

#[test]
fn counts_of_junit_are_those_of_its_cases() {
    let (_, report) = whole();
    let text = String::from_utf8(report::junit(&report).expect("JUnit")).expect("UTF-8");
    let count = |what: &str| text.matches(what).count();
    let rows = report.rows();
    let excused = rows.iter().filter(|row| row.suppressed.is_some()).count();
    assert_eq!(
        (count("<testcase "), count("<skipped "), count("<failure ")),
        (rows.len(), excused, rows.len() - excused)
    );
    assert!(text.contains(&format!(
        r#"tests="{}" failures="{}" skipped="{excused}""#,
        rows.len(),
        rows.len() - excused
    )));
}
