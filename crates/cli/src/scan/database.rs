//! The advisory database of a scan: a file, mapped; or a directory of feeds, imported into memory for this one scan.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use vuln::advisory::import::ImportLimits;
use vuln::db::{Db, FeedDraft, ShrinkPolicy, Update};

use upstream::Mapped;

use crate::output;

/// An opened database.
pub(super) enum Database {
    /// Imported for this scan.
    Made(Vec<u8>),
    /// A file.
    Mapped(Mapped),
}

impl Database {
    /// Opens a database file, or imports a directory of feeds.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        if !path.is_dir() {
            let hint = || format!("make one with `bonded advisories build --db {} FEEDS`", path.display());
            return Mapped::open(path).with_context(hint).map(Self::Mapped);
        }
        let mut update = Update::new();
        for feed in feeds(path)? {
            put(&mut update, &feed)?;
        }
        Ok(Self::Made(update.finish()))
    }

    /// The database.
    pub(super) fn db(&self) -> anyhow::Result<Db<'_>> {
        match self {
            Self::Made(bytes) => Ok(Db::open(bytes)?),
            Self::Mapped(map) => Ok(Db::open(map)?),
        }
    }
}

/// The files of a directory that may be feeds, in order of their names.
fn feeds(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("{} cannot be read", dir.display()))?;
    let mut found: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    found.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !name.starts_with('.')
            && path.extension().is_some_and(|extension| extension != "md" && extension != "txt")
    });
    found.sort();
    if found.is_empty() {
        bail!("{} has no feeds", dir.display());
    }
    Ok(found)
}

fn put(update: &mut Update, path: &Path) -> anyhow::Result<()> {
    let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = file_name.split('.').next().unwrap_or(&file_name).to_owned();
    output::progress(&format!("importing {file_name}"));
    let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    // A file says nothing of when it was fetched but the time of its last change.
    let changed = std::fs::metadata(path).and_then(|data| data.modified()).ok();
    let changed = changed.and_then(|time| jiff::Timestamp::try_from(time).ok());
    let changed = changed.map(|time| time.to_string()).unwrap_or_default();
    let mut draft = FeedDraft::new(name, file_name.clone(), changed);
    let stats = draft
        .import(&file_name, &bytes, &ImportLimits::default())
        .with_context(|| format!("{} cannot be imported", path.display()))?;
    if stats.refused > 0 {
        output::note(&format!("bonded: {file_name}: {} documents could not be read", stats.refused));
    }
    update.put(draft, ShrinkPolicy::Allow).with_context(|| format!("{} was not taken", path.display()))
}
