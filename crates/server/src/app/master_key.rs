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

/// The key of this installation; none if there is none yet.
pub(super) fn find(data_dir: &Path) -> anyhow::Result<Option<[u8; 32]>> {
    #[expect(clippy::disallowed_methods, reason = "a secret that no configuration file should hold")]
    if let Ok(text) = std::env::var(VARIABLE) {
        let key = parse(&text).with_context(|| format!("{VARIABLE} is not 64 hexadecimal digits"))?;
        return Ok(Some(key));
    }
    let path = data_dir.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            parse(&text).with_context(|| format!("{} is not 64 hexadecimal digits", path.display())).map(Some)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The key of an installation that must have one.
pub(super) fn existing(data_dir: &Path, advice: &str) -> anyhow::Result<[u8; 32]> {
    find(data_dir)?.with_context(|| {
        format!("there is no master key: neither {} nor {VARIABLE}; {advice}", data_dir.join(FILE).display())
    })
}

/// A key that nobody keeps.
pub(super) fn random() -> [u8; 32] {
    let mut key = [0; 32];
    SystemRandom.fill(&mut key);
    key
}

fn parse(text: &str) -> Option<[u8; 32]> {
    data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok()?.try_into().ok()
}

/// Makes the key of a new installation.
pub(super) fn make(data_dir: &Path) -> anyhow::Result<[u8; 32]> {
    let (path, key) = (data_dir.join(FILE), random());
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot make {}", path.display()))?;
    writeln!(file, "{}", data_encoding::HEXLOWER.encode(&key))?;
    file.sync_all()?;
    if let Some(parent) = path.parent() {
        std::fs::File::open(parent)?.sync_all()?;
    }
    Ok(key)
}
