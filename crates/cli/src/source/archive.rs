//! An image archive: `docker save`, an OCI layout as tar, a root file system as tar; compressed or not.
//!
//! The archive is read through once for the places of its members. A member of an uncompressed archive is then read in
//! place; of a compressed one, by decompressing up to it again, because nothing is unpacked.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use vuln::image::{ArchiveIndex, Files};
use vuln::{LayerSource, Limits, ScanError, Watch};

/// An archive and the places of its members.
pub struct Archive<'a> {
    path: PathBuf,
    index: ArchiveIndex,
    compressed: bool,
    limits: &'a Limits,
    watch: &'a dyn Watch,
}

impl<'a> Archive<'a> {
    /// Opens and indexes an archive.
    ///
    /// # Errors
    /// No tar archive, or a limit.
    pub fn open(path: &Path, limits: &'a Limits, watch: &'a dyn Watch) -> Result<Self, ScanError> {
        let mut magic = Vec::new();
        File::open(path).and_then(|file| file.take(4).read_to_end(&mut magic)).map_err(ScanError::Read)?;
        let compressed = magic.starts_with(&[0x1f, 0x8b]) || magic == [0x28, 0xb5, 0x2f, 0xfd];
        let index = ArchiveIndex::read(File::open(path).map_err(ScanError::Read)?, limits, watch)?;
        Ok(Self { path: path.to_owned(), index, compressed, limits, watch })
    }
}

impl Files for Archive<'_> {
    fn open(&self, path: &str) -> io::Result<Option<Box<dyn Read + '_>>> {
        let Some((offset, size)) = self.index.find(path) else { return Ok(None) };
        let mut file = File::open(&self.path)?;
        if !self.compressed {
            file.seek(SeekFrom::Start(offset))?;
            return Ok(Some(Box::new(file.take(size))));
        }
        let mut stream =
            vuln::layer::uncompressed(file, self.limits, self.watch).map_err(io::Error::other)?;
        io::copy(&mut stream.by_ref().take(offset), &mut io::sink())?;
        Ok(Some(Box::new(stream.take(size))))
    }
}

/// The archive itself as one layer: an exported root file system.
impl LayerSource for Archive<'_> {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(File::open(&self.path)?))
    }
}
