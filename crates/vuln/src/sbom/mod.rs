//! Software bills of materials: SPDX 2.3 and 3.0.1, CycloneDX 1.4 to 1.7; written, read, merged, compared, scored.
//!
//! Writing is deterministic: the same document gives the same bytes. Reading is strict by default – a document that
//! breaks the rules of its own specification is refused with the place and the reason – because what is believed of an
//! SBOM decides what may be deployed; `Strictness::Lenient` takes what can be understood and says what was not.

mod carry;
mod cyclonedx;
mod diff;
mod document;
mod format;
mod identity;
mod merge;
mod read;
mod score;
mod spdx;
mod syft;
#[cfg(test)]
mod tests;

pub use diff::{Change, Diff, FieldChange, diff};
pub use document::{Document, Subject, SubjectKind};
pub use format::{CycloneDxVersion, Format, FormatError};
pub use merge::{Provenance, merge};
pub use read::{Limits, ReadError, Reading, SourceForm, Strictness, read};
pub use score::{Criterion, Score, score};

/// Writes a document.
///
/// # Errors
/// Only when the document cannot be serialised, which no inventory of this crate causes.
pub fn write(document: &Document, format: Format) -> Result<Vec<u8>, WriteError> {
    match format {
        Format::CycloneDxJson(version) => Ok(cyclonedx::write_json(document, version)?),
        Format::CycloneDxXml(version) => Ok(cyclonedx::write_xml(document, version)?),
        Format::Spdx23Json => Ok(spdx::write_v2_json(document)?),
        Format::Spdx301Json => Ok(spdx::write_v3_json(document)?),
    }
}

pub(crate) use cyclonedx::{XmlNode, to_json as cyclonedx_xml, xml_tree as cyclonedx_xml_tree};

/// A document in CycloneDX's terms with the references of its packages, for reports that add to it.
pub(crate) fn cyclonedx_bom(document: &Document, version: CycloneDxVersion) -> (cyclonedx::Bom, Vec<String>) {
    (cyclonedx::bom(document, version), document::Graph::of(&document.inventory).refs)
}

/// Why a document could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The JSON serialiser refused.
    #[error("document cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The XML writer refused.
    #[error("document cannot be written as XML")]
    Xml(#[from] std::io::Error),
}
