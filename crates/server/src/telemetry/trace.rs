//! Traces by the OpenTelemetry protocol: off unless a collector is configured, and then never in a request's way.
//!
//! Spans are ordinary `tracing` spans of the target [`SPANS`] and the lowest level: without a collector nobody is
//! interested in them, which costs a comparison. With one, they go through a bounded queue to a thread of their own;
//! when the collector is slow or away they are dropped, and counted.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider,
};
use tokio::runtime::Handle;

use crate::config::telemetry::Otlp;
use crate::outbound::{self, OutboundError};

/// The target of spans that are exported.
pub const SPANS: &str = "spans";

/// Spans that wait for their export; further ones are dropped.
const QUEUE: usize = 8192;

/// Exports that failed since the process began.
static FAILED: AtomicU64 = AtomicU64::new(0);

/// Why there are no traces.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The address is none.
    #[error("telemetry.otlp.endpoint: not an http:// or https:// address")]
    Endpoint,
    /// The headers are none. They may be secret: the message does not repeat them.
    #[error("telemetry.otlp.headers: expected name=value, with commas between them")]
    Headers,
    /// No client.
    #[error("telemetry.otlp: {0}")]
    Client(#[from] OutboundError),
    /// The library refuses the set-up.
    #[error("telemetry.otlp: {0}")]
    Exporter(#[from] ExporterBuildError),
}

/// How many exports failed.
pub fn failed_exports() -> u64 {
    FAILED.load(Relaxed)
}

/// The export of traces; ends with what waits in its queue.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    timeout: Duration,
}

impl Traces {
    /// The export that the configuration asks for, if any. Requests to the collector run on `runtime`.
    pub fn open(config: &Otlp, runtime: &Handle) -> Result<Option<Self>, TraceError> {
        let Some(endpoint) = &config.endpoint else { return Ok(None) };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Courier {
                http: outbound::client(config.ca_file.as_deref(), config.timeout.std())?,
                runtime: runtime.clone(),
                failing: AtomicBool::new(false),
            })
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(address(endpoint)?)
            .with_headers(headers(config)?)
            .with_timeout(config.timeout.std())
            .build()?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(512)
            .with_scheduled_delay(Duration::from_secs(1))
            .build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
        let resource = Resource::builder_empty()
            .with_service_name(config.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio))))
            .with_resource(resource)
            .build();
        Ok(Some(Self { provider, timeout: config.timeout.std() }))
    }

    /// What makes spans of it.
    pub fn tracer(&self) -> SdkTracer {
        self.provider.tracer("bonded")
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        // Nobody is left who could do something about an error.
        let _ = self.provider.shutdown_with_timeout(self.timeout);
    }
}

fn address(endpoint: &str) -> Result<String, TraceError> {
    let mut url: url::Url = endpoint.parse().map_err(|_| TraceError::Endpoint)?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(TraceError::Endpoint);
    }
    if url.path() == "/" {
        url.set_path("/v1/traces");
    }
    Ok(url.into())
}

fn headers(config: &Otlp) -> Result<HashMap<String, String>, TraceError> {
    let text = config.headers.as_ref().map_or("", |headers| headers.expose());
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').ok_or(TraceError::Headers)?;
            let name: http::HeaderName = name.trim().parse().map_err(|_| TraceError::Headers)?;
            let value: http::HeaderValue = value.trim().parse().map_err(|_| TraceError::Headers)?;
            Ok((name.to_string(), value.to_str().map_err(|_| TraceError::Headers)?.to_owned()))
        })
        .collect()
}

/// Carries batches to the collector. The library's thread has no runtime: the request runs on the server's.
struct Courier {
    http: reqwest::Client,
    runtime: Handle,
    failing: AtomicBool,
}

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Courier").finish_non_exhaustive()
    }
}

impl Courier {
    /// Says once that the collector cannot be reached, and once that it can again.
    fn note(&self, failure: Option<&str>) {
        if failure.is_some() {
            FAILED.fetch_add(1, Relaxed);
        }
        match (self.failing.swap(failure.is_some(), Relaxed), failure) {
            (false, Some(error)) => tracing::warn!(error, "traces cannot be exported and are dropped"),
            (true, None) => tracing::info!("traces are exported again"),
            _ => {}
        }
    }
}

impl HttpClient for Courier {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'b, Result<http::Response<Bytes>, HttpError>>
    where
        'a: 'b,
        Self: 'b,
    {
        let http = self.http.clone();
        let sent = self.runtime.spawn(async move {
            let answer = http.execute(reqwest::Request::try_from(request)?).await?;
            let mut taken = http::Response::new(Bytes::new());
            *taken.status_mut() = answer.status();
            *taken.headers_mut() = answer.headers().clone();
            *taken.body_mut() = answer.bytes().await?;
            Ok::<_, reqwest::Error>(taken)
        });
        Box::pin(async move {
            let outcome: Result<http::Response<Bytes>, HttpError> = match sent.await {
                Ok(answer) => answer.map_err(Into::into),
                Err(ended) => Err(ended.into()),
            };
            let status = |answer: &http::Response<Bytes>| answer.status();
            match &outcome {
                Ok(answer) if status(answer).is_success() => self.note(None),
                Ok(answer) => self.note(Some(status(answer).as_str())),
                Err(error) => self.note(Some(&error.to_string())),
            }
            outcome
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn the_signal_s_path_is_appended_only_where_there_is_none() {
        for (endpoint, address_is) in [
            ("http://c:4318", "http://c:4318/v1/traces"),
            ("https://c/", "https://c/v1/traces"),
            ("https://c/otlp/v1/traces?x=1", "https://c/otlp/v1/traces?x=1"),
        ] {
            assert_eq!(address(endpoint).expect(endpoint), address_is);
        }
        for wrong in ["", "c:4318", "grpc://c:4317", "http://"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn headers_are_pairs_and_an_error_does_not_repeat_them() {
        let of = |text: &str| headers(&Otlp { headers: Some(Secret::new(text)), ..Otlp::default() });
        let taken = of("Authorization=Bearer a=b, x-tenant=t,").expect("headers");
        assert_eq!(taken.get("authorization").map(String::as_str), Some("Bearer a=b"));
        assert_eq!(taken.get("x-tenant").map(String::as_str), Some("t"));
        for wrong in ["canary", "a b=canary", "a=canary\0x"] {
            assert!(!of(wrong).expect_err("refused").to_string().contains("canary"));
        }
    }
}
