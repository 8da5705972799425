//! `/v2/<name>/blobs/<digest>`

use std::ops::Range;

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, RANGE,
};
use oci::{ByteRange, Digest, RepoName};
use registry::blob::PulledBlob;
use registry::{Delete, Pull};

use super::reply::Reply;
use super::{Call, Failure, headers, known};
use crate::body::ExactBody;
use crate::http::sendfile::WORTH_BYTES;

/// Blobs never change; only who may read them does, so shared caches must ask.
const CACHE: &str = "private, max-age=31536000, immutable";

pub(super) async fn pull(call: &Call<'_>, repo: &RepoName, digest: &Digest) -> Result<Response, Failure> {
    let registry = &call.app.registry;
    let grant = registry.access().grant::<Pull>(&call.caller.principal, repo).await?;
    let etag = format!("\"{digest}\"");
    let text = |name| call.headers.get(name).and_then(|value| value.to_str().ok());
    let reply = |status| {
        Reply::empty(status)
            .with(ETAG, &etag)
            .with(headers::CONTENT_DIGEST, digest.to_string())
            .with(ACCEPT_RANGES, "bytes")
            .with(CACHE_CONTROL, CACHE)
    };
    let unchanged = known(call.headers, &etag);
    if call.head {
        let size = registry.stat_blob(&grant, digest).await?;
        if unchanged {
            return Ok(reply(StatusCode::NOT_MODIFIED).done());
        }
        return Ok(reply(StatusCode::OK).with(CONTENT_TYPE, OCTETS).body(Body::empty(), size).done());
    }
    if let Some(lifetime) = call.app.config.storage.redirect()
        && let Some(url) = registry.presign_blob(&grant, digest, lifetime.std()).await?
    {
        let reply = Reply::empty(StatusCode::TEMPORARY_REDIRECT).located(&url);
        return Ok(reply
            .with(headers::CONTENT_DIGEST, digest.to_string())
            .with(CACHE_CONTROL, "no-store")
            .done());
    }
    let blob = registry.pull_blob(&grant, digest).await?;
    if unchanged {
        return Ok(reply(StatusCode::NOT_MODIFIED).done());
    }
    let size = blob.size_bytes;
    let asked = text(RANGE).filter(|_| text(IF_RANGE).is_none_or(|known| known.trim() == etag));
    let range = match asked {
        Some(header) => ByteRange::resolve(header, size).map_err(|_| Failure::Unsatisfiable(size))?,
        None => None,
    };
    let (start, length) = range.map_or((0, size), |range| (range.start, range.len));
    let body = body(call, &blob, start..start + length).await?;
    let reply = match range {
        Some(range) => reply(StatusCode::PARTIAL_CONTENT)
            .with(CONTENT_RANGE, format!("bytes {}-{}/{size}", range.start, range.last())),
        None => reply(StatusCode::OK),
    };
    Ok(reply.with(CONTENT_TYPE, OCTETS).with(CONTENT_DISPOSITION, "attachment").body(body, length).done())
}

/// The bytes of a range: sent by the kernel where it may and it is worth it, else read in pieces.
async fn body(call: &Call<'_>, blob: &PulledBlob, range: Range<u64>) -> Result<Body, Failure> {
    let length = range.end - range.start;
    let files = call.context.and_then(|context| context.files.as_ref()).filter(|_| length >= WORTH_BYTES);
    if let Some((files, file)) = files.zip(blob.open.file_if_clean(&range)) {
        match files.body(file, range.clone()) {
            Ok(slices) => return Ok(Body::new(ExactBody::new(Box::pin(slices), length))),
            Err(error) => tracing::debug!(%error, "a blob cannot be mapped and is read"),
        }
    }
    let body = call.app.registry.read_blob(blob, range).await?;
    Ok(match body.try_into_bytes() {
        Ok(bytes) => Body::from(bytes),
        Err(stream) => Body::new(ExactBody::new(stream, length)),
    })
}

const OCTETS: &str = "application/octet-stream";

pub(super) async fn delete(call: &Call<'_>, repo: &RepoName, digest: &Digest) -> Result<Response, Failure> {
    let registry = &call.app.registry;
    let grant = registry.access().grant::<Delete>(&call.caller.principal, repo).await?;
    registry.delete_blob(&call.caller, &grant, digest).await?;
    Ok(Reply::empty(StatusCode::ACCEPTED).done())
}
