//! The report of Harbor's scanner adapters (`application/vnd.security.vulnerability.report; version=1.1` and its
//! predecessor), as an adapter gives it or as Harbor's API passes it on under its media type.

use serde_json::Value;

use super::collect::{Collector, cvss_table, rating};
use super::json::{Object, at, number, text, texts, value};
use super::{Budget, ForeignError, Form, Scanner, ScannerFinding, ScannerReport, trivy};
use crate::Severity;
use crate::advisory::known_word;

/// Media types under which Harbor's API gives a report.
const MEDIA_TYPES: [&str; 2] = [
    "application/vnd.security.vulnerability.report",
    "application/vnd.scanner.adapter.vuln.report.harbor+json",
];

/// Whether the document is a report, as an adapter gives it.
pub(super) fn is(root: &Object<'_>) -> bool {
    root.has("generated_at") && root.has("scanner")
}

/// The report that a document of Harbor's API holds.
pub(super) fn wrapped<'a>(root: &Object<'a>) -> Option<Object<'a>> {
    let named = |key: &str| MEDIA_TYPES.iter().any(|media_type| key.starts_with(media_type));
    root.members().find(|(key, _)| named(key)).and_then(|(_, raw)| Object::parse(raw).ok())
}

pub(super) fn read(root: &Object<'_>, budget: &mut Budget<'_>) -> Result<ScannerReport, ForeignError> {
    if !root.states("vulnerabilities") {
        return Err(ForeignError::Silent {
            form: "Harbor scanner report",
            why: "it has no `vulnerabilities`",
        });
    }
    let own = root.value("scanner");
    let scanner = Scanner {
        name: text(&own, &["name"]).to_owned(),
        vendor: text(&own, &["vendor"]).to_owned(),
        version: text(&own, &["version"]).to_owned(),
        ..Scanner::default()
    };
    let mut out = Collector::new(Form::Harbor, scanner, budget);
    out.created(&root.text("generated_at"));
    let artifact = root.value("artifact");
    out.target(text(&artifact, &["repository"]));
    out.digest(text(&artifact, &["digest"]));
    // Adapters written in Go give null for an empty list.
    for entry in root.list("vulnerabilities")? {
        out.entry()?;
        match value(entry) {
            Ok(entry) => {
                texts(&entry, &["artifact_digests"]).for_each(|digest| out.digest(digest));
                out.push(finding(&entry));
            }
            Err(error) => out.problem(&format!("a vulnerability is not understood: {error}")),
        }
    }
    Ok(out.finish())
}

fn finding(entry: &Value) -> ScannerFinding {
    let mut ratings = cvss_table(at(entry, &["vendor_attributes", "CVSS"]));
    for version in ["v3", "v2"] {
        let vector = text(entry, &["preferred_cvss", &format!("vector_{version}")]);
        let score = number(at(entry, &["preferred_cvss", &format!("score_{version}")]));
        // The preferred one repeats one of the table, mostly.
        let known = ratings.iter().any(|r| r.score == score && r.vector.as_deref() == Some(vector));
        ratings.extend(rating("preferred", vector, score, "").filter(|_| !known));
    }
    let fixed = text(entry, &["fix_version"]).split(',').map(|version| version.trim().to_owned());
    ScannerFinding {
        id: text(entry, &["id"]).to_owned(),
        package: text(entry, &["package"]).to_owned(),
        version: text(entry, &["version"]).to_owned(),
        fixed_versions: fixed.filter(|version| !version.is_empty()).collect(),
        severity: known_word(text(entry, &["severity"])).unwrap_or(Severity::Unknown),
        ratings,
        status: trivy::status(text(entry, &["status"])),
        description: text(entry, &["description"]).to_owned(),
        weaknesses: texts(entry, &["cwe_ids"]).map(str::to_owned).collect(),
        links: texts(entry, &["links"]).map(str::to_owned).collect(),
        ..ScannerFinding::default()
    }
}
