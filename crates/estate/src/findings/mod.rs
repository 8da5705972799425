//! What is wrong with each package, derived from an estate and an advisory database.
//!
//! A stack of files beside the estate's segments: the oldest says everything of its segments, later ones what changed
//! ([`delta`]). A row is a package and a vulnerability; images have only counters. What a vendor denies, and what
//! packages have that are not the distribution's own, does not count and has no row. VEX statements and allow-lists are
//! of images and projects: the caller applies them, by [`Findings::tally_without`].

mod changed;
mod counts;
mod exposure;
mod file;
mod lines;
mod rematch;

pub use changed::Changed;
pub use exposure::{Held, subject};
pub use lines::{Asked, Line, Lines, LinesError, Named};
pub use rematch::{Change, Delta, DeltaError, delta, full};
pub use vuln::matching::Assessment;

use crate::container::{Container, OpenError, u32_at};
use crate::estate::{Estate, PackageRef};
use crate::lists::{Lists, Texts, Words, first, var};
use file::SECTIONS;
use std::collections::{BTreeSet, HashMap};
use vuln::Severity;
use vuln::advisory::Status;

const DAMAGED: OpenError = OpenError::Damaged("finding");

/// One file of findings, its segments as numbers of the estate.
#[derive(Debug)]
struct Part<'a> {
    file: Container<'a, SECTIONS>,
    /// Segment in the file → segment of the estate.
    to_estate: Vec<Option<u32>>,
    /// Segment of the estate → segment in the file, and whether the file says everything of it.
    from_estate: HashMap<u32, (u32, bool)>,
}

/// A row as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) vulnerability: u32,
    pub(crate) severity: Severity,
    pub(crate) status: Status,
    fixed: u32,
}

/// The findings of an open estate.
#[derive(Debug)]
pub struct Findings<'a> {
    parts: Vec<Part<'a>>,
}

