//! Every failure of a use case on the wire of the distribution API: one exhaustive match.

use std::fmt::Write as _;

use axum::response::Response;
use http::StatusCode;
use http::header::{ALLOW, CONTENT_RANGE, RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use oci::{ErrorCode, ManifestError, OperationError};
use registry::{Error, Refusal};
use serde_json::{Value, json};

use super::reply::Reply;
use crate::http::RequestContext;
use registry::authn::token::SERVICE;

/// Why a request is not answered with what it asked for.
pub(crate) enum Failure {
    /// It is no operation.
    Operation(OperationError),
    /// The use case did not succeed.
    UseCase(Error),
    /// A range outside a blob of so many bytes.
    Unsatisfiable(u64),
    /// An upload cannot go on there: its place and the bytes received.
    UploadRange { location: String, received: u64 },
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::UseCase(error.into())
    }
}

fn body(status: StatusCode, code: ErrorCode, message: &str, detail: Value) -> Reply {
    let mut item = json!({ "code": code.as_str(), "message": message });
    if !detail.is_null() {
        item["detail"] = detail;
    }
    Reply::json(status, "application/json", &json!({ "errors": [item] }))
}

fn plain(status: StatusCode, code: ErrorCode, message: &str) -> Reply {
    body(status, code, message, Value::Null)
}

/// The response for a failure.
pub(crate) fn render(failure: Failure, realm: &str, context: Option<&RequestContext>) -> Response {
    let request_id = context.map_or("", |context| context.id.as_str());
    let reply = match failure {
        Failure::Operation(error) => operation(error),
        Failure::UseCase(error) => use_case(error, realm, request_id),
        Failure::Unsatisfiable(size) => {
            plain(StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::RangeInvalid, "range lies outside the blob")
                .with(CONTENT_RANGE, format!("bytes */{size}"))
        }
        Failure::UploadRange { location, received } => {
            let message = format!("the chunk does not follow the {received} bytes received");
            plain(StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::BlobUploadInvalid, &message)
                .with(RANGE, upload_range(received))
                .located(&location)
        }
    };
    reply.done()
}

/// The `Range` of an upload: the bytes received, inclusive; `0-0` before the first.
pub(super) fn upload_range(received: u64) -> String {
    format!("0-{}", received.saturating_sub(1))
}

fn operation(error: OperationError) -> Reply {
    match error {
        OperationError::NotFound => {
            plain(StatusCode::NOT_FOUND, ErrorCode::NameUnknown, "repository name not known to registry")
        }
        OperationError::MethodNotAllowed(allow) => {
            plain(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported, "method not allowed here")
                .with(ALLOW, allow)
        }
        OperationError::Invalid(ErrorCode::BlobUploadUnknown, message) => {
            plain(StatusCode::NOT_FOUND, ErrorCode::BlobUploadUnknown, &message)
        }
        OperationError::Invalid(code, message) => plain(StatusCode::BAD_REQUEST, code, &message),
    }
}

fn use_case(error: Error, realm: &str, request_id: &str) -> Reply {
    let message = error.to_string();
    let bad = StatusCode::BAD_REQUEST;
    let missing = StatusCode::NOT_FOUND;
    match error {
        Error::Refused(refusal) => refused(refusal, realm, request_id),
        Error::InvalidCredentials => challenge(realm, "", Some("invalid_token"), &message),
        Error::TooManyAttempts { retry_after } => {
            plain(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests, &message)
                .with(RETRY_AFTER, retry_after.as_secs().max(1).to_string())
        }
        Error::NameUnknown | Error::NotFound(_) => plain(missing, ErrorCode::NameUnknown, &message),
        Error::ManifestUnknown => plain(missing, ErrorCode::ManifestUnknown, &message),
        Error::BlobUnknown => plain(missing, ErrorCode::BlobUnknown, &message),
        Error::UploadUnknown => plain(missing, ErrorCode::BlobUploadUnknown, &message),
        Error::RangeInvalid { received } => {
            plain(StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::BlobUploadInvalid, &message)
                .with(RANGE, upload_range(received))
        }
        Error::DigestMismatch { .. } => plain(bad, ErrorCode::DigestInvalid, &message),
        Error::Size(_) | Error::BodyIncomplete => plain(bad, ErrorCode::SizeInvalid, &message),
        Error::TooLarge(_) => plain(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::SizeInvalid, &message),
        Error::ManifestInvalid(ManifestError::Schema1) | Error::Invalid(_) => {
            plain(bad, ErrorCode::Unsupported, &message)
        }
        Error::ManifestInvalid(_) => plain(bad, ErrorCode::ManifestInvalid, &message),
        Error::ManifestReferences(references) => {
            let detail = references
                .iter()
                .map(|reference| json!({ "digest": reference.digest, "problem": reference.problem }))
                .collect();
            body(missing, ErrorCode::ManifestBlobUnknown, &message, Value::Array(detail))
        }
        Error::BlobInUse { .. } => {
            plain(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Denied, &message).with(ALLOW, "GET, HEAD")
        }
        Error::Conflict(_) => plain(StatusCode::CONFLICT, ErrorCode::Denied, &message),
        Error::LimitReached(_) => plain(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests, &message),
        Error::NoSpace => {
            plain(StatusCode::INSUFFICIENT_STORAGE, ErrorCode::Unavailable, &message).with(RETRY_AFTER, "60")
        }
        Error::Unavailable | Error::WrongStorage(_) => {
            server_error(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, &message, request_id)
                .with(RETRY_AFTER, "5")
        }
        Error::Corrupt => {
            server_error(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::BlobUnknown, &message, request_id)
        }
        Error::Internal(what) => {
            tracing::error!(request.id = request_id, what, "internal error");
            server_error(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown, "internal error", request_id)
        }
    }
}

fn server_error(status: StatusCode, code: ErrorCode, message: &str, request_id: &str) -> Reply {
    body(status, code, message, json!({ "request_id": request_id }))
}

fn refused(refusal: Refusal, realm: &str, request_id: &str) -> Reply {
    match refusal {
        Refusal::SignIn { scope } => challenge(realm, &scope, None, "authentication required"),
        Refusal::InsufficientScope { scope } => {
            challenge(realm, &scope, Some("insufficient_scope"), "the token does not cover this")
        }
        // The same bytes as for a name that does not exist.
        Refusal::Hidden => {
            plain(StatusCode::NOT_FOUND, ErrorCode::NameUnknown, &Error::NameUnknown.to_string())
        }
        Refusal::Denied { reason } => {
            body(StatusCode::FORBIDDEN, ErrorCode::Denied, &reason, json!({ "decision_id": request_id }))
        }
    }
}

fn challenge(realm: &str, scope: &str, error: Option<&str>, message: &str) -> Reply {
    let mut value = format!("Bearer realm=\"{realm}\",service=\"{SERVICE}\"");
    for (name, text) in [("scope", Some(scope).filter(|scope| !scope.is_empty())), ("error", error)] {
        if let Some(text) = text {
            let _ = write!(value, ",{name}=\"{text}\"");
        }
    }
    plain(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, message).with(WWW_AUTHENTICATE, value)
}
