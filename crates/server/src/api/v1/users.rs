//! `/api/v1/users`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::LOCATION;
use registry::Error;
use registry::admin::{NewUser, UserChange, UserView};
use serde::{Deserialize, Serialize};

use super::PageQuery;
use crate::api::extract::{Body, SignedIn, TOTAL_COUNT};
use crate::api::problem::Problem;
use crate::app::App;

#[derive(Debug, Serialize)]
struct User {
    id: i64,
    name: String,
    display_name: String,
    email: Option<String>,
    admin: bool,
    disabled: bool,
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Create {
    name: String,
    #[serde(default)]
    display_name: String,
    email: Option<String>,
    password: String,
    #[serde(default)]
    admin: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    display_name: Option<String>,
    email: Option<String>,
    disabled: Option<bool>,
    admin: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Password {
    old: Option<String>,
    new: String,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let (views, total) = app.registry.users(&caller, &page.name, &page.after, page.limit())?;
    let users: Vec<User> = views.into_iter().map(User::from).collect();
    Ok(([(TOTAL_COUNT, total.to_string())], Json(users)).into_response())
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Body(body): Body<Create>,
) -> Result<Response, Problem> {
    let new = NewUser {
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
