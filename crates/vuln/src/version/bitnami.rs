//! Bitnami component versions: semantic, where `-N` is a packaging revision that comes after the release.

use super::num::{Num, cmp_padded};
use super::semver::{Ident, cmp_pre, split};
use std::cmp::Ordering;

/// A parsed Bitnami version.
#[derive(Clone, Debug)]
pub(super) struct Bitnami {
    numbers: Vec<Num>,
    pre: Vec<Ident>,
    revision: Num,
}

super::ordered_by_cmp!(Bitnami);

impl Bitnami {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let parts = split(text)?;
        let (pre, revision) = match Num::parse_all(parts.pre) {
            Some(revision) => (Vec::new(), revision),
            None => (Ident::list(parts.pre), Num::ZERO),
        };
        Some(Self { numbers: parts.numbers, pre, revision })
    }
}

impl Ord for Bitnami {
    fn cmp(&self, other: &Self) -> Ordering {
        cmp_padded(&self.numbers, &other.numbers, &Num::ZERO)
            .then_with(|| cmp_pre(&self.pre, &other.pre))
            .then_with(|| self.revision.cmp(&other.revision))
    }
}
