//! Bundler's `Gemfile.lock` (and `gems.locked`): `specs:` entries, four spaces deep.

use super::text::text;
use super::{Extractor, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "gemfile-lock",
    scope: Scope::Directory,
    required: |info| matches!(info.name, "Gemfile.lock" | "gems.locked"),
    parse: Parse::Document(|_, bytes, found| {
        let text = text(bytes);
        let mut current: Option<Package> = None;
        for line in text.lines() {
            if let Some(need) = line.strip_prefix("      ") {
                if let Some(package) = current.as_mut() {
                    package.depends_on.extend(
                        need.split_whitespace().next().map(|name| name.trim_end_matches('!').to_owned()),
                    );
                }
                continue;
            }
            if let Some(package) = current.take() {
                found.package(package);
            }
            let spec = line
                .strip_prefix("    ")
                .and_then(|spec| spec.trim_end().strip_suffix(')')?.split_once(" ("));
            if let Some((name, version)) = spec.filter(|(name, _)| !name.starts_with(' ')) {
                // A platform follows the version: `1.15.0-x86_64-linux`.
                let (version, platform) = version.split_once('-').unwrap_or((version, ""));
                let mut package = Package::new(PackageKind::Gem, name, version);
                if !platform.is_empty() {
                    package.properties.insert("platform".to_owned(), platform.to_owned());
                }
                current = Some(package);
            }
        }
        if let Some(package) = current {
            found.package(package);
        }
        Ok(())
    }),
};
