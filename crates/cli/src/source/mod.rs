//! Where `bonded sbom` and `bonded scan` read from: registries, OCI layouts, image archives, root file system archives,
//! directories.
//!
//! The file-system side of `vuln::image`: it opens files and runs layers in parallel; what they mean is decided there.
//! Nothing is ever unpacked. Two layers at a time keep the whole below 200 MiB.

mod archive;
mod directory;
mod layers;
mod layout;
mod registry;

use std::path::{Path, PathBuf};

use vuln::image::{Choice, Image, find_image};
use vuln::{FileVisitor, Inventory, LayerResult, Limits, ScanError, Watch, merge};

pub use archive::Archive;
pub use layout::Layout;
pub(crate) use registry::Remote;

/// Why a source could not be catalogued.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The path does not exist or cannot be opened.
    #[error("{} cannot be read", path.display())]
    Open {
        /// The path as given.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The scan ended early or the source is malformed.
    #[error("{} could not be catalogued", path.display())]
    Scan {
        /// The path as given.
        path: PathBuf,
        /// Why.
        #[source]
        source: ScanError,
    },
}

/// A catalogued source.
#[derive(Debug)]
pub struct Catalogued {
    /// What is in it.
    pub inventory: Inventory,
    /// The image, when the source is one.
    pub image: Option<Image>,
    /// Results of the single layers, lowest first; a directory is one.
    pub layers: Vec<LayerResult>,
}

/// Looks at the files of every layer beside the extractors (secrets, configuration), deleted ones included.
pub trait Visitors: Sync {
    /// The visitor of one layer, by its position from the lowest; a directory or root archive is layer 0.
    fn visitor(&self, layer: usize) -> Box<dyn FileVisitor + '_>;
}

struct Nobody;

impl Visitors for Nobody {
    fn visitor(&self, _: usize) -> Box<dyn FileVisitor + '_> {
        Box::new(Nobody)
    }
}

impl FileVisitor for Nobody {
    fn directory(&mut self, _: &str, _: u32) {}
    fn wants(&mut self, _: &str, _: u64, _: u32) -> bool {
        false
    }
    fn piece(&mut self, _: &[u8]) {}
    fn end(&mut self) {}
}

/// Catalogues a path without looking at anything but packages.
///
/// # Errors
/// As [`catalogue_with`].
pub fn catalogue(
    path: &Path,
    choice: &Choice,
    limits: &Limits,
    watch: &dyn Watch,
) -> Result<Catalogued, SourceError> {
    catalogue_with(path, choice, limits, watch, &Nobody)
}

/// Catalogues an image of a registry.
///
/// # Errors
/// The image cannot be fetched, is malformed, or reaches a limit.
pub(crate) fn catalogue_remote(
    remote: &Remote,
    choice: &Choice,
    limits: &Limits,
    watch: &dyn Watch,
    visitors: Option<&dyn Visitors>,
) -> Result<Catalogued, ScanError> {
    let image = find_image(remote, choice)?.ok_or_else(|| ScanError::Missing("image manifest".to_owned()))?;
    layers::catalogue_image(remote, image, limits, watch, visitors.unwrap_or(&Nobody))
}

/// Catalogues a path: a directory that is an OCI layout, any other directory, or an archive.
///
/// # Errors
/// The path cannot be read, holds several images of which none was chosen, is malformed, or reaches a limit.
pub fn catalogue_with(
    path: &Path,
    choice: &Choice,
    limits: &Limits,
    watch: &dyn Watch,
    visitors: &dyn Visitors,
) -> Result<Catalogued, SourceError> {
    let open = |source| SourceError::Open { path: path.to_owned(), source };
    let scan = |source| SourceError::Scan { path: path.to_owned(), source };
    let metadata = std::fs::metadata(path).map_err(open)?;
    if metadata.is_dir() {
        if path.join("oci-layout").exists() && path.join("index.json").exists() {
            let layout = Layout::new(path);
            let image = find_image(&layout, choice).map_err(scan)?;
            let image = image.ok_or_else(|| scan(ScanError::Missing("index.json".to_owned())))?;
            return layers::catalogue_image(&layout, image, limits, watch, visitors).map_err(scan);
        }
        let layer = directory::catalogue_directory(path, limits, watch, visitors).map_err(scan)?;
        let layers = vec![layer];
        return Ok(Catalogued { inventory: merge(&layers), image: None, layers });
    }
    let archive = Archive::open(path, limits, watch).map_err(scan)?;
    match find_image(&archive, choice).map_err(scan)? {
        Some(image) => layers::catalogue_image(&archive, image, limits, watch, visitors).map_err(scan),
        None => layers::catalogue_root(&archive, limits, watch, visitors).map_err(scan),
    }
}
