//! `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode, header};

use super::health::Health;
use super::metrics::Metrics;
use crate::config::Secret;

/// The paths, for lists of all routes.
pub const PATHS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// Who may read `/metrics`.
#[derive(Debug, Clone)]
pub enum MetricsAccess {
    /// Nobody: the path does not exist.
    Nobody,
    /// Who sends this bearer token.
    Token(Secret),
    /// Everybody who reaches the listener.
    Everybody,
}

#[derive(Debug, Clone)]
struct Ops {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    access: MetricsAccess,
}

/// The routes, to be merged into a listener's router.
pub fn router(health: Arc<Health>, metrics: Arc<Metrics>, access: MetricsAccess) -> Router {
    let [alive, readiness, metrics_of] = PATHS;
    Router::new()
        .route(alive, get(|| async { "ok\n" }))
        .route(readiness, get(ready))
        .route(metrics_of, get(show))
        .with_state(Ops { health, metrics, access })
}

async fn ready(State(ops): State<Ops>) -> Response {
    let readiness = ops.health.readiness().await;
    let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], readiness.text()).into_response()
}

async fn show(State(ops): State<Ops>, headers: HeaderMap) -> Response {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    match &ops.access {
        MetricsAccess::Nobody => StatusCode::NOT_FOUND.into_response(),
        MetricsAccess::Token(token)
            if verify_slices_are_equal(token.expose().as_bytes(), given.as_bytes()).is_err() =>
        {
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer realm=\"metrics\"")])
                .into_response()
        }
        MetricsAccess::Token(_) | MetricsAccess::Everybody => {
            let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, content_type)], ops.metrics.text()).into_response()
        }
    }
}
