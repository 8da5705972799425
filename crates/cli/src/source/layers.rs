//! The layers of an image, two at a time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use vuln::image::{Files, Image, ImageLayer, LayerFile};
use vuln::{FileVisitor, LayerResult, Limits, Mode, ScanError, Watch, catalogue_layer_with, merge};

use super::{Archive, Catalogued, Visitors};

/// More would not hold the memory bound; two use both cores of a small machine.
const PARALLEL: usize = 2;

/// Catalogues and merges the layers of an image.
pub(super) fn catalogue_image(
    files: &(dyn Files + Sync),
    image: Image,
    limits: &Limits,
    watch: &dyn Watch,
    visitors: &dyn Visitors,
) -> Result<Catalogued, ScanError> {
    let wanted: Vec<&ImageLayer> = image.layers.iter().filter(|layer| layer.is_archive()).collect();
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, Result<LayerResult, ScanError>)>> = Mutex::new(Vec::new());
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(layer) = wanted.get(index) else { break };
            let result = one(files, layer, limits, watch, &mut *visitors.visitor(index));
            let failed = result.is_err();
            results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((index, result));
            if failed {
                next.store(wanted.len(), Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..PARALLEL.min(wanted.len()) {
            scope.spawn(work);
        }
        work();
    });
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    let layers = results.into_iter().map(|(_, result)| result).collect::<Result<Vec<_>, _>>()?;
    Ok(Catalogued { inventory: merge(&layers), image: Some(image), layers })
}

/// An exported root file system is one layer without an image around it.
pub(super) fn catalogue_root(
    archive: &Archive<'_>,
    limits: &Limits,
    watch: &dyn Watch,
    visitors: &dyn Visitors,
) -> Result<Catalogued, ScanError> {
    let layers = vec![catalogue_layer_with(archive, Mode::Image, limits, watch, &mut *visitors.visitor(0))?];
    Ok(Catalogued { inventory: merge(&layers), image: None, layers })
}

fn one(
    files: &(dyn Files + Sync),
    layer: &ImageLayer,
    limits: &Limits,
    watch: &dyn Watch,
    visitor: &mut dyn FileVisitor,
) -> Result<LayerResult, ScanError> {
    let result =
        catalogue_layer_with(&LayerFile { files, path: &layer.path }, Mode::Image, limits, watch, visitor)?;
    match (&layer.diff_id, &result.diff_id) {
        (Some(stated), Some(found)) if stated != found => Err(ScanError::Malformed {
            what: "layer",
            why: format!("content is {found}, configuration states {stated}"),
        }),
        _ => Ok(result),
    }
}
