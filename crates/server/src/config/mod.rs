//! The configuration: typed sections, read once at start from defaults < TOML file < environment < flags.
//!
//! Why so strict: a registry runs for years with a file that nobody reads twice. An unknown key, a value out of its
//! grammar or a contradiction ends the start with one line that names the file, the line, the key and the nearest
//! valid one. Nothing else in the program reads the environment or holds a setting of its own.
//!
//! One file per section; [`load`] merges the layers, [`keys`] derives the tree of valid keys from the JSON Schema,
//! [`check`] looks at what sections demand of each other, [`reference`] writes the documentation.

pub mod access;
pub mod acme;
pub mod audit;
pub mod auth;
pub mod check;
pub mod checkpoint;
pub mod database;
pub mod delete;
pub mod gc;
pub mod keys;
pub mod limits;
pub mod load;
pub mod log;
pub mod metrics;
pub mod push;
pub mod reference;
pub mod scan;
pub mod secret;
pub mod server;
pub mod storage;
pub mod telemetry;
pub mod timeouts;
pub mod tls;
pub mod types;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use check::Warning;
pub use load::{ConfigError, Flag, Sources};
pub use secret::Secret;
pub use server::{Forwarding, Role};
pub use types::{Duration, ExternalUrl, Listen, Network, Size};

/// The whole configuration of a process.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the process listens, what it does, how clients reach it.
    pub server: server::Server,
    /// Encryption of the registry's listener.
    pub tls: tls::Tls,
    /// Where the metadata lies.
    pub database: database::Database,
    /// Where blobs lie.
    pub storage: storage::Storage,
    /// Tokens and passwords.
    pub auth: auth::Auth,
    /// How long facts about access may be stale.
    pub access: access::Access,
    /// What a push may bring into being, and what it must bring along.
    pub push: push::Push,
    /// The scanning of artifacts.
    pub scan: scan::Scan,
    /// How long what was deleted can be restored.
    pub delete: delete::Delete,
    /// The collection of blobs that nothing refers to, and the background check of those that are kept.
    pub gc: gc::Gc,
    /// The copy of the metadata in blob storage, from which `bonded rebuild` makes a lost database again.
    pub checkpoint: checkpoint::Checkpoint,
    /// The record of who did what.
    pub audit: audit::Audit,
    /// How much of anything one client may make the process hold.
    pub limits: limits::Limits,
    /// When a connection is given up.
    pub timeouts: timeouts::Timeouts,
    /// What is written to standard error.
    pub log: log::Log,
    /// Who may read `/metrics`. With neither key set it is not served.
    pub metrics: metrics::Metrics,
    /// Where traces go.
    pub telemetry: telemetry::Telemetry,
}

impl Config {
    /// The database to open.
    pub fn database_engine(&self) -> database::Engine {
        self.database.engine(&self.server.data_dir)
    }

    /// The directory of the blobs, for the file backend.
    pub fn blob_dir(&self) -> PathBuf {
        self.storage.fs.path.clone().unwrap_or_else(|| self.server.data_dir.join("blobs"))
    }

    /// The effective configuration as TOML, secrets hidden.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(self)
    }

    /// The JSON Schema (draft 2020-12) of the file.
    pub fn schema() -> serde_json::Value {
        let settings =
            schemars::generate::SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
        let mut schema = settings.into_generator().into_root_schema_for::<Self>();
        schema.insert("title".to_owned(), "Configuration of Bonded".into());
        schema.to_value()
    }
}
