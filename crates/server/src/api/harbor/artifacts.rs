//! `/api/v2.0/projects/{project}/repositories/{repository}/artifacts`

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use metadata::model::repository::RepositoryRow;
use oci::{Digest, Reference};
use registry::list::{Accessory, Artifact, ArtifactKind, ArtifactQuery, TagFilter};
use registry::{Delete, Error, Grant, Pull};
use serde::Deserialize;
use serde_json::Value;

use super::artifact_wire::{self, Shown};
use super::names::{InRepository, reference, repository_path};
use super::page::{Keyed, PageQuery};
use super::scan_wire;
use crate::api::cursor;
use crate::api::extract::{By, Path, Query, SignedIn};
use crate::api::problem::Problem;
use crate::app::App;

/// Manifests and configurations that a list looks into.
const LISTED_BYTES: u64 = 64 << 10;

/// The same for one artifact.
const SHOWN_BYTES: u64 = 4 << 20;

/// An artifact as a path names it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct InArtifact {
    #[serde(flatten)]
    pub(super) place: InRepository,
    pub(super) reference: String,
}

/// What an answer is to hold; what clients of older versions also ask for is ignored.
#[derive(Clone, Copy, Debug, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "one member for each parameter of Harbor's query")]
pub(super) struct With {
    #[serde(default = "yes")]
    with_tag: bool,
    #[serde(default)]
    with_accessory: bool,
    #[serde(default)]
    with_scan_overview: bool,
    #[serde(default)]
    with_sbom_overview: bool,
}

fn yes() -> bool {
    true
}

/// What artifacts are asked for, by Harbor's names.
fn query(page: &PageQuery) -> Result<ArtifactQuery, Error> {
    let tags = match page.fuzzy_term("tags") {
        None => TagFilter::Any,
        Some(("*", _)) => TagFilter::Some,
        Some(("nil", false)) => TagFilter::None,
        Some((text, true)) => TagFilter::Contains(text.to_owned()),
        Some((text, false)) => match text.parse() {
            Ok(tag) => TagFilter::Is(tag),
            Err(_) => TagFilter::Contains(text.to_owned()),
        },
    };
    let digest = page.term("digest").map(str::parse).transpose();
    let digest = digest.map_err(|error: oci::DigestError| Error::Invalid(error.to_string()))?;
    Ok(ArtifactQuery {
        on_top: digest.is_none(),
        tags,
        digest,
        kind: page.term("type").map(artifact_wire::kind),
        media_type: page.term("media_type").map(str::to_owned),
        after: cursor::place(&page.after)?,
        skip: page.skip()?,
        limit: page.size(),
    })
}

