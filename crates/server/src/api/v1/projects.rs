//! `/api/v1/projects`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::LOCATION;
use policy::Visibility;
use registry::Error;
use registry::admin::{self, ProjectRef, ProjectView};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PageQuery;
use crate::api::extract::{Body, By, Path, Query, SignedIn, TOTAL_COUNT};
use crate::api::problem::Problem;
use crate::app::App;

/// Who may see a project without a role in it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Visibility")]
pub(super) enum WireVisibility {
    /// Only its members.
    Private,
    /// Every signed-in user pulls.
    Internal,
    /// Everybody pulls.
    Public,
}

impl From<WireVisibility> for Visibility {
    fn from(wire: WireVisibility) -> Self {
        match wire {
            WireVisibility::Private => Self::Private,
            WireVisibility::Internal => Self::Internal,
            WireVisibility::Public => Self::Public,
        }
    }
}

impl From<Visibility> for WireVisibility {
    fn from(visibility: Visibility) -> Self {
        match visibility {
            Visibility::Private => Self::Private,
            Visibility::Internal => Self::Internal,
            Visibility::Public => Self::Public,
        }
    }
}

/// A project: the first segment of its repositories' names.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Project {
    id: i64,
    name: String,
    visibility: WireVisibility,
    #[schemars(extend("format" = "date-time"))]
    created_at: String,
    /// Repositories that hold something.
    repository_count: u64,
}

impl From<ProjectView> for Project {
    fn from(view: ProjectView) -> Self {
        Self {
            id: view.id.get(),
            name: view.name,
            visibility: view.visibility.into(),
            created_at: view.created_at.to_string(),
            repository_count: view.repository_count,
        }
    }
}

/// A project to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewProject {
    /// Lower-case letters and digits, divided by `.`, `_`, `__` or dashes.
    #[schemars(length(max = 255), regex(pattern = r"^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$"))]
    name: String,
    /// Private when not said.
    visibility: Option<WireVisibility>,
}

/// Changes to a project.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ProjectChange")]
pub(super) struct Change {
    visibility: WireVisibility,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    By(caller): By,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let (views, total) = app.registry.projects(&caller, &page.name, &page.after, page.limit.0).await?;
    let projects: Vec<Project> = views.into_iter().map(Project::from).collect();
    Ok(([(TOTAL_COUNT, total.to_string())], Json(projects)).into_response())
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Body(body): Body<NewProject>,
) -> Result<Response, Problem> {
    let name = body.name.parse().map_err(|error: oci::NameError| Error::Invalid(error.to_string()))?;
    let visibility = body.visibility.unwrap_or(WireVisibility::Private).into();
    app.registry.create_project(&caller, &admin::NewProject { name, visibility }).await?;
    let view = app.registry.project(&caller, &ProjectRef::Name(body.name)).await?;
    let location = format!("/api/v1/projects/{}", view.name);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(Project::from(view))).into_response())
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let view = app.registry.project(&caller, &ProjectRef::Name(name)).await?;
    Ok(Json(Project::from(view)).into_response())
}

pub(super) async fn change(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(name): Path<String>,
    Body(body): Body<Change>,
) -> Result<StatusCode, Problem> {
    app.registry.set_visibility(&caller, &ProjectRef::Name(name), body.visibility.into()).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    app.registry.delete_project(&caller, &ProjectRef::Name(name)).await?;
    Ok(StatusCode::NO_CONTENT)
}
