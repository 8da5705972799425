//! Settings that administrators change while the registry runs: named JSON values that come back with a rebuild.

use crate::error::StoreError;
use crate::params;
use crate::store::Store;
use crate::tx::{Expect, Tx};

crate::statements! {
    FIND = Read "SELECT value FROM setting WHERE name = $1";
    NAMED = Scan "SELECT name, value FROM setting WHERE name > $1 AND name < $2 ORDER BY name LIMIT $3";
    PUT = Write "INSERT INTO setting (name, value, tx) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE SET value = excluded.value, tx = excluded.tx";
    REPLACE = Write "UPDATE setting SET value = $2, tx = $4 WHERE name = $1 AND value = $3";
    INSERT = Write "INSERT INTO setting (name, value, tx) VALUES ($1, $2, $3)";
    DELETE = Write "DELETE FROM setting WHERE name = $1";
}

impl Store {
    /// The value of a setting.
    pub async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.row(&FIND, &params![name]).await?.map(|row| Ok(row.text(0)?.to_owned())).transpose()
    }

    /// Settings whose names begin with `prefix`, which ends in `/`, in order of their names.
    pub async fn settings_below(
        &self,
        prefix: &str,
        limit: u32,
    ) -> Result<Vec<(String, String)>, StoreError> {
        // The character after `/` in the order of bytes.
        let end = format!("{}0", prefix.trim_end_matches('/'));
        let rows = self.rows(&NAMED, &params![prefix, end, limit]).await?;
        rows.iter().map(|row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned()))).collect()
    }
}

/// Sets a value.
pub fn put(tx: &mut Tx, name: &str, value: &str) {
    let by = tx.id();
    tx.step(&PUT, params![name, value, by], Expect::Rows(1));
}

/// Sets a value where `former` stands; another one is a conflict at `setting`.
pub fn replace(tx: &mut Tx, name: &str, former: Option<&str>, value: &str) {
    let by = tx.id();
    match former {
        Some(former) => tx.step_or(&REPLACE, params![name, value, former, by], Expect::Rows(1), "setting"),
        None => tx.step_or(&INSERT, params![name, value, by], Expect::Rows(1), "setting"),
    };
}

/// Removes a setting, if it is there.
pub fn delete(tx: &mut Tx, name: &str) {
    tx.step(&DELETE, params![name], Expect::Any);
}
