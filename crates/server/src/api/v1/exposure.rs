//! `/api/v1/reports/exposure`: how long vulnerabilities stay – published, first present, fix built, last affected gone –
//! and how long repairs take.
//!
//! Only of projects of which the caller may pull everything, as searches do.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use estate::history::{Stay, Summary};
use metadata::Timestamp;
use metadata::model::ProjectId;
use metadata::model::exposure::{ExposureFilter, ExposurePlace, ExposureRow};
use registry::{Caller, Error};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vuln::Severity;

use super::Limit;
use crate::api::csv::{Lines, streamed};
use crate::api::extract::{By, Query};
use crate::api::problem::Problem;
use crate::app::App;

/// Rows read at once for an export.
const BATCH: u32 = 1000;

/// Which vulnerabilities.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExposureOf")]
pub(super) struct Which {
    /// Only of this project.
    #[serde(default)]
    project: Option<String>,
    /// Only of these severities: `critical,high`.
    #[serde(default)]
    severity: Option<String>,
    /// Only this vulnerability.
    #[serde(default)]
    id: Option<String>,
}

/// Which page of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExposurePage")]
pub(super) struct Page {
    /// Only of this project.
    #[serde(default)]
    project: Option<String>,
    /// Only of these severities: `critical,high`.
    #[serde(default)]
    severity: Option<String>,
    /// Only this vulnerability.
    #[serde(default)]
    id: Option<String>,
    /// What the page before said as `next`.
    #[serde(default)]
    after: Option<String>,
    /// Most rows; 100 when not said.
    #[serde(default)]
    limit: Limit,
}

/// A time in which a project was exposed to a vulnerability without a break. Times are RFC 3339.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Exposure {
    id: String,
    project: String,
    severity: &'static str,
    /// When its first advisory was published, if that is known.
    published: Option<String>,
    /// When the first image was affected: its push, or the advisory that came to speak of it.
    first_present: String,
    /// When the first image was pushed that has the package without the vulnerability.
    fix_built: Option<String>,
    /// When no image was affected any more; absent while one is.
    gone: Option<String>,
    /// Days in which it was published and present, up to now.
    days_exposed: f64,
    /// Days from then on to `fix_built`.
    days_to_fix: Option<f64>,
    /// Days from then on to `gone`.
    days_to_repair: Option<f64>,
}

/// A page of times, by project and vulnerability.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Exposures {
    exposures: Vec<Exposure>,
    /// What to continue after, if there may be more.
    next: Option<String>,
}

/// Numbers over some times.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ExposureNumbers")]
pub(super) struct Numbers {
    /// Still affected.
    open: u64,
    /// Over.
    repaired: u64,
    /// Mean time to repair: from published and present to gone, of those that are over.
    mean_days_to_repair: Option<f64>,
    /// Mean time to the first repaired image, of those that have one.
    mean_days_to_fix: Option<f64>,
    /// Days exposed, all together.
    days_exposed: f64,
}

/// Numbers by severity and by project.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ExposureSummary")]
pub(super) struct Totals {
    all: Numbers,
    severities: BTreeMap<&'static str, Numbers>,
    projects: BTreeMap<String, Numbers>,
}

fn days(seconds: u64) -> f64 {
    seconds as f64 / 86_400.0
}

impl From<&Summary> for Numbers {
    fn from(of: &Summary) -> Self {
        Self {
            open: of.open(),
            repaired: of.repaired,
            mean_days_to_repair: of.mean_to_repair().map(days),
            mean_days_to_fix: of.mean_to_fix().map(days),
            days_exposed: days(of.exposed),
        }
    }
}

fn severity(rank: i64) -> &'static str {
    let at = usize::try_from(rank).ok().and_then(|rank| Severity::ALL.get(rank));
    at.copied().unwrap_or_default().as_str()
}

fn project(app: &App, id: ProjectId) -> String {
    app.registry.access().facts().project(id).map_or_else(|| id.to_string(), |fact| fact.name.clone())
}

fn exposure(app: &App, row: ExposureRow, now: Timestamp) -> Exposure {
    let stay = Stay {
        published: row.published.map(Timestamp::secs),
        first_present: row.first_present.secs(),
        fix_built: row.fix_built.map(Timestamp::secs),
        gone: row.gone.map(Timestamp::secs),
    };
    let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
    Exposure {
        project: project(app, row.project),
        severity: severity(row.severity),
        published: text(row.published),
        first_present: row.first_present.to_string(),
        fix_built: text(row.fix_built),
        gone: text(row.gone),
        days_exposed: days(stay.exposed(now.secs())),
        days_to_fix: stay.to_fix().map(days),
        days_to_repair: stay.to_repair().map(days),
        id: row.vulnerability,
    }
}

