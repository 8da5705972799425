//! Scanning of projects and of the whole system: what is decided, scans of everything, the advisories, findings as CSV.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use metadata::jobs::Job as JobRow;
use registry::Error;
use registry::admin::{AllowList, ProjectRef, ProjectScanning};
use registry::exports::Criteria;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use workers::Job as _;
use workers::scan::{FeedsJob, RefreshFeeds, ScanAll, ScanAllJob};

use super::system::{LAST, Progress, request};
use crate::api::csv;
use crate::api::extract::{Body, Path, Query, SignedIn};
use crate::api::findings::Filter;
use crate::api::problem::Problem;
use crate::app::App;

/// Vulnerabilities that do not count.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AllowList")]
pub(super) struct WireList {
    /// Identifiers such as `CVE-2024-0001`.
    #[serde(default)]
    ids: Vec<String>,
    /// From when on it counts for nothing, in seconds since 1970.
    #[serde(default)]
    expires_at: Option<i64>,
}

impl From<AllowList> for WireList {
    fn from(list: AllowList) -> Self {
        Self { ids: list.ids, expires_at: list.expires_at }
    }
}

impl From<WireList> for AllowList {
    fn from(wire: WireList) -> Self {
        Self { ids: wire.ids, expires_at: wire.expires_at }
    }
}

/// What a project decides about scanning.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ProjectScanning")]
pub(super) struct Decided {
    /// Whether what is pushed is scanned; as the system does when not said.
    #[serde(default)]
    on_push: Option<bool>,
    /// Whether bills of materials are attached; as the system does when not said.
    #[serde(default)]
    sbom: Option<bool>,
    /// Whether VEX documents beside an image (OpenVEX or CSAF; attached or attested) excuse findings of it in
    /// this project. Whoever may push there may attach them.
    #[serde(default)]
    vex: bool,
    /// Whether the system's allow-list counts instead of the project's own.
    #[serde(default)]
    system_allow_list: bool,
    /// The project's own allow-list.
    #[serde(default)]
    allow_list: WireList,
}

/// A scan of everything.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SystemScan")]
pub(super) struct Sweep {
    #[serde(flatten)]
    progress: Progress,
    /// Artifacts that are done.
    done: i64,
    /// Artifacts in all, once they are known.
    total: Option<i64>,
}

impl From<&JobRow> for Sweep {
    fn from(job: &JobRow) -> Self {
        Self { progress: job.into(), done: job.progress_done, total: job.progress_total }
    }
}

/// A source of advisories.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AdvisoryFeed")]
pub(super) struct Feed {
    name: String,
    /// When it was taken, or last found unchanged (RFC 3339).
    imported_at: String,
    /// The latest change that any of its advisories states.
    newest: String,
    /// Advisories and scores.
    records: u64,
    /// Documents that could not be read.
    refused: u64,
}

/// The advisories that artifacts are judged by.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Advisories")]
pub(super) struct Status {
    /// When they were published; none: there never were any, and nothing is known to be clean.
    published_at: Option<String>,
    size_bytes: u64,
    feeds: Vec<Feed>,
    /// The newest renewals, newest first.
    renewals: Vec<Progress>,
}

/// Which findings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "FindingsFilter")]
pub(super) struct Which {
    /// Of this project; of all that you may see when not said.
    project: Option<String>,
    /// Of repositories of this pattern, by the name inside the project: `team/**`.
    repository: Option<String>,
    /// Of artifacts with a tag of this pattern: `v1*`.
    tag: Option<String>,
    /// With this identifier.
    id: Option<String>,
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(project): Path<String>,
) -> Result<Json<Decided>, Problem> {
    let scanning = app.registry.project_scanning(&caller, &ProjectRef::Name(project)).await?;
    Ok(Json(Decided {
        on_push: scanning.on_push,
        sbom: scanning.sbom,
        vex: scanning.vex,
        system_allow_list: scanning.system_allow_list,
        allow_list: scanning.allow_list.into(),
    }))
}

pub(super) async fn change(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(project): Path<String>,
    Body(body): Body<Decided>,
) -> Result<StatusCode, Problem> {
    let scanning = ProjectScanning {
        on_push: body.on_push,
        sbom: body.sbom,
        vex: body.vex,
        system_allow_list: body.system_allow_list,
        allow_list: body.allow_list.into(),
    };
    app.registry.set_project_scanning(&caller, &ProjectRef::Name(project), &scanning).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn allow_list(
    State(app): State<Arc<App>>,
    SignedIn(_): SignedIn,
) -> Result<Json<WireList>, Problem> {
    Ok(Json(app.registry.system_allow_list().await?.into()))
}

pub(super) async fn change_allow_list(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Body(body): Body<WireList>,
) -> Result<StatusCode, Problem> {
    app.registry.set_system_allow_list(&caller, &body.into()).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn start(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
) -> Result<(StatusCode, Json<Sweep>), Problem> {
    let job = request::<ScanAllJob>(&app, &ScanAll::default())?;
    let job = app.registry.ask_for(&caller, job).await?;
    Ok((StatusCode::ACCEPTED, Json(Sweep::from(&job))))
}

pub(super) async fn sweeps(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
) -> Result<Json<Vec<Sweep>>, Problem> {
    let last = app.registry.asked_for(&caller, ScanAllJob::NAME, LAST).await?;
    Ok(Json(last.iter().map(|(job, _)| Sweep::from(job)).collect()))
}

/// Stops every scan of everything that waits or runs; what was judged stays.
pub(super) async fn stop(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
) -> Result<StatusCode, Problem> {
    app.registry.stop_asked(&caller, ScanAllJob::NAME).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn advisories(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
) -> Result<Json<Status>, Problem> {
    let renewals = app.registry.asked_for(&caller, FeedsJob::NAME, LAST).await?;
    let renewals = renewals.iter().map(|(job, _)| Progress::from(job)).collect();
    let failed = |error: workers::JobError| Error::Internal(format!("the advisories: {error}"));
    let Some(current) = app.scanner.advisories().current().await.map_err(failed)? else {
        return Ok(Json(Status { published_at: None, size_bytes: 0, feeds: Vec::new(), renewals }));
    };
    let db = current.db().map_err(|error| Error::Internal(format!("the advisories: {error}")))?;
    let feed = |feed: &vuln::db::FeedInfo| Feed {
        name: feed.name.clone(),
        imported_at: feed.imported_at.clone(),
        newest: feed.newest.clone(),
        records: feed.records,
        refused: feed.refused,
    };
    Ok(Json(Status {
        published_at: Some(current.pointer.published_at.to_string()),
        size_bytes: current.pointer.size_bytes,
        feeds: db.feeds().into_iter().map(feed).collect(),
        renewals,
    }))
}

pub(super) async fn renew(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
) -> Result<(StatusCode, Json<Progress>), Problem> {
    let job = request::<FeedsJob>(&app, &RefreshFeeds::default())?;
    let job = app.registry.ask_for(&caller, job).await?;
    Ok((StatusCode::ACCEPTED, Json(Progress::from(&job))))
}

/// Findings of all that the caller may see, made while they are sent.
pub(super) async fn findings(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    let projects = match which.project {
        Some(name) => {
            vec![app.registry.visible_project(&caller, &ProjectRef::Name(name))?.id.get()]
        }
        None => Vec::new(),
    };
    let criteria = Criteria {
        projects,
        repositories: which.repository.into_iter().collect(),
        tags: which.tag.into_iter().collect(),
        ids: which.id.into_iter().collect(),
    };
    let filter = Filter::parse(&criteria)?;
    Ok(csv::answer(app, caller, filter, "findings.csv"))
}
