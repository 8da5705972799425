//! `/api/v1/audit`: the sealed record of who did what, in the order of its numbers. Whoever asks again with the last
//! number it saw misses nothing and sees nothing twice.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use data_encoding::HEXLOWER;
use metadata::model::seal::SealedRow;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Limit;
use crate::api::extract::{Query, SignedIn};
use crate::api::problem::Problem;
use crate::app::App;

/// Which records.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// Records after this number.
    #[serde(default)]
    after: i64,
    /// Records of a page; 100 when not said.
    #[serde(default)]
    limit: Limit,
}

/// A sealed audit record.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Record {
    /// Its number, from 1 without gaps.
    position: i64,
    id: i64,
    /// When (RFC 3339).
    at: String,
    principal_id: Option<i64>,
    principal: String,
    /// Such as `manifest.put`.
    action: String,
    project_id: Option<i64>,
    target: String,
    /// `done`, `denied` or `failed`.
    outcome: String,
    details: serde_json::Value,
    address: Option<String>,
    request_id: Option<String>,
    /// The hash of all records up to and with this one, hexadecimal.
    chain: String,
}

impl From<SealedRow> for Record {
    fn from(sealed: SealedRow) -> Self {
        let row = sealed.row;
        Self {
            position: sealed.position,
            id: row.id,
            at: row.at.to_string(),
            principal_id: row.principal_id.map(metadata::model::PrincipalId::get),
            principal: row.principal,
            action: row.action,
            project_id: row.project.map(metadata::model::ProjectId::get),
            target: row.target,
            outcome: row.outcome,
            details: serde_json::from_str(&row.details).unwrap_or_default(),
            address: row.address,
            request_id: row.request_id,
            chain: HEXLOWER.encode(&sealed.chain),
        }
    }
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Query(page): Query<Page>,
) -> Result<Json<Vec<Record>>, Problem> {
    let limit = u32::try_from(page.limit.0).unwrap_or(u32::MAX);
    let records = app.registry.audit_after(&caller, page.after, limit).await?;
    Ok(Json(records.into_iter().map(Record::from).collect()))
}
