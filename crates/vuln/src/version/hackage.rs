//! Haskell's package versions (`Data.Version`): integers separated by dots; a prefix comes first (`1.0` < `1.0.0`).

use super::num::Num;

/// A parsed Haskell version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hackage(Vec<Num>);

impl Hackage {
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.split('.').map(Num::parse_all).collect::<Option<_>>().map(Self)
    }
}
