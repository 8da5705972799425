//! EPSS, KEV, end-of-life data and newest versions of a feed: sorted tables for binary search.

use super::DbError;
use super::bytes::{put_u32, u32_at, u64_at};
use crate::advisory::import::{EndOfLife, EpssScore, KevEntry, Newest};
use crate::advisory::scope;
use crate::version;
use std::collections::BTreeMap;

/// Probabilities are stored as whole hundred-thousandths, EPSS' own precision.
const UNIT: f64 = 100_000.0;
const EPSS_BYTES: usize = 16;
const KEV_BYTES: usize = 16;
/// Tables of a feed's scores.
const PARTS: usize = 6;

/// A view over a feed's scores.
#[derive(Clone, Copy, Debug)]
pub struct Scores<'a> {
    epss: &'a [u8],
    kev: &'a [u8],
    text: &'a [u8],
    eol: &'a [u8],
    /// Where each of `newest` ends.
    newest_ends: &'a [u8],
    /// `scope NUL name NUL version`, sorted.
    newest: &'a [u8],
}

/// `CVE-2021-44228` as a number that sorts as the identifiers do.
fn key(cve: &str) -> Option<u64> {
    let (year, number) = cve.strip_prefix("CVE-")?.split_once('-')?;
    Some(year.parse::<u64>().ok()? << 40 | number.parse::<u64>().ok().filter(|n| *n < 1 << 40)?)
}

fn find(table: &[u8], width: usize, wanted: u64) -> Result<Option<usize>, DbError> {
    let (mut low, mut high) = (0, table.len() / width);
    while low < high {
        let middle = low + (high - low) / 2;
        match u64_at(table, middle * width)?.cmp(&wanted) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
            std::cmp::Ordering::Equal => return Ok(Some(middle * width)),
        }
    }
    Ok(None)
}

impl<'a> Scores<'a> {
    pub(super) fn view(bytes: &'a [u8]) -> Result<Self, DbError> {
        let mut start = PARTS * 4;
        let mut parts: [&[u8]; PARTS] = [&[]; PARTS];
        for (index, part) in parts.iter_mut().enumerate() {
            let end = u32_at(bytes, index * 4)? as usize;
            *part = bytes.get(start..end).ok_or(DbError::Damaged("section"))?;
            start = end;
        }
        let [epss, kev, text, eol, newest_ends, newest] = parts;
        Ok(Self { epss, kev, text, eol, newest_ends, newest })
    }

    /// The EPSS score of a CVE: probability and percentile.
    pub fn epss(&self, cve: &str) -> Result<Option<(f64, f64)>, DbError> {
        let Some(key) = key(cve) else { return Ok(None) };
        let Some(at) = find(self.epss, EPSS_BYTES, key)? else { return Ok(None) };
        let part = |n: usize| u32_at(self.epss, at + n).map(|v| f64::from(v) / UNIT);
        Ok(Some((part(8)?, part(12)?)))
    }

    /// The KEV entry of a CVE.
    pub fn kev(&self, cve: &str) -> Result<Option<KevEntry>, DbError> {
        let Some(key) = key(cve) else { return Ok(None) };
        let Some(at) = find(self.kev, KEV_BYTES, key)? else { return Ok(None) };
        let (start, length) = (u32_at(self.kev, at + 8)? as usize, u32_at(self.kev, at + 12)? as usize);
        let text = self.text.get(start..start + length).ok_or(DbError::Damaged("entry"))?;
        serde_json::from_slice(text).map(Some).map_err(|_| DbError::Damaged("entry"))
    }

    /// Every end-of-life entry.
    pub fn end_of_life(&self) -> Result<Vec<EndOfLife>, DbError> {
        if self.eol.is_empty() {
            return Ok(Vec::new());
        }
        serde_json::from_slice(self.eol).map_err(|_| DbError::Damaged("end-of-life table"))
    }

