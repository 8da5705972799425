//! One feed's advisories as the database stores them: a view over bytes.
//!
//! A segment stands alone: its strings, scopes, packages, rows, claims, heads and compressed details refer only to each
//! other. That is what lets one feed be replaced without touching the others. Look-ups are binary searches over fixed
//! width tables; nothing is decoded before it is asked for. Every offset is checked, a damaged file is an error.

use super::DbError;
use super::bytes::{Cursor, u32_at, u64_at};
use crate::advisory::{NameKind, RangeKind, Rating, Reference, Status};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Sections of a segment, in file order.
pub(super) const SECTIONS: usize = 11;
/// Largest block of details after decompression, in bytes.
pub(super) const MAX_BLOCK_BYTES: usize = 64 << 20;

pub(super) const STRING_ENDS: usize = 0;
pub(super) const STRING_BYTES: usize = 1;
pub(super) const SCOPES: usize = 2;
pub(super) const PACKAGES: usize = 3;
pub(super) const ROWS: usize = 4;
pub(super) const CLAIMS: usize = 5;
pub(super) const HEAD_STARTS: usize = 6;
pub(super) const HEADS: usize = 7;
pub(super) const IDS: usize = 8;
pub(super) const BLOCK_STARTS: usize = 9;
pub(super) const BLOCKS: usize = 10;

/// A feed's advisories; two are equal if they were built from the same ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    sections: [&'a [u8]; SECTIONS],
}

/// A row: an advisory's claim on a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Index of the advisory in its segment.
    pub advisory: u32,
    claim: u32,
}

/// An event of a range, its version not copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventRef<'a> {
    /// See [`crate::advisory::Event::Introduced`].
    Introduced(&'a str),
    /// See [`crate::advisory::Event::IntroducedAfter`].
    IntroducedAfter(&'a str),
    /// See [`crate::advisory::Event::Fixed`].
    Fixed(&'a str),
    /// See [`crate::advisory::Event::LastAffected`].
    LastAffected(&'a str),
    /// See [`crate::advisory::Event::Limit`].
    Limit(&'a str),
}

impl<'a> EventRef<'a> {
    /// The version that the event names.
    pub fn version(&self) -> &'a str {
        match self {
            Self::Introduced(v)
            | Self::IntroducedAfter(v)
            | Self::Fixed(v)
            | Self::LastAffected(v)
            | Self::Limit(v) => v,
        }
    }
}

/// What an advisory says of a package's versions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claim<'a> {
    /// Explicit status.
    pub status: Option<Status>,
    /// Which name is meant.
    pub names: NameKind,
    /// Module stream.
    pub module: Option<&'a str>,
    /// Architectures; empty: all.
    pub arches: Vec<&'a str>,
    /// Ratings of this row.
    pub severity: Vec<Rating>,
    /// Repairing versions where the ranges do not end in them.
    pub fixed: Vec<&'a str>,
    /// Ranges, their events sorted.
    pub ranges: Vec<(RangeKind, Vec<EventRef<'a>>)>,
    /// Versions listed.
    pub versions: Vec<&'a str>,
}

/// Identity and ratings of an advisory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Head<'a> {
    /// Identifier in the feed.
    pub id: &'a str,
    /// Other names of the same vulnerability.
    pub aliases: Vec<&'a str>,
    /// Vulnerabilities passed on.
    pub upstream: Vec<&'a str>,
    /// Close vulnerabilities.
    pub related: Vec<&'a str>,
    /// Ratings.
    pub severity: Vec<Rating>,
    /// Withdrawn: it says nothing.
    pub withdrawn: bool,
    /// Changes when what it claims changes.
    pub fingerprint: u64,
    block: u32,
    start: u32,
    length: u32,
}

impl Head<'_> {
    /// The block that holds the advisory's text.
    pub(super) fn block(&self) -> u32 {
        self.block
    }
}

/// The part of an advisory that only a reader needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// Time of publication.
    #[serde(rename = "p", skip_serializing_if = "Option::is_none")]
    pub published: Option<String>,
    /// Time of the last change.
    #[serde(rename = "m", skip_serializing_if = "String::is_empty")]
    pub modified: String,
    /// Time of withdrawal.
    #[serde(rename = "w", skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<String>,
    /// One line.
    #[serde(rename = "s", skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// Longer text.
    #[serde(rename = "d", skip_serializing_if = "String::is_empty")]
    pub details: String,
    /// Links.
    #[serde(rename = "r", skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
    /// The feed's own facts.
    #[serde(rename = "x", skip_serializing_if = "Value::is_null")]
    pub database_specific: Value,
    /// Package name → the ecosystem's own facts (vulnerable symbols and the like).
    #[serde(rename = "e", skip_serializing_if = "Vec::is_empty")]
    pub ecosystem_specific: Vec<(String, Value)>,
}

fn cell(section: &[u8], index: usize, width: usize) -> Result<u32, DbError> {
    u32_at(section, index.checked_mul(width).ok_or(DbError::Damaged("index"))?)
}

