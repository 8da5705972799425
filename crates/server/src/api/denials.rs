//! Denials of the administration APIs go into the audit, whichever handler denied.

use std::sync::{Arc, OnceLock};

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{Method, StatusCode};
use registry::{Caller, Note};

use super::problem::Problem;
use crate::app::App;

/// Who asks: travels in the request's extensions until its caller is known.
#[derive(Clone, Default)]
pub(super) struct Asked(Arc<OnceLock<(Arc<App>, Caller)>>);

impl Asked {
    /// Notes the caller of this request.
    pub(super) fn by(&self, app: &Arc<App>, caller: &Caller) {
        self.0.get_or_init(|| (Arc::clone(app), caller.clone()));
    }
}

/// Answers, and records a 403.
pub(super) async fn record(mut request: Request, next: Next) -> Response {
    let asked = Asked::default();
    request.extensions_mut().insert(asked.clone());
    let action = match *request.method() {
        Method::GET | Method::HEAD => "read",
        Method::DELETE => "delete",
        _ => "change",
    };
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    if response.status() == StatusCode::FORBIDDEN
        && let Some((app, caller)) = asked.0.get()
    {
        let note = Note { action, project: None, target: &path, outcome: "denied" };
        if let Err(error) = app.registry.notes().note(caller, note).await {
            return Problem::from(error).into_response();
        }
    }
    response
}
