//! Dart's `pubspec.lock`.

use serde_json::Value;

use super::text::{str_of, yaml};
use super::{Extractor, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "pubspec-lock",
    scope: Scope::Directory,
    required: |info| info.name == "pubspec.lock",
    parse: Parse::Document(|_, bytes, found| {
        let document = yaml(bytes)?;
        for (name, entry) in document.get("packages").and_then(Value::as_object).into_iter().flatten() {
            let mut package = Package::new(PackageKind::Pub, name.as_str(), str_of(entry, "version"));
            let hash =
                entry.pointer("/description/sha256").and_then(Value::as_str).filter(|hash| !hash.is_empty());
            package.hashes = hash.map(|hash| format!("sha256:{hash}")).into_iter().collect();
            if str_of(entry, "dependency").contains("dev") {
                package.properties.insert("scope".to_owned(), "dev".to_owned());
            }
            found.package(package);
        }
        Ok(())
    }),
};
