//! What other scanners write is read as they mean it: each form of one story (`fixtures/foreign`), what is no report,
//! and what is bounded.

use proptest::prelude::*;
use vuln::Severity;
use vuln::advisory::Status;
use vuln::foreign::{ForeignError, Form, Limits, ScannerFinding, ScannerReport, read};

const SSL: &str = "pkg:deb/debian/libssl3@3.0.11-1~deb12u2";

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/foreign/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).expect(&path)
}

fn one(bytes: &[u8]) -> ScannerReport {
    let mut reports = read(bytes, &Limits::default()).expect("a report");
    assert_eq!(reports.len(), 1);
    reports.remove(0)
}

fn refused(text: &str) -> ForeignError {
    read(text.as_bytes(), &Limits::default()).expect_err(text)
}

fn named<'r>(report: &'r ScannerReport, name: &str) -> &'r ScannerFinding {
    let mut found =
        report.findings.iter().filter(|f| f.id == name || f.aliases.iter().any(|alias| alias == name));
    let first = found.next().expect(name);
    assert!(found.next().is_none(), "{name} once");
    first
}

/// Every form of the story says this of the flaw in OpenSSL.
fn tells_of_openssl(report: &ScannerReport, with_purl: bool) {
    assert_eq!(report.problems, Vec::<String>::new());
    let found = named(report, "CVE-2024-0001");
    assert_eq!((found.package.as_str(), found.version.as_str()), ("libssl3", "3.0.11-1~deb12u2"));
    assert_eq!(found.fixed_versions, ["3.0.13-1~deb12u1"]);
    assert_eq!(found.status, Status::Fixed);
    assert!(found.severity >= Severity::High, "{:?}", found.severity);
    assert!(found.counts());
    assert!(found.ratings.iter().any(|rating| rating.score == Some(9.8)), "{:?}", found.ratings);
    let purl = found.purl.as_deref().unwrap_or_default();
    assert_eq!(purl.starts_with(SSL), with_purl, "{purl}");
    assert!(found.links.iter().all(|link| link.starts_with("https://")), "{:?}", found.links);
}

fn is_about_the_image(report: &ScannerReport) {
    let digest = format!("sha256:{}", "2".repeat(64)).parse().expect("digest");
    assert_eq!(report.digests, [digest]);
    assert!(report.target.contains("shop/app"), "{}", report.target);
}

#[test]
fn trivys_json_tells_the_story() {
    let report = one(&fixture("trivy.json"));
    tells_of_openssl(&report, true);
    is_about_the_image(&report);
    assert_eq!((report.form, report.scanner.version.as_str()), (Form::Trivy, "0.66.0"));
    assert_eq!(report.created.map(|t| t.to_string()).as_deref(), Some("2026-11-20T09:00:00.123456789Z"));
    assert_eq!(report.image_id.map(|d| d.hex()), Some("1".repeat(64)));
    let ssl = named(&report, "CVE-2024-0001");
    assert_eq!((ssl.severity, ssl.severity_source.as_str()), (Severity::High, "debian"));
    assert_eq!(ssl.aliases, ["DSA-5601-1"]);
    assert_eq!(ssl.links.len(), 2, "a link that is no web address is left out: {:?}", ssl.links);
    assert_eq!(ssl.ratings.len(), 5, "three vectors and two words: {:#?}", ssl.ratings);
    assert_eq!(named(&report, "CVE-2023-0002").status, Status::WillNotFix);
    let ignored = named(&report, "CVE-2022-0003");
    assert_eq!(ignored.suppressed.as_deref(), Some("ignored: not reachable"));
    let lodash = named(&report, "CVE-2020-8203");
    assert_eq!(lodash.fixed_versions, ["4.17.19", "4.17.20"]);
    assert_eq!(lodash.paths, ["app/package-lock.json"]);
    assert_eq!(report.notes, ["1 secrets passed over"]);
}

#[test]
fn grypes_json_tells_the_story() {
    let report = one(&fixture("grype.json"));
    tells_of_openssl(&report, true);
    is_about_the_image(&report);
    assert_eq!(report.scanner.database_at.map(|t| t.to_string()).as_deref(), Some("2026-11-19T06:30:00Z"));
    assert_eq!(named(&report, "CVE-2020-8203").id, "GHSA-p6mc-m468-83gw");
    let ignored = named(&report, "CVE-2023-0002");
    assert_eq!(ignored.suppressed.as_deref(), Some("accepted by the platform team"));
    assert_eq!(ignored.status, Status::WillNotFix);
}

