//! Migrations: numbered SQL files, embedded, one text for both engines ([`crate::dialect`]).
//!
//! Invariants: forward only; each file is one transaction with its row in `schema_migration`, so a start that was
//! killed goes on where it stopped; one process migrates at a time; a file that was applied never changes (its
//! checksum is kept); a database that is newer than the program is refused.

use crate::error::StoreError;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// One migration as it is embedded.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Its number, from 1 without gaps.
    pub number: i64,
    /// The file's name.
    pub name: &'static str,
    /// The file's text in the shared spelling.
    pub text: &'static str,
}

impl Migration {
    /// SHA-256 of the text, hexadecimal.
    pub fn checksum(&self) -> String {
        Sha256::digest(self.text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

macro_rules! migrations {
    ($($number:literal $name:literal),+ $(,)?) => {
        &[$(Migration { number: $number, name: $name, text: include_str!(concat!("../migrations/", $name, ".sql")) }),+]
    };
}

/// All migrations in their order.
pub const MIGRATIONS: &[Migration] = migrations![
    1 "0001_engine", 2 "0002_registry", 3 "0003_checkpoint", 4 "0004_audit", 5 "0005_sealed",
    6 "0006_referrers_by_type", 7 "0007_linked_by", 8 "0008_blob_corrupt", 9 "0009_scan", 10 "0010_listing", 11 "0011_estate",
    12 "0012_combined", 13 "0013_adapter", 14 "0014_exposure", 15 "0015_hub"
];

/// The table that says what was applied; the same in both dialects.
pub(crate) const TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migration (number INT8 NOT NULL PRIMARY KEY, \
     name TEXT NOT NULL, checksum TEXT NOT NULL)";

/// Which migrations are to be applied, given the numbers and checksums of those that were.
pub(crate) fn pending(applied: &[(i64, String)]) -> Result<Vec<&'static Migration>, StoreError> {
    for (number, checksum) in applied {
        let known = MIGRATIONS.iter().find(|migration| migration.number == *number);
        let known = known.ok_or_else(|| {
            StoreError::inconsistent(format!(
                "migration {number} is unknown: the database belongs to a newer release"
            ))
        })?;
        if known.checksum() != *checksum {
            return Err(StoreError::inconsistent(format!(
                "migration {} was changed after it was applied",
                known.name
            )));
        }
    }
    Ok(MIGRATIONS.iter().filter(|m| !applied.iter().any(|(number, _)| *number == m.number)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_without_gaps_and_named_so() {
        for (at, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.number, i64::try_from(at).unwrap() + 1);
            assert!(migration.name.starts_with(&format!("{:04}_", migration.number)), "{}", migration.name);
        }
    }

    #[test]
    fn a_changed_or_unknown_migration_is_refused() {
        let first = MIGRATIONS[0];
        assert!(pending(&[(1, first.checksum())]).unwrap().iter().all(|m| m.number != 1));
        assert!(pending(&[(1, "00".into())]).unwrap_err().to_string().contains("was changed"));
        assert!(pending(&[(9999, "00".into())]).unwrap_err().to_string().contains("newer release"));
    }
}
