//! Go module versions as `golang.org/x/mod/semver` orders them, with the `v` optional (OSV leaves it out), and the
//! toolchain's own release names (`go1.21rc2` is before `go1.21.0`) as `go/version` orders them.

use super::num::{Num, digits};
use super::semver::{Ident, Semver, split};

/// A parsed Go version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Golang(Semver);

impl Golang {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(toolchain) = text.strip_prefix("go") {
            return Self::toolchain(toolchain);
        }
        // x/mod/semver: at most three numbers, shortened only without a pre-release or build
        let parts = split(text)?;
        let whole = parts.numbers.len() == 3;
        let bare = parts.pre.is_empty() && parts.build.is_empty();
        if parts.numbers.len() > 3 || !(whole || bare) {
            return None;
        }
        Some(Self(Semver::new(parts.numbers, Ident::list(parts.pre))))
    }

    fn toolchain(text: &str) -> Option<Self> {
        let text = text.split(['-', ' ']).next().unwrap_or_default();
        let parts = split(text)?;
        if parts.pre.is_empty() {
            return Some(Self(Semver::new(parts.numbers, Vec::new())));
        }
        let kind = parts.pre.trim_end_matches(|c: char| c.is_ascii_digit());
        let (number, rest) = digits(&parts.pre[kind.len()..]);
        if !matches!(kind, "alpha" | "beta" | "rc") || !rest.is_empty() {
            return None;
        }
        let pre = vec![Ident::Text(kind.into()), Ident::Number(Num::parse(number))];
        Some(Self(Semver::new(parts.numbers, pre)))
    }
}
