//! Bitnami images: `/opt/bitnami/.bitnami_components.json` and the SPDX documents `.spdx-*.spdx` beside components.

use serde_json::Value;

use super::text::{json, str_of};
use super::{Extractor, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const COMPONENTS: Extractor = Extractor {
    name: "bitnami-components",
    scope: Scope::Image,
    required: |info| info.name == ".bitnami_components.json",
    parse: Parse::Document(|_, bytes, found| {
        let document = json(bytes)?;
        for (name, entry) in document.as_object().into_iter().flatten() {
            let mut package = Package::new(PackageKind::Bitnami, name.as_str(), str_of(entry, "version"));
            package.arch = Some(str_of(entry, "arch")).filter(|arch| !arch.is_empty()).map(str::to_owned);
            found.package(package);
        }
        Ok(())
    }),
};

pub(super) const SPDX: Extractor = Extractor {
    name: "bitnami-spdx",
    scope: Scope::Image,
    required: |info| {
        info.name.starts_with(".spdx-") && info.has_suffix(".spdx") && info.path.contains("opt/bitnami/")
    },
    parse: Parse::Document(|_, bytes, found| {
        let document = json(bytes)?;
        for entry in document.get("packages").and_then(Value::as_array).into_iter().flatten() {
            let references = entry.get("externalRefs").and_then(Value::as_array).into_iter().flatten();
            let purl = references
                .filter_map(|reference| reference.get("referenceLocator")?.as_str())
                .find(|locator| locator.starts_with("pkg:bitnami/"));
            let Some(purl) = purl else { continue };
            let identity = purl.trim_start_matches("pkg:bitnami/").split('?').next().unwrap_or("");
            let Some((name, version)) = identity.split_once('@') else { continue };
            let mut package = Package::new(PackageKind::Bitnami, name, version);
            let license = ["licenseConcluded", "licenseDeclared"]
                .iter()
                .map(|key| str_of(entry, key))
                .find(|license| !matches!(*license, "" | "NOASSERTION" | "NONE"));
            package.licenses = license.map(str::to_owned).into_iter().collect();
            found.package(package);
        }
        Ok(())
    }),
};
