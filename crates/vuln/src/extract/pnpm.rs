//! `pnpm-lock.yaml`, lockfile versions 5 to 9.
//!
//! Keys of `packages`: `/name/1.0.0_peers` (5), `/name@1.0.0(peers)` (6), `name@1.0.0` (9). Since version 9 what a package
//! needs is in `snapshots` (one for each set of peers), and what is only for development has to be found by following
//! what the project itself needs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::text::{str_of, yaml};
use super::{Extractor, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "pnpm-lock",
    scope: Scope::Directory,
    required: |info| info.name == "pnpm-lock.yaml",
    parse: Parse::Document(|_, bytes, found| {
        let document = yaml(bytes)?;
        let snapshots = Snapshots::of(&document);
        for (key, entry) in members(document.get("packages")) {
            let (mut name, mut version) = split_key(key);
            // What does not come from a registry has an address in place of its version.
            for (stated, part) in [("name", &mut name), ("version", &mut version)] {
                if !str_of(entry, stated).is_empty() {
                    *part = str_of(entry, stated);
                }
            }
            if !version.starts_with(|c: char| c.is_ascii_digit()) {
                continue;
            }
            let mut package = Package::scoped(PackageKind::Npm, name, version);
            let hash = entry
                .pointer("/resolution/integrity")
                .and_then(Value::as_str)
                .and_then(super::npm_lock::integrity);
            package.hashes = hash.into_iter().collect();
            let needs = needs(entry).map(|(name, _)| name.clone());
            package.depends_on =
                needs.chain(snapshots.needs(key)).collect::<BTreeSet<_>>().into_iter().collect();
            let dev = entry.get("dev").and_then(Value::as_bool) == Some(true);
            if dev || snapshots.is_for_development(key) {
                package.properties.insert("scope".to_owned(), "dev".to_owned());
            }
            found.package(package);
        }
        Ok(())
    }),
};

fn members(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}

fn needs(entry: &Value) -> impl Iterator<Item = (&String, &Value)> {
    ["dependencies", "optionalDependencies"].into_iter().flat_map(|list| members(entry.get(list)))
}

/// `snapshots` of version 9, by the key that they have in `packages`.
struct Snapshots<'v> {
    by_package: BTreeMap<&'v str, Vec<&'v Value>>,
    /// Packages that the project needs when it runs.
    used: BTreeSet<&'v str>,
}

/// A key without its peers.
fn without_peers(key: &str) -> &str {
    key.split('(').next().unwrap_or(key)
}

impl<'v> Snapshots<'v> {
    fn of(document: &'v Value) -> Self {
        let mut by_package: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for (key, entry) in members(document.get("snapshots")) {
            by_package.entry(without_peers(key)).or_default().push(entry);
        }
        let mut out = Self { by_package, used: BTreeSet::new() };
        let mut pending: Vec<&str> = Vec::new();
        for (_, importer) in members(document.get("importers")) {
            let stated = needs(importer).map(|(name, entry)| (name.as_str(), str_of(entry, "version")));
            pending.extend(stated.filter_map(|(name, version)| out.key(name, version)));
        }
        while let Some(key) = pending.pop() {
            if !out.used.insert(key) {
                continue;
            }
            for entry in out.by_package.get(key).into_iter().flatten() {
                let next = needs(entry).filter_map(|(name, version)| out.key(name, version.as_str()?));
                pending.extend(next);
            }
        }
        out
    }

    /// The key of a dependency: `name@version`, or of one under another name the version alone.
    fn key(&self, name: &str, version: &str) -> Option<&'v str> {
        let version = without_peers(version);
        let entry = self.by_package.get_key_value(format!("{name}@{version}").as_str());
        entry.or_else(|| self.by_package.get_key_value(version)).map(|(key, _)| *key)
    }

    fn needs(&self, key: &str) -> Vec<String> {
        let entries = self.by_package.get(without_peers(key)).into_iter().flatten();
        entries.flat_map(|entry| needs(entry)).map(|(name, _)| name.clone()).collect()
    }

    fn is_for_development(&self, key: &str) -> bool {
        let key = without_peers(key);
        self.by_package.contains_key(key) && !self.used.contains(key)
    }
}

fn split_key(key: &str) -> (&str, &str) {
    let old = key.strip_prefix('/');
    let key = old.unwrap_or(key);
    let key = key.split('(').next().unwrap_or(key);
    // Version 5 has a slash where later ones have an at sign; its peers follow an underscore.
    if let Some((name, version)) = old.and_then(|_| version_5(key)) {
        return (name, version);
    }
    let scoped = usize::from(key.starts_with('@'));
    let at = key.get(scoped..).and_then(|rest| rest.find('@')).map_or(key.len(), |at| at + scoped);
    (key.get(..at).unwrap_or(""), key.get(at + 1..).unwrap_or(""))
}

fn version_5(key: &str) -> Option<(&str, &str)> {
    let names = if key.starts_with('@') { 2 } else { 1 };
    let (slash, _) = key.match_indices('/').nth(names - 1)?;
    let name = key.get(..slash)?;
    let version = key.get(slash + 1..)?.split('_').next()?;
    (!name.get(1..)?.contains('@') && version.starts_with(|c: char| c.is_ascii_digit()))
        .then_some((name, version))
}

#[cfg(test)]
mod tests {
    #[test]
    fn keys_of_all_lockfile_versions_are_split() {
        let cases = [
            ("/lodash/4.17.21", ("lodash", "4.17.21")),
            ("/@babel/core/7.1.0_supports-color@5.0.0", ("@babel/core", "7.1.0")),
            ("/@babel/core@7.1.0(x@1)", ("@babel/core", "7.1.0")),
            ("foo@1.0.0", ("foo", "1.0.0")),
        ];
        for (key, (name, version)) in cases {
            assert_eq!(super::split_key(key), (name, version));
        }
    }
}
