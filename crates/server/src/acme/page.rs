//! The page on which the authority finds the answer to `http-01`. Not one of the registry's own routes: it is there
//! only with `tls.mode = "acme"`, for everybody, at the authority's address.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::StatusCode;

use super::{Acme, http_name};

impl Acme {
    /// The page.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new().route("/.well-known/acme-challenge/{token}", get(answer)).with_state(self)
    }
}

async fn answer(State(acme): State<Arc<Acme>>, Path(token): Path<String>) -> Response {
    match acme.vault.answer(&http_name(&token)).await {
        Some(answer) => answer.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
