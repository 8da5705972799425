//! SARIF 2.1.0 (OASIS) as code-scanning platforms read it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Row, ScanReport, Section};
use crate::Severity;

/// The report as SARIF.
///
/// # Errors
/// Never for reports of this crate.
pub fn sarif(report: &ScanReport) -> serde_json::Result<Vec<u8>> {
    let rows = report.rows();
    let mut rules: BTreeMap<&str, &Row> = BTreeMap::new();
    for row in &rows {
        rules.entry(&row.id).or_insert(row);
    }
    let index: BTreeMap<&str, usize> =
        rules.keys().enumerate().map(|(position, id)| (*id, position)).collect();
    let results: Vec<Value> =
        rows.iter().map(|row| result(row, index.get(row.id.as_str()).copied(), report)).collect();
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "bonded",
                "informationUri": "https://bonded.invalid/docs/scan",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.values().map(|row| rule(row)).collect::<Vec<_>>(),
            }},
            "results": results,
            "columnKind": "utf16CodeUnits",
            "invocations": [{ "executionSuccessful": !report.is_incomplete() }],
            "properties": { "target": report.target.name, "digest": report.target.digest },
        }],
    });
    let mut bytes = serde_json::to_vec_pretty(&document)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Negligible | Severity::Unknown => "note",
    }
}

/// The number by which GitHub sorts into critical, high, medium and low.
fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "2.0",
        Severity::Negligible | Severity::Unknown => "0.0",
    }
}

fn rule(row: &Row) -> Value {
    let title = if row.title.is_empty() { row.id.clone() } else { row.title.clone() };
    let mut rule = json!({
        "id": row.id,
        "name": row.section.name(),
        "shortDescription": { "text": row.id },
        "fullDescription": { "text": title },
        "help": { "text": row.help },
        "defaultConfiguration": { "level": level(row.severity) },
        "properties": {
            "tags": ["security", row.section.name(), row.severity.as_str()],
            "security-severity": score(row.severity),
            "precision": "very-high",
        },
    });
    if row.id.starts_with("CVE-") {
        rule["helpUri"] = json!(format!("https://nvd.nist.gov/vuln/detail/{}", row.id));
    }
    rule
}

fn result(row: &Row, index: Option<usize>, report: &ScanReport) -> Value {
    let subject =
        if row.version.is_empty() { row.subject.clone() } else { format!("{} {}", row.subject, row.version) };
    let (first, last) = row.lines.unwrap_or((1, 1));
    let place = if row.path.is_empty() { report.target.name.as_str() } else { row.path.as_str() };
    let mut result = json!({
        "ruleId": row.id,
        "ruleIndex": index,
        "level": level(row.severity),
        "message": { "text": format!("{subject}: {} ({})\n{}", row.title, row.severity.as_str(), row.help) },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": uri(place), "uriBaseId": "ROOTPATH" },
                "region": { "startLine": first.max(1), "endLine": last.max(1) },
            },
            "message": { "text": format!("{}: {subject}", report.target.name) },
        }],
        "partialFingerprints": { "bonded/v1": oci::Digest::sha256(
            format!("{}\0{}\0{}\0{}", row.section.name(), row.id, row.subject, row.path).as_bytes()).hex() },
    });
    if row.section == Section::Vulnerability {
        // SARIF has no place for packages; whoever reads this back need not guess.
        result["properties"] = json!({
            "package": row.subject, "version": row.version, "fixedVersions": row.fixed, "status": row.status,
            "severity": row.severity,
        });
    }
    if let Some(reason) = &row.suppressed {
        result["suppressions"] = json!([{ "kind": "external", "justification": reason }]);
    }
    result
}

/// A relative reference: spaces and the characters that a URI reserves are encoded.
fn uri(path: &str) -> String {
    let mut out = String::new();
    for byte in path.trim_start_matches('/').bytes() {
        match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'/'
            | b'.'
            | b'-'
            | b'_'
            | b'~'
            | b'+'
            | b'@'
            | b'=' => {
                out.push(char::from(byte));
            }
            other => {
                // Writing to a String cannot fail.
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
    out
}
