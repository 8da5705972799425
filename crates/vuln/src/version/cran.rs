//! R's `package_version`: integers separated by `.` or `-`; a prefix comes first (`1.0` < `1.0.0`).

use super::num::Num;

/// A parsed R version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cran(Vec<Num>);

impl Cran {
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.trim().split(['.', '-']).map(Num::parse_all).collect::<Option<_>>().map(Self)
    }
}
