//! The administration APIs: the native one (`/api/v1`) and Harbor's (`/api/v2.0`), two renderings of the same use
//! cases. No handler decides anything.

mod extract;
mod harbor;
pub mod problem;
mod v1;

use std::sync::Arc;

use axum::Router;

use crate::app::App;

/// The routes of both APIs.
pub fn router() -> Router<Arc<App>> {
    Router::new().nest("/api/v1", v1::router()).nest("/api/v2.0", harbor::router()).merge(harbor::version())
}
