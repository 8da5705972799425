//! Several inventories of the same thing as one.
//!
//! The better source decides each field that it states; what only a worse source states is added; places are united.
//! Who said what stays visible in the property `bonded:provenance`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Inventory, Package, PackageKind};

/// How an inventory came to be known, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provenance {
    /// Seen in the artifact by our own extractors.
    Scanned,
    /// Stated by the build in a signed, verified attestation.
    Attested,
    /// Published by the vendor beside the artifact.
    Vendor,
    /// Stated by the build without a signature (BuildKit's attestation manifests).
    Declared,
    /// Uploaded by a user.
    Uploaded,
}

impl Provenance {
    /// The name used in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scanned => "scanned",
            Self::Attested => "attested",
            Self::Vendor => "vendor",
            Self::Declared => "declared",
            Self::Uploaded => "uploaded",
        }
    }
}

/// Property that names the sources of a package, best first.
const PROPERTY: &str = "bonded:provenance";

/// What makes two records the same package.
pub(super) type Identity = (PackageKind, Option<String>, String, String, Option<String>);

pub(super) fn identity(package: &Package) -> Identity {
    let plain = |text: &str| match package.kind {
        PackageKind::Pypi => text.to_lowercase().replace(['_', '.'], "-"),
        PackageKind::Nuget | PackageKind::Composer => text.to_lowercase(),
        _ => text.to_owned(),
    };
    let namespace = package.namespace.as_deref().map(plain);
    (package.kind, namespace, plain(&package.name), package.version.clone(), package.arch.clone())
}

/// Unites inventories; the order of equals decides between sources of the same provenance.
pub fn merge(mut sources: Vec<(Provenance, Inventory)>) -> Inventory {
    sources.sort_by_key(|(provenance, _)| *provenance);
    let mut out = Inventory::default();
    let mut packages: BTreeMap<Identity, (Package, Vec<Provenance>)> = BTreeMap::new();
    for (provenance, inventory) in sources {
        out.distro = out.distro.take().or(inventory.distro);
        out.problems.extend(inventory.problems);
        for package in inventory.packages {
            match packages.get_mut(&identity(&package)) {
                Some((known, said)) => {
                    unite(known, package);
                    if !said.contains(&provenance) {
                        said.push(provenance);
                    }
                }
                None => {
                    packages.insert(identity(&package), (package, vec![provenance]));
                }
            }
        }
    }
    out.packages = packages
        .into_values()
        .map(|(mut package, said)| {
            let names: Vec<&str> = said.iter().map(|provenance| provenance.name()).collect();
            package.properties.insert(PROPERTY.to_owned(), names.join(","));
            package
        })
        .collect();
    out.packages.sort();
    out.problems.sort();
    out.problems.dedup();
    out
}

fn unite(known: &mut Package, other: Package) {
    fn fill<T>(mine: &mut Option<T>, theirs: Option<T>) {
        if mine.is_none() {
            *mine = theirs;
        }
    }
    fn fill_list<T>(mine: &mut Vec<T>, theirs: Vec<T>) {
        if mine.is_empty() {
            *mine = theirs;
        }
    }
    fill(&mut known.source, other.source);
    fill(&mut known.module, other.module);
    fill(&mut known.supplier, other.supplier);
    fill_list(&mut known.licenses, other.licenses);
    fill_list(&mut known.hashes, other.hashes);
    fill_list(&mut known.depends_on, other.depends_on);
    for evidence in other.evidence {
        if !known.evidence.contains(&evidence) {
            known.evidence.push(evidence);
        }
    }
    known.evidence.sort();
    for (key, value) in other.properties {
        known.properties.entry(key).or_insert(value);
    }
}
