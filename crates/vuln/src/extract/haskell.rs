//! Haskell: `stack.yaml`, `stack.yaml.lock`, `cabal.project.freeze`.

use serde_json::Value;

use super::text::{text, yaml};
use super::{Extractor, Found, Parse, Scope};
use crate::package::PackageKind;

pub(super) const STACK: Extractor = Extractor {
    name: "haskell-stack",
    scope: Scope::Directory,
    required: |info| matches!(info.name, "stack.yaml" | "stack.yaml.lock"),
    parse: Parse::Document(|_, bytes, found| {
        let document = yaml(bytes)?;
        let extra = document
            .get("extra-deps")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let locked = document.get("packages").and_then(Value::as_array).into_iter().flatten();
        let locked = locked.filter_map(|package| {
            package.pointer("/completed/hackage").or_else(|| package.pointer("/original/hackage"))?.as_str()
        });
        extra.chain(locked).for_each(|package| add(package, found));
        Ok(())
    }),
};

pub(super) const CABAL: Extractor = Extractor {
    name: "haskell-cabal",
    scope: Scope::Directory,
    required: |info| info.name == "cabal.project.freeze",
    parse: Parse::Document(|_, bytes, found| {
        for constraint in text(bytes).split([',', '\n']) {
            let constraint = constraint.trim().trim_start_matches("constraints:").trim();
            if let Some((name, version)) =
                constraint.strip_prefix("any.").unwrap_or(constraint).split_once("==")
            {
                let name = name.trim();
                if !name.contains(char::is_whitespace) {
                    found.add(PackageKind::Hackage, name, version.trim());
                }
            }
        }
        Ok(())
    }),
};

/// `name-1.2.3@sha256:…,size`.
fn add(package: &str, found: &mut Found) {
    let package = package.split('@').next().unwrap_or(package).trim();
    if let Some((name, version)) =
        package.rsplit_once('-').filter(|(_, version)| version.starts_with(|c: char| c.is_ascii_digit()))
    {
        found.add(PackageKind::Hackage, name, version);
    }
}
