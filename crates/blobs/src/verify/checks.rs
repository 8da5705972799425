//! Which frames of which objects this process has checked.
//!
//! Invariants: a frame counts as checked only for the object identity ([`Stamp`](crate::Stamp)) it was checked under,
//! and for at most [`RECHECK_AFTER`]; memory is bounded, and forgetting costs a second check, never a missing one.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::frames::frame_count;
use crate::{BlobKey, Stat};

/// After this time a frame is checked again although nothing seems to have changed.
pub const RECHECK_AFTER: Duration = Duration::from_hours(24);

const PARTS: usize = 16;
/// What an entry costs besides its bits, in bytes.
const ENTRY_BYTES: usize = 160;

/// A clock: time since any fixed moment. Injected so that tests can move it.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The bounded memory of checked frames; one per process, shared by all readers.
pub struct FrameChecks {
    parts: [Mutex<Part>; PARTS],
    part_bytes: usize,
    clock: Clock,
}

/// Two generations: what is used moves to the young one; when that is full, the old one is forgotten.
#[derive(Default)]
struct Part {
    young: HashMap<BlobKey, Arc<Entry>>,
    old: HashMap<BlobKey, Arc<Entry>>,
    young_bytes: usize,
}

/// The checked frames of one object under one identity.
pub(crate) struct Entry {
    stat: Stat,
    since: Duration,
    bits: Box<[AtomicU64]>,
    unchecked: AtomicU32,
}

impl std::fmt::Debug for FrameChecks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameChecks").field("part_bytes", &self.part_bytes).finish_non_exhaustive()
    }
}

impl FrameChecks {
    /// A memory of at most about `bytes`: 160 bytes per object and 1 per 2 MiB of it.
    pub fn new(bytes: usize, clock: Clock) -> Self {
        Self { parts: Default::default(), part_bytes: bytes / PARTS / 2, clock }
    }

    /// Whether every frame that `range` touches is checked and may leave unread (by sendfile, say).
    pub fn is_clean(&self, key: BlobKey, stat: Stat, range: Range<u64>) -> bool {
        self.entry(key, stat).is_clean(&frames_of(&range))
    }

    /// Forgets an object: the next one who serves it checks it.
    pub fn forget(&self, key: BlobKey) {
        let mut part = self.part(key);
        part.young.remove(&key);
        part.old.remove(&key);
    }

    pub(crate) fn entry(&self, key: BlobKey, stat: Stat) -> Arc<Entry> {
        let now = (self.clock)();
        let mut part = self.part(key);
        let fresh = |entry: &Arc<Entry>| {
            entry.stat == stat && now.checked_sub(entry.since).is_some_and(|age| age < RECHECK_AFTER)
        };
        if let Some(entry) = part.young.get(&key).filter(|entry| fresh(entry)) {
            return Arc::clone(entry);
        }
        let known = part.old.remove(&key).filter(fresh);
        let entry = known.unwrap_or_else(|| Arc::new(Entry::new(stat, now)));
        part.young_bytes += entry.cost();
        part.young.insert(key, Arc::clone(&entry));
        if part.young_bytes > self.part_bytes {
            part.old = std::mem::take(&mut part.young);
            part.young_bytes = 0;
        }
        entry
    }

    fn part(&self, key: BlobKey) -> std::sync::MutexGuard<'_, Part> {
        self.parts[usize::from(key.shard()) % PARTS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The frames that a byte range touches.
pub(crate) fn frames_of(range: &Range<u64>) -> Range<u32> {
    if range.is_empty() {
        return 0..0;
    }
    let first = u32::try_from(range.start / crate::FRAME_BYTES).unwrap_or(u32::MAX);
    first..frame_count(range.end)
}

impl Entry {
    fn new(stat: Stat, since: Duration) -> Self {
        let frames = frame_count(stat.size);
        let bits = (0..frames.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Self { stat, since, bits, unchecked: AtomicU32::new(frames) }
    }

    fn cost(&self) -> usize {
        ENTRY_BYTES + self.bits.len() * 8
    }

    pub(crate) fn is_clean(&self, frames: &Range<u32>) -> bool {
        self.unchecked.load(Ordering::Acquire) == 0 || frames.clone().all(|frame| self.is_checked(frame))
    }

    pub(crate) fn is_checked(&self, frame: u32) -> bool {
        let word = self.bits.get((frame / 64) as usize);
        word.is_some_and(|word| word.load(Ordering::Acquire) & (1 << (frame % 64)) != 0)
    }

    pub(crate) fn mark(&self, frame: u32) {
        if let Some(word) = self.bits.get((frame / 64) as usize) {
            let bit = 1 << (frame % 64);
            if word.fetch_or(bit, Ordering::AcqRel) & bit == 0 {
                self.unchecked.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stamp;

    fn fixed(seconds: Arc<AtomicU64>) -> Clock {
        Arc::new(move || Duration::from_secs(seconds.load(Ordering::SeqCst)))
    }

    #[test]
    fn a_check_ends_with_the_identity_and_with_the_day() {
        let seconds = Arc::new(AtomicU64::new(0));
        let checks = FrameChecks::new(1 << 20, fixed(Arc::clone(&seconds)));
        let (key, stat) = (BlobKey::from_id(1), Stat { size: 300_000, stamp: Stamp([1, 1]) });
        assert!(!checks.is_clean(key, stat, 0..1));
        checks.entry(key, stat).mark(0);
        assert!(checks.is_clean(key, stat, 0..262_144));
        assert!(!checks.is_clean(key, stat, 0..262_145));
        assert!(!checks.is_clean(key, Stat { stamp: Stamp([1, 2]), ..stat }, 0..1));
        checks.entry(key, stat).mark(0);
        checks.entry(key, stat).mark(1);
        assert!(checks.is_clean(key, stat, 0..300_000));
        seconds.store(24 * 3600, Ordering::SeqCst);
        assert!(!checks.is_clean(key, stat, 0..1));
    }

    #[test]
    fn memory_stays_within_its_bound() {
        let checks = FrameChecks::new(1 << 20, fixed(Arc::default()));
        for id in 0..100_000 {
            checks.entry(BlobKey::from_id(id), Stat { size: 1, stamp: Stamp([0, 0]) }).mark(0);
        }
        let entries: usize =
            checks.parts.iter().map(|p| p.lock().unwrap()).map(|p| p.young.len() + p.old.len()).sum();
        assert!(entries * ENTRY_BYTES <= 1 << 20, "{entries}");
    }
}