#[test]
fn snyks_json_tells_the_story_and_names_binary_packages() {
    let report = one(&fixture("snyk.json"));
    tells_of_openssl(&report, true);
    assert_eq!(report.findings.len(), 2, "paths to one package are one finding: {:#?}", report.findings);
    let ssl = named(&report, "CVE-2024-0001");
    assert_eq!(ssl.id, "SNYK-DEBIAN12-OPENSSL-6190223");
    assert_eq!(ssl.purl.as_deref(), Some(&*format!("{SSL}?distro=debian-12&upstream=openssl")));
    assert_eq!(ssl.paths.len(), 2, "{:?}", ssl.paths);
    assert_eq!(named(&report, "GHSA-p6mc-m468-83gw").purl.as_deref(), Some("pkg:npm/lodash@4.17.15"));
    assert_eq!(report.notes, ["1 licences passed over"]);
}

#[test]
fn sarif_of_trivy_grype_and_snyk_tells_the_story() {
    let trivy = one(&fixture("trivy.sarif"));
    tells_of_openssl(&trivy, false);
    is_about_the_image(&trivy);
    assert_eq!(trivy.notes, ["1 secrets passed over"]);
    let grype = one(&fixture("grype.sarif"));
    tells_of_openssl(&grype, true);
    assert_eq!(named(&grype, "CVE-2024-0001").id, "CVE-2024-0001");
    assert_eq!(
        grype.findings[0].aliases,
        Vec::<String>::new(),
        "a rule's name is no name of the vulnerability"
    );
    let snyk = one(&fixture("snyk.sarif"));
    let found = named(&snyk, "CVE-2024-0001");
    assert_eq!((found.package.as_str(), found.version.as_str()), ("libssl3", "3.0.11-1~deb12u2"));
}

#[test]
fn cyclonedx_in_json_and_xml_tells_the_story() {
    for (name, with_lodash) in [("cyclonedx.json", true), ("cyclonedx.xml", false)] {
        let report = one(&fixture(name));
        tells_of_openssl(&report, true);
        is_about_the_image(&report);
        assert_eq!(report.scanner.name, "trivy");
        let ssl = named(&report, "DSA-5601-1");
        assert_eq!((ssl.severity, ssl.severity_source.as_str()), (Severity::Critical, "nvd"), "{name}");
        assert_eq!(ssl.weaknesses, ["CWE-787"], "{name}");
        if with_lodash {
            let lodash = named(&report, "CVE-2020-8203");
            assert_eq!(lodash.purl.as_deref(), Some("pkg:npm/lodash@4.17.15"));
            assert_eq!(lodash.suppressed.as_deref(), Some("not_affected: code_not_reachable: never called"));
        }
    }
}

