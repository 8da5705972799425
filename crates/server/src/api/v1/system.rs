//! `/api/v1/system`: maintenance that a running registry does beside its requests, as jobs of whichever process has the
//! role `jobs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use metadata::jobs::{Job as JobRow, LogLine, NewJob};
use registry::Error;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use workers::Job;
use workers::upkeep::{Collect, CollectJob, Fsck, FsckJob};

use crate::api::extract::{Body, SignedIn};
use crate::api::problem::Problem;
use crate::app::App;

/// How many are listed.
pub(super) const LAST: u32 = 20;

/// A collection to be started.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCollection {
    /// Only count what would be collected.
    #[serde(default)]
    dry_run: bool,
}

/// A check to be started.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCheck {
    /// Read every blob and compare its digest.
    #[serde(default)]
    read: bool,
    /// Put right what can be: take damaged blobs out of service, put back those that are right, collect orphans.
    #[serde(default)]
    repair: bool,
}

/// How far something is that was asked for.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Progress {
    id: i64,
    /// `queued`, `running`, `succeeded`, `failed`, `cancelled` or `superseded`.
    state: &'static str,
    /// When it was asked for (RFC 3339).
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    /// Why the last attempt failed.
    error: Option<String>,
}

impl From<&JobRow> for Progress {
    fn from(job: &JobRow) -> Self {
        Self {
            id: job.id.get(),
            state: job.state.as_str(),
            created_at: job.created_at.to_string(),
            started_at: job.started_at.map(|at| at.to_string()),
            finished_at: job.finished_at.map(|at| at.to_string()),
            error: job.error.clone(),
        }
    }
}

/// A collection.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Collection {
    #[serde(flatten)]
    progress: Progress,
    /// Whether it only counts.
    dry_run: bool,
    /// What it collected, or would collect; none before it has ended.
    report: Option<BTreeMap<String, u64>>,
}

/// A check.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Check {
    #[serde(flatten)]
    progress: Progress,
    /// Whether it reads every blob.
    read: bool,
    /// Whether it puts right what can be.
    repair: bool,
    /// What it found, in numbers; none before it has ended.
    report: Option<BTreeMap<String, u64>>,
    /// The first of the problems.
    problems: Vec<serde_json::Value>,
}

fn said<T: DeserializeOwned>(lines: &[LogLine], level: &str) -> Vec<T> {
    let lines = lines.iter().filter(|line| line.level == level);
    lines.filter_map(|line| serde_json::from_str(&line.message).ok()).collect()
}

fn collection(job: &JobRow, lines: &[LogLine]) -> Collection {
    let asked: Collect = serde_json::from_str(&job.payload).unwrap_or_default();
    Collection { progress: job.into(), dry_run: asked.dry_run, report: said(lines, "info").pop() }
}

fn checked(job: &JobRow, lines: &[LogLine]) -> Check {
    let asked: Fsck = serde_json::from_str(&job.payload).unwrap_or_default();
    Check {
        progress: job.into(),
        read: asked.read,
        repair: asked.repair,
        report: said(lines, "info").pop(),
        problems: said(lines, "warn"),
    }
}

pub(super) fn request<J: Job>(app: &App, payload: &J::Payload) -> Result<NewJob, Error> {
    let job = J::request(payload, app.registry.store().now());
    job.map_err(|error| Error::Internal(error.to_string()))
}

pub(super) async fn collect(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Body(body): Body<NewCollection>,
) -> Result<(StatusCode, Json<Collection>), Problem> {
    let job = request::<CollectJob>(&app, &Collect { dry_run: body.dry_run })?;
    let job = app.registry.ask_for(&caller, job).await?;
    Ok((StatusCode::ACCEPTED, Json(collection(&job, &[]))))
}

pub(super) async fn collections(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
) -> Result<Json<Vec<Collection>>, Problem> {
    let last = app.registry.asked_for(&caller, CollectJob::NAME, LAST).await?;
    Ok(Json(last.iter().map(|(job, lines)| collection(job, lines)).collect()))
}

pub(super) async fn check(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Body(body): Body<NewCheck>,
) -> Result<(StatusCode, Json<Check>), Problem> {
    let bytes_per_second = app.config.gc.scrub_rate.bytes();
    let asked = Fsck { read: body.read, repair: body.repair, bytes_per_second };
    let job = app.registry.ask_for(&caller, request::<FsckJob>(&app, &asked)?).await?;
    Ok((StatusCode::ACCEPTED, Json(checked(&job, &[]))))
}

pub(super) async fn checks(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
) -> Result<Json<Vec<Check>>, Problem> {
    let last = app.registry.asked_for(&caller, FsckJob::NAME, LAST).await?;
    Ok(Json(last.iter().map(|(job, lines)| checked(job, lines)).collect()))
}
