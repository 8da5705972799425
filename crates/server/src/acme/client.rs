//! The HTTP client towards the authority: bounded in time, and trusting a private root where one is named.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use http_body_util::BodyExt as _;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

use super::AcmeError;
use crate::outbound;

/// Longest request.
const TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct Client {
    http: reqwest::Client,
}

impl Client {
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Self, AcmeError> {
        Ok(Self { http: outbound::client(ca_file, TIMEOUT)? })
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: http::Request<BodyWrapper<bytes::Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let http = self.http.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(|error| Error::Other(error.into()))?.to_bytes();
            let request = reqwest::Request::try_from(http::Request::from_parts(parts, body))
                .map_err(|error| Error::Other(Box::new(error)))?;
            let answer = http.execute(request).await.map_err(|error| Error::Other(Box::new(error)))?;
            Ok(BytesResponse::from(http::Response::<reqwest::Body>::from(answer)))
        })
    }
}
