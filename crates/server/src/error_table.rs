//! Every failure of a use case as each API answers it: one table for review, `tests/golden/errors.md`.

use std::fmt::Write as _;
use std::time::Duration;

use axum::body::to_bytes;
use axum::response::{IntoResponse as _, Response};
use http::header::{ALLOW, CONTENT_RANGE, LOCATION, RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use oci::{Digest, ErrorCode, ManifestError, MediaType, OperationError};
use registry::{Error, MissingReference, Refusal};
use serde_json::Value;

use crate::api::problem::Problem;
use crate::v2::error::{Failure, render};

#[path = "../tests/common/golden.rs"]
mod golden;

fn digest() -> Digest {
    Digest::sha256(b"")
}

/// The failure after this one, `None` after the last. Exhaustive: a new variant does not compile until it has a place.
fn after(error: &Error) -> Option<Error> {
    let scope = || "repository:acme/app:pull".to_owned();
    Some(match error {
        Error::Refused(Refusal::SignIn { .. }) => Refusal::InsufficientScope { scope: scope() }.into(),
        Error::Refused(Refusal::InsufficientScope { .. }) => Refusal::Hidden.into(),
        Error::Refused(Refusal::Hidden) => {
            Refusal::Denied { reason: "you may not push here".to_owned() }.into()
        }
        Error::Refused(Refusal::Denied { .. }) => Error::InvalidCredentials,
        Error::InvalidCredentials => Error::TooManyAttempts { retry_after: Duration::from_secs(30) },
        Error::TooManyAttempts { .. } => Error::NameUnknown,
        Error::NameUnknown => Error::ManifestUnknown,
        Error::ManifestUnknown => Error::BlobUnknown,
        Error::BlobUnknown => Error::UploadUnknown,
        Error::UploadUnknown => Error::RangeInvalid { received: 10 },
        Error::RangeInvalid { .. } => Error::DigestMismatch { expected: digest() },
        Error::DigestMismatch { .. } => Error::Size("Content-Length is not that of Content-Range".to_owned()),
        Error::Size(_) => Error::TooLarge("a blob has at most 10 bytes here".to_owned()),
        Error::TooLarge(_) => Error::ManifestInvalid(ManifestError::Schema1),
        Error::ManifestInvalid(ManifestError::Schema1) => Error::ManifestInvalid(ManifestError::MediaType(
            MediaType::from_header("text/plain").expect("a type"),
        )),
        Error::ManifestInvalid(ManifestError::MediaType(_)) => {
            Error::ManifestInvalid(ManifestError::Json("duplicate key".to_owned()))
        }
        Error::ManifestInvalid(ManifestError::Json(_)) => {
            Error::ManifestInvalid(ManifestError::Content("schemaVersion is not 2"))
        }
        Error::ManifestInvalid(_) => {
            let missing = MissingReference { digest: digest(), problem: "unknown".to_owned() };
            Error::ManifestReferences(vec![missing])
        }
        Error::ManifestReferences(_) => Error::BlobInUse { by: digest() },
        Error::BlobInUse { .. } => Error::Conflict("a project of this name exists".to_owned()),
        Error::Conflict(_) => Error::Invalid("a name has lower-case letters".to_owned()),
        Error::Invalid(_) => Error::NotFound("project"),
        Error::NotFound(_) => Error::LimitReached("you have 100 unfinished uploads".to_owned()),
        Error::LimitReached(_) => Error::NoSpace,
        Error::NoSpace => Error::Unavailable,
        Error::Unavailable => Error::BodyIncomplete,
        Error::BodyIncomplete => Error::Corrupt,
        Error::Corrupt => Error::WrongStorage("this storage belongs to another installation".to_owned()),
        Error::WrongStorage(_) => Error::Internal("secret details".to_owned()),
        Error::Internal(_) => return None,
    })
}

/// Each failure once.
fn every() -> Vec<Error> {
    let first = Error::from(Refusal::SignIn { scope: "repository:acme/app:pull".to_owned() });
    let mut all = vec![first];
    while let Some(next) = all.last().and_then(after) {
        all.push(next);
    }
    all
}

/// Failures that only the distribution API has.
fn of_protocol() -> Vec<(&'static str, Failure)> {
    let location = "/v2/acme/app/blobs/uploads/1".to_owned();
    vec![
        ("no such path", Failure::Operation(OperationError::NotFound)),
        ("another method", Failure::Operation(OperationError::MethodNotAllowed("GET, HEAD"))),
        (
            "malformed upload id",
            Failure::Operation(OperationError::Invalid(ErrorCode::BlobUploadUnknown, "unknown".to_owned())),
        ),
        (
            "malformed tag",
            Failure::Operation(OperationError::Invalid(ErrorCode::TagInvalid, "`.x` is no tag".to_owned())),
        ),
        ("range outside the blob", Failure::Unsatisfiable(10)),
        ("chunk out of order", Failure::UploadRange { location, received: 10 }),
    ]
}

/// Headers that tell a client what to do.
fn advice(response: &Response) -> String {
    let names = [ALLOW, CONTENT_RANGE, RANGE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE];
    let shown = names.iter().filter_map(|name| {
        let value = response.headers().get(name)?.to_str().ok()?;
        Some(format!("`{name}: {value}`"))
    });
    shown.collect::<Vec<_>>().join("<br>")
}

async fn document(response: Response) -> Value {
    let bytes = to_bytes(response.into_body(), 1 << 16).await.expect("body");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// Status, code, headers and message of the distribution API.
async fn distribution(failure: Failure) -> [String; 4] {
    let response = render(failure, "https://bonded.example/token", None);
    let (status, headers) = (response.status().as_u16().to_string(), advice(&response));
    let error = document(response).await["errors"][0].take();
    let text = |member: &str| error[member].as_str().expect("text").to_owned();
    [status, text("code"), headers, text("message")]
}

#[tokio::test]
async fn every_failure_has_its_answer_in_each_api() {
    let mut made = String::from(
        "<!-- made by `UPDATE_GOLDEN=1 cargo test --workspace --lib error_table` -->\n\n\
         | failure | `/v2/` | code | headers | message | `/api/v1` | its detail | `/api/v2.0` code | headers |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for (error, again) in every().into_iter().zip(every()) {
        let name = format!("{error:?}").replace(['"', '\n'], "");
        let problem = Problem::from(again);
        let harbor = problem.harbor();
        let headers = advice(&harbor);
        let code = document(harbor).await["errors"][0]["code"].take();
        let native = problem.into_response();
        let status = native.status().as_u16();
        let detail = document(native).await["detail"].take();
        let [v2, v2_code, v2_headers, message] = distribution(Failure::UseCase(error)).await;
        let (code, detail) = (code.as_str().expect("code"), detail.as_str().expect("detail"));
        let _ = writeln!(
            made,
            "| {name} | {v2} | {v2_code} | {v2_headers} | {message} | {status} | {detail} | {code} | {headers} |"
        );
    }
    for (name, failure) in of_protocol() {
        let [status, code, headers, message] = distribution(failure).await;
        let _ = writeln!(made, "| {name} | {status} | {code} | {headers} | {message} | – | – | – | – |");
    }
    assert!(!made.contains("secret details |"), "what is for the log is in an answer");
    golden::golden("tests/golden/errors.md", &made);
}
