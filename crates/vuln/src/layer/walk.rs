//! The walk over one layer.
//!
//! Entries are taken in archive order; only files that an extractor asks for are read. Hard links need care: image
//! builders and package stores (pnpm) put a file's bytes under one name and link the interesting name to it, so links
//! whose target was not of interest are settled by a second pass over the re-opened layer.

use std::collections::HashMap;
use std::io::{self, Read};

use super::decompress::Metered;
use super::path::{fingerprint, normalise, resolve_link};
use super::result::LayerResult;
use super::tar::{Entry, EntryKind, Tar};
use crate::extract::{CATALOGUER_VERSION, Cataloguer, FileInfo, Mode};
use crate::limits::{Limit, Limits, ScanError, Watch, check};

/// Symbolic links deeper than this do not move system directories.
const LINK_DEPTH: usize = 4;

/// Gives the bytes of one layer, compressed or not. It may be opened twice.
pub trait LayerSource {
    /// The bytes from their beginning.
    fn open(&self) -> io::Result<Box<dyn Read + '_>>;
}

impl LayerSource for &[u8] {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(*self))
    }
}

impl LayerSource for Vec<u8> {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.as_slice()))
    }
}

/// Looks at file contents beside the extractors: secret rules, configuration checks.
///
/// Content is handed over piece by piece, so that extractors read the same bytes at the same time: of a file of any size
/// everybody sees everything, and nobody holds it.
pub trait FileVisitor {
    /// A directory and its permission bits.
    fn directory(&mut self, path: &str, mode: u32);
    /// Whether the content of this file is wanted; if so, all of its pieces follow, and then its end.
    fn wants(&mut self, path: &str, size_bytes: u64, mode: u32) -> bool;
    /// The next bytes of the file that was wanted.
    fn piece(&mut self, bytes: &[u8]);
    /// The end of the file that was wanted.
    fn end(&mut self);
}

/// Hands everything that is read through it to a visitor.
struct Shown<'r, 'v> {
    content: &'r mut dyn Read,
    visitor: &'v mut dyn FileVisitor,
}

