//! `/api/v2.0/projects`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use policy::Visibility;
use registry::admin::{NewProject, ProjectRef, ProjectScanning, ProjectView};
use registry::{Caller, Error};
use serde::Deserialize;
use serde_json::{Value, json};

use super::page::PageQuery;
use super::system_scan::{WireList, allow_list};
use crate::api::extract::{Body, By, Path, Query, SignedIn};
use crate::api::problem::Problem;
use crate::app::App;

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Metadata {
    public: Option<String>,
    auto_scan: Option<String>,
    auto_sbom_generation: Option<String>,
    reuse_sys_cve_allowlist: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Create {
    project_name: String,
    public: Option<bool>,
    #[serde(default)]
    metadata: Metadata,
    cve_allowlist: Option<WireList>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Change {
    #[serde(default)]
    metadata: Metadata,
    public: Option<bool>,
    cve_allowlist: Option<WireList>,
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

/// What a request decides about scanning, over what was decided before; none: nothing.
fn decided(former: ProjectScanning, metadata: &Metadata, list: Option<WireList>) -> Option<ProjectScanning> {
    let yes = |text: &Option<String>| text.as_deref().map(|text| text == "true");
    let mut scanning = former.clone();
    scanning.on_push = yes(&metadata.auto_scan).or(former.on_push);
    scanning.sbom = yes(&metadata.auto_sbom_generation).or(former.sbom);
    scanning.system_allow_list = yes(&metadata.reuse_sys_cve_allowlist).unwrap_or(former.system_allow_list);
    if let Some(list) = list {
        scanning.allow_list = list.into();
    }
    (scanning != former).then_some(scanning)
}

async fn decide(
    app: &App,
    caller: &Caller,
    project: &ProjectRef,
    (metadata, list): (&Metadata, Option<WireList>),
) -> Result<(), Error> {
    let former = app.registry.project_scanning(caller, project).await?;
    if let Some(scanning) = decided(former, metadata, list) {
        app.registry.set_project_scanning(caller, project, &scanning).await?;
    }
    Ok(())
}

/// A project, with what holds there about scanning.
async fn shown(app: &App, view: &ProjectView) -> Result<Value, Error> {
    let scanning = app.registry.scanning_in(view.id).await?;
    let settings = app.scanner.settings();
    let mut document = wire(view);
    let metadata = &mut document["metadata"];
    metadata["auto_scan"] = scanning.on_push.unwrap_or(settings.on_push).to_string().into();
    let attached = scanning.sbom.unwrap_or(true) && !settings.sbom.is_empty();
    metadata["auto_sbom_generation"] = attached.to_string().into();
    metadata["reuse_sys_cve_allowlist"] = scanning.system_allow_list.to_string().into();
    document["cve_allowlist"] = allow_list(view.id.get(), &scanning.allow_list);
    Ok(document)
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
    })
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    By(caller): By,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let name = page.term("name").unwrap_or(&page.name);
    let (views, total) = app.registry.projects(&caller, name, "", page.rows()?).await?;
    // Those before the page are only counted.
    let before = page.skip()?.min(views.len());
    let mut rows = vec![Value::Null; before];
    for view in views.iter().skip(before) {
        rows.push(shown(&app, view).await?);
    }
    Ok(page.render("/projects", rows, total))
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
    decide(&app, &caller, &ProjectRef::Id(id), (&body.metadata, body.cve_allowlist)).await?;
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
    Ok(Json(shown(&app, &view).await?))
}

pub(super) async fn change(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    Path(project): Path<String>,
    Body(body): Body<Change>,
) -> Result<StatusCode, Problem> {
    let project = project_ref(&project, &headers);
    if let Some(visibility) = visibility(body.public, &body.metadata) {
        app.registry.set_visibility(&caller, &project, visibility).await?;
    }
    decide(&app, &caller, &project, (&body.metadata, body.cve_allowlist)).await?;
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
