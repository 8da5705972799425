//! What two inventories do not have in common.

use std::collections::BTreeMap;

use serde::Serialize;

use super::merge::identity;
use crate::{Inventory, Package, PackageKind};

/// The difference of two inventories, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// Packages only in the newer one.
    pub added: Vec<Package>,
    /// Packages only in the older one.
    pub removed: Vec<Package>,
    /// Packages in both, at another version or with other facts.
    pub changed: Vec<Change>,
}

/// A package that is in both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Packaging system.
    pub kind: PackageKind,
    /// Namespace, if the ecosystem has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// What changed, in the order version, licences, supplier, hashes.
    pub fields: Vec<FieldChange>,
}

/// One changed fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// `version`, `licenses`, `supplier` or `hashes`.
    pub field: &'static str,
    /// Value in the older one.
    pub before: String,
    /// Value in the newer one.
    pub after: String,
}

impl Diff {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// Compares two inventories. A package whose versions differ is *changed* when each side has exactly one version that
/// the other has not; with more, which became which cannot be known, so they are added and removed.
pub fn diff(before: &Inventory, after: &Inventory) -> Diff {
    let index = |inventory: &Inventory| -> BTreeMap<_, Package> {
        inventory.packages.iter().map(|package| (identity(package), package.clone())).collect()
    };
    let (before, after) = (index(before), index(after));
    let mut out = Diff::default();
    let mut gone: BTreeMap<_, Vec<&Package>> = BTreeMap::new();
    let mut come: BTreeMap<_, Vec<&Package>> = BTreeMap::new();
    let name = |key: &super::merge::Identity| (key.0, key.1.clone(), key.2.clone(), key.4.clone());
    for (key, package) in &before {
        match after.get(key) {
            Some(other) => out.changed.extend(change(package, other)),
            None => gone.entry(name(key)).or_default().push(package),
        }
    }
    for (key, package) in &after {
        if !before.contains_key(key) {
            come.entry(name(key)).or_default().push(package);
        }
    }
    for (key, old) in gone {
        match (old.as_slice(), come.get(&key).map(Vec::as_slice)) {
            ([old], Some([new])) => {
                out.changed.extend(change(old, new));
                come.remove(&key);
            }
            (all, _) => out.removed.extend(all.iter().map(|package| (*package).clone())),
        }
    }
    out.added = come.into_values().flatten().cloned().collect();
    out.added.sort();
    out.removed.sort();
    out.changed.sort_by(|a, b| (a.kind, &a.namespace, &a.name).cmp(&(b.kind, &b.namespace, &b.name)));
    out
}

fn change(before: &Package, after: &Package) -> Option<Change> {
    let sorted = |list: &[String]| {
        let mut list = list.to_vec();
        list.sort();
        list.join(", ")
    };
    let supplier = |package: &Package| package.supplier.clone().unwrap_or_default();
    let fields: Vec<FieldChange> = [
        ("version", before.version.clone(), after.version.clone()),
        ("licenses", sorted(&before.licenses), sorted(&after.licenses)),
        ("supplier", supplier(before), supplier(after)),
        ("hashes", sorted(&before.hashes), sorted(&after.hashes)),
    ]
    .into_iter()
    .filter(|(_, old, new)| old != new)
    .map(|(field, before, after)| FieldChange { field, before, after })
    .collect();
    (!fields.is_empty()).then(|| Change {
        kind: after.kind,
        namespace: after.namespace.clone(),
        name: after.name.clone(),
        fields,
    })
}
