//! `yarn.lock`, classic and berry.
//!
//! Both are blocks: a line of descriptors, then indented fields. Berry states the resolution, which also undoes
//! aliases and patches; its workspaces are no published packages.

use super::text::text;
use super::{Extractor, Found, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "yarn-lock",
    scope: Scope::Directory,
    required: |info| info.name == "yarn.lock" && !info.below("node_modules"),
    parse: Parse::Document(|_, bytes, found| {
        parse(&text(bytes), found);
        Ok(())
    }),
};

#[derive(Default)]
struct Block {
    name: String,
    version: String,
    resolution: String,
    hash: Option<String>,
    needs: Vec<String>,
}

fn parse(text: &str, found: &mut Found) {
    let mut block = Block::default();
    let mut in_needs = false;
    for line in text.lines().map(str::trim_end) {
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        if !line.starts_with(' ') {
            finish(std::mem::take(&mut block), found);
            let first = line.trim_end_matches(':').split(',').next().unwrap_or("").trim().trim_matches('"');
            real_name(first).clone_into(&mut block.name);
            in_needs = false;
        } else if let Some(need) = line.strip_prefix("    ").filter(|_| in_needs) {
            let name = need.trim_start().trim_start_matches('"');
            let end =
                name.get(1..).and_then(|rest| rest.find(['"', ' ', ':'])).map_or(name.len(), |at| at + 1);
            block.needs.push(name.get(..end).unwrap_or(name).to_owned());
        } else {
            let field = line.trim();
            in_needs = field == "dependencies:";
            let (key, value) = field.split_once([' ', ':']).unwrap_or((field, ""));
            let value = value.trim_start_matches(':').trim().trim_matches('"');
            match key {
                "version" => value.clone_into(&mut block.version),
                "resolution" => value.clone_into(&mut block.resolution),
                "integrity" => block.hash = super::npm_lock::integrity(value),
                _ => {}
            }
        }
    }
    finish(block, found);
}

fn finish(block: Block, found: &mut Found) {
    let name = if block.resolution.is_empty() {
        block.name.as_str()
    } else {
        if block.resolution.contains("@workspace:") {
            return;
        }
        split_descriptor(&block.resolution).0
    };
    if name == "__metadata" || !block.version.starts_with(|c: char| c.is_ascii_digit()) {
        return;
    }
    let mut package = Package::scoped(PackageKind::Npm, name, block.version.as_str());
    package.hashes = block.hash.into_iter().collect();
    package.depends_on = block.needs;
    found.package(package);
}

/// `@scope/name@range` → name and range.
fn split_descriptor(descriptor: &str) -> (&str, &str) {
    let at = descriptor.get(1..).and_then(|rest| rest.find('@')).map_or(descriptor.len(), |at| at + 1);
    descriptor.split_at(at)
}

/// The package behind an alias (`a@npm:b@^1`).
fn real_name(descriptor: &str) -> &str {
    let (name, range) = split_descriptor(descriptor);
    match range.strip_prefix("@npm:") {
        Some(target) if target.get(1..).is_some_and(|rest| rest.contains('@')) => split_descriptor(target).0,
        _ => name,
    }
}
