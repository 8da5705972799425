//! `GET /v2/`: does the server speak this API, and is the caller signed in? Without credentials always a challenge:
//! it is what makes clients send them.

use axum::response::Response;
use http::StatusCode;
use registry::{Error, Refusal};

use super::reply::Reply;
use super::{Call, Failure};

pub(super) fn answer(call: &Call<'_>) -> Result<Response, Failure> {
    let principal = &call.caller.principal;
    if !principal.is_signed_in() && principal.scope.is_none() {
        return Err(Error::from(Refusal::SignIn { scope: String::new() }).into());
    }
    Ok(Reply::json(StatusCode::OK, "application/json", &serde_json::json!({})).done())
}
