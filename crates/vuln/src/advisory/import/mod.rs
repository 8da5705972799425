//! Feeds of other people turned into [`Advisory`] values: one file for each published form.
//!
//! [`import`] takes a name and bytes: a document, a list of documents by lines, or an archive of documents (zip, tar,
//! gzip, zstd). The form of each document is recognised by what it is ([`Form::detect`]), never by the caller's hope.
//! Invariants: nothing panics on any bytes; sizes, counts and nesting are bounded by [`ImportLimits`]; a document that is
//! of a known form but cannot be read is counted in [`ImportStats::refused`], never passed over in silence.

mod archive;
mod bolt;
mod csaf;
mod debian;
mod eol;
mod epss;
mod form;
mod friendsofphp;
mod grype;
mod kev;
mod newest;
mod nodejs;
mod osv;
mod oval;
mod retirejs;
mod rubysec;
mod rustsec;
mod secdb;
mod trivy;
mod ubuntu;
mod updateinfo;

pub use form::Form;
pub use newest::Newest;

use super::Advisory;
use serde::{Deserialize, Serialize};

/// One thing that a feed states.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// An advisory.
    Advisory(Box<Advisory>),
    /// A probability of exploitation.
    Epss(EpssScore),
    /// A vulnerability known to be exploited.
    Kev(KevEntry),
    /// The end of a release's support.
    EndOfLife(EndOfLife),
    /// The newest version of a package.
    Newest(Newest),
    /// The feed numbers its scopes and states elsewhere what the number means: rows of `from` belong to `to`.
    ScopeAlias {
        /// Scope as rows name it.
        from: String,
        /// Ecosystem that it is.
        to: String,
    },
}

/// FIRST's Exploit Prediction Scoring System.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpssScore {
    /// CVE identifier.
    pub cve: String,
    /// Probability of exploitation within 30 days, 0–1.
    pub score: f64,
    /// Part of all vulnerabilities with this score or a lower one, 0–1.
    pub percentile: f64,
}

/// CISA's catalogue of known exploited vulnerabilities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KevEntry {
    /// CVE identifier.
    pub cve: String,
    /// Name of the vulnerability.
    pub name: String,
    /// Day it was added (`YYYY-MM-DD`), empty if the feed does not say.
    pub added: String,
    /// Day by which US agencies must act, empty if the feed does not say.
    pub due: String,
    /// Used by ransomware campaigns.
    pub ransomware: bool,
}

/// The end of a release's support, as endoflife.date states it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EndOfLife {
    /// Product (`debian`, `alpine`, `python`).
    pub product: String,
    /// Release cycle (`12`, `3.20`).
    pub cycle: String,
    /// Last day of support (`YYYY-MM-DD`); empty: supported without a known end.
    pub eol: String,
}

/// Bounds of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportLimits {
    /// Longest document, in bytes after decompression.
    pub max_document_bytes: u64,
    /// All documents together, in bytes after decompression.
    pub max_total_bytes: u64,
    /// Most documents.
    pub max_documents: u64,
    /// Deepest archive in an archive.
    pub max_archive_depth: u32,
}

impl Default for ImportLimits {
    fn default() -> Self {
        Self {
            max_document_bytes: 1 << 30,
            max_total_bytes: 64 << 30,
            max_documents: 5_000_000,
            max_archive_depth: 3,
        }
    }
}

/// What an import saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportStats {
    /// Documents of a known form.
    pub documents: u64,
    /// Documents that are no advisory data (licences, read-me files).
    pub ignored: u64,
    /// Items handed over.
    pub items: u64,
    /// Statements in documents that were read which have no place here: of no package, between no versions.
    pub skipped: u64,
    /// Documents of a known form that could not be read.
    pub refused: u64,
    /// The first of them: name and reason.
    pub refusals: Vec<(String, String)>,
}

/// Why an import ended early.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The archive is damaged or of an unsupported kind.
    #[error("archive {name} cannot be read: {reason}")]
    Archive {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A bound of [`ImportLimits`] was reached.
    #[error("limit {limit} reached in {name}")]
    Limit {
        /// Which bound.
        limit: &'static str,
        /// Document or archive.
        name: String,
    },
}

/// Why one document was refused.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(String);

impl Refusal {
    fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
    fn from_error(error: impl std::fmt::Display) -> Self {
        let mut text = error.to_string();
        if let Some((at, _)) = text.char_indices().nth(300) {
            text.truncate(at);
        }
        Self(text)
    }
}

/// Where importers put what they read.
type Sink<'a> = &'a mut dyn FnMut(Item);

