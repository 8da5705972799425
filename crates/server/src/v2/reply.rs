//! Building responses: the few forms that the distribution API has.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LINK, LOCATION};
use http::{HeaderName, HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stays as it is in a query value: the unreserved characters of RFC 3986.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A response being built.
pub(super) struct Reply(Response);

impl Reply {
    /// A response without a body.
    pub(super) fn empty(status: StatusCode) -> Self {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        Self(response)
    }

    /// A JSON document of a media type.
    pub(super) fn json(
        status: StatusCode,
        media_type: &'static str,
        document: &impl serde::Serialize,
    ) -> Self {
        let bytes = serde_json::to_vec(document).unwrap_or_default();
        let mut reply = Self::empty(status);
        reply.0.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        *reply.0.body_mut() = Body::from(bytes);
        reply.with(CONTENT_TYPE, media_type)
    }

    /// Adds a header; a value that cannot be one is left out.
    pub(super) fn with(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.0.headers_mut().insert(name, value);
        }
        self
    }

    /// Adds one more header of a name.
    pub(super) fn and(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.0.headers_mut().append(name, value);
        }
        self
    }

    /// Where the thing is now.
    pub(super) fn located(self, path: &str) -> Self {
        self.with(LOCATION, path)
    }

    /// Where the next page is.
    pub(super) fn next(self, path: &str, query: &[(&str, &str)]) -> Self {
        let pairs: Vec<String> =
            query.iter().map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, QUERY))).collect();
        self.with(LINK, format!("<{path}?{}>; rel=\"next\"", pairs.join("&")))
    }

    /// The body, with its length.
    pub(super) fn body(mut self, body: Body, length: u64) -> Self {
        self.0.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        *self.0.body_mut() = body;
        self
    }

    pub(super) fn done(self) -> Response {
        self.0
    }
}
