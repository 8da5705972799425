//! Licences of Debian packages: `usr/share/doc/PACKAGE/copyright`, machine-readable (DEP-5) or by the licence texts of
//! `/usr/share/common-licenses` that it refers to.

use super::text::text;
use super::{Extractor, Parse, Scope};
use crate::layer::Owned;

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "dpkg-copyright",
    scope: Scope::Image,
    required: |info| info.name == "copyright" && info.path.contains("usr/share/doc/"),
    parse: Parse::Document(|info, bytes, found| {
        let licenses = licenses(&text(bytes));
        if !licenses.is_empty() {
            found.owned.push(Owned { package: info.parent().to_owned(), licenses, paths: Vec::new() });
        }
        Ok(())
    }),
};

/// The distinct licence names, sorted.
pub(crate) fn licenses(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for line in text.lines() {
        if let Some(value) = line.strip_prefix("License:") {
            names.push(value.trim().trim_end_matches(',').to_owned());
        } else if let Some((_, rest)) = line.split_once("/usr/share/common-licenses/") {
            let name: String = rest
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '+'))
                .collect();
            names.push(name.trim_end_matches('.').to_owned());
        }
    }
    names.retain(|name| !name.is_empty() && name != "none" && name.len() < 200);
    names.sort_unstable();
    names.dedup();
    names
}
