//! `pnpm-lock.yaml`, lockfile versions 5 to 9.
//!
//! Keys of `packages`: `/name/1.0.0_peers` (5), `/name@1.0.0(peers)` (6), `name@1.0.0` (9).

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
        for (key, entry) in document.get("packages").and_then(Value::as_object).into_iter().flatten() {
            let (mut name, mut version) = split_key(key);
            if !str_of(entry, "name").is_empty() && !str_of(entry, "version").is_empty() {
                (name, version) = (str_of(entry, "name"), str_of(entry, "version"));
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
            let needs = entry.get("dependencies").and_then(Value::as_object);
            package.depends_on = needs.map(|needs| needs.keys().cloned().collect()).unwrap_or_default();
            if entry.get("dev").and_then(Value::as_bool) == Some(true) {
                package.properties.insert("scope".to_owned(), "dev".to_owned());
            }
            found.package(package);
        }
        Ok(())
    }),
};

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