    /// The newest version of a package in a canonical scope.
    pub fn newest(&self, scope: &str, name: &str) -> Result<Option<&'a str>, DbError> {
        let (mut low, mut high) = (0, self.newest_ends.len() / 4);
        while low < high {
            let middle = low + (high - low) / 2;
            let start = if middle == 0 { 0 } else { u32_at(self.newest_ends, (middle - 1) * 4)? as usize };
            let end = u32_at(self.newest_ends, middle * 4)? as usize;
            let record = self.newest.get(start..end).ok_or(DbError::Damaged("newest version"))?;
            let record = std::str::from_utf8(record).map_err(|_| DbError::Damaged("newest version"))?;
            let mut fields = record.splitn(3, '\0');
            let (Some(its_scope), Some(its_name), Some(version)) =
                (fields.next(), fields.next(), fields.next())
            else {
                return Err(DbError::Damaged("newest version"));
            };
            match (its_scope, its_name).cmp(&(scope, name)) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(Some(version)),
            }
        }
        Ok(None)
    }

    /// Whether it states newest versions.
    pub fn knows_newest(&self) -> bool {
        !self.newest_ends.is_empty()
    }

    /// How many scores, exploited vulnerabilities and newest versions it holds.
    pub fn len(&self) -> usize {
        self.epss.len() / EPSS_BYTES + self.kev.len() / KEV_BYTES + self.newest_ends.len() / 4
    }

    /// Whether it holds no scores.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.eol.is_empty()
    }
}

/// Collects a feed's scores.
#[derive(Default)]
pub struct ScoresBuilder {
    epss: BTreeMap<u64, (u32, u32)>,
    kev: BTreeMap<u64, KevEntry>,
    eol: Vec<EndOfLife>,
    newest: BTreeMap<(String, String), String>,
}

impl ScoresBuilder {
    /// Adds an EPSS score; what is no CVE is left out.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded above")]
    pub fn epss(&mut self, e: &EpssScore) {
        let unit = |p: f64| (p.clamp(0.0, 1.0) * UNIT).round() as u32;
        if let Some(key) = key(&e.cve) {
            self.epss.insert(key, (unit(e.score), unit(e.percentile)));
        }
    }
    /// Adds a KEV entry; of two for one CVE the one that states its day stays, else the first.
    pub fn kev(&mut self, e: KevEntry) {
        if let Some(key) = key(&e.cve) {
            let dated = !e.added.is_empty();
            let known = self.kev.entry(key).or_insert_with(|| e.clone());
            if known.added.is_empty() && dated {
                *known = e;
            }
        }
    }
    /// Adds the end of a release.
    pub fn end_of_life(&mut self, e: EndOfLife) {
        self.eol.push(e);
    }
    /// Adds a newest version; of several the greatest stays.
    pub fn newest(&mut self, n: Newest) {
        if [&n.scope, &n.name, &n.version].iter().any(|text| text.contains('\0')) {
            return;
        }
        let scheme = scope::scheme(&n.scope);
        let known = self.newest.entry((n.scope, n.name)).or_insert_with(|| n.version.clone());
        if version::compare(scheme, known, &n.version).is_ok_and(std::cmp::Ordering::is_lt) {
            *known = n.version;
        }
    }
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.epss.len() + self.kev.len() + self.eol.len() + self.newest.len()
    }
    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Writes the tables.
    pub fn finish(mut self) -> Vec<u8> {
        let (mut epss, mut kev, mut text) = (Vec::new(), Vec::new(), Vec::new());
        for (key, (score, percentile)) in self.epss {
            epss.extend_from_slice(&key.to_le_bytes());
            put_u32(&mut epss, score);
            put_u32(&mut epss, percentile);
        }
        for (key, entry) in self.kev {
            let start = text.len();
            // Writing to a Vec cannot fail.
            let _ = serde_json::to_writer(&mut text, &entry);
            kev.extend_from_slice(&key.to_le_bytes());
            put_u32(&mut kev, u32::try_from(start).unwrap_or(u32::MAX));
            put_u32(&mut kev, u32::try_from(text.len() - start).unwrap_or(0));
        }
        self.eol.sort();
        self.eol.dedup();
        let eol =
            if self.eol.is_empty() { Vec::new() } else { serde_json::to_vec(&self.eol).unwrap_or_default() };
        let (mut newest_ends, mut newest) = (Vec::new(), Vec::new());
        for ((scope, name), version) in self.newest {
            newest.extend_from_slice(format!("{scope}\0{name}\0{version}").as_bytes());
            put_u32(&mut newest_ends, u32::try_from(newest.len()).unwrap_or(u32::MAX));
        }
        let parts: [Vec<u8>; PARTS] = [epss, kev, text, eol, newest_ends, newest];
        let mut out = Vec::new();
        let mut end = PARTS * 4;
        for part in &parts {
            end += part.len();
            put_u32(&mut out, u32::try_from(end).unwrap_or(u32::MAX));
        }
        parts.iter().for_each(|p| out.extend_from_slice(p));
        out
    }
}
