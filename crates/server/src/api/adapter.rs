//! Harbor's scanner-adapter API 1.2 (goharbor/pluggable-scanner-spec) at `/scanner`: what a Harbor asks that uses this
//! registry as its scanner. Its words, media types and statuses; the work is a job's.
//!
//! Callers sign in as everywhere and need the permission `use-scanner`, also for what the scanner says of itself.

use std::sync::Arc;

use axum::extract::{OriginalUri, Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use registry::Error;
use registry::adapter::{AdapterRequest, AdapterScan};
use serde::{Deserialize, Serialize};
use upstream::adapter::serve::{self, Accepted, MAX_REQUEST_BYTES, Refusal};
use upstream::adapter::wire;
use workers::scan::{AdapterTarget, ReportError};

use super::extract::{Path, Query, SignedIn};
use super::problem::Problem;
use crate::app::App;
use crate::routes::Routes;

/// Seconds after which it is worth asking again.
const REFRESH_AFTER: HeaderValue = HeaderValue::from_static("3");

pub(super) fn routes() -> Routes {
    Routes::new()
        .add(Method::GET, "/metadata", metadata, None)
        .add(Method::POST, "/scan", scan, None)
        .add(Method::GET, "/scan/{scan}/report", report, None)
        .layered(|router| router.layer(axum::middleware::map_response(as_adapter)))
}

async fn as_adapter(response: Response) -> Response {
    match response.extensions().get::<Problem>() {
        Some(problem) => problem.adapter(),
        None => response,
    }
}

/// Why a request is answered with an error.
enum Failure {
    /// Of a use case.
    Problem(Problem),
    /// By the API's own rules.
    Refusal(Refusal),
}

impl<E: Into<Problem>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Problem(error.into())
    }
}

impl axum::response::IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::Refusal(refusal) => {
                let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
                document(status, wire::ERROR, &refusal.body())
            }
        }
    }
}

fn document(status: StatusCode, media_type: &'static str, content: &impl Serialize) -> Response {
    let body = serde_json::to_vec(content).unwrap_or_default();
    (status, [(CONTENT_TYPE, media_type)], body).into_response()
}

/// A scan that ended without a report.
fn failed(reason: String) -> Failure {
    Failure::Refusal(Refusal { status: 500, message: reason })
}

async fn metadata(State(app): State<Arc<App>>, SignedIn(caller): SignedIn) -> Result<Response, Failure> {
    app.registry.may_use_scanner(&caller)?;
    let advisories = app.scanner.advisories().pointer().await;
    let advisories = advisories.map_err(|error| Error::Internal(error.to_string()))?;
    let updated = advisories.map(|pointer| pointer.published_at.to_string());
    let own = serve::metadata(env!("CARGO_PKG_VERSION"), updated.as_deref());
    Ok(document(StatusCode::OK, wire::METADATA, &own))
}

async fn scan(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    request: Request,
) -> Result<Response, Failure> {
    app.registry.may_use_scanner(&caller)?;
    let collected = Limited::new(request.into_body(), MAX_REQUEST_BYTES).collect().await;
    let message = format!("the request is not whole, or has more than {MAX_REQUEST_BYTES} bytes");
    let body = collected.map_err(|_| Failure::Refusal(Refusal { status: 400, message }))?.to_bytes();
    let accepted = Accepted::parse(&body).map_err(Failure::Refusal)?;
    let artifact =
        serde_json::to_string(&accepted.artifact).map_err(|error| Error::Internal(error.to_string()))?;
    let asked = AdapterRequest { place: &accepted.place(), artifact: &artifact, body: &body };
    let now = app.registry.store().now();
    let job = |id: &str| AdapterTarget { scan: id.to_owned() }.job(now);
    let id = app.registry.ask_adapter(&caller, asked, job).await?;
    Ok(document(StatusCode::ACCEPTED, wire::SCAN_RESPONSE, &wire::ScanResponse { id }))
}

/// The form of the bill of materials that is wanted.
#[derive(Debug, Deserialize)]
struct Form {
    sbom_media_type: Option<String>,
}

async fn report(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    OriginalUri(own): OriginalUri,
    Path(id): Path<String>,
    Query(form): Query<Form>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let scan = app.registry.adapter_scan(&caller, &id).await?;
    let accept: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let asked = serve::asked(&accept.join(","), form.sbom_media_type.as_deref());
    let asked = asked.map_err(Failure::Refusal)?;
    let (artifact, content) = match scan {
        AdapterScan::Ready { artifact, content } => (artifact, content),
        AdapterScan::Failed(reason) => return Err(failed(reason)),
        AdapterScan::Waiting => {
            let itself = own.path_and_query().map_or(own.path(), |path| path.as_str());
            let itself = HeaderValue::from_str(itself);
            let itself = itself.map_err(|error| Error::Internal(error.to_string()))?;
            let mut answer = StatusCode::FOUND.into_response();
            answer.headers_mut().insert(LOCATION, itself);
            answer.headers_mut().insert("refresh-after", REFRESH_AFTER);
            return Ok(answer);
        }
    };
    match app.scanner.adapter_report(&artifact, &content, asked).await {
        Ok(report) => Ok((StatusCode::OK, [(CONTENT_TYPE, report.media_type)], report.bytes).into_response()),
        Err(ReportError::Unavailable(error)) => {
            tracing::error!(%error, "a report for another registry could not be made");
            Err(failed(ReportError::Unavailable(error).to_string()))
        }
        Err(error) => Err(failed(error.to_string())),
    }
}
