//! `/api/v1/search/…`: which images contain what, over all that the caller may see; and questions that are asked again.
//!
//! Images of projects of which the caller may pull everything are named, no others: a total must not tell of what is
//! hidden.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use metadata::model::PrincipalId;
use metadata::model::estate::TaggedPlace;
use oci::Digest;
use registry::{Caller, Error};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use workers::index::{Answer, Hit, Question, SavedSearch, SavedSearches, SearchFailure};

use crate::api::csv::{Lines, streamed};
use crate::api::extract::{Body, By, Path, Query, SignedIn};
use crate::api::problem::Problem;
use crate::app::App;

/// Images of one page, unless asked for otherwise, and at most.
const PAGE: (usize, usize) = (50, 1000);
/// Images of an export, and those read at once for it.
const EXPORTED: u64 = 10_000;
const EXPORT_PAGE: usize = 200;

/// A question.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ImageSearch")]
pub(super) struct Asked {
    /// What images must contain: `log4j-core < 2.17.1`, `pkg:npm/left-pad`, `license:GPL-3.0-only`,
    /// `path:**/*.jar`, `sha1:…`, `cve:CVE-2021-44228`; `AND` joins several.
    q: String,
    /// Only images after this digest: `next` of the page before.
    #[serde(default)]
    after: Option<String>,
    /// Most images, at most 1000.
    #[serde(default)]
    limit: Option<usize>,
}

/// A package of an image.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FoundPackage")]
struct WirePackage {
    purl: Option<String>,
    name: String,
    version: String,
    /// Files that state it.
    paths: Vec<String>,
    licenses: Vec<String>,
}

/// A repository that holds an image.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FoundPlace")]
struct WirePlace {
    repository: String,
    /// Tags that name the image, or an index of it.
    tags: Vec<String>,
}

/// An image that contains what was asked for.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FoundImage")]
struct WireImage {
    digest: String,
    places: Vec<WirePlace>,
    /// The packages that were asked for, the first of them.
    packages: Vec<WirePackage>,
    /// How many of them there are.
    matched: u64,
}

/// A page of an answer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FoundImages")]
pub(super) struct Found {
    /// How many images there are in all.
    total: u64,
    images: Vec<WireImage>,
    /// What to continue after, if there is more.
    next: Option<String>,
}

fn image(hit: Hit) -> WireImage {
    let mut places: Vec<WirePlace> = Vec::new();
    for place in hit.places {
        match places.last_mut().filter(|last| last.repository == place.full_name) {
            Some(last) => last.tags.extend(place.tag),
            None => {
                places.push(WirePlace { repository: place.full_name, tags: place.tag.into_iter().collect() });
            }
        }
    }
    let packages = hit.packages.into_iter().map(|it| WirePackage {
        purl: it.purl,
        name: it.name,
        version: it.version,
        paths: it.paths,
        licenses: it.licenses,
    });
    WireImage { digest: hit.digest.to_string(), places, packages: packages.collect(), matched: hit.matched }
}

fn failure(error: SearchFailure) -> Problem {
    match error {
        SearchFailure::Unavailable(error) => {
            tracing::warn!(%error, "the index cannot be asked");
            Error::Unavailable.into()
        }
        error => Error::Invalid(error.to_string()).into(),
    }
}

async fn ask(
    app: &App,
    caller: &Caller,
    text: &str,
    after: Option<Digest>,
    limit: usize,
) -> Result<Answer, Problem> {
    let projects = app.registry.judged_projects(caller);
    let question = Question { text, projects: &projects, after, limit };
    app.index.search(question).await.map_err(failure)
}

pub(super) async fn images(
    State(app): State<Arc<App>>,
    By(caller): By,
    Query(asked): Query<Asked>,
) -> Result<Json<Found>, Problem> {
    let after = asked.after.as_deref().map(str::parse).transpose();
    let after = after.map_err(|_| Error::Invalid("`after` is no digest".to_owned()))?;
    let limit = asked.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let Answer { total, images, next } = ask(&app, &caller, &asked.q, after, limit).await?;
    let images = images.into_iter().map(image).collect();
    Ok(Json(Found { total, images, next: next.map(|digest| digest.to_string()) }))
}

