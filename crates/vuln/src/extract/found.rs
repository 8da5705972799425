//! What an extractor reports.

use crate::layer::Owned;
use crate::layer::path::owned_fingerprint;
use crate::limits::{Limit, ScanError};
use crate::package::{Package, PackageKind};

/// Why a file could not be parsed.
#[derive(Debug)]
pub(crate) enum ParseError {
    /// The file is not what its name says: becomes a problem of the scan.
    Malformed(String),
    /// A limit: ends the scan.
    Limit(Limit),
    /// The layer itself cannot be read on.
    Scan(ScanError),
}

pub(crate) type ParseResult = Result<(), ParseError>;

impl ParseError {
    pub(crate) fn malformed(why: impl std::fmt::Display) -> Self {
        let mut text = why.to_string();
        if text.len() > 300 {
            text = text.chars().take(300).collect();
        }
        Self::Malformed(text)
    }
}

impl From<std::io::Error> for ParseError {
    fn from(error: std::io::Error) -> Self {
        Self::Scan(error.into())
    }
}

/// Collects what one file states.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) packages: Vec<Package>,
    pub(crate) owned: Vec<Owned>,
    pub(crate) text: Option<String>,
    pub(crate) problems: Vec<String>,
}

impl Found {
    /// Adds a package unless its name or version is empty.
    pub(crate) fn package(&mut self, package: Package) {
        if !package.name.is_empty() && !package.version.is_empty() {
            self.packages.push(package);
        }
    }

    /// Adds a package by identity.
    pub(crate) fn add(&mut self, kind: PackageKind, name: &str, version: &str) {
        self.package(Package::new(kind, name.trim(), version.trim()));
    }

    /// Adds files that a package owns.
    pub(crate) fn own<'p>(&mut self, package: &str, paths: impl Iterator<Item = &'p str>) {
        let mut paths: Vec<u64> = paths.map(owned_fingerprint).collect();
        paths.sort_unstable();
        paths.dedup();
        if !paths.is_empty() {
            self.owned.push(Owned { package: package.to_owned(), licenses: Vec::new(), paths });
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.packages.is_empty() && self.owned.is_empty() && self.text.is_none() && self.problems.is_empty()
    }
}
