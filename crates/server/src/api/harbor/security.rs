//! The security hub: figures and vulnerabilities of everything that the caller may see, and their export as CSV.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use metadata::model::estate::TaggedPlace;
use oci::{Digest, Reference, RepoName};
use registry::exports::{Criteria, Export};
use registry::{Caller, Error, Pull};
use serde::Deserialize;
use serde_json::{Value, json};
use workers::index::Totals;

use super::page::{Keyed, PageQuery};
use super::scan_wire::{links, status_name};
use crate::api::csv::{self, cvss};
use crate::api::extract::{Body, Path, Query, SignedIn};
use crate::api::findings::{Filter, Judged, Place, reports, severity_name};
use crate::api::problem::Problem;
use crate::app::App;

/// The artifacts with the worst verdicts that the list of vulnerabilities is of.
const WORST: usize = 100;
/// Places of these that are read.
const PLACES: u32 = 5000;

/// Entries of the lists of what is most dangerous.
const SHOWN: usize = 5;

#[derive(Debug, Default, Deserialize)]
pub(super) struct With {
    #[serde(default)]
    with_dangerous_cve: bool,
    #[serde(default)]
    with_dangerous_artifact: bool,
}

/// Sums over what the caller may see, with the worst images.
async fn totals(app: &App, caller: &Caller, worst: usize) -> Result<(Totals, Vec<TaggedPlace>), Error> {
    let projects = app.registry.judged_projects(caller);
    let failed = |error: workers::JobError| Error::Internal(format!("the index: {error}"));
    let totals = app.index.totals(&projects, worst).await.map_err(failed)?;
    let digests: Vec<Digest> = totals.worst.iter().map(|(digest, _)| *digest).collect();
    let mut places = app.registry.store().tagged_places(&digests, &projects, PLACES).await?;
    // One repository of each stands for all, and not for each of its tags.
    places.dedup_by(|a, b| a.digest == b.digest);
    Ok((totals, places))
}

/// The worst artifacts of the caller's, with their reports, worst first.
async fn worst(app: &App, caller: &Caller, limit: usize) -> Result<Vec<Place>, Error> {
    let (totals, found) = totals(app, caller, limit).await?;
    let mut places = Vec::new();
    for (digest, _) in &totals.worst {
        let Some(at) = found.iter().find(|place| place.digest == *digest) else { continue };
        let Ok(repo) = at.full_name.parse::<RepoName>() else { continue };
        let Ok(grant) = app.registry.access().grant::<Pull>(&caller.principal, &repo).await else { continue };
        let (project, repository) = (at.project, at.full_name.clone());
        match reports(app, &grant, &Reference::Digest(*digest)).await {
            Ok((_, judged)) => places.push(Place { project, repository, judged }),
            Err(Error::ManifestUnknown | Error::NameUnknown) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(places)
}

pub(super) async fn summary(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Query(with): Query<With>,
) -> Result<Json<Value>, Problem> {
    let (totals, places) = totals(&app, &caller, SHOWN).await?;
    let counts = &totals.counts;
    let mut document = json!({
        "critical_cnt": counts.critical,
        "high_cnt": counts.high,
        "medium_cnt": counts.medium,
        "low_cnt": counts.low,
        "none_cnt": counts.negligible,
        "unknown_cnt": counts.unknown,
        "total_vuls": counts.total(),
        "fixable_cnt": totals.fixable,
        "scanned_cnt": totals.images,
        "total_artifact": totals.images,
    });
    if with.with_dangerous_artifact {
        let artifacts = totals.worst.iter().filter_map(|(digest, counts)| {
            let place = places.iter().find(|place| place.digest == *digest)?;
            Some(json!({
                "project_id": place.project,
                "repository_name": place.full_name,
                "digest": digest,
                "critical_cnt": counts.critical,
                "high_cnt": counts.high,
                "medium_cnt": counts.medium,
            }))
        });
        document["dangerous_artifacts"] = artifacts.collect();
    }
    if with.with_dangerous_cve {
        let places = worst(&app, &caller, SHOWN).await?;
        let found = places.iter().flat_map(|place| &place.judged).flat_map(Judged::findings);
        let mut found: Vec<_> = found.collect();
        found.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.id.cmp(&b.id)));
        found.dedup_by(|a, b| a.id == b.id && a.package == b.package);
        let shown = found.into_iter().take(SHOWN).map(|finding| {
            json!({
                "cve_id": finding.id,
                "severity": severity_name(finding.severity),
                "cvss_score_v3": cvss(finding, "CVSS:3").and_then(|(_, score)| score),
                "desc": finding.title,
                "package": finding.package,
                "version": finding.version,
            })
        });
        document["dangerous_cves"] = shown.collect();
    }
    Ok(Json(document))
}

