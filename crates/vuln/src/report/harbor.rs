//! The reports of Harbor's scanner-adapter API 1.2 (`scanner-adapter-openapi-v1.2.yaml`), which Harbor's own API passes
//! on as `additions/vulnerabilities`.
//!
//! Harbor knows no excuses: only findings that count are written. Nor does it know incomplete reports: one that is
//! incomplete and names nothing would look clean, so it is refused ([`NotJudged`]) and the caller answers with an error.
//! An empty report has the severity `Unknown`, as Trivy's adapter writes it: the API has no word for "none".

use std::collections::BTreeMap;

use jiff::Timestamp;
use oci::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ScanReport;
use crate::foreign::{CombinedFinding, finding_links};
use crate::matching::{Finding, Rating};
use crate::sbom::{CycloneDxVersion, Document, Format, WriteError};
use crate::{CvssScore, Severity};

/// Media type of the vulnerability report.
pub const VULNERABILITY_REPORT: &str = "application/vnd.security.vulnerability.report; version=1.1";
/// Media type of its predecessor, which older Harbors ask for; the same document serves both.
pub const VULNERABILITY_REPORT_1_0: &str =
    "application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0";
/// Media type of the SBOM report.
pub const SBOM_REPORT: &str = "application/vnd.security.sbom.report+json; version=1.0";

/// The artifact that a report is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Artifact {
    /// Repository.
    pub repository: String,
    /// Manifest digest.
    pub digest: String,
    /// Tag.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tag: String,
    /// Media type of the manifest.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mime_type: String,
}

/// Who scanned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scanner {
    /// Name.
    pub name: String,
    /// Provider.
    pub vendor: String,
    /// Version.
    pub version: String,
}

impl Scanner {
    /// This scanner.
    pub fn bonded() -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { name: "Bonded".into(), vendor: "Bonded".into(), version }
    }
}

/// Scores and vectors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cvss {
    /// CVSS 3 base score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score_v3: Option<f64>,
    /// CVSS 2 base score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score_v2: Option<f64>,
    /// CVSS 3 vector.
    pub vector_v3: String,
    /// CVSS 2 vector.
    pub vector_v2: String,
}

/// One finding.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Vulnerability {
    /// CVE or other identifier.
    pub id: String,
    /// Package.
    pub package: String,
    /// Installed version.
    pub version: String,
    /// Repairing versions, separated by commas; empty if there is none.
    pub fix_version: String,
    /// `Unknown`, `Negligible`, `Low`, `Medium`, `High` or `Critical`.
    pub severity: String,
    /// State of the repair (`fixed`, `affected`, `will_not_fix` …).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// Text.
    pub description: String,
    /// Further reading.
    pub links: Vec<String>,
    /// Artifacts that have it: what Harbor's API adds for an index.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub artifact_digests: Vec<Digest>,
    /// The preferred score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preferred_cvss: Option<Cvss>,
    /// `CWE-…`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cwe_ids: Vec<String>,
    /// Every score by source (`CVSS`), and what only we say (`bonded`).
    #[serde(skip_serializing_if = "Value::is_null")]
    pub vendor_attributes: Value,
}

/// The vulnerability report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VulnerabilityReport {
    /// When.
    pub generated_at: Timestamp,
    /// What of.
    pub artifact: Artifact,
    /// Who.
    pub scanner: Scanner,
    /// The worst severity.
    pub severity: String,
    /// Findings, worst first.
    pub vulnerabilities: Vec<Vulnerability>,
}

/// The SBOM report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SbomReport {
    /// When.
    pub generated_at: Timestamp,
    /// What of.
    pub artifact: Artifact,
    /// Who.
    pub scanner: Scanner,
    /// Ours alone.
    #[serde(default)]
    pub vendor_attributes: BTreeMap<String, Value>,
    /// `application/spdx+json` or `application/vnd.cyclonedx+json`.
    pub media_type: String,
    /// The document.
    pub sbom: Value,
}

/// A scan that must not be written as a report of Harbor's: it would look clean.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotJudged {
    /// Vulnerabilities were not looked for.
    #[error("vulnerabilities were not looked for")]
    NotLooked,
    /// Nothing was found, but not everything was read.
    #[error("nothing was found, but the scan is incomplete: {0}")]
    Incomplete(String),
}

/// The API's word.
pub fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Unknown => "Unknown",
        Severity::Negligible => "Negligible",
        Severity::Low => "Low",
        Severity::Medium => "Medium",
        Severity::High => "High",
        Severity::Critical => "Critical",
    }
}

/// The report of a scan.
///
/// # Errors
/// [`NotJudged`] if it would look clean without being so.
pub fn report(
    scan: &ScanReport,
    artifact: Artifact,
    now: Timestamp,
) -> Result<VulnerabilityReport, NotJudged> {
    let found = scan.vulnerabilities.as_ref().ok_or(NotJudged::NotLooked)?;
    let counting: Vec<Vulnerability> = found.counting().map(vulnerability).collect();
    if counting.is_empty()
        && let Some(problem) = scan.problems.iter().chain(&found.problems).next()
    {
        return Err(NotJudged::Incomplete(format!(
            "{} {}: {}",
            problem.source, problem.path, problem.message
        )));
    }
    let generated_at = scan.created.parse().unwrap_or(now);
    Ok(assemble(Scanner::bonded(), artifact, generated_at, counting))
}

