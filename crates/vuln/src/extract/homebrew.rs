//! Homebrew formulae: `Cellar/NAME/VERSION/.brew/NAME.rb`.

use super::text::{between, text};
use super::{Extractor, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "homebrew",
    scope: Scope::Both,
    required: |info| info.parent() == ".brew" && info.has_suffix(".rb") && info.below("Cellar"),
    parse: Parse::Document(|info, bytes, found| {
        let mut parts = info.path.rsplit('/').skip(2);
        let (version, name) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let mut package = Package::new(PackageKind::Brew, name, version);
        let text = text(bytes);
        let license = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("license ").and_then(|rest| between(rest, "\"", "\"")));
        package.licenses = license.map(str::to_owned).into_iter().collect();
        found.package(package);
        Ok(())
    }),
};
