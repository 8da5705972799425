//! A client of Harbor's scanner-adapter API 1.2: adapters of Trivy, Grype, Clair, Aqua, Snyk and others scan for us.
//!
//! Adapters answer with documents, which are brought, bounded, and not read here. An adapter says "later" with a 302; it
//! may name its own address with it, so redirects are never followed. A scan that is refused, lost or failed is an error
//! that says what to do: there is no empty report in its place.

pub mod serve;
pub mod wire;

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

use crate::client::{Client, Options, copy, place};
use crate::{Credentials, UpstreamError};
use wire::{CapabilityKind, ErrorResponse, Metadata, ScanRequest, ScanResponse, essence};

/// Longest metadata, response and error.
const MAX_SMALL_BYTES: u64 = 1 << 20;
/// Longest identifier of a scan.
const MAX_ID_BYTES: usize = 512;
/// Longest message of an adapter that is passed on.
const MAX_MESSAGE_CHARS: usize = 500;
/// Answers in a row that say that the adapter is not there, before that is believed.
const MISSES: u32 = 5;

/// How an adapter wants to be convinced.
#[derive(Clone, Default)]
pub enum Authorization {
    /// Not at all.
    #[default]
    None,
    /// User and password.
    Basic(Credentials),
    /// A token.
    Bearer(String),
    /// A key in `X-ScannerAdapter-API-Key`.
    ApiKey(String),
}

impl std::fmt::Debug for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Basic(_) => "Basic",
            Self::Bearer(_) => "Bearer",
            Self::ApiKey(_) => "ApiKey",
        })
    }
}

/// How long a scan may take, and how often it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Before the report is asked for the first time.
    pub first: Duration,
    /// Between two questions, if the adapter does not say; a tenth of it at least if it does.
    pub interval: Duration,
    /// The longest pause, whatever the adapter says.
    pub longest: Duration,
    /// All in all.
    pub total: Duration,
}

impl Default for Patience {
    /// As Harbor: 2 s, then every 5 s or as the adapter says up to a minute, for 30 minutes.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(2),
            interval: Duration::from_secs(5),
            longest: Duration::from_mins(1),
            total: Duration::from_mins(30),
        }
    }
}

/// A report that is wanted of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Media type of the report.
    pub media_type: &'a str,
    /// Form of the SBOM in it, for SBOM reports.
    pub sbom_media_type: Option<&'a str>,
    /// Most bytes of it.
    pub limit: u64,
}

/// A document that an adapter gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its media type, as the adapter stated it.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The state of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is made.
    Ready(Document),
    /// It is being made; the adapter may say when to ask again.
    Later(Option<Duration>),
}

/// Why an adapter gave no report.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// An address that is none of an adapter.
    #[error("`{0}` is no address of a scanner adapter; write https://HOST[:PORT]")]
    Base(String),
    /// It cannot be reached, or what it says is not what the API says.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// It does not know us.
    #[error("the adapter at {place} refuses these credentials ({status}); correct those of its registration")]
    Unauthorized {
        /// What was asked.
        place: String,
        /// The status.
        status: StatusCode,
    },
    /// It cannot do what is wanted.
    #[error("the scanner at {place} cannot do this: {message}; choose another scanner for such artifacts")]
    Incapable {
        /// What was asked.
        place: String,
        /// Its words or ours.
        message: String,
    },
    /// It refuses the request.
    #[error("the adapter at {place} refuses the request ({status}): {message}")]
    Refused {
        /// What was asked.
        place: String,
        /// The status.
        status: StatusCode,
        /// Its words.
        message: String,
    },
    /// The scan failed there.
    #[error("the scan failed in the scanner at {place}: {message}; its own log says more")]
    Failed {
        /// What was asked.
        place: String,
        /// Its words.
        message: String,
    },
    /// It does not know the scan any more.
    #[error("the scanner at {place} has lost the scan; scan again, and let it keep its reports longer")]
    Lost {
        /// What was asked.
        place: String,
    },
    /// It did not finish.
    #[error("the scanner at {place} did not finish within {} s; scan again, or allow it more time", .after.as_secs())]
    TimeOver {
        /// What was asked.
        place: String,
        /// The time allowed.
        after: Duration,
    },
}

/// An adapter.
#[derive(Clone, Debug)]
pub struct Adapter {
    client: Client,
    base: Url,
    authorization: Authorization,
}

impl Adapter {
    /// An adapter at the address of its registration (`https://HOST:PORT`, with or without `/api/v1`); nothing is asked
    /// yet.
    ///
    /// # Errors
    /// [`AdapterError::Base`] for an address that can have no path, [`UpstreamError::Client`].
    pub fn new(options: &Options, base: &Url, authorization: Authorization) -> Result<Self, AdapterError> {
        let mut base = base.clone();
        let path = base.path().trim_end_matches('/');
        let path = if path.ends_with("/api/v1") { path.to_owned() } else { format!("{path}/api/v1") };
        base.set_path(&path);
        base.set_query(None);
        base.set_fragment(None);
        if base.cannot_be_a_base() || !matches!(base.scheme(), "http" | "https") {
            return Err(AdapterError::Base(place(&base)));
        }
        Ok(Self { client: Client::without_redirects(options)?, base, authorization })
    }

