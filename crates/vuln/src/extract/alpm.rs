//! Arch Linux: pacman's local database, `var/lib/pacman/local/NAME-VERSION/{desc,files}`.

use std::collections::BTreeMap;

use super::text::text;
use super::{Extractor, Parse, Scope};
use crate::package::{Package, PackageKind, SourcePackage};

pub(super) const DESC: Extractor = Extractor {
    name: "alpm",
    scope: Scope::Both,
    required: |info| info.name == "desc" && info.path.contains("var/lib/pacman/local/"),
    parse: Parse::Document(|_, bytes, found| {
        let fields = fields(&text(bytes));
        let first = |key: &str| fields.get(key).and_then(|lines| lines.first()).cloned();
        let mut package = Package::new(
            PackageKind::Alpm,
            first("NAME").unwrap_or_default(),
            first("VERSION").unwrap_or_default(),
        );
        package.arch = first("ARCH");
        package.supplier = first("PACKAGER");
        package.licenses = fields.get("LICENSE").cloned().unwrap_or_default();
        let base = first("BASE").unwrap_or_else(|| package.name.clone());
        package.source = Some(SourcePackage { name: base, version: package.version.clone() });
        let bare = |need: &String| need.split(['=', '<', '>', ':']).next().unwrap_or("").to_owned();
        package.depends_on =
            fields.get("DEPENDS").map(|needs| needs.iter().map(bare).collect()).unwrap_or_default();
        found.package(package);
        Ok(())
    }),
};

pub(super) const FILES: Extractor = Extractor {
    name: "alpm-files",
    scope: Scope::Both,
    required: |info| info.name == "files" && info.path.contains("var/lib/pacman/local/"),
    parse: Parse::Document(|info, bytes, found| {
        let fields = fields(&text(bytes));
        // The directory is NAME-VERSION-RELEASE.
        let name = info.parent().rsplitn(3, '-').nth(2).unwrap_or(info.parent());
        if let Some(files) = fields.get("FILES") {
            found.own(name, files.iter().map(String::as_str).filter(|path| !path.ends_with('/')));
        }
        Ok(())
    }),
};

/// `%FIELD%` followed by its lines.
fn fields(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut current = None;
    for line in text.lines().map(str::trim_end) {
        if let Some(name) = line.strip_prefix('%').and_then(|rest| rest.strip_suffix('%')) {
            current = Some(fields.entry(name.to_owned()).or_default());
        } else if let (Some(values), false) = (current.as_mut(), line.is_empty()) {
            values.push(line.to_owned());
        }
    }
    fields
}
