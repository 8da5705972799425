//! Turns what the HTTP server reports into metrics and the access log.

use std::sync::Arc;

use super::metrics::Metrics;
use super::route::Route;
use crate::config::log::Access;
use crate::http::meter::Cut;
use crate::http::{Observer, Outcome};

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

    fn ended(&self, outcome: &Outcome<'_>) {
        let route = Route::of(outcome.uri.path());
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
