//! `bun.lock` (text) and `deno.lock`.

use serde_json::Value;

use super::text::{json, text};
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
        for key in npm.and_then(Value::as_object).into_iter().flatten().map(|(key, _)| key) {
            // Peers follow an underscore.
            add(key.split('_').next().unwrap_or(key), found);
        }
        Ok(())
    }),
};

/// `packages: { key: ["name@version", registry, {…}, integrity] }` with trailing commas.
fn parse_bun(text: &str, found: &mut Found) -> ParseResult {
    let document: Value = serde_json::from_str(&strict_json(text)).map_err(ParseError::malformed)?;
    for entry in
        document.get("packages").and_then(Value::as_object).into_iter().flatten().map(|(_, entry)| entry)
    {
        let mut members = entry.as_array().into_iter().flatten();
        if let Some(name) = members.next().and_then(Value::as_str) {
            add(name, found);
        }
    }
    Ok(())
}

fn add(key: &str, found: &mut Found) {
    if let Some((name, version)) = key
        .rsplit_once('@')
        .filter(|(name, version)| !name.is_empty() && version.starts_with(|c: char| c.is_ascii_digit()))
    {
        found.package(Package::scoped(PackageKind::Npm, name, version));
    }
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
