//! What other scanners said of an artifact, in one form.
//!
//! Read: SARIF 2.1.0, Trivy, Grype and Snyk JSON, CycloneDX with vulnerabilities (JSON and XML), in-toto statements of
//! cosign's and in-toto's vulnerability predicates (bare, in a DSSE envelope or a Sigstore bundle) and the report of
//! Harbor's scanner adapters. The form is recognised by its content.
//!
//! Signatures are not verified here: who may speak of an artifact is the caller's decision. What the scanner itself
//! could not do, and entries that cannot be understood, are kept as `problems`: a report with problems is incomplete and
//! never clean, and a document that states nothing of vulnerabilities is refused rather than read as "none". Everything
//! is bounded: bytes, entries, nesting, the length of each text.

mod collect;
mod combine;
mod cosign;
mod cyclonedx;
mod cyclonedx_xml;
mod excuse;
mod grype;
mod harbor;
mod json;
mod own;
mod sarif;
mod snyk;
mod trivy;

use jiff::Timestamp;
use oci::Digest;
use serde::{Deserialize, Serialize};

pub use combine::{Combined, CombinedFinding, Heard, Opinion, Rule, Unheard, Voice, combine};
pub use excuse::Excuses;
pub(crate) use own::links as finding_links;
pub use own::own;

use crate::Severity;
use crate::advisory::Status;
use crate::matching::Rating;
use json::Object;

/// The form that a report was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// SARIF 2.1.0.
    Sarif,
    /// Trivy's JSON, schema 2.
    Trivy,
    /// Grype's JSON.
    Grype,
    /// `snyk test --json` and `snyk container test --json`.
    Snyk,
    /// CycloneDX with `vulnerabilities`.
    CycloneDx,
    /// in-toto's `vulns` predicate.
    InTotoVulns,
    /// The report of Harbor's scanner adapters.
    Harbor,
    /// Our own scan.
    Bonded,
}

impl Form {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sarif => "SARIF",
            Self::Trivy => "Trivy JSON",
            Self::Grype => "Grype JSON",
            Self::Snyk => "Snyk JSON",
            Self::CycloneDx => "CycloneDX",
            Self::InTotoVulns => "in-toto vulns",
            Self::Harbor => "Harbor scanner report",
            Self::Bonded => "Bonded",
        }
    }
}

/// Bounds on what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest document in bytes; what an envelope carries counts again.
    pub max_bytes: usize,
    /// Most entries (findings, passed-over results, components) of a document.
    pub max_entries: usize,
    /// Documents inside documents.
    pub max_nesting: u32,
}

impl Default for Limits {
    /// 64 MiB, 500,000 entries, 4 documents deep.
    fn default() -> Self {
        Self { max_bytes: 64 << 20, max_entries: 500_000, max_nesting: 4 }
    }
}

/// A scanner and what it knew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scanner {
    /// Name.
    pub name: String,
    /// Who provides it, empty if not stated.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub vendor: String,
    /// Version, empty if not stated.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Its vulnerability database, as it names it, empty if not stated.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub database: String,
    /// When that database was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_at: Option<Timestamp>,
}

/// One report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScannerReport {
    /// Form that it was read from.
    pub form: Form,
    /// Who said it.
    pub scanner: Scanner,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// Name of what was scanned, as given to the scanner.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Manifests (or indexes) that the report says it is about, sorted; empty if not stated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<Digest>,
    /// The image's configuration, if stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<Digest>,
    /// Findings, sorted; no two speak of the same vulnerability of the same package.
    pub findings: Vec<ScannerFinding>,
    /// What was passed over because it is no vulnerability.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What the scanner could not do and what could not be understood; empty: the report is whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

impl ScannerReport {
    /// Takes in another part of the same document: scanners write one report per root of packages.
    pub fn absorb(&mut self, other: Self) {
        self.created = self.created.max(other.created);
        self.digests.extend(other.digests);
        self.digests.sort_unstable();
        self.digests.dedup();
        self.image_id = self.image_id.or(other.image_id);
        self.findings.extend(other.findings);
        self.notes.extend(other.notes);
        self.problems.extend(other.problems);
    }
}

/// One vulnerability of one package, as one scanner says it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScannerFinding {
    /// Identifier that the scanner puts first.
    pub id: String,
    /// Other names of it, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Package as the scanner names it; empty: the artifact as a whole.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub package: String,
    /// Installed version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Canonical package URL, stated or derived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
    /// Versions that repair it, in the scanner's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixed_versions: Vec<String>,
    /// How bad the scanner says it is.
    pub severity: Severity,
    /// Whose word that is, empty if not stated.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub severity_source: String,
    /// Every rating that it passes on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ratings: Vec<Rating>,
    /// State of the repair.
    pub status: Status,
    /// Why the scanner does not count it; absent: it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<String>,
    /// One line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Longer text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// `CWE-…`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weaknesses: Vec<String>,
    /// Further reading, `http` and `https` only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// Files where the package was seen, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}

