//! VEX: what a vendor or we ourselves say of a vulnerability in a product. OpenVEX, CSAF 2.0 VEX, CycloneDX analyses.
//!
//! A statement names vulnerabilities, products and a status. `not_affected` and `fixed` excuse a finding – shown, with
//! the justification. Who may speak is the caller's decision: only documents that it trusts are handed in, the most
//! trusted last. That order decides between documents, since what a document says of its own author and age is no
//! evidence; within one document a later statement overrules an earlier one.
//!
//! Documents come from strangers. Texts that a document states once and refers to often are shared, and what it may state
//! of how many products is bounded, so that one costs memory in proportion to its bytes.

mod decide;
mod forms;

use std::sync::Arc;

use serde_json::Value;

use crate::purl::Purl;

pub(crate) use decide::{Decisions, Products};

/// Longest document, in bytes.
const MAX_DOCUMENT_BYTES: usize = 256 << 20;
/// Most that a document states: each name of a vulnerability, of each product.
const MAX_STATED: usize = 2_000_000;
/// Longest package URL that is understood, in bytes.
const MAX_PURL_BYTES: usize = 2048;

/// What a statement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VexStatus {
    /// Not affected.
    NotAffected,
    /// Affected.
    Affected,
    /// Repaired in this product.
    Fixed,
    /// Being looked at.
    UnderInvestigation,
}

/// How a document calls a product, or a part of one.
#[derive(Debug, PartialEq, Eq)]
pub struct VexName {
    /// Package URL or other identifier.
    pub text: String,
    /// The package URL, if it is one.
    pub purl: Option<Purl>,
}

impl VexName {
    fn new(text: String) -> Arc<Self> {
        let purl = (text.len() <= MAX_PURL_BYTES).then(|| Purl::parse(&text).ok()).flatten();
        Arc::new(Self { text, purl })
    }
}

/// A product and the parts of it that are meant.
#[derive(Debug, PartialEq, Eq)]
pub struct VexProduct {
    /// The product.
    pub name: Arc<VexName>,
    /// Components of it; empty: the product as a whole.
    pub subcomponents: Vec<Arc<VexName>>,
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VexStatement {
    /// The vulnerability's names.
    pub vulnerabilities: Arc<[String]>,
    /// Products.
    pub products: Vec<Arc<VexProduct>>,
    /// What is said.
    pub status: VexStatus,
    /// Why, as a label of the form (`vulnerable_code_not_present`).
    pub justification: Arc<str>,
    /// Why, in words.
    pub statement: Arc<str>,
    /// When, if that is stated and readable.
    pub timestamp: Option<jiff::Timestamp>,
}

/// A document of statements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VexDocument {
    /// Identifier or file name.
    pub id: String,
    /// Who wrote it.
    pub author: String,
    /// Its statements.
    pub statements: Vec<VexStatement>,
}

/// A document that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum VexError {
    /// Longer than 256 MiB.
    #[error("VEX document of {len_bytes} bytes is too long")]
    TooLong {
        /// Its length.
        len_bytes: usize,
    },
    /// It states more than is taken in.
    #[error(
        "this VEX document says more than {limit} times that a product has a vulnerability or has not; split it, \
         or name each vulnerability once"
    )]
    TooMuch {
        /// Names of vulnerabilities times products.
        limit: usize,
    },
    /// None of the known forms, or damaged.
    #[error("not a VEX document: {reason}")]
    Form {
        /// What is wrong.
        reason: String,
    },
}

impl VexDocument {
    /// Reads a document of any of the three forms.
    ///
    /// # Errors
    /// [`VexError`].
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, VexError> {
        if bytes.len() > MAX_DOCUMENT_BYTES {
            return Err(VexError::TooLong { len_bytes: bytes.len() });
        }
        let value: Value =
            serde_json::from_slice(bytes).map_err(|e| VexError::Form { reason: e.to_string() })?;
        let mut document = if value.get("statements").is_some() {
            forms::openvex(value)?
        } else if value.get("document").is_some() {
            forms::csaf(&value)?
        } else if value.get("bomFormat").is_some() {
            forms::cyclonedx(&value)?
        } else {
            return Err(VexError::Form { reason: "neither OpenVEX nor CSAF nor CycloneDX".into() });
        };
        if document.id.is_empty() {
            name.clone_into(&mut document.id);
        }
        Ok(document)
    }
}
