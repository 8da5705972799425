//! `NuGetVersion`: up to four numbers, pre-release labels compared without case, metadata ignored.

use super::semver::{Ident, Semver, split};

/// A parsed NuGet version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Nuget(Semver);

impl Nuget {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let parts = split(text)?;
        Some(Self(Semver::new(parts.numbers, Ident::list(&parts.pre.to_ascii_uppercase()))))
    }
}
