//! Bringing a PostgreSQL database up to date: each migration in a transaction with its row, under an advisory lock, so
//! that replicas that start together take turns.

use crate::dialect;
use crate::engine::Dialect;
use crate::error::StoreError;
use crate::migrate::{TABLE, pending};
use deadpool_postgres::Pool;

/// The advisory lock of migrations: "bonded" in ASCII.
const LOCK: i64 = 0x626f_6e64_6564;

/// Applies what is pending.
pub(super) async fn migrate(pool: &Pool) -> Result<(), StoreError> {
    let mut client =
        pool.get().await.map_err(|error| StoreError::unavailable(format!("connect: {error}")))?;
    let error = |error: tokio_postgres::Error| match super::classify(&error, "migrate") {
        super::Failure::Store(error) => error,
        super::Failure::Lost(reason) => StoreError::Unavailable { reason },
        super::Failure::Conflict(reason) => StoreError::inconsistent(format!("migrate: {reason:?}")),
    };
    loop {
        let transaction = client.transaction().await.map_err(error)?;
        transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(error)?;
        transaction.batch_execute(TABLE).await.map_err(error)?;
        let rows =
            transaction.query("SELECT number, checksum FROM schema_migration", &[]).await.map_err(error)?;
        let applied: Vec<(i64, String)> = rows
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect::<Result<_, tokio_postgres::Error>>()
            .map_err(error)?;
        let Some(next) = pending(&applied)?.first().copied() else {
            transaction.commit().await.map_err(error)?;
            return Ok(());
        };
        transaction.batch_execute(&dialect::migration(next.text, Dialect::Postgres)).await.map_err(error)?;
        transaction
            .execute(
                "INSERT INTO schema_migration (number, name, checksum) VALUES ($1, $2, $3)",
                &[&next.number, &next.name, &next.checksum()],
            )
            .await
            .map_err(error)?;
        transaction.commit().await.map_err(error)?;
        tracing::info!(migration = next.name, "migrated");
    }
}
