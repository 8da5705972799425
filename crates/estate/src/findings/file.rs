//! A file of findings and its writer.

use super::Assessment;
use crate::build::{WriteError, ascending};
use crate::container;
use crate::intern::{Interner, Strings};
use crate::lists::{Csr, Parts, put_var, put_word};
use vuln::Severity;
use vuln::advisory::Status;

pub(super) const MAGIC: [u8; 8] = *b"BONDFND1";
pub(super) const SECTIONS: usize = 15;

/// Rows of 33 bytes: a segment's digest, and 1 if the file says everything of it.
pub(super) const SEGMENTS: usize = 0;
/// Rows of two words, sorted: place in [`SEGMENTS`], package.
pub(super) const KEYS: usize = 1;
/// For each key its findings: numbers of vulnerability, severity and status, repairing versions.
pub(super) const ROWS: usize = 2;
/// Names of vulnerabilities, sorted.
pub(super) const NAMES: usize = 4;
/// Vulnerability → its first name.
pub(super) const FIRST_NAME: usize = 6;
/// Vulnerability → all its names.
pub(super) const VULNERABILITY_NAMES: usize = 7;
/// Name → vulnerabilities.
pub(super) const NAME_VULNERABILITIES: usize = 9;
/// Vulnerability → keys.
pub(super) const VULNERABILITY_KEYS: usize = 11;
/// Repairing versions, line by line.
pub(super) const FIXED: usize = 13;

/// Collects findings; packages must come in order.
#[derive(Default)]
pub(super) struct FileWriter {
    segments: Vec<u8>,
    places: u32,
    keys: Vec<u8>,
    rows: Parts,
    names: Strings,
    fixed: Strings,
    /// The first name and all names, by number of `names`.
    vulnerabilities: Interner<(u32, Box<[u32]>)>,
    of_keys: Csr,
}

impl FileWriter {
    /// A segment follows.
    pub(super) fn segment(&mut self, id: [u8; 32], complete: bool) {
        self.segments.extend_from_slice(&id);
        self.segments.push(u8::from(complete));
        self.places += 1;
    }

    /// What is wrong with a package of the last segment.
    pub(super) fn package(&mut self, package: u32, findings: &[Assessment]) {
        put_word(&mut self.keys, self.places.saturating_sub(1));
        put_word(&mut self.keys, package);
        let mut vulnerabilities = Vec::with_capacity(findings.len());
        for finding in findings {
            let id = self.names.id(&finding.id);
            let names = finding.aliases.iter().map(|a| self.names.id(a)).chain([id]);
            let names = ascending(names.collect::<Vec<_>>().into_iter());
            let vulnerability = self.vulnerabilities.id((id, names));
            vulnerabilities.push(vulnerability);
            let severity = Severity::ALL.iter().position(|s| *s == finding.severity).unwrap_or(0);
            let status = Status::ALL.iter().position(|s| *s == finding.status).unwrap_or(0);
            let fixed = match finding.fixed_versions.as_slice() {
                [] => 0,
                versions => self.fixed.id(&versions.join("\n")) + 1,
            };
            let rating = u32::try_from(status * 8 + severity).unwrap_or(u32::MAX);
            for number in [vulnerability, rating, fixed] {
                put_var(&mut self.rows.bytes, number);
            }
        }
        self.rows.end();
        self.of_keys.push(ascending(vulnerabilities.into_iter()).into_vec());
    }

    pub(super) fn finish(self) -> Result<Vec<u8>, WriteError> {
        let mut sorted: Vec<(&str, u32)> = self.names.iter().zip(0u32..).collect();
        sorted.sort_unstable();
        let mut place = vec![0u32; sorted.len()];
        for (at, (_, name)) in (0u32..).zip(&sorted) {
            place[*name as usize] = at;
        }
        let (mut first, mut names) = (Vec::new(), Csr::new());
        for (id, all) in self.vulnerabilities.iter() {
            put_word(&mut first, place[*id as usize]);
            names.push(ascending(all.iter().map(|n| place[*n as usize])).into_vec());
        }
        let of_keys = self.of_keys.inverted(self.vulnerabilities.len());
        let mut out: [Vec<u8>; SECTIONS] = std::array::from_fn(|_| Vec::new());
        (out[SEGMENTS], out[KEYS], out[FIRST_NAME]) = (self.segments, self.keys, first);
        for (at, parts) in [
            (ROWS, self.rows),
            (NAMES, Parts::texts(sorted.iter().map(|(name, _)| *name))),
            (VULNERABILITY_NAMES, Parts::lists(&names)),
            (NAME_VULNERABILITIES, Parts::lists(&names.inverted(sorted.len()))),
            (VULNERABILITY_KEYS, Parts::lists(&of_keys)),
            (FIXED, Parts::texts(self.fixed.iter())),
        ] {
            if !parts.fits() {
                return Err(WriteError::TooLarge("findings"));
            }
            (out[at], out[at + 1]) = (parts.ends, parts.bytes);
        }
        Ok(container::write(MAGIC, out))
    }
}
