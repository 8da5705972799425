//! apk's installed database, `lib/apk/db/installed`.
//!
//! One letter per line: P name, V version, A architecture, o origin, L licence, D dependencies, p provides, C checksum,
//! m maintainer, F directory, R file in it. Advisories are by origin; its version is the package's own.

use std::collections::BTreeMap;

use super::text::text;
use super::{Extractor, Found, Parse, ParseError, ParseResult, Scope};
use crate::package::{Package, PackageKind, SourcePackage};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "apk",
    scope: Scope::Both,
    required: |info| info.ends_with("lib/apk/db/installed"),
    parse: Parse::Database(|_, bytes, found| parse(&text(bytes), found)),
};

fn parse(text: &str, found: &mut Found) -> ParseResult {
    let mut provided_by: BTreeMap<String, String> = BTreeMap::new();
    for paragraph in text.split("\n\n") {
        if let Some((package, files, provides)) = paragraph_of(paragraph) {
            for capability in provides {
                provided_by.entry(capability).or_insert_with(|| package.name.clone());
            }
            found.own(&package.name, files.iter().map(String::as_str));
            found.package(package);
        }
    }
    if found.packages.is_empty() && !text.trim().is_empty() {
        return Err(ParseError::malformed("no package"));
    }
    for package in &mut found.packages {
        let names = package.depends_on.iter().map(|need| provided_by.get(need).unwrap_or(need).clone());
        let mut names: Vec<String> =
            names.filter(|name| *name != package.name && !name.contains(':')).collect();
        names.sort_unstable();
        names.dedup();
        package.depends_on = names;
    }
    Ok(())
}

/// The package, its files and the capabilities it provides.
fn paragraph_of(paragraph: &str) -> Option<(Package, Vec<String>, Vec<String>)> {
    let mut package = Package::new(PackageKind::Apk, "", "");
    let (mut origin, mut directory) = (String::new(), "");
    let (mut files, mut provides) = (Vec::new(), Vec::new());
    for line in paragraph.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        match key {
            "P" => value.clone_into(&mut package.name),
            "V" => value.clone_into(&mut package.version),
            "A" => package.arch = Some(value.to_owned()),
            "o" => value.clone_into(&mut origin),
            "L" if !value.is_empty() => package.licenses = vec![value.to_owned()],
            "m" => package.supplier = Some(value.to_owned()),
            "D" => {
                package.depends_on =
                    value.split_whitespace().filter(|name| !name.starts_with('!')).map(bare).collect();
            }
            "p" => provides = value.split_whitespace().map(bare).collect(),
            "C" => {
                if let Some(sum) =
                    value.strip_prefix("Q1").and_then(|sum| data_encoding::BASE64.decode(sum.as_bytes()).ok())
                {
                    package.properties.insert(
                        "apk-checksum".to_owned(),
                        format!("sha1:{}", data_encoding::HEXLOWER.encode(&sum)),
                    );
                }
            }
            "F" => directory = value,
            "R" => files.push(if directory.is_empty() {
                value.to_owned()
            } else {
                format!("{directory}/{value}")
            }),
            _ => {}
        }
    }
    if package.name.is_empty() || package.version.is_empty() {
        return None;
    }
    let name = if origin.is_empty() { package.name.clone() } else { origin };
    package.source = Some(SourcePackage { name, version: package.version.clone() });
    Some((package, files, provides))
}

/// A dependency without its version bound.
fn bare(dependency: &str) -> String {
    dependency.split(['=', '<', '>', '~']).next().unwrap_or("").to_owned()
}
