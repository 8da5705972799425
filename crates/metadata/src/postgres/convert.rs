//! Values to PostgreSQL's wire and back, and what its errors mean.

use crate::error::{ConflictReason, StoreError};
use crate::value::{Row, Value};
use bytes::{Bytes, BytesMut};
use std::error::Error;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// What `bonded_expect` raises.
const UNMET: &str = "BD001";

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(value) => match *ty {
                Type::INT8 => value.to_sql(ty, out),
                Type::INT4 => i32::try_from(*value)?.to_sql(ty, out),
                Type::INT2 => i16::try_from(*value)?.to_sql(ty, out),
                Type::BOOL => (*value != 0).to_sql(ty, out),
                _ => Err(format!("an integer where {ty} is expected").into()),
            },
            Self::Text(value) => match *ty {
                Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => {
                    value.to_sql(ty, out)
                }
                _ => Err(format!("a text where {ty} is expected").into()),
            },
            Self::Bytes(value) => match *ty {
                Type::BYTEA => value.as_ref().to_sql(ty, out),
                _ => Err(format!("bytes where {ty} is expected").into()),
            },
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// Whether a column of this type can be read.
pub(super) fn is_readable(ty: &Type) -> bool {
    matches!(
        *ty,
        Type::INT8
            | Type::INT4
            | Type::INT2
            | Type::BOOL
            | Type::TEXT
            | Type::VARCHAR
            | Type::BPCHAR
            | Type::NAME
            | Type::BYTEA
    )
}

/// A row as it came.
pub(super) fn row(name: &'static str, row: &tokio_postgres::Row) -> Result<Row, StoreError> {
    let error = |error: tokio_postgres::Error| StoreError::inconsistent(format!("{name}: {error}"));
    let mut values = Vec::with_capacity(row.len());
    for (at, column) in row.columns().iter().enumerate() {
        let value = match *column.type_() {
            Type::INT8 => row.try_get::<_, Option<i64>>(at).map(Value::from),
            Type::INT4 => row.try_get::<_, Option<i32>>(at).map(Value::from),
            Type::INT2 => row.try_get::<_, Option<i16>>(at).map(|v| v.map(i32::from).into()),
            Type::BOOL => row.try_get::<_, Option<bool>>(at).map(Value::from),
            Type::BYTEA => row.try_get::<_, Option<&[u8]>>(at).map(|v| v.map(Bytes::copy_from_slice).into()),
            _ => row.try_get::<_, Option<&str>>(at).map(Value::from),
        };
        values.push(value.map_err(error)?);
    }
    Ok(Row::new(name, values))
}

/// What an error means for what was asked.
#[derive(Debug)]
pub(super) enum Failure {
    /// The state is not as expected.
    Conflict(ConflictReason),
    /// The connection is gone; whether the server did what was asked is unknown.
    Lost(String),
    /// The server refused, and the session lives.
    Store(StoreError),
}

/// Classifies an error of the driver; `at` names what was asked.
pub(super) fn classify(error: &tokio_postgres::Error, at: &str) -> Failure {
    let Some(db) = error.as_db_error() else {
        // Encoding fails before anything is sent and leaves the connection whole.
        let encoding = error.source().is_some_and(|source| !source.is::<std::io::Error>());
        return if encoding && !error.is_closed() {
            Failure::Store(StoreError::inconsistent(format!("{at}: {error}: {:?}", error.source())))
        } else {
            Failure::Lost(format!("{at}: {error}"))
        };
    };
    let said = format!("{at}: {} ({})", db.message(), db.code().code());
    match db.code() {
        code if code.code() == UNMET => Failure::Conflict(ConflictReason::Expectation),
        &SqlState::UNIQUE_VIOLATION => Failure::Conflict(ConflictReason::Unique),
        &SqlState::FOREIGN_KEY_VIOLATION => Failure::Conflict(ConflictReason::ForeignKey),
        &SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED => {
            Failure::Conflict(ConflictReason::Serialization)
        }
        &SqlState::DISK_FULL => Failure::Store(StoreError::NoSpace),
        // What the session has prepared is no longer good: another replica has migrated, or a pooler has changed the
        // server behind it. A new session prepares anew.
        &SqlState::INVALID_SQL_STATEMENT_NAME => Failure::Lost(said),
        &SqlState::FEATURE_NOT_SUPPORTED if db.message().starts_with("cached plan") => Failure::Lost(said),
        // The server ends the session, or is starting or stopping.
        code if code.code().starts_with("57P") || code.code().starts_with("08") => Failure::Lost(said),
        &SqlState::READ_ONLY_SQL_TRANSACTION
        | &SqlState::QUERY_CANCELED
        | &SqlState::LOCK_NOT_AVAILABLE
        | &SqlState::IN_FAILED_SQL_TRANSACTION => Failure::Store(StoreError::Unavailable { reason: said }),
        // Too many connections, no memory; an I/O error of the server.
        code if code.code().starts_with("53") || code.code().starts_with("58") => {
            Failure::Store(StoreError::Unavailable { reason: said })
        }
        _ => Failure::Store(StoreError::Inconsistent { what: said }),
    }
}
