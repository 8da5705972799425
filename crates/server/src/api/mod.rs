//! The administration APIs: the native one (`/api/v1`) and Harbor's (`/api/v2.0`), two renderings of the same use
//! cases; and the scanner-adapter API (`/scanner/api/v1`). No handler decides anything.

mod adapter;
mod csv;
mod cursor;
mod denials;
mod extract;
mod findings;
mod harbor;
mod openapi;
pub mod problem;
mod v1;

use axum::middleware::from_fn;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use http::Method;
use http::header::CONTENT_TYPE;

use crate::routes::Routes;

/// The routes of all of them, and the document that describes the native one.
pub fn routes() -> Routes {
    let apis = Routes::new().nest("/api/v1", v1::routes()).nest("/api/v2.0", harbor::routes());
    let apis = apis.nest("/scanner/api/v1", adapter::routes());
    let apis = apis.layered(|router| router.layer(from_fn(denials::record)));
    let document = Bytes::from(openapi::document(apis.endpoints()).to_string());
    let show = async move || ([(CONTENT_TYPE, "application/json")], document.clone()).into_response();
    apis.merge(harbor::version()).add(Method::GET, "/api/openapi.json", show, None)
}
