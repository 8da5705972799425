//! Harbor's scanner report of our own findings: read back it says the same, and never does it look clean without cause.

use oci::Digest;
use vuln::advisory::import::ImportLimits;
use vuln::db::{Db, FeedDraft, ShrinkPolicy, Update};
use vuln::foreign::{Excuses, Limits, Rule, Voice, combine, own, read};
use vuln::matching::{IgnoreFile, Options, match_inventory};
use vuln::report::harbor::{self, Artifact, NotJudged, Scanner};
use vuln::report::{ScanReport, Target, sarif};
use vuln::sbom::{Document, Subject, SubjectKind};
use vuln::{Distro, Inventory, Package, PackageKind, Problem, SourcePackage};

const FEED: &str = r#"
{"id":"DSA-1-1","modified":"2026-01-01T00:00:00Z","upstream":["CVE-2026-0001"],"summary":"overflow","severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"},{"type":"CVSS_V2","score":"AV:N/AC:L/Au:N/C:P/I:P/A:P"}],"affected":[{"package":{"ecosystem":"Debian:12","name":"openssl"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"3.0.15-1"}]}]}]}
{"id":"GHSA-aaaa-bbbb-cccc","modified":"2026-01-01T00:00:00Z","aliases":["CVE-2026-0003"],"summary":"jndi","database_specific":{"severity":"MODERATE"},"affected":[{"package":{"ecosystem":"Maven","name":"org.example:core"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"1.3.0"}]}]}]}
{"id":"GHSA-gggg-hhhh-jjjj","modified":"2026-01-01T00:00:00Z","aliases":["CVE-2026-0005"],"summary":"ignored","database_specific":{"severity":"CRITICAL"},"affected":[{"package":{"ecosystem":"npm","name":"@s/pad"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"last_affected":"1.2.0"}]}]}]}
"#;

fn inventory() -> Inventory {
    let mut ssl = Package::new(PackageKind::Deb, "libssl3", "3.0.11-1");
    ssl.source = Some(SourcePackage { name: "openssl".into(), version: "3.0.11-1".into() });
    let mut core = Package::new(PackageKind::Maven, "core", "1.2.0");
    core.namespace = Some("org.example".into());
    let mut pad = Package::new(PackageKind::Npm, "pad", "1.2.0");
    pad.namespace = Some("s".into());
    let distro = Distro { id: "debian".into(), version_id: "12".into(), ..Distro::default() };
    Inventory { distro: Some(distro), packages: vec![ssl, core, pad], ..Inventory::default() }
}

fn scan() -> ScanReport {
    let mut draft = FeedDraft::new("mixed", "mixed.jsonl", "2026-01-01T00:00:00Z");
    let stats = draft.import("mixed.jsonl", FEED.as_bytes(), &ImportLimits::default()).expect("feed");
    assert_eq!(stats.refused, 0, "{:?}", stats.refusals);
    let mut update = Update::new();
    update.put(draft, ShrinkPolicy::Allow).expect("put");
    let bytes = update.finish();
    let db = Db::open(&bytes).expect("database");
    let ignore = IgnoreFile::parse(".trivyignore", "CVE-2026-0005\n").expect("rules");
    let inventory = inventory();
    let options = Options { ignore: Some(&ignore), today: "2026-02-01", ..Options::default() };
    let found = match_inventory(&db, &inventory, &options).expect("matched");
    ScanReport {
        target: Target {
            name: "shop/app".into(),
            digest: Some(Digest::sha256(b"manifest")),
            distro: inventory.distro,
            packages: 3,
            ..Target::default()
        },
        created: "2026-02-01T00:00:00Z".into(),
        vulnerabilities: Some(found),
        ..ScanReport::default()
    }
}

fn artifact() -> Artifact {
    Artifact {
        repository: "shop/app".into(),
        digest: Digest::sha256(b"manifest").to_string(),
        tag: "1.0".into(),
        mime_type: "application/vnd.oci.image.manifest.v1+json".into(),
    }
}

fn now() -> jiff::Timestamp {
    "2026-03-01T00:00:00Z".parse().expect("time")
}

#[test]
fn findings_that_count_are_written_as_harbor_reads_them() {
    let report = harbor::report(&scan(), artifact(), now()).expect("a report");
    let value = serde_json::to_value(&report).expect("JSON");
    assert_eq!(value["generated_at"], "2026-02-01T00:00:00Z");
    assert_eq!(value["severity"], "Critical");
    let ids: Vec<&str> = report.vulnerabilities.iter().map(|v| v.id.as_str()).collect();
    assert_eq!(ids, ["CVE-2026-0001", "CVE-2026-0003"], "what is ignored does not count");
    let first = &value["vulnerabilities"][0];
    assert_eq!(first["package"], "libssl3");
    assert_eq!(first["fix_version"], "3.0.15-1");
    assert_eq!(first["status"], "fixed");
    assert_eq!(first["preferred_cvss"]["score_v3"], 9.8);
    assert_eq!(first["preferred_cvss"]["score_v2"], 7.5);
    assert_eq!(first["vendor_attributes"]["CVSS"]["mixed"]["V3Score"], 9.8);
    assert_eq!(first["links"][0], "https://nvd.nist.gov/vuln/detail/CVE-2026-0001");
    assert_eq!(value["vulnerabilities"][1]["severity"], "Medium");
}

