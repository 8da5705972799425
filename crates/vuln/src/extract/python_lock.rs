//! Python lock files in TOML: poetry, uv, pdm and PEP 751's `pylock.toml`. All are arrays of tables with name and version.

use toml::Value;

use super::text::toml;
use super::{Extractor, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "python-lock",
    scope: Scope::Directory,
    required: |info| {
        matches!(info.name, "poetry.lock" | "uv.lock" | "pdm.lock" | "pylock.toml")
            || (info.name.starts_with("pylock.") && info.has_suffix(".toml"))
    },
    parse: Parse::Document(|_, bytes, found| {
        let document = toml(bytes)?;
        let tables =
            ["package", "packages"].iter().filter_map(|key| document.get(*key)?.as_array()).flatten();
        for table in tables {
            let get = |key: &str| table.get(key).and_then(Value::as_str).unwrap_or("");
            // The project itself, not something it uses.
            let source = |key: &str| table.get("source").and_then(|source| source.get(key)).is_some();
            if source("virtual") || source("editable") {
                continue;
            }
            let mut package = Package::new(PackageKind::Pypi, get("name"), get("version"));
            package.depends_on = dependencies(table);
            if get("category") == "dev" || is_for_development(table) {
                package.properties.insert("scope".to_owned(), "dev".to_owned());
            }
            found.package(package);
        }
        Ok(())
    }),
};

/// Groups that the lock names (poetry 2, pdm), none of which is installed with the project itself.
fn is_for_development(table: &Value) -> bool {
    let groups = table.get("groups").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    !groups.is_empty() && !groups.iter().any(|group| matches!(group.as_str(), Some("main" | "default")))
}

/// A table by name (poetry), or a list of strings (pdm) or tables with names (uv).
fn dependencies(table: &Value) -> Vec<String> {
    match table.get("dependencies") {
        Some(Value::Table(table)) => table.keys().cloned().collect(),
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(|item| {
                item.as_str()
                    .map(super::python_dist::requirement_name)
                    .or_else(|| item.get("name")?.as_str().map(str::to_owned))
            })
            .collect(),
        _ => Vec::new(),
    }
}
