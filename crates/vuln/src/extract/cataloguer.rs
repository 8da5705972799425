//! The engine: gives each file to the extractors that want it and collects what they find.
//!
//! One engine for layers and directories; a directory is fed by its caller, so that this crate needs no file system.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::registry::EXTRACTORS;
use super::{Extractor, Found, Mode, Parse, ParseError, nix};
use crate::layer::{FileResult, LayerResult};
use crate::limits::{Limit, Limits, ScanError};
use crate::package::Problem;

/// Files above this are held one at a time, over all threads: the bound on memory when layers run in parallel.
const LARGE_FILE_BYTES: u64 = 8 << 20;
static LARGE_FILE: Mutex<()> = Mutex::new(());

/// Waits until no other large file is held.
pub(super) fn hold(size_bytes: u64) -> Option<MutexGuard<'static, ()>> {
    (size_bytes > LARGE_FILE_BYTES).then(|| LARGE_FILE.lock().unwrap_or_else(PoisonError::into_inner))
}

/// What is known of a file before it is read.
#[derive(Clone, Copy, Debug)]
pub struct FileInfo<'p> {
    /// Path without a leading slash.
    pub path: &'p str,
    /// Last part of the path.
    pub name: &'p str,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Permission bits.
    pub mode: u32,
}

impl<'p> FileInfo<'p> {
    /// A file by normalised path.
    pub fn new(path: &'p str, size_bytes: u64, mode: u32) -> Self {
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        Self { path, name, size_bytes, mode }
    }

    /// Whether the path is `suffix` or ends with `/suffix`.
    pub(crate) fn ends_with(&self, suffix: &str) -> bool {
        self.path.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
    }

    /// Whether the name ends so, case included.
    pub(crate) fn has_suffix(&self, suffix: &str) -> bool {
        self.name.ends_with(suffix)
    }

    /// Whether some directory of the path has this name.
    pub(crate) fn below(&self, directory: &str) -> bool {
        self.path.split('/').rev().skip(1).any(|part| part == directory)
    }

    /// Name of the directory that holds the file.
    pub(crate) fn parent(&self) -> &'p str {
        self.path.rsplit('/').nth(1).unwrap_or("")
    }
}

/// Collects the results of the files of one layer or directory.
pub struct Cataloguer<'l> {
    active: Vec<&'static Extractor>,
    limits: &'l Limits,
    files: Vec<FileResult>,
    by_path: HashMap<String, Vec<usize>>,
    store_paths: HashSet<String>,
    packages: usize,
    facts: usize,
}

impl<'l> Cataloguer<'l> {
    /// An empty catalogue.
    pub fn new(mode: Mode, limits: &'l Limits) -> Self {
        let active = EXTRACTORS.iter().copied().filter(|extractor| extractor.scope.covers(mode)).collect();
        Self {
            active,
            limits,
            files: Vec::new(),
            by_path: HashMap::new(),
            store_paths: HashSet::new(),
            packages: 0,
            facts: 0,
        }
    }

    /// Whether any extractor wants this file.
    pub fn wants(&self, info: &FileInfo<'_>) -> bool {
        self.active.iter().any(|extractor| (extractor.required)(info))
    }

    /// Takes what a path states by itself (Nix store paths), once per store path.
    ///
    /// # Errors
    /// A limit.
    pub fn path(&mut self, path: &str) -> Result<(), ScanError> {
        let Some((store_path, package)) = nix::store_path(path) else { return Ok(()) };
        if !self.store_paths.insert(store_path.to_owned()) {
            return Ok(());
        }
        let found = Found { packages: vec![package], ..Found::default() };
        self.record(&FileInfo::new(path, 0, 0), "nix-store", Ok(()), found)
    }

    /// Reads a file if it is wanted.
    ///
    /// # Errors
    /// A limit, or content that cannot be read.
    pub fn file(&mut self, info: &FileInfo<'_>, content: &mut dyn Read) -> Result<(), ScanError> {
        self.path(info.path)?;
        let wanted: Vec<_> =
            self.active.iter().copied().filter(|extractor| (extractor.required)(info)).collect();
        match wanted.as_slice() {
            [] => Ok(()),
            [Extractor { parse: Parse::Stream(parse), .. }] => {
                let mut found = Found::default();
                let outcome = parse(info, content, self.limits, &mut found);
                self.record(info, wanted.first().map_or("", |extractor| extractor.name), outcome, found)
            }
            several => self.held(info, content, several),
        }
    }

