//! `[database]`: where the metadata lies – a SQLite file by default, a PostgreSQL for several replicas.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use super::types::Duration;

/// Where the metadata lies.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// Address of a PostgreSQL database, `postgres://USER:PASSWORD@HOST/NAME`. Unset: SQLite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Secret>,
    /// The directory of the SQLite database. Unset: `server.data_dir`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sqlite_dir: Option<PathBuf>,
    /// Connections to PostgreSQL. 0: chosen by the number of cores.
    pub connections: u16,
    /// PEM file of certificate authorities to trust for PostgreSQL beside the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Time that one statement may take.
    pub statement_timeout: Duration,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: None,
            sqlite_dir: None,
            connections: 0,
            ca_file: None,
            statement_timeout: Duration::from_secs(30),
        }
    }
}

/// The database that is to be opened.
#[derive(Debug, Clone)]
pub enum Engine {
    /// SQLite in this directory.
    Sqlite(PathBuf),
    /// PostgreSQL at this address.
    Postgres(Secret),
}

impl Database {
    /// The database to open, for a data directory.
    pub fn engine(&self, data_dir: &Path) -> Engine {
        match &self.url {
            Some(url) => Engine::Postgres(url.clone()),
            None => Engine::Sqlite(self.sqlite_dir.clone().unwrap_or_else(|| data_dir.to_owned())),
        }
    }
}
