//! The advisory database as a read-only memory map: opening costs no copy, and unused pages cost no memory.
//!
//! Invariant: the file behind a map is only ever replaced by rename, never written in place.

use std::fs::File;
use std::path::Path;

use anyhow::Context as _;
use vuln::db::Db;

/// A database file mapped into memory.
pub struct MappedDb(memmap2::Mmap);

impl MappedDb {
    /// Maps a file.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        #[expect(
            unsafe_code,
            reason = "the database is only ever replaced by rename, never written in place"
        )]
        // SAFETY: the mapping is read-only and the file is not changed while it is mapped: writers rename a new one.
        let map =
            unsafe { memmap2::Mmap::map(&file) }.with_context(|| format!("cannot map {}", path.display()))?;
        Ok(Self(map))
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The database.
    ///
    /// # Errors
    /// If it is none or damaged.
    pub fn db(&self) -> anyhow::Result<Db<'_>> {
        Ok(Db::open(&self.0)?)
    }
}
