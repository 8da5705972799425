//! `/api/v1/projects/{project}/repositories/{repository}/artifacts/{reference}/scan`: what is in an artifact, and what is
//! wrong with it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use metadata::model::scan::{ScanRow, SeverityCounts};
use registry::manifest::PulledManifest;
use registry::scan::ArtifactScan;
use registry::{Caller, Error, Grant, Pull, Push};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vuln::sbom::Format;
use workers::scan::{Target, priority};

use super::artifacts::reference;
use super::repositories::named;
use crate::api::extract::{By, Path, Query, SignedIn};
use crate::api::findings::{report_error, scan_of};
use crate::api::problem::Problem;
use crate::app::App;

/// A project, a repository in it, and a tag or digest.
pub(super) type Named = (String, String, String);

/// Vulnerabilities that count, by severity.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Counts {
    critical: u64,
    high: u64,
    medium: u64,
    low: u64,
    negligible: u64,
    /// Not rated.
    unknown: u64,
}

impl From<SeverityCounts> for Counts {
    fn from(of: SeverityCounts) -> Self {
        let SeverityCounts { critical, high, medium, low, negligible, unknown } = of;
        Self { critical, high, medium, low, negligible, unknown }
    }
}

/// The last verdict on an image.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ScanVerdict")]
pub(super) struct Verdict {
    #[schemars(extend("format" = "date-time"))]
    judged_at: String,
    vulnerabilities: Counts,
    /// Those of them that a newer version repairs.
    fixable: Counts,
    /// Vulnerabilities that do not count, for a stated reason.
    suppressed: u64,
    packages: u64,
    secrets: u64,
    misconfigurations: u64,
    /// The day on which the distribution's support ended, if it has.
    end_of_life: Option<String>,
    /// `id version` of the distribution.
    distribution: Option<String>,
}

/// What is known of an image.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ImageScan")]
pub(super) struct Image {
    digest: String,
    /// How the newest attempt ended: `succeeded`, `incomplete` (judged, but parts could not be read or judged: not
    /// clean), `failed` or `unsupported`.
    status: &'static str,
    /// Why it was not a success.
    reason: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    attempted_at: String,
    /// The last verdict, which also a failed attempt leaves.
    verdict: Option<Verdict>,
}

/// The scan of an artifact.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ArtifactScan")]
pub(super) struct Scan {
    /// `queued` or `running` while one waits or runs.
    active: Option<&'static str>,
    /// The artifact, or the images of an index, as far as they were looked at.
    images: Vec<Image>,
    /// Images of an index of which nothing is known yet.
    unknown: u64,
}

impl From<ScanRow> for Image {
    fn from(row: ScanRow) -> Self {
        let verdict = row.verdict.map(|verdict| Verdict {
            judged_at: verdict.judged_at.to_string(),
            vulnerabilities: verdict.counts.into(),
            fixable: verdict.details.fixable.into(),
            suppressed: verdict.details.suppressed,
            packages: verdict.details.packages,
            secrets: verdict.details.secrets,
            misconfigurations: verdict.details.misconfigurations,
            end_of_life: verdict.details.end_of_life,
            distribution: verdict.details.distribution,
        });
        Self {
            digest: row.digest.to_string(),
            status: row.status.as_str(),
            reason: row.reason,
            attempted_at: row.attempted_at.to_string(),
            verdict,
        }
    }
}

impl From<ArtifactScan> for Scan {
    fn from(scan: ArtifactScan) -> Self {
        let unknown = scan.unknown;
        let rows = scan.row.into_iter().chain(scan.children);
        Self {
            unknown,
            active: scan.active.map(metadata::jobs::JobState::as_str),
            images: rows.map(Image::from).collect(),
        }
    }
}

/// A line of a scan's log.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ScanLogLine")]
pub(super) struct Line {
    #[schemars(extend("format" = "date-time"))]
    at: String,
    /// `info`, `warn` or `error`.
    level: String,
    message: String,
}

/// The form of a bill of materials.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    /// `spdx-json` when not said; `spdx3-json`, `cyclonedx-json` or `cyclonedx-xml`, the last two with a version
    /// (`cyclonedx-json@1.6`) if need be.
    form: Option<String>,
}

pub(super) async fn read(
    app: &App,
    caller: &Caller,
    (project, repository, named_as): &Named,
) -> Result<(Grant<Pull>, PulledManifest), Error> {
    let repo = named(project, repository)?;
    let grant = app.registry.access().grant::<Pull>(&caller.principal, &repo).await?;
    let manifest = app.registry.pull_manifest(&grant, &reference(named_as)?).await?;
    Ok((grant, manifest))
}

pub(super) async fn may_push(
    app: &App,
    caller: &Caller,
    path: &Named,
) -> Result<(Grant<Push>, PulledManifest), Error> {
    let (reader, manifest) = read(app, caller, path).await?;
    Ok((app.registry.access().grant::<Push>(&caller.principal, reader.repo()).await?, manifest))
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(path): Path<Named>,
) -> Result<Json<Scan>, Problem> {
    let (_, manifest) = read(&app, &caller, &path).await?;
    Ok(Json(scan_of(&app, &manifest).await?.into()))
}

pub(super) async fn start(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(path): Path<Named>,
) -> Result<(StatusCode, Json<Scan>), Problem> {
    let (grant, manifest) = may_push(&app, &caller, &path).await?;
    let now = app.registry.store().now();
    let make = |digest: &oci::Digest| Target::new(*digest, priority::ASKED).job(now);
    app.registry.ask_for_scan(&caller, &grant, &manifest, make).await?;
    Ok((StatusCode::ACCEPTED, Json(scan_of(&app, &manifest).await?.into())))
}

pub(super) async fn stop(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(path): Path<Named>,
) -> Result<StatusCode, Problem> {
    let (grant, manifest) = may_push(&app, &caller, &path).await?;
    app.registry.stop_scan(&caller, &grant, &manifest).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn log(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(path): Path<Named>,
) -> Result<Json<Vec<Line>>, Problem> {
    let (_, manifest) = read(&app, &caller, &path).await?;
    let lines = app.registry.scan_log(&manifest).await?.into_iter();
    let line = |line: metadata::jobs::LogLine| Line {
        at: line.at.to_string(),
        level: line.level,
        message: line.message,
    };
    Ok(Json(lines.map(line).collect()))
}

pub(super) async fn report(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(path): Path<Named>,
) -> Result<Response, Problem> {
    let (_, manifest) = read(&app, &caller, &path).await?;
    let report = app.scanner.report(&manifest).await.map_err(report_error)?;
    Ok(Json(report).into_response())
}

pub(super) async fn sbom(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(path): Path<Named>,
    Query(asked): Query<Form>,
) -> Result<Response, Problem> {
    let form = asked.form.as_deref().unwrap_or("spdx-json").parse::<Format>();
    let form = form.map_err(|error| Error::Invalid(error.to_string()))?;
    let (_, manifest) = read(&app, &caller, &path).await?;
    let bytes = app.scanner.bill_of_materials(&manifest, form).await.map_err(report_error)?;
    Ok(([(CONTENT_TYPE, form.media_type())], bytes).into_response())
}
