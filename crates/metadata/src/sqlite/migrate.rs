//! Bringing a SQLite database up to date: each migration in an exclusive transaction with its row.

use crate::dialect;
use crate::engine::Dialect;
use crate::error::StoreError;
use crate::migrate::{TABLE, pending};
use rusqlite::Connection;

/// Brings a SQLite database up to date.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let error = |error: rusqlite::Error| match error {
        rusqlite::Error::SqliteFailure(cause, _) if cause.code == rusqlite::ErrorCode::DiskFull => {
            StoreError::NoSpace
        }
        rusqlite::Error::SqliteFailure(cause, _) if cause.code == rusqlite::ErrorCode::DatabaseBusy => {
            StoreError::unavailable("the database is in use")
        }
        other => StoreError::inconsistent(format!("migrate: {other}")),
    };
    connection.execute_batch(TABLE).map_err(error)?;
    // A table is rebuilt under a new name in a migration; the check before COMMIT replaces the enforcement.
    connection.pragma_update(None, "foreign_keys", false).map_err(error)?;
    let result = sqlite_pending(connection, error);
    connection.pragma_update(None, "foreign_keys", true).map_err(error)?;
    result
}

fn sqlite_pending(
    connection: &mut Connection,
    error: impl Fn(rusqlite::Error) -> StoreError + Copy,
) -> Result<(), StoreError> {
    loop {
        let transaction =
            connection.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive).map_err(error)?;
        let applied = {
            let mut read =
                transaction.prepare("SELECT number, checksum FROM schema_migration").map_err(error)?;
            let rows = read.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(error)?;
            rows.collect::<Result<Vec<(i64, String)>, _>>().map_err(error)?
        };
        let Some(next) = pending(&applied)?.first().copied() else { return Ok(()) };
        transaction.execute_batch(&dialect::migration(next.text, Dialect::Sqlite)).map_err(error)?;
        let broken = transaction.prepare("PRAGMA foreign_key_check").and_then(|mut check| check.exists([]));
        if broken.map_err(error)? {
            return Err(StoreError::inconsistent(format!("migration {} breaks foreign keys", next.name)));
        }
        transaction
            .execute(
                "INSERT INTO schema_migration (number, name, checksum) VALUES (?1, ?2, ?3)",
                (next.number, next.name, next.checksum()),
            )
            .map_err(error)?;
        transaction.commit().map_err(error)?;
        tracing::info!(migration = next.name, "migrated");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_that_fails_leaves_nothing_and_the_next_start_goes_on() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE job (x)").unwrap();
        assert!(migrate(&mut connection).is_err());
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'tx'", [], |r| r.get(0))
            .unwrap();
        assert_eq!(tables, 0, "half a migration was kept");
        connection.execute_batch("DROP TABLE job").unwrap();
        migrate(&mut connection).unwrap();
        migrate(&mut connection).unwrap();
    }
}
