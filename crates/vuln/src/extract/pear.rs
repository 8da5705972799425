//! PHP PEAR and PECL: `.registry/**/*.reg`, PHP's own serialisation. Only the few strings needed are looked for.

use super::text::text;
use super::{Extractor, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "php-pear",
    scope: Scope::Both,
    required: |info| info.has_suffix(".reg") && info.below(".registry"),
    parse: Parse::Document(|_, bytes, found| {
        let text = text(bytes);
        // Version 2 of package.xml has an array of versions, version 1 a plain one; old files say `package`.
        let version = after(&text, "version").and_then(|rest| {
            if rest.starts_with('a') { string(after(rest, "release")?) } else { string(rest) }
        });
        let name = ["name", "package"].iter().find_map(|key| string(after(&text, key)?));
        let mut package =
            Package::new(PackageKind::Pear, name.unwrap_or_default(), version.unwrap_or_default());
        package.namespace = after(&text, "channel").and_then(string);
        let license = after(&text, "license").and_then(|rest| {
            if rest.starts_with('a') { string(after(rest, "_content")?) } else { string(rest) }
        });
        package.licenses = license.into_iter().collect();
        found.package(package);
        Ok(())
    }),
};

/// What follows the key.
fn after<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let marker = format!("s:{}:\"{key}\";", key.len());
    text.get(text.find(&marker)? + marker.len()..)
}

/// A serialised string: `s:LENGTH:"…"`.
fn string(text: &str) -> Option<String> {
    let (length, rest) = text.strip_prefix("s:")?.split_once(':')?;
    rest.strip_prefix('"')?.get(..length.parse().ok()?).map(str::to_owned)
}
