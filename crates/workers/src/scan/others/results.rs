//! Results of scanners that people or their build systems left beside an artifact: uploaded here, or attached as
//! referrers by `oras attach`, `cosign attest` and the like.
//!
//! They are statements of whoever may push there: they add findings, and take none away. One that says that it is about
//! something else, or cannot be read, makes the verdict incomplete.

use std::collections::BTreeMap;

use metadata::model::scan::Related;
use oci::{Descriptor, Digest, Manifest};
use registry::scan::SCAN_RESULT;
use vuln::foreign::{self, ForeignError, Form, Limits, ScannerReport};

use super::super::Scanner;
use super::super::image::Image;
use super::super::{beside, statement};
use crate::job::JobError;

/// Largest result that is read, in bytes.
pub const MAX_RESULT_BYTES: u64 = 16 << 20;
/// Results of one image that are read.
const RESULTS: usize = 16;
/// Bytes of all of them.
const ALL_BYTES: u64 = 32 << 20;

/// Why a document is not taken as a result.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] ForeignError),
    /// It is about something else.
    #[error(
        "the result says that it is about {0}, not about this artifact; name the image that was scanned by its digest"
    )]
    AboutAnother(String),
}

/// Reads a result and sees that it is about the image with this manifest and configuration.
///
/// # Errors
/// [`ResultError`].
pub(super) fn check_result(
    document: &[u8],
    manifest: &Digest,
    config: Option<&Digest>,
) -> Result<ScannerReport, ResultError> {
    let limits =
        Limits { max_bytes: usize::try_from(MAX_RESULT_BYTES).unwrap_or(usize::MAX), ..Limits::default() };
    let mut reports = foreign::read(document, &limits)?.into_iter();
    let mut all = reports.next().ok_or(ForeignError::Unknown)?;
    reports.for_each(|report| all.absorb(report));
    let stated = all.digests.iter().chain(&all.image_id);
    // Scanners name the index by which an image was pulled; its configuration then tells which one it was.
    let same = |digest: &Digest| digest == manifest || Some(digest) == config;
    let names: Vec<String> = stated.clone().map(Digest::to_string).collect();
    if !names.is_empty() && !stated.into_iter().any(same) {
        return Err(ResultError::AboutAnother(names.join(" and ")));
    }
    Ok(all)
}

/// The media type under which a result is kept.
pub(super) fn media_type(form: Form) -> &'static str {
    match form {
        Form::Sarif => "application/sarif+json",
        Form::CycloneDx => "application/vnd.cyclonedx+json",
        Form::InTotoVulns => "application/vnd.in-toto+json",
        Form::Harbor => "application/vnd.security.vulnerability.report+json",
        Form::Trivy | Form::Grype | Form::Snyk | Form::Bonded => "application/vnd.bonded.scan-result+json",
    }
}

/// A blob that holds a result.
struct Candidate {
    layer: Descriptor,
    /// The name that it was uploaded under.
    name: Option<String>,
}

/// What was left beside an image, each under its name. Nothing takes another away: what has the same name is said by one
/// voice.
pub(super) async fn read(
    scanner: &Scanner,
    image: &Image,
) -> Result<BTreeMap<String, Result<ScannerReport, String>>, JobError> {
    let mut found: BTreeMap<String, Result<ScannerReport, String>> = BTreeMap::new();
    let (candidates, all) = candidates(scanner, image).await?;
    let size: u64 = candidates.iter().map(|candidate| candidate.layer.size_bytes).sum();
    if !all || candidates.len() > RESULTS || size > ALL_BYTES {
        let why = format!(
            "too much hangs beside the image: at most {RESULTS} results, {ALL_BYTES} bytes, are read"
        );
        found.insert("results".to_owned(), Err(why));
    }
    let mut room = ALL_BYTES;
    let config = image.manifest.config.as_ref().map(|config| config.digest);
    for Candidate { layer, name } in candidates.into_iter().take(RESULTS) {
        let Some(left) = room.checked_sub(layer.size_bytes) else { continue };
        room = left;
        let report = result(scanner, image, &layer, config).await?;
        let name = match (name, &report) {
            (Some(name), _) => format!("upload:{name}"),
            (None, Ok(report)) => format!("attached:{}", report.scanner.name),
            (None, Err(_)) => format!("attached:{}", layer.digest),
        };
        match (found.get_mut(&name), report) {
            (Some(Ok(known)), Ok(report)) => known.absorb(report),
            // Who could not be understood once has not said all.
            (Some(Err(_)), Ok(_)) => {}
            (_, report) => {
                found.insert(name, report);
            }
        }
    }
    Ok(found)
}

/// What may be a result, and whether that is all of it.
async fn candidates(scanner: &Scanner, image: &Image) -> Result<(Vec<Candidate>, bool), JobError> {
    let (about, all) = beside::about(scanner, image, &["att"]).await?;
    let mut found = Vec::new();
    for manifest in about.iter().filter_map(Related::manifest) {
        let name = manifest.annotations.get(SCAN_RESULT).cloned();
        let bundle = statement::bundle_kind(&manifest).map(str::to_owned);
        let result = |layer: &Descriptor| name.is_some() || is_result(layer, bundle.as_deref());
        let layers = manifest.layers.into_iter().filter(result);
        found.extend(layers.map(|layer| Candidate { layer, name: name.clone() }));
    }
    Ok((found, all))
}

/// Whether something about an artifact may hold a result.
pub(super) fn may_hold_one(manifest: &Manifest) -> bool {
    let bundle = statement::bundle_kind(manifest);
    manifest.annotations.contains_key(SCAN_RESULT)
        || manifest.layers.iter().any(|layer| is_result(layer, bundle))
}

/// Whether a blob that nobody uploaded as a result says that it is one.
fn is_result(layer: &Descriptor, bundle: Option<&str>) -> bool {
    let statement = statement::kind_of(layer, bundle);
    let kind = layer.media_type.as_str();
    kind == "application/sarif+json"
        || kind.starts_with("application/vnd.security.vulnerability.report")
        || statement.is_some_and(|it| it.contains("/vuln") || it.contains("/vulns"))
}

/// The inner error is the document's.
async fn result(
    scanner: &Scanner,
    image: &Image,
    layer: &Descriptor,
    config: Option<Digest>,
) -> Result<Result<ScannerReport, String>, JobError> {
    let bytes = match beside::document(scanner, image, layer, ("the result", MAX_RESULT_BYTES)).await? {
        Ok(bytes) => bytes,
        Err(why) => return Ok(Err(why)),
    };
    let digest = image.digest;
    let read = move || check_result(&bytes, &digest, config.as_ref()).map_err(|error| error.to_string());
    tokio::task::spawn_blocking(read).await.map_err(JobError::retry)
}
