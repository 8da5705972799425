//! A repository of a registry, read: manifests and blobs by the OCI distribution specification.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use oci::{Digest, Manifest, MediaType, RepoName};
use reqwest::header::{ACCEPT, CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode};
use url::Url;

use crate::auth::{self, Challenge};
use crate::client::{Client, copy, place};
use crate::{Credentials, ImageReference, UpstreamError};

/// Longest manifest.
const MAX_MANIFEST_BYTES: u64 = 8 << 20;
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.artifact.manifest.v1+json";

/// One repository, with what was negotiated so far.
#[derive(Debug)]
pub struct Registry {
    client: Client,
    reference: ImageReference,
    credentials: Option<Credentials>,
    /// Of an address that was given; else the client's for the host.
    scheme: Option<&'static str>,
    /// `Authorization` that the registry accepted last.
    proven: Mutex<Option<Proof>>,
}

#[derive(Clone)]
enum Proof {
    Basic,
    Bearer(String),
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Basic => "Basic",
            Self::Bearer(_) => "Bearer",
        })
    }
}

/// A manifest's bytes and what they are.
#[derive(Clone, Debug)]
pub struct FetchedManifest {
    /// Media type under which the registry gave it.
    pub media_type: MediaType,
    /// Digest of the bytes.
    pub digest: Digest,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Their parsed view.
    pub manifest: Manifest,
}

impl Registry {
    /// A repository; nothing is asked yet.
    pub fn new(client: Client, reference: ImageReference, credentials: Option<Credentials>) -> Self {
        Self { client, reference, credentials, scheme: None, proven: Mutex::new(None) }
    }

    /// A manifest of a repository at an address, with the value of an `Authorization` header (`Basic …`, `Bearer …`, or
    /// nothing): what one program tells another to pull.
    ///
    /// # Errors
    /// [`UpstreamError::Reference`] for an address without a host, [`UpstreamError::Authorization`] for a header that is
    /// neither.
    pub fn authorized(
        client: Client,
        base: &Url,
        repository: &RepoName,
        digest: Digest,
        authorization: &str,
    ) -> Result<Self, UpstreamError> {
        let scheme = match base.scheme() {
            "https" => "https",
            "http" => "http",
            _ => return Err(UpstreamError::Reference(place(base))),
        };
        let host = base.host_str().ok_or_else(|| UpstreamError::Reference(place(base)))?;
        let host = base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let reference = ImageReference::at(&host, repository, digest)?;
        let (kind, value) = authorization.trim().split_once(' ').unwrap_or_default();
        let (credentials, proof) = match kind.to_ascii_lowercase().as_str() {
            "" if authorization.trim().is_empty() => (None, None),
            "bearer" => (None, Some(Proof::Bearer(value.trim().to_owned()))),
            "basic" => {
                let own = Credentials::of_basic(value.trim()).ok_or(UpstreamError::Authorization)?;
                (Some(own), None)
            }
            _ => return Err(UpstreamError::Authorization),
        };
        Ok(Self { client, reference, credentials, scheme: Some(scheme), proven: Mutex::new(proof) })
    }

    /// The image that was named.
    pub fn reference(&self) -> &ImageReference {
        &self.reference
    }

    /// The manifest that the reference names.
    ///
    /// # Errors
    /// As [`Self::manifest`].
    pub async fn named_manifest(&self) -> Result<FetchedManifest, UpstreamError> {
        let wanted = self.reference.wanted();
        self.get_manifest(&wanted, self.reference.digest()).await
    }

    /// A manifest by its digest.
    ///
    /// # Errors
    /// No connection, no success, other content than the digest says, no manifest.
    pub async fn manifest(&self, digest: &Digest) -> Result<FetchedManifest, UpstreamError> {
        self.get_manifest(&digest.to_string(), Some(*digest)).await
    }

