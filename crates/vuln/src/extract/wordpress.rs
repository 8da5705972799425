//! WordPress plugins: the header comment of `wp-content/plugins/PLUGIN/*.php`.

use super::text::text;
use super::{Extractor, Parse, Scope};
use crate::package::{Package, PackageKind};

/// WordPress itself reads the first 8 KiB.
const HEADER_BYTES: usize = 8 << 10;

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "wordpress-plugin",
    scope: Scope::Both,
    required: |info| {
        info.has_suffix(".php")
            && info
                .path
                .rsplit_once("wp-content/plugins/")
                .is_some_and(|(_, inside)| inside.matches('/').count() <= 1)
    },
    parse: Parse::Document(|info, bytes, found| {
        let text = text(bytes.get(..HEADER_BYTES.min(bytes.len())).unwrap_or_default());
        let field = |name: &str| {
            text.lines().find_map(|line| {
                let line = line.trim_start_matches([' ', '\t', '/', '*', '#', '@']);
                line.strip_prefix(name)?
                    .strip_prefix(':')
                    .map(|value| value.trim().trim_end_matches("*/").trim().to_owned())
            })
        };
        let mut package = Package::new(
            PackageKind::WordpressPlugin,
            field("Plugin Name").unwrap_or_default(),
            field("Version").unwrap_or_default(),
        );
        package.supplier = field("Author");
        package.licenses = field("License").into_iter().collect();
        package.properties.insert("directory".to_owned(), info.parent().to_owned());
        found.package(package);
        Ok(())
    }),
};
