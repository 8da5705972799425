//! Scans and their reports as Harbor writes them.

use metadata::jobs::JobState;
use metadata::model::scan::{ScanRow, ScanStatus, SeverityCounts};
use oci::Digest;
use registry::list::{Accessory, ArtifactKind};
use registry::scan::ArtifactScan;
use serde_json::{Map, Value, json};
use vuln::Severity;
use vuln::advisory::Status;
use vuln::foreign::CombinedFinding;
use vuln::report::harbor::{self, Vulnerability};

use crate::api::findings::{Judged, severity_name};

/// The type of reports that Harbor's clients ask for unless they say otherwise.
pub(super) const REPORT: &str = "application/vnd.security.vulnerability.report; version=1.1";

/// Its older name for the same.
const OLD_REPORT: &str = "application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0";

/// The scanner as every document names it.
pub(super) fn scanner() -> Value {
    json!({ "name": "Bonded", "vendor": "Bonded", "version": env!("CARGO_PKG_VERSION") })
}

/// The type under which a report is given out: the first known one of `X-Accept-Vulnerabilities`.
pub(super) fn report_type(headers: &http::HeaderMap) -> &'static str {
    let asked = headers.get("x-accept-vulnerabilities").and_then(|value| value.to_str().ok());
    let mut asked = asked.unwrap_or_default().split(',').map(str::trim);
    asked.find_map(|name| [REPORT, OLD_REPORT].into_iter().find(|known| *known == name)).unwrap_or(REPORT)
}

fn worst(counts: &SeverityCounts) -> Option<&'static str> {
    let ranked = [
        (counts.critical, "Critical"),
        (counts.high, "High"),
        (counts.medium, "Medium"),
        (counts.low, "Low"),
        (counts.negligible, "Negligible"),
        (counts.unknown, "Unknown"),
    ];
    ranked.into_iter().find(|(count, _)| *count > 0).map(|(_, name)| name)
}

fn by_severity(counts: &SeverityCounts) -> Value {
    let named = [
        ("Critical", counts.critical),
        ("High", counts.high),
        ("Medium", counts.medium),
        ("Low", counts.low),
        ("Negligible", counts.negligible),
        ("Unknown", counts.unknown),
    ];
    let said = named.into_iter().filter(|(_, count)| *count > 0);
    Value::Object(said.map(|(name, count)| (name.to_owned(), count.into())).collect())
}

/// The id of a report as Harbor writes it.
pub(super) fn report_id(digest: &Digest) -> String {
    let hex = digest.hex();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// The state of an artifact's scan; none: it was never asked for, or it has nothing that can be scanned.
pub(super) fn overview(digest: &Digest, scan: &ArtifactScan, kind: &str) -> Option<Value> {
    let rows: Vec<&ScanRow> = scan.row.iter().chain(&scan.children).collect();
    let rows: Vec<&ScanRow> = rows.into_iter().filter(|row| row.status != ScanStatus::Unsupported).collect();
    if rows.is_empty() && scan.active.is_none() {
        return None;
    }
    let failed = rows.iter().any(|row| row.status == ScanStatus::Failed);
    let status = match scan.active {
        Some(JobState::Running) => "Running",
        Some(_) => "Pending",
        None if failed => "Error",
        None => "Success",
    };
    let (mut counts, mut fixable, mut millis) = (SeverityCounts::default(), SeverityCounts::default(), 0);
    for verdict in rows.iter().filter_map(|row| row.verdict.as_ref()) {
        counts.add(&verdict.counts);
        fixable.add(&verdict.details.fixable);
        millis += verdict.details.millis;
    }
    let whole =
        scan.unknown == 0 && !rows.is_empty() && rows.iter().all(|row| row.status == ScanStatus::Succeeded);
    // What was not wholly judged is never clean.
    let severity = worst(&counts).unwrap_or(if whole { "None" } else { "Unknown" });
    let at = rows.iter().map(|row| row.attempted_at).max();
    let mut document = json!({
        "report_id": report_id(digest),
        "scan_status": status,
        "severity": severity,
        "duration": millis.div_ceil(1000),
        "summary": { "total": counts.total(), "fixable": fixable.total(), "summary": by_severity(&counts) },
        "start_time": at,
        "end_time": at,
        "complete_percent": if scan.active.is_some() { 0 } else { 100 },
        "scanner": scanner(),
    });
    if rows.iter().all(|row| row.verdict.is_none()) {
        document["summary"] = Value::Null;
        document["severity"] = "Unknown".into();
    }
    let mut overview = Map::new();
    overview.insert(kind.to_owned(), document);
    Some(Value::Object(overview))
}

/// The newest bill of materials that hangs on an artifact.
pub(super) fn sbom_overview(digest: &Digest, accessories: &[Accessory]) -> Option<Value> {
    let bills = accessories.iter().filter(|accessory| accessory.kind == ArtifactKind::Sbom);
    let newest = bills.max_by_key(|accessory| accessory.row.pushed_at)?;
    Some(json!({
        "sbom_digest": newest.row.digest,
        "scan_status": "Success",
        "report_id": report_id(digest),
        "duration": 0,
        "start_time": newest.row.pushed_at,
        "end_time": newest.row.pushed_at,
        "scanner": scanner(),
    }))
}

pub(super) fn status_name(status: Status) -> &'static str {
    match status {
        Status::Fixed => "fixed",
        Status::WillNotFix => "will_not_fix",
        Status::FixDeferred => "fix_deferred",
        Status::EndOfLife => "end_of_life",
        Status::UnderInvestigation => "under_investigation",
        Status::NotAffected => "not_affected",
        Status::Affected => "affected",
    }
}

/// Where more about a vulnerability is.
pub(super) fn links(id: &str) -> Vec<String> {
    let place = if id.starts_with("CVE-") { "https://www.cve.org/CVERecord?id=" } else { "https://osv.dev/" };
    vec![format!("{place}{id}")]
}

fn vulnerability(digest: &Digest, finding: &CombinedFinding) -> Vulnerability {
    let mut links_of = links(&finding.id);
    links_of
        .extend(finding.links.iter().filter(|link| !links_of.contains(link)).cloned().collect::<Vec<_>>());
    Vulnerability { links: links_of, artifact_digests: vec![*digest], ..harbor::combined(finding) }
}

/// The report of an artifact, of an index that of all its images; an empty document before the first scan.
pub(super) fn report(kind: &str, judged: &[Judged]) -> Value {
    let mut document = Map::new();
    let Some(first) = judged.first() else { return Value::Object(document) };
    let worst = judged.iter().flat_map(Judged::findings).map(|finding| finding.severity).max();
    let incomplete = judged.iter().any(|one| !one.said.is_complete());
    let severity = match worst.filter(|worst| *worst > Severity::Unknown) {
        Some(worst) => severity_name(worst),
        None if incomplete || worst.is_some() => "Unknown",
        None => "None",
    };
    let found: Vec<Vulnerability> = judged
        .iter()
        .flat_map(|one| one.findings().map(|finding| vulnerability(&one.digest, finding)))
        .collect();
    let (created, by) = match first.said.heard.as_slice() {
        [one] => (one.created, json!(one.scanner)),
        several => (several.iter().filter_map(|heard| heard.created).max(), scanner()),
    };
    let report = json!({
        "generated_at": created,
        "scanner": by,
        "severity": severity,
        "vulnerabilities": found,
    });
    document.insert(kind.to_owned(), report);
    Value::Object(document)
}