    fn url(&self, segments: &[&str]) -> Result<Url, AdapterError> {
        let mut url = self.base.clone();
        let mut path = url.path_segments_mut().map_err(|()| AdapterError::Base(place(&self.base)))?;
        path.extend(segments);
        drop(path);
        Ok(url)
    }

    fn request(&self, method: Method, url: &Url) -> Result<RequestBuilder, AdapterError> {
        let request = self.client.request(method, url)?;
        Ok(match &self.authorization {
            Authorization::None => request,
            Authorization::Basic(own) => request.basic_auth(&own.user, Some(&own.password)),
            Authorization::Bearer(token) => request.bearer_auth(token),
            Authorization::ApiKey(key) => request.header("X-ScannerAdapter-API-Key", key),
        })
    }

    /// What the adapter says of itself.
    ///
    /// # Errors
    /// No connection, refused, or no metadata of the API.
    pub async fn metadata(&self) -> Result<Metadata, AdapterError> {
        let url = self.url(&["metadata"])?;
        let place = place(&url);
        let accept = format!("{}, {}", wire::METADATA, wire::METADATA_1_0);
        let answer =
            self.client.send(self.request(Method::GET, &url)?.header(ACCEPT, accept), &place).await?;
        if answer.status() != StatusCode::OK {
            return Err(self.refusal(answer, &place).await);
        }
        let metadata: Metadata = self.json(answer, &place).await?;
        let unnamed = [&metadata.scanner.name, &metadata.scanner.vendor, &metadata.scanner.version];
        if unnamed.iter().any(|word| word.is_empty()) {
            let reason = "its scanner has no name, vendor or version".to_owned();
            return Err(UpstreamError::Document { place, reason }.into());
        }
        Ok(metadata)
    }

    /// Asks for a scan; the identifier of what was accepted.
    ///
    /// # Errors
    /// No connection, refused, or not capable.
    pub async fn accept(&self, request: &ScanRequest) -> Result<String, AdapterError> {
        let url = self.url(&["scan"])?;
        let place = place(&url);
        let media_type =
            if request.enabled_capabilities.is_empty() { wire::SCAN_REQUEST_1_0 } else { wire::SCAN_REQUEST };
        let body = serde_json::to_vec(request).map_err(|error| document(&place, error.to_string()))?;
        let sent = self
            .request(Method::POST, &url)?
            .header(CONTENT_TYPE, media_type)
            .header(ACCEPT, wire::SCAN_RESPONSE)
            .body(body);
        // Once: a second request would be a second scan.
        let answer = self.client.send_once(sent, &place).await?;
        if !matches!(answer.status(), StatusCode::ACCEPTED | StatusCode::OK | StatusCode::CREATED) {
            return Err(self.refusal(answer, &place).await);
        }
        let accepted: ScanResponse = self.json(answer, &place).await?;
        if accepted.id.is_empty() || accepted.id.len() > MAX_ID_BYTES || matches!(&*accepted.id, "." | "..") {
            return Err(document(&place, "it accepted the scan without a usable id".into()));
        }
        Ok(accepted.id)
    }

