//! The installation's master key: seals the secrets in the database.
//!
//! From `BONDED_MASTER_KEY` (replicas share it), else a file in the data directory, made at the first start.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use metadata::{Random, SystemRandom};

const FILE: &str = "master-key";
const VARIABLE: &str = "BONDED_MASTER_KEY";

/// The key of this installation.
pub(super) fn load(data_dir: &Path) -> anyhow::Result<[u8; 32]> {
    #[expect(clippy::disallowed_methods, reason = "a secret that no configuration file should hold")]
    if let Ok(text) = std::env::var(VARIABLE) {
        return parse(&text).with_context(|| format!("{VARIABLE} is not 64 hexadecimal digits"));
    }
    let path = data_dir.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(&text).with_context(|| format!("{} is not 64 hexadecimal digits", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make(&path),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn parse(text: &str) -> Option<[u8; 32]> {
    data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok()?.try_into().ok()
}

fn make(path: &Path) -> anyhow::Result<[u8; 32]> {
    let mut key = [0; 32];
    SystemRandom.fill(&mut key);
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot make {}", path.display()))?;
    writeln!(file, "{}", data_encoding::HEXLOWER.encode(&key))?;
    file.sync_all()?;
    if let Some(parent) = path.parent() {
        std::fs::File::open(parent)?.sync_all()?;
    }
    Ok(key)
}
