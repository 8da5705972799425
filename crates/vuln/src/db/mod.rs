//! The advisory database: one read-only file that the caller maps into memory.
//!
//! ```text
//! 0   "BONDEDA2"                      magic
//! 8   u64 generation                  grows with every change
//! 16  u64 offset of the directory     JSON: what each segment is, how old, how many rows
//! 24  u64 length of the directory
//! 32  SHA-256 of everything after the header
//! 64  segments, one or two for each feed
//! ```
//!
//! A feed is replaced by writing a new file in which the other feeds' segments are the same bytes ([`Update`]); the
//! caller puts it in place by rename. Opening looks only at the header and the directory. The file is also the bundle
//! for air-gapped sites: [`Db::verify`] proves that it arrived whole.

mod age;
mod blocks;
mod bytes;
mod delta;
mod scores;
mod segment;
mod segment_build;
mod update;

pub use age::{StaleFeed, age_text, stale_feeds};
pub use delta::{ChangedPackage, changed_packages};
pub use scores::{Scores, ScoresBuilder};
pub use segment::{Claim, Details, EventRef, Head, Row, Segment};
pub use segment_build::SegmentBuilder;
pub use update::{FeedDraft, MAX_SHRINK, MIN_RECORDS_GUARDED, ShrinkPolicy, Update, UpdateError};

use crate::advisory::import::{EndOfLife, KevEntry};
use crate::advisory::scope;
use crate::version;
use bytes::u64_at;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};

const MAGIC: &[u8; 8] = b"BONDEDA2";
const HEADER_BYTES: usize = 64;
/// Largest directory, in bytes.
const MAX_DIRECTORY_BYTES: u64 = 16 << 20;

/// Why the database cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DbError {
    /// Not an advisory database, or one of another version.
    #[error("not an advisory database of this version")]
    Foreign,
    /// Bytes are missing or wrong.
    #[error("advisory database is damaged: {0}")]
    Damaged(&'static str),
    /// The content does not have the digest that the header states.
    #[error("advisory database does not have its stated digest")]
    Digest,
}

/// What a feed's segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Advisories,
    Scores,
}

/// A feed as the directory describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FeedInfo {
    /// Name that the operator gave the feed.
    pub name: String,
    /// Where it came from (address or file name).
    pub source: String,
    /// When it was imported, or last found to be what its source still has; RFC 3339.
    pub imported_at: String,
    /// What the source calls this state of it (an entity tag, a digest), empty if it does not.
    pub state: String,
    /// Latest change that any of its advisories states, empty if none does.
    pub newest: String,
    /// Advisories and scores.
    pub records: u64,
    /// (package, advisory) rows.
    pub rows: u64,
    /// Documents that could not be read.
    pub refused: u64,
    /// Licence as stated by the operator, empty if not stated.
    pub licence: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    feed: FeedInfo,
    kind: Kind,
    offset: u64,
    length: u64,
}

#[derive(Default, Serialize, Deserialize)]
struct Directory {
    segments: Vec<Entry>,
}

/// An open database.
#[derive(Debug)]
pub struct Db<'a> {
    bytes: &'a [u8],
    generation: u64,
    entries: Vec<Entry>,
    advisories: Vec<(usize, Segment<'a>)>,
    scores: Vec<(usize, Scores<'a>)>,
    /// Scope → (index into `advisories`, scope in the segment).
    scopes: HashMap<&'a str, Vec<(usize, usize)>>,
}

/// An advisory in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AdvisoryRef {
    segment: usize,
    advisory: u32,
}

