//! One finding of any section, as the flat forms need it.

use super::{LicenseFinding, MalwareFinding};
use crate::secrets::SecretFinding;
use crate::{Severity, matching, misconfig};

/// Sections of a report, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// Vulnerable packages.
    Vulnerability,
    /// Secrets.
    Secret,
    /// Misconfiguration.
    Misconfiguration,
    /// Licences.
    License,
    /// Malware.
    Malware,
    /// Outdated packages.
    Outdated,
}

impl Section {
    /// All, in their order.
    pub const ALL: [Self; 6] = [
        Self::Vulnerability,
        Self::Secret,
        Self::Misconfiguration,
        Self::License,
        Self::Malware,
        Self::Outdated,
    ];

    /// Heading and SARIF tag.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vulnerability => "vulnerability",
            Self::Secret => "secret",
            Self::Misconfiguration => "misconfiguration",
            Self::License => "license",
            Self::Malware => "malware",
            Self::Outdated => "outdated",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Section.
    pub section: Section,
    /// CVE, rule or licence.
    pub id: String,
    /// Severity.
    pub severity: Severity,
    /// Package and version, or the file.
    pub subject: String,
    /// Installed version, for packages.
    pub version: String,
    /// Repairing versions, in order.
    pub fixed: Vec<String>,
    /// Subscription that the repairing versions need.
    pub needs: Option<&'static str>,
    /// Status or class.
    pub status: String,
    /// One line.
    pub title: String,
    /// What to do, or more on it.
    pub help: String,
    /// File.
    pub path: String,
    /// First and last line.
    pub lines: Option<(usize, usize)>,
    /// Why it does not count.
    pub suppressed: Option<String>,
}

impl Row {
    pub(super) fn of_vulnerability(finding: &matching::Finding) -> Self {
        let fixed = finding.fixed_versions.clone();
        let help = match fixed.as_slice() {
            [] => format!("no fixed version is known ({})", finding.status.name()),
            versions => format!("update to {}", versions.join(" or ")),
        };
        let needs = finding.needs();
        let help = needs.map_or(help.clone(), |needs| format!("{help} ({needs})"));
        Self {
            section: Section::Vulnerability,
            id: finding.id.clone(),
            severity: finding.severity,
            subject: finding.package.clone(),
            version: finding.version.clone(),
            fixed,
            needs,
            status: finding.status.name().to_owned(),
            title: finding.title.clone(),
            help,
            path: finding.evidence.first().map(|evidence| evidence.path.clone()).unwrap_or_default(),
            lines: None,
            suppressed: excuse(&finding.suppressed),
        }
    }

    pub(super) fn of_secret(finding: &SecretFinding) -> Self {
        let place = if finding.deleted { " (in a file that a later layer deletes)" } else { "" };
        Self {
            section: Section::Secret,
            id: finding.id.clone(),
            severity: finding.severity,
            subject: finding.path.clone(),
            version: String::new(),
            fixed: Vec::new(),
            needs: None,
            status: if finding.verified { "verified form".into() } else { "matched".into() },
            title: format!("{}: {}{place}", finding.title, finding.masked),
            help: "revoke the secret, remove it from every layer and pass it at run time".into(),
            path: finding.path.clone(),
            lines: Some((finding.line, finding.line)),
            suppressed: excuse(&finding.suppressed),
        }
    }

    pub(super) fn of_misconfiguration(finding: &misconfig::Finding) -> Self {
        let message =
            if finding.message == finding.title { String::new() } else { format!(": {}", finding.message) };
        Self {
            section: Section::Misconfiguration,
            id: finding.id.clone(),
            severity: finding.severity,
            subject: finding.path.clone(),
            version: String::new(),
            fixed: Vec::new(),
            needs: None,
            status: finding.aliases.join(", "),
            title: format!("{}{message}", finding.title),
            help: finding.remedy.clone(),
            path: finding.path.clone(),
            lines: finding.lines,
            suppressed: excuse(&finding.suppressed),
        }
    }

    pub(super) fn of_license(finding: &LicenseFinding) -> Self {
        Self {
            section: Section::License,
            id: finding.license.clone(),
            severity: finding.severity,
            subject: finding.package.clone(),
            version: finding.version.clone(),
            fixed: Vec::new(),
            needs: None,
            status: finding.class.name().to_owned(),
            title: format!("{} is {}", finding.license, finding.class.name()),
            help: "decide whether this licence may be used, and record it in the policy".into(),
            path: finding.path.clone(),
            lines: None,
            suppressed: excuse(&finding.suppressed),
        }
    }

    pub(super) fn of_malware(finding: &MalwareFinding) -> Self {
        Self {
            section: Section::Malware,
            id: finding.name.clone(),
            severity: Severity::Critical,
            subject: finding.path.clone(),
            version: String::new(),
            fixed: Vec::new(),
            needs: None,
            status: finding.digest.to_string(),
            title: format!("known malware `{}`", finding.name),
            help: "do not run this image; find out how the file came into it".into(),
            path: finding.path.clone(),
            lines: None,
            suppressed: excuse(&finding.suppressed),
        }
    }

    pub(super) fn of_outdated(finding: &matching::OutdatedFinding) -> Self {
        Self {
            section: Section::Outdated,
            id: format!("outdated-{}", finding.behind.name()),
            severity: finding.severity,
            subject: finding.package.clone(),
            version: finding.version.clone(),
            fixed: vec![finding.newest.clone()],
            needs: None,
            status: finding.behind.name().to_owned(),
            title: format!(
                "{} {} is outdated, {} is the newest",
                finding.package, finding.version, finding.newest
            ),
            help: format!("update to {}", finding.newest),
            path: finding.path.clone(),
            lines: None,
            suppressed: None,
        }
    }
}

/// The first reason not to count a finding, with who gave it.
fn excuse(suppressed: &[matching::Suppression]) -> Option<String> {
    let entry = suppressed.first()?;
    let source = if entry.source.is_empty() { String::new() } else { format!(" ({})", entry.source) };
    Some(format!("{}{source}", entry.reason))
}
