//! `/api/v1/projects/{project}/repositories/{repository}`; a slash in a repository's name is written `%2F`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use metadata::model::DeletedId;
use metadata::model::deleted::DeletedRow;
use oci::RepoName;
use registry::{Delete, Error, Push};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Limit;
use crate::api::extract::{By, Path, Query, SignedIn};
use crate::api::problem::Problem;
use crate::app::App;

/// Names of tags shown of one image.
const SHOWN_TAGS: usize = 100;

/// A page of what was deleted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// Entries after this id.
    #[serde(default)]
    after: i64,
    /// Entries of a page; 100 when not said.
    #[serde(default)]
    limit: Limit,
}

/// An image that was deleted and can be restored.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeletedImage")]
pub(super) struct Deleted {
    id: i64,
    digest: String,
    media_type: String,
    #[schemars(extend("format" = "date-time"))]
    deleted_at: String,
    /// The first hundred of the tags that named it.
    tags: Vec<String>,
    /// How many tags named it.
    tag_count: u64,
}

impl From<DeletedRow> for Deleted {
    fn from(row: DeletedRow) -> Self {
        let mut tags: Vec<String> = serde_json::from_str(&row.tags).unwrap_or_default();
        let tag_count = tags.len() as u64;
        tags.truncate(SHOWN_TAGS);
        Self {
            id: row.id.get(),
            digest: row.digest.to_string(),
            media_type: row.media_type,
            deleted_at: row.deleted_at.to_string(),
            tags,
            tag_count,
        }
    }
}

/// An image that was restored.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RestoredImage")]
pub(super) struct Restored {
    digest: String,
}

fn named(project: &str, repository: &str) -> Result<RepoName, Error> {
    RepoName::of(project, repository).map_err(|error| Error::Invalid(error.to_string()))
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path((project, repository)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let repo = named(&project, &repository)?;
    let grant = app.registry.access().grant::<Delete>(&caller.principal, &repo).await?;
    app.registry.delete_repository(&caller, &grant).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn deleted(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path((project, repository)): Path<(String, String)>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<Deleted>>, Problem> {
    let repo = named(&project, &repository)?;
    let grant = app.registry.access().grant::<Push>(&caller.principal, &repo).await?;
    let limit = u32::try_from(page.limit.0).unwrap_or(u32::MAX);
    let rows = app.registry.restorable(&grant, page.after, limit).await?;
    Ok(Json(rows.into_iter().map(Deleted::from).collect()))
}

pub(super) async fn restore(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path((project, repository, id)): Path<(String, String, i64)>,
) -> Result<Json<Restored>, Problem> {
    let repo = named(&project, &repository)?;
    let grant = app.registry.access().grant::<Push>(&caller.principal, &repo).await?;
    let digest = app.registry.restore_manifest(&caller, &grant, DeletedId::from(id)).await?;
    Ok(Json(Restored { digest: digest.to_string() }))
}
