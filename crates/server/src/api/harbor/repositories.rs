//! `/api/v2.0/projects/{project}/repositories` and `/api/v2.0/repositories`

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use metadata::model::repository::RepositoryRow;
use registry::admin::ProjectRef;
use registry::list::{RepositoryOrder, RepositoryQuery};
use registry::{Caller, Delete, Error, Pull, Push};
use serde::Deserialize;
use serde_json::{Value, json};

use super::names::InRepository;
use super::page::{Keyed, PageQuery};
use super::projects::project_ref;
use crate::api::extract::{Body, By, Path, Query, SignedIn};
use crate::api::problem::Problem;
use crate::app::App;

#[derive(Debug, Deserialize)]
pub(super) struct Change {
    #[serde(default)]
    description: String,
}

fn wire(row: &RepositoryRow) -> Value {
    json!({
        "id": row.id,
        "project_id": row.project,
        "name": row.full_name,
        "description": row.description,
        "artifact_count": row.manifest_count,
        "pull_count": row.pull_count,
        "creation_time": row.created_at,
        "update_time": row.pushed_at,
    })
}

fn order(page: &PageQuery) -> (RepositoryOrder, bool) {
    let (name, descending) = page.order();
    match name {
        "creation_time" => (RepositoryOrder::Created, descending),
        "update_time" => (RepositoryOrder::Pushed, descending),
        "pull_count" => (RepositoryOrder::Pulls, descending),
        "artifact_count" => (RepositoryOrder::Manifests, descending),
        "name" => (RepositoryOrder::Name, descending),
        _ => (RepositoryOrder::Name, false),
    }
}

fn query(page: &PageQuery, project: Option<ProjectRef>) -> Result<RepositoryQuery, Error> {
    let (order, descending) = order(page);
    let blob = page.term("blob_digest").map(str::parse).transpose();
    let blob = blob.map_err(|error: oci::DigestError| Error::Invalid(error.to_string()))?;
    let (contains, named) = match page.fuzzy_term("name") {
        Some((text, true)) => (text.to_owned(), None),
        Some((text, false)) => (String::new(), Some(text.to_owned())),
        None => (String::new(), None),
    };
    Ok(RepositoryQuery {
        project,
        contains,
        named,
        blob,
        order,
        descending,
        after: page.after.clone(),
        skip: page.skip()?,
        limit: page.size(),
    })
}

async fn page_of(
    app: &App,
    caller: &Caller,
    (page, asked): (&PageQuery, Option<&str>),
    (path, project): (&str, Option<ProjectRef>),
) -> Result<Response, Problem> {
    let inside = project.is_some();
    let query = query(page, project)?;
    let keyed = query.order == RepositoryOrder::Name && !query.descending && query.blob.is_none();
    let found = app.registry.repositories(caller, &query).await?;
    let last = found.rows.last().filter(|_| found.more);
    let key = |row: &RepositoryRow| if inside { row.name.clone() } else { row.full_name.clone() };
    let next = last.map(|row| if keyed { key(row) } else { String::new() });
    let rows = found.rows.iter().map(wire).collect();
    Ok(page.keyed(path, asked, Keyed { rows, total: found.total, next }))
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    By(caller): By,
    headers: HeaderMap,
    Path(project): Path<String>,
    RawQuery(asked): RawQuery,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let path = format!("/projects/{project}/repositories");
    let project = project_ref(&project, &headers);
    page_of(&app, &caller, (&page, asked.as_deref()), (&path, Some(project))).await
}

pub(super) async fn list_all(
    State(app): State<Arc<App>>,
    By(caller): By,
    RawQuery(asked): RawQuery,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    page_of(&app, &caller, (&page, asked.as_deref()), ("/repositories", None)).await
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    By(caller): By,
    headers: HeaderMap,
    Path(place): Path<InRepository>,
) -> Result<Json<Value>, Problem> {
    let grant = place.grant::<Pull>(&app, &caller, &headers).await?;
    Ok(Json(wire(&app.registry.repository(&grant).await?)))
}

pub(super) async fn change(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    Path(place): Path<InRepository>,
    Body(body): Body<Change>,
) -> Result<StatusCode, Problem> {
    let grant = place.grant::<Push>(&app, &caller, &headers).await?;
    app.registry.describe_repository(&caller, &grant, &body.description).await?;
    Ok(StatusCode::OK)
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    Path(place): Path<InRepository>,
) -> Result<StatusCode, Problem> {
    let grant = place.grant::<Delete>(&app, &caller, &headers).await?;
    app.registry.delete_repository(&caller, &grant).await?;
    Ok(StatusCode::OK)
}
