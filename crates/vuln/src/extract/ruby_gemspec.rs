//! Installed gems: `specifications/**/*.gemspec`, as RubyGems writes them. A subset of Ruby is read, nothing is run.

use super::text::text;
use super::{Extractor, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "ruby-gemspec",
    scope: Scope::Both,
    required: |info| info.has_suffix(".gemspec") && info.below("specifications"),
    parse: Parse::Document(|_, bytes, found| {
        let text = text(bytes);
        let mut package = Package::new(PackageKind::Gem, "", "");
        for line in text.lines() {
            let Some((target, value)) = line.split_once('=') else { continue };
            let Some((_, field)) = target.trim().split_once('.') else { continue };
            match field {
                "name" if package.name.is_empty() => {
                    package.name = strings(value).into_iter().next().unwrap_or_default();
                }
                "version" if package.version.is_empty() => {
                    package.version = strings(value).into_iter().next().unwrap_or_default();
                }
                "license" | "licenses" => package.licenses.extend(strings(value)),
                "platform" => {
                    if let Some(platform) = strings(value).into_iter().next() {
                        package.properties.insert("platform".to_owned(), platform);
                    }
                }
                _ => {}
            }
        }
        for line in text.lines().map(str::trim) {
            if line.contains(".add_runtime_dependency(") || line.contains(".add_dependency(") {
                package
                    .depends_on
                    .extend(line.split_once('(').and_then(|(_, rest)| strings(rest).into_iter().next()));
            }
        }
        package.depends_on.sort_unstable();
        package.depends_on.dedup();
        found.package(package);
        Ok(())
    }),
};

/// String literals of a line.
fn strings(value: &str) -> Vec<String> {
    let mut literals = Vec::new();
    let mut rest = value;
    while let Some(start) = rest.find(['"', '\'']) {
        let quote = if rest.get(start..).is_some_and(|rest| rest.starts_with('"')) { '"' } else { '\'' };
        let Some(inner) = rest.get(start + 1..) else { break };
        let Some(end) = inner.find(quote) else { break };
        literals.push(inner.get(..end).unwrap_or("").to_owned());
        rest = inner.get(end + 1..).unwrap_or("");
    }
    literals
}
