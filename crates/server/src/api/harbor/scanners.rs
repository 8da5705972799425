//! `/scanners` and the scanner of a project: Harbor has one scanner each, ours is one of them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use registry::Error;
use registry::admin::{
    Counting, OWN_SCANNER, RegisteredScanner, ScannerChange, ScannerChoice, ScannerCredentials,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::projects::project_ref;
use crate::api::extract::{Body, By, Path, SignedIn};
use crate::api::problem::Problem;
use crate::api::v1::scanners::{put, unreachable};
use crate::app::App;

/// Our own scanner: a fixed UUID, by which clients name it.
const OWN: &str = "b0dded00-5ca4-4000-8000-000000000001";

/// A registration, or a part of one.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Change {
    name: Option<String>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    url: String,
    /// `Basic`, `Bearer`, `X-ScannerAdapter-API-Key`; empty: none.
    #[serde(default)]
    auth: String,
    /// `USER:PASSWORD`, a token, a key.
    #[serde(default)]
    access_credential: String,
    #[serde(default, rename = "skip_certVerify")]
    skip_verification: bool,
    #[serde(default)]
    disabled: bool,
}

impl Change {
    fn credentials(&self) -> Result<ScannerCredentials, Error> {
        let secret = self.access_credential.clone();
        Ok(match self.auth.as_str() {
            "" => ScannerCredentials::None,
            "Basic" => {
                let (user, password) = secret.split_once(':').ok_or_else(|| {
                    Error::Invalid("`access_credential` of Basic is `USER:PASSWORD`".to_owned())
                })?;
                ScannerCredentials::Basic { user: user.to_owned(), password: password.to_owned() }
            }
            "Bearer" => ScannerCredentials::Bearer(secret),
            "X-ScannerAdapter-API-Key" => ScannerCredentials::ApiKey(secret),
            other => return Err(Error::Invalid(format!("`auth` is `{other}`, not Basic, Bearer or a key"))),
        })
    }

    fn change(&self) -> Result<ScannerChange, Error> {
        if self.skip_verification {
            let text = "certificates are always verified; add the scanner's authority with `scan.ca_file`";
            return Err(Error::Invalid(text.to_owned()));
        }
        Ok(ScannerChange {
            description: self.description.clone(),
            url: self.url.clone(),
            credentials: Some(self.credentials()?),
            disabled: self.disabled,
        })
    }

    fn named(&self) -> Result<&str, Error> {
        self.name.as_deref().ok_or_else(|| Error::Invalid("`name` is missing".to_owned()))
    }
}

/// The scanner that a project is to use.
#[derive(Debug, Deserialize)]
pub(super) struct Chosen {
    uuid: String,
}

/// What of a registration is to be changed alone.
#[derive(Debug, Deserialize)]
pub(super) struct Preferred {
    is_default: bool,
}

fn own(app: &App, is_default: bool) -> Value {
    let url = app.config.server.external_url.as_ref();
    json!({
        "uuid": OWN,
        "name": OWN_SCANNER,
        "description": "The registry's own scanner",
        "url": url.map_or_else(|| "http://localhost".to_owned(), ToString::to_string),
        "disabled": false,
        "is_default": is_default,
        "auth": "",
        "skip_certVerify": false,
        "use_internal_addr": false,
        "adapter": "Bonded",
        "vendor": "Bonded",
        "version": env!("CARGO_PKG_VERSION"),
        "health": "healthy",
        "capabilities": { "support_vulnerability": true, "support_sbom": true },
    })
}

fn other(scanner: &RegisteredScanner, is_default: bool) -> Value {
    let auth = match scanner.credentials.as_str() {
        "basic" => "Basic",
        "bearer" => "Bearer",
        "api_key" => "X-ScannerAdapter-API-Key",
        _ => "",
    };
    json!({
        "uuid": scanner.uuid,
        "name": scanner.name,
        "description": scanner.description,
        "url": scanner.url,
        "disabled": scanner.disabled,
        "is_default": is_default,
        "auth": auth,
        "skip_certVerify": false,
        "use_internal_addr": false,
        "create_time": scanner.created_at,
        "update_time": scanner.updated_at,
    })
}

/// The name of a scanner by its UUID.
async fn name_of(app: &App, uuid: &str) -> Result<String, Error> {
    if uuid == OWN {
        return Ok(OWN_SCANNER.to_owned());
    }
    Ok(registered(app, uuid).await?.name)
}

async fn registered(app: &App, uuid: &str) -> Result<RegisteredScanner, Error> {
    let known = app.registry.scanners().await?;
    known.into_iter().find(|scanner| scanner.uuid == uuid).ok_or(Error::NotFound("scanner"))
}

fn first(choice: &ScannerChoice) -> &str {
    choice.scanners.first().map_or(OWN_SCANNER, String::as_str)
}

fn one(name: String) -> ScannerChoice {
    // With ours alone, results that were uploaded count too.
    let counting = if name == OWN_SCANNER { Counting::Union } else { Counting::Primary };
    ScannerChoice { scanners: vec![name], counting }
}

