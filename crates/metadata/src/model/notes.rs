//! Audit records that are written together: pulls, logins, denials. And who has such records in memory.

use super::audit::AuditRow;
use crate::error::StoreError;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use crate::{Timestamp, params};

crate::statements! {
    INSERT_MANY = Write {
        sqlite: "INSERT INTO audit (id, at, principal_id, principal, action, project_id, target, outcome, details, address, request_id, tx) SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'), json_extract(value, '$[6]'), json_extract(value, '$[7]'), json_extract(value, '$[8]'), json_extract(value, '$[9]'), json_extract(value, '$[10]'), ?2 FROM json_each(?1)",
        postgres: "INSERT INTO audit (id, at, principal_id, principal, action, project_id, target, outcome, details, address, request_id, tx) SELECT (v->>0)::int8, (v->>1)::int8, (v->>2)::int8, v->>3, v->>4, (v->>5)::int8, v->>6, v->>7, v->>8, v->>9, v->>10, $2 FROM jsonb_array_elements(CAST($1 AS TEXT)::jsonb) AS v",
    };
    SEEN = Write "INSERT INTO audit_writer (id, seen_at) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at";
    GONE = Write "DELETE FROM audit_writer WHERE id = $1";
    TAKE_GONE = Write "DELETE FROM audit_writer WHERE id = $1 AND seen_at = $2";
    SILENT = Scan "SELECT id, seen_at FROM audit_writer WHERE seen_at < $1 ORDER BY id LIMIT 100";
}

impl Store {
    /// Writers that were not heard of since `before`, with the time when they were.
    pub async fn silent_audit_writers(
        &self,
        before: Timestamp,
    ) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let rows = self.rows(&SILENT, &params![before]).await?;
        rows.iter().map(|row| Ok((row.text(0)?.to_owned(), row.id(1)?))).collect()
    }
}

/// Inserts records with one statement.
pub fn insert_many(tx: &mut Tx, rows: &[AuditRow]) -> Result<(), StoreError> {
    let list: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row.id,
                row.at.micros(),
                row.principal_id,
                &row.principal,
                &row.action,
                row.project,
                &row.target,
                &row.outcome,
                &row.details,
                &row.address,
                &row.request_id,
            )
        })
        .collect();
    let list = serde_json::to_string(&list).map_err(|error| StoreError::inconsistent(error.to_string()))?;
    let by = tx.id();
    let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    tx.step(&INSERT_MANY, params![list, by], Expect::Rows(count));
    Ok(())
}

/// Notes that a writer lives.
pub fn seen(tx: &mut Tx, writer: &str, at: Timestamp) {
    tx.step(&SEEN, params![writer, at], Expect::Rows(1));
}

/// Notes that a writer has written everything.
pub fn gone(tx: &mut Tx, writer: &str) {
    tx.step(&GONE, params![writer], Expect::Any);
}

/// Takes a silent writer away; somebody else's doing so is a conflict at `writer`.
pub fn take_silent(tx: &mut Tx, writer: &str, seen_at: Timestamp) {
    tx.step_or(&TAKE_GONE, params![writer, seen_at], Expect::Rows(1), "writer");
}
