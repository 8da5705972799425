//! Orders that VERS defines for versions of no particular ecosystem: `intdot` and `lexicographic`.

use super::num::{Num, cmp_padded, digits};
use std::cmp::Ordering;

/// Integers separated by dots; what follows the last is ignored, missing ones are zero.
#[derive(Clone, Debug)]
pub(super) struct Intdot(Vec<Num>);

super::ordered_by_cmp!(Intdot);

impl Intdot {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut numbers = Vec::new();
        let mut rest = text;
        loop {
            let (number, after) = digits(rest);
            if number.is_empty() {
                break;
            }
            numbers.push(Num::parse(number));
            match after.strip_prefix('.') {
                Some(more) => rest = more,
                None => break,
            }
        }
        (!numbers.is_empty()).then_some(Self(numbers))
    }
}

impl Ord for Intdot {
    fn cmp(&self, other: &Self) -> Ordering {
        cmp_padded(&self.0, &other.0, &Num::ZERO)
    }
}

/// Any text, by code points (UTF-8 keeps their order).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lexicographic(Box<str>);

impl Lexicographic {
    #[expect(clippy::unnecessary_wraps, reason = "all schemes parse through one signature")]
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(Self(text.into()))
    }
}