impl<'a> Segment<'a> {
    /// Views a segment; only its table of sections is looked at.
    pub(super) fn view(bytes: &'a [u8]) -> Result<Self, DbError> {
        let mut sections: [&[u8]; SECTIONS] = [&[]; SECTIONS];
        let mut start = SECTIONS * 4;
        for (index, section) in sections.iter_mut().enumerate() {
            let end = cell(bytes, index, 4)? as usize;
            *section = bytes.get(start..end).ok_or(DbError::Damaged("section"))?;
            start = end;
        }
        Ok(Self { sections })
    }

    fn string(&self, id: u32) -> Result<&'a str, DbError> {
        let ends = self.sections[STRING_ENDS];
        let start = if id == 0 { 0 } else { cell(ends, id as usize - 1, 4)? as usize };
        let end = cell(ends, id as usize, 4)? as usize;
        let bytes = self.sections[STRING_BYTES].get(start..end).ok_or(DbError::Damaged("string"))?;
        std::str::from_utf8(bytes).map_err(|_| DbError::Damaged("string is not UTF-8"))
    }

    /// How many advisories it holds.
    pub fn advisories(&self) -> u32 {
        u32::try_from((self.sections[HEAD_STARTS].len() / 4).saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// How many rows it holds.
    pub fn rows(&self) -> u32 {
        u32::try_from(self.sections[ROWS].len() / 8).unwrap_or(u32::MAX)
    }

    /// Its scopes (canonical ecosystems), sorted, with their index.
    pub fn scopes(&self) -> Result<Vec<&'a str>, DbError> {
        let section = self.sections[SCOPES];
        (0..section.len() / 12).map(|i| self.string(cell(section, i, 12)?)).collect()
    }

    /// Rows of the package `name` in the scope with index `scope`.
    pub fn package(&self, scope: usize, name: &str) -> Result<Vec<Row>, DbError> {
        let at = scope.checked_mul(12).ok_or(DbError::Damaged("scope"))?;
        let first = u32_at(self.sections[SCOPES], at + 4)? as usize;
        let count = u32_at(self.sections[SCOPES], at + 8)? as usize;
        let packages = self.sections[PACKAGES];
        let (mut low, mut high) = (first, first.saturating_add(count));
        while low < high {
            let middle = low + (high - low) / 2;
            match self.string(cell(packages, middle, 8)?)?.cmp(name) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return self.rows_of(middle),
            }
        }
        Ok(Vec::new())
    }

    fn rows_of(&self, package: usize) -> Result<Vec<Row>, DbError> {
        let packages = self.sections[PACKAGES];
        let first = u32_at(packages, package * 8 + 4)?;
        let last = u32_at(packages, (package + 1) * 8 + 4)?;
        if last > self.rows() {
            return Err(DbError::Damaged("rows beyond the end"));
        }
        (first..last).map(|i| self.row(i as usize)).collect()
    }

    fn row(&self, index: usize) -> Result<Row, DbError> {
        let rows = self.sections[ROWS];
        let at = index.checked_mul(8).ok_or(DbError::Damaged("row"))?;
        Ok(Row { advisory: u32_at(rows, at)?, claim: u32_at(rows, at + 4)? })
    }

    /// Visits every row: scope, package name, row.
    pub fn each_row(&self, visit: &mut dyn FnMut(&'a str, &'a str, Row)) -> Result<(), DbError> {
        let scopes = self.sections[SCOPES];
        for scope in 0..scopes.len() / 12 {
            let name = self.string(cell(scopes, scope, 12)?)?;
            let (first, count) =
                (u32_at(scopes, scope * 12 + 4)? as usize, u32_at(scopes, scope * 12 + 8)? as usize);
            for package in first..first.saturating_add(count) {
                let package_name = self.string(cell(self.sections[PACKAGES], package, 8)?)?;
                for row in self.rows_of(package)? {
                    visit(name, package_name, row);
                }
            }
        }
        Ok(())
    }

    /// What a row claims.
    pub fn claim(&self, row: Row) -> Result<Claim<'a>, DbError> {
        let mut c = Cursor::new(self.sections[CLAIMS], row.claim as usize);
        let mut claim = Claim::default();
        let code = usize::try_from(c.var()?).unwrap_or(usize::MAX);
        claim.status = match code {
            0 => None,
            n => Some(*Status::ALL.get(n - 1).ok_or(DbError::Damaged("status"))?),
        };
        claim.names = match c.var()? {
            0 => NameKind::Default,
            1 => NameKind::Source,
            2 => NameKind::Binary,
            3 => NameKind::Any,
            _ => return Err(DbError::Damaged("kind of name")),
        };
        claim.module = match c.index()? {
            0 => None,
            n => Some(self.string(n - 1)?),
        };
        claim.arches = self.strings(&mut c)?;
        claim.severity = self.severities(&mut c)?;
        claim.fixed = self.strings(&mut c)?;
        for _ in 0..c.count()? {
            let kind = match c.var()? {
                0 => RangeKind::Ecosystem,
                1 => RangeKind::Semver,
                2 => RangeKind::Git,
                _ => return Err(DbError::Damaged("kind of range")),
            };
            let mut events = Vec::new();
            for _ in 0..c.count()? {
                let code = c.var()?;
                let version = self.string(c.index()?)?;
                events.push(match code {
                    0 => EventRef::Introduced(version),
                    1 => EventRef::IntroducedAfter(version),
                    2 => EventRef::Fixed(version),
                    3 => EventRef::LastAffected(version),
                    4 => EventRef::Limit(version),
                    _ => return Err(DbError::Damaged("kind of event")),
                });
            }
            claim.ranges.push((kind, events));
        }
        let mut last = 0i64;
        for _ in 0..c.count()? {
            last = last.wrapping_add(c.delta()?);
            claim.versions.push(self.string(u32::try_from(last).map_err(|_| DbError::Damaged("version"))?)?);
        }
        Ok(claim)
    }

    fn strings(&self, c: &mut Cursor<'_>) -> Result<Vec<&'a str>, DbError> {
        (0..c.count()?).map(|_| self.string(c.index()?)).collect()
    }

    fn severities(&self, c: &mut Cursor<'_>) -> Result<Vec<Rating>, DbError> {
        let one = |c: &mut Cursor<'_>| -> Result<Rating, DbError> {
            let (kind, score) = (self.string(c.index()?)?, self.string(c.index()?)?);
            let source = match c.index()? {
                0 => None,
                n => Some(self.string(n - 1)?.to_owned()),
            };
            Ok(Rating { kind: kind.to_owned(), score: score.to_owned(), source })
        };
        (0..c.count()?).map(|_| one(c)).collect()
    }

    /// An advisory's identity.
    pub fn head(&self, advisory: u32) -> Result<Head<'a>, DbError> {
        if advisory >= self.advisories() {
            return Err(DbError::Damaged("advisory beyond the end"));
        }
        let start = cell(self.sections[HEAD_STARTS], advisory as usize, 4)? as usize;
        let fingerprint = u64_at(self.sections[HEADS], start)?;
        let mut c = Cursor::new(self.sections[HEADS], start + 8);
        Ok(Head {
            fingerprint,
            withdrawn: c.var()? == 1,
            id: self.string(c.index()?)?,
            aliases: self.strings(&mut c)?,
            upstream: self.strings(&mut c)?,
            related: self.strings(&mut c)?,
            severity: self.severities(&mut c)?,
            block: c.index()?,
            start: c.index()?,
            length: c.index()?,
        })
    }

    /// The advisory's text; decompresses the block that holds it.
    pub fn details(&self, head: &Head<'_>) -> Result<Details, DbError> {
        Self::details_in(&self.block(head.block)?, head)
    }

    /// The advisory's text, from the block that holds it.
    pub(super) fn details_in(block: &[u8], head: &Head<'_>) -> Result<Details, DbError> {
        let (start, end) = (head.start as usize, head.start as usize + head.length as usize);
        let bytes = block.get(start..end).ok_or(DbError::Damaged("details beyond the end"))?;
        serde_json::from_slice(bytes).map_err(|_| DbError::Damaged("details"))
    }

    /// A block of texts, unpacked.
    pub(super) fn block(&self, index: u32) -> Result<Vec<u8>, DbError> {
        let starts = self.sections[BLOCK_STARTS];
        let (start, end) =
            (cell(starts, index as usize, 4)? as usize, cell(starts, index as usize + 1, 4)? as usize);
        let bytes = self.sections[BLOCKS].get(start..end).ok_or(DbError::Damaged("block"))?;
        let stated = zstd::zstd_safe::get_frame_content_size(bytes).ok().flatten();
        let size = stated.and_then(|s| usize::try_from(s).ok()).filter(|s| *s <= MAX_BLOCK_BYTES);
        zstd::bulk::decompress(bytes, size.ok_or(DbError::Damaged("size of a block"))?)
            .map_err(|_| DbError::Damaged("block cannot be decompressed"))
    }

    /// Visits every identifier by which an advisory is or can be found, in order, with the advisory.
    ///
    /// # Errors
    /// [`DbError::Damaged`].
    pub fn each_id(&self, visit: &mut dyn FnMut(&'a str, u32)) -> Result<(), DbError> {
        let ids = self.sections[IDS];
        for at in 0..ids.len() / 8 {
            visit(self.string(cell(ids, at, 8)?)?, u32_at(ids, at * 8 + 4)?);
        }
        Ok(())
    }

    /// Advisories that are, or name as alias, upstream or related, this identifier.
    pub fn by_id(&self, id: &str) -> Result<Vec<u32>, DbError> {
        let ids = self.sections[IDS];
        let (mut low, mut high) = (0, ids.len() / 8);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.string(cell(ids, middle, 8)?)? < id {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let mut out = Vec::new();
        while low < ids.len() / 8 && self.string(cell(ids, low, 8)?)? == id {
            out.push(u32_at(ids, low * 8 + 4)?);
            low += 1;
        }
        Ok(out)
    }
}
