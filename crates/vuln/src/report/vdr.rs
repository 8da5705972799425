//! CycloneDX 1.6 with vulnerabilities: a vulnerability disclosure report of the scanned thing.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::ScanReport;
use crate::matching::{Finding, SuppressionKind};
use crate::sbom::{CycloneDxVersion, Document, cyclonedx_bom};

/// The document's components with the report's vulnerabilities, as CycloneDX 1.6 JSON.
///
/// # Errors
/// Never for documents of this crate.
pub fn vdr(document: &Document, report: &ScanReport) -> serde_json::Result<Vec<u8>> {
    let (mut bom, refs) = cyclonedx_bom(document, CycloneDxVersion::V1_6);
    let mut by_id: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    for finding in report.vulnerabilities.iter().flat_map(|found| &found.findings) {
        by_id.entry(&finding.id).or_default().push(finding);
    }
    for (id, findings) in by_id {
        // One entry per judgement: the same vulnerability may be excused for one package and not for another.
        let mut judged: BTreeMap<String, Vec<&Finding>> = BTreeMap::new();
        for finding in findings {
            judged.entry(analysis(finding).to_string()).or_default().push(finding);
        }
        for group in judged.values() {
            bom.vulnerabilities.push(vulnerability(id, group, document, &refs));
        }
    }
    let mut bytes = serde_json::to_vec_pretty(&bom)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn vulnerability(id: &str, findings: &[&Finding], document: &Document, refs: &[String]) -> Value {
    let first = findings[0];
    let mut affects: Vec<String> = Vec::new();
    for finding in findings {
        for (package, reference) in document.inventory.packages.iter().zip(refs) {
            let same = package.kind == finding.kind
                && package.version == finding.version
                && package.arch == finding.arch
                && finding
                    .package
                    .to_lowercase()
                    .ends_with(&package.name.to_lowercase().replace(['_', '.'], "-"))
                || package.name == finding.package && package.version == finding.version;
            if same && !affects.contains(reference) {
                affects.push(reference.clone());
            }
        }
    }
    let severity = match first.severity.as_str() {
        "negligible" => "info",
        other => other,
    };
    let mut fixes: Vec<String> = findings
        .iter()
        .flat_map(|finding| {
            finding.fixed_versions.iter().map(move |fix| format!("update {} to {fix}", finding.package))
        })
        .collect();
    fixes.sort();
    fixes.dedup();
    let mut out = json!({
        "bom-ref": format!("bonded:{id}:{}", oci::Digest::sha256(affects.join("\n").as_bytes()).hex().get(..12).unwrap_or_default()),
        "id": id,
        "source": { "name": first.because.first().map_or("bonded", |reason| reason.feed.as_str()) },
        "ratings": [{ "severity": severity, "source": { "name": serde_json::to_value(&first.severity_source).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_else(|| "bonded".into()) } }],
        "description": first.title,
        "affects": affects.iter().map(|reference| json!({ "ref": reference })).collect::<Vec<_>>(),
    });
    if !first.suppressed.is_empty() {
        out["analysis"] = analysis(first);
    }
    if !fixes.is_empty() {
        out["recommendation"] = json!(fixes.join("; "));
    }
    if !first.aliases.is_empty() {
        out["references"] =
            first.aliases.iter().map(|alias| json!({ "id": alias, "source": { "name": "alias" } })).collect();
    }
    out
}

/// The state that CycloneDX knows for a judgement.
fn analysis(finding: &Finding) -> Value {
    match finding.suppressed.first() {
        None => Value::Null,
        Some(entry) => {
            let state = match entry.kind {
                SuppressionKind::NotAffected | SuppressionKind::Vex => "not_affected",
                SuppressionKind::Ownership | SuppressionKind::ThirdParty => "false_positive",
                SuppressionKind::Ignore => "in_triage",
            };
            json!({ "state": state, "detail": entry.reason })
        }
    }
}