impl<'a> Db<'a> {
    /// Opens a database; time and memory do not depend on the number of rows.
    ///
    /// # Errors
    /// [`DbError::Foreign`] for other files, [`DbError::Damaged`] for a file that is cut or changed.
    pub fn open(bytes: &'a [u8]) -> Result<Self, DbError> {
        if bytes.get(..8) != Some(MAGIC) {
            return Err(DbError::Foreign);
        }
        let (generation, offset, length) = (u64_at(bytes, 8)?, u64_at(bytes, 16)?, u64_at(bytes, 24)?);
        if length > MAX_DIRECTORY_BYTES {
            return Err(DbError::Damaged("directory too long"));
        }
        let directory: Directory = serde_json::from_slice(slice(bytes, offset, length)?)
            .map_err(|_| DbError::Damaged("directory"))?;
        let mut db = Self {
            bytes,
            generation,
            entries: directory.segments,
            advisories: Vec::new(),
            scores: Vec::new(),
            scopes: HashMap::new(),
        };
        for index in 0..db.entries.len() {
            let part = slice(bytes, db.entries[index].offset, db.entries[index].length)?;
            match db.entries[index].kind {
                Kind::Scores => db.scores.push((index, Scores::view(part)?)),
                Kind::Advisories => {
                    let segment = Segment::view(part)?;
                    for (at, scope) in segment.scopes()?.into_iter().enumerate() {
                        db.scopes.entry(scope).or_default().push((db.advisories.len(), at));
                    }
                    db.advisories.push((index, segment));
                }
            }
        }
        Ok(db)
    }

    /// Checks the content against the digest in the header: reads the whole file.
    ///
    /// # Errors
    /// [`DbError::Digest`] if it differs.
    pub fn verify(&self) -> Result<(), DbError> {
        let stated = self.bytes.get(32..HEADER_BYTES).ok_or(DbError::Foreign)?;
        let content = self.bytes.get(HEADER_BYTES..).ok_or(DbError::Foreign)?;
        if Sha256::digest(content).as_slice() == stated { Ok(()) } else { Err(DbError::Digest) }
    }

    /// Grows with every change.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The feeds, each once, by name.
    pub fn feeds(&self) -> Vec<&FeedInfo> {
        let mut out: Vec<&FeedInfo> = Vec::new();
        for entry in &self.entries {
            if !out.iter().any(|f| f.name == entry.feed.name) {
                out.push(&entry.feed);
            }
        }
        out
    }

    /// Whether any feed speaks of a scope.
    pub fn knows_scope(&self, scope: &str) -> bool {
        self.scopes.contains_key(scope)
    }

