//! `/api/v1/projects/{project}/members`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::LOCATION;
use policy::Role;
use policy::role::RoleError;
use registry::Error;
use registry::admin::ProjectRef;
use serde::Deserialize;
use serde_json::json;

use crate::api::extract::{Body, SignedIn};
use crate::api::problem::Problem;
use crate::app::App;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Add {
    user: String,
    role: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    role: String,
}

fn role(text: &str) -> Result<Role, Error> {
    text.parse().map_err(|error: RoleError| Error::Invalid(error.to_string()))
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(project): Path<String>,
) -> Result<Response, Problem> {
    let members = app.registry.members(&caller, &ProjectRef::Name(project))?;
    let rows = members.iter().map(|member| {
        json!({ "id": member.id, "user_id": member.principal, "user": member.name, "role": member.role.name() })
    });
    Ok(Json(rows.collect::<Vec<_>>()).into_response())
}

pub(super) async fn add(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(project): Path<String>,
    Body(body): Body<Add>,
) -> Result<Response, Problem> {
    let role = role(&body.role)?;
    let id = app.registry.add_member(&caller, &ProjectRef::Name(project.clone()), &body.user, role).await?;
    let location = format!("/api/v1/projects/{project}/members/{id}");
    let document = json!({ "id": id, "user": body.user, "role": role.name() });
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(document)).into_response())
}

pub(super) async fn change(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path((project, id)): Path<(String, i64)>,
    Body(body): Body<Change>,
) -> Result<StatusCode, Problem> {
    app.registry.change_member(&caller, &ProjectRef::Name(project), id.into(), role(&body.role)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path((project, id)): Path<(String, i64)>,
) -> Result<StatusCode, Problem> {
    app.registry.remove_member(&caller, &ProjectRef::Name(project), id.into()).await?;
    Ok(StatusCode::NO_CONTENT)
}
