//! What a scan says: findings, why they are there, and why some of them do not count.

use super::rating::{RatedBy, Rating};
use crate::advisory::Status;
use crate::db::FeedInfo;
use crate::package::{Evidence, PackageKind, Problem};
use crate::severity::Severity;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// A vulnerability of a package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Packaging system.
    pub kind: PackageKind,
    /// Package name as its ecosystem's advisories spell it; the binary name for distributions.
    pub package: String,
    /// Installed version.
    pub version: String,
    /// Machine architecture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// The vulnerability's first name: its CVE if it has one.
    pub id: String,
    /// Its other names, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// What the vendor says.
    pub status: Status,
    /// How bad it is.
    pub severity: Severity,
    /// Who rated it so.
    pub severity_source: RatedBy,
    /// Every rating, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ratings: Vec<Rating>,
    /// Versions that repair it, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixed_versions: Vec<String>,
    /// One line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Probability of exploitation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epss: Option<Score>,
    /// Known to be exploited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exploited: Option<Exploited>,
    /// Source package's name and version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<(String, String)>,
    /// Where the package was seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// The claims that made it, sorted.
    pub because: Vec<Reason>,
    /// Why it does not count; empty: it counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suppressed: Vec<Suppression>,
}

/// One claim that made a finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reason {
    /// Advisory.
    pub advisory: String,
    /// Feed it is of.
    pub feed: String,
    /// Canonical ecosystem.
    pub ecosystem: String,
    /// Name that was looked up.
    pub name: String,
    /// Which of the package's names that is.
    pub name_is: String,
    /// Version that was compared.
    pub version: String,
    /// The range it lies in, in words.
    pub range: String,
    /// Version order that decided.
    pub order: String,
    /// What this claim says.
    pub status: Status,
    /// Repairing versions that this claim names.
    pub fixed: Vec<String>,
    /// Module stream that the claim is restricted to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
}

/// EPSS.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Within 30 days, 0–1.
    pub probability: f64,
    /// Part of all vulnerabilities that are no likelier, 0–1.
    pub percentile: f64,
}

/// CISA KEV.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exploited {
    /// Day it was added.
    pub added: String,
    /// Day by which US agencies must act.
    pub due: String,
    /// Used by ransomware campaigns.
    pub ransomware: bool,
}

/// Who excuses a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuppressionKind {
    /// The distribution says that it is not affected.
    NotAffected,
    /// The package lies in files of a distribution package.
    Ownership,
    /// The package is not the distribution's.
    ThirdParty,
    /// A VEX statement.
    Vex,
    /// A rule of an ignore file.
    Ignore,
}

/// Why a finding does not count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Suppression {
    /// Who excuses it.
    pub kind: SuppressionKind,
    /// The reason given.
    pub reason: String,
    /// Document, feed or rule.
    pub source: String,
    /// Last day it holds (`YYYY-MM-DD`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

impl Finding {
    /// Whether a repairing version exists.
    pub fn is_fixable(&self) -> bool {
        self.status == Status::Fixed
    }
    /// The subscription without which no repairing version can be had.
    pub fn needs(&self) -> Option<&'static str> {
        let mut repairs = self.because.iter().filter(|reason| !reason.fixed.is_empty()).peekable();
        repairs.peek()?;
        repairs.all(|reason| reason.ecosystem.starts_with("Ubuntu:Pro:")).then_some("Ubuntu Pro")
    }
    /// Whether it counts.
    pub fn counts(&self) -> bool {
        self.suppressed.is_empty()
    }
    /// Adds a reason not to count it.
    pub fn suppress(&mut self, suppression: Suppression) {
        if !self.suppressed.contains(&suppression) {
            self.suppressed.push(suppression);
            self.suppressed.sort();
        }
    }
    fn key(&self) -> (&str, &str, PackageKind, &Option<String>, &str, &[Evidence]) {
        (&self.package, &self.version, self.kind, &self.arch, &self.id, &self.evidence)
    }
}

impl Eq for Finding {}

impl PartialOrd for Finding {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By package, version and vulnerability; equal keys do not occur in one report but for equal findings.
impl Ord for Finding {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key()).then_with(|| self.because.cmp(&other.because))
    }
}

/// How many findings, by severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Critical.
    pub critical: u64,
    /// High.
    pub high: u64,
    /// Medium.
    pub medium: u64,
    /// Low.
    pub low: u64,
    /// Negligible.
    pub negligible: u64,
    /// Not rated.
    pub unknown: u64,
}

impl Counts {
    fn add(&mut self, severity: Severity) {
        *match severity {
            Severity::Critical => &mut self.critical,
            Severity::High => &mut self.high,
            Severity::Medium => &mut self.medium,
            Severity::Low => &mut self.low,
            Severity::Negligible => &mut self.negligible,
            Severity::Unknown => &mut self.unknown,
        } += 1;
    }
    /// Together.
    pub fn total(&self) -> u64 {
        self.critical + self.high + self.medium + self.low + self.negligible + self.unknown
    }
}

/// The result of a scan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Canonical ecosystems that the distribution's packages were looked up in.
    pub scopes: Vec<String>,
    /// The day the release's support ended, if it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_of_life: Option<String>,
    /// Findings, sorted, those that do not count among them.
    pub findings: Vec<Finding>,
    /// What could not be judged.
    pub problems: Vec<Problem>,
    /// Feeds that were asked, with their age.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feeds: Vec<FeedInfo>,
}

impl Report {
    /// Findings that count.
    pub fn counting(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| f.counts())
    }
    /// All that count, by severity.
    pub fn all(&self) -> Counts {
        let mut counts = Counts::default();
        self.counting().for_each(|f| counts.add(f.severity));
        counts
    }
    /// Those of them that a newer version repairs.
    pub fn fixable(&self) -> Counts {
        let mut counts = Counts::default();
        self.counting().filter(|f| f.is_fixable()).for_each(|f| counts.add(f.severity));
        counts
    }
}
