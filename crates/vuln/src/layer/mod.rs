//! One layer, catalogued once.
//!
//! A layer is a stream of a tar archive that is walked and never unpacked. What it states is a [`LayerResult`]: a value
//! that depends on the layer's bytes, [`Mode`] and [`CATALOGUER_VERSION`] only, so that a registry stores it keyed by
//! diffID and version and never reads that layer again. Whiteouts, replaced files, ownership and the distribution are
//! matters of the whole image and are settled in [`crate::merge`].

pub(crate) mod decompress;
pub(crate) mod path;
mod result;
pub(crate) mod tar;
mod walk;

pub use result::{FileResult, LayerResult, Owned};
pub use walk::{FileVisitor, LayerSource, catalogue_layer, catalogue_layer_with, show};

pub use crate::extract::{CATALOGUER_VERSION, Mode};

use std::io::Read;

use crate::limits::{Limits, ScanError, Watch};

/// The uncompressed bytes of a stream whose compression is told by its magic bytes, with the limits of a layer.
///
/// # Errors
/// The stream cannot be read or its decoder cannot be made.
pub fn uncompressed<'a>(
    source: impl Read + 'a,
    limits: &'a Limits,
    watch: &'a dyn Watch,
) -> Result<Box<dyn Read + 'a>, ScanError> {
    Ok(Box::new(decompress::Metered::open(source, limits, watch, false)?))
}
