//! A file as a read-only memory map: opening costs no copy, and unused pages cost no memory.
//!
//! Invariant: a file behind a map is only ever replaced by rename, never written in place.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

/// A file mapped into memory.
#[derive(Debug)]
pub struct Mapped(memmap2::Mmap);

impl Mapped {
    /// Maps a file that is not empty.
    ///
    /// # Errors
    /// If it cannot be opened or mapped.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        #[expect(unsafe_code, reason = "the file is only ever replaced by rename, never written in place")]
        // SAFETY: the mapping is read-only and the file is not changed while it is mapped: writers rename a new one.
        let map = unsafe { memmap2::Mmap::map(&file) }?;
        Ok(Self(map))
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
