//! The result of a scan, and the forms in which it is given out: table, JSON, SARIF 2.1.0, JUnit, CycloneDX VDR,
//! Harbor's scanner report.
//!
//! A section that was not asked for is absent, one that was asked for and found nothing is empty: "not looked" never
//! looks like "clean". Suppressed findings stay, with their reason; what could not be read or judged makes the whole
//! incomplete.

mod advice;
pub mod harbor;
mod ignored;
mod junit;
mod licenses;
mod row;
mod sarif;
mod table;
mod vdr;

use serde::{Deserialize, Serialize};

pub use advice::{Advice, base_advice, base_layers};
pub use junit::junit;
pub use licenses::{LicenseFinding, license_findings};
pub use row::{Row, Section};
pub use sarif::sarif;
pub use table::table;
pub use vdr::vdr;

use crate::db::StaleFeed;
use crate::matching::{self, Suppression, SuppressionKind};
use crate::misconfig;
use crate::secrets::SecretFinding;
use crate::{Distro, Problem, Severity};

/// What was scanned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Name as given or found.
    pub name: String,
    /// Tag or version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Manifest digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<oci::Digest>,
    /// Distribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distro: Option<Distro>,
    /// Packages that were judged.
    pub packages: usize,
}

/// A file whose hash is on a list of malware.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MalwareFinding {
    /// File.
    pub path: String,
    /// SHA-256.
    pub digest: oci::Digest,
    /// Name that the list gives it.
    pub name: String,
    /// Layer (diffID) that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<oci::Digest>,
    /// Why it does not count; empty: it counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suppressed: Vec<Suppression>,
}

/// The result of a scan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScanReport {
    /// What was scanned.
    pub target: Target,
    /// When, RFC 3339 in UTC.
    pub created: String,
    /// The day on which the distribution's security support ended, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_of_life: Option<String>,
    /// Vulnerabilities; absent when not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vulnerabilities: Option<matching::Report>,
    /// Secrets; absent when not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Vec<SecretFinding>>,
    /// Misconfiguration; absent when not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub misconfigurations: Option<Vec<misconfig::Finding>>,
    /// Licences that ask for something; absent when not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licenses: Option<Vec<LicenseFinding>>,
    /// Known malware; absent when no list was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub malware: Option<Vec<MalwareFinding>>,
    /// Outdated packages; absent when not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outdated: Option<matching::Outdated>,
    /// What another base image would change; absent when not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Advice>,
    /// Feeds of the database that were not renewed for longer than allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale_feeds: Vec<StaleFeed>,
    /// What could not be read or judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

impl ScanReport {
    /// Whether parts of the target could not be read or judged.
    pub fn is_incomplete(&self) -> bool {
        !self.problems.is_empty()
            || self.vulnerabilities.as_ref().is_some_and(|report| !report.problems.is_empty())
    }

    /// The worst severity among findings that count; with `fixable_only`, vulnerabilities without a fix do not.
    pub fn worst(&self, fixable_only: bool) -> Option<Severity> {
        self.rows()
            .iter()
            .filter(|row| row.suppressed.is_none())
            .filter(|row| !fixable_only || row.section != Section::Vulnerability || !row.fixed.is_empty())
            .map(|row| row.severity)
            .max()
    }

    /// Drops vulnerabilities without a fix from the report.
    pub fn retain_fixable(&mut self) {
        if let Some(report) = &mut self.vulnerabilities {
            report.findings.retain(matching::Finding::is_fixable);
        }
    }

    /// All findings in one form, in the order of the sections, each by severity, worst first.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        let found = self.vulnerabilities.iter().flat_map(|report| &report.findings);
        // What the distribution denies was never a finding of this package: it is evidence, shown in JSON only.
        let denied = |finding: &&matching::Finding| {
            finding.suppressed.iter().any(|entry| entry.kind == SuppressionKind::NotAffected)
        };
        rows.extend(found.filter(|finding| !denied(finding)).map(Row::of_vulnerability));
        rows.extend(self.secrets.iter().flatten().map(Row::of_secret));
        rows.extend(self.misconfigurations.iter().flatten().map(Row::of_misconfiguration));
        rows.extend(self.licenses.iter().flatten().map(Row::of_license));
        rows.extend(self.malware.iter().flatten().map(Row::of_malware));
        rows.extend(self.outdated.iter().flat_map(|found| &found.findings).map(Row::of_outdated));
        rows.sort_by(|a, b| {
            (a.section, std::cmp::Reverse(a.severity), &a.subject, &a.id, &a.path, a.lines).cmp(&(
                b.section,
                std::cmp::Reverse(b.severity),
                &b.subject,
                &b.id,
                &b.path,
                b.lines,
            ))
        });
        rows
    }
}

/// The report as pretty JSON with a final line feed.
///
/// # Errors
/// Never for reports of this crate.
pub fn json(report: &ScanReport) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(report)?;
    bytes.push(b'\n');
    Ok(bytes)
}
