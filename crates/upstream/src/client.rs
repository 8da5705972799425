//! One HTTP client for everything: its bounds, its redirects, conditional fetching of a document.

use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use oci::{Algorithm, Digest, Hasher};
use reqwest::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use reqwest::{Method, RequestBuilder, Response, StatusCode, redirect};
use url::Url;

use crate::UpstreamError;
use crate::guard::{self, Forbidden, Guard, Guarded};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest silence within an answer.
const SILENCE: Duration = Duration::from_mins(1);
const MAX_REDIRECTS: usize = 5;
/// Tries of what a server or line may do better a moment later.
const TRIES: u32 = 3;

/// How to reach others.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Certificate authorities (PEM) beside the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// Whether hosts beyond this machine may be asked in clear text.
    pub plain_http: bool,
    /// Which addresses may be connected to; by default those of the public internet.
    pub guard: Guard,
}

/// The client.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    plain_http: bool,
    guard: Arc<Guard>,
}

/// What a server said of the state of a document, to ask later whether it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validator {
    /// An entity tag.
    ETag(String),
    /// A time, as the server wrote it.
    LastModified(String),
}

/// The outcome of a conditional fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The document is what it was.
    Unchanged,
    /// The document was written out.
    Changed {
        /// Its state, if the server tells states apart.
        validator: Option<Validator>,
        /// Its digest.
        digest: Digest,
    },
}

impl Client {
    /// A client; connects to nothing yet.
    ///
    /// # Errors
    /// [`UpstreamError::Client`] if a certificate cannot be read.
    pub fn new(options: &Options) -> Result<Self, UpstreamError> {
        let judge = options.guard.clone();
        let follow = redirect::Policy::custom(move |attempt| {
            let secure = attempt.previous().last().is_some_and(|from| from.scheme() == "https");
            if attempt.previous().len() > MAX_REDIRECTS {
                attempt.error("too many redirects")
            } else if secure && attempt.url().scheme() != "https" {
                attempt.error("a redirect from https to clear text")
            } else {
                match judge.check_url(attempt.url()) {
                    Ok(()) => attempt.follow(),
                    Err(forbidden) => attempt.error(forbidden),
                }
            }
        });
        Self::build(options, follow)
    }

    /// A client that gives redirects back as they are.
    pub(crate) fn without_redirects(options: &Options) -> Result<Self, UpstreamError> {
        Self::build(options, redirect::Policy::none())
    }

    fn build(options: &Options, follow: redirect::Policy) -> Result<Self, UpstreamError> {
        let guard = Arc::new(options.guard.clone());
        // Feeds are archives: what is compressed must arrive as it is stored.
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE)
            .redirect(follow)
            .no_gzip()
            .user_agent(concat!("bonded/", env!("CARGO_PKG_VERSION")));
        if !guard.is_open() {
            // What a proxy connects to cannot be judged from here.
            builder = builder.dns_resolver(Guarded(Arc::clone(&guard))).no_proxy();
        }
        if let Some(pem) = &options.ca_pem {
            for certificate in reqwest::Certificate::from_pem_bundle(pem).map_err(UpstreamError::Client)? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let http = builder.build().map_err(UpstreamError::Client)?;
        Ok(Self { http, plain_http: options.plain_http, guard })
    }

