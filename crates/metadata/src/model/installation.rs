//! The id of the installation, which its blob storage holds too: so that neither is taken for another's.

use crate::error::StoreError;
use crate::params;
use crate::store::Store;
use crate::tx::{Expect, Tx};

/// The setting that holds it.
const NAME: &str = "installation";

crate::statements! {
    ID = Read "SELECT value FROM setting WHERE name = $1";
    KEEP = Write "INSERT INTO setting (name, value, tx) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING";
}

impl Store {
    /// The id, if the database has one yet.
    pub async fn installation(&self) -> Result<Option<String>, StoreError> {
        let row = self.row(&ID, &params![NAME]).await?;
        row.map(|row| Ok(row.text(0)?.to_owned())).transpose()
    }
}

/// Keeps the id unless there is one: of replicas that start at once, one does so.
pub fn keep(tx: &mut Tx, id: &str) {
    let by = tx.id();
    tx.step(&KEEP, params![NAME, id, by], Expect::Any);
}
