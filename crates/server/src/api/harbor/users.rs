//! `/api/v2.0/users`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::LOCATION;
use registry::Error;
use registry::admin::{NewUser, UserChange, UserView};
use serde::Deserialize;
use serde_json::{Value, json};

use super::page::PageQuery;
use crate::api::extract::{Body, Path, Query, SignedIn};
use crate::api::problem::Problem;
use crate::app::App;

#[derive(Debug, Deserialize)]
pub(super) struct Create {
    username: String,
    #[serde(default)]
    realname: String,
    email: Option<String>,
    password: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Change {
    realname: Option<String>,
    email: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Sysadmin {
    sysadmin_flag: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Password {
    old_password: Option<String>,
    new_password: String,
}

fn wire(view: &UserView) -> Value {
    json!({
        "user_id": view.id,
        "username": view.name,
        "realname": view.display_name,
        "email": view.email.as_deref().unwrap_or_default(),
        "comment": "",
        "sysadmin_flag": view.admin,
        "admin_role_in_auth": false,
        "creation_time": view.created_at,
        "update_time": view.created_at,
    })
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let name = page.term("username").unwrap_or(&page.username);
    let (views, total) = app.registry.users(&caller, name, "", page.rows()?)?;
    Ok(page.render("/users", views.iter().map(wire).collect(), total))
}

pub(super) async fn search(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let (views, total) = app.registry.users(&caller, &page.username, "", page.rows()?)?;
    let short = |view: &UserView| json!({ "user_id": view.id, "username": view.name });
    Ok(page.render("/users/search", views.iter().map(short).collect(), total))
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Body(body): Body<Create>,
) -> Result<Response, Problem> {
    let new = NewUser {
        display_name: if body.realname.is_empty() { body.username.clone() } else { body.realname },
        name: body.username,
        email: body.email,
        password: body.password,
        admin: false,
    };
    let id = app.registry.create_user(&caller, &new).await?;
    Ok((StatusCode::CREATED, [(LOCATION, format!("/api/v2.0/users/{id}"))]).into_response())
}

pub(super) async fn current(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
) -> Result<Json<Value>, Problem> {
    let id = caller.principal.id.ok_or(Error::InvalidCredentials)?;
    Ok(Json(wire(&app.registry.user(&caller, id)?)))
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(id): Path<i64>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(wire(&app.registry.user(&caller, id.into())?)))
}

pub(super) async fn change(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(id): Path<i64>,
    Body(body): Body<Change>,
) -> Result<StatusCode, Problem> {
    let change = UserChange { display_name: body.realname, email: body.email, ..UserChange::default() };
    app.registry.change_user(&caller, id.into(), &change).await?;
    Ok(StatusCode::OK)
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(id): Path<i64>,
) -> Result<StatusCode, Problem> {
    app.registry.delete_user(&caller, id.into()).await?;
    Ok(StatusCode::OK)
}

pub(super) async fn sysadmin(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(id): Path<i64>,
    Body(body): Body<Sysadmin>,
) -> Result<StatusCode, Problem> {
    let change = UserChange { admin: Some(body.sysadmin_flag), ..UserChange::default() };
    app.registry.change_user(&caller, id.into(), &change).await?;
    Ok(StatusCode::OK)
}

pub(super) async fn password(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(id): Path<i64>,
    Body(body): Body<Password>,
) -> Result<StatusCode, Problem> {
    let old = body.old_password.as_deref();
    app.registry.change_password(&caller, id.into(), old, &body.new_password).await?;
    Ok(StatusCode::OK)
}
