//! `GET /v2/<name>/tags/list`

use axum::response::Response;
use http::StatusCode;
use oci::{Page, RepoName};
use registry::Pull;

use super::reply::Reply;
use super::{Call, Failure};

/// The document of the specification.
#[derive(serde::Serialize)]
struct TagList<'a> {
    name: &'a str,
    tags: &'a [String],
}

pub(super) async fn list(call: &Call<'_>, repo: &RepoName, page: &Page) -> Result<Response, Failure> {
    let registry = &call.app.registry;
    let grant = registry.access().grant::<Pull>(&call.caller.principal, repo).await?;
    let found = registry.list_tags(&grant, page).await?;
    let document = TagList { name: repo.asked(), tags: &found.names };
    let mut reply = Reply::json(StatusCode::OK, "application/json", &document);
    if let (true, Some(last)) = (found.more, found.names.last()) {
        let path = format!("/v2/{}/tags/list", repo.asked());
        reply = reply.next(&path, &[("n", &page.limit().to_string()), ("last", last)]);
    }
    Ok(reply.done())
}
