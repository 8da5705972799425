//! Julia's `Manifest.toml`, formats 1 (tables at the root) and 2 (below `deps`). Standard libraries state no version.

use toml::Value;

use super::text::toml;
use super::{Extractor, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "julia-manifest",
    scope: Scope::Both,
    required: |info| {
        let stem = info.name.strip_prefix("Julia").unwrap_or(info.name);
        stem == "Manifest.toml" || (stem.starts_with("Manifest-v") && info.has_suffix(".toml"))
    },
    parse: Parse::Document(|_, bytes, found| {
        let document = toml(bytes)?;
        let packages = document.get("deps").and_then(Value::as_table).unwrap_or(&document);
        for (name, entries) in packages {
            for entry in entries.as_array().into_iter().flatten() {
                let get = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or("");
                let mut package = Package::new(PackageKind::Julia, name.as_str(), get("version"));
                if !get("uuid").is_empty() {
                    package.properties.insert("uuid".to_owned(), get("uuid").to_owned());
                }
                package.depends_on = match entry.get("deps") {
                    Some(Value::Array(names)) => {
                        names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
                    }
                    Some(Value::Table(names)) => names.keys().cloned().collect(),
                    _ => Vec::new(),
                };
                found.package(package);
            }
        }
        Ok(())
    }),
};
