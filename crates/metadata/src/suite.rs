//! The executable contract of [`Engine`] and of what is built on it: jobs, outbox, schedules, leases. Each engine's
//! tests run all of it.
//!
//! Claims run one after the other on one migrated database; each works on rows of its own.

mod concurrency;
mod jobs;
mod reactions;
mod values;

use crate::clock::ManualClock;
use crate::engine::Engine;
use crate::ids::TxId;
use crate::random::SeededRandom;
use crate::statement::Statement;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use futures_util::future::LocalBoxFuture;
use std::sync::Arc;
use thiserror::Error;

crate::statements! {
    pub(crate) INSERT_PARENT = Write "INSERT INTO suite_parent (id) VALUES ($1)";
    pub(crate) DELETE_PARENT = Write "DELETE FROM suite_parent WHERE id = $1";
    pub(crate) LOCK_PARENT = Check "SELECT 1 FROM suite_parent WHERE id = $1 FOR KEY SHARE";
    pub(crate) INSERT = Write "INSERT INTO suite_row (id, parent, name, amount, content) VALUES ($1, $2, $3, $4, $5)";
    pub(crate) SWAP = Write "UPDATE suite_row SET amount = $3 WHERE name = $1 AND amount = $2";
    pub(crate) ADD = Write "UPDATE suite_row SET amount = amount + $2 WHERE name LIKE $1";
    pub(crate) READ = Read "SELECT id, parent, name, amount, content FROM suite_row WHERE name = $1";
    pub(crate) COUNT = Scan "SELECT count(*) FROM suite_row WHERE name LIKE $1";
    pub(crate) NAMES = Read "SELECT name FROM suite_row WHERE name LIKE $1 ORDER BY name LIMIT 100";
    pub(crate) AMONG = Read "SELECT name FROM suite_row WHERE name IN (SELECT value FROM bonded_texts($1)) \
        AND amount IN (SELECT value FROM bonded_ints($2)) ORDER BY name";
    pub(crate) DELETE_SOME = Write "DELETE FROM suite_row WHERE id = ANY(ARRAY(SELECT id FROM suite_row \
        WHERE name LIKE $1 ORDER BY name LIMIT $2 FOR UPDATE SKIP LOCKED))";
}

/// A claim that does not hold.
#[derive(Debug, Error)]
#[error("{claim} does not hold: {why}")]
pub struct Broken {
    /// The claim.
    pub claim: &'static str,
    /// What was found instead.
    pub why: Why,
}

/// What a claim found.
pub type Why = Box<dyn std::error::Error + Send + Sync>;

type Found = Result<(), Why>;
type Claim = (&'static str, for<'a> fn(&'a Bench) -> LocalBoxFuture<'a, Found>);

macro_rules! claims {
    ($($name:ident),+ $(,)?) => { &[$((stringify!($name), |bench| Box::pin($name(bench)))),+] };
}
macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => { if !$holds { return Err(format!($($why)+).into()); } };
}
pub(crate) use {claims, ensure};

/// What claims work with.
#[derive(Debug)]
pub struct Bench {
    store: Store,
    clock: Arc<ManualClock>,
}

impl Bench {
    fn new(engine: Arc<dyn Engine>) -> Self {
        let clock = Arc::new(ManualClock::default());
        Self { store: Store::new(engine, clock.clone(), Arc::new(SeededRandom::new(1))), clock }
    }

    async fn tx(&self) -> Result<Tx, Why> {
        Ok(self.store.begin().await?)
    }

    /// A transaction that inserts a row.
    async fn insert(&self, name: &str, amount: i64) -> Result<Tx, Why> {
        let mut tx = self.tx().await?;
        self.also(&mut tx, name, amount).await?;
        Ok(tx)
    }

    async fn also(&self, tx: &mut Tx, name: &str, amount: i64) -> Found {
        let id = self.store.ids().next().await?;
        tx.step(&INSERT, crate::params![id, None::<i64>, name, amount, None::<Vec<u8>>], Expect::Rows(1));
        Ok(())
    }

    async fn amount(&self, name: &str) -> Result<Option<i64>, Why> {
        Ok(self.store.row(&READ, &crate::params![name]).await?.map(|row| row.int(3)).transpose()?)
    }

    async fn count(&self, pattern: &str) -> Result<i64, Why> {
        let row = self.store.row(&COUNT, &crate::params![pattern]).await?;
        Ok(row.ok_or("count has no row")?.int(0)?)
    }

    async fn exists(&self, statement: &'static Statement, id: TxId) -> Result<bool, Why> {
        Ok(self.store.row(statement, &crate::params![id]).await?.is_some())
    }
}

/// Runs every claim on a migrated engine; answers how many hold.
pub async fn run(engine: Arc<dyn Engine>) -> Result<usize, Broken> {
    let bench = Bench::new(engine);
    let mut held = 0;
    for (claim, check) in
        [values::CLAIMS, concurrency::CLAIMS, jobs::CLAIMS, reactions::CLAIMS].into_iter().flatten()
    {
        check(&bench).await.map_err(|why| Broken { claim, why })?;
        held += 1;
    }
    Ok(held)
}