#[test]
fn a_harbor_report_is_read_bare_and_as_harbors_api_gives_it() {
    let bare = String::from_utf8(fixture("harbor.json")).expect("text");
    let report = one(bare.as_bytes());
    tells_of_openssl(&report, false);
    is_about_the_image(&report);
    assert_eq!(named(&report, "CVE-2024-0001").ratings.len(), 1, "the preferred one repeats another");
    let wrapped = format!("{{\"application/vnd.security.vulnerability.report; version=1.1\": {bare}}}");
    assert_eq!(one(wrapped.as_bytes()), report);
    let none = r#"{"generated_at":"2026-11-20T09:00:00Z","scanner":{"name":"Clair"},"severity":"Unknown","vulnerabilities":null}"#;
    assert_eq!(one(none.as_bytes()).findings, []);
    let silent = refused(r#"{"generated_at":"2026-11-20T09:00:00Z","scanner":{"name":"Clair"}}"#);
    assert!(matches!(silent, ForeignError::Silent { .. }), "{silent:?}");
}

fn statement(kind: &str, predicate: &str) -> String {
    let hex = "5".repeat(64);
    format!(
        r#"{{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"{kind}","subject":[{{"name":"x","digest":{{"sha256":"{hex}"}}}}],"predicate":{predicate}}}"#
    )
}

#[test]
fn attestations_are_read_in_every_wrapping_and_speak_of_their_subject() {
    let trivy = String::from_utf8(fixture("trivy.json")).expect("text");
    let scanner = format!(
        r#"{{"uri":"pkg:github/aquasecurity/trivy@v0.66.0","version":"0.66.0","db":{{"uri":"","version":"v2-2026111906","lastUpdate":"2026-11-19T06:00:00Z"}},"result":{trivy}}}"#
    );
    let times =
        r#""metadata":{"scanStartedOn":"2026-11-21T00:00:00Z","scanFinishedOn":"2026-11-21T00:01:00Z"}"#;
    let bare = format!(r#"{{"invocation":{{"uri":""}},"scanner":{scanner},{times}}}"#);
    let listed = format!(r#"{{"invocation":{{}},"scanners":[{scanner}],{times}}}"#);
    let kind = "https://cosign.sigstore.dev/attestation/vuln/v1";
    let signed = statement(kind, &bare);
    let payload = data_encoding::BASE64.encode(signed.as_bytes());
    let envelope = format!(
        r#"{{"payloadType":"application/vnd.in-toto+json","payload":"{payload}","signatures":[{{"sig":"x"}}]}}"#
    );
    let bundle = format!(
        r#"{{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","dsseEnvelope":{envelope}}}"#
    );
    for (document, subject) in [
        (bare.clone(), "2"),
        (signed, "5"),
        (statement("cosign.sigstore.dev/attestation/vuln/v1", &listed), "5"),
        (statement("https://cosign.sigstore.dev/attestation/vuln/v0.1", &bare), "5"),
        (envelope, "5"),
        (bundle, "5"),
    ] {
        let report = one(document.as_bytes());
        tells_of_openssl(&report, true);
        assert_eq!(report.digests.iter().map(oci::Digest::hex).collect::<Vec<_>>(), [subject.repeat(64)]);
        assert_eq!(report.created.map(|t| t.to_string()).as_deref(), Some("2026-11-21T00:01:00Z"));
        assert_eq!(report.scanner.database, "v2-2026111906");
        assert_eq!((report.form, report.scanner.name.as_str()), (Form::Trivy, "Trivy"));
    }
    let bom = String::from_utf8(fixture("cyclonedx.json")).expect("text");
    let vex = one(statement("https://cyclonedx.org/bom", &bom).as_bytes());
    assert_eq!((vex.form, vex.digests[0].hex()), (Form::CycloneDx, "5".repeat(64)));
}

#[test]
fn in_totos_own_predicate_names_vulnerabilities_without_packages() {
    let report = one(&fixture("in-toto.json"));
    is_about_digest(&report);
    assert_eq!((report.scanner.name.as_str(), report.scanner.vendor.as_str()), ("trivy", "aquasecurity"));
    assert_eq!(report.findings.len(), 2);
    let found = named(&report, "CVE-2024-0001");
    assert_eq!((found.package.as_str(), found.severity), ("", Severity::Critical));
}

fn is_about_digest(report: &ScannerReport) {
    assert_eq!(report.digests.iter().map(oci::Digest::hex).collect::<Vec<_>>(), ["2".repeat(64)]);
}

#[test]
fn what_says_nothing_of_vulnerabilities_is_refused_and_never_clean() {
    for silent in [
        r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[]}"#,
        r#"{"version":"2.1.0","runs":[]}"#,
        r#"{"version":"2.1.0","runs":[{"results":[]}]}"#,
        "[]",
        &statement(
            "https://cosign.sigstore.dev/attestation/vuln/v1",
            r#"{"scanner":{"uri":"x"},"metadata":{}}"#,
        ),
        &statement("https://in-toto.io/attestation/vulns/v0.1", r#"{"scanner":{"uri":"x"}}"#),
    ] {
        let error = refused(silent);
        assert!(matches!(error, ForeignError::Silent { .. }), "{silent}: {error:?}");
    }
    for other in [
        r#"{"spdxVersion":"SPDX-2.3"}"#,
        r#"{"SchemaVersion":1,"Results":[]}"#,
        r#"{"version":"2.0.0","runs":[]}"#,
        r#"[{"Target":"alpine","Vulnerabilities":[]}]"#,
        "{}",
        "[1]",
        "null",
        "",
        "<bom/>",
        &statement("https://slsa.dev/provenance/v1", "{}"),
        &statement("https://cosign.sigstore.dev/attestation/vuln/v1", r#"{"scanner":{"result":{}}}"#),
    ] {
        let _ = refused(other);
    }
}

#[test]
fn a_scanner_that_did_not_succeed_has_a_problem() {
    for failed in [
        r#"{"ok":false,"error":"Failed to scan image","path":"shop/app"}"#,
        r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"Trivy"}},"results":[],"invocations":[{"executionSuccessful":false}]}]}"#,
        r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"Trivy"}}}]}"#,
        r#"{"SchemaVersion":2,"ArtifactName":"a","Results":[{"Target":"x","Vulnerabilities":[{"PkgName":"a"}]}]}"#,
        r#"{"bomFormat":"CycloneDX","vulnerabilities":[{"id":"CVE-2024-1234","affects":[{"ref":"gone"}]}]}"#,
        r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"gitleaks"}},"results":[]}]}"#,
        r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"CodeQL"}},"results":[{"ruleId":"py/x","message":{"text":"x"}}]}]}"#,
        r#"{"SchemaVersion":2,"ArtifactName":"a","Results":[{"Target":"Dockerfile","Class":"config","Misconfigurations":[{}]}]}"#,
    ] {
        let report = one(failed.as_bytes());
        assert_eq!(report.problems.len(), 1, "{failed}: {:?}", report.problems);
    }
    let clean = one(br#"{"SchemaVersion":2,"ArtifactName":"alpine","ArtifactType":"container_image"}"#);
    assert_eq!(
        (clean.findings.len(), clean.problems.len()),
        (0, 0),
        "Trivy writes no results of a clean image"
    );
}

