//! `/v2/<name>/blobs/uploads/…`

use axum::body::Body;
use axum::response::Response;
use futures_util::TryStreamExt as _;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use oci::{Algorithm, ContentRange, Digest, Mount, RepoName, UploadId};
use registry::upload::{BodyError, ChunkHeaders, StoredBlob, UploadView};
use registry::{Error, Grant, Push};

use super::error::upload_range;
use super::reply::Reply;
use super::{Call, Failure, headers};

/// What the POST that opens an upload says.
pub(super) struct Start {
    /// Digest of the body, or of the mounted blob.
    pub(super) digest: Option<Digest>,
    /// Algorithm of the digest to come.
    pub(super) algorithm: Option<Algorithm>,
    /// A blob to use instead.
    pub(super) mount: Option<Mount>,
}

async fn grant(call: &Call<'_>, repo: &RepoName) -> Result<Grant<Push>, Failure> {
    Ok(call.app.registry.access().grant::<Push>(&call.caller.principal, repo).await?)
}

fn place(repo: &RepoName, id: UploadId) -> String {
    format!("/v2/{}/blobs/uploads/{id}", repo.asked())
}

fn stored(repo: &RepoName, blob: StoredBlob) -> Response {
    Reply::empty(StatusCode::CREATED)
        .located(&format!("/v2/{}/blobs/{}", repo.asked(), blob.digest))
        .with(headers::CONTENT_DIGEST, blob.digest.to_string())
        .done()
}

fn open(status: StatusCode, repo: &RepoName, upload: UploadView) -> Response {
    Reply::empty(status)
        .located(&place(repo, upload.id))
        .with(RANGE, upload_range(upload.offset))
        .with(headers::UPLOAD_UUID, upload.id.to_string())
        .done()
}

fn chunk_headers(call: &Call<'_>) -> Result<ChunkHeaders, Failure> {
    let text = |name| call.headers.get(name).and_then(|value| value.to_str().ok());
    let range = text(CONTENT_RANGE).map(ContentRange::parse).transpose();
    let range = range.map_err(|error| Error::Invalid(error.to_string()))?;
    Ok(ChunkHeaders { range, length: text(CONTENT_LENGTH).and_then(|text| text.parse().ok()) })
}

fn stream(body: Body) -> impl registry::upload::Body {
    body.into_data_stream().map_err(|_| BodyError)
}

/// A chunk that does not follow tells where the upload is.
fn ranged(error: Error, repo: &RepoName, id: UploadId) -> Failure {
    match error {
        Error::RangeInvalid { received } => Failure::UploadRange { location: place(repo, id), received },
        other => other.into(),
    }
}

pub(super) async fn start(
    call: &Call<'_>,
    repo: &RepoName,
    start: Start,
    body: Body,
) -> Result<Response, Failure> {
    let registry = &call.app.registry;
    if registry.push_makes_project(&call.caller, repo).await? {
        // What is mounted needs no session.
        if start.mount.is_none() {
            let headers = start.digest.map_or(Ok(ChunkHeaders::default()), |_| chunk_headers(call))?;
            registry.check_upload_start(&call.caller, headers).await?;
        }
        registry.create_project_for_push(&call.caller, repo).await?;
    }
    let grant = grant(call, repo).await?;
    if let Some(mount) = &start.mount {
        let from = mount.from.as_ref();
        let mounted = registry.mount_blob(&grant, &call.caller.principal, &mount.digest, from).await?;
        if let Some(blob) = mounted {
            return Ok(stored(repo, blob));
        }
    } else if let Some(digest) = &start.digest {
        let blob = registry.put_blob(&grant, digest, chunk_headers(call)?, stream(body)).await?;
        return Ok(stored(repo, blob));
    }
    let digest = start.mount.as_ref().map(|mount| &mount.digest);
    let upload = registry.start_upload(&grant, digest, start.algorithm).await?;
    Ok(open(StatusCode::ACCEPTED, repo, upload))
}

pub(super) async fn status(call: &Call<'_>, repo: &RepoName, id: UploadId) -> Result<Response, Failure> {
    let grant = grant(call, repo).await?;
    let upload = call.app.registry.upload_status(&grant, id).await?;
    Ok(open(StatusCode::NO_CONTENT, repo, upload))
}

pub(super) async fn chunk(
    call: &Call<'_>,
    repo: &RepoName,
    id: UploadId,
    body: Body,
) -> Result<Response, Failure> {
    let grant = grant(call, repo).await?;
    let received = call.app.registry.put_chunk(&grant, id, chunk_headers(call)?, stream(body)).await;
    let upload = received.map_err(|error| ranged(error, repo, id))?;
    Ok(open(StatusCode::ACCEPTED, repo, upload))
}

pub(super) async fn finish(
    call: &Call<'_>,
    repo: &RepoName,
    id: UploadId,
    digest: &Digest,
    body: Body,
) -> Result<Response, Failure> {
    let grant = grant(call, repo).await?;
    let headers = chunk_headers(call)?;
    let done = call.app.registry.finish_upload(&grant, id, digest, headers, stream(body)).await;
    Ok(stored(repo, done.map_err(|error| ranged(error, repo, id))?))
}

pub(super) async fn cancel(call: &Call<'_>, repo: &RepoName, id: UploadId) -> Result<Response, Failure> {
    let grant = grant(call, repo).await?;
    call.app.registry.cancel_upload(&grant, id).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT).done())
}
