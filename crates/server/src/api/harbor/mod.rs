//! Harbor's API v2.0: its names, ids, status codes and quirks over our use cases, so that its clients work
//! unmodified. Unknown members of bodies are ignored. No logic of its own.

mod members;
mod page;
mod projects;
mod users;

use std::sync::Arc;

use axum::response::Response;
use axum::routing::{get, put};
use axum::{Json, Router};
use serde_json::json;

use super::problem::Problem;
use crate::app::App;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/ping", get(|| async { "Pong" }))
        .route("/projects", get(projects::list).head(projects::exists).post(projects::create))
        .route("/projects/{project}", get(projects::show).put(projects::change).delete(projects::remove))
        .route("/projects/{project}/members", get(members::list).post(members::add))
        .route(
            "/projects/{project}/members/{id}",
            get(members::show).put(members::change).delete(members::remove),
        )
        .route("/users", get(users::list).post(users::create))
        .route("/users/current", get(users::current))
        .route("/users/search", get(users::search))
        .route("/users/{id}", get(users::show).put(users::change).delete(users::remove))
        .route("/users/{id}/sysadmin", put(users::sysadmin))
        .route("/users/{id}/password", put(users::password))
        .layer(axum::middleware::map_response(as_harbor))
}

/// The version of the API, outside of it: the first call of Harbor's own replication.
pub(super) fn version() -> Router<Arc<App>> {
    Router::new().route("/api/version", get(|| async { Json(json!({ "version": "v2.0" })) }))
}

async fn as_harbor(response: Response) -> Response {
    match response.extensions().get::<Problem>() {
        Some(problem) => problem.harbor(),
        None => response,
    }
}
