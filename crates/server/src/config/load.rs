//! Reads the layers of the configuration and merges them: defaults < file < environment < flags.
//!
//! Every value keeps its origin, so that an error names the file and line, the variable or the flag that holds it.
//! Merging is by key: a list of a higher layer replaces the lower one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::IntoDeserializer;
use toml::de::{DeTable, DeValue};

use super::Config;
use super::keys::Kind;

/// The largest configuration file, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// What names of variables begin with.
const ENV_PREFIX: &str = "BONDED_";

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In the file, at a line counted from 1.
    File(PathBuf, usize),
    /// In an environment variable.
    Env(String),
    /// Behind a flag of the command line.
    Flag(&'static str),
    /// Nowhere: a default, or a key that is missing.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Default => f.write_str("configuration"),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is no TOML.
    #[error("{}:{line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// What the TOML parser says.
        message: String,
    },
    /// There is no such key.
    #[error("{origin}: unknown key `{key}`{}", did_you_mean(nearest.as_deref()))]
    UnknownKey {
        /// Where it is written.
        origin: Origin,
        /// The key as written, dotted.
        key: String,
        /// The valid key that was probably meant.
        nearest: Option<String>,
    },
    /// A value is not of its key's type or grammar.
    #[error("{origin}: `{key}`: {message}")]
    Value {
        /// Where it is written.
        origin: Origin,
        /// The key, dotted.
        key: String,
        /// What is wrong with it.
        message: String,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |key| format!("; did you mean `{key}`?"))
}

/// A value of the command line.
#[derive(Debug, Clone)]
pub struct Flag {
    /// The flag as typed, for messages.
    pub name: &'static str,
    /// The key that it sets, dotted.
    pub key: &'static str,
    /// Its text.
    pub value: String,
}

/// What the configuration is read from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The TOML file, if any.
    pub file: Option<PathBuf>,
    /// Environment variables; others than `BONDED_SECTION__KEY` are passed over.
    pub env: Vec<(OsString, OsString)>,
    /// Flags, the last one wins.
    pub flags: Vec<Flag>,
}

impl Sources {
    /// The process's own environment, with this file and these flags.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<Flag>) -> Self {
        Self { file, env: std::env::vars_os().collect(), flags }
    }
}

impl Config {
    /// Reads and merges all layers, and checks what sections demand of each other.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let keys = Kind::root();
        let mut merged = Merged::default();
        if let Some(path) = &sources.file {
            merged.add_file(path, &keys)?;
        }
        merged.add_env(&sources.env, &keys)?;
        for flag in &sources.flags {
            merged.add_text(&keys, flag.key, &flag.value, Origin::Flag(flag.name))?;
        }
        merged.finish()
    }
}

#[derive(Default)]
struct Merged {
    table: toml::Table,
    origins: BTreeMap<String, Origin>,
}

impl Merged {
    fn add_file(&mut self, path: &Path, keys: &Kind) -> Result<(), ConfigError> {
        let read_error = |source| ConfigError::Read { path: path.to_owned(), source };
        let size = std::fs::metadata(path).map_err(read_error)?.len();
        if size > MAX_FILE_BYTES {
            return Err(read_error(io::Error::other("larger than 1 MiB")));
        }
        let text = std::fs::read_to_string(path).map_err(read_error)?;
        let line_at = |at: usize| 1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
        let syntax = |error: &toml::de::Error| ConfigError::Syntax {
            path: path.to_owned(),
            line: error.span().map_or(1, |span| line_at(span.start)),
            message: error.message().replace('\n', ", "),
        };
        let spanned = DeTable::parse(&text).map_err(|error| syntax(&error))?;
        let mut found = Vec::new();
        positions(spanned.get_ref(), "", &mut found);
        for (key, at) in found {
            let origin = Origin::File(path.to_owned(), line_at(at));
            if keys.find(key.split('.')).is_none() {
                return Err(ConfigError::UnknownKey { origin, nearest: keys.nearest(&key), key });
            }
            self.origins.insert(key, origin);
        }
        self.table = text.parse().map_err(|error| syntax(&error))?;
        Ok(())
    }

    fn add_env(&mut self, env: &[(OsString, OsString)], keys: &Kind) -> Result<(), ConfigError> {
        for (name, value) in env {
            let Some(name) = name.to_str() else { continue };
            // One underscore is not ours: `BONDED_ADMIN_PASSWORD`, or what Kubernetes sets for a service so named.
            let Some(rest) = name.strip_prefix(ENV_PREFIX).filter(|rest| rest.contains("__")) else {
                continue;
            };
            let key = rest.to_ascii_lowercase().replace("__", ".");
            let origin = Origin::Env(name.to_owned());
            let Some(value) = value.to_str() else {
                return Err(ConfigError::Value { origin, key, message: "not UTF-8".to_owned() });
            };
            self.add_text(keys, &key, value, origin)?;
        }
        Ok(())
    }

    fn add_text(&mut self, keys: &Kind, key: &str, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let Some(kind) = keys.find(key.split('.')) else {
            return Err(ConfigError::UnknownKey { origin, nearest: keys.nearest(key), key: key.to_owned() });
        };
        let value = kind.read(text).map_err(|message| ConfigError::Value {
            origin: origin.clone(),
            key: key.to_owned(),
            message,
        })?;
        let mut table = &mut self.table;
        let mut path = key.split('.').peekable();
        while let Some(part) = path.next() {
            if path.peek().is_none() {
                table.insert(part.to_owned(), value);
                break;
            }
            let below = table.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if !below.is_table() {
                *below = toml::Value::Table(toml::Table::new());
            }
            let Some(next) = below.as_table_mut() else { break };
            table = next;
        }
        self.origins.insert(key.to_owned(), origin);
        Ok(())
    }

    fn finish(self) -> Result<Config, ConfigError> {
        let at = |key: &str| {
            // A value inside a list has the list's origin.
            let mut path = key;
            loop {
                if let Some(origin) = self.origins.get(path) {
                    return origin.clone();
                }
                match path.rfind(['.', '[']) {
                    Some(end) => path = path.get(..end).unwrap_or_default(),
                    None => return Origin::Default,
                }
            }
        };
        let value = toml::Value::Table(self.table.clone());
        let config: Config =
            serde_path_to_error::deserialize(value.into_deserializer()).map_err(|error| {
                let key = error.path().to_string();
                let message = error.into_inner().message().trim().replace('\n', ", ");
                ConfigError::Value { origin: at(&key), key, message }
            })?;
        match config.contradiction() {
            Some((key, message)) => Err(ConfigError::Value { origin: at(key), key: key.to_owned(), message }),
            None => Ok(config),
        }
    }
}

/// Every key of a table with the byte at which it starts, sections before their keys.
fn positions(table: &DeTable<'_>, prefix: &str, found: &mut Vec<(String, usize)>) {
    for (key, value) in table {
        let path =
            if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        found.push((path.clone(), key.span().start));
        if let DeValue::Table(below) = value.get_ref() {
            positions(below, &path, found);
        }
    }
}
