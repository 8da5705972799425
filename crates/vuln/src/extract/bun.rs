//! `bun.lock` (text) and `deno.lock`.

use serde_json::Value;

use super::text::{json, str_of, text};
use super::{Extractor, Found, Parse, ParseError, ParseResult, Scope};
use crate::package::{Package, PackageKind};

pub(super) const BUN: Extractor = Extractor {
    name: "bun-lock",
    scope: Scope::Directory,
    required: |info| info.name == "bun.lock",
    parse: Parse::Document(|_, bytes, found| parse_bun(&text(bytes), found)),
};

pub(super) const DENO: Extractor = Extractor {
    name: "deno-lock",
    scope: Scope::Directory,
    required: |info| info.name == "deno.lock",
    parse: Parse::Document(|_, bytes, found| {
        let document = json(bytes)?;
        let npm = document.get("npm").or_else(|| document.pointer("/packages/npm"));
        for (key, entry) in npm.and_then(Value::as_object).into_iter().flatten() {
            let needs = match entry.get("dependencies") {
                // `name`, or `name@version` where there are several.
                Some(Value::Array(names)) => {
                    names.iter().filter_map(Value::as_str).map(|name| split(name).0.to_owned()).collect()
                }
                Some(Value::Object(names)) => names.keys().cloned().collect(),
                _ => Vec::new(),
            };
            // Peers follow an underscore.
            let (name, version) = split(key);
            add(name, version.split('_').next().unwrap_or(version), needs, str_of(entry, "integrity"), found);
        }
        Ok(())
    }),
};

/// `packages: { key: ["name@version", registry, {dependencies, …}, integrity] }` with trailing commas.
fn parse_bun(text: &str, found: &mut Found) -> ParseResult {
    let document: Value = serde_json::from_str(&strict_json(text)).map_err(ParseError::malformed)?;
    for (_, entry) in document.get("packages").and_then(Value::as_object).into_iter().flatten() {
        let members = entry.as_array().map_or(&[][..], Vec::as_slice);
        let texts: Vec<&str> = members.iter().filter_map(Value::as_str).collect();
        let lists = members.iter().filter_map(Value::as_object).flat_map(|stated| {
            ["dependencies", "optionalDependencies"]
                .into_iter()
                .filter_map(|list| stated.get(list).and_then(Value::as_object))
        });
        let needs = lists.flat_map(|list| list.keys().cloned()).collect();
        if let Some(key) = texts.first() {
            let (name, version) = split(key);
            add(name, version, needs, texts.last().copied().unwrap_or_default(), found);
        }
    }
    Ok(())
}

/// `name` and `version` of `name@version`; a scope begins with an at sign too.
fn split(key: &str) -> (&str, &str) {
    let scope = usize::from(key.starts_with('@'));
    let at = key.get(scope..).and_then(|rest| rest.find('@')).map(|at| at + scope);
    at.and_then(|at| Some((key.get(..at)?, key.get(at + 1..)?))).unwrap_or((key, ""))
}

fn add(name: &str, version: &str, mut needs: Vec<String>, integrity: &str, found: &mut Found) {
    if name.is_empty() || !version.starts_with(|c: char| c.is_ascii_digit()) {
        return;
    }
    needs.sort();
    let mut package = Package::scoped(PackageKind::Npm, name, version);
    package.depends_on = needs;
    package.hashes = super::npm_lock::integrity(integrity).into_iter().collect();
    found.package(package);
}

/// Drops comments and trailing commas outside of strings.
pub(super) fn strict_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut comma = false;
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                if std::mem::take(&mut comma) {
                    out.push(',');
                }
                out.push(c);
                while let Some(c) = chars.next() {
                    out.push(c);
                    match c {
                        '\\' => out.extend(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '/' if chars.peek() == Some(&'/') => {
                for c in chars.by_ref() {
                    if c == '\n' {
                        break;
                    }
                }
            }
            ',' => comma = true,
            c if c.is_whitespace() => out.push(c),
            '}' | ']' => {
                comma = false;
                out.push(c);
            }
            c => {
                if std::mem::take(&mut comma) {
                    out.push(',');
                }
                out.push(c);
            }
        }
    }
    out
}