    /// `https`, and `http` for this machine or where plain HTTP is allowed.
    pub(crate) fn scheme_of(&self, host: &str) -> &'static str {
        if self.plain_http || is_loopback(host) { "http" } else { "https" }
    }

    /// A GET that may leave this machine only as allowed.
    pub(crate) fn get(&self, url: &Url) -> Result<RequestBuilder, UpstreamError> {
        self.request(Method::GET, url)
    }

    /// A request that may leave this machine only as allowed.
    pub(crate) fn request(&self, method: Method, url: &Url) -> Result<RequestBuilder, UpstreamError> {
        let host = url.host_str().unwrap_or_default();
        match url.scheme() {
            "https" => {}
            "http" if self.plain_http || is_loopback(host) => {}
            _ => return Err(UpstreamError::PlainHttp(place(url))),
        }
        self.guard.check_url(url).map_err(|forbidden| address(place(url), forbidden))?;
        Ok(self.http.request(method, url.clone()))
    }

    /// Sends a request; a connection that fails and an answer that says "later" are tried again.
    pub(crate) async fn send(&self, request: RequestBuilder, place: &str) -> Result<Response, UpstreamError> {
        let mut wait = Duration::from_millis(500);
        for last in (0..TRIES).rev() {
            let Some(again) = request.try_clone() else { break };
            match again.send().await {
                Ok(answer) if last > 0 && is_passing(answer.status()) => {}
                Ok(answer) => return self.arrived(answer, place),
                Err(error) if last > 0 && error.is_connect() && !is_final(&error) => {}
                Err(source) => return Err(failed(place, source)),
            }
            tokio::time::sleep(wait).await;
            wait *= 4;
        }
        self.send_once(request, place).await
    }

    /// Sends a request that must not be repeated, or whose every answer counts.
    pub(crate) async fn send_once(
        &self,
        request: RequestBuilder,
        place: &str,
    ) -> Result<Response, UpstreamError> {
        let answer = request.send().await.map_err(|source| failed(place, source))?;
        self.arrived(answer, place)
    }

    /// The backstop of the guard: an answer counts only from an address that may be connected to.
    fn arrived(&self, answer: Response, place: &str) -> Result<Response, UpstreamError> {
        if let Some(from) = answer.remote_addr().filter(|_| !self.guard.is_open()) {
            let host = answer.url().host_str().unwrap_or_default();
            self.guard.check(host, from.ip()).map_err(|forbidden| address(place.to_owned(), forbidden))?;
        }
        Ok(answer)
    }

    /// Fetches a document into `to` unless it is still what `known` says. `user:password@` in the address is sent as
    /// basic authentication.
    ///
    /// # Errors
    /// No connection, no success, more than `limit` bytes.
    pub async fn fetch(
        &self,
        url: &Url,
        known: Option<&Validator>,
        limit: u64,
        to: &mut (dyn Write + Send),
    ) -> Result<Fetched, UpstreamError> {
        let place = place(url);
        let mut request = self.get(url)?;
        request = match known {
            Some(Validator::ETag(tag)) => request.header(IF_NONE_MATCH, tag),
            Some(Validator::LastModified(time)) => request.header(IF_MODIFIED_SINCE, time),
            None => request,
        };
        let answer = self.send(request, &place).await?;
        if answer.status() == StatusCode::NOT_MODIFIED && known.is_some() {
            return Ok(Fetched::Unchanged);
        }
        if answer.status() != StatusCode::OK {
            return Err(UpstreamError::Status { place, status: answer.status() });
        }
        let text = |name| answer.headers().get(name)?.to_str().ok().map(str::to_owned);
        let validator =
            text(ETAG).map(Validator::ETag).or_else(|| text(LAST_MODIFIED).map(Validator::LastModified));
        let digest = copy(answer, Algorithm::Sha256, limit, &place, to).await?;
        Ok(Fetched::Changed { validator, digest })
    }
}

/// Writes an answer's body out and says its digest.
pub(crate) async fn copy(
    mut answer: Response,
    algorithm: Algorithm,
    limit: u64,
    place: &str,
    to: &mut (dyn Write + Send),
) -> Result<Digest, UpstreamError> {
    let too_large = || UpstreamError::TooLarge { place: place.to_owned(), limit };
    if answer.content_length().is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut hasher = Hasher::new(algorithm);
    let mut read = 0_u64;
    let lost = |source| UpstreamError::Connection { place: place.to_owned(), source };
    while let Some(chunk) = answer.chunk().await.map_err(lost)? {
        read += chunk.len() as u64;
        if read > limit {
            return Err(too_large());
        }
        hasher.update(&chunk);
        to.write_all(&chunk).map_err(UpstreamError::Write)?;
    }
    Ok(hasher.finish())
}

/// An address for messages and records: without credentials and query, which may be secret.
pub fn place(url: &Url) -> String {
    let mut url = url.clone();
    // Both fail only for addresses that cannot have them.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504)
}

fn address(place: String, forbidden: Forbidden) -> UpstreamError {
    UpstreamError::Address { place, host: forbidden.host, address: forbidden.address }
}

fn failed(place: &str, source: reqwest::Error) -> UpstreamError {
    match guard::refusal(&source) {
        Some(forbidden) => address(place.to_owned(), forbidden),
        None => UpstreamError::Connection { place: place.to_owned(), source },
    }
}

/// A certificate that is not trusted stays so, and so does an address that is not permitted.
fn is_final(error: &reqwest::Error) -> bool {
    if guard::refusal(error).is_some() {
        return true;
    }
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if inner.to_string().contains("certificate") {
            return true;
        }
        cause = inner.source();
    }
    false
}