impl ScannerFinding {
    /// Whether the scanner says that this counts.
    pub fn counts(&self) -> bool {
        self.suppressed.is_none() && self.status != Status::NotAffected
    }
}

/// Why a document was not read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForeignError {
    /// Larger than the limit.
    #[error("the report has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Size in bytes.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// More entries than the limit.
    #[error("the report has more than {limit} entries")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// Documents inside documents, deeper than the limit.
    #[error("the report lies more than {limit} envelopes deep")]
    Nesting {
        /// The limit.
        limit: u32,
    },
    /// Neither JSON nor XML that can be read.
    #[error("not well-formed {form}: {reason}")]
    Syntax {
        /// Form.
        form: &'static str,
        /// Place and reason.
        reason: String,
    },
    /// None of the forms that are read here.
    #[error(
        "not a scanner's report that is read here; give SARIF 2.1.0, Trivy, Grype or Snyk JSON, CycloneDX with \
         vulnerabilities, a vulnerability attestation or a Harbor scanner report"
    )]
    Unknown,
    /// A version that is not read here.
    #[error("{form} version `{version}` is not read here; {help}")]
    Version {
        /// Form.
        form: &'static str,
        /// Stated version.
        version: String,
        /// What to do.
        help: &'static str,
    },
    /// A document of a known form that says nothing of vulnerabilities: not the same as "none".
    #[error("this {form} document says nothing of vulnerabilities: {why}")]
    Silent {
        /// Form.
        form: &'static str,
        /// What is missing.
        why: &'static str,
    },
}

/// Reads the reports of a document of any form; there is at least one.
///
/// # Errors
/// [`ForeignError`]: over a limit, not well-formed, of no known form or version, or silent on vulnerabilities.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Vec<ScannerReport>, ForeignError> {
    let mut budget = Budget { limits, entries: 0, depth: 0 };
    document(bytes, &mut budget)
}

/// What is left to a document and all that lies in it.
struct Budget<'l> {
    limits: &'l Limits,
    entries: usize,
    depth: u32,
}

impl Budget<'_> {
    fn spend(&mut self, entries: usize) -> Result<(), ForeignError> {
        self.entries = self.entries.saturating_add(entries);
        if self.entries > self.limits.max_entries {
            return Err(ForeignError::TooMany { limit: self.limits.max_entries });
        }
        Ok(())
    }

    fn deeper(&mut self) -> Result<(), ForeignError> {
        self.depth += 1;
        if self.depth > self.limits.max_nesting {
            return Err(ForeignError::Nesting { limit: self.limits.max_nesting });
        }
        Ok(())
    }
}

fn document(bytes: &[u8], budget: &mut Budget<'_>) -> Result<Vec<ScannerReport>, ForeignError> {
    let limit = budget.limits.max_bytes;
    if bytes.len() > limit {
        return Err(ForeignError::TooLarge { size: bytes.len(), limit });
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes)
        .map_err(|error| ForeignError::Syntax { form: "text", reason: error.to_string() })?
        .trim_start();
    match text.bytes().next() {
        Some(b'{') => object(Object::parse(text)?, budget),
        Some(b'[') => snyk::list_of(text, budget),
        Some(b'<') => cyclonedx_xml::read(text.as_bytes(), budget).map(|report| vec![report]),
        _ => Err(ForeignError::Unknown),
    }
}

fn object(root: Object<'_>, budget: &mut Budget<'_>) -> Result<Vec<ScannerReport>, ForeignError> {
    let one = |report: Result<ScannerReport, ForeignError>| report.map(|report| vec![report]);
    if root.has("runs") {
        return sarif::read(&root, budget);
    }
    if root.has("bomFormat") {
        return one(cyclonedx::read(&root, budget));
    }
    if cosign::is(&root) {
        return cosign::read(&root, budget);
    }
    if root.has("SchemaVersion") {
        return one(trivy::read(&root, budget));
    }
    if root.states("matches") && root.has("descriptor") {
        return one(grype::read(&root, budget));
    }
    if harbor::is(&root) {
        return one(harbor::read(&root, budget));
    }
    if let Some(inner) = harbor::wrapped(&root) {
        return one(harbor::read(&inner, budget));
    }
    if snyk::is(&root) {
        return snyk::read(root, budget);
    }
    Err(ForeignError::Unknown)
}
