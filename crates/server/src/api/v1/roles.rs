//! `/api/v1/roles`: roles on the whole system.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::LOCATION;
use registry::admin::RoleView;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::role::SystemRole;
use crate::api::extract::{Body, Path, SignedIn};
use crate::api::problem::Problem;
use crate::app::App;

/// Who has which role on the system.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RoleGrant {
    id: i64,
    user_id: i64,
    user: String,
    role: SystemRole,
}

impl From<RoleView> for RoleGrant {
    fn from(view: RoleView) -> Self {
        Self {
            id: view.id.get(),
            user_id: view.principal.get(),
            user: view.name,
            role: SystemRole(view.role),
        }
    }
}

/// A role to be given on the system.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRole {
    /// Login name.
    user: String,
    role: SystemRole,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
) -> Result<Response, Problem> {
    let roles = app.registry.roles(&caller)?;
    Ok(Json(roles.into_iter().map(RoleGrant::from).collect::<Vec<_>>()).into_response())
}

pub(super) async fn give(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Body(body): Body<NewRole>,
) -> Result<Response, Problem> {
    let given = app.registry.give_role(&caller, &body.user, body.role.0).await?;
    let location = format!("/api/v1/roles/{}", given.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(RoleGrant::from(given))).into_response())
}

pub(super) async fn take(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(id): Path<i64>,
) -> Result<StatusCode, Problem> {
    app.registry.take_role(&caller, id.into()).await?;
    Ok(StatusCode::NO_CONTENT)
}
