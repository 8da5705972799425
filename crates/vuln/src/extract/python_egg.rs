//! Zipped Python eggs: `EGG-INFO/PKG-INFO` inside `*.egg`.

use super::text::text;
use super::{Extractor, Parse, Scope};
use crate::zipstream::{Budget, walk};

const METADATA_BYTES: u64 = 1 << 20;

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "python-egg",
    scope: Scope::Both,
    required: |info| info.name.strip_suffix(".egg").is_some_and(|stem| !stem.is_empty()),
    parse: Parse::Stream(|info, content, limits, found| {
        let mut budget = Budget::new(limits, info.size_bytes);
        walk(content, &mut budget, &mut |name, member| {
            if name == "EGG-INFO/PKG-INFO"
                && let Some(package) = super::python_dist::metadata(&text(&member.bytes(METADATA_BYTES)?))
            {
                found.package(package);
            }
            Ok(())
        })
    }),
};
