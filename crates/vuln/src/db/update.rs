//! Writing a database: feeds put in, replaced, removed, one at a time.
//!
//! The segments of feeds that are not touched are copied byte for byte. A feed that suddenly has far fewer records is
//! refused: an empty answer of a mirror must not turn every image clean.

use super::scores::ScoresBuilder;
use super::segment_build::SegmentBuilder;
use super::{Db, Directory, Entry, FeedInfo, HEADER_BYTES, Kind, MAGIC};
use crate::advisory::import::{ImportError, ImportLimits, ImportStats, Item, import};
use sha2::{Digest, Sha256};

/// Largest part of its records that a feed may lose at once.
pub const MAX_SHRINK: f64 = 0.25;
/// Feeds with fewer records than this may shrink freely.
pub const MIN_RECORDS_GUARDED: u64 = 50;

/// Whether a feed may shrink by more than [`MAX_SHRINK`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShrinkPolicy {
    /// No.
    #[default]
    Refuse,
    /// An operator said so.
    Allow,
}

/// Why a feed was not taken.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// It has absurdly fewer records than before.
    #[error("feed {feed} shrank from {before} to {after} records, more than the allowed part")]
    Shrank {
        /// Its name.
        feed: String,
        /// Records before.
        before: u64,
        /// Records now.
        after: u64,
    },
    /// It has no record at all.
    #[error("feed {feed} has no advisories")]
    Empty {
        /// Its name.
        feed: String,
    },
}

/// A feed being imported.
pub struct FeedDraft {
    info: FeedInfo,
    advisories: SegmentBuilder,
    scores: ScoresBuilder,
}

impl FeedDraft {
    /// A feed without records. `imported_at` is RFC 3339.
    pub fn new(name: impl Into<String>, source: impl Into<String>, imported_at: impl Into<String>) -> Self {
        let info = FeedInfo {
            name: name.into(),
            source: source.into(),
            imported_at: imported_at.into(),
            ..FeedInfo::default()
        };
        Self { info, advisories: SegmentBuilder::default(), scores: ScoresBuilder::default() }
    }

    /// Sets what the source calls this state of the feed.
    pub fn set_state(&mut self, state: impl Into<String>) {
        self.info.state = state.into();
    }

    /// Imports a document or archive into the feed.
    ///
    /// # Errors
    /// As [`import`].
    pub fn import(
        &mut self,
        name: &str,
        bytes: &[u8],
        limits: &ImportLimits,
    ) -> Result<ImportStats, ImportError> {
        let stats = import(name, bytes, limits, &mut |item| self.add(item))?;
        self.info.refused += stats.refused;
        Ok(stats)
    }

    /// Adds one item.
    pub fn add(&mut self, item: Item) {
        match item {
            Item::Advisory(a) => {
                if a.modified > self.info.newest && a.modified.starts_with("20") {
                    self.info.newest.clone_from(&a.modified);
                }
                self.advisories.add(*a);
            }
            Item::Epss(e) => self.scores.epss(&e),
            Item::Kev(e) => self.scores.kev(e),
            Item::EndOfLife(e) => self.scores.end_of_life(e),
            Item::Newest(n) => self.scores.newest(n),
            Item::ScopeAlias { from, to } => self.advisories.scope_alias(from, to),
        }
    }

    /// Records so far.
    pub fn records(&self) -> u64 {
        (self.advisories.advisories() + self.scores.len()) as u64
    }
}

/// A database being written.
pub struct Update {
    generation: u64,
    parts: Vec<(Entry, Vec<u8>)>,
}

impl Default for Update {
    fn default() -> Self {
        Self::new()
    }
}

impl Update {
    /// A new database.
    pub fn new() -> Self {
        Self { generation: 1, parts: Vec::new() }
    }

    /// The next generation of a database.
    pub fn of(db: &Db<'_>) -> Self {
        let part = |e: &Entry| {
            let start = usize::try_from(e.offset).unwrap_or(usize::MAX);
            let end = start.saturating_add(usize::try_from(e.length).unwrap_or(usize::MAX));
            (e.clone(), db.bytes.get(start..end).unwrap_or_default().to_vec())
        };
        Self { generation: db.generation + 1, parts: db.entries.iter().map(part).collect() }
    }

    /// Puts a feed in, in place of one of the same name.
    ///
    /// # Errors
    /// [`UpdateError`]; the former feed then stays.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded above")]
    pub fn put(&mut self, draft: FeedDraft, policy: ShrinkPolicy) -> Result<(), UpdateError> {
        let mut info = draft.info;
        info.records = (draft.advisories.advisories() + draft.scores.len()) as u64;
        if info.records == 0 && policy == ShrinkPolicy::Refuse {
            return Err(UpdateError::Empty { feed: info.name });
        }
        let before =
            self.parts.iter().find(|(e, _)| e.feed.name == info.name).map_or(0, |(e, _)| e.feed.records);
        let floor = (before as f64 * (1.0 - MAX_SHRINK)).floor() as u64;
        if policy == ShrinkPolicy::Refuse && before >= MIN_RECORDS_GUARDED && info.records < floor {
            return Err(UpdateError::Shrank { feed: info.name, before, after: info.records });
        }
        let mut made = Vec::new();
        if !draft.advisories.is_empty() {
            let (bytes, _, rows) = draft.advisories.finish();
            info.rows = u64::from(rows);
            made.push((Kind::Advisories, bytes));
        }
        if !draft.scores.is_empty() {
            made.push((Kind::Scores, draft.scores.finish()));
        }
        self.remove(&info.name);
        for (kind, bytes) in made {
            self.parts
                .push((Entry { feed: info.clone(), kind, offset: 0, length: bytes.len() as u64 }, bytes));
        }
        Ok(())
    }

    /// Notes that a feed is still what its source has; answers whether it was there.
    pub fn confirm(&mut self, feed: &str, now: &str) -> bool {
        let mut found = false;
        for (entry, _) in self.parts.iter_mut().filter(|(e, _)| e.feed.name == feed) {
            now.clone_into(&mut entry.feed.imported_at);
            found = true;
        }
        found
    }

    /// Takes a feed out; answers whether it was there.
    pub fn remove(&mut self, feed: &str) -> bool {
        let before = self.parts.len();
        self.parts.retain(|(e, _)| e.feed.name != feed);
        self.parts.len() < before
    }

    /// The new file's bytes; feeds stand in order of their names, so equal content is an equal file.
    pub fn finish(mut self) -> Vec<u8> {
        self.parts.sort_by(|a, b| (&a.0.feed.name, a.0.kind as u8).cmp(&(&b.0.feed.name, b.0.kind as u8)));
        let mut out = vec![0; HEADER_BYTES];
        let mut directory = Directory::default();
        for (mut entry, bytes) in self.parts {
            out.resize(out.len().next_multiple_of(8), 0);
            entry.offset = out.len() as u64;
            out.extend_from_slice(&bytes);
            directory.segments.push(entry);
        }
        let start = out.len() as u64;
        // Writing to a Vec cannot fail.
        let _ = serde_json::to_writer(&mut out, &directory);
        let length = out.len() as u64 - start;
        out[..8].copy_from_slice(MAGIC);
        for (at, value) in [(8, self.generation), (16, start), (24, length)] {
            out[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        let digest = Sha256::digest(&out[HEADER_BYTES..]);
        out[32..HEADER_BYTES].copy_from_slice(&digest);
        out
    }
}
