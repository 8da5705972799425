//! `/v2/<name>/manifests/<reference>`

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, ETAG, WARNING};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use oci::{ErrorCode, MediaType, OperationError, Reference, RepoName, Tag};
use registry::manifest::Lacking;
use registry::{Delete, Error, Grant, Pull, Push};

use super::reply::Reply;
use super::{Call, Failure, headers, known};

/// What a client is told of a tag while the database cannot be asked.
const MAY_HAVE_MOVED: &str =
    "299 - \"the registry cannot ask its database: this is what the tag named when it was served last\"";

pub(super) async fn pull(
    call: &Call<'_>,
    repo: &RepoName,
    reference: &Reference,
) -> Result<Response, Failure> {
    let registry = &call.app.registry;
    let grant = registry.access().grant::<Pull>(&call.caller.principal, repo).await?;
    let manifest = registry.pull_manifest(&grant, reference).await?;
    let digest = manifest.digest.to_string();
    let etag = format!("\"{digest}\"");
    if known(call.headers, &etag) {
        let reply = Reply::empty(StatusCode::NOT_MODIFIED).with(ETAG, etag);
        return Ok(reply.with(headers::CONTENT_DIGEST, digest).done());
    }
    if !call.head {
        registry.note_pull(&call.caller, &grant, reference, &manifest).await?;
    }
    let length = manifest.bytes.len() as u64;
    let body = if call.head { Body::empty() } else { Body::from(manifest.bytes) };
    let mut reply = Reply::empty(StatusCode::OK)
        .with(CONTENT_TYPE, &manifest.media_type)
        .with(headers::CONTENT_DIGEST, digest)
        .with(ETAG, etag);
    if manifest.last_known && matches!(reference, Reference::Tag(_)) {
        reply = reply.with(WARNING, MAY_HAVE_MOVED);
    }
    Ok(reply.body(body, length).done())
}

pub(super) async fn put(
    call: &Call<'_>,
    repo: &RepoName,
    reference: &Reference,
    tags: &[Tag],
    body: Body,
) -> Result<Response, Failure> {
    let registry = &call.app.registry;
    let content_type = content_type(call);
    let (content_type, bytes, grant) = match content_type {
        Ok(content_type) if registry.push_makes_project(&call.caller, repo).await? => {
            let bytes = read(call, body).await?;
            registry.check_first_manifest(reference, &content_type, &bytes)?;
            registry.create_project_for_push(&call.caller, repo).await?;
            (content_type, bytes, grant(call, repo).await?)
        }
        content_type => {
            let grant = grant(call, repo).await?;
            (content_type?, read(call, body).await?, grant)
        }
    };
    let put = registry.put_manifest(&call.caller, &grant, reference, tags, &content_type, bytes).await?;
    let mut reply = Reply::empty(StatusCode::CREATED)
        .located(&format!("/v2/{}/manifests/{}", repo.asked(), put.digest))
        .with(headers::CONTENT_DIGEST, put.digest.to_string());
    if let Some(subject) = put.subject {
        reply = reply.with(headers::OCI_SUBJECT, subject.to_string());
    }
    for tag in &put.tags {
        reply = reply.and(headers::OCI_TAG, tag.as_str());
    }
    for warning in warnings(put.lacking) {
        reply = reply.and(WARNING, warning);
    }
    Ok(reply.done())
}

/// What the client is told of an accepted manifest that cannot be pulled whole: code and agent as the specification
/// fixes them, texts far below its 4,096 bytes.
fn warnings(lacking: Lacking) -> impl Iterator<Item = String> {
    let told = [
        (lacking.children, "manifests that this index lists"),
        (lacking.blobs, "blobs that this manifest refers to"),
    ];
    let told = told.into_iter().filter(|(count, _)| *count > 0);
    told.map(|(count, what)| format!("299 - \"not in this repository: {count} of the {what}\""))
}

async fn grant(call: &Call<'_>, repo: &RepoName) -> Result<Grant<Push>, Failure> {
    Ok(call.app.registry.access().grant::<Push>(&call.caller.principal, repo).await?)
}

fn content_type(call: &Call<'_>) -> Result<MediaType, Failure> {
    let value = call.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let Some(value) = value else {
        let text = "a manifest needs a Content-Type: its media type".to_owned();
        return Err(Failure::Operation(OperationError::Invalid(ErrorCode::ManifestInvalid, text)));
    };
    MediaType::from_header(value).map_err(|error| {
        Failure::Operation(OperationError::Invalid(ErrorCode::ManifestInvalid, error.to_string()))
    })
}

async fn read(call: &Call<'_>, body: Body) -> Result<Bytes, Failure> {
    let limit = call.app.registry.settings().max_manifest_bytes;
    let too_large = || Error::TooLarge(format!("a manifest has at most {limit} bytes"));
    let limited = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX));
    match limited.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large().into()),
        Err(_) => Err(Error::BodyIncomplete.into()),
    }
}

pub(super) async fn delete(
    call: &Call<'_>,
    repo: &RepoName,
    reference: &Reference,
) -> Result<Response, Failure> {
    let registry = &call.app.registry;
    let grant = registry.access().grant::<Delete>(&call.caller.principal, repo).await?;
    registry.delete_manifest(&call.caller, &grant, reference).await?;
    Ok(Reply::empty(StatusCode::ACCEPTED).done())
}
