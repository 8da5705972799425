//! Which files of the layers are there in the image.
//!
//! OCI image specification, "layer": an entry replaces what lower layers have at its path; a whiteout deletes it, an
//! opaque whiteout hides all lower content of its directory. Paths are resolved through the symbolic links of lower
//! layers, as the runtime does when it applies a layer.

use std::collections::{HashMap, HashSet};

use crate::layer::path::{ancestors, fingerprint, normalise};
use crate::layer::{FileResult, LayerResult};
use crate::package::{Package, PackageKind};

/// Links followed for one path.
const LINK_HOPS: usize = 16;

/// A file that is there.
pub(super) struct Effective<'f> {
    /// Its path, links of its parents resolved.
    pub(super) path: String,
    pub(super) result: &'f FileResult,
    /// For each package the layer that first stated it at this path.
    pub(super) origins: Vec<usize>,
}

type PackageKey<'f> = (PackageKind, &'f str, &'f str, Option<&'f str>);

fn key(package: &Package) -> PackageKey<'_> {
    (package.kind, &package.name, &package.version, package.arch.as_deref())
}

/// The files of the merged image, in layer order.
pub(super) fn effective_files(layers: &[LayerResult]) -> Vec<Effective<'_>> {
    let mut files: Vec<Effective<'_>> = Vec::new();
    let mut links: HashMap<String, String> = HashMap::new();
    for (index, layer) in layers.iter().enumerate() {
        let removal = Removal::of(layer, &links);
        // Where a database is rewritten its unchanged packages keep the layer that brought them.
        let mut origins: HashMap<&str, HashMap<PackageKey<'_>, usize>> = HashMap::new();
        let mut kept = Vec::with_capacity(files.len());
        let own_paths: HashSet<String> = layer.files.iter().map(|file| resolve(&file.path, &links)).collect();
        let old = std::mem::take(&mut files);
        for file in &old {
            if own_paths.contains(&file.path) {
                let known = origins.entry(&file.path).or_default();
                known.extend(file.result.packages.iter().map(key).zip(file.origins.iter().copied()));
            }
        }
        let added: Vec<Effective<'_>> = layer
            .files
            .iter()
            .map(|result| {
                let path = resolve(&result.path, &links);
                let known = origins.get(path.as_str());
                let origin =
                    |package| known.and_then(|known| known.get(&key(package)).copied()).unwrap_or(index);
                Effective { origins: result.packages.iter().map(origin).collect(), path, result }
            })
            .collect();
        drop(origins);
        kept.extend(
            old.into_iter().filter(|file| !own_paths.contains(&file.path) && !removal.hits(&file.path)),
        );
        kept.extend(added);
        files = kept;
        links.retain(|link, _| !removal.hits(link));
        links.extend(layer.links.iter().cloned());
    }
    files
}

/// What a layer takes away from those below it.
struct Removal<'l> {
    layer: &'l LayerResult,
    whiteouts: HashSet<String>,
    opaque: HashSet<String>,
}

impl<'l> Removal<'l> {
    fn of(layer: &'l LayerResult, links: &HashMap<String, String>) -> Self {
        Self {
            layer,
            whiteouts: layer.whiteouts.iter().map(|path| resolve(path, links)).collect(),
            opaque: layer.opaque.iter().map(|path| resolve_directory(path, links)).collect(),
        }
    }

    fn hits(&self, path: &str) -> bool {
        let has = |list: &[u64], path: &str| list.binary_search(&fingerprint(path)).is_ok();
        self.opaque.contains("")
            || self.whiteouts.contains(path)
            || has(&self.layer.replaced, path)
            || has(&self.layer.directories, path)
            || ancestors(path).any(|dir| {
                self.whiteouts.contains(dir) || self.opaque.contains(dir) || has(&self.layer.replaced, dir)
            })
    }
}

/// Resolves a path that is itself a directory.
fn resolve_directory(path: &str, links: &HashMap<String, String>) -> String {
    if path.is_empty() {
        return String::new();
    }
    let inside = resolve(&format!("{path}/."), links);
    inside.strip_suffix("/.").map_or(inside.clone(), str::to_owned)
}

/// Replaces leading directories that are links.
fn resolve(path: &str, links: &HashMap<String, String>) -> String {
    let mut path = path.to_owned();
    if links.is_empty() {
        return path;
    }
    for _ in 0..LINK_HOPS {
        let hop = ancestors(&path).filter_map(|dir| Some((dir.len(), links.get(dir)?))).last();
        let Some((len, target)) = hop else { break };
        let rest = path.get(len..).unwrap_or_default();
        path = normalise(&format!("{target}{rest}"));
    }
    path
}
