//! From the results of an image's layers to its inventory.
//!
//! Applies whiteouts, opaque directories and replaced files in layer order, attributes each package to the layer that
//! first stated it, decides the distribution, joins what lies in different files (ownership, licences) and leaves out
//! packages in files that an official distribution package owns. Pure and linear; the order of the result depends only
//! on its content.

mod charts;
mod distro;
mod effective;
mod official;

pub use official::is_official;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::layer::LayerResult;
use crate::layer::path::owned_fingerprint;
use crate::package::{Distro, Evidence, Inventory, Package, PackageKind};
use effective::{Effective, effective_files};

/// Merges the results of an image's layers, lowest first; a directory is one layer.
pub fn merge(layers: &[LayerResult]) -> Inventory {
    let files = effective_files(layers);
    let texts: BTreeMap<&str, &str> =
        files.iter().filter_map(|file| Some((file.path.as_str(), file.result.text.as_deref()?))).collect();
    let distro = distro::decide(&texts)
        .or_else(|| distro::busybox(files.iter().flat_map(|file| &file.result.packages)));
    let licenses = licenses(&files);
    let charts = charts::Charts::of(&files);
    let owners = owners(&files, distro.as_ref());
    let mut merged = Merged::default();
    let mut suppressed = Merged::default();
    let mut problems = BTreeSet::new();
    for file in &files {
        problems.extend(file.result.problems.iter().cloned());
        for (package, origin) in file.result.packages.iter().zip(&file.origins) {
            let mut package = package.clone();
            let layer = layers.get(*origin).and_then(|layer| layer.diff_id);
            package.evidence = vec![Evidence { layer, path: file.path.clone() }];
            if !charts.complete(file, &mut package) {
                continue;
            }
            if package.kind == PackageKind::Deb && package.licenses.is_empty() {
                package.licenses = licenses.get(package.name.as_str()).cloned().unwrap_or_default();
            }
            if is_system(package.kind) {
                if !is_official(distro.as_ref(), &package) {
                    package.properties.insert("third-party".to_owned(), "true".to_owned());
                }
                merged.add(package);
            } else if let Some(owner) = owners.get(&owned_fingerprint(&file.path)) {
                package.properties.insert("owner".to_owned(), (*owner).to_owned());
                suppressed.add(package);
            } else {
                merged.add(package);
            }
        }
    }
    Inventory {
        distro,
        packages: merged.finish(),
        suppressed: suppressed.finish(),
        problems: problems.into_iter().collect(),
    }
}

/// Packages of the distribution's own package manager.
pub(crate) fn is_system(kind: PackageKind) -> bool {
    use PackageKind::{Alpm, Apk, Deb, Opkg, Portage, Rpm};
    matches!(kind, Deb | Rpm | Apk | Opkg | Alpm | Portage)
}

fn licenses<'f>(files: &[Effective<'f>]) -> HashMap<&'f str, Vec<String>> {
    let owned = files.iter().flat_map(|file| &file.result.owned).filter(|owned| !owned.licenses.is_empty());
    owned.map(|owned| (owned.package.as_str(), owned.licenses.clone())).collect()
}

/// Fingerprints of files that official packages own → the owner's name.
fn owners<'f>(files: &[Effective<'f>], distro: Option<&Distro>) -> HashMap<u64, &'f str> {
    let official: BTreeSet<&str> = files
        .iter()
        .flat_map(|file| &file.result.packages)
        .filter(|package| is_system(package.kind) && is_official(distro, package))
        .map(|package| package.name.as_str())
        .collect();
    let mut owners = HashMap::new();
    for owned in files.iter().flat_map(|file| &file.result.owned) {
        if official.contains(owned.package.as_str()) {
            owners.extend(owned.paths.iter().map(|path| (*path, owned.package.as_str())));
        }
    }
    owners
}

/// Packages by identity, their facts united.
#[derive(Default)]
struct Merged(BTreeMap<Identity, Package>);

type Identity = (PackageKind, Option<String>, String, String, Option<String>, Option<(String, String)>);

impl Merged {
    fn add(&mut self, package: Package) {
        let source = package.source.as_ref().map(|source| (source.name.clone(), source.version.clone()));
        let identity = (
            package.kind,
            package.namespace.clone(),
            package.name.clone(),
            package.version.clone(),
            package.arch.clone(),
            source,
        );
        match self.0.entry(identity) {
            std::collections::btree_map::Entry::Vacant(slot) => {
                slot.insert(package);
            }
            std::collections::btree_map::Entry::Occupied(mut slot) => unite(slot.get_mut(), package),
        }
    }

    fn finish(self) -> Vec<Package> {
        let tidy = |mut package: Package| {
            for list in [&mut package.licenses, &mut package.hashes, &mut package.depends_on] {
                list.sort();
                list.dedup();
            }
            package.evidence.sort();
            package.evidence.dedup();
            package
        };
        self.0.into_values().map(tidy).collect()
    }
}

fn unite(into: &mut Package, other: Package) {
    into.evidence.extend(other.evidence);
    if into.licenses.is_empty() {
        into.licenses = other.licenses;
    }
    into.hashes.extend(other.hashes);
    into.depends_on.extend(other.depends_on);
    into.module = into.module.take().or(other.module);
    into.supplier = into.supplier.take().or(other.supplier);
    for (key, value) in other.properties {
        into.properties.entry(key).or_insert(value);
    }
}