#[test]
fn limits_hold_and_texts_are_cleaned() {
    let limits = Limits { max_bytes: 10_000, max_entries: 10, max_nesting: 2 };
    let many = |count: usize| {
        let entries = vec![r#"{"VulnerabilityID":"CVE-2024-1234","PkgName":"a"}"#; count].join(",");
        format!(r#"{{"SchemaVersion":2,"Results":[{{"Target":"x","Vulnerabilities":[{entries}]}}]}}"#)
    };
    assert!(read(many(9).as_bytes(), &limits).is_ok());
    assert_eq!(read(many(10).as_bytes(), &limits), Err(ForeignError::TooMany { limit: 10 }));
    let large = many(1) + &" ".repeat(10_000);
    assert!(matches!(read(large.as_bytes(), &limits), Err(ForeignError::TooLarge { .. })));
    let mut wrapped = many(1);
    for _ in 0..3 {
        let payload = data_encoding::BASE64.encode(wrapped.as_bytes());
        wrapped = format!(r#"{{"payloadType":"x","payload":"{payload}"}}"#);
    }
    assert_eq!(read(wrapped.as_bytes(), &limits), Err(ForeignError::Nesting { limit: 2 }));
    let long = format!(
        r#"{{"SchemaVersion":2,"Results":[{{"Vulnerabilities":[{{"VulnerabilityID":"CVE-2024-1234","PkgName":"a\u0000\u001b[31m","Description":"{}"}}]}}]}}"#,
        "ä".repeat(5000)
    );
    let found = one(long.as_bytes());
    assert_eq!(found.findings[0].package, "a[31m");
    assert_eq!(found.findings[0].description.len(), 4096);
    let huge = format!(
        r#"{{"SchemaVersion":2,"Results":[{{"Vulnerabilities":[{{"VulnerabilityID":"CVE-2024-1234","x":[{}0]}}]}}]}}"#,
        "0,".repeat(600_000)
    );
    assert_eq!(
        one(huge.as_bytes()).problems.len(),
        1,
        "an entry of more than a MiB is a problem, not a parse"
    );
    let deep = format!(
        r#"{{"SchemaVersion":2,"Results":[{{"Vulnerabilities":[{}{}]}}]}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert_eq!(one(deep.as_bytes()).problems.len(), 1);
    let deep = format!(
        r#"{{"bomFormat":"CycloneDX","vulnerabilities":[],"components":[{}{}]}}"#,
        r#"{"components":["#.repeat(100),
        "]}".repeat(100)
    );
    assert!(matches!(refused(&deep), ForeignError::Nesting { .. }));
}

proptest! {
    #[test]
    fn damaged_reports_are_read_or_refused(which in 0_usize..10, cut in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let names = ["trivy.json", "grype.json", "snyk.json", "trivy.sarif", "grype.sarif", "snyk.sarif", "cyclonedx.json", "cyclonedx.xml", "harbor.json", "in-toto.json"];
        let mut bytes = fixture(names[which]);
        let at = cut.index(bytes.len());
        bytes[at] = byte;
        let _ = read(&bytes, &Limits::default());
        bytes.truncate(at);
        let _ = read(&bytes, &Limits::default());
    }
}
