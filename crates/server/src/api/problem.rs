//! Every failure of a use case on the wire of the administration APIs: RFC 9457 for the native one, Harbor's list of
//! errors and its scanner-adapter API's document for the others. One exhaustive match decides status and code for all.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use registry::{Error, Refusal};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use upstream::adapter::wire;

/// A failure (RFC 9457).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct Document<'a> {
    /// The status in words.
    title: &'a str,
    /// The status.
    status: u16,
    /// What is wrong and what to do.
    detail: &'a str,
}

/// A failure, with its status and Harbor's code. It travels in the response's extensions, so that the routers of
/// Harbor's APIs can write it Harbor's way.
#[derive(Clone)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
    retry_after: Option<u64>,
}

impl<E: Into<Error>> From<E> for Problem {
    fn from(error: E) -> Self {
        let error = error.into();
        let (status, code) = class(&error);
        let retry_after = match &error {
            Error::TooManyAttempts { retry_after } => Some(retry_after.as_secs().max(1)),
            Error::Unavailable | Error::WrongStorage(_) => Some(5),
            Error::NoSpace => Some(60),
            _ => None,
        };
        let message = match error {
            Error::Refused(Refusal::Denied { reason }) => reason,
            Error::Refused(Refusal::Hidden) => "not found".to_owned(),
            Error::Refused(_) => "sign in first".to_owned(),
            Error::Internal(what) => {
                tracing::error!(what, "internal error");
                "internal error; the request id in X-Request-Id names it in the log".to_owned()
            }
            other => other.to_string(),
        };
        Self { status, code, message, retry_after }
    }
}

fn class(error: &Error) -> (StatusCode, &'static str) {
    match error {
        Error::Refused(Refusal::SignIn { .. } | Refusal::InsufficientScope { .. })
        | Error::InvalidCredentials => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
        Error::Refused(Refusal::Denied { .. }) => (StatusCode::FORBIDDEN, "FORBIDDEN"),
        Error::Refused(Refusal::Hidden)
        | Error::NameUnknown
        | Error::ManifestUnknown
        | Error::BlobUnknown
        | Error::UploadUnknown
        | Error::NotFound(_) => (StatusCode::NOT_FOUND, "NOT_FOUND"),
        Error::TooManyAttempts { .. } | Error::LimitReached(_) => {
            (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUEST")
        }
        Error::Conflict(_) | Error::BlobInUse { .. } => (StatusCode::CONFLICT, "CONFLICT"),
        Error::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "REQUEST_ENTITY_TOO_LARGE"),
        Error::Invalid(_)
        | Error::Size(_)
        | Error::RangeInvalid { .. }
        | Error::ManifestReferences(_)
        | Error::BodyIncomplete => (StatusCode::BAD_REQUEST, "BAD_REQUEST"),
        Error::DigestMismatch { .. } => (StatusCode::BAD_REQUEST, "DIGEST_INVALID"),
        Error::ManifestInvalid(_) => (StatusCode::BAD_REQUEST, "MANIFEST_INVALID"),
        Error::NoSpace => (StatusCode::INSUFFICIENT_STORAGE, "UNKNOWN"),
        Error::Unavailable | Error::WrongStorage(_) => (StatusCode::SERVICE_UNAVAILABLE, "UNKNOWN"),
        Error::Corrupt | Error::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN"),
    }
}

impl Problem {
    /// As Harbor writes it.
    pub(crate) fn harbor(&self) -> Response {
        let document = json!({ "errors": [{ "code": self.code, "message": self.message }] });
        self.render("application/json", &document)
    }

    /// As the scanner-adapter API writes it.
    pub(super) fn adapter(&self) -> Response {
        let error = wire::ErrorMessage { message: self.message.clone() };
        self.render(wire::ERROR, &json!(wire::ErrorResponse { error }))
    }

    fn render(&self, media_type: &'static str, document: &serde_json::Value) -> Response {
        let mut response = (self.status, document.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"bonded\", charset=\"UTF-8\""),
            );
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let document = json!(Document { title, status: self.status.as_u16(), detail: &self.message });
        let mut response = self.render("application/problem+json", &document);
        response.extensions_mut().insert(self);
        response
    }
}