impl Which {
    fn filter(self, app: &App, caller: &Caller) -> Result<ExposureFilter, Error> {
        let mut projects = app.registry.judged_projects(caller);
        if let Some(name) = self.project {
            let facts = app.registry.access().facts();
            let wanted = facts.project_named(&name).map(|fact| fact.id);
            projects.retain(|id| Some(*id) == wanted);
            if projects.is_empty() {
                return Err(Error::NotFound("such a project"));
            }
        }
        let rank = |name: &str| {
            let at = Severity::ALL.iter().position(|severity| severity.as_str().eq_ignore_ascii_case(name));
            at.and_then(|at| i64::try_from(at).ok()).ok_or_else(|| {
                Error::Invalid(format!(
                    "`{name}` is no severity: critical, high, medium, low, negligible, unknown"
                ))
            })
        };
        let severities = match self.severity.as_deref() {
            None | Some("") => (0..6).collect(),
            Some(list) => list.split(',').map(|name| rank(name.trim())).collect::<Result<_, _>>()?,
        };
        Ok(ExposureFilter { projects, severities, vulnerability: self.id.unwrap_or_default() })
    }
}

fn place(row: &ExposureRow) -> ExposurePlace {
    ExposurePlace {
        project: row.project,
        vulnerability: row.vulnerability.clone(),
        first_present: row.first_present,
    }
}

fn cursor(text: &str) -> Result<ExposurePlace, Error> {
    let parsed = text.split_once('-').and_then(|(project, rest)| {
        let (at, vulnerability) = rest.split_once('-')?;
        let first_present = Timestamp::from_micros(at.parse().ok()?);
        Some(ExposurePlace {
            project: project.parse().ok()?,
            vulnerability: vulnerability.to_owned(),
            first_present,
        })
    });
    parsed.ok_or_else(|| Error::Invalid("`after` is not what a page said".to_owned()))
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    By(caller): By,
    Query(page): Query<Page>,
) -> Result<Json<Exposures>, Problem> {
    let Page { project, severity, id, after, limit } = page;
    let filter = Which { project, severity, id }.filter(&app, &caller)?;
    let after = after.as_deref().map(cursor).transpose()?;
    let most = u32::try_from(limit.0).unwrap_or(BATCH);
    let store = app.registry.store();
    let rows = store.exposures(&filter, after.as_ref(), most).await.map_err(Error::from)?;
    let next = rows.last().filter(|_| rows.len() == limit.0).map(|row| {
        let at = place(row);
        format!("{}-{}-{}", at.project, at.first_present.micros(), at.vulnerability)
    });
    let now = store.now();
    Ok(Json(Exposures { exposures: rows.into_iter().map(|row| exposure(&app, row, now)).collect(), next }))
}

pub(super) async fn summary(
    State(app): State<Arc<App>>,
    By(caller): By,
    Query(which): Query<Which>,
) -> Result<Json<Totals>, Problem> {
    let filter = which.filter(&app, &caller)?;
    let store = app.registry.store();
    let (mut all, mut severities, mut projects) = (Summary::default(), BTreeMap::new(), BTreeMap::new());
    for sums in store.exposure_sums(&filter, store.now()).await.map_err(Error::from)? {
        let one = Summary {
            stays: sums.stays,
            repaired: sums.repaired,
            fixed: sums.fixed,
            to_repair: sums.to_repair,
            to_fix: sums.to_fix,
            exposed: sums.exposed,
        };
        all.join(&one);
        severities.entry(severity(sums.severity)).or_insert_with(Summary::default).join(&one);
        projects.entry(project(&app, sums.project)).or_insert_with(Summary::default).join(&one);
    }
    let severities = severities.iter().map(|(key, of)| (*key, of.into())).collect();
    let projects = projects.iter().map(|(key, of)| (key.clone(), of.into())).collect();
    Ok(Json(Totals { all: (&all).into(), severities, projects }))
}

pub(super) async fn export(
    State(app): State<Arc<App>>,
    By(caller): By,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    let filter = which.filter(&app, &caller)?;
    Ok(streamed("exposure.csv", move |lines| tell(app, filter, lines)))
}

async fn tell(app: Arc<App>, filter: ExposureFilter, lines: Lines) -> Result<(), Error> {
    let head = "CVE,Project,Severity,Published,First present,Fix built,Gone,Days exposed,Days to fix,Days to repair\n";
    if !lines.tell(head.into()).await {
        return Ok(());
    }
    let store = app.registry.store();
    let mut after = None;
    loop {
        let rows = store.exposures(&filter, after.as_ref(), BATCH).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some(place(last));
        let mut writer = csv::Writer::from_writer(Vec::new());
        let number = |days: f64| format!("{days:.2}");
        for row in rows {
            let it = exposure(&app, row, store.now());
            let record = [
                it.id,
                it.project,
                it.severity.to_owned(),
                it.published.unwrap_or_default(),
                it.first_present,
                it.fix_built.unwrap_or_default(),
                it.gone.unwrap_or_default(),
                number(it.days_exposed),
                it.days_to_fix.map(number).unwrap_or_default(),
                it.days_to_repair.map(number).unwrap_or_default(),
            ];
            writer.write_record(record).map_err(|error| Error::Internal(error.to_string()))?;
        }
        let bytes = writer.into_inner().map_err(|error| Error::Internal(error.to_string()))?;
        if !lines.tell(bytes.into()).await {
            return Ok(());
        }
    }
}
