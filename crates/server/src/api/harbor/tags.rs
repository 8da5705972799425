//! `/api/v2.0/projects/{project}/repositories/{repository}/artifacts/{reference}/tags`

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use oci::{Reference, Tag, TagError};
use registry::{Delete, Error, Pull, Push};
use serde::Deserialize;
use serde_json::Value;

use super::artifact_wire;
use super::artifacts::InArtifact;
use super::names::{InRepository, reference, repository_path};
use super::page::PageQuery;
use crate::api::extract::{Body, By, Path, Query, SignedIn};
use crate::api::problem::Problem;
use crate::app::App;

#[derive(Debug, Deserialize)]
pub(super) struct NewTag {
    name: String,
}

/// A tag as a path names it.
#[derive(Debug, Deserialize)]
pub(super) struct InTag {
    #[serde(flatten)]
    place: InRepository,
    reference: String,
    tag: String,
}

fn parse(text: &str) -> Result<Tag, Error> {
    text.parse().map_err(|error: TagError| Error::Invalid(error.to_string()))
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    By(caller): By,
    headers: HeaderMap,
    Path(InArtifact { place, reference: named }): Path<InArtifact>,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let grant = place.grant::<Pull>(&app, &caller, &headers).await?;
    let (repository, artifact) = app.registry.artifact(&grant, &reference(&named)?).await?;
    let digest = artifact.row.digest;
    let wanted = page.term("name");
    let tags = artifact.tags.iter().filter(|tag| wanted.is_none_or(|text| tag.name.contains(text)));
    let rows: Vec<Value> = tags.map(|tag| artifact_wire::tag(&repository, &digest, tag)).collect();
    let total = rows.len();
    page.rows()?;
    let path = format!("{}/artifacts/{digest}/tags", repository_path(&repository.full_name));
    Ok(page.render(&path, rows, total))
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    Path(InArtifact { place, reference: named }): Path<InArtifact>,
    Body(body): Body<NewTag>,
) -> Result<Response, Problem> {
    let reader = place.grant::<Pull>(&app, &caller, &headers).await?;
    let grant = place.grant::<Push>(&app, &caller, &headers).await?;
    let tag = parse(&body.name)?;
    app.registry.add_tag(&caller, &reader, &grant, &reference(&named)?, &tag).await?;
    let path = repository_path(grant.repo().as_str());
    let location = format!("/api/v2.0{path}/artifacts/{named}/tags/{tag}");
    Ok((StatusCode::CREATED, [(LOCATION, location)]).into_response())
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    Path(InTag { place, reference: named, tag }): Path<InTag>,
) -> Result<StatusCode, Problem> {
    let reader = place.grant::<Pull>(&app, &caller, &headers).await?;
    let grant = place.grant::<Delete>(&app, &caller, &headers).await?;
    let tag = parse(&tag)?;
    let (_, artifact) = app.registry.artifact(&reader, &reference(&named)?).await?;
    if !artifact.tags.iter().any(|known| known.name == tag.as_str()) {
        return Err(Error::NotFound("tag").into());
    }
    app.registry.delete_manifest(&caller, &grant, &Reference::Tag(tag)).await?;
    Ok(StatusCode::OK)
}