/// What an export is asked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ImageExport")]
pub(super) struct Exported {
    /// As for `/search/images`.
    q: String,
}

pub(super) async fn export(
    State(app): State<Arc<App>>,
    By(caller): By,
    Query(asked): Query<Exported>,
) -> Result<Response, Problem> {
    // What cannot be answered is said before anything is sent.
    let first = ask(&app, &caller, &asked.q, None, EXPORT_PAGE).await?;
    if first.total > EXPORTED {
        let why = format!("an export has at most {EXPORTED} images; ask a narrower question");
        return Err(Error::LimitReached(why).into());
    }
    Ok(streamed("images.csv", move |lines| tell(app, caller, asked.q, first, lines)))
}

/// Sends the lines of a page and of all that follow.
async fn tell(app: Arc<App>, caller: Caller, q: String, mut page: Answer, out: Lines) -> Result<(), Error> {
    if !out.tell("repository,tag,digest,package,version,purl,path\n".into()).await {
        return Ok(());
    }
    loop {
        let lines = page.images.iter().map(lines).collect::<Result<Vec<_>, _>>();
        let lines = lines.map_err(|error| Error::Internal(error.to_string()))?;
        if !out.tell(lines.concat().into()).await {
            return Ok(());
        }
        let Some(next) = page.next else { return Ok(()) };
        let projects = app.registry.judged_projects(&caller);
        let question = Question { text: &q, projects: &projects, after: Some(next), limit: EXPORT_PAGE };
        page = app.index.search(question).await.map_err(|error| Error::Internal(error.to_string()))?;
    }
}

/// The lines of an image.
fn lines(hit: &Hit) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let somewhere =
        TaggedPlace { digest: hit.digest, project: 0.into(), full_name: String::new(), tag: None };
    // What has more places than are read is named nevertheless.
    let none = hit.places.is_empty().then_some(&somewhere);
    for place in hit.places.iter().chain(none) {
        for package in &hit.packages {
            let path = package.paths.first().map_or("", String::as_str);
            let (tag, digest) = (place.tag.as_deref().unwrap_or_default(), hit.digest.to_string());
            let purl = package.purl.as_deref().unwrap_or_default();
            let row = [&place.full_name, tag, &digest, &package.name, &package.version, purl, path];
            writer.write_record(row)?;
        }
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// A question that is asked whenever something changes; a new answer is an event.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SavedSearch")]
pub(super) struct Saved {
    name: String,
    q: String,
    /// How many images the last answer had.
    total: u64,
    /// When it was asked last (RFC 3339).
    asked_at: Option<String>,
}

impl From<SavedSearch> for Saved {
    fn from(it: SavedSearch) -> Self {
        let asked_at = it.asked_at.map(|at| at.to_string());
        Self { name: it.name, q: it.question, total: it.total, asked_at }
    }
}

/// A question to be kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "KeepSearch")]
pub(super) struct Keep {
    /// As for `/search/images`.
    q: String,
}

fn own(caller: &Caller) -> PrincipalId {
    caller.principal.row_id()
}

fn searches(app: &App) -> SavedSearches {
    SavedSearches(Arc::clone(&app.index))
}

pub(super) async fn saved(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
) -> Result<Json<Vec<Saved>>, Problem> {
    let found = searches(&app).of(own(&caller)).await.map_err(|error| failure(error.into()))?;
    Ok(Json(found.into_iter().map(Saved::from).collect()))
}

pub(super) async fn keep(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(name): Path<String>,
    Body(body): Body<Keep>,
) -> Result<StatusCode, Problem> {
    let projects = app.registry.judged_projects(&caller);
    searches(&app).save(own(&caller), &projects, &name, &body.q).await.map_err(failure)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn forget(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    searches(&app).forget(own(&caller), &name).await.map_err(|error| failure(error.into()))?;
    Ok(StatusCode::NO_CONTENT)
}
