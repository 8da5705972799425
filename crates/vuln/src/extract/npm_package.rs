//! Installed npm packages: `package.json`.
//!
//! In an image every `package.json` that states a name and a version counts, except fixtures inside other packages and
//! editor extensions, whose names collide with real packages. In a directory only `node_modules` is installed.

use super::text::{json, str_of};
use super::{Extractor, FileInfo, Found, Parse, ParseResult, Scope};
use crate::package::{Package, PackageKind};

pub(super) const IMAGE: Extractor = Extractor {
    name: "npm-package",
    scope: Scope::Image,
    required: |info| info.name == "package.json" && !is_fixture(info),
    parse: Parse::Document(parse),
};

pub(super) const DIRECTORY: Extractor = Extractor {
    name: "npm-package",
    scope: Scope::Directory,
    required: |info| info.name == "package.json" && info.below("node_modules") && !is_fixture(info),
    parse: Parse::Document(parse),
};

/// Test data that a package ships: something below a test directory of it.
fn is_fixture(info: &FileInfo<'_>) -> bool {
    let Some((_, inside)) = info.path.rsplit_once("node_modules/") else { return false };
    let depth = if inside.starts_with('@') { 2 } else { 1 };
    inside.split('/').skip(depth).any(|part| {
        matches!(part, "test" | "tests" | "__tests__" | "fixtures" | "__fixtures__" | "example" | "examples")
    })
}

fn parse(_: &FileInfo<'_>, bytes: &[u8], found: &mut Found) -> ParseResult {
    let document = json(bytes)?;
    let (name, version) = (str_of(&document, "name").trim(), str_of(&document, "version").trim());
    if name.is_empty()
        || version.is_empty()
        || document.pointer("/engines/vscode").is_some()
        || !is_name(name)
    {
        return Ok(());
    }
    let mut package = Package::scoped(PackageKind::Npm, name, version.trim_start_matches('v'));
    package.licenses = licenses(&document);
    package.supplier = author(&document);
    if let Some(needs) = document.get("dependencies").and_then(serde_json::Value::as_object) {
        package.depends_on = needs.keys().cloned().collect();
    }
    found.package(package);
    Ok(())
}

/// npm's own rule, loosely: scoped or plain, no spaces, at most 214 characters.
fn is_name(name: &str) -> bool {
    let plain =
        name.strip_prefix('@').map_or(name, |scoped| scoped.split_once('/').map_or("", |(_, plain)| plain));
    !plain.is_empty() && name.len() <= 214 && !name.contains(char::is_whitespace) && !plain.contains('/')
}

/// `license` as text or object, or the old `licenses` list.
pub(super) fn licenses(document: &serde_json::Value) -> Vec<String> {
    let one = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => Some(text.clone()),
        value => ["type", "name", "url"].iter().find_map(|key| value.get(key)?.as_str().map(str::to_owned)),
    };
    let listed = |value: &serde_json::Value| match value {
        serde_json::Value::Array(list) => list.iter().filter_map(one).collect(),
        value => one(value).into_iter().collect::<Vec<_>>(),
    };
    let mut names: Vec<String> =
        ["license", "licenses"].iter().filter_map(|key| document.get(key)).flat_map(listed).collect();
    names.retain(|name| !name.trim().is_empty());
    names.dedup();
    names
}

fn author(document: &serde_json::Value) -> Option<String> {
    let author = document.get("author")?;
    author.as_str().or_else(|| author.get("name")?.as_str()).map(str::to_owned)
}