    /// Every scope that some feed speaks of, sorted.
    pub fn scopes(&self) -> Vec<&'a str> {
        let mut all: Vec<&str> = self.scopes.keys().copied().collect();
        all.sort_unstable();
        all
    }

    /// What all feeds claim of a package in a canonical scope.
    ///
    /// # Errors
    /// [`DbError::Damaged`].
    pub fn package(&self, scope: &str, name: &str) -> Result<Vec<(AdvisoryRef, Claim<'a>)>, DbError> {
        let mut out = Vec::new();
        for (index, at) in self.scopes.get(scope).into_iter().flatten() {
            let segment = &self.advisories[*index].1;
            for row in segment.package(*at, name)? {
                out.push((AdvisoryRef { segment: *index, advisory: row.advisory }, segment.claim(row)?));
            }
        }
        Ok(out)
    }

    /// An advisory's identity and ratings.
    ///
    /// # Errors
    /// [`DbError::Damaged`].
    pub fn head(&self, at: AdvisoryRef) -> Result<Head<'a>, DbError> {
        self.segment(at)?.head(at.advisory)
    }

    /// An advisory's text.
    ///
    /// # Errors
    /// [`DbError::Damaged`].
    pub fn details(&self, at: AdvisoryRef) -> Result<Details, DbError> {
        let segment = self.segment(at)?;
        segment.details(&segment.head(at.advisory)?)
    }

    /// Visits the texts of several advisories: what is stored together is unpacked once, in the order in which it is
    /// stored.
    ///
    /// # Errors
    /// [`DbError::Damaged`].
    pub fn each_details(
        &self,
        wanted: &BTreeSet<AdvisoryRef>,
        visit: &mut dyn FnMut(AdvisoryRef, Details),
    ) -> Result<(), DbError> {
        let mut places: Vec<(usize, u32, AdvisoryRef, Head<'a>)> = Vec::with_capacity(wanted.len());
        for at in wanted {
            let head = self.head(*at)?;
            places.push((at.segment, head.block(), *at, head));
        }
        places.sort_unstable_by_key(|(segment, block, at, _)| (*segment, *block, *at));
        for alike in places.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let segment = self.segment(alike[0].2)?;
            let block = segment.block(alike[0].1)?;
            for (_, _, at, head) in alike {
                visit(*at, Segment::details_in(&block, head)?);
            }
        }
        Ok(())
    }

    /// The feed that an advisory is of.
    pub fn feed_of(&self, at: AdvisoryRef) -> Option<&FeedInfo> {
        self.advisories.get(at.segment).and_then(|(entry, _)| self.entries.get(*entry)).map(|e| &e.feed)
    }

    /// Advisories that are, or name, an identifier.
    ///
    /// # Errors
    /// [`DbError::Damaged`].
    pub fn by_id(&self, id: &str) -> Result<Vec<AdvisoryRef>, DbError> {
        let mut out = Vec::new();
        for (index, (_, segment)) in self.advisories.iter().enumerate() {
            out.extend(
                segment.by_id(id)?.into_iter().map(|advisory| AdvisoryRef { segment: index, advisory }),
            );
        }
        Ok(out)
    }

    /// EPSS probability and percentile of a CVE.
    ///
    /// # Errors
    /// [`DbError::Damaged`].
    pub fn epss(&self, cve: &str) -> Result<Option<(f64, f64)>, DbError> {
        self.scores.iter().find_map(|(_, s)| s.epss(cve).transpose()).transpose()
    }

    /// KEV entry of a CVE.
    ///
    /// # Errors
    /// [`DbError::Damaged`].
    pub fn kev(&self, cve: &str) -> Result<Option<KevEntry>, DbError> {
        self.scores.iter().find_map(|(_, s)| s.kev(cve).transpose()).transpose()
    }

    /// The end of support of a product's release cycle, if some feed states it.
    ///
    /// # Errors
    /// [`DbError::Damaged`].
    pub fn end_of_life(&self, product: &str, cycle: &str) -> Result<Option<EndOfLife>, DbError> {
        for (_, scores) in &self.scores {
            let found = scores.end_of_life()?.into_iter().find(|e| e.product == product && e.cycle == cycle);
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The newest version of a package, if some feed states it; of several the greatest.
    ///
    /// # Errors
    /// [`DbError::Damaged`].
    pub fn newest(&self, scope: &str, name: &str) -> Result<Option<&'a str>, DbError> {
        let mut best: Option<&str> = None;
        for (_, scores) in &self.scores {
            let Some(found) = scores.newest(scope, name)? else { continue };
            let greater = |known: &str| {
                version::compare(scope::scheme(scope), known, found).is_ok_and(std::cmp::Ordering::is_lt)
            };
            if best.is_none_or(greater) {
                best = Some(found);
            }
        }
        Ok(best)
    }

    /// Whether any feed states newest versions.
    pub fn knows_newest(&self) -> bool {
        self.scores.iter().any(|(_, scores)| scores.knows_newest())
    }

    fn segment(&self, at: AdvisoryRef) -> Result<&Segment<'a>, DbError> {
        self.advisories.get(at.segment).map(|(_, s)| s).ok_or(DbError::Damaged("segment"))
    }

    /// A feed's advisories, if it has any.
    pub fn feed_segment(&self, feed: &str) -> Option<Segment<'a>> {
        self.advisories.iter().find(|(e, _)| self.entries[*e].feed.name == feed).map(|(_, s)| *s)
    }
}

fn slice(bytes: &[u8], offset: u64, length: u64) -> Result<&[u8], DbError> {
    let start = usize::try_from(offset).map_err(|_| DbError::Damaged("offset"))?;
    let end =
        usize::try_from(length).ok().and_then(|l| start.checked_add(l)).ok_or(DbError::Damaged("length"))?;
    bytes.get(start..end).ok_or(DbError::Damaged("segment beyond the end"))
}
