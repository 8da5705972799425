//! What handlers take from a request: the caller, values of path and query, a JSON body. What is malformed is a
//! `Problem` that names it.

use std::sync::Arc;

use axum::extract::{self, FromRequest, FromRequestParts, Request};
use http::HeaderName;
use http::request::Parts;
use http_body::Body as _;
use http_body_util::{BodyExt as _, Limited};
use registry::{Caller, Error};
use serde::de::DeserializeOwned;

use super::denials::Asked;
use super::problem::Problem;
use crate::app::App;
use crate::http::RequestContext;

/// The caller of a request. A token of the distribution API is no credential here.
pub(super) struct By(pub(super) Caller);

impl FromRequestParts<Arc<App>> for By {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let context = parts.extensions.get::<RequestContext>().cloned();
        let caller = app.caller(context.as_ref(), &parts.headers).await?;
        if caller.principal.scope.is_some() {
            return Err(Error::from(registry::Refusal::SignIn { scope: String::new() }).into());
        }
        if let Some(asked) = parts.extensions.get::<Asked>() {
            asked.by(app, &caller);
        }
        // What another replica has just made is there for this request, too. Without the database what is known will
        // do for reading.
        if let Err(error) = app.registry.access().refresh(0).await {
            tracing::warn!(%error, "answered from access facts that could not be compared");
        }
        Ok(Self(caller))
    }
}

/// A signed-in caller; anybody else is asked to sign in.
pub(super) struct SignedIn(pub(super) Caller);

impl FromRequestParts<Arc<App>> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let By(caller) = By::from_request_parts(parts, app).await?;
        if caller.principal.is_signed_in() {
            return Ok(Self(caller));
        }
        Err(Error::from(registry::Refusal::SignIn { scope: String::new() }).into())
    }
}

/// The values of the path.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let extract::Path(values) = extract::Path::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Error::Invalid(rejection.body_text()))?;
        Ok(Self(values))
    }
}

/// The parameters of the query.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let extract::Query(values) = extract::Query::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Error::Invalid(rejection.body_text()))?;
        Ok(Self(values))
    }
}

/// A JSON body, bounded; what does not fit is named by its path.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let limit = usize::try_from(app.config.limits.api_body.bytes()).unwrap_or(usize::MAX);
        let collected = Limited::new(request.into_body(), limit).collect().await;
        let bytes = collected.map_err(|_| Error::TooLarge(format!("a request has at most {limit} bytes")))?;
        let bytes = bytes.to_bytes();
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut reader)
            .map_err(|error| Error::Invalid(format!("`{}`: {}", error.path(), error.inner())))?;
        reader.end().map_err(|error| Error::Invalid(error.to_string()))?;
        Ok(Self(value))
    }
}

/// The same where a request may have none.
pub(super) struct OptionalBody<T>(pub(super) T);

impl<T: DeserializeOwned + Default> FromRequest<Arc<App>> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        if request.body().is_end_stream() {
            return Ok(Self(T::default()));
        }
        let Body(value) = Body::from_request(request, app).await?;
        Ok(Self(value))
    }
}

/// Total number of entries of a list.
pub(super) const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");
