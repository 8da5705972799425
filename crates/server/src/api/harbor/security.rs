//! The security hub: figures and vulnerabilities of everything that the caller may see, and their export as CSV.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use estate::findings::{Asked, Named};
use http::HeaderValue;
use metadata::model::ProjectId;
use metadata::model::estate::TaggedPlace;
use oci::Digest;
use registry::exports::{Criteria, Export};
use registry::{Caller, Error};
use serde::Deserialize;
use serde_json::{Value, json};
use vuln::Severity;
use workers::index::{Counted, ListedFailure, ListedFinding, Listing, RepositoryNamed, Totals};

use super::page::{Keyed, PageQuery};
use super::scan_wire::{links, status_name};
use crate::api::csv;
use crate::api::extract::{Body, Path, Query, SignedIn, TOTAL_COUNT};
use crate::api::findings::{Filter, severity_name};
use crate::api::problem::Problem;
use crate::app::App;

/// Places of the worst images that are read.
const PLACES: u32 = 5000;

/// Findings that are counted one by one, as far as pages reach.
const COUNTED: usize = 10_000;
/// The same for who asks for no more (`tune_count`): Harbor's figure.
const TUNED: usize = 1000;

/// What may be searched for.
const TERMS: [&str; 6] = ["cve_id", "severity", "digest", "package", "repository_name", "project_id"];
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

fn unlisted(error: ListedFailure) -> Error {
    match error {
        ListedFailure::TooMany(text) => Error::Invalid(text),
        failed @ ListedFailure::Unavailable(_) => Error::Internal(failed.to_string()),
    }
}

/// The worst vulnerabilities, each in the worst image that has it.
async fn dangerous(app: &App, caller: &Caller) -> Result<Vec<ListedFinding>, Error> {
    let projects = app.registry.judged_projects(caller);
    let mut found = Vec::new();
    for severity in Severity::ALL.into_iter().rev() {
        let asked = Asked { severity: Some(severity), ..Asked::default() };
        if found.len() >= SHOWN {
            break;
        }
        let listing =
            Listing { projects: &projects, asked, distinct: true, limit: SHOWN, ..Listing::default() };
        let more = match app.index.listed(&listing).await {
            // All that comes is allowed in its projects.
            Err(ListedFailure::TooMany(_)) => continue,
            other => other.map_err(unlisted)?.findings,
        };
        // One that is rated differently for different packages is one.
        let known: Vec<String> = found.iter().map(|it: &ListedFinding| it.finding.id.clone()).collect();
        found.extend(more.into_iter().filter(|it| !known.contains(&it.finding.id)));
    }
    found.truncate(SHOWN);
    Ok(found)
}

/// A score by version 3 of CVSS.
fn score(found: &ListedFinding) -> Option<f64> {
    let mut ratings = found.described.iter().flat_map(|described| &described.ratings);
    let third = |vector: &String| vector.starts_with("CVSS:3");
    ratings.find(|rating| rating.vector.as_ref().is_some_and(third))?.score
}

fn title(found: &ListedFinding) -> &str {
    found.described.as_ref().map_or("", |described| described.title.as_str())
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
        let shown = dangerous(&app, &caller).await?;
        let shown = shown.iter().map(|found| {
            json!({
                "cve_id": found.finding.id,
                "severity": severity_name(found.finding.severity),
                "cvss_score_v3": score(found),
                "desc": title(found),
                "package": found.package,
                "version": found.version,
            })
        });
        document["dangerous_cves"] = shown.collect();
    }
    Ok(Json(document))
}

fn invalid(text: &str) -> Error {
    Error::Invalid(text.to_owned())
}

/// What the terms of `q` ask for, of the projects that the caller may see.
fn listing<'q>(page: &'q PageQuery, projects: &'q mut Vec<ProjectId>) -> Result<Listing<'q>, Error> {
    if let Some((key, _)) = page.terms().find(|(key, _)| !TERMS.contains(key)) {
        let text = format!("`{key}` is not searched for here; {} are", TERMS.join(", "));
        return Err(Error::Invalid(text));
    }
    let id = match page.fuzzy_term("cve_id") {
        Some((_, true)) => return Err(invalid("`cve_id` names a vulnerability whole, without `~`")),
        Some((id, false)) => Some(id),
        None => None,
    };
    let severity =
        match page.term("severity") {
            Some(word) => {
                let named = Severity::ALL.into_iter().find(|s| severity_name(*s).eq_ignore_ascii_case(word));
                Some(named.ok_or_else(|| {
                    invalid("`severity` is Critical, High, Medium, Low, Negligible or Unknown")
                })?)
            }
            None => None,
        };
    let digest = page.term("digest").map(str::parse::<Digest>).transpose();
    let digest = digest.map_err(|_| invalid("`digest` is the whole digest of an artifact"))?;
    if let Some(wanted) = page.term("project_id") {
        let wanted: i64 = wanted.parse().map_err(|_| invalid("`project_id` is a number"))?;
        projects.retain(|project| project.get() == wanted);
    }
    let package = page.fuzzy_term("package").map(|(text, part)| Named { text, part });
    let repository = page
        .fuzzy_term("repository_name")
        .map(|(name, part)| RepositoryNamed { name: name.to_ascii_lowercase(), part });
    let (skip, limit) = (page.skip()?, page.size());
    let count = if page.tune_count { TUNED } else { COUNTED };
    let asked = Asked { id, package, severity };
    Ok(Listing { projects, asked, digest, repository, distinct: false, skip, limit, count })
}

pub(super) async fn vulnerabilities(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    RawQuery(asked): RawQuery,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let mut projects = app.registry.judged_projects(&caller);
    let listed = app.index.listed(&listing(&page, &mut projects)?).await.map_err(unlisted)?;
    let rows = listed.findings.iter().map(|found| {
        json!({
            "project_id": found.project,
            "repository_name": found.repository,
            "digest": found.digest,
            "cve_id": found.finding.id,
            "severity": severity_name(found.finding.severity),
            "status": status_name(found.finding.status),
            "cvss_v3_score": score(found),
            "package": found.package,
            "version": found.version,
            "fixed_version": found.finding.fixed_versions.join(", "),
            "desc": title(found),
            "links": links(&found.finding.id),
        })
    });
    let rows: Vec<Value> = rows.collect();
    let (Counted::Exactly(total) | Counted::AtLeast(total)) = listed.total;
    let total = usize::try_from(total).unwrap_or(usize::MAX);
    let next = (listed.more && page.has_next()).then(String::new);
    let mut response = page.keyed("/security/vul", asked.as_deref(), Keyed { rows, total, next });
    if page.tune_count && (total > TUNED || matches!(listed.total, Counted::AtLeast(_))) {
        response.headers_mut().insert(TOTAL_COUNT, HeaderValue::from_static("-1"));
    }
    Ok(response)
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
