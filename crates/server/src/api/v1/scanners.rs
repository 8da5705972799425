//! `/api/v1/scanners`: other scanners, by which of them projects go, and results of scanners that scanned elsewhere.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http_body_util::{BodyExt as _, Limited};
use registry::admin::{
    Counting, OWN_SCANNER, ProjectRef, RegisteredScanner, ScannerChange, ScannerChoice, ScannerCredentials,
};
use registry::scan::{SCAN_RESULT, STATEMENT, ScanResult};
use registry::{Caller, Error};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use upstream::adapter::AdapterError;
use workers::scan::{MAX_RESULT_BYTES, Uploaded, check_upload};

use super::scans::{Named, may_push, read};
use crate::api::extract::{Body, By, Path, SignedIn};
use crate::api::findings::report_error;
use crate::api::problem::Problem;
use crate::app::App;

/// A registered scanner. Its credentials are never told.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Scanner")]
pub(super) struct Scanner {
    name: String,
    description: String,
    /// Where its adapter is; empty for who may not change it.
    url: String,
    /// `none`, `basic`, `bearer` or `api_key`.
    credentials: String,
    disabled: bool,
    #[schemars(extend("format" = "date-time"))]
    created_at: String,
    #[schemars(extend("format" = "date-time"))]
    updated_at: String,
}

impl From<RegisteredScanner> for Scanner {
    fn from(of: RegisteredScanner) -> Self {
        Self {
            name: of.name,
            description: of.description,
            url: of.url,
            credentials: of.credentials,
            disabled: of.disabled,
            created_at: of.created_at.to_string(),
            updated_at: of.updated_at.to_string(),
        }
    }
}

/// How a scanner wants to be convinced.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schemars(rename = "ScannerCredentials")]
enum WireCredentials {
    None {},
    Basic { user: String, password: String },
    Bearer { token: String },
    ApiKey { key: String },
}

impl std::fmt::Debug for WireCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WireCredentials")
    }
}

impl From<WireCredentials> for ScannerCredentials {
    fn from(wire: WireCredentials) -> Self {
        match wire {
            WireCredentials::None {} => Self::None,
            WireCredentials::Basic { user, password } => Self::Basic { user, password },
            WireCredentials::Bearer { token } => Self::Bearer(token),
            WireCredentials::ApiKey { key } => Self::ApiKey(key),
        }
    }
}

/// A scanner to be registered or changed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ScannerChange")]
pub(super) struct Change {
    /// Where its adapter is: `https://HOST[:PORT]`.
    url: String,
    #[serde(default)]
    description: String,
    /// Those it has when not said.
    #[serde(default)]
    credentials: Option<WireCredentials>,
    /// Whether it is left alone.
    #[serde(default)]
    disabled: bool,
}

/// Which findings count.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum WireCounting {
    /// Those of the first scanner.
    Primary,
    /// Those of any, and of uploaded results.
    Union,
    /// Those of all.
    Intersection,
}

/// By which scanners a project goes.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ScannerChoice")]
pub(super) struct Choice {
    /// Names of scanners; `Bonded` is the registry's own. The first one is the primary one.
    scanners: Vec<String>,
    counting: WireCounting,
}

/// What holds in a project.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ScannerChoiceInForce")]
pub(super) struct InForce {
    #[serde(flatten)]
    choice: Choice,
    /// Whether it was chosen here; else it is what was chosen above.
    chosen_here: bool,
}

impl From<(ScannerChoice, bool)> for InForce {
    fn from((choice, chosen_here): (ScannerChoice, bool)) -> Self {
        let counting = match choice.counting {
            Counting::Primary => WireCounting::Primary,
            Counting::Union => WireCounting::Union,
            Counting::Intersection => WireCounting::Intersection,
        };
        Self { choice: Choice { scanners: choice.scanners, counting }, chosen_here }
    }
}

impl From<Choice> for ScannerChoice {
    fn from(wire: Choice) -> Self {
        let counting = match wire.counting {
            WireCounting::Primary => Counting::Primary,
            WireCounting::Union => Counting::Union,
            WireCounting::Intersection => Counting::Intersection,
        };
        Self { scanners: wire.scanners, counting }
    }
}

/// A scanner that cannot be reached, in the words of the APIs: who asks may correct its registration.
pub(in crate::api) fn unreachable(error: &AdapterError) -> Error {
    Error::Invalid(error.to_string())
}

/// Registers a scanner after it has said what it can do; whether it is new.
pub(in crate::api) async fn put(
    app: &App,
    caller: &Caller,
    name: &str,
    change: &ScannerChange,
) -> Result<bool, Error> {
    app.registry.may_change_scanners(caller)?;
    if !change.disabled {
        let credentials = match &change.credentials {
            Some(new) => new.clone(),
            None => known_credentials(app, name).await?,
        };
        app.scanner.probe(&change.url, credentials).await.map_err(|error| unreachable(&error))?;
    }
    app.registry.put_scanner(caller, name, change).await
}

async fn known_credentials(app: &App, name: &str) -> Result<ScannerCredentials, Error> {
    let known = app.registry.scanners().await?;
    let known = known.iter().find(|scanner| scanner.name.to_lowercase() == name.to_lowercase());
    known.map_or(Ok(ScannerCredentials::None), |scanner| app.registry.credentials_of(scanner))
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
) -> Result<Json<Vec<Scanner>>, Problem> {
    Ok(Json(app.registry.list_scanners(&caller).await?.into_iter().map(Scanner::from).collect()))
}

