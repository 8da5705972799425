//! `container-manifest-2`: the tab-separated list that Microsoft's distroless images keep instead of a database.
//!
//! Columns: name, version-release, install time, build time, vendor, epoch, size, architecture, epoch number, source rpm.

use super::{source, with_epoch};
use crate::extract::Found;
use crate::package::{Package, PackageKind};

pub(super) fn parse(text: &str, found: &mut Found) {
    for line in text.lines() {
        let columns: Vec<&str> = line.trim_end_matches('\r').split('\t').collect();
        let get = |index: usize| {
            columns.get(index).copied().filter(|value| !value.is_empty() && *value != "(none)")
        };
        let (Some(name), Some(version)) = (get(0), get(1)) else { continue };
        let epoch =
            get(8).or_else(|| get(5)).and_then(|epoch| epoch.parse().ok()).filter(|epoch| *epoch != 0);
        let mut package = Package::new(PackageKind::Rpm, name, with_epoch(epoch, version));
        package.arch = get(7).map(str::to_owned);
        package.supplier = get(4).map(str::to_owned);
        package.source = get(9).and_then(|file| source(file, epoch));
        found.package(package);
    }
}