impl<'a> Findings<'a> {
    /// Opens files of findings, the oldest first; what they say of segments that the estate does not have is passed
    /// over.
    ///
    /// # Errors
    /// [`OpenError`] if one is foreign or damaged.
    pub fn open(files: &[&'a [u8]], estate: &Estate<'_>) -> Result<Self, OpenError> {
        let places: HashMap<[u8; 32], u32> = estate.numbered().map(|(at, l)| (l.segment.id(), at)).collect();
        let parts = files.iter().map(|bytes| Part::open(bytes, &places)).collect::<Result<_, _>>()?;
        Ok(Self { parts })
    }

    /// Segments of the estate (by place) of which no file says everything: [`full`] must be asked for them.
    pub fn missing(&self, estate: &Estate<'_>) -> Vec<usize> {
        let known = |at: u32| self.parts.iter().any(|p| p.from_estate.get(&at).is_some_and(|(_, all)| *all));
        // Of equal segments the last one has the images, so it alone matters.
        let last: HashMap<[u8; 32], u32> = estate.numbered().map(|(at, l)| (l.segment.id(), at)).collect();
        let matters = estate.numbered().filter(|(at, l)| last.get(&l.segment.id()) == Some(at));
        matters.filter(|(at, _)| !known(*at)).map(|(at, _)| at as usize).collect()
    }

    /// The newest file that speaks of a package, and its row there.
    fn place(&self, at: PackageRef) -> Result<Option<(&Part<'a>, u32)>, OpenError> {
        for part in self.parts.iter().rev() {
            let Some((segment, complete)) = part.from_estate.get(&at.segment) else { continue };
            if let Some(key) = part.find(*segment, at.package)? {
                return Ok(Some((part, key)));
            }
            if *complete {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Visits what is wrong with a package.
    pub(crate) fn each(&self, at: PackageRef, mut each: impl FnMut(Row)) -> Result<(), OpenError> {
        if let Some((part, key)) = self.place(at)? {
            part.rows(key)?.into_iter().for_each(&mut each);
        }
        Ok(())
    }

    /// What is wrong with a package, by identifier.
    ///
    /// # Errors
    /// [`OpenError::Damaged`].
    pub fn of(&self, at: PackageRef) -> Result<Vec<Assessment>, OpenError> {
        let Some((part, key)) = self.place(at)? else { return Ok(Vec::new()) };
        let mut all: Vec<Assessment> =
            part.rows(key)?.into_iter().map(|row| part.assessment(row)).collect::<Result<_, _>>()?;
        all.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(all)
    }

    /// The packages with a vulnerability, by any of its names.
    ///
    /// # Errors
    /// [`OpenError::Damaged`].
    pub fn packages(&self, name: &str) -> Result<BTreeSet<PackageRef>, OpenError> {
        let mut found = BTreeSet::new();
        for (number, part) in self.parts.iter().enumerate() {
            for (segment, package) in part.packages(name)? {
                let Some(segment) = part.to_estate.get(segment as usize).copied().flatten() else { continue };
                let at = PackageRef { segment, package };
                // A later file may have other things to say of the package.
                let last =
                    self.place(at)?.is_some_and(|(p, _)| std::ptr::eq(p, &raw const self.parts[number]));
                if last {
                    found.insert(at);
                }
            }
        }
        Ok(found)
    }

    /// Every package of the estate with a finding, in order.
    pub(crate) fn each_package(
        &self,
        mut each: impl FnMut(PackageRef, Vec<Row>) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        for (number, part) in self.parts.iter().enumerate() {
            for key in 0..part.keys() {
                let (segment, package) = part.key(key)?;
                let Some(segment) = part.to_estate.get(segment as usize).copied().flatten() else { continue };
                let at = PackageRef { segment, package };
                let last = number + 1 == self.parts.len()
                    || self.place(at)?.is_some_and(|(p, _)| std::ptr::eq(p, &raw const self.parts[number]));
                if last {
                    each(at, part.rows(key)?)?;
                }
            }
        }
        Ok(())
    }
}

impl<'a> Part<'a> {
    fn open(bytes: &'a [u8], places: &HashMap<[u8; 32], u32>) -> Result<Self, OpenError> {
        let file = Container::open(bytes, file::MAGIC)?;
        let mut part = Self { file, to_estate: Vec::new(), from_estate: HashMap::new() };
        let named = file.section(file::SEGMENTS);
        if !named.len().is_multiple_of(33) || !file.section(file::KEYS).len().is_multiple_of(8) {
            return Err(OpenError::Damaged("table of segments"));
        }
        for (at, row) in (0u32..).zip(named.chunks_exact(33)) {
            let place = row.get(..32).and_then(|id| places.get(id)).copied();
            part.to_estate.push(place);
            part.from_estate.extend(place.map(|place| (place, (at, row[32] == 1))));
        }
        Ok(part)
    }

    fn lists(&self, at: usize) -> Lists<'a> {
        Lists::new(self.file.section(at), self.file.section(at + 1))
    }

    fn texts(&self, at: usize) -> Texts<'a> {
        Texts::new(self.file.section(at), self.file.section(at + 1))
    }

    fn keys(&self) -> u32 {
        u32::try_from(self.file.section(file::KEYS).len() / 8).unwrap_or(u32::MAX)
    }

    fn key(&self, at: u32) -> Result<(u32, u32), OpenError> {
        let section = self.file.section(file::KEYS);
        Ok((u32_at(section, at as usize * 8)?, u32_at(section, at as usize * 8 + 4)?))
    }

    fn find(&self, segment: u32, package: u32) -> Result<Option<u32>, OpenError> {
        let wanted = (segment, package);
        let at = first(0, self.keys(), |i| Ok(self.key(i)? < wanted))?;
        Ok((at < self.keys() && self.key(at)? == wanted).then_some(at))
    }

    fn rows(&self, key: u32) -> Result<Vec<Row>, OpenError> {
        let ends = Words(self.file.section(file::ROWS));
        let start = if key == 0 { 0 } else { ends.at(key as usize - 1)? as usize };
        let bytes = self.file.section(file::ROWS + 1).get(start..ends.at(key as usize)? as usize);
        let bytes = bytes.ok_or(DAMAGED)?;
        let (mut at, mut rows) = (0, Vec::new());
        while at < bytes.len() {
            let mut number = || u32::try_from(var(bytes, &mut at)?).map_err(|_| DAMAGED);
            let (vulnerability, rating, fixed) = (number()?, number()? as usize, number()?);
            let severity = *Severity::ALL.get(rating % 8).ok_or(DAMAGED)?;
            let status = *Status::ALL.get(rating / 8).ok_or(DAMAGED)?;
            rows.push(Row { vulnerability, severity, status, fixed });
        }
        Ok(rows)
    }

    /// The names of a vulnerability, the first one first.
    fn names(&self, vulnerability: u32) -> Result<(&'a str, Vec<&'a str>), OpenError> {
        let names = self.texts(file::NAMES);
        let main = Words(self.file.section(file::FIRST_NAME)).at(vulnerability as usize)?;
        let all = self.lists(file::VULNERABILITY_NAMES).to_vec(vulnerability, names.len())?;
        let others = all.into_iter().filter(|n| *n != main).map(|n| names.at(n)).collect::<Result<_, _>>()?;
        Ok((names.at(main)?, others))
    }

    fn assessment(&self, row: Row) -> Result<Assessment, OpenError> {
        let (id, aliases) = self.names(row.vulnerability)?;
        let fixed = self.texts(file::FIXED).optional(row.fixed)?;
        Ok(Assessment {
            id: id.to_owned(),
            aliases: aliases.into_iter().map(str::to_owned).collect(),
            status: row.status,
            severity: row.severity,
            fixed_versions: fixed.into_iter().flat_map(|f| f.split('\n')).map(str::to_owned).collect(),
            denied: false,
        })
    }

    /// Packages with a vulnerability of this name, as numbers of the file.
    fn packages(&self, name: &str) -> Result<Vec<(u32, u32)>, OpenError> {
        let Some(name) = self.texts(file::NAMES).find(name)? else { return Ok(Vec::new()) };
        let keys = self.lists(file::VULNERABILITY_KEYS);
        let mut out = Vec::new();
        for vulnerability in self.lists(file::NAME_VULNERABILITIES).to_vec(name, keys.len())? {
            for key in keys.to_vec(vulnerability, self.keys())? {
                out.push(self.key(key)?);
            }
        }
        Ok(out)
    }
}
