//! Several scanners' words of one image: joined as they mean the same, counted by the rule, never clean when one failed.

use std::collections::BTreeSet;

use proptest::prelude::*;
use vuln::Severity;
use vuln::advisory::Status;
use vuln::foreign::{self, Combined, CombinedFinding, Excuses, Limits, Rule, ScannerReport, Voice, read};
use vuln::matching::VexDocument;
use vuln::{Inventory, Purl};

fn combine(voices: &[Voice<'_>], rule: &Rule) -> Combined {
    foreign::combine(voices, rule, &Excuses::default())
}

fn fixture(name: &str) -> ScannerReport {
    let path = format!("{}/tests/fixtures/foreign/{name}", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(&path).expect(&path);
    read(&bytes, &Limits::default()).expect("a report").remove(0)
}

fn grype(matches: &[(&str, &[&str], &str, &str, &str)]) -> ScannerReport {
    let entry = |(id, related, name, version, purl): &(&str, &[&str], &str, &str, &str)| {
        serde_json::json!({
            "vulnerability": { "id": id, "severity": "High", "fix": { "versions": [], "state": "unknown" } },
            "relatedVulnerabilities": related.iter().map(|id| serde_json::json!({ "id": id })).collect::<Vec<_>>(),
            "artifact": { "name": name, "version": version, "purl": purl },
        })
    };
    let document = serde_json::json!({
        "matches": matches.iter().map(entry).collect::<Vec<_>>(), "descriptor": { "name": "grype", "version": "1" },
    });
    read(document.to_string().as_bytes(), &Limits::default()).expect("a report").remove(0)
}

fn voices<'a>(reports: &'a [(&'a str, ScannerReport)]) -> Vec<Voice<'a>> {
    reports.iter().map(|(by, report)| Voice { by, said: Ok(report) }).collect()
}

fn keys(findings: &[CombinedFinding]) -> BTreeSet<(String, String)> {
    findings.iter().map(|f| (f.id.clone(), f.package.clone())).collect()
}

fn find<'c>(list: &'c [CombinedFinding], id: &str) -> &'c CombinedFinding {
    list.iter().find(|f| f.id == id).expect(id)
}

fn not_affected(id: &str, product: &str) -> VexDocument {
    let document = serde_json::json!({
        "@context": "https://openvex.dev/ns/v0.2.0", "@id": "vex", "author": "us", "timestamp": "2026-01-01T00:00:00Z",
        "statements": [{ "vulnerability": { "name": id }, "products": [{ "@id": product }], "status": "not_affected" }],
    });
    VexDocument::parse("vex", document.to_string().as_bytes()).expect("VEX")
}

/// Scanners name an erratum with all that it repairs.
#[test]
fn excusing_one_vulnerability_of_an_erratum_does_not_excuse_the_others() {
    let purl = "pkg:rpm/amzn/openssl-libs@1.0.2";
    let said = grype(&[("ALAS-2024-1", &["CVE-2024-0001", "CVE-2024-0002"], "openssl-libs", "1.0.2", purl)]);
    let voices = [Voice { by: "grype", said: Ok(&said) }];
    let vex = [not_affected("CVE-2024-0001", "pkg:rpm/amzn/openssl-libs")];
    let by_vex = foreign::combine(&voices, &Rule::Union, &Excuses { vex: &vex, ..Excuses::default() });
    let allowed = ["CVE-2024-0001".to_owned()];
    let by_list =
        foreign::combine(&voices, &Rule::Union, &Excuses { allowed: &allowed, ..Excuses::default() });
    for (combined, why) in [(by_vex, "vex (us): not affected"), (by_list, "allow-list")] {
        assert_eq!(
            keys(&combined.findings),
            BTreeSet::from([("CVE-2024-0002".into(), "openssl-libs".into())])
        );
        let beside = find(&combined.beside, "CVE-2024-0001");
        assert_eq!(beside.said[0].suppressed.as_deref(), Some(why));
    }
}

/// Harbor's form has no package URLs; what is in the image has.
#[test]
fn a_scanner_without_package_urls_is_excused_by_what_is_in_the_image() {
    let document = serde_json::json!({
        "generated_at": "2026-11-20T09:00:00Z",
        "artifact": {
            "repository": "shop/app", "digest": format!("sha256:{}", "2".repeat(64)),
            "mime_type": "application/vnd.oci.image.manifest.v1+json",
        },
        "scanner": { "name": "Other", "vendor": "x", "version": "1" }, "severity": "High",
        "vulnerabilities": [
            { "id": "CVE-2024-0001", "package": "lodash", "version": "4.17.0", "severity": "High" },
            { "id": "CVE-2024-0001", "package": "underscore", "version": "1.0.0", "severity": "High" },
        ],
    });
    let said = read(document.to_string().as_bytes(), &Limits::default()).expect("a report").remove(0);
    let package = |text: &str| Purl::parse(text).expect("purl").to_package();
    let inventory = |purls: &[&str]| Inventory {
        packages: purls.iter().map(|text| package(text)).collect(),
        ..Inventory::default()
    };
    let vex = [not_affected("CVE-2024-0001", "pkg:npm/lodash")];
    let left = |inventory: Option<&Inventory>| {
        let excuses = Excuses { vex: &vex, inventory, ..Excuses::default() };
        let combined = foreign::combine(&[Voice { by: "other", said: Ok(&said) }], &Rule::Union, &excuses);
        combined.findings.len()
    };
    assert_eq!(left(Some(&inventory(&["pkg:npm/lodash@4.17.0", "pkg:npm/underscore@1.0.0"]))), 1);
    assert_eq!(left(Some(&inventory(&["pkg:npm/lodash@4.17.21"]))), 2, "another version is in it");
    assert_eq!(
        left(Some(&inventory(&["pkg:npm/lodash@4.17.0", "pkg:gem/lodash@4.17.0"]))),
        2,
        "which of them?"
    );
    assert_eq!(left(None), 2);
    let whole = [not_affected("CVE-2024-0001", "pkg:oci/app")];
    let products = ["pkg:oci/app@sha256:aa".to_owned()];
    let excuses = Excuses { vex: &whole, products: &products, ..Excuses::default() };
    let combined = foreign::combine(&[Voice { by: "other", said: Ok(&said) }], &Rule::Union, &excuses);
    assert_eq!((combined.findings.len(), combined.beside.len()), (0, 2), "the image as a whole");
}

fn story() -> Vec<(&'static str, ScannerReport)> {
    vec![("trivy", fixture("trivy.json")), ("grype", fixture("grype.json")), ("snyk", fixture("snyk.json"))]
}

#[test]
fn a_finding_keeps_who_said_it_and_what_each_said() {
    let reports = story();
    let all = combine(&voices(&reports), &Rule::Union);
    assert!(all.is_complete());
    assert_eq!(all.findings.len(), 3, "{:#?}", all.findings);
    let ssl = find(&all.findings, "CVE-2024-0001");
    assert_eq!(ssl.said.iter().map(|said| said.by.as_str()).collect::<Vec<_>>(), ["trivy", "grype", "snyk"]);
    assert_eq!(
        ssl.said.iter().map(|said| said.severity).collect::<Vec<_>>(),
        [Severity::High, Severity::Critical, Severity::High]
    );
    assert_eq!((ssl.severity, ssl.status), (Severity::Critical, Status::Fixed));
    assert_eq!(ssl.aliases, ["DSA-5601-1", "SNYK-DEBIAN12-OPENSSL-6190223"]);
    let lodash = find(&all.findings, "CVE-2020-8203");
    assert_eq!(lodash.fixed_versions, ["4.17.19", "4.17.20"]);
    assert_eq!(lodash.said[1].id, "GHSA-p6mc-m468-83gw");
    assert_eq!(keys(&all.beside), BTreeSet::from([("CVE-2022-0003".to_owned(), "zlib1g".to_owned())]));
    assert_eq!(all.beside[0].said[0].suppressed.as_deref(), Some("ignored: not reachable"));
}

#[test]
fn the_rule_decides_what_counts_and_the_rest_stands_beside() {
    let reports = story();
    let voices = voices(&reports);
    let primary = combine(&voices, &Rule::Primary("trivy".into()));
    assert_eq!(find(&primary.findings, "CVE-2024-0001").severity, Severity::High, "the primary's word");
    assert_eq!(find(&primary.findings, "CVE-2023-0002").status, Status::WillNotFix);
    assert_eq!(primary.findings.len(), 3);
    let other = combine(&voices, &Rule::Primary("grype".into()));
    assert_eq!(find(&other.findings, "CVE-2024-0001").severity, Severity::Critical);
    assert!(other.findings.iter().all(|f| f.id != "CVE-2023-0002"), "grype ignores it");
    assert_eq!(find(&other.beside, "CVE-2023-0002").said.len(), 2);
    let both = combine(&voices, &Rule::Intersection);
    assert_eq!(both.findings.len(), 2, "{:#?}", both.findings);
    assert_eq!(both.beside.len(), 2);
}

#[test]
fn a_scanner_that_failed_makes_the_result_incomplete_never_clean() {
    let clean = grype(&[]);
    let good = Voice { by: "grype", said: Ok(&clean) };
    let bad = Voice { by: "snyk", said: Err("it could not pull the image") };
    for rule in [Rule::Union, Rule::Intersection, Rule::Primary("grype".into()), Rule::Primary("snyk".into())]
    {
        let combined = combine(&[good, bad], &rule);
        assert!(!combined.is_complete(), "{rule:?}");
        assert_eq!((combined.unheard[0].by.as_str(), combined.findings.len()), ("snyk", 0));
        assert!(combine(&[good], &rule).is_complete() != (rule == Rule::Primary("snyk".into())), "{rule:?}");
        assert!(!combine(&[], &rule).is_complete(), "nobody was asked: {rule:?}");
    }
    let mut partial = grype(&[]);
    partial.problems.push("a jar could not be opened".into());
    let combined = combine(&[Voice { by: "grype", said: Ok(&partial) }], &Rule::Union);
    assert!(!combined.is_complete());
    assert_eq!(combined.unheard[0].reason, "a jar could not be opened");
    let both = story();
    let mut some = voices(&both);
    some.push(bad);
    let combined = combine(&some, &Rule::Intersection);
    assert_eq!(combined.findings.len(), 2, "of those that reported; and it is not complete");
}

#[test]
fn names_are_joined_but_an_erratum_does_not_join_what_it_repairs() {
    let deb = "pkg:deb/debian/a@1";
    let one = grype(&[
        ("CVE-2024-1111", &["DSA-1-1"], "a", "1", deb),
        ("CVE-2024-2222", &["DSA-1-1"], "a", "1", deb),
    ]);
    let two =
        grype(&[("GHSA-aaaa-bbbb-cccc", &["CVE-2024-1111"], "a", "1", deb), ("DSA-1-1", &[], "a", "1", deb)]);
    let three = grype(&[
        ("GHSA-aaaa-bbbb-cccc", &[], "a", "1", deb),
        ("RHSA-2:1", &["CVE-2024-1111", "CVE-2024-2222"], "a", "1", deb),
    ]);
    let four = grype(&[("GO-1", &["GHSA-x"], "g", "1", ""), ("GHSA-x", &["PYSEC-9"], "g", "1", "")]);
    let reports = [("1", one), ("2", two), ("3", three), ("4", four)];
    let all = combine(&voices(&reports), &Rule::Union);
    let said: Vec<(&str, usize)> = all.findings.iter().map(|f| (f.id.as_str(), f.said.len())).collect();
    assert_eq!(
        said,
        [("CVE-2024-1111", 4), ("CVE-2024-2222", 2), ("DSA-1-1", 1), ("GHSA-x", 2)],
        "{:#?}",
        all.findings
    );
}

#[test]
fn packages_are_joined_by_url_else_by_name_and_version() {
    let of = |name, version, purl| grype(&[("CVE-2024-1111", &[], name, version, purl)]);
    for (one, other, same) in [
        (
            ("libssl3", "3.0-1", "pkg:deb/debian/libssl3@3.0-1?arch=amd64"),
            ("libssl3", "3.0-1", "pkg:deb/libssl3@3.0-1"),
            true,
        ),
        (("bash", "0:5.1-6.el9", "pkg:rpm/rhel/bash@5.1-6.el9"), ("bash", "5.1-6.el9", ""), true),
        (
            ("vim", "2:8.2-1", "pkg:rpm/rhel/vim@8.2-1?epoch=2"),
            ("vim", "8.2-1", "pkg:rpm/redhat/vim@8.2-1"),
            true,
        ),
        (
            ("log4j-core", "2.14.1", "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1"),
            ("org.apache.logging.log4j:log4j-core", "2.14.1", ""),
            true,
        ),
        (
            ("log4j-core", "2.14.1", ""),
            (
                "org.apache.logging.log4j:log4j-core",
                "2.14.1",
                "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1",
            ),
            true,
        ),
        (
            ("example.org/x", "v1.2.3", "pkg:golang/example.org/x@v1.2.3"),
            ("example.org/x", "1.2.3", ""),
            true,
        ),
        (("@scope/a", "1.0.0", "pkg:npm/%40scope/a@1.0.0"), ("@scope/a", "1.0.0", ""), true),
        (("a", "1.0.0", "pkg:npm/a@1.0.0"), ("a", "1.0.0", "pkg:pypi/a@1.0.0"), false),
        (("a", "1.0.0", "pkg:npm/a@1.0.0"), ("a", "1.0.1", "pkg:npm/a@1.0.1"), false),
        (("a", "1.0.0", ""), ("b", "1.0.0", ""), false),
    ] {
        let reports = [("1", of(one.0, one.1, one.2)), ("2", of(other.0, other.1, other.2))];
        let count = combine(&voices(&reports), &Rule::Union).findings.len();
        assert_eq!(count == 1, same, "{one:?} {other:?}");
        assert_eq!(combine(&voices(&reports), &Rule::Intersection).findings.len(), usize::from(same));
    }
}

#[test]
fn what_is_said_of_the_whole_image_is_said_of_each_of_its_packages() {
    let reports = [("trivy", fixture("trivy.json")), ("in-toto", fixture("in-toto.json"))];
    let both = combine(&voices(&reports), &Rule::Intersection);
    assert_eq!(
        keys(&both.findings),
        BTreeSet::from([
            ("CVE-2024-0001".to_owned(), "libssl3".to_owned()),
            ("CVE-2020-8203".to_owned(), "lodash".to_owned())
        ])
    );
}

#[test]
fn many_names_of_one_thing_stay_bounded_and_quick() {
    let names: Vec<String> = (0..30_000).map(|n| format!("X-{n:06}")).collect();
    let deb = "pkg:deb/debian/a@1";
    let row = |index: usize, other: usize| (names[index].as_str(), [names[other].as_str()], deb);
    let chain: Vec<_> = (1..names.len()).rev().map(|n| row(n, n - 1)).collect();
    let rows: Vec<_> =
        chain.iter().map(|(id, related, purl)| (*id, related.as_slice(), "a", "1", *purl)).collect();
    let reports = [("1", grype(&rows))];
    let all = combine(&voices(&reports), &Rule::Intersection);
    assert_eq!(all.findings.len(), 1, "one chain of names");
    assert_eq!(all.findings[0].id, "X-000000");
    assert!(all.findings[0].said.len() <= 16 && all.findings[0].aliases.len() <= 64);
}

fn any_report() -> impl Strategy<Value = ScannerReport> {
    let finding = (0_u8..4, 0_u8..3, 0_u8..3, any::<bool>(), any::<bool>());
    prop::collection::vec(finding, 0..8).prop_map(|found| {
        let entries: Vec<_> = found
            .iter()
            .map(|(id, alias, package, purl, ghsa)| {
                let name = format!("p{package}");
                let cve = format!("CVE-2024-000{id}");
                let id = if *ghsa { format!("GHSA-aaaa-aaaa-aaa{id}") } else { cve.clone() };
                let related = if *alias > 0 { vec![cve] } else { Vec::new() };
                let purl = if *purl { format!("pkg:npm/{name}@1.0.0") } else { String::new() };
                (id, related, name, purl)
            })
            .collect();
        let related: Vec<Vec<&str>> =
            entries.iter().map(|(_, related, ..)| related.iter().map(String::as_str).collect()).collect();
        let rows: Vec<_> = entries
            .iter()
            .zip(&related)
            .map(|((id, _, name, purl), related)| {
                (id.as_str(), related.as_slice(), name.as_str(), "1.0.0", purl.as_str())
            })
            .collect();
        grype(&rows)
    })
}

fn total(combined: &Combined) -> usize {
    combined.findings.len() + combined.beside.len()
}

proptest! {
    #[test]
    fn union_holds_primary_holds_intersection(reports in prop::collection::vec(any_report(), 1..4)) {
        let named: Vec<(String, ScannerReport)> =
            reports.into_iter().enumerate().map(|(index, report)| (index.to_string(), report)).collect();
        let voices: Vec<Voice<'_>> = named.iter().map(|(by, report)| Voice { by, said: Ok(report) }).collect();
        let union = combine(&voices, &Rule::Union);
        let both = combine(&voices, &Rule::Intersection);
        prop_assert_eq!(total(&union), total(&both), "nothing that was said is dropped");
        for (by, report) in &named {
            let primary = combine(&voices, &Rule::Primary(by.clone()));
            prop_assert!(keys(&primary.findings).is_subset(&keys(&union.findings)));
            prop_assert!(keys(&both.findings).is_subset(&keys(&primary.findings)));
            prop_assert_eq!(total(&primary), total(&union));
            prop_assert!(primary.findings.iter().all(|f| f.said.iter().any(|said| said.by == *by)));
            for finding in &report.findings {
                let there = union.findings.iter().filter(|f| {
                    f.package == finding.package && f.said.iter().any(|said| said.by == *by && said.id == finding.id)
                });
                prop_assert!(there.count() >= 1, "{} {} is said once", finding.id, finding.package);
            }
        }
        for finding in &union.findings {
            let highest = finding.said.iter().map(|said| said.severity).max();
            prop_assert_eq!(Some(finding.severity), highest);
        }
        let unique = keys(&union.findings).len();
        prop_assert_eq!(unique, union.findings.len(), "no finding stands twice");
    }

    #[test]
    fn order_and_repetition_of_scanners_change_nothing_that_counts(one in any_report(), two in any_report()) {
        let (a, b) = (Voice { by: "a", said: Ok(&one) }, Voice { by: "b", said: Ok(&two) });
        for rule in [Rule::Union, Rule::Intersection] {
            let there = combine(&[a, b], &rule);
            let back = combine(&[b, a], &rule);
            prop_assert_eq!(keys(&there.findings), keys(&back.findings));
            let again = Voice { by: "c", said: Ok(&one) };
            prop_assert_eq!(keys(&combine(&[a, again], &rule).findings), keys(&combine(&[a], &Rule::Union).findings));
        }
    }
}
