//! `GET /v2/<name>/referrers/<digest>`

use axum::response::Response;
use http::StatusCode;
use metadata::model::referrers::ReferrerRow;
use oci::media_type::OCI_INDEX;
use oci::{Digest, Page, RepoName};
use registry::list::ReferrerPage;
use registry::{Error, Pull, Refusal};
use serde_json::{Value, json};

use super::reply::Reply;
use super::{Call, Failure, headers};

pub(super) async fn list(
    call: &Call<'_>,
    repo: &RepoName,
    subject: &Digest,
    artifact_types: &[String],
    page: &Page,
) -> Result<Response, Failure> {
    let registry = &call.app.registry;
    let found = match registry.access().grant::<Pull>(&call.caller.principal, repo).await {
        Ok(grant) => registry.list_referrers(&grant, subject, artifact_types, page).await?,
        // A project that does not exist has no referrers: so for whoever could read it if it did.
        Err(Error::Refused(Refusal::Hidden)) if registry.access().may_pull(&call.caller.principal, repo) => {
            ReferrerPage::default()
        }
        Err(error) => return Err(error.into()),
    };
    let manifests: Vec<Value> = found.rows.iter().map(descriptor).collect();
    let document = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests });
    let mut reply = Reply::json(StatusCode::OK, OCI_INDEX, &document);
    if !artifact_types.is_empty() {
        reply = reply.with(headers::OCI_FILTERS_APPLIED, "artifactType");
    }
    if let (true, Some(last)) = (found.more, found.rows.last()) {
        let (count, last) = (page.n.map(|n| n.to_string()), last.digest.to_string());
        let mut query: Vec<(&str, &str)> =
            artifact_types.iter().map(|text| ("artifactType", text.as_str())).collect();
        query.extend(count.as_deref().map(|count| ("n", count)));
        query.push(("last", &last));
        reply = reply.next(&format!("/v2/{}/referrers/{subject}", repo.asked()), &query);
    }
    Ok(reply.done())
}

fn descriptor(row: &ReferrerRow) -> Value {
    let mut item = json!({ "mediaType": row.media_type, "digest": row.digest, "size": row.size_bytes });
    if let Some(artifact_type) = &row.artifact_type {
        item["artifactType"] = Value::from(artifact_type.as_str());
    }
    if let Ok(Value::Object(annotations)) = serde_json::from_str(&row.annotations)
        && !annotations.is_empty()
    {
        item["annotations"] = Value::Object(annotations);
    }
    item
}
