//! Installed Python distributions: `*.dist-info/METADATA`, `*.egg-info`, `*.egg-info/PKG-INFO`, `EGG-INFO/PKG-INFO`.
//!
//! Core metadata (packaging.python.org): RFC 822 headers up to the first blank line.

use super::text::text;
use super::{Extractor, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "python-dist",
    scope: Scope::Both,
    required: |info| {
        let parent = info.parent().to_ascii_lowercase();
        match info.name {
            "METADATA" => parent.ends_with("dist-info"),
            "PKG-INFO" => parent.ends_with("egg-info"),
            name => name.ends_with(".egg-info"),
        }
    },
    parse: Parse::Document(|_, bytes, found| {
        if let Some(package) = metadata(&text(bytes)) {
            found.package(package);
        }
        Ok(())
    }),
};

/// The distribution that core metadata describes.
pub(super) fn metadata(text: &str) -> Option<Package> {
    let mut package = Package::new(PackageKind::Pypi, "", "");
    let (mut expression, mut declared, mut classified) = (None, None, Vec::new());
    let mut requires = Vec::new();
    for line in text.lines() {
        if line.trim().is_empty() {
            break;
        }
        let Some((key, value)) = line.split_once(':').filter(|_| !line.starts_with([' ', '\t'])) else {
            continue;
        };
        let value = value.trim();
        if value.is_empty() || value == "UNKNOWN" {
            continue;
        }
        match key.to_ascii_lowercase().as_str() {
            "name" => value.clone_into(&mut package.name),
            "version" => value.clone_into(&mut package.version),
            "author" => package.supplier = Some(value.to_owned()),
            "author-email" if package.supplier.is_none() => package.supplier = Some(value.to_owned()),
            "license-expression" => expression = Some(value.to_owned()),
            // Some put the whole text here; its first line is not a name then.
            "license" if value.len() < 100 => declared = Some(value.to_owned()),
            "classifier" => {
                if let Some(name) = value.strip_prefix("License ::") {
                    classified.push(name.rsplit("::").next().unwrap_or(name).trim().to_owned());
                }
            }
            "requires-dist" if !value.contains("extra ==") => requires.push(requirement_name(value)),
            _ => {}
        }
    }
    package.licenses = match (expression, declared) {
        (Some(expression), _) => vec![expression],
        (None, Some(declared)) => vec![declared],
        (None, None) => classified,
    };
    requires.sort_unstable();
    requires.dedup();
    package.depends_on = requires;
    (!package.name.is_empty() && !package.version.is_empty()).then_some(package)
}

/// The name of a PEP 508 requirement.
pub(super) fn requirement_name(requirement: &str) -> String {
    requirement.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).collect()
}
