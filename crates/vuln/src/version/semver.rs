//! Semantic Versioning 2.0.0 precedence, read leniently: optional `v` or `=`, any count of numbers (missing ones are
//! zero), a pre-release also without its hyphen (`1.2.3beta`), as node-semver's loose mode and OSV's readers do.
//!
//! The parts are shared by the schemes that differ only in what they accept or ignore.

use super::num::{Num, cmp_padded, digits};
use std::cmp::Ordering;

/// A dot-separated identifier: numbers come before texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ident {
    Number(Num),
    Text(Box<str>),
}

impl Ident {
    pub(super) fn parse(text: &str) -> Self {
        Num::parse_all(text).map_or_else(|| Ident::Text(text.into()), Ident::Number)
    }

    pub(super) fn list(text: &str) -> Vec<Self> {
        if text.is_empty() { Vec::new() } else { text.split('.').map(Self::parse).collect() }
    }
}

/// A parsed version, without its build metadata.
#[derive(Clone, Debug)]
pub(super) struct Semver {
    numbers: Vec<Num>,
    pre: Vec<Ident>,
}

super::ordered_by_cmp!(Semver);

/// The texts of the parts of a leniently read version.
pub(super) struct Parts<'a> {
    pub(super) numbers: Vec<Num>,
    pub(super) pre: &'a str,
    pub(super) build: &'a str,
}

/// Splits into numbers, pre-release and build; `None` if it does not begin with a number.
pub(super) fn split(text: &str) -> Option<Parts<'_>> {
    let text = text.trim().trim_start_matches(['v', 'V', '=', ' ']);
    let mut numbers = Vec::new();
    let mut rest = text;
    loop {
        let (number, after) = digits(rest);
        if number.is_empty() {
            return None;
        }
        numbers.push(Num::parse(number));
        match after.strip_prefix('.') {
            Some(more) if more.starts_with(|c: char| c.is_ascii_digit()) => rest = more,
            _ => {
                rest = after;
                break;
            }
        }
    }
    let (pre, build) = rest.split_once('+').unwrap_or((rest, ""));
    let pre = pre.strip_prefix('-').unwrap_or(pre);
    Some(Parts { numbers, pre: pre.trim_start_matches('.'), build })
}

impl Semver {
    pub(super) fn new(numbers: Vec<Num>, pre: Vec<Ident>) -> Self {
        Self { numbers, pre }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        split(text).map(|p| Self::new(p.numbers, Ident::list(p.pre)))
    }
}

/// Pre-releases come before the release, then identifier by identifier, the shorter list first.
pub(super) fn cmp_pre(a: &[Ident], b: &[Ident]) -> Ordering {
    b.is_empty().cmp(&a.is_empty()).reverse().then_with(|| a.cmp(b))
}

impl Ord for Semver {
    fn cmp(&self, other: &Self) -> Ordering {
        cmp_padded(&self.numbers, &other.numbers, &Num::ZERO).then_with(|| cmp_pre(&self.pre, &other.pre))
    }
}
