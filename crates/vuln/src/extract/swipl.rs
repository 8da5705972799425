//! SWI-Prolog packs: `pack.pl`, facts.

use super::text::{between, text};
use super::{Extractor, Parse, Scope};
use crate::package::PackageKind;

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "swipl-pack",
    scope: Scope::Both,
    required: |info| info.name == "pack.pl",
    parse: Parse::Document(|_, bytes, found| {
        let text = text(bytes);
        let fact = |name: &str| {
            let line = text.lines().find(|line| {
                line.trim_start().strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('('))
            })?;
            between(line, "(", ")").map(|value| value.trim().trim_matches(['\'', '"']))
        };
        found.add(PackageKind::Swiplpack, fact("name").unwrap_or(""), fact("version").unwrap_or(""));
        Ok(())
    }),
};
