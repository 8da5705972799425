//! Advisory databases made of the given feeds, for the sets that judge findings.

use super::files;
use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};
use vuln::advisory::import::ImportLimits;
use vuln::db::{FeedDraft, ShrinkPolicy, Update};

/// The bytes of a database with one feed for each `(name, files)`.
///
/// # Errors
/// If a file cannot be read, or holds a document of a known form that cannot be read.
pub(super) fn database(feeds: &[(String, Vec<PathBuf>)]) -> anyhow::Result<Vec<u8>> {
    let mut update = Update::new();
    for (name, paths) in feeds {
        let mut draft = FeedDraft::new(name.as_str(), name.as_str(), "2026-11-21T00:00:00Z");
        for path in paths {
            let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            let stats = draft.import(&path.to_string_lossy(), &bytes, &ImportLimits::default())?;
            ensure!(stats.refused == 0, "{} refused: {:?}", path.display(), stats.refusals.first());
        }
        update.put(draft, ShrinkPolicy::Allow)?;
    }
    Ok(update.finish())
}

/// The archives and lists of the folder, or beside it, that hold OSV records.
///
/// # Errors
/// If a folder cannot be listed.
pub(super) fn osv_feeds(truth: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut feeds = Vec::new();
    for folder in [truth.join("advisories"), truth.join("../advisories"), truth.join("debian")] {
        if folder.is_dir() {
            feeds.extend(files(&folder)?);
        }
    }
    feeds.retain(|path| {
        let name = super::file_name(path);
        name.ends_with(".zip") || name.ends_with(".osv.jsonl")
    });
    Ok(feeds)
}

/// Every feed that lies in the folder or beside it: `../advisories/*.zip`, Debian's and Alpine's lists.
///
/// # Errors
/// As [`database`].
pub(crate) fn all(truth: &Path) -> anyhow::Result<Vec<u8>> {
    let mut feeds = Vec::new();
    for folder in [truth.join("advisories"), truth.join("../advisories")] {
        if folder.is_dir() {
            for path in files(&folder)?.into_iter().filter(|p| p.extension().is_some_and(|e| e == "zip")) {
                feeds.push((super::stem(&path), vec![path]));
            }
            break;
        }
    }
    let debian = truth.join("debian");
    if debian.is_dir() {
        let lists: Vec<PathBuf> = std::fs::read_dir(&debian)?
            .filter_map(|e| Some(e.ok()?.path()))
            .filter(|p| p.extension().is_some_and(|e| e == "jsonl"))
            .collect();
        if !lists.is_empty() {
            feeds.push(("debian".to_owned(), lists));
        }
    }
    let alpine = truth.join("alpine");
    if alpine.is_dir() {
        feeds.push(("alpine".to_owned(), files(&alpine)?));
    }
    database(&feeds)
}