    /// Records that `name` is a hard link to `target`; false when nothing is known of the target.
    pub(crate) fn same_content(&mut self, target: &str, name: &str) -> bool {
        let Some(indexes) = self.by_path.get(target).cloned() else { return false };
        for index in indexes {
            let Some(mut copy) = self.files.get(index).cloned() else { continue };
            name.clone_into(&mut copy.path);
            self.push(copy);
        }
        true
    }

    /// Records a wanted file whose content was not seen.
    pub(crate) fn unread(&mut self, info: &FileInfo<'_>) {
        let problem = Self::problem(info, "layer", "content of the hard link was not found".to_owned());
        self.push(FileResult {
            path: info.path.to_owned(),
            problems: vec![problem],
            ..FileResult::default()
        });
    }

    /// The results in the order of the files.
    pub fn finish(self) -> Vec<FileResult> {
        self.files
    }

    /// The results of a directory as the single layer of an image.
    pub fn finish_directory(self) -> LayerResult {
        LayerResult { version: super::CATALOGUER_VERSION, files: self.files, ..LayerResult::default() }
    }

    /// Holds the file in memory once for all who want it.
    fn held(
        &mut self,
        info: &FileInfo<'_>,
        content: &mut dyn Read,
        wanted: &[&'static Extractor],
    ) -> Result<(), ScanError> {
        let database = wanted.iter().any(|extractor| matches!(extractor.parse, Parse::Database(_)));
        let bound = if database { self.limits.database_bytes } else { self.limits.document_bytes };
        let name = wanted.first().map_or("", |extractor| extractor.name);
        let too_large = || format!("larger than {bound} bytes");
        let refuse = |this: &mut Self| {
            if database {
                return Err(ScanError::limit(Limit::FileSize, info.path));
            }
            this.record(info, name, Err(ParseError::Malformed(too_large())), Found::default())
        };
        if info.size_bytes > bound {
            return refuse(self);
        }
        let _one_at_a_time = (info.size_bytes > LARGE_FILE_BYTES)
            .then(|| LARGE_FILE.lock().unwrap_or_else(PoisonError::into_inner));
        let mut bytes =
            Vec::with_capacity(usize::try_from(info.size_bytes.min(LARGE_FILE_BYTES)).unwrap_or(0));
        content.take(bound + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > bound {
            return refuse(self);
        }
        for extractor in wanted {
            let mut found = Found::default();
            let outcome = match extractor.parse {
                Parse::Document(parse) | Parse::Database(parse) => parse(info, &bytes, &mut found),
                Parse::Stream(parse) => parse(info, &mut bytes.as_slice(), self.limits, &mut found),
            };
            self.record(info, extractor.name, outcome, found)?;
        }
        Ok(())
    }

    fn problem(info: &FileInfo<'_>, source: &str, message: String) -> Problem {
        Problem { source: source.to_owned(), path: info.path.to_owned(), message }
    }

    fn record(
        &mut self,
        info: &FileInfo<'_>,
        name: &str,
        outcome: Result<(), ParseError>,
        mut found: Found,
    ) -> Result<(), ScanError> {
        match outcome {
            Ok(()) => {}
            Err(ParseError::Malformed(why)) => found.problems.push(why),
            Err(ParseError::Limit(limit)) => return Err(ScanError::limit(limit, info.path)),
            Err(ParseError::Scan(ScanError::Limit { limit, .. })) => {
                return Err(ScanError::limit(limit, info.path));
            }
            Err(ParseError::Scan(error)) => return Err(error),
        }
        if found.is_empty() {
            return Ok(());
        }
        self.packages += found.packages.len();
        self.facts += 1 + found.owned.iter().map(|owned| owned.paths.len() + 1).sum::<usize>();
        if self.packages > self.limits.packages {
            return Err(ScanError::limit(Limit::Packages, info.path));
        }
        if self.facts > self.limits.facts {
            return Err(ScanError::limit(Limit::Facts, info.path));
        }
        let problems =
            found.problems.into_iter().take(20).map(|why| Self::problem(info, name, why)).collect();
        self.push(FileResult {
            path: info.path.to_owned(),
            extractor: name.to_owned(),
            packages: found.packages,
            owned: found.owned,
            text: found.text,
            problems,
        });
        Ok(())
    }

    fn push(&mut self, result: FileResult) {
        self.by_path.entry(result.path.clone()).or_default().push(self.files.len());
        self.files.push(result);
    }
}
