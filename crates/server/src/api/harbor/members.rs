//! `/api/v2.0/projects/{project}/members`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use policy::Role;
use registry::Error;
use registry::admin::{Member, MemberChange, plain};
use serde::Deserialize;
use serde_json::{Value, json};

use super::page::PageQuery;
use super::projects::project_ref;
use crate::api::extract::{Body, Path, Query, SignedIn};
use crate::api::problem::Problem;
use crate::app::App;

/// Harbor's ids of the project roles.
const ROLES: [(i64, Role, &str); 5] = [
    (1, Role::ProjectAdmin, "projectAdmin"),
    (2, Role::Developer, "developer"),
    (3, Role::Guest, "guest"),
    (4, Role::Maintainer, "maintainer"),
    (5, Role::LimitedGuest, "limitedGuest"),
];

#[derive(Debug, Default, Deserialize)]
pub(super) struct MemberUser {
    #[serde(default)]
    username: String,
    user_id: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Add {
    role_id: i64,
    #[serde(default)]
    member_user: MemberUser,
}

#[derive(Debug, Deserialize)]
pub(super) struct Change {
    role_id: i64,
}

fn role(id: i64) -> Result<Role, Error> {
    let found = ROLES.iter().find(|(known, ..)| *known == id);
    found.map(|(_, role, _)| *role).ok_or_else(|| Error::Invalid("role_id is not 1 to 5".to_owned()))
}

fn wire(member: &Member, project: &str) -> Value {
    let (id, _, name) = ROLES.iter().find(|(_, role, _)| *role == member.grant.role).copied().unwrap_or((
        0,
        member.grant.role,
        "",
    ));
    json!({
        "id": member.id,
        "project_id": project.parse::<i64>().unwrap_or(0),
        "entity_id": member.principal,
        "entity_name": member.name,
        "entity_type": "u",
        "role_id": id,
        "role_name": name,
    })
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    Path(project): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let members = app.registry.members(&caller, &project_ref(&project, &headers))?;
    let rows: Vec<Value> =
        members.iter().filter(|member| member.is_plain()).map(|member| wire(member, &project)).collect();
    let total = rows.len();
    Ok(page.render(&format!("/projects/{project}/members"), rows, total))
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    Path((project, id)): Path<(String, i64)>,
) -> Result<Json<Value>, Problem> {
    let members = app.registry.members(&caller, &project_ref(&project, &headers))?;
    let member = members
        .iter()
        .find(|member| member.id.get() == id && member.is_plain())
        .ok_or(Error::NotFound("member"))?;
    Ok(Json(wire(member, &project)))
}

pub(super) async fn add(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    Path(project): Path<String>,
    Body(body): Body<Add>,
) -> Result<Response, Problem> {
    let name = match body.member_user.user_id {
        Some(id) => app.registry.user(&caller, id.into())?.name,
        None => body.member_user.username,
    };
    let target = project_ref(&project, &headers);
    let member = app.registry.add_member(&caller, &target, &name, plain(role(body.role_id)?)).await?;
    let location = format!("/api/v2.0/projects/{project}/members/{}", member.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)]).into_response())
}

pub(super) async fn change(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    Path((project, id)): Path<(String, i64)>,
    Body(body): Body<Change>,
) -> Result<StatusCode, Problem> {
    let target = project_ref(&project, &headers);
    let change = MemberChange { role: Some(role(body.role_id)?), ..MemberChange::default() };
    app.registry.change_member(&caller, &target, id.into(), change).await?;
    Ok(StatusCode::OK)
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    Path((project, id)): Path<(String, i64)>,
) -> Result<StatusCode, Problem> {
    app.registry.remove_member(&caller, &project_ref(&project, &headers), id.into()).await?;
    Ok(StatusCode::OK)
}
