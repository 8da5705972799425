//! `Pipfile.lock`: JSON with the groups `default` and `develop`.

use serde_json::Value;

use super::text::{json, str_of};
use super::{Extractor, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "pipfile-lock",
    scope: Scope::Directory,
    required: |info| info.name == "Pipfile.lock",
    parse: Parse::Document(|_, bytes, found| {
        let document = json(bytes)?;
        for (group, packages) in
            document.as_object().into_iter().flatten().filter(|(group, _)| *group != "_meta")
        {
            for (name, entry) in packages.as_object().into_iter().flatten() {
                let mut package = Package::new(
                    PackageKind::Pypi,
                    name.as_str(),
                    str_of(entry, "version").trim_start_matches('='),
                );
                if group == "develop" {
                    package.properties.insert("scope".to_owned(), "dev".to_owned());
                }
                if let [Value::String(hash)] =
                    entry.get("hashes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice)
                {
                    package.hashes.push(hash.clone());
                }
                found.package(package);
            }
        }
        Ok(())
    }),
};
