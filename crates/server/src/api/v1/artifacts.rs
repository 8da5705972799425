//! `/api/v1/projects/{project}/repositories/{repository}/artifacts`

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::HeaderValue;
use http::header::LINK;
use oci::{Descriptor, Reference};
use registry::list::{self, ArtifactKind, ArtifactQuery, Details, TagFilter};
use registry::{Error, Pull};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Limit;
use super::repositories::named;
use crate::api::cursor;
use crate::api::extract::{By, Path, Query, TOTAL_COUNT};
use crate::api::problem::Problem;
use crate::app::App;

/// Manifests and configurations that a list looks into.
const LISTED_BYTES: u64 = 64 << 10;

/// The same for one artifact.
const SHOWN_BYTES: u64 = 4 << 20;

/// Names of tags shown of one artifact of a list.
const SHOWN_TAGS: usize = 100;

/// Which artifacts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// Only those that stand for themselves: without the manifests of indexes that have no tag, and without what is
    /// about another artifact.
    #[serde(default)]
    on_top: bool,
    /// Only those with a tag that contains this.
    tag: Option<String>,
    /// Only those with a tag, or without one.
    tagged: Option<bool>,
    /// Only those of this kind: `image`, `index`, `chart`, `bundle`, `model`, `wasm`, `sbom`, `signature`,
    /// `attestation` or `other`.
    kind: Option<String>,
    /// Where the page begins, as the `Link` of the page before says.
    #[serde(default)]
    after: String,
    /// Entries of a page; 100 when not said.
    #[serde(default)]
    limit: Limit,
}

/// What a manifest runs on.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Platform {
    os: String,
    architecture: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    os_version: Option<String>,
}

/// A manifest and what is known of it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Artifact {
    digest: String,
    /// `image`, `index`, `chart`, `bundle`, `model`, `wasm`, `sbom`, `signature`, `attestation` or `other`.
    kind: &'static str,
    /// Media type of the manifest.
    media_type: String,
    /// Its artifact type, else its configuration's media type.
    artifact_type: Option<String>,
    /// The artifact that it is about.
    subject: Option<String>,
    /// Bytes of the manifest and of all that it refers to.
    size_bytes: u64,
    #[schemars(extend("format" = "date-time"))]
    pushed_at: String,
    /// The first hundred of the tags that name it.
    tags: Vec<String>,
    /// How many tags name it.
    tag_count: usize,
    /// What it runs on, for an image that says so.
    platform: Option<Platform>,
    annotations: BTreeMap<String, String>,
}

/// A manifest of an index.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Child {
    digest: String,
    /// Whether the repository holds it: an index may list what is not there, or not yet.
    present: bool,
    media_type: String,
    size_bytes: u64,
    platform: Option<Platform>,
    annotations: BTreeMap<String, String>,
}

/// Something that hangs on an artifact.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Accessory {
    digest: String,
    kind: &'static str,
    artifact_type: Option<String>,
    size_bytes: u64,
    /// cosign's tag by which it is known; none for a referrer.
    tag: Option<String>,
}

/// An artifact with its parts.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ArtifactDetails {
    #[serde(flatten)]
    artifact: Artifact,
    /// The manifests of an index.
    children: Vec<Child>,
    /// What hangs on it: signatures, attestations, bills of materials.
    accessories: Vec<Accessory>,
    /// The configuration of an image or chart.
    config: Option<serde_json::Value>,
}

fn platform_of(details: &Details) -> Option<Platform> {
    let config = details.config.as_ref()?;
    let text = |name: &str| config.get(name)?.as_str().map(str::to_owned).filter(|it| !it.is_empty());
    Some(Platform {
        os: text("os")?,
        architecture: text("architecture")?,
        variant: text("variant"),
        os_version: text("os.version"),
    })
}

fn artifact(known: list::Artifact, details: &Details) -> Artifact {
    let tag_count = known.tags.len();
    let row = known.row;
    Artifact {
        digest: row.digest.to_string(),
        kind: known.kind.name(),
        media_type: row.media_type,
        artifact_type: row.artifact_type,
        subject: row.subject.map(|subject| subject.to_string()),
        size_bytes: row.size_bytes.saturating_add(row.content_bytes),
        pushed_at: row.pushed_at.to_string(),
        tags: known.tags.into_iter().take(SHOWN_TAGS).map(|tag| tag.name).collect(),
        tag_count,
        platform: platform_of(details),
        annotations: serde_json::from_str(&row.annotations).unwrap_or_default(),
    }
}

