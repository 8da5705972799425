//! Turns what the HTTP server reports into metrics and the access log.

use std::sync::Arc;

use http::{HeaderMap, Method, Uri};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::metrics::Metrics;
use super::route::Route;
use super::trace::SPANS;
use crate::config::log::Access;
use crate::http::meter::Cut;
use crate::http::{Observer, Outcome, RequestId};

/// Counts requests and logs them.
#[derive(Debug)]
pub struct Telemetry {
    metrics: Arc<Metrics>,
    access: Access,
}

impl Telemetry {
    /// Counts into these metrics and logs what `log.access` says.
    pub const fn new(metrics: Arc<Metrics>, access: Access) -> Self {
        Self { metrics, access }
    }

    fn logged(&self, route: Route, outcome: &Outcome<'_>) -> bool {
        let failed = outcome.status.is_none_or(|status| status.is_server_error()) || !outcome.complete;
        match self.access {
            Access::Off => false,
            Access::Errors => failed,
            Access::All => failed || route != Route::ops,
        }
    }
}

impl Observer for Telemetry {
    fn connected(&self) {
        self.metrics.connection_began();
    }

    fn disconnected(&self, cut: Option<Cut>) {
        self.metrics.connection_ended(cut);
    }

    fn began(&self) {
        self.metrics.request_began();
    }

    fn span(&self, method: &Method, uri: &Uri, headers: &HeaderMap, id: &RequestId) -> Span {
        let span = tracing::trace_span!(
            target: SPANS,
            "request",
            otel.kind = "server",
            otel.name = Empty,
            otel.status_code = Empty,
            http.request.method = %method,
            http.route = Empty,
            http.response.status_code = Empty,
            http.response.body.size = Empty,
            url.path = uri.path(),
            bonded.request_id = id.as_str(),
        );
        if span.is_disabled() {
            return span;
        }
        let route = Route::of(uri.path());
        if route == Route::ops {
            return Span::none();
        }
        span.record("otel.name", format!("{method} {route:?}"));
        span.record("http.route", format!("{route:?}"));
        let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        if parent.span().span_context().is_valid() {
            // It fails only where nothing is exported.
            let _ = span.set_parent(parent);
        }
        span
    }

    fn ended(&self, outcome: &Outcome<'_>) {
        let route = Route::of(outcome.uri.path());
        if !outcome.span.is_disabled() {
            let status = outcome.status.map_or(0, |status| status.as_u16());
            outcome.span.record("http.response.status_code", status);
            outcome.span.record("http.response.body.size", outcome.sent_bytes);
            if status == 0 || status >= 500 || !outcome.complete {
                outcome.span.record("otel.status_code", "ERROR");
            }
        }
        self.metrics.request_ended(route, outcome);
        if self.logged(route, outcome) {
            // The path without its query: clients put tokens there.
            tracing::info!(
                target: "access",
                method = %outcome.method,
                path = outcome.uri.path(),
                status = outcome.status.map_or(0, |status| status.as_u16()),
                bytes = outcome.sent_bytes,
                micros = u64::try_from(outcome.duration.as_micros()).unwrap_or(u64::MAX),
                client = %outcome.client,
                request_id = outcome.id.as_str(),
                user_agent = outcome.user_agent,
                complete = outcome.complete,
                "request"
            );
        }
    }
}
