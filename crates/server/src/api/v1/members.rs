//! `/api/v1/projects/{project}/members`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::LOCATION;
use policy::{GrantFact, Permission, Permissions};
use registry::admin::{self, MemberChange, ProjectRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::conditions::{WireConditions, WireEffect, WirePermission};
use super::role::ProjectRole;
use crate::api::extract::{Body, Path, SignedIn};
use crate::api::problem::Problem;
use crate::app::App;

/// Who has which role in a project, and when.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Member {
    id: i64,
    user_id: i64,
    user: String,
    role: ProjectRole,
    effect: WireEffect,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<Vec<WirePermission>>,
    #[serde(default, skip_serializing_if = "WireConditions::is_empty")]
    conditions: WireConditions,
}

impl From<admin::Member> for Member {
    fn from(member: admin::Member) -> Self {
        Self {
            id: member.id.get(),
            user_id: member.principal.get(),
            user: member.name,
            role: ProjectRole(member.grant.role),
            effect: member.grant.effect.into(),
            permissions: member.grant.only.map(|only| only.list().map(WirePermission).collect()),
            conditions: (&member.grant.conditions).into(),
        }
    }
}

/// A role to be given in a project, or denied.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewMember {
    /// Login name.
    user: String,
    role: ProjectRole,
    #[serde(default)]
    effect: WireEffect,
    /// Only these of the role's permissions; all when not said.
    #[schemars(length(min = 1))]
    permissions: Option<Vec<WirePermission>>,
    #[serde(default)]
    conditions: WireConditions,
}

/// Changes to a member; what is not said stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MemberChange")]
pub(super) struct Change {
    role: Option<ProjectRole>,
    /// Only these of the role's permissions; all when empty.
    permissions: Option<Vec<WirePermission>>,
    /// In place of all former conditions.
    conditions: Option<WireConditions>,
}

fn set(list: &[WirePermission]) -> Permissions {
    let list: Vec<Permission> = list.iter().map(|wire| wire.0).collect();
    Permissions::of(&list)
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(project): Path<String>,
) -> Result<Response, Problem> {
    let members = app.registry.members(&caller, &ProjectRef::Name(project))?;
    Ok(Json(members.into_iter().map(Member::from).collect::<Vec<_>>()).into_response())
}

pub(super) async fn add(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(project): Path<String>,
    Body(body): Body<NewMember>,
) -> Result<Response, Problem> {
    let target = ProjectRef::Name(project.clone());
    let grant = GrantFact {
        role: body.role.0,
        only: body.permissions.as_deref().map(set),
        effect: body.effect.into(),
        conditions: body.conditions.parse()?,
    };
    let member = app.registry.add_member(&caller, &target, &body.user, grant).await?;
    let location = format!("/api/v1/projects/{project}/members/{}", member.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(Member::from(member))).into_response())
}

pub(super) async fn change(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path((project, id)): Path<(String, i64)>,
    Body(body): Body<Change>,
) -> Result<StatusCode, Problem> {
    let change = MemberChange {
        role: body.role.map(|role| role.0),
        only: body.permissions.as_deref().map(set),
        conditions: body.conditions.map(|conditions| conditions.parse()).transpose()?,
    };
    app.registry.change_member(&caller, &ProjectRef::Name(project), id.into(), change).await?;
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
