//! `/api/v1/projects/{project}/repositories`; a slash in a repository's name is written `%2F`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use metadata::model::DeletedId;
use metadata::model::deleted::DeletedRow;
use metadata::model::repository::RepositoryRow;
use oci::RepoName;
use registry::admin::ProjectRef;
use registry::list::RepositoryQuery;
use registry::{Delete, Error, Pull, Push};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Limit, PageQuery};
use crate::api::extract::{Body, By, Path, Query, SignedIn, TOTAL_COUNT};
use crate::api::problem::Problem;
use crate::app::App;

/// Names of tags shown of one image.
const SHOWN_TAGS: usize = 100;

/// A repository that holds something.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Repository {
    id: i64,
    /// Its name inside the project.
    name: String,
    /// `project/name`, by which images are pushed and pulled.
    full_name: String,
    /// What it is for.
    description: String,
    /// Manifests, those inside of indexes and those about others with them.
    manifest_count: u64,
    tag_count: u64,
    /// Pulls of manifests, as far as counted.
    pull_count: u64,
    #[schemars(extend("format" = "date-time"))]
    created_at: String,
    #[schemars(extend("format" = "date-time"))]
    pushed_at: String,
    pulled_at: Option<String>,
}

impl From<RepositoryRow> for Repository {
    fn from(row: RepositoryRow) -> Self {
        Self {
            id: row.id.get(),
            name: row.name,
            full_name: row.full_name,
            description: row.description,
            manifest_count: row.manifest_count,
            tag_count: row.tag_count,
            pull_count: row.pull_count,
            created_at: row.created_at.to_string(),
            pushed_at: row.pushed_at.to_string(),
            pulled_at: row.pulled_at.map(|at| at.to_string()),
        }
    }
}

/// Changes to a repository.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RepositoryChange")]
pub(super) struct Change {
    /// What it is for.
    #[schemars(length(max = 10_000))]
    description: String,
}

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

pub(super) fn named(project: &str, repository: &str) -> Result<RepoName, Error> {
    RepoName::of(project, repository).map_err(|error| Error::Invalid(error.to_string()))
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(project): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let query = RepositoryQuery {
        project: Some(ProjectRef::Name(project)),
        contains: page.name,
        after: page.after,
        limit: page.limit.0,
        ..RepositoryQuery::default()
    };
    let found = app.registry.repositories(&caller, &query).await?;
    let rows: Vec<Repository> = found.rows.into_iter().map(Repository::from).collect();
    Ok(([(TOTAL_COUNT, found.total.to_string())], Json(rows)).into_response())
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path((project, repository)): Path<(String, String)>,
) -> Result<Json<Repository>, Problem> {
    let repo = named(&project, &repository)?;
    let grant = app.registry.access().grant::<Pull>(&caller.principal, &repo).await?;
    Ok(Json(app.registry.repository(&grant).await?.into()))
}

pub(super) async fn change(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path((project, repository)): Path<(String, String)>,
    Body(body): Body<Change>,
) -> Result<StatusCode, Problem> {
    let repo = named(&project, &repository)?;
    let grant = app.registry.access().grant::<Push>(&caller.principal, &repo).await?;
    app.registry.describe_repository(&caller, &grant, &body.description).await?;
    Ok(StatusCode::NO_CONTENT)
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
