//! Installed conda packages: `conda-meta/*.json`.

use super::text::{json, str_of};
use super::{Extractor, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "conda-meta",
    scope: Scope::Both,
    required: |info| info.parent() == "conda-meta" && info.has_suffix(".json"),
    parse: Parse::Document(|_, bytes, found| {
        let document = json(bytes)?;
        let mut package =
            Package::new(PackageKind::Conda, str_of(&document, "name"), str_of(&document, "version"));
        package.licenses = Some(str_of(&document, "license"))
            .filter(|license| !license.is_empty())
            .map(str::to_owned)
            .into_iter()
            .collect();
        for key in ["build", "channel", "subdir"] {
            let value = str_of(&document, key);
            if !value.is_empty() {
                package.properties.insert(key.to_owned(), value.to_owned());
            }
        }
        for (key, name) in [("md5", "md5"), ("sha256", "sha256")] {
            let sum = str_of(&document, key);
            if !sum.is_empty() {
                package.hashes.push(format!("{name}:{sum}"));
            }
        }
        found.package(package);
        Ok(())
    }),
};
