//! Errata of vendors as they are published: each keeps its own name, each of its vulnerabilities its own rating.

use vuln::advisory::Advisory;
use vuln::advisory::import::{ImportLimits, Item, import};

fn advisories(name: &str, text: &str) -> Vec<Advisory> {
    let mut out = Vec::new();
    let mut take = |item| {
        if let Item::Advisory(advisory) = item {
            out.push(*advisory);
        }
    };
    let stats = import(name, text.as_bytes(), &ImportLimits::default(), &mut take).expect("imported");
    assert_eq!(stats.refused, 0, "{:?}", stats.refusals);
    out
}

#[test]
fn errata_of_one_year_are_not_one_erratum() {
    let definition = |title: &str, cve: &str| {
        format!(
            r#"<definition class="patch" id="oval:x:def:{cve}"><metadata><title>{title}</title>
             <affected family="unix"><platform>Red Hat Enterprise Linux 7</platform></affected>
             <reference source="CVE" ref_id="{cve}" ref_url="u"/></metadata><criteria operator="AND"/></definition>"#
        )
    };
    let all = [
        definition("RHSA-2020:0134: .NET Core security update (Critical)", "CVE-2020-0602"),
        definition("RHSA-2020:2249: .NET Core security update (Important)", "CVE-2020-1108"),
        definition("SUSE-SU-2019:3295-1", "CVE-2019-1111"),
        definition("CVE-2014-3209 ldns: readable keys (low)", "CVE-2014-3209"),
        definition("Unaffected components for: CVE-2020-0605 dotnet: bypass", "CVE-2020-0605"),
    ]
    .concat();
    let text = format!(
        r#"<?xml version="1.0"?><oval_definitions xmlns="http://oval.mitre.org/XMLSchema/oval-definitions-5"><definitions>{all}</definitions></oval_definitions>"#
    );
    let ids: Vec<String> = advisories("rhel-7.oval.xml", &text).into_iter().map(|a| a.id).collect();
    assert_eq!(ids[..3], ["RHSA-2020:0134", "RHSA-2020:2249", "SUSE-SU-2019:3295-1"]);
    assert_eq!(ids[3..], ["oval:x:def:CVE-2014-3209", "oval:x:def:CVE-2020-0605"]);
}

#[test]
fn a_vulnerability_of_an_erratum_keeps_its_own_rating() {
    let vulnerability = |cve: &str, word: &str| {
        format!(
            r#"{{"cve":"{cve}","title":"{cve} in bind","product_status":{{"fixed":["BaseOS:bind"]}},
             "threats":[{{"category":"impact","details":"{word}"}}]}}"#
        )
    };
    let all = [
        vulnerability("CVE-2021-25220", "Moderate"),
        vulnerability("CVE-2025-40778", "Important"),
        vulnerability("CVE-2025-40780", "Important"),
    ]
    .join(",");
    let text = format!(
        r#"{{"document":{{"category":"csaf_security_advisory","csaf_version":"2.0","title":"bind security update",
          "tracking":{{"id":"RHSA-2025:23414","current_release_date":"2025-12-17T00:00:00Z"}},"aggregate_severity":{{"text":"Important"}}}},
         "product_tree":{{"branches":[{{"branches":[
           {{"product":{{"name":"BaseOS","product_id":"BaseOS","product_identification_helper":{{"cpe":"cpe:/o:redhat:enterprise_linux:8::baseos"}}}}}},
           {{"product":{{"name":"x","product_id":"bind-32:9.11.36-16.x86_64","product_identification_helper":{{"purl":"pkg:rpm/redhat/bind@9.11.36-16?arch=x86_64&epoch=32"}}}}}}]}}],
          "relationships":[{{"category":"default_component_of","full_product_name":{{"name":"n","product_id":"BaseOS:bind"}},
            "product_reference":"bind-32:9.11.36-16.x86_64","relates_to_product_reference":"BaseOS"}}]}},
         "vulnerabilities":[{all}]}}"#
    );
    let found = advisories("rhsa-2025_23414.json", &text);
    let said: Vec<_> = found
        .iter()
        .map(|a| (a.id.as_str(), a.upstream.join(" "), a.severity[0].score.as_str(), a.summary.as_str()))
        .collect();
    assert_eq!(
        said,
        [
            ("RHSA-2025:23414", "CVE-2021-25220".to_owned(), "Moderate", "CVE-2021-25220 in bind"),
            (
                "RHSA-2025:23414#1",
                "CVE-2025-40778 CVE-2025-40780".to_owned(),
                "Important",
                "bind security update"
            ),
        ]
    );
    assert!(found.iter().all(|a| a.affected.len() == 1), "{found:#?}");
}