impl Child {
    fn new(entry: Descriptor, present: bool) -> Self {
        let platform = entry.platform.map(|stated| Platform {
            os: stated.os,
            architecture: stated.architecture,
            variant: stated.variant,
            os_version: stated.os_version,
        });
        Self {
            digest: entry.digest.to_string(),
            present,
            media_type: entry.media_type.to_string(),
            size_bytes: entry.size_bytes,
            platform,
            annotations: entry.annotations,
        }
    }
}

impl From<list::Accessory> for Accessory {
    fn from(known: list::Accessory) -> Self {
        Self {
            digest: known.row.digest.to_string(),
            kind: known.kind.name(),
            artifact_type: known.row.artifact_type,
            size_bytes: known.row.size_bytes.saturating_add(known.row.content_bytes),
            tag: known.tag,
        }
    }
}

/// A tag or a digest.
pub(super) fn reference(text: &str) -> Result<Reference, Error> {
    let parsed = match text.parse() {
        Ok(digest) => Ok(Reference::Digest(digest)),
        Err(_) => text.parse().map(Reference::Tag),
    };
    parsed.map_err(|error: oci::TagError| Error::Invalid(error.to_string()))
}

fn query(page: Page) -> Result<ArtifactQuery, Error> {
    let tags = match (page.tag, page.tagged) {
        (Some(text), _) => TagFilter::Contains(text),
        (None, Some(true)) => TagFilter::Some,
        (None, Some(false)) => TagFilter::None,
        (None, None) => TagFilter::Any,
    };
    let kind = page.kind.map(|name| {
        let known = ArtifactKind::LIST.into_iter().find(|kind| kind.name() == name);
        known.ok_or_else(|| Error::Invalid(format!("`{name}` is no kind of artifact")))
    });
    let (kind, after) = (kind.transpose()?, cursor::place(&page.after)?);
    let limit = page.limit.0;
    Ok(ArtifactQuery { on_top: page.on_top, tags, kind, after, limit, ..ArtifactQuery::default() })
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path((project, repository)): Path<(String, String)>,
    RawQuery(asked): RawQuery,
    Query(page): Query<Page>,
) -> Result<Response, Problem> {
    let grant =
        app.registry.access().grant::<Pull>(&caller.principal, &named(&project, &repository)?).await?;
    let found = app.registry.artifacts(&grant, &query(page)?).await?;
    let next = found.artifacts.last().filter(|_| found.more).map(cursor::after);
    let mut artifacts = Vec::with_capacity(found.artifacts.len());
    for known in found.artifacts {
        let details = app.registry.artifact_details(&grant, &known, LISTED_BYTES).await?;
        artifacts.push(artifact(known, &details));
    }
    let mut response = ([(TOTAL_COUNT, found.total.to_string())], Json(artifacts)).into_response();
    if let Some(next) = next {
        let kept = form_urlencoded::parse(asked.as_deref().unwrap_or_default().as_bytes())
            .filter(|(name, _)| name != "after");
        let mut query = form_urlencoded::Serializer::new(String::new());
        let query = query.extend_pairs(kept).append_pair("after", &next).finish();
        let repository = repository.replace('/', "%2F");
        let link =
            format!("</api/v1/projects/{project}/repositories/{repository}/artifacts?{query}>; rel=\"next\"");
        if let Ok(value) = HeaderValue::from_str(&link) {
            response.headers_mut().insert(LINK, value);
        }
    }
    Ok(response)
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path((project, repository, named_as)): Path<(String, String, String)>,
) -> Result<Json<ArtifactDetails>, Problem> {
    let grant =
        app.registry.access().grant::<Pull>(&caller.principal, &named(&project, &repository)?).await?;
    let (row, known) = app.registry.artifact(&grant, &reference(&named_as)?).await?;
    let details = app.registry.artifact_details(&grant, &known, SHOWN_BYTES).await?;
    let digest = known.row.digest;
    let mut hanging = app.registry.accessories(row.id, &[digest]).await?;
    let accessories = hanging.remove(&digest).unwrap_or_default().into_iter().map(Accessory::from).collect();
    let artifact = artifact(known, &details);
    let held = app.registry.children_held(row.id, &details).await?;
    let child = |entry: Descriptor| {
        let present = held.contains(&entry.digest);
        Child::new(entry, present)
    };
    let children = details.children.into_iter().map(child).collect();
    Ok(Json(ArtifactDetails { artifact, children, accessories, config: details.config }))
}
