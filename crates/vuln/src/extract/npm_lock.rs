//! npm's lock files: `package-lock.json` and `npm-shrinkwrap.json`, versions 1 to 3.
//!
//! Version 2 and 3 list install paths (`node_modules/a/node_modules/b`); version 1 nests `dependencies`.

use serde_json::Value;

use super::text::{json, str_of};
use super::{Extractor, Found, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "npm-lock",
    scope: Scope::Directory,
    required: |info| {
        matches!(info.name, "package-lock.json" | "npm-shrinkwrap.json") && !info.below("node_modules")
    },
    parse: Parse::Document(|_, bytes, found| {
        parse(&json(bytes)?, found);
        Ok(())
    }),
};

fn parse(document: &Value, found: &mut Found) {
    if let Some(packages) = document.get("packages").and_then(Value::as_object) {
        for (path, entry) in packages {
            let Some((_, installed)) = path.rsplit_once("node_modules/") else { continue };
            if entry.get("link").and_then(Value::as_bool) == Some(true) {
                continue;
            }
            let stated = str_of(entry, "name");
            add(if stated.is_empty() { installed } else { stated }, entry, found);
        }
    } else if let Some(dependencies) = document.get("dependencies") {
        nested(dependencies, found);
    }
}

/// The JSON reader bounds the nesting.
fn nested(dependencies: &Value, found: &mut Found) {
    for (name, entry) in dependencies.as_object().into_iter().flatten() {
        add(name, entry, found);
        if let Some(inner) = entry.get("dependencies") {
            nested(inner, found);
        }
    }
}

fn add(name: &str, entry: &Value, found: &mut Found) {
    let mut version = str_of(entry, "version");
    let mut name = name;
    if let Some((real, aliased)) = version.strip_prefix("npm:").and_then(|alias| alias.rsplit_once('@')) {
        (name, version) = (real, aliased);
    }
    // Paths and repositories are no published versions.
    if !version.starts_with(|c: char| c.is_ascii_digit()) {
        return;
    }
    let mut package = Package::scoped(PackageKind::Npm, name, version);
    package.licenses = super::npm_package::licenses(entry);
    package.hashes = integrity(str_of(entry, "integrity")).into_iter().collect();
    let needs = entry.get("requires").or_else(|| entry.get("dependencies")).and_then(Value::as_object);
    package.depends_on = needs.map(|needs| needs.keys().cloned().collect()).unwrap_or_default();
    if entry.get("dev").and_then(Value::as_bool) == Some(true) {
        package.properties.insert("scope".to_owned(), "dev".to_owned());
    }
    found.package(package);
}

/// Subresource integrity (`sha512-BASE64`) as `sha512:HEX`.
pub(super) fn integrity(value: &str) -> Option<String> {
    let (algorithm, sum) = value.split_whitespace().next()?.split_once('-')?;
    let raw = data_encoding::BASE64.decode(sum.as_bytes()).ok()?;
    Some(format!("{algorithm}:{}", data_encoding::HEXLOWER.encode(&raw)))
}
