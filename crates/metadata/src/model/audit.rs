//! Audit records: who did what to what, written in the transaction that did it.

use super::{PrincipalId, ProjectId};
use crate::error::StoreError;
use crate::tx::{Expect, Tx};
use crate::value::Row;
use crate::{Timestamp, params};

crate::statements! {
    INSERT = Write "INSERT INTO audit (id, at, principal_id, principal, action, project_id, target, outcome, details, address, request_id, tx) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Id; grows within a process.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// Who; none for anonymous callers and the system.
    pub principal_id: Option<PrincipalId>,
    /// Who, by name at that time.
    pub principal: String,
    /// What was done, such as `manifest.put`.
    pub action: String,
    /// In which project.
    pub project: Option<ProjectId>,
    /// To what, such as `project/repository:tag`.
    pub target: String,
    /// `done`, `denied` or `failed`.
    pub outcome: String,
    /// More, as JSON.
    pub details: String,
    /// The caller's address.
    pub address: Option<String>,
    /// The request's id.
    pub request_id: Option<String>,
}

pub(super) fn parse(row: &Row) -> Result<AuditRow, StoreError> {
    Ok(AuditRow {
        id: row.int(0)?,
        at: row.id(1)?,
        principal_id: row.opt_id(2)?,
        principal: row.text(3)?.to_owned(),
        action: row.text(4)?.to_owned(),
        project: row.opt_id(5)?,
        target: row.text(6)?.to_owned(),
        outcome: row.text(7)?.to_owned(),
        details: row.text(8)?.to_owned(),
        address: row.opt_text(9)?.map(str::to_owned),
        request_id: row.opt_text(10)?.map(str::to_owned),
    })
}

/// Records what this transaction does.
pub fn insert(tx: &mut Tx, row: &AuditRow) {
    let id = tx.id();
    tx.step(
        &INSERT,
        params![
            row.id,
            row.at,
            row.principal_id,
            &row.principal,
            &row.action,
            row.project,
            &row.target,
            &row.outcome,
            &row.details,
            row.address.as_deref(),
            row.request_id.as_deref(),
            id
        ],
        Expect::Rows(1),
    );
}