/// A report of given findings.
pub fn assemble(
    scanner: Scanner,
    artifact: Artifact,
    generated_at: Timestamp,
    mut vulnerabilities: Vec<Vulnerability>,
) -> VulnerabilityReport {
    let rank = |v: &Vulnerability| std::cmp::Reverse(Severity::from_word(&v.severity));
    vulnerabilities.sort_by(|a, b| {
        (rank(a), &a.id, &a.package, &a.version).cmp(&(rank(b), &b.id, &b.package, &b.version))
    });
    let worst = vulnerabilities.first().map(|v| Severity::from_word(&v.severity)).unwrap_or_default();
    let severity = severity_word(worst).to_owned();
    VulnerabilityReport { generated_at, artifact, scanner, severity, vulnerabilities }
}

/// One of our own findings.
pub fn vulnerability(finding: &Finding) -> Vulnerability {
    let mut own = json!({ "aliases": finding.aliases, "severity_source": finding.severity_source });
    if let Some(epss) = finding.epss {
        own["epss"] = json!(epss);
    }
    if let Some(exploited) = &finding.exploited {
        own["known_exploited"] = json!(exploited);
    }
    if let Some((name, version)) = &finding.source {
        own["source_package"] = json!(format!("{name} {version}"));
    }
    Vulnerability {
        id: finding.id.clone(),
        package: finding.package.clone(),
        version: finding.version.clone(),
        fix_version: finding.fixed_versions.join(", "),
        severity: severity_word(finding.severity).to_owned(),
        status: finding.status.name().to_owned(),
        description: finding.title.clone(),
        links: finding_links(finding),
        preferred_cvss: preferred(&finding.ratings, &finding.severity_source.0),
        vendor_attributes: attributes(&finding.ratings, own),
        ..Vulnerability::default()
    }
}

/// A finding of several scanners.
pub fn combined(finding: &CombinedFinding) -> Vulnerability {
    let said: Vec<Value> = finding
        .said
        .iter()
        .map(|said| {
            json!({
                "by": said.by, "severity": severity_word(said.severity), "status": said.status,
                "fix_version": said.fixed_versions.join(", "), "suppressed": said.suppressed,
            })
        })
        .collect();
    let ratings: Vec<Rating> = finding.said.iter().flat_map(|said| said.ratings.clone()).collect();
    Vulnerability {
        id: finding.id.clone(),
        package: finding.package.clone(),
        version: finding.version.clone(),
        fix_version: finding.fixed_versions.join(", "),
        severity: severity_word(finding.severity).to_owned(),
        status: finding.status.name().to_owned(),
        description: if finding.description.is_empty() { &finding.title } else { &finding.description }
            .clone(),
        links: finding.links.clone(),
        preferred_cvss: preferred(&ratings, ""),
        cwe_ids: finding.weaknesses.clone(),
        vendor_attributes: attributes(&ratings, json!({ "aliases": finding.aliases, "said": said })),
        ..Vulnerability::default()
    }
}

/// The SBOM report of a document, in one of the two media types that the API knows.
///
/// # Errors
/// [`WriteError`] never for documents of this crate; `None` is a media type that the API does not know.
pub fn sbom_report(
    document: &Document,
    media_type: &str,
    artifact: Artifact,
    generated_at: Timestamp,
) -> Result<Option<SbomReport>, WriteError> {
    let format = match media_type {
        "application/spdx+json" => Format::Spdx23Json,
        "application/vnd.cyclonedx+json" => Format::CycloneDxJson(CycloneDxVersion::V1_6),
        _ => return Ok(None),
    };
    let sbom = serde_json::from_slice(&crate::sbom::write(document, format)?)?;
    let media_type = media_type.to_owned();
    let (scanner, vendor_attributes) = (Scanner::bonded(), BTreeMap::new());
    Ok(Some(SbomReport { generated_at, artifact, scanner, vendor_attributes, media_type, sbom }))
}

/// Major version of a rating's vector.
fn major(rating: &Rating) -> Option<(u8, &str)> {
    let vector = rating.vector.as_deref()?;
    let version = match CvssScore::parse(vector).ok()?.version.as_str() {
        "2.0" => 2,
        "4.0" => 4,
        _ => 3,
    };
    Some((version, vector))
}

/// Scores of the source that decided the severity, else of the National Vulnerability Database, else of the first.
fn preferred(ratings: &[Rating], source: &str) -> Option<Cvss> {
    let of = |wanted: u8| {
        let mut fitting: Vec<&Rating> =
            ratings.iter().filter(|r| major(r).is_some_and(|(version, _)| version == wanted)).collect();
        fitting.sort_by_key(|r| (r.source != source, !r.source.starts_with("nvd")));
        fitting.first().map(|r| (r.score, r.vector.clone().unwrap_or_default()))
    };
    let (third, second) = (of(3), of(2));
    if third.is_none() && second.is_none() {
        return None;
    }
    let ((score_v3, vector_v3), (score_v2, vector_v2)) =
        (third.unwrap_or_default(), second.unwrap_or_default());
    Some(Cvss { score_v3, score_v2, vector_v3, vector_v2 })
}

/// Scores by source in the form that Harbor's UI reads.
fn attributes(ratings: &[Rating], own: Value) -> Value {
    let mut table: BTreeMap<&str, BTreeMap<String, Value>> = BTreeMap::new();
    for rating in ratings {
        let Some((version, vector)) = major(rating) else { continue };
        let prefix = if version == 4 { "V40".to_owned() } else { format!("V{version}") };
        let row = table.entry(if rating.source.is_empty() { "unknown" } else { &rating.source }).or_default();
        row.entry(format!("{prefix}Vector")).or_insert_with(|| json!(vector));
        if let Some(score) = rating.score {
            row.entry(format!("{prefix}Score")).or_insert_with(|| json!(score));
        }
    }
    json!({ "CVSS": table, "bonded": own })
}
