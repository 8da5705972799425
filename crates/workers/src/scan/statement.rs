//! Statements about an artifact as clients attach them: in-toto statements, DSSE envelopes, Sigstore bundles. What is
//! inside is taken out and not parsed here; nobody's signature is verified here.

use std::borrow::Cow;
use std::collections::BTreeMap;

use data_encoding::{BASE64, BASE64URL};
use oci::{Descriptor, Digest, Manifest};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What a document turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A statement of the wanted kind.
    Wanted(Stated),
    /// A statement about something else.
    Other,
    /// No statement.
    Plain,
}

/// What is stated, and of what.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stated {
    document: Vec<u8>,
    /// Digests (`ALGORITHM:HEX`) of what it is about; none: it does not say.
    subjects: Vec<String>,
}

impl Stated {
    /// What is stated, if that is of what these digests name: a statement about another image that was hung here says
    /// nothing of this one.
    ///
    /// # Errors
    /// That it is about something else, in words.
    pub(super) fn about(self, own: &[Digest]) -> Result<Vec<u8>, String> {
        let is_own = |subject: &String| own.iter().any(|digest| digest.to_string() == *subject);
        match self.subjects.first() {
            Some(other) if !self.subjects.iter().any(is_own) => {
                Err(format!("it says that it is about {other}, not about this image"))
            }
            _ => Ok(self.document),
        }
    }
}

/// The members of an envelope, a bundle or a statement that matter here; a document that is none has none of them.
#[derive(Deserialize)]
struct Wrapping<'a> {
    #[serde(rename = "dsseEnvelope", borrow, default)]
    envelope: Option<Envelope<'a>>,
    #[serde(borrow, default)]
    payload: Option<Cow<'a, str>>,
    #[serde(rename = "predicateType", borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    predicate: Option<&'a RawValue>,
    #[serde(default)]
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    digest: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

/// Whether a blob's media type is one of statements, whatever they state.
pub(super) fn may_hold_one(media_type: &str) -> bool {
    ["application/vnd.in-toto+json", "application/vnd.dsse.envelope.v1+json"].contains(&media_type)
        || media_type.starts_with("application/vnd.dev.sigstore.bundle")
}

/// What the manifest of a Sigstore bundle says that the bundle states.
pub(super) fn bundle_kind(manifest: &Manifest) -> Option<&str> {
    manifest.annotations.get("dev.sigstore.bundle.predicateType").map(String::as_str)
}

/// What a blob says that it states, by its own annotations or those of its bundle.
pub(super) fn kind_of<'a>(layer: &'a Descriptor, bundle: Option<&'a str>) -> Option<&'a str> {
    let note = |key: &str| layer.annotations.get(key).map(String::as_str);
    note("in-toto.io/predicate-type").or(note("predicateType")).or(bundle)
}

/// Takes envelope and statement off: DSSE (alone or in a Sigstore bundle), in-toto. `wanted` judges the type of the
/// predicate.
///
/// # Errors
/// What is wrong with the envelope, in words.
pub(super) fn unwrap(bytes: &[u8], wanted: impl Fn(&str) -> bool) -> Result<Content, String> {
    let Ok(outer) = serde_json::from_slice::<Wrapping<'_>>(bytes) else { return Ok(Content::Plain) };
    let Some(payload) = outer.envelope.as_ref().map(|it| &it.payload).or(outer.payload.as_ref()) else {
        return statement(&outer, wanted);
    };
    let decoded = BASE64.decode(payload.as_bytes()).or_else(|_| BASE64URL.decode(payload.as_bytes()));
    let decoded = decoded.map_err(|_| "the envelope's payload is no base64".to_owned())?;
    let inner = serde_json::from_slice(&decoded);
    statement(&inner.map_err(|error| format!("the envelope's payload: {error}"))?, wanted)
}

fn statement(of: &Wrapping<'_>, wanted: impl Fn(&str) -> bool) -> Result<Content, String> {
    /// Early versions of cosign put the document into a text.
    #[derive(Deserialize)]
    struct Early<'a> {
        #[serde(rename = "Data", borrow)]
        data: &'a RawValue,
    }
    let Some(kind) = &of.kind else { return Ok(Content::Plain) };
    if !wanted(kind) {
        return Ok(Content::Other);
    }
    let digests = of.subject.iter().flat_map(|subject| &subject.digest);
    let subjects = digests.map(|(algorithm, hex)| format!("{algorithm}:{hex}")).collect();
    let stated = |document| Content::Wanted(Stated { document, subjects });
    let predicate = of.predicate.map_or("null", RawValue::get);
    let predicate = serde_json::from_str::<Early<'_>>(predicate).map_or(predicate, |early| early.data.get());
    if predicate.starts_with('"') {
        let text: String = serde_json::from_str(predicate).map_err(|error| error.to_string())?;
        return Ok(stated(text.into_bytes()));
    }
    Ok(stated(predicate.as_bytes().to_vec()))
}
