//! Foreign documents: the form is recognised by its content, never by a file name.

use serde_json::Value;

use super::document::Document;
use super::{CycloneDxVersion, cyclonedx, spdx, syft};

/// How much a broken rule of the form's own specification matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// A document that breaks a rule is refused.
    #[default]
    Strict,
    /// What can be understood is taken; what is broken is noted.
    Lenient,
}

/// Bounds on what is read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest document in bytes.
    pub max_bytes: usize,
    /// Most packages.
    pub max_packages: usize,
}

impl Default for Limits {
    /// 256 MiB and 1,000,000 packages.
    fn default() -> Self {
        Self { max_bytes: 256 << 20, max_packages: 1_000_000 }
    }
}

/// The form that a document was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceForm {
    /// CycloneDX JSON.
    CycloneDxJson(CycloneDxVersion),
    /// CycloneDX XML.
    CycloneDxXml(CycloneDxVersion),
    /// SPDX 2.2 or 2.3 JSON.
    Spdx2Json,
    /// SPDX 2.2 or 2.3 tag-value.
    Spdx2TagValue,
    /// SPDX 3 JSON-LD.
    Spdx3Json,
    /// Syft's own JSON.
    SyftJson,
}

impl std::fmt::Display for SourceForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CycloneDxJson(version) => write!(f, "CycloneDX {} JSON", version.name()),
            Self::CycloneDxXml(version) => write!(f, "CycloneDX {} XML", version.name()),
            Self::Spdx2Json => f.write_str("SPDX 2 JSON"),
            Self::Spdx2TagValue => f.write_str("SPDX 2 tag-value"),
            Self::Spdx3Json => f.write_str("SPDX 3 JSON-LD"),
            Self::SyftJson => f.write_str("Syft JSON"),
        }
    }
}

/// A document that was read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Its form.
    pub form: SourceForm,
    /// What it says.
    pub document: Document,
    /// What was passed over or, when lenient, broken.
    pub notes: Vec<String>,
}

/// Why a document was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Larger than the limit.
    #[error("document has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Size in bytes.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// None of the forms that are read here.
    #[error("not an SBOM: neither SPDX, CycloneDX nor Syft JSON")]
    Unknown,
    /// A version that is not read here.
    #[error("{form} version `{version}` is not read here")]
    Version {
        /// Form.
        form: &'static str,
        /// Stated version.
        version: String,
    },
    /// Not well-formed.
    #[error("not well-formed {form}: {reason}")]
    Syntax {
        /// Form.
        form: &'static str,
        /// Place and reason.
        reason: String,
    },
    /// Rules of the form are broken.
    #[error("not valid {form}: {}", violations.join("; "))]
    Invalid {
        /// Form.
        form: SourceForm,
        /// `place: reason` of each.
        violations: Vec<String>,
    },
}

/// Reads a document of any form.
///
/// # Errors
/// `Invalid` only when strict; the others always.
pub fn read(bytes: &[u8], strictness: Strictness, limits: &Limits) -> Result<Reading, ReadError> {
    if bytes.len() > limits.max_bytes {
        return Err(ReadError::TooLarge { size: bytes.len(), limit: limits.max_bytes });
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let (form, document, violations, mut notes) = match bytes.iter().find(|byte| !byte.is_ascii_whitespace())
    {
        Some(b'{') => json(bytes, limits)?,
        Some(b'<') => xml(bytes, limits)?,
        _ => {
            let text = std::str::from_utf8(bytes).map_err(|_| ReadError::Unknown)?;
            if !text.lines().take(200).any(|line| line.trim_start().starts_with("SPDXVersion:")) {
                return Err(ReadError::Unknown);
            }
            let value = spdx::tag_value(text)
                .map_err(|reason| ReadError::Syntax { form: "SPDX tag-value", reason })?;
            let mut notes = Vec::new();
            let violations = spdx::check_v2(&value);
            (
                SourceForm::Spdx2TagValue,
                spdx::read_v2(&value, limits.max_packages, &mut notes),
                violations,
                notes,
            )
        }
    };
    if !violations.is_empty() {
        if strictness == Strictness::Strict {
            return Err(ReadError::Invalid { form, violations });
        }
        notes.extend(violations);
    }
    Ok(Reading { form, document, notes })
}

type Parts = (SourceForm, Document, Vec<String>, Vec<String>);

fn json(bytes: &[u8], limits: &Limits) -> Result<Parts, ReadError> {
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| ReadError::Syntax { form: "JSON", reason: error.to_string() })?;
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let mut notes = Vec::new();
    let max = limits.max_packages;
    if text("bomFormat").is_some() || (text("specVersion").is_some() && value.get("components").is_some()) {
        let stated = text("specVersion").unwrap_or_default();
        let version = CycloneDxVersion::parse(stated)
            .filter(|version| *version >= CycloneDxVersion::V1_2)
            .ok_or_else(|| ReadError::Version { form: "CycloneDX", version: stated.to_owned() })?;
        let document = cyclonedx::read_value(&value, max, &mut notes);
        let violations = cyclonedx::check(&value, version);
        return Ok((SourceForm::CycloneDxJson(version), document, violations, notes));
    }
    if let Some(stated) = text("spdxVersion") {
        if !matches!(stated, "SPDX-2.2" | "SPDX-2.3") {
            return Err(ReadError::Version { form: "SPDX", version: stated.to_owned() });
        }
        let document = spdx::read_v2(&value, max, &mut notes);
        return Ok((SourceForm::Spdx2Json, document, spdx::check_v2(&value), notes));
    }
    if value.get("@graph").is_some() || value.get("@context").is_some() {
        let document = spdx::read_v3(&value, max, &mut notes);
        return Ok((SourceForm::Spdx3Json, document, spdx::check_v3(&value), notes));
    }
    if value.get("artifacts").is_some_and(Value::is_array) && value.get("descriptor").is_some() {
        return Ok((SourceForm::SyftJson, syft::read(&value, max, &mut notes), Vec::new(), notes));
    }
    // An in-toto statement carries the document in its predicate.
    if let Some(predicate) = value.get("predicate").filter(|_| text("predicateType").is_some()) {
        let inner = predicate.get("Data").unwrap_or(predicate);
        let bytes = serde_json::to_vec(inner).unwrap_or_default();
        return if inner.get("predicate").is_some() { Err(ReadError::Unknown) } else { json(&bytes, limits) };
    }
    Err(ReadError::Unknown)
}

fn xml(bytes: &[u8], limits: &Limits) -> Result<Parts, ReadError> {
    let (value, version, mut violations) =
        cyclonedx::to_json(bytes).map_err(|reason| ReadError::Syntax { form: "CycloneDX XML", reason })?;
    let mut notes = Vec::new();
    let document = cyclonedx::read_value(&value, limits.max_packages, &mut notes);
    violations.extend(cyclonedx::check(&value, version));
    Ok((SourceForm::CycloneDxXml(version), document, violations, notes))
}