/// Artifacts with all that an answer says of them.
async fn render(
    app: &App,
    grant: &Grant<Pull>,
    repository: &RepositoryRow,
    artifacts: &[Artifact],
    (with, most_bytes): (With, u64),
    report_type: &str,
) -> Result<Vec<Value>, Error> {
    let digests: Vec<Digest> = artifacts.iter().map(|artifact| artifact.row.digest).collect();
    let mut accessories: BTreeMap<Digest, Vec<Accessory>> = BTreeMap::new();
    if with.with_accessory || with.with_sbom_overview {
        accessories = app.registry.accessories(repository.id, &digests).await?;
    }
    let mut scans = HashMap::new();
    if with.with_scan_overview {
        scans = crate::api::findings::scans(app, repository.id, &digests).await?;
    }
    let mut rendered = Vec::with_capacity(artifacts.len());
    for artifact in artifacts {
        let details = app.registry.artifact_details(grant, artifact, most_bytes).await?;
        let digest = &artifact.row.digest;
        let known = accessories.remove(digest).unwrap_or_default();
        let bill = scan_wire::sbom_overview(digest, &known).filter(|_| with.with_sbom_overview);
        let accessories = with.with_accessory.then_some(known);
        let shown = Shown { repository, artifact, details: &details, tags: with.with_tag, accessories };
        let mut document = artifact_wire::artifact(&shown);
        if let Some(scan) = scans.remove(digest) {
            document["scan_overview"] = scan_wire::overview(digest, &scan, report_type).into();
        }
        if let Some(bill) = bill {
            document["sbom_overview"] = bill;
        }
        rendered.push(document);
    }
    Ok(rendered)
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    By(caller): By,
    headers: HeaderMap,
    Path(place): Path<InRepository>,
    RawQuery(asked): RawQuery,
    Query(with): Query<With>,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let grant = place.grant::<Pull>(&app, &caller, &headers).await?;
    let report_type = scan_wire::report_type(&headers);
    let found = app.registry.artifacts(&grant, &query(&page)?).await?;
    let rows =
        render(&app, &grant, &found.repository, &found.artifacts, (with, LISTED_BYTES), report_type).await?;
    let next = found.artifacts.last().filter(|_| found.more).map(cursor::after);
    let path = format!("{}/artifacts", repository_path(&found.repository.full_name));
    Ok(page.keyed(&path, asked.as_deref(), Keyed { rows, total: found.total, next }))
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    By(caller): By,
    headers: HeaderMap,
    Path(InArtifact { place, reference: named }): Path<InArtifact>,
    Query(with): Query<With>,
) -> Result<Json<Value>, Problem> {
    let grant = place.grant::<Pull>(&app, &caller, &headers).await?;
    let (repository, artifact) = app.registry.artifact(&grant, &reference(&named)?).await?;
    let report_type = scan_wire::report_type(&headers);
    let shown =
        render(&app, &grant, &repository, std::slice::from_ref(&artifact), (with, SHOWN_BYTES), report_type)
            .await?;
    Ok(Json(shown.into_iter().next().unwrap_or_default()))
}

/// Deletes the artifact with all its tags, also when it is named by one.
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    Path(InArtifact { place, reference: named }): Path<InArtifact>,
) -> Result<StatusCode, Problem> {
    let grant = place.grant::<Delete>(&app, &caller, &headers).await?;
    let digest = match reference(&named)? {
        Reference::Digest(digest) => digest,
        by_tag @ Reference::Tag(_) => {
            let reader = place.grant::<Pull>(&app, &caller, &headers).await?;
            app.registry.artifact(&reader, &by_tag).await?.1.row.digest
        }
    };
    app.registry.delete_manifest(&caller, &grant, &Reference::Digest(digest)).await?;
    Ok(StatusCode::OK)
}

pub(super) async fn accessories(
    State(app): State<Arc<App>>,
    By(caller): By,
    headers: HeaderMap,
    Path(InArtifact { place, reference: named }): Path<InArtifact>,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let grant = place.grant::<Pull>(&app, &caller, &headers).await?;
    let (repository, artifact) = app.registry.artifact(&grant, &reference(&named)?).await?;
    let digest = artifact.row.digest;
    let mut found = app.registry.accessories(repository.id, &[digest]).await?;
    let found = found.remove(&digest).unwrap_or_default();
    let rows: Vec<Value> =
        found.iter().map(|accessory| artifact_wire::accessory(&repository, &digest, accessory)).collect();
    let total = rows.len();
    let path = format!("{}/artifacts/{digest}/accessories", repository_path(&repository.full_name));
    page.rows()?;
    Ok(page.render(&path, rows, total))
}

pub(super) async fn build_history(
    State(app): State<Arc<App>>,
    By(caller): By,
    headers: HeaderMap,
    Path(InArtifact { place, reference: named }): Path<InArtifact>,
) -> Result<Json<Value>, Problem> {
    let grant = place.grant::<Pull>(&app, &caller, &headers).await?;
    let (_, artifact) = app.registry.artifact(&grant, &reference(&named)?).await?;
    if artifact.kind != ArtifactKind::Image {
        let kind = artifact_wire::type_name(&artifact);
        return Err(Error::Invalid(format!("addition build_history isn't supported for {kind}")).into());
    }
    let details = app.registry.artifact_details(&grant, &artifact, SHOWN_BYTES).await?;
    let history = details.config.and_then(|config| config.get("history").cloned());
    Ok(Json(history.unwrap_or_else(|| Value::Array(Vec::new()))))
}
