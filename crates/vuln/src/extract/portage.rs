//! Gentoo: `var/db/pkg/CATEGORY/NAME-VERSION/CONTENTS`; the directory is the identity, the file lists what it owns.

use super::text::text;
use super::{Extractor, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "portage",
    scope: Scope::Both,
    required: |info| info.name == "CONTENTS" && info.path.contains("var/db/pkg/"),
    parse: Parse::Document(|info, bytes, found| {
        let Some((name, version)) = split_version(info.parent()) else { return Ok(()) };
        let mut package = Package::new(PackageKind::Portage, name, version);
        package.namespace = info.path.rsplit('/').nth(2).map(str::to_owned);
        // obj PATH MD5 MTIME
        let text = text(bytes);
        let paths = text.lines().filter_map(|line| line.strip_prefix("obj ")?.rsplitn(3, ' ').nth(2));
        found.own(name, paths);
        found.package(package);
        Ok(())
    }),
};

/// The version begins at the first `-` before a digit after which the rest reads as a version.
fn split_version(directory: &str) -> Option<(&str, &str)> {
    let digit = |at: usize| directory.as_bytes().get(at + 1).is_some_and(u8::is_ascii_digit);
    let plain =
        |text: &str| text.split('-').enumerate().all(|(index, part)| index == 0 || part.starts_with('r'));
    let (at, _) = directory
        .match_indices('-')
        .find(|(at, _)| digit(*at) && directory.get(at + 1..).is_some_and(plain))?;
    Some((directory.get(..at)?, directory.get(at + 1..)?))
}