/// Reads a feed's bytes and hands over every item in the order of the documents.
///
/// # Errors
/// [`ImportError`] if an archive is damaged or a bound is reached; items already handed over then count for nothing.
pub fn import(
    name: &str,
    bytes: &[u8],
    limits: &ImportLimits,
    sink: &mut dyn FnMut(Item),
) -> Result<ImportStats, ImportError> {
    let mut stats = ImportStats::default();
    archive::documents(name, bytes, limits, &mut |name, document| one(name, document, &mut stats, sink))?;
    Ok(stats)
}

fn one(name: &str, bytes: &[u8], stats: &mut ImportStats, sink: &mut dyn FnMut(Item)) {
    let Some(form) = Form::detect(name, bytes) else {
        stats.ignored += 1;
        return;
    };
    stats.documents += 1;
    let mut items = 0;
    let mut counted = |item: Item| {
        items += 1;
        sink(item);
    };
    let outcome = read(form, name, bytes, &mut counted);
    stats.items += items;
    match outcome {
        Ok(skipped) => stats.skipped += skipped,
        Err(Refusal(reason)) => {
            stats.refused += 1;
            if stats.refusals.len() < 50 {
                stats.refusals.push((name.to_owned(), reason));
            }
        }
    }
}

/// Reads a document of a form and answers how many of its statements were skipped.
fn read(form: Form, name: &str, bytes: &[u8], sink: Sink<'_>) -> Result<u64, Refusal> {
    match form {
        Form::RustSec => return rustsec::read(text(bytes)?, name, sink),
        Form::RetireJs => return retirejs::read(bytes, sink),
        Form::OsvJson => osv::json(bytes, sink),
        Form::OsvYaml => osv::yaml(text(bytes)?, sink),
        Form::JsonLines => return json_lines(name, bytes, sink),
        Form::RubyAdvisory => rubysec::read(text(bytes)?, name, sink),
        Form::FriendsOfPhp => friendsofphp::read(text(bytes)?, name, sink),
        Form::SecdbJson => secdb::json(bytes, name, sink),
        Form::SecdbYaml => secdb::yaml(text(bytes)?, name, sink),
        Form::DebianTracker => debian::tracker(bytes, sink),
        Form::DebianList => debian::list(text(bytes)?, sink),
        Form::DebianRecord => debian::record(bytes, sink),
        Form::UbuntuNotices => ubuntu::database(bytes, sink),
        Form::UbuntuNotice => ubuntu::notice(bytes, sink),
        Form::Csaf => csaf::read(bytes, sink),
        Form::Updateinfo => updateinfo::read(text(bytes)?, sink),
        Form::Oval => oval::read(text(bytes)?, name, sink),
        Form::EpssCsv => epss::read(text(bytes)?, sink),
        Form::KevJson => kev::json(bytes, sink),
        Form::KevCsv => kev::csv(text(bytes)?, sink),
        Form::TrivyYaml => trivy::yaml(text(bytes)?, sink),
        Form::TrivyBolt => trivy::bolt(bytes, sink),
        Form::GrypeSqlite => grype::read(bytes, sink),
        Form::NodejsWg => nodejs::read(bytes, name, sink),
        Form::EndOfLifeJson => eol::read(bytes, name, sink),
        Form::PackageUrls => newest::list(text(bytes)?, sink),
        Form::NpmPackument => newest::npm(bytes, sink),
        Form::PypiProject => newest::pypi(bytes, sink),
        Form::CratesIndex => newest::cargo(bytes, sink),
    }?;
    Ok(0)
}

fn text(bytes: &[u8]) -> Result<&str, Refusal> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(Refusal::from_error)
}

fn json_lines(name: &str, bytes: &[u8], sink: Sink<'_>) -> Result<u64, Refusal> {
    let mut skipped = 0;
    for (number, line) in bytes.split(|b| *b == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let form = Form::detect(name, line).filter(|f| *f != Form::JsonLines);
        let form = form.ok_or_else(|| Refusal::new(format!("line {} is of no known form", number + 1)))?;
        skipped +=
            read(form, name, line, sink).map_err(|r| Refusal::new(format!("line {}: {r}", number + 1)))?;
    }
    Ok(skipped)
}

/// A JSON value into a type.
fn from_json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Refusal> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice(bytes).map_err(Refusal::from_error)
}

/// A YAML document into a type; anchors, depth and size are bounded by the reader's default budget.
fn from_yaml<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Refusal> {
    serde_saphyr::from_str(text).map_err(Refusal::from_error)
}

/// Whether a text is a CVE identifier.
pub fn is_cve(id: &str) -> bool {
    id.strip_prefix("CVE-").and_then(|rest| rest.split_once('-')).is_some_and(|(year, number)| {
        year.len() == 4 && number.len() >= 4 && year.bytes().chain(number.bytes()).all(|b| b.is_ascii_digit())
    })
}

/// A YAML scalar by its own text: `1.10` stays `1.10` however it is quoted.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
struct Scalar(String);

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
