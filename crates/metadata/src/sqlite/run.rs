//! Binding values, reading rows and classifying errors of SQLite: what writer, readers and migrations share.

use crate::error::{ConflictReason, StoreError};
use crate::statement::Statement;
use crate::value::{Row, Value};
use bytes::Bytes;
use rusqlite::ffi;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode};
use std::path::Path;

/// What an error of SQLite means.
#[derive(Debug)]
pub(super) enum Failure {
    Conflict(ConflictReason),
    Store(StoreError),
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Int(value) => ValueRef::Integer(*value),
            Value::Text(value) => ValueRef::Text(value.as_bytes()),
            Value::Bytes(value) => ValueRef::Blob(value),
        }))
    }
}

/// The statement from the connection's cache, bound.
fn bound<'c>(
    connection: &'c Connection,
    statement: &'static Statement,
    params: &[Value],
) -> rusqlite::Result<CachedStatement<'c>> {
    let mut prepared = connection.prepare_cached(statement.sqlite())?;
    for (at, value) in params.iter().enumerate() {
        prepared.raw_bind_parameter(at + 1, value)?;
    }
    Ok(prepared)
}

/// Runs a read.
pub(super) fn rows(
    connection: &Connection,
    statement: &'static Statement,
    params: &[Value],
) -> rusqlite::Result<Vec<Row>> {
    let mut prepared = bound(connection, statement, params)?;
    let columns = prepared.column_count();
    let mut cursor = prepared.raw_query();
    let mut rows = Vec::new();
    while let Some(row) = cursor.next()? {
        let mut values = Vec::with_capacity(columns);
        for column in 0..columns {
            values.push(match row.get_ref(column)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(value) => Value::Int(value),
                ValueRef::Text(value) => Value::Text(String::from_utf8_lossy(value).into_owned()),
                ValueRef::Blob(value) => Value::Bytes(Bytes::copy_from_slice(value)),
                ValueRef::Real(_) => {
                    let kind = rusqlite::types::Type::Real;
                    return Err(rusqlite::Error::InvalidColumnType(column, statement.name.to_owned(), kind));
                }
            });
        }
        rows.push(Row::new(statement.name, values));
    }
    Ok(rows)
}

/// Runs a `Write`; answers how many rows it changed.
pub(super) fn write(
    connection: &Connection,
    statement: &'static Statement,
    params: &[Value],
) -> rusqlite::Result<u64> {
    Ok(bound(connection, statement, params)?.raw_execute()? as u64)
}

/// Runs a `Check`; answers how many rows it found.
pub(super) fn count(
    connection: &Connection,
    statement: &'static Statement,
    params: &[Value],
) -> rusqlite::Result<u64> {
    let mut prepared = bound(connection, statement, params)?;
    let mut cursor = prepared.raw_query();
    let mut found = 0;
    while cursor.next()?.is_some() {
        found += 1;
    }
    Ok(found)
}

/// Says what an error means; `at` names where it happened, `dir` is where the file lies (none in memory).
pub(super) fn classify(error: &rusqlite::Error, at: &str, dir: Option<&Path>) -> Failure {
    let inconsistent = || Failure::Store(StoreError::inconsistent(format!("{at}: {error}")));
    let unavailable = || Failure::Store(StoreError::unavailable(format!("{at}: {error}")));
    let rusqlite::Error::SqliteFailure(cause, _) = error else { return inconsistent() };
    match (cause.code, cause.extended_code) {
        (ErrorCode::ConstraintViolation, extended) => match extended {
            ffi::SQLITE_CONSTRAINT_UNIQUE
            | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
            | ffi::SQLITE_CONSTRAINT_ROWID => Failure::Conflict(ConflictReason::Unique),
            ffi::SQLITE_CONSTRAINT_FOREIGNKEY => Failure::Conflict(ConflictReason::ForeignKey),
            _ => inconsistent(),
        },
        (ErrorCode::DiskFull, _) => Failure::Store(StoreError::NoSpace),
        (ErrorCode::SystemIoFailure, _) if dir.is_some_and(is_full) => Failure::Store(StoreError::NoSpace),
        (
            ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::ReadOnly
            | ErrorCode::CannotOpen
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted
            | ErrorCode::PermissionDenied,
            _,
        ) => unavailable(),
        _ => inconsistent(),
    }
}

/// The same for reads, where nothing conflicts.
pub(super) fn store_error(error: &rusqlite::Error, at: &str, dir: Option<&Path>) -> StoreError {
    match classify(error, at, dir) {
        Failure::Store(error) => error,
        Failure::Conflict(reason) => StoreError::inconsistent(format!("{at}: {reason:?}")),
    }
}

/// Less than a megabyte free: an I/O error is then the full disk's (shared memory and syncs report it so).
fn is_full(dir: &Path) -> bool {
    const LITTLE_BYTES: u64 = 1 << 20;
    rustix::fs::statvfs(dir).is_ok_and(|stat| stat.f_bavail.saturating_mul(stat.f_frsize) < LITTLE_BYTES)
}
