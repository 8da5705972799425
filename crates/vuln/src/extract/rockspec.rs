//! Lua rocks: `*.rockspec`, a Lua file of assignments. Not run; strings and their concatenation with local variables
//! are read.

use std::collections::BTreeMap;

use super::text::text;
use super::{Extractor, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "lua-rockspec",
    scope: Scope::Both,
    required: |info| info.has_suffix(".rockspec"),
    parse: Parse::Document(|_, bytes, found| {
        let text = text(bytes);
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        for line in text.lines() {
            let line = line.split("--").next().unwrap_or(line).trim().trim_end_matches([',', ';']);
            let Some((key, value)) = line.trim_start_matches("local ").split_once('=') else { continue };
            let value = evaluate(value, &values);
            if let Some(value) = value {
                values.entry(key.trim().to_owned()).or_insert(value);
            }
        }
        let get = |key: &str| values.get(key).cloned().unwrap_or_default();
        let mut package = Package::new(PackageKind::Luarocks, get("package"), get("version"));
        package.licenses = values.get("license").cloned().into_iter().collect();
        found.package(package);
        Ok(())
    }),
};

/// Strings and known names joined by `..`.
fn evaluate(value: &str, known: &BTreeMap<String, String>) -> Option<String> {
    let mut joined = String::new();
    for part in value.split("..").map(str::trim) {
        let quoted = ['"', '\''].iter().find_map(|quote| part.strip_prefix(*quote)?.strip_suffix(*quote));
        joined.push_str(quoted.or_else(|| known.get(part).map(String::as_str))?);
        if joined.len() > 4096 {
            return None;
        }
    }
    Some(joined)
}