/// Whether a vulnerability is asked for by the terms of `q`.
fn asked_for(page: &PageQuery, item: &Value) -> bool {
    ["cve_id", "severity", "repository_name", "package", "digest"].into_iter().all(|key| {
        let said = item[key].as_str().unwrap_or_default();
        match page.fuzzy_term(key) {
            Some((wanted, true)) => said.contains(wanted),
            Some((wanted, false)) => said.eq_ignore_ascii_case(wanted),
            None => true,
        }
    }) && page.term("project_id").is_none_or(|wanted| wanted.parse().ok() == item["project_id"].as_i64())
}

pub(super) async fn vulnerabilities(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    RawQuery(asked): RawQuery,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let mut rows = Vec::new();
    for place in worst(&app, &caller, WORST).await? {
        for judged in &place.judged {
            let items = judged.findings().map(|finding| {
                json!({
                    "project_id": place.project,
                    "repository_name": place.repository,
                    "digest": judged.digest,
                    "cve_id": finding.id,
                    "severity": severity_name(finding.severity),
                    "status": status_name(finding.status),
                    "cvss_v3_score": cvss(finding, "CVSS:3").and_then(|(_, score)| score),
                    "package": finding.package,
                    "version": finding.version,
                    "fixed_version": finding.fixed_versions.join(", "),
                    "desc": finding.title,
                    "links": links(&finding.id),
                })
            });
            rows.extend(items.filter(|item| asked_for(&page, item)));
        }
    }
    let total = rows.len();
    let (skip, size) = (page.skip()?, page.size());
    let next = (skip + size < total).then(String::new);
    let rows: Vec<Value> = rows.into_iter().skip(skip).take(size).collect();
    Ok(page.keyed("/security/vul", asked.as_deref(), Keyed { rows, total, next }))
}

/// What is to be exported, by Harbor's names.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    job_name: String,
    #[serde(default)]
    projects: Vec<i64>,
    #[serde(default)]
    labels: Vec<i64>,
    #[serde(default)]
    repositories: String,
    #[serde(default, rename = "cveIds")]
    ids: String,
    #[serde(default)]
    tags: String,
}

/// A list as Harbor's user interface writes it: `{a,b}`, or one.
fn items(text: &str) -> Vec<String> {
    let inner = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
    inner.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

pub(super) async fn export(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Body(body): Body<Wanted>,
) -> Result<Json<Value>, Problem> {
    if !body.labels.is_empty() {
        return Err(Error::Invalid("artifacts have no labels here; leave `labels` empty".to_owned()).into());
    }
    let criteria = Criteria {
        projects: body.projects,
        repositories: items(&body.repositories),
        tags: items(&body.tags),
        ids: items(&body.ids),
    };
    Filter::parse(&criteria)?;
    let id = app.registry.add_export(&caller, &body.job_name, criteria).await?;
    Ok(Json(json!({ "id": id })))
}

fn execution(export: &Export, caller: &Caller) -> Value {
    json!({
        "id": export.id,
        "user_id": caller.principal.id,
        "user_name": &*caller.principal.name,
        "status": "Success",
        "status_text": "",
        "trigger": "MANUAL",
        "start_time": export.at,
        "end_time": export.at,
        "file_present": true,
    })
}

pub(super) async fn executions(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
) -> Result<Json<Value>, Problem> {
    let exports = app.registry.exports(&caller).await?;
    let items: Vec<Value> = exports.iter().map(|export| execution(export, &caller)).collect();
    Ok(Json(json!({ "items": items })))
}

pub(super) async fn show_execution(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(id): Path<i64>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(execution(&app.registry.export(&caller, id).await?, &caller)))
}

pub(super) async fn download(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(id): Path<i64>,
) -> Result<Response, Problem> {
    let export = app.registry.export(&caller, id).await?;
    let filter = Filter::parse(&export.criteria)?;
    Ok(csv::answer(app, caller, filter, &format!("export-{id}.csv")))
}

#[cfg(test)]
mod tests {
    use super::items;

    #[test]
    fn lists_are_read_with_and_without_braces() {
        assert_eq!(items("{a/**, b}"), ["a/**", "b"]);
        assert_eq!(items("a"), ["a"]);
        assert!(items(" ").is_empty());
    }
}