    /// Asks once for a report.
    ///
    /// # Errors
    /// No connection, the scan failed or is not known, or a document that is not what was asked for.
    pub async fn report(&self, id: &str, wanted: &Wanted<'_>) -> Result<Progress, AdapterError> {
        let mut url = self.url(&["scan", id, "report"])?;
        let place = place(&url);
        if let Some(form) = wanted.sbom_media_type {
            url.query_pairs_mut().append_pair("sbom_media_type", form);
        }
        let sent = self.request(Method::GET, &url)?.header(ACCEPT, wanted.media_type);
        let answer = self.client.send_once(sent, &place).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::FOUND => {
                let after = |name: &str| answer.headers().get(name)?.to_str().ok()?.trim().parse().ok();
                let seconds = after("refresh-after").or_else(|| after("retry-after"));
                return Ok(Progress::Later(seconds.map(Duration::from_secs)));
            }
            StatusCode::NOT_FOUND => return Err(AdapterError::Lost { place }),
            StatusCode::INTERNAL_SERVER_ERROR => {
                let message = self.message(answer, &place).await;
                return Err(AdapterError::Failed { place, message });
            }
            _ => return Err(self.refusal(answer, &place).await),
        }
        let stated = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = stated.unwrap_or(wanted.media_type).to_owned();
        if essence(&media_type) != essence(wanted.media_type) && essence(&media_type) != "application/json" {
            return Err(document(
                &place,
                format!("its report is `{media_type}`, not `{}`", wanted.media_type),
            ));
        }
        let mut bytes = Vec::new();
        copy(answer, oci::Algorithm::Sha256, wanted.limit, &place, &mut bytes).await?;
        Ok(Progress::Ready(Document { media_type, bytes }))
    }

    /// Scans, and waits for the reports that are wanted, in their order.
    ///
    /// # Errors
    /// As [`Self::accept`] and [`Self::report`]; [`AdapterError::TimeOver`] when patience is over.
    pub async fn scan(
        &self,
        request: &ScanRequest,
        wanted: &[Wanted<'_>],
        patience: &Patience,
    ) -> Result<Vec<Document>, AdapterError> {
        let until = Instant::now() + patience.total;
        let over = || AdapterError::TimeOver { place: place(&self.base), after: patience.total };
        let work = async {
            let id = self.accept(request).await?;
            sleep(patience.first).await;
            let mut out = Vec::new();
            for wanted in wanted {
                out.push(self.poll(&id, wanted, patience).await?);
            }
            Ok(out)
        };
        timeout_at(until, work).await.unwrap_or_else(|_| Err(over()))
    }

    /// Asks until the report is there; an adapter that restarts is asked again.
    async fn poll(
        &self,
        id: &str,
        wanted: &Wanted<'_>,
        patience: &Patience,
    ) -> Result<Document, AdapterError> {
        let mut misses = 0;
        loop {
            let pause = match self.report(id, wanted).await {
                Ok(Progress::Ready(document)) => return Ok(document),
                Ok(Progress::Later(after)) => {
                    misses = 0;
                    let shortest = patience.interval / 10;
                    after.unwrap_or(patience.interval).clamp(shortest, patience.longest.max(shortest))
                }
                Err(error) if is_passing(&error) && misses + 1 < MISSES => {
                    misses += 1;
                    patience.interval
                }
                Err(error) => return Err(error),
            };
            sleep(pause).await;
        }
    }

    async fn json<T: serde::de::DeserializeOwned>(
        &self,
        answer: Response,
        place: &str,
    ) -> Result<T, AdapterError> {
        let mut bytes = Vec::new();
        copy(answer, oci::Algorithm::Sha256, MAX_SMALL_BYTES, place, &mut bytes).await?;
        serde_json::from_slice(&bytes).map_err(|error| document(place, error.to_string()))
    }

    /// What an answer that is no success says, in one line.
    async fn message(&self, answer: Response, place: &str) -> String {
        let status = answer.status();
        let said = self.json::<ErrorResponse>(answer, place).await.map(|error| error.error.message);
        let line: String = said
            .unwrap_or_default()
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MAX_MESSAGE_CHARS)
            .collect();
        if line.trim().is_empty() { format!("it only says {status}") } else { line }
    }

    async fn refusal(&self, answer: Response, place: &str) -> AdapterError {
        let (place, status) = (place.to_owned(), answer.status());
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => AdapterError::Unauthorized { place, status },
            StatusCode::NOT_IMPLEMENTED => {
                AdapterError::Incapable { message: self.message(answer, &place).await, place }
            }
            StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::NOT_FOUND => UpstreamError::Status { place, status }.into(),
            _ => AdapterError::Refused { message: self.message(answer, &place).await, place, status },
        }
    }
}

/// Whether the same question may be answered a moment later.
fn is_passing(error: &AdapterError) -> bool {
    match error {
        AdapterError::Upstream(UpstreamError::Connection { .. }) => true,
        AdapterError::Upstream(UpstreamError::Status { status, .. }) => *status != StatusCode::NOT_FOUND,
        _ => false,
    }
}

fn document(place: &str, reason: String) -> AdapterError {
    UpstreamError::Document { place: place.to_owned(), reason }.into()
}

/// Whether an adapter can be registered: it must report vulnerabilities of container images in a form that is read.
///
/// # Errors
/// [`AdapterError::Incapable`] saying what is missing.
pub fn check(metadata: &Metadata, place: &str) -> Result<(), AdapterError> {
    let manifests = [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    ];
    let reports = [wire::VULNERABILITY_REPORT, wire::VULNERABILITY_REPORT_1_0];
    let makes = |kind, reports: &[&str]| {
        manifests.iter().any(|manifest| metadata.produces(kind, manifest, reports).is_some())
    };
    if makes(CapabilityKind::Vulnerability, &reports) || makes(CapabilityKind::Sbom, &[wire::SBOM_REPORT]) {
        return Ok(());
    }
    let message =
        "it makes neither vulnerability reports nor SBOMs of container images in a form that is read";
    Err(AdapterError::Incapable { place: place.to_owned(), message: message.to_owned() })
}
