//! `Gem::Version`: runs of digits and letters; letters make a pre-release; trailing zeros before letters and at the end
//! do not count; `-` means `.pre.`.

use super::num::{Num, cmp_padded, digits, span};
use std::cmp::Ordering;

/// A parsed gem version: its canonical segments.
#[derive(Clone, Debug)]
pub(super) struct Gem(Vec<Segment>);

super::ordered_by_cmp!(Gem);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Text(Box<str>),
    Number(Num),
}

const ZERO: Segment = Segment::Number(Num::ZERO);

impl Gem {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if !is_correct(text) {
            return None;
        }
        let text = text.replace('-', ".pre.");
        let mut segments = Vec::new();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (number, after) = digits(rest);
            if !number.is_empty() {
                segments.push(Segment::Number(Num::parse(number)));
            }
            let (word, after) = span(after, |b| b.is_ascii_alphabetic());
            if !word.is_empty() {
                segments.push(Segment::Text(word.into()));
            }
            rest = after.strip_prefix('.').unwrap_or(after);
        }
        let first_text =
            segments.iter().position(|s| matches!(s, Segment::Text(_))).unwrap_or(segments.len());
        let mut tail = segments.split_off(first_text);
        drop_trailing_zeros(&mut segments);
        drop_trailing_zeros(&mut tail);
        segments.append(&mut tail);
        Some(Self(segments))
    }
}

fn drop_trailing_zeros(segments: &mut Vec<Segment>) {
    while segments.last() == Some(&ZERO) {
        segments.pop();
    }
}

/// `Gem::Version::ANCHORED_VERSION_PATTERN`; an empty version is 0.
fn is_correct(text: &str) -> bool {
    if text.is_empty() {
        return true;
    }
    let (release, pre) = text.split_once('-').map_or((text, None), |(r, p)| (r, Some(p)));
    let mut parts = release.split('.');
    let first = parts.next().is_some_and(|p| Num::parse_all(p).is_some());
    let word = |p: &str, extra: bool| {
        !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || (extra && b == b'-'))
    };
    // a letter run may follow the first number directly (`1beta`) since the pattern is only anchored by RubyGems < 2
    let loose_first = release.split('.').next().is_some_and(|p| {
        p.starts_with(|c: char| c.is_ascii_digit()) && p.bytes().all(|b| b.is_ascii_alphanumeric())
    });
    (first || loose_first)
        && parts.all(|p| word(p, false))
        && pre.is_none_or(|p| p.split('.').all(|p| word(p, true)))
}

impl Ord for Gem {
    fn cmp(&self, other: &Self) -> Ordering {
        cmp_padded(&self.0, &other.0, &ZERO)
    }
}