impl Read for Shown<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(buf)?;
        self.visitor.piece(buf.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// Lets `first` read what it wants of a file that `visitor` wanted, and shows the visitor all of it.
///
/// # Errors
/// Those of `first`, and those of reading.
pub fn show(
    content: &mut dyn Read,
    visitor: &mut dyn FileVisitor,
    first: impl FnOnce(&mut dyn Read) -> Result<(), ScanError>,
) -> Result<(), ScanError> {
    let mut shown = Shown { content, visitor };
    first(&mut shown)?;
    io::copy(&mut shown, &mut io::sink())?;
    visitor.end();
    Ok(())
}

/// Nobody else looks.
struct NoVisitor;

impl FileVisitor for NoVisitor {
    fn directory(&mut self, _: &str, _: u32) {}
    fn wants(&mut self, _: &str, _: u64, _: u32) -> bool {
        false
    }
    fn piece(&mut self, _: &[u8]) {}
    fn end(&mut self) {}
}

/// Catalogues one layer: what it states, independent of all other layers.
///
/// # Errors
/// A limit reached, the watch's stop, bytes that are no tar archive, or a source that cannot be read.
pub fn catalogue_layer(
    source: &dyn LayerSource,
    mode: Mode,
    limits: &Limits,
    watch: &dyn Watch,
) -> Result<LayerResult, ScanError> {
    catalogue_layer_with(source, mode, limits, watch, &mut NoVisitor)
}

/// As [`catalogue_layer`], while a visitor sees the files that it wants.
///
/// # Errors
/// As [`catalogue_layer`].
pub fn catalogue_layer_with(
    source: &dyn LayerSource,
    mode: Mode,
    limits: &Limits,
    watch: &dyn Watch,
    visitor: &mut dyn FileVisitor,
) -> Result<LayerResult, ScanError> {
    let mut walk = Walk {
        result: LayerResult { version: CATALOGUER_VERSION, ..LayerResult::default() },
        cataloguer: Cataloguer::new(mode, limits),
        limits,
        links: 0,
        pending: HashMap::new(),
        visitor,
    };
    let mut stream = Metered::open(source.open().map_err(ScanError::Read)?, limits, watch, true)?;
    walk.first_pass(&mut stream, watch)?;
    // The diffID covers padding and whatever follows the archive's end.
    io::copy(&mut stream, &mut io::sink())?;
    walk.result.uncompressed_bytes = stream.produced();
    walk.result.diff_id = stream.into_digest();
    if !walk.pending.is_empty() {
        let mut stream = Metered::open(source.open().map_err(ScanError::Read)?, limits, watch, false)?;
        walk.second_pass(&mut stream)?;
    }
    let mut result = walk.result;
    result.files = walk.cataloguer.finish();
    for list in [&mut result.replaced, &mut result.directories] {
        list.sort_unstable();
        list.dedup();
    }
    Ok(result)
}

struct Walk<'l, 'v> {
    result: LayerResult,
    cataloguer: Cataloguer<'l>,
    limits: &'l Limits,
    links: u64,
    /// Target path of a hard link → the interesting names that link to it, with their mode.
    pending: HashMap<String, Vec<(String, u32)>>,
    visitor: &'v mut dyn FileVisitor,
}

impl<'l> Walk<'l, '_> {
    fn first_pass(&mut self, stream: &mut Metered<'l>, watch: &dyn Watch) -> Result<(), ScanError> {
        let mut tar = Tar::new(stream, self.limits);
        while let Some(entry) = tar.next()? {
            self.result.entries += 1;
            if self.result.entries > self.limits.entries {
                return Err(ScanError::limit(Limit::Entries, &entry.path));
            }
            if self.result.entries.is_multiple_of(1024) {
                check(watch)?;
            }
            let path = normalise(&entry.path);
            if path.is_empty() || self.whiteout(&path) {
                continue;
            }
            match entry.kind {
                EntryKind::Directory => {
                    self.result.directories.push(fingerprint(&path));
                    self.visitor.directory(&path, entry.mode);
                }
                EntryKind::File => {
                    self.result.replaced.push(fingerprint(&path));
                    self.file(&path, &entry, &mut tar)?;
                }
                EntryKind::Symlink => {
                    self.link()?;
                    self.result.replaced.push(fingerprint(&path));
                    if path.split('/').count() <= LINK_DEPTH {
                        let target = resolve_link(&path, &entry.link);
                        self.result.links.push((path, target));
                    }
                }
                EntryKind::Hardlink => {
                    self.link()?;
                    self.result.replaced.push(fingerprint(&path));
                    self.hard_link(path, &entry);
                }
                EntryKind::Other => self.result.replaced.push(fingerprint(&path)),
            }
        }
        Ok(())
    }

    /// Only regular files that pending links point to are read.
    fn second_pass(&mut self, stream: &mut Metered<'l>) -> Result<(), ScanError> {
        let mut tar = Tar::new(stream, self.limits);
        while let Some(entry) = tar.next()? {
            if entry.kind != EntryKind::File {
                continue;
            }
            let Some(names) = self.pending.remove(&normalise(&entry.path)) else { continue };
            let mut names = names.into_iter();
            if let Some((first, mode)) = names.next() {
                let info = FileInfo::new(&first, entry.size, mode);
                self.cataloguer.file(&info, &mut tar.data(&entry))?;
                for (name, mode) in names {
                    if !self.cataloguer.same_content(&first, &name) {
                        self.cataloguer.unread(&FileInfo::new(&name, entry.size, mode));
                    }
                }
            }
            if self.pending.is_empty() {
                break;
            }
        }
        Ok(())
    }

    fn link(&mut self) -> Result<(), ScanError> {
        self.links += 1;
        if self.links > self.limits.links {
            return Err(ScanError::limit(Limit::Links, ""));
        }
        Ok(())
    }

    fn file(&mut self, path: &str, entry: &Entry, tar: &mut Tar<'_, '_>) -> Result<(), ScanError> {
        let info = FileInfo::new(path, entry.size, entry.mode);
        let mut data = tar.data(entry);
        if !self.visitor.wants(path, entry.size, entry.mode) {
            return self.cataloguer.file(&info, &mut data);
        }
        let cataloguer = &mut self.cataloguer;
        show(&mut data, self.visitor, |content| cataloguer.file(&info, content))
    }

    fn hard_link(&mut self, path: String, entry: &Entry) {
        let target = normalise(&entry.link);
        let info = FileInfo::new(&path, 0, entry.mode);
        if self.cataloguer.wants(&info) && !self.cataloguer.same_content(&target, &path) {
            self.pending.entry(target).or_default().push((path, entry.mode));
        }
    }

    /// Records a whiteout; such entries are no files.
    fn whiteout(&mut self, path: &str) -> bool {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(hidden) = name.strip_prefix(".wh.") else { return false };
        if hidden == ".wh..opq" {
            self.result.opaque.push(parent.to_owned());
        } else if !hidden.starts_with(".wh.") {
            self.result.whiteouts.push(if parent.is_empty() {
                hidden.to_owned()
            } else {
                format!("{parent}/{hidden}")
            });
        }
        true
    }
}
