//! The distribution API: parse, authenticate, prove the right, ask one use case, render.
//!
//! One route for all of `/v2/`: names with slashes fit no path template, and one parser makes the name that both the
//! decision and the handler use.

mod base;
mod blobs;
mod catalog;
pub(crate) mod error;
mod headers;
mod manifests;
mod referrers;
mod reply;
mod tags;
mod uploads;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::Method as HttpMethod;
use http::header::IF_NONE_MATCH;
use oci::{Method, Operation, OperationError};
use registry::{Caller, Error, Note, Refusal};

use crate::app::App;
use crate::http::RequestContext;
use crate::routes::Routes;
use error::Failure;

/// One request, authenticated.
struct Call<'a> {
    app: &'a App,
    caller: Caller,
    head: bool,
    headers: &'a http::HeaderMap,
    context: Option<&'a RequestContext>,
}

/// Whether the request says that its sender has this content already (RFC 9110 §13.1.2). Digests identify content, so
/// weak tags are as good as strong ones, and a bare digest as a quoted one.
fn known(headers: &http::HeaderMap, etag: &str) -> bool {
    let items = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut items = items.flat_map(|value| value.split(',')).map(str::trim);
    items.any(|item| {
        let item = item.strip_prefix("W/").unwrap_or(item);
        item == "*" || item.trim_matches('"') == etag.trim_matches('"')
    })
}

/// The routes of the distribution API: one for axum, many for [`Operation::parse`].
pub fn routes() -> Routes {
    let served = Operation::TABLE.map(|(method, path)| {
        let method = match method {
            Method::Get => HttpMethod::GET,
            Method::Head => HttpMethod::HEAD,
            Method::Post => HttpMethod::POST,
            Method::Put => HttpMethod::PUT,
            Method::Patch => HttpMethod::PATCH,
            Method::Delete => HttpMethod::DELETE,
        };
        (method, path)
    });
    Routes::new().add_all(&["/v2", "/v2/", "/v2/{*rest}"], dispatch, &served)
}

/// Answers any request below `/v2`.
pub async fn dispatch(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let context = parts.extensions.get::<RequestContext>();
    let realm = || app.realm(context, &parts.uri, &parts.headers);
    let answer = answer(&app, &parts, context, body).await;
    let mut response = match answer {
        Ok(response) => response,
        Err(failure) => error::render(failure, &realm(), context),
    };
    response.headers_mut().insert(headers::API_VERSION, headers::REGISTRY_2);
    response
}

async fn answer(
    app: &App,
    parts: &http::request::Parts,
    context: Option<&RequestContext>,
    body: axum::body::Body,
) -> Result<Response, Failure> {
    let caller = app.caller(context, &parts.headers).await?;
    let parsed = match method(&parts.method) {
        Some(method) => Operation::parse(method, parts.uri.path(), parts.uri.query()),
        None => Err(OperationError::MethodNotAllowed("GET, HEAD, POST, PUT, PATCH, DELETE")),
    };
    let operation = match parsed {
        Ok(operation) => operation,
        // Who is not signed in learns nothing of which paths there are.
        Err(OperationError::NotFound) if !caller.principal.is_signed_in() => {
            return Err(Error::from(Refusal::SignIn { scope: String::new() }).into());
        }
        Err(error) => return Err(Failure::Operation(error)),
    };
    app.registry.access().check_reads_possible()?;
    let call = Call { app, caller, head: parts.method == HttpMethod::HEAD, headers: &parts.headers, context };
    let result = operate(&call, operation, body).await;
    if let Err(Failure::UseCase(Error::Refused(refusal))) = &result
        && !matches!(refusal, Refusal::SignIn { .. })
    {
        let note = Note {
            action: action(&parts.method),
            project: None,
            target: parts.uri.path(),
            outcome: "denied",
        };
        app.registry.notes().note(&call.caller, note).await?;
    }
    result
}

/// What was denied, in the words of the audit.
fn action(method: &HttpMethod) -> &'static str {
    match *method {
        HttpMethod::GET | HttpMethod::HEAD => "pull",
        HttpMethod::DELETE => "delete",
        _ => "push",
    }
}

async fn operate(call: &Call<'_>, operation: Operation, body: axum::body::Body) -> Result<Response, Failure> {
    match operation {
        Operation::Base => base::answer(call),
        Operation::Catalog(page) => catalog::list(call, &page).await,
        Operation::ListTags(repo, page) => tags::list(call, &repo, &page).await,
        Operation::PullManifest(repo, reference) => manifests::pull(call, &repo, &reference).await,
        Operation::PutManifest(repo, reference, tags) => {
            manifests::put(call, &repo, &reference, &tags, body).await
        }
        Operation::DeleteManifest(repo, reference) => manifests::delete(call, &repo, &reference).await,
        Operation::PullBlob(repo, digest) => blobs::pull(call, &repo, &digest).await,
        Operation::DeleteBlob(repo, digest) => blobs::delete(call, &repo, &digest).await,
        Operation::StartUpload { repo, digest, algorithm, mount } => {
            uploads::start(call, &repo, uploads::Start { digest, algorithm, mount }, body).await
        }
        Operation::UploadStatus(repo, id) => uploads::status(call, &repo, id).await,
        Operation::UploadChunk(repo, id) => uploads::chunk(call, &repo, id, body).await,
        Operation::FinishUpload(repo, id, digest) => uploads::finish(call, &repo, id, &digest, body).await,
        Operation::CancelUpload(repo, id) => uploads::cancel(call, &repo, id).await,
        Operation::ListReferrers { repo, subject, artifact_types, page } => {
            referrers::list(call, &repo, &subject, &artifact_types, &page).await
        }
    }
}

fn method(method: &HttpMethod) -> Option<Method> {
    Some(match *method {
        HttpMethod::GET => Method::Get,
        HttpMethod::HEAD => Method::Head,
        HttpMethod::POST => Method::Post,
        HttpMethod::PUT => Method::Put,
        HttpMethod::PATCH => Method::Patch,
        HttpMethod::DELETE => Method::Delete,
        _ => return None,
    })
}
