//! Installed R packages: `DESCRIPTION`.

use super::text::{dependency_names, stanzas, text};
use super::{Extractor, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "r-description",
    scope: Scope::Both,
    required: |info| info.name == "DESCRIPTION",
    parse: Parse::Document(|_, bytes, found| {
        let Some(fields) = stanzas(&text(bytes)).into_iter().next() else { return Ok(()) };
        let get = |key: &str| fields.get(key).map_or("", String::as_str);
        let mut package = Package::new(PackageKind::Cran, get("package"), get("version"));
        package.licenses = Some(get("license"))
            .filter(|license| !license.is_empty())
            .map(str::to_owned)
            .into_iter()
            .collect();
        package.supplier = Some(get("maintainer")).filter(|name| !name.is_empty()).map(str::to_owned);
        package.depends_on = dependency_names(&format!("{},{}", get("depends"), get("imports")));
        package.depends_on.retain(|name| name != "R");
        found.package(package);
        Ok(())
    }),
};
