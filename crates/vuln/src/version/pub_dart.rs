//! Dart's `pub_semver`: Semantic Versioning in which build metadata is ordered too (none first, then as pre-releases).

use super::semver::{Ident, Semver, split};

/// A parsed Dart version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pub {
    version: Semver,
    build: Vec<Ident>,
}

impl Pub {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let parts = split(text)?;
        let build = Ident::list(parts.build);
        Some(Self { version: Semver::new(parts.numbers, Ident::list(parts.pre)), build })
    }
}
