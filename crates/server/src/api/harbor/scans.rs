//! Scans of one artifact: `…/artifacts/{reference}/scan` and the additions `vulnerabilities` and `sbom`.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use registry::manifest::PulledManifest;
use registry::{Caller, Error, Grant, Pull, Push};
use serde::Deserialize;
use serde_json::Value;
use vuln::sbom::Format;
use workers::scan::{ReportError, Target, priority};

use super::artifacts::InArtifact;
use super::names::{InRepository, reference};
use super::scan_wire;
use crate::api::extract::{By, OptionalBody, Path, SignedIn};
use crate::api::findings::{report_error, reports};
use crate::api::problem::Problem;
use crate::app::App;

/// What is to be scanned for. Both are one scan here: what is in it is read before it is judged.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    scan_type: String,
}

/// A report's log as a path names it.
#[derive(Debug, Deserialize)]
pub(super) struct InReport {
    #[serde(flatten)]
    place: InRepository,
    reference: String,
    report: String,
}

/// The artifact whose scan is asked for or stopped, and the right to do so.
async fn asked_of(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    InArtifact { place, reference: named }: &InArtifact,
    asked: &Asked,
) -> Result<(PulledManifest, Grant<Push>), Error> {
    if !matches!(asked.scan_type.as_str(), "" | "vulnerability" | "sbom") {
        let why = format!("scan_type `{}` is neither `vulnerability` nor `sbom`", asked.scan_type);
        return Err(Error::Invalid(why));
    }
    let reader = place.grant::<Pull>(app, caller, headers).await?;
    let grant = place.grant(app, caller, headers).await?;
    Ok((app.registry.pull_manifest(&reader, &reference(named)?).await?, grant))
}

pub(super) async fn start(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    Path(artifact): Path<InArtifact>,
    OptionalBody(asked): OptionalBody<Asked>,
) -> Result<StatusCode, Problem> {
    let (manifest, grant) = asked_of(&app, &caller, &headers, &artifact, &asked).await?;
    let now = app.registry.store().now();
    let make = |digest: &oci::Digest| Target::new(*digest, priority::ASKED).job(now);
    app.registry.ask_for_scan(&caller, &grant, &manifest, make).await?;
    Ok(StatusCode::ACCEPTED)
}

pub(super) async fn stop(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    Path(artifact): Path<InArtifact>,
    OptionalBody(asked): OptionalBody<Asked>,
) -> Result<StatusCode, Problem> {
    let (manifest, grant) = asked_of(&app, &caller, &headers, &artifact, &asked).await?;
    app.registry.stop_scan(&caller, &grant, &manifest).await?;
    Ok(StatusCode::ACCEPTED)
}

pub(super) async fn log(
    State(app): State<Arc<App>>,
    By(caller): By,
    headers: HeaderMap,
    Path(InReport { place, reference: named, report }): Path<InReport>,
) -> Result<Response, Problem> {
    let grant = place.grant::<Pull>(&app, &caller, &headers).await?;
    let manifest = app.registry.pull_manifest(&grant, &reference(&named)?).await?;
    if report != scan_wire::report_id(&manifest.digest) {
        return Err(Error::NotFound("report").into());
    }
    let lines = app.registry.scan_log(&manifest).await?;
    let mut text = String::new();
    for line in lines {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{} [{}] {}", line.at, line.level, line.message);
    }
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

pub(super) async fn vulnerabilities(
    State(app): State<Arc<App>>,
    By(caller): By,
    headers: HeaderMap,
    Path(InArtifact { place, reference: named }): Path<InArtifact>,
) -> Result<Json<Value>, Problem> {
    let grant = place.grant::<Pull>(&app, &caller, &headers).await?;
    let (_, judged) = reports(&app, &grant, &reference(&named)?).await?;
    Ok(Json(scan_wire::report(scan_wire::report_type(&headers), &judged)))
}

pub(super) async fn sbom(
    State(app): State<Arc<App>>,
    By(caller): By,
    headers: HeaderMap,
    Path(InArtifact { place, reference: named }): Path<InArtifact>,
) -> Result<Response, Problem> {
    let grant = place.grant::<Pull>(&app, &caller, &headers).await?;
    let manifest = app.registry.pull_manifest(&grant, &reference(&named)?).await?;
    match app.scanner.bill_of_materials(&manifest, Format::Spdx23Json).await {
        Ok(bytes) => Ok(([(CONTENT_TYPE, "application/json")], bytes).into_response()),
        Err(ReportError::NotScanned) => Err(Error::NotFound("a bill of materials of this artifact").into()),
        Err(error) => Err(report_error(error).into()),
    }
}
