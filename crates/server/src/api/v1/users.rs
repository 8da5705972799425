//! `/api/v1/users`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::LOCATION;
use registry::Error;
use registry::admin::{self, UserChange, UserView};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PageQuery;
use crate::api::extract::{Body, Path, Query, SignedIn, TOTAL_COUNT};
use crate::api::problem::Problem;
use crate::app::App;

/// A user.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct User {
    id: i64,
    name: String,
    display_name: String,
    email: Option<String>,
    /// Administers the system.
    admin: bool,
    /// Cannot sign in.
    disabled: bool,
    #[schemars(extend("format" = "date-time"))]
    created_at: String,
}

impl From<UserView> for User {
    fn from(view: UserView) -> Self {
        Self {
            id: view.id.get(),
            name: view.name,
            display_name: view.display_name,
            email: view.email,
            admin: view.admin,
            disabled: view.disabled,
            created_at: view.created_at.to_string(),
        }
    }
}

/// A user to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    /// Login name; not `system` or `anonymous`.
    #[schemars(length(max = 128), regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9._@-]*[A-Za-z0-9])?$"))]
    name: String,
    /// Name for people; the login name when not said.
    #[serde(default)]
    #[schemars(length(max = 255), regex(pattern = r"^[^\x00-\x1f\x7f-\x9f]*$"))]
    display_name: String,
    #[schemars(length(max = 255), regex(pattern = r"^[^\x00-\x1f\x7f-\x9f]*$"))]
    email: Option<String>,
    #[schemars(length(min = 8, max = 1024))]
    password: String,
    /// Administers the system.
    #[serde(default)]
    admin: bool,
}

/// Changes to a user; what is not said stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "UserChange")]
pub(super) struct Change {
    #[schemars(length(max = 255), regex(pattern = r"^[^\x00-\x1f\x7f-\x9f]*$"))]
    display_name: Option<String>,
    #[schemars(length(max = 255), regex(pattern = r"^[^\x00-\x1f\x7f-\x9f]*$"))]
    email: Option<String>,
    disabled: Option<bool>,
    admin: Option<bool>,
}

/// A new password.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PasswordChange")]
pub(super) struct Password {
    /// The one until now, when it is one's own.
    old: Option<String>,
    #[schemars(length(min = 8, max = 1024))]
    new: String,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let (views, total) = app.registry.users(&caller, &page.name, &page.after, page.limit.0)?;
    let users: Vec<User> = views.into_iter().map(User::from).collect();
    Ok(([(TOTAL_COUNT, total.to_string())], Json(users)).into_response())
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Body(body): Body<NewUser>,
) -> Result<Response, Problem> {
    let new = admin::NewUser {
        display_name: if body.display_name.is_empty() { body.name.clone() } else { body.display_name },
        name: body.name,
        email: body.email,
        password: body.password,
        admin: body.admin,
    };
    let id = app.registry.create_user(&caller, &new).await?;
    let user = User::from(app.registry.user(&caller, id)?);
    Ok((StatusCode::CREATED, [(LOCATION, format!("/api/v1/users/{id}"))], Json(user)).into_response())
}

pub(super) async fn current(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
) -> Result<Response, Problem> {
    let id = caller.principal.id.ok_or(Error::InvalidCredentials)?;
    Ok(Json(User::from(app.registry.user(&caller, id)?)).into_response())
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(id): Path<i64>,
) -> Result<Response, Problem> {
    Ok(Json(User::from(app.registry.user(&caller, id.into())?)).into_response())
}

pub(super) async fn change(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(id): Path<i64>,
    Body(body): Body<Change>,
) -> Result<StatusCode, Problem> {
    let change = UserChange {
        display_name: body.display_name,
        email: body.email,
        disabled: body.disabled,
        admin: body.admin,
    };
    app.registry.change_user(&caller, id.into(), &change).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(id): Path<i64>,
) -> Result<StatusCode, Problem> {
    app.registry.delete_user(&caller, id.into()).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn password(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(id): Path<i64>,
    Body(body): Body<Password>,
) -> Result<StatusCode, Problem> {
    app.registry.change_password(&caller, id.into(), body.old.as_deref(), &body.new).await?;
    Ok(StatusCode::NO_CONTENT)
}
