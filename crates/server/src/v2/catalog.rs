//! `GET /v2/_catalog`

use axum::response::Response;
use http::StatusCode;
use oci::Page;

use super::reply::Reply;
use super::{Call, Failure};

pub(super) async fn list(call: &Call<'_>, page: &Page) -> Result<Response, Failure> {
    let found = call.app.registry.catalog(&call.caller.principal, page).await?;
    let document = serde_json::json!({ "repositories": found.names });
    let mut reply = Reply::json(StatusCode::OK, "application/json", &document);
    if let (true, Some(last)) = (found.more, found.names.last()) {
        reply = reply.next("/v2/_catalog", &[("n", &page.limit().to_string()), ("last", last)]);
    }
    Ok(reply.done())
}
