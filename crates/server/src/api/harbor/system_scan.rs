//! Scanning of the whole system: scan-all, its schedule and figures, the allow-list.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use metadata::jobs::{Job as JobRow, JobState};
use metadata::schedules::Schedule;
use registry::Error;
use registry::admin::AllowList;
use registry::schedule::NewSchedule;
use serde::Deserialize;
use serde_json::{Value, json};
use workers::Job as _;
use workers::scan::{ScanAll, ScanAllJob, priority};

use crate::api::extract::{Body, SignedIn};
use crate::api::problem::Problem;
use crate::app::App;

/// The schedule's name.
const SCHEDULE: &str = "scan_all";

#[derive(Debug, Default, Deserialize)]
pub(super) struct When {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    cron: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Change {
    #[serde(default)]
    schedule: When,
}

impl When {
    /// The expression, with seconds first; none: nothing is to be done regularly.
    fn cron(&self) -> Result<Option<String>, Error> {
        let usual = match self.kind.as_str() {
            "None" => return Ok(None),
            "Hourly" => "0 0 * * * *",
            "Daily" => "0 0 0 * * *",
            "Weekly" => "0 0 0 * * 0",
            "Custom" | "Schedule" => "",
            other => return Err(Error::Invalid(format!("schedule type `{other}` is not known"))),
        };
        let cron = if self.cron.is_empty() { usual } else { &self.cron };
        if cron.split_whitespace().count() != 6 {
            return Err(Error::Invalid("a cron expression has six fields, seconds first".to_owned()));
        }
        Ok(Some(cron.to_owned()))
    }
}

fn kind_of(cron: &str) -> &'static str {
    match cron {
        "0 0 * * * *" => "Hourly",
        "0 0 0 * * *" => "Daily",
        "0 0 0 * * 0" => "Weekly",
        _ => "Custom",
    }
}

fn schedule(row: &Schedule) -> Value {
    json!({
        "id": 1,
        "job_name": "SCAN_ALL",
        "job_kind": "Periodic",
        "job_parameters": "{}",
        "job_status": "Pending",
        "deleted": false,
        "schedule": {
            "type": kind_of(&row.cron),
            "cron": row.cron,
            "next_scheduled_time": row.next_at,
        },
    })
}

/// The schedule; without one 200 with an empty body.
pub(super) async fn show_schedule(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
) -> Result<Response, Problem> {
    Ok(match app.registry.schedule(&caller, SCHEDULE).await? {
        Some(row) => Json(schedule(&row)).into_response(),
        None => StatusCode::OK.into_response(),
    })
}

async fn set(app: &App, caller: &registry::Caller, cron: String) -> Result<(), Error> {
    let payload = serde_json::to_string(&ScanAll::default()).unwrap_or_default();
    let new =
        NewSchedule { name: SCHEDULE, kind: ScanAllJob::NAME, payload, priority: priority::SWEEP, cron };
    app.registry.set_schedule(caller, new).await
}

pub(super) async fn create_schedule(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Body(body): Body<Change>,
) -> Result<StatusCode, Problem> {
    if body.schedule.kind == "Manual" {
        let job = ScanAllJob::request(&ScanAll::default(), app.registry.store().now());
        let job = job.map_err(|error| Error::Internal(error.to_string()))?;
        app.registry.ask_for(&caller, job).await?;
        return Ok(StatusCode::CREATED);
    }
    if app.registry.schedule(&caller, SCHEDULE).await?.is_some() {
        return Err(Error::Conflict("there is a schedule already; change it".to_owned()).into());
    }
    if let Some(cron) = body.schedule.cron()? {
        set(&app, &caller, cron).await?;
    }
    Ok(StatusCode::CREATED)
}

pub(super) async fn change_schedule(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Body(body): Body<Change>,
) -> Result<StatusCode, Problem> {
    match body.schedule.cron()? {
        Some(cron) => set(&app, &caller, cron).await?,
        None => app.registry.remove_schedule(&caller, SCHEDULE).await?,
    }
    Ok(StatusCode::OK)
}

fn metrics(job: Option<&JobRow>) -> Value {
    let Some(job) = job else {
        return json!({ "total": 0, "completed": 0, "metrics": {}, "ongoing": false, "trigger": "Manual" });
    };
    let ongoing = matches!(job.state, JobState::Queued | JobState::Running);
    let total = job.progress_total.unwrap_or(job.progress_done);
    let done = if ongoing { job.progress_done } else { total };
    let rest = total.saturating_sub(done);
    let mut figures = json!({ "Success": done });
    if rest > 0 {
        figures["Pending"] = rest.into();
    }
    let trigger = if job.priority == priority::SWEEP { "Schedule" } else { "Manual" };
    json!({ "total": total, "completed": done, "metrics": figures, "ongoing": ongoing, "trigger": trigger })
}

/// How far the newest scan of everything is.
pub(super) async fn figures(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
) -> Result<Json<Value>, Problem> {
    let last = app.registry.asked_for(&caller, ScanAllJob::NAME, 1).await?;
    Ok(Json(metrics(last.first().map(|(job, _)| job))))
}

pub(super) async fn stop(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
) -> Result<StatusCode, Problem> {
    app.registry.stop_asked(&caller, ScanAllJob::NAME).await?;
    Ok(StatusCode::ACCEPTED)
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Item {
    #[serde(default)]
    cve_id: String,
}

/// An allow-list as clients send it.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct WireList {
    #[serde(default)]
    items: Option<Vec<Item>>,
    #[serde(default)]
    expires_at: Option<i64>,
}

impl From<WireList> for AllowList {
    fn from(wire: WireList) -> Self {
        let ids = wire.items.unwrap_or_default().into_iter().map(|item| item.cve_id).collect();
        Self { ids, expires_at: wire.expires_at.filter(|at| *at > 0) }
    }
}

/// An allow-list of a project, or of the system (0).
pub(super) fn allow_list(project: i64, list: &AllowList) -> Value {
    let items: Vec<Value> = list.ids.iter().map(|id| json!({ "cve_id": id })).collect();
    json!({ "id": project + 1, "project_id": project, "items": items, "expires_at": list.expires_at })
}

pub(super) async fn show_allow_list(
    State(app): State<Arc<App>>,
    SignedIn(_): SignedIn,
) -> Result<Json<Value>, Problem> {
    Ok(Json(allow_list(0, &app.registry.system_allow_list().await?)))
}

pub(super) async fn change_allow_list(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Body(body): Body<WireList>,
) -> Result<StatusCode, Problem> {
    app.registry.set_system_allow_list(&caller, &body.into()).await?;
    Ok(StatusCode::OK)
}

#[cfg(test)]
mod tests {
    use super::When;

    fn when(kind: &str, cron: &str) -> When {
        When { kind: kind.to_owned(), cron: cron.to_owned() }
    }

    #[test]
    fn usual_schedules_need_no_expression_and_others_need_six_fields() {
        assert_eq!(when("Daily", "").cron().unwrap().as_deref(), Some("0 0 0 * * *"));
        assert_eq!(when("Custom", "0 30 3 * * *").cron().unwrap().as_deref(), Some("0 30 3 * * *"));
        assert_eq!(when("None", "").cron().unwrap(), None);
        assert!(when("Custom", "30 3 * * *").cron().is_err());
        assert!(when("Sometimes", "").cron().is_err());
    }
}