#[test]
fn a_report_that_would_look_clean_without_being_so_is_refused() {
    let looked_at_nothing = ScanReport { vulnerabilities: None, ..scan() };
    assert_eq!(harbor::report(&looked_at_nothing, artifact(), now()), Err(NotJudged::NotLooked));
    let problem = Problem { source: "java".into(), path: "a.jar".into(), message: "cut off".into() };
    let mut unread = scan();
    unread.problems.push(problem);
    assert!(harbor::report(&unread, artifact(), now()).is_ok(), "what was found is told");
    unread.vulnerabilities.as_mut().expect("judged").findings.clear();
    let refused = harbor::report(&unread, artifact(), now());
    assert_eq!(refused, Err(NotJudged::Incomplete("java a.jar: cut off".into())));
    unread.problems.clear();
    let clean = harbor::report(&unread, artifact(), now()).expect("clean");
    assert_eq!((clean.severity.as_str(), clean.vulnerabilities.len()), ("Unknown", 0));
}

#[test]
fn our_own_findings_written_and_read_back_are_the_same_findings() {
    let scan = scan();
    let mine = own(&scan, &Limits::default()).expect("own");
    assert_eq!(mine.findings.len(), 3);
    let purls: Vec<&str> = mine.findings.iter().filter_map(|f| f.purl.as_deref()).collect();
    assert_eq!(
        purls,
        [
            "pkg:npm/%40s/pad@1.2.0",
            "pkg:deb/debian/libssl3@3.0.11-1?distro=debian-12&upstream=openssl",
            "pkg:maven/org.example/core@1.2.0"
        ]
    );
    let document = Document::new(
        Subject {
            kind: SubjectKind::Container,
            name: "shop/app".into(),
            version: None,
            digest: scan.target.digest,
        },
        None,
        inventory(),
    );
    let harbor =
        serde_json::to_vec(&harbor::report(&scan, artifact(), now()).expect("report")).expect("JSON");
    let vdr = vuln::report::vdr(&document, &scan).expect("VDR");
    for (form, bytes) in [("sarif", sarif(&scan).expect("SARIF")), ("harbor", harbor), ("vdr", vdr)] {
        let back = read(&bytes, &Limits::default()).expect(form).remove(0);
        assert_eq!(back.digests, [Digest::sha256(b"manifest")], "{form}");
        let voices = [Voice { by: "own", said: Ok(&mine) }, Voice { by: form, said: Ok(&back) }];
        let both = combine(&voices, &Rule::Intersection, &Excuses::default());
        assert_eq!(both.findings.len(), 2, "{form}: {both:#?}");
        assert!(both.beside.iter().all(|f| f.id == "CVE-2026-0005"), "{form}: {:#?}", both.beside);
        for finding in &both.findings {
            assert!(finding.said.iter().all(|said| said.fixed_versions == finding.fixed_versions), "{form}");
            assert!(
                finding.said.iter().all(|said| said.severity == finding.severity),
                "{form}: {finding:#?}"
            );
        }
        let combined: Vec<_> = both.findings.iter().map(harbor::combined).collect();
        let report = harbor::assemble(Scanner::bonded(), artifact(), now(), combined);
        assert_eq!((report.severity.as_str(), report.vulnerabilities.len()), ("Critical", 2));
        assert_eq!(report.vulnerabilities[0].vendor_attributes["bonded"]["said"][1]["by"], form);
    }
}

#[test]
fn an_sbom_report_holds_the_form_that_was_asked_for() {
    let subject =
        Subject { kind: SubjectKind::Container, name: "shop/app".into(), version: None, digest: None };
    let document = Document::new(subject, None, inventory());
    for (media_type, key) in
        [("application/spdx+json", "spdxVersion"), ("application/vnd.cyclonedx+json", "bomFormat")]
    {
        let report =
            harbor::sbom_report(&document, media_type, artifact(), now()).expect("written").expect("known");
        assert_eq!(report.media_type, media_type);
        assert!(report.sbom.get(key).is_some(), "{media_type}");
    }
    assert!(harbor::sbom_report(&document, "text/spdx", artifact(), now()).expect("written").is_none());
}