pub(super) async fn keep(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(name): Path<String>,
    Body(body): Body<Change>,
) -> Result<StatusCode, Problem> {
    let change = ScannerChange {
        description: body.description,
        url: body.url,
        credentials: body.credentials.map(ScannerCredentials::from),
        disabled: body.disabled,
    };
    put(&app, &caller, &name, &change).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    app.registry.delete_scanner(&caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a scanner says of itself now.
pub(super) async fn metadata(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    app.registry.may_change_scanners(&caller)?;
    let known = app.registry.scanners().await?;
    let scanner = known.iter().find(|scanner| scanner.name == name).ok_or(Error::NotFound("scanner"))?;
    let credentials = app.registry.credentials_of(scanner)?;
    let metadata = app.scanner.probe(&scanner.url, credentials).await.map_err(|error| unreachable(&error))?;
    Ok(Json(metadata).into_response())
}

pub(super) async fn system_choice(
    State(app): State<Arc<App>>,
    SignedIn(_): SignedIn,
) -> Result<Json<InForce>, Problem> {
    Ok(Json(app.registry.scanners_in(None).await?.into()))
}

pub(super) async fn choose(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Body(body): Body<Choice>,
) -> Result<StatusCode, Problem> {
    app.registry.choose_scanners(&caller, Some(&body.into())).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn choose_none(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
) -> Result<StatusCode, Problem> {
    app.registry.choose_scanners(&caller, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn project_choice(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(project): Path<String>,
) -> Result<Json<InForce>, Problem> {
    Ok(Json(app.registry.project_scanners(&caller, &ProjectRef::Name(project)).await?.into()))
}

pub(super) async fn choose_in_project(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(project): Path<String>,
    Body(body): Body<Choice>,
) -> Result<StatusCode, Problem> {
    let project = ProjectRef::Name(project);
    app.registry.choose_project_scanners(&caller, &project, Some(&body.into())).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn choose_none_in_project(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(project): Path<String>,
) -> Result<StatusCode, Problem> {
    app.registry.choose_project_scanners(&caller, &ProjectRef::Name(project), None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What all scanners say of an image, each finding with who said it.
pub(super) async fn findings(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(path): Path<Named>,
) -> Result<Response, Problem> {
    let (_, manifest) = read(&app, &caller, &path).await?;
    let combined = app.scanner.combined(&manifest).await.map_err(report_error)?;
    Ok(Json(combined).into_response())
}

/// Takes what another scanner said of an image, a bill of materials of it, or a VEX document about it.
pub(super) async fn upload(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path((project, repository, named, name)): Path<(String, String, String, String)>,
    request: Request,
) -> Result<StatusCode, Problem> {
    check_name(&name)?;
    let (grant, manifest) = may_push(&app, &caller, &(project, repository, named)).await?;
    let too_large = || Error::TooLarge(format!("a result has at most {MAX_RESULT_BYTES} bytes"));
    let limit = usize::try_from(MAX_RESULT_BYTES).unwrap_or(usize::MAX);
    let body = Limited::new(request.into_body(), limit).collect().await.map_err(|_| too_large())?;
    let bytes = body.to_bytes();
    let parsed: oci::MediaType = manifest
        .media_type
        .parse()
        .map_err(|_| Error::Internal(format!("the media type of {}", manifest.digest)))?;
    let image = oci::Manifest::parse(&parsed, &manifest.bytes).map_err(Error::from)?;
    if !image.children.is_empty() {
        let text = "this is an index: name the image that was scanned by its digest";
        return Err(Error::Invalid(text.to_owned()).into());
    }
    let (digest, document) = (manifest.digest, bytes.clone());
    let config = image.config.map(|config| config.digest);
    let checked = tokio::task::spawn_blocking(move || check_upload(&document, &digest, config.as_ref()));
    let uploaded = checked
        .await
        .map_err(|error| Error::Internal(error.to_string()))?
        .map_err(|error| Error::Invalid(error.to_string()))?;
    let known_by = if matches!(uploaded, Uploaded::Result(_)) { SCAN_RESULT } else { STATEMENT };
    let result = ScanResult { known_by, name: &name, media_type: uploaded.media_type() };
    app.registry.upload_scan_result(&caller, &grant, &manifest, &result, bytes).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn take_back(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path((project, repository, named, name)): Path<(String, String, String, String)>,
) -> Result<StatusCode, Problem> {
    let (grant, manifest) = may_push(&app, &caller, &(project, repository, named)).await?;
    app.registry.delete_scan_result(&caller, &grant, &manifest, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn check_name(name: &str) -> Result<(), Error> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 64 || !name.chars().all(good) {
        let text = "a result's name has 1 to 64 letters, digits, `.`, `_` and `-`";
        return Err(Error::Invalid(text.to_owned()));
    }
    if name.eq_ignore_ascii_case(OWN_SCANNER) {
        return Err(Error::Invalid(format!("`{OWN_SCANNER}` is the registry's own scanner")));
    }
    Ok(())
}
