//! What may be asked again on another connection when one is lost: it changes nothing, or harmlessly twice.

use super::convert;
use crate::error::StoreError;
use crate::statement::{Access, Statement};
use crate::value::{Row, Value};
use deadpool_postgres::ClientWrapper;
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

const RESERVE: &str = "UPDATE id_block SET next = next + $1 WHERE name = 'id' RETURNING next - $1";
const HEALTH: &str = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'";

/// A repeatable question. The outer error is the connection's, the inner the answer's.
pub(super) trait Ask: Sync {
    /// What is answered.
    type Answer: Send;

    /// For errors and logs.
    fn name(&self) -> &'static str;

    /// Asks once.
    fn ask(
        &self,
        client: &ClientWrapper,
    ) -> impl Future<Output = Result<Result<Self::Answer, StoreError>, Error>> + Send;
}

/// A read.
pub(super) struct Query<'a> {
    pub(super) statement: &'static Statement,
    pub(super) params: &'a [Value],
}

impl Ask for Query<'_> {
    type Answer = Vec<Row>;

    fn name(&self) -> &'static str {
        self.statement.name
    }

    async fn ask(&self, client: &ClientWrapper) -> Result<Result<Vec<Row>, StoreError>, Error> {
        let bound: Vec<_> = self.params.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        let prepared = client.prepare_cached(self.statement.postgres()).await?;
        let rows = client.query(&prepared, &bound).await?;
        Ok(rows.iter().map(|row| convert::row(self.statement.name, row)).collect())
    }
}

/// A block of ids; a block that is lost on the way is a gap.
pub(super) struct ReserveIds(pub(super) i64);

impl Ask for ReserveIds {
    type Answer = i64;

    fn name(&self) -> &'static str {
        "reserve ids"
    }

    async fn ask(&self, client: &ClientWrapper) -> Result<Result<i64, StoreError>, Error> {
        let prepared = client.prepare_cached(RESERVE).await?;
        let row = client.query_one(&prepared, &[&self.0]).await?;
        Ok(row.try_get(0).map_err(|error| StoreError::inconsistent(format!("reserve ids: {error}"))))
    }
}

/// Whether the server takes writes.
pub(super) struct Health;

impl Ask for Health {
    type Answer = ();

    fn name(&self) -> &'static str {
        "health"
    }

    async fn ask(&self, client: &ClientWrapper) -> Result<Result<(), StoreError>, Error> {
        Ok(match client.query_one(HEALTH, &[]).await?.try_get(0) {
            Ok(false) => Ok(()),
            Ok(true) => Err(StoreError::unavailable("the database is read-only")),
            Err(error) => Err(StoreError::inconsistent(format!("health: {error}"))),
        })
    }
}

/// Whether the server understands a statement, and the program its columns.
pub(super) struct Prepare(pub(super) &'static Statement);

impl Ask for Prepare {
    type Answer = ();

    fn name(&self) -> &'static str {
        self.0.name
    }

    async fn ask(&self, client: &ClientWrapper) -> Result<Result<(), StoreError>, Error> {
        if matches!(self.0.access, Access::Write | Access::Check) {
            client.prepare(self.0.postgres_counted()).await?;
        }
        let prepared = client.prepare(self.0.postgres()).await?;
        let columns = prepared.columns().iter();
        let unreadable: Vec<_> = columns
            .filter(|column| !convert::is_readable(column.type_()))
            .map(|column| format!("{} is {}", column.name(), column.type_()))
            .collect();
        if unreadable.is_empty() {
            return Ok(Ok(()));
        }
        Ok(Err(StoreError::inconsistent(format!("{}: {}", self.0.name, unreadable.join(", ")))))
    }
}