async fn all(app: &App, caller: &registry::Caller) -> Result<Vec<Value>, Error> {
    let (choice, _) = app.registry.scanners_in(None).await?;
    let usual = first(&choice);
    let others = app.registry.list_scanners(caller).await?;
    let others = others.iter().map(|scanner| other(scanner, scanner.name == usual));
    Ok(std::iter::once(own(app, usual == OWN_SCANNER)).chain(others).collect())
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
) -> Result<Json<Vec<Value>>, Problem> {
    Ok(Json(all(&app, &caller).await?))
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Body(body): Body<Change>,
) -> Result<Response, Problem> {
    let name = body.named()?;
    app.registry.may_change_scanners(&caller)?;
    let known = app.registry.scanners().await?;
    if known.iter().any(|scanner| scanner.name.eq_ignore_ascii_case(name)) {
        return Err(Error::Conflict(format!("there is a scanner `{name}` already")).into());
    }
    put(&app, &caller, name, &body.change()?).await?;
    let known = app.registry.scanners().await?;
    let uuid = known.into_iter().find(|scanner| scanner.name == name).map(|scanner| scanner.uuid);
    let place = format!("/api/v2.0/scanners/{}", uuid.unwrap_or_default());
    Ok((StatusCode::CREATED, [(LOCATION, place)]).into_response())
}

pub(super) async fn ping(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Body(body): Body<Change>,
) -> Result<StatusCode, Problem> {
    app.registry.may_change_scanners(&caller)?;
    app.scanner.probe(&body.url, body.credentials()?).await.map_err(|error| unreachable(&error))?;
    Ok(StatusCode::OK)
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(uuid): Path<String>,
) -> Result<Json<Value>, Problem> {
    let found = all(&app, &caller).await?.into_iter().find(|scanner| scanner["uuid"] == uuid);
    Ok(Json(found.ok_or(Error::NotFound("scanner"))?))
}

pub(super) async fn change(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(uuid): Path<String>,
    Body(body): Body<Change>,
) -> Result<StatusCode, Problem> {
    let known = registered(&app, &uuid).await?;
    if body.name.as_ref().is_some_and(|name| *name != known.name) {
        let text = "a scanner keeps its name, by which findings name it; register another one";
        return Err(Error::Invalid(text.to_owned()).into());
    }
    let mut change = body.change()?;
    // Harbor's user interface sends a secret only when it is to be another one.
    if body.access_credential.is_empty() && !body.auth.is_empty() {
        change.credentials = None;
    }
    put(&app, &caller, &known.name, &change).await?;
    Ok(StatusCode::OK)
}

pub(super) async fn make_default(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(uuid): Path<String>,
    Body(body): Body<Preferred>,
) -> Result<StatusCode, Problem> {
    let name = name_of(&app, &uuid).await?;
    if !body.is_default {
        let text = "make another scanner the default one instead";
        return Err(Error::Invalid(text.to_owned()).into());
    }
    app.registry.choose_scanners(&caller, Some(&one(name))).await?;
    Ok(StatusCode::OK)
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(uuid): Path<String>,
) -> Result<Json<Value>, Problem> {
    app.registry.may_change_scanners(&caller)?;
    let known = registered(&app, &uuid).await?;
    let (choice, _) = app.registry.scanners_in(None).await?;
    if first(&choice) == known.name {
        let text = "this is the default scanner; make another one the default before";
        return Err(Error::Conflict(text.to_owned()).into());
    }
    app.registry.delete_scanner(&caller, &known.name).await?;
    Ok(Json(other(&known, false)))
}

pub(super) async fn metadata(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(uuid): Path<String>,
) -> Result<Response, Problem> {
    app.registry.may_change_scanners(&caller)?;
    if uuid == OWN {
        return Ok(Json(upstream::adapter::serve::metadata(env!("CARGO_PKG_VERSION"), None)).into_response());
    }
    let known = registered(&app, &uuid).await?;
    let credentials = app.registry.credentials_of(&known)?;
    let said = app.scanner.probe(&known.url, credentials).await.map_err(|error| unreachable(&error))?;
    Ok(Json(said).into_response())
}

pub(super) async fn of_project(
    State(app): State<Arc<App>>,
    By(caller): By,
    headers: HeaderMap,
    Path(project): Path<String>,
) -> Result<Json<Value>, Problem> {
    let project = app.registry.visible_project(&caller, &project_ref(&project, &headers))?;
    let (choice, _) = app.registry.scanners_in(Some(project.id)).await?;
    let (usual, _) = app.registry.scanners_in(None).await?;
    let (name, usual) = (first(&choice), first(&usual));
    let known = app.registry.scanners_shown_to(&caller).await?;
    let known = known.iter().find(|scanner| scanner.name == name);
    Ok(Json(known.map_or_else(|| own(&app, usual == OWN_SCANNER), |it| other(it, usual == it.name))))
}

pub(super) async fn choose(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    Path(project): Path<String>,
    Body(body): Body<Chosen>,
) -> Result<StatusCode, Problem> {
    let project = project_ref(&project, &headers);
    app.registry.visible_project(&caller, &project)?;
    let choice = one(name_of(&app, &body.uuid).await?);
    app.registry.choose_project_scanners(&caller, &project, Some(&choice)).await?;
    Ok(StatusCode::OK)
}

pub(super) async fn candidates(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    Path(project): Path<String>,
) -> Result<Json<Vec<Value>>, Problem> {
    app.registry.visible_project(&caller, &project_ref(&project, &headers))?;
    Ok(Json(all(&app, &caller).await?))
}
