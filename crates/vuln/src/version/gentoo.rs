//! Gentoo versions, as the Package Manager Specification (section 3.3) and Portage's `vercmp` order them.

use super::num::{Num, digits, span};
use std::cmp::Ordering;

/// A parsed Gentoo version.
#[derive(Clone, Debug)]
pub(super) struct Gentoo {
    first: Num,
    rest: Vec<Component>,
    letter: Option<u8>,
    suffixes: Vec<(Suffix, Num)>,
    revision: Num,
}

super::ordered_by_cmp!(Gentoo);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Suffix {
    Alpha,
    Beta,
    Pre,
    Rc,
    None,
    P,
}

/// A component after the first: with a leading zero it is a decimal fraction.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Component(Box<str>);

impl Ord for Component {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (&*self.0, &*other.0);
        if a.starts_with('0') || b.starts_with('0') {
            return a.trim_end_matches('0').cmp(b.trim_end_matches('0'));
        }
        Num::parse(a).cmp(&Num::parse(b))
    }
}

impl PartialOrd for Component {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Gentoo {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (first, mut text) = digits(text);
        if first.is_empty() {
            return None;
        }
        let mut rest = Vec::new();
        while let Some(more) = text.strip_prefix('.') {
            let (number, after) = digits(more);
            if number.is_empty() {
                return None;
            }
            rest.push(Component(number.into()));
            text = after;
        }
        let letter = text.bytes().next().filter(u8::is_ascii_lowercase);
        if letter.is_some() {
            text = &text[1..];
        }
        let mut suffixes = Vec::new();
        while let Some(more) = text.strip_prefix('_') {
            let (name, after) = span(more, |b| b.is_ascii_lowercase());
            let suffix = match name {
                "alpha" => Suffix::Alpha,
                "beta" => Suffix::Beta,
                "pre" => Suffix::Pre,
                "rc" => Suffix::Rc,
                "p" => Suffix::P,
                _ => return None,
            };
            let (number, after) = digits(after);
            suffixes.push((suffix, Num::parse(number)));
            text = after;
        }
        let revision = match text.strip_prefix("-r") {
            Some(revision) => Num::parse_all(revision)?,
            None if text.is_empty() => Num::ZERO,
            None => return None,
        };
        Some(Self { first: Num::parse(first), rest, letter, suffixes, revision })
    }
}

impl Ord for Gentoo {
    fn cmp(&self, other: &Self) -> Ordering {
        self.first
            .cmp(&other.first)
            .then_with(|| self.rest.cmp(&other.rest))
            .then_with(|| self.letter.cmp(&other.letter))
            .then_with(|| super::num::cmp_padded(&self.suffixes, &other.suffixes, &(Suffix::None, Num::ZERO)))
            .then_with(|| self.revision.cmp(&other.revision))
    }
}
