//! `/api/v2.0/projects`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use policy::Visibility;
use registry::Error;
use registry::admin::{NewProject, ProjectRef, ProjectView};
use serde::Deserialize;
use serde_json::{Value, json};

use super::page::PageQuery;
use crate::api::extract::{Body, By, Path, Query, SignedIn};
use crate::api::problem::Problem;
use crate::app::App;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Metadata {
    public: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Create {
    project_name: String,
    public: Option<bool>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
pub(super) struct Change {
    #[serde(default)]
    metadata: Metadata,
    public: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Exists {
    project_name: String,
}

fn visibility(public: Option<bool>, metadata: &Metadata) -> Option<Visibility> {
    let stated = metadata.public.as_deref().map(|text| text == "true").or(public)?;
    Some(if stated { Visibility::Public } else { Visibility::Private })
}

/// A number is an id, unless the header says that it is a name.
pub(super) fn project_ref(text: &str, headers: &HeaderMap) -> ProjectRef {
    let named = headers.get("x-is-resource-name").is_some_and(|value| value.as_bytes() == b"true");
    match text.parse::<i64>() {
        Ok(id) if !named => ProjectRef::Id(id.into()),
        _ => ProjectRef::Name(text.to_owned()),
    }
}

fn wire(view: &ProjectView) -> Value {
    let public = view.visibility == Visibility::Public;
    json!({
        "project_id": view.id,
        "name": view.name,
        "owner_id": 0,
        "owner_name": "",
        "creation_time": view.created_at,
        "update_time": view.created_at,
        "deleted": false,
        "repo_count": view.repository_count,
        "metadata": { "public": public.to_string() },
        "cve_allowlist": { "project_id": view.id, "items": [] },
    })
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    By(caller): By,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let name = page.term("name").unwrap_or(&page.name);
    let (views, total) = app.registry.projects(&caller, name, "", page.rows()?).await?;
    Ok(page.render("/projects", views.iter().map(wire).collect(), total))
}

pub(super) async fn exists(
    State(app): State<Arc<App>>,
    By(caller): By,
    Query(asked): Query<Exists>,
) -> Result<StatusCode, Problem> {
    app.registry.visible_project(&caller, &ProjectRef::Name(asked.project_name))?;
    Ok(StatusCode::OK)
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    Body(body): Body<Create>,
) -> Result<Response, Problem> {
    let name: oci::ProjectName =
        body.project_name.parse().map_err(|error: oci::NameError| Error::Invalid(error.to_string()))?;
    let visibility = visibility(body.public, &body.metadata).unwrap_or(Visibility::Private);
    let id = app.registry.create_project(&caller, &NewProject { name, visibility }).await?;
    let by_name = headers.get("x-resource-name-in-location").is_some_and(|value| value.as_bytes() == b"true");
    let place = if by_name { body.project_name } else { id.to_string() };
    Ok((StatusCode::CREATED, [(LOCATION, format!("/api/v2.0/projects/{place}"))]).into_response())
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    By(caller): By,
    headers: HeaderMap,
    Path(project): Path<String>,
) -> Result<Json<Value>, Problem> {
    let view = app.registry.project(&caller, &project_ref(&project, &headers)).await?;
    Ok(Json(wire(&view)))
}

pub(super) async fn change(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    Path(project): Path<String>,
    Body(body): Body<Change>,
) -> Result<StatusCode, Problem> {
    if let Some(visibility) = visibility(body.public, &body.metadata) {
        app.registry.set_visibility(&caller, &project_ref(&project, &headers), visibility).await?;
    }
    Ok(StatusCode::OK)
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    Path(project): Path<String>,
) -> Result<StatusCode, Problem> {
    app.registry.delete_project(&caller, &project_ref(&project, &headers)).await?;
    Ok(StatusCode::OK)
}
