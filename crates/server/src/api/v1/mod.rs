//! The native API.

mod audit;
mod members;
mod projects;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, put};

use crate::app::App;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/audit", get(audit::list))
        .route("/projects", get(projects::list).post(projects::create))
        .route("/projects/{project}", get(projects::show).patch(projects::change).delete(projects::remove))
        .route("/projects/{project}/members", get(members::list).post(members::add))
        .route(
            "/projects/{project}/members/{id}",
            axum::routing::patch(members::change).delete(members::remove),
        )
        .route("/users", get(users::list).post(users::create))
        .route("/users/current", get(users::current))
        .route("/users/{id}", get(users::show).patch(users::change).delete(users::remove))
        .route("/users/{id}/password", put(users::password))
}

/// A page of a list by key.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    /// Entries whose name contains this.
    #[serde(default)]
    name: String,
    /// Entries after this name.
    #[serde(default)]
    after: String,
    /// Entries of a page, 1 to 1,000; 100 when not said.
    limit: Option<usize>,
}

impl PageQuery {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(100).clamp(1, 1000)
    }
}
