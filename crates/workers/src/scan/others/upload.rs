//! What people may upload about an image: another scanner's result, a bill of materials, a VEX document.

use oci::Digest;
use serde::Deserialize;
use serde::de::IgnoredAny;
use vuln::foreign::{ForeignError, Form};
use vuln::matching::{VexDocument, VexError};
use vuln::sbom::{self, Limits, SourceForm, Strictness};

use super::results::{ResultError, check_result};
use super::vex::DOCUMENT_BYTES;

/// What a document that was uploaded is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uploaded {
    /// A scanner's result.
    Result(Form),
    /// A bill of materials.
    Bill(SourceForm),
    /// A VEX document: OpenVEX, or CSAF.
    Vex {
        /// Whether it is CSAF's form.
        csaf: bool,
    },
}

/// Why a document is not taken.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// It is no result, and nothing else that is taken.
    #[error(transparent)]
    Result(#[from] ResultError),
    /// It is a VEX document that cannot be read.
    #[error(transparent)]
    Vex(#[from] VexError),
    /// It is a larger VEX document than is read when verdicts are made.
    #[error("a VEX document of an image has at most {limit} bytes: leave out what is said of other products")]
    LargeVex {
        /// The limit in bytes.
        limit: u64,
    },
}

/// Says what a document is, and sees that it is about the image with this manifest and configuration.
///
/// # Errors
/// [`UploadError`].
pub fn check_upload(
    document: &[u8],
    manifest: &Digest,
    config: Option<&Digest>,
) -> Result<Uploaded, UploadError> {
    if let Some(csaf) = vex_form(document) {
        if document.len() as u64 > DOCUMENT_BYTES {
            return Err(UploadError::LargeVex { limit: DOCUMENT_BYTES });
        }
        VexDocument::parse("upload", document)?;
        return Ok(Uploaded::Vex { csaf });
    }
    let unread = match check_result(document, manifest, config) {
        Ok(report) => return Ok(Uploaded::Result(report.form)),
        Err(error) => error,
    };
    let silent = matches!(
        unread,
        ResultError::Unreadable(
            ForeignError::Unknown | ForeignError::Silent { .. } | ForeignError::Syntax { .. }
        )
    );
    if !silent {
        return Err(unread.into());
    }
    let Ok(bill) = sbom::read(document, Strictness::Lenient, &Limits::default()) else {
        return Err(unread.into());
    };
    match bill.document.subject.digest {
        Some(about) if about != *manifest && Some(&about) != config => {
            Err(ResultError::AboutAnother(about.to_string()).into())
        }
        _ => Ok(Uploaded::Bill(bill.form)),
    }
}

/// Whether a document has the members of OpenVEX (`Some(false)`) or CSAF (`Some(true)`).
fn vex_form(document: &[u8]) -> Option<bool> {
    #[derive(Deserialize)]
    struct Members {
        #[serde(rename = "@context", default)]
        context: Option<IgnoredAny>,
        #[serde(default)]
        statements: Option<IgnoredAny>,
        #[serde(default)]
        document: Option<Csaf>,
    }
    #[derive(Deserialize)]
    struct Csaf {
        #[serde(default)]
        csaf_version: Option<IgnoredAny>,
    }
    let members: Members = serde_json::from_slice(document).ok()?;
    if members.document.is_some_and(|document| document.csaf_version.is_some()) {
        return Some(true);
    }
    (members.context.is_some() && members.statements.is_some()).then_some(false)
}

impl Uploaded {
    /// The media type under which it is kept.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Result(form) => super::media_type(form),
            Self::Bill(SourceForm::CycloneDxJson(_)) => "application/vnd.cyclonedx+json",
            Self::Bill(SourceForm::CycloneDxXml(_)) => "application/vnd.cyclonedx+xml",
            Self::Bill(SourceForm::Spdx2Json | SourceForm::Spdx3Json) => "application/spdx+json",
            Self::Bill(SourceForm::Spdx2TagValue) => "text/spdx",
            Self::Bill(SourceForm::SyftJson) => "application/vnd.syft+json",
            Self::Vex { csaf: false } => "application/vnd.openvex+json",
            Self::Vex { csaf: true } => "application/csaf+json",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_document_is_what_it_is_and_about_the_image() {
        let image = Digest::sha256(b"image");
        let of = |text: &str| check_upload(text.as_bytes(), &image, None);
        let bill = r#"{"bomFormat":"CycloneDX","specVersion":"1.5","version":1,"components":[]}"#;
        assert!(matches!(of(bill), Ok(Uploaded::Bill(SourceForm::CycloneDxJson(_)))), "{:?}", of(bill));
        let vex = r#"{"@context":"https://openvex.dev/ns/v0.2.0","@id":"a","statements":[]}"#;
        assert!(matches!(of(vex), Ok(Uploaded::Vex { csaf: false })));
        let broken =
            r#"{"@context":"https://openvex.dev/ns/v0.2.0","@id":"a","statements":[{"status":"fine"}]}"#;
        assert!(matches!(of(broken), Err(UploadError::Vex(_))));
        let result = r#"{"version":"2.1.0","runs":[]}"#;
        assert!(!matches!(of(result), Ok(Uploaded::Bill(_) | Uploaded::Vex { .. })));
        let other = format!(
            r#"{{"bomFormat":"CycloneDX","specVersion":"1.5","version":1,"metadata":{{"component":{{"type":"container",
               "name":"app","version":"{}"}}}}}}"#,
            Digest::sha256(b"another")
        );
        let refused = of(&other);
        assert!(matches!(refused, Err(UploadError::Result(ResultError::AboutAnother(_)))), "{refused:?}");
        assert!(matches!(of("hello"), Err(UploadError::Result(_))));
    }
}
