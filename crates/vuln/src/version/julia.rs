//! Julia's `VersionNumber` (base/version.jl): Semantic Versioning in which build metadata is ordered too; an empty
//! identifier (`1.0.0-`) comes before every other and, as a build (`1.0.0+`), after every release.

use super::num::{Num, cmp_padded};
use super::semver::split;
use std::cmp::Ordering;

/// A parsed Julia version.
#[derive(Clone, Debug)]
pub(super) struct Julia {
    numbers: Vec<Num>,
    pre: Vec<Ident>,
    build: Vec<Ident>,
}

super::ordered_by_cmp!(Julia);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ident {
    Empty,
    Number(Num),
    Text(Box<str>),
}

fn idents(text: &str) -> Vec<Ident> {
    let ident = |t: &str| match Num::parse_all(t) {
        Some(n) => Ident::Number(n),
        None if t.is_empty() => Ident::Empty,
        None => Ident::Text(t.into()),
    };
    text.split('.').map(ident).collect()
}

impl Julia {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let parts = split(text)?;
        let (before_build, plus) = text.split_once('+').map_or((text, false), |(a, _)| (a, true));
        let hyphen = before_build.contains('-');
        let pre = if parts.pre.is_empty() && !hyphen { Vec::new() } else { idents(parts.pre) };
        let build = if plus { idents(parts.build) } else { Vec::new() };
        (parts.numbers.len() <= 3).then_some(Self { numbers: parts.numbers, pre, build })
    }
}

impl Ord for Julia {
    fn cmp(&self, other: &Self) -> Ordering {
        cmp_padded(&self.numbers, &other.numbers, &Num::ZERO)
            .then_with(|| self.pre.is_empty().cmp(&other.pre.is_empty()))
            .then_with(|| self.pre.cmp(&other.pre))
            .then_with(|| self.build.cmp(&other.build))
    }
}
