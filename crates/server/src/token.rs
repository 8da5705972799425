//! The token service: `GET` as Docker's clients ask, and the OAuth2 form by `POST`.

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Form, Json};
use http::header::{AUTHORIZATION, CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use registry::authn::token::{SERVICE, TokenAnswer};
use registry::authn::{TOKEN_USER, parse_scopes};
use registry::{Caller, Error, Principal};
use serde::Deserialize;
use serde_json::json;

use crate::app::App;
use crate::http::RequestContext;
use crate::routes::Routes;

/// Where the token service is.
const PATH: &str = "/service/token";

/// Longest query read, in bytes.
const MAX_QUERY_BYTES: usize = 16 * 1024;

/// The routes of the token service.
pub fn routes() -> Routes {
    Routes::new().add(Method::GET, PATH, get, None).add(Method::POST, PATH, post, None)
}

/// `GET /service/token?service=…&scope=…`
pub async fn get(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    context: Option<Extension<RequestContext>>,
    headers: HeaderMap,
) -> Response {
    let context = context.map(|Extension(context)| context);
    let outcome = async {
        let query = query.unwrap_or_default();
        if query.len() > MAX_QUERY_BYTES {
            return Err(Error::Invalid("the query is too long".to_owned()));
        }
        let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let all = |key: &'static str| {
            pairs.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
        };
        let Caller { principal, .. } = app.caller(context.as_ref(), &headers).await?;
        let scopes = parse_scopes(all("scope"))?;
        // Clients that know Basic only come here with the token that they were given: it is the one that they get.
        if let Some(token) = presented(&headers).filter(|_| principal.scope.is_some()) {
            return Ok(again(token, app.registry.store().now()));
        }
        let offline = all("offline_token").any(|value| value == "true");
        issue(&app, &principal, scopes, offline).await
    };
    render(outcome.await)
}

/// The access token that is given as a password.
fn presented(headers: &HeaderMap) -> Option<String> {
    let encoded = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let decoded = data_encoding::BASE64.decode(encoded.trim().as_bytes()).ok()?;
    let (user, token) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    (user == TOKEN_USER).then(|| token.to_owned())
}

/// A token that its holder has already; it says itself how long it lives.
fn again(token: String, now: metadata::Timestamp) -> TokenAnswer {
    TokenAnswer {
        access_token: token.clone(),
        token,
        expires_in: 60,
        issued_at: now.to_string(),
        refresh_token: None,
        scope: String::new(),
    }
}

/// The OAuth2 form.
#[derive(Debug, Deserialize)]
pub struct OAuth2 {
    grant_type: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    refresh_token: String,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    access_type: String,
}

/// `POST /service/token`
pub async fn post(State(app): State<Arc<App>>, request: Request) -> Response {
    let context = request.extensions().get::<RequestContext>().cloned();
    let form = <Form<OAuth2> as axum::extract::FromRequest<_>>::from_request(request, &app).await;
    let Ok(Form(form)) = form else {
        return render(Err(Error::Invalid("the body is not an OAuth2 token request".to_owned())));
    };
    let outcome = async {
        let address = context.as_ref().map_or_else(String::new, |context| context.client.to_string());
        let authenticator = app.registry.authenticator();
        let mut principal = match form.grant_type.as_str() {
            "password" => {
                let (id, _) = authenticator.verify_password(&form.username, &form.password, &address).await?;
                Principal { id: Some(id), name: form.username.as_str().into(), scope: None, address: None }
            }
            "refresh_token" => authenticator.redeem_refresh(&form.refresh_token).await?,
            _ => return Err(Error::Invalid("grant_type must be `password` or `refresh_token`".to_owned())),
        };
        principal.address = context.as_ref().map(|context| context.client);
        let scopes = parse_scopes([form.scope.as_str()])?;
        let offline = form.access_type == "offline" && form.grant_type == "password";
        let mut answer = issue(&app, &principal, scopes, offline).await?;
        if form.grant_type == "refresh_token" {
            answer.refresh_token = Some(form.refresh_token.clone());
        }
        Ok(answer)
    };
    render(outcome.await)
}

async fn issue(
    app: &App,
    principal: &Principal,
    scopes: Vec<registry::caller::ScopeEntry>,
    offline: bool,
) -> Result<TokenAnswer, Error> {
    // A token cannot be traded for one with more rights.
    if principal.scope.is_some() {
        return Err(Error::InvalidCredentials);
    }
    let authenticator = app.registry.authenticator();
    let mut answer = authenticator.issue(principal, scopes).await?;
    if offline {
        answer.refresh_token = authenticator.issue_refresh(principal).await?;
    }
    Ok(answer)
}

fn render(outcome: Result<TokenAnswer, Error>) -> Response {
    let failure = |status: StatusCode, code: &str, message: &str| {
        (status, Json(json!({ "errors": [{ "code": code, "message": message }] }))).into_response()
    };
    let mut response = match outcome {
        Ok(answer) => Json(answer).into_response(),
        Err(Error::Invalid(message)) => failure(StatusCode::BAD_REQUEST, "UNSUPPORTED", &message),
        Err(Error::TooManyAttempts { retry_after }) => {
            let message = Error::TooManyAttempts { retry_after }.to_string();
            let mut response = failure(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", &message);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
            response
        }
        Err(Error::InvalidCredentials) => {
            let mut response = failure(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "invalid credentials");
            let challenge = HeaderValue::from_str(&format!("Basic realm=\"{SERVICE}\""));
            response.headers_mut().extend(challenge.ok().map(|value| (WWW_AUTHENTICATE, value)));
            response
        }
        Err(Error::Unavailable) => failure(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "try again later"),
        Err(error) => {
            tracing::error!(?error, "a token could not be issued");
            failure(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "internal error")
        }
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
