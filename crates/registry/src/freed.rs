//! How much disk this process gave back, for whoever watches it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Objects that this process deleted.
#[derive(Debug, Default)]
pub struct Freed {
    objects: AtomicU64,
    bytes: AtomicU64,
    failed: AtomicU64,
}

impl Freed {
    /// An object of so many bytes was deleted.
    pub fn deleted(&self, bytes: u64) {
        self.objects.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// An object could not be deleted; it is tried again.
    pub fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Objects deleted, their bytes, and tries that failed.
    pub fn counts(&self) -> [u64; 3] {
        [&self.objects, &self.bytes, &self.failed].map(|count| count.load(Ordering::Relaxed))
    }
}