    async fn get_manifest(
        &self,
        wanted: &str,
        expected: Option<Digest>,
    ) -> Result<FetchedManifest, UpstreamError> {
        let url = self.url("manifests", wanted)?;
        let place = place(&url);
        let answer = self.get(&url, Some(MANIFESTS)).await?;
        let stated =
            answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let document = |reason: String| UpstreamError::Document { place: place.clone(), reason };
        let media_type: MediaType = stated
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .parse()
            .map_err(|_| document(format!("its content type is `{stated}`")))?;
        let algorithm = expected.map_or(oci::Algorithm::Sha256, |digest| digest.algorithm());
        let mut bytes = Vec::new();
        let digest = copy(answer, algorithm, MAX_MANIFEST_BYTES, &place, &mut bytes).await?;
        if expected.is_some_and(|expected| expected != digest) {
            return Err(UpstreamError::Digest { place, found: digest });
        }
        let manifest = Manifest::parse(&media_type, &bytes).map_err(|error| document(error.to_string()))?;
        Ok(FetchedManifest { media_type, digest, bytes, manifest })
    }

    /// Writes a blob of at most `size` bytes out. What was written counts only if this succeeds.
    ///
    /// # Errors
    /// No connection, no success, more bytes, other content than the digest says.
    pub async fn blob(
        &self,
        digest: &Digest,
        size: u64,
        to: &mut (dyn Write + Send),
    ) -> Result<(), UpstreamError> {
        let url = self.url("blobs", &digest.to_string())?;
        let answer = self.get(&url, None).await?;
        let place = place(&url);
        let found = copy(answer, digest.algorithm(), size, &place, to).await?;
        if found == *digest { Ok(()) } else { Err(UpstreamError::Digest { place, found }) }
    }

    fn url(&self, kind: &str, wanted: &str) -> Result<Url, UpstreamError> {
        let host = self.reference.api_host();
        let own = || self.client.scheme_of(host.rsplit_once(':').map_or(host, |(name, _)| name));
        let scheme = self.scheme.unwrap_or_else(own);
        let text = format!("{scheme}://{host}/v2/{}/{kind}/{wanted}", self.reference.repository());
        Url::parse(&text).map_err(|_| UpstreamError::Reference(self.reference.to_string()))
    }

    fn proof(&self) -> Option<Proof> {
        self.proven.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A GET that meets the registry's challenge once.
    async fn get(&self, url: &Url, accept: Option<&str>) -> Result<Response, UpstreamError> {
        let place = place(url);
        let ask = async |proof: Option<Proof>| {
            let mut request = self.client.get(url)?;
            if let Some(accept) = accept {
                request = request.header(ACCEPT, accept);
            }
            request = match (proof, &self.credentials) {
                (Some(Proof::Bearer(token)), _) => request.bearer_auth(token),
                (Some(Proof::Basic), Some(own)) => request.basic_auth(&own.user, Some(&own.password)),
                _ => request,
            };
            self.client.send(request, &place).await
        };
        let mut answer = ask(self.proof()).await?;
        if answer.status() == StatusCode::UNAUTHORIZED
            && let Some(proof) = self.meet(&answer).await?
        {
            answer = ask(Some(proof.clone())).await?;
            if answer.status() != StatusCode::UNAUTHORIZED {
                *self.proven.lock().unwrap_or_else(PoisonError::into_inner) = Some(proof);
            }
        }
        if answer.status() != StatusCode::OK {
            return Err(UpstreamError::Status { place, status: answer.status() });
        }
        Ok(answer)
    }

    /// What the challenge of an answer asks for, if we have it.
    async fn meet(&self, answer: &Response) -> Result<Option<Proof>, UpstreamError> {
        let headers: Vec<&str> = answer
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let host = self.reference.api_host();
        match headers.iter().find_map(|header| Challenge::parse(header)) {
            None if headers.is_empty() => Ok(None),
            None => Err(UpstreamError::Challenge { host: host.to_owned(), challenge: headers.join(", ") }),
            Some(Challenge::Basic) => Ok(self.credentials.is_some().then_some(Proof::Basic)),
            Some(Challenge::Bearer { realm, service, scope }) => {
                let own = format!("repository:{}:pull", self.reference.repository());
                let mut query = vec![("scope", scope.as_deref().unwrap_or(&own))];
                query.extend(service.as_deref().map(|service| ("service", service)));
                let token =
                    auth::token(&self.client, host, &realm, &query, self.credentials.as_ref()).await?;
                Ok(Some(Proof::Bearer(token)))
            }
        }
    }
}
