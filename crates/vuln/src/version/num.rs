//! Decimal numbers of any length, as version components have them.

use std::cmp::Ordering;

/// A non-negative decimal number; leading zeros do not count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Num {
    /// Up to 18 digits.
    Small(u64),
    /// More digits, without leading zeros.
    Big(Box<str>),
}

impl Num {
    /// Zero.
    pub(crate) const ZERO: Num = Num::Small(0);

    /// Reads ASCII digits; the caller has checked that there are only such. No digits are zero.
    pub(crate) fn parse(digits: &str) -> Self {
        let digits = digits.trim_start_matches('0');
        if digits.len() > 18 {
            return Num::Big(digits.into());
        }
        Num::Small(digits.bytes().fold(0, |n, d| n * 10 + u64::from(d.wrapping_sub(b'0') % 10)))
    }

    /// `Some` if the text is one or more ASCII digits.
    pub(crate) fn parse_all(text: &str) -> Option<Self> {
        (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| Self::parse(text))
    }

    /// Whether it is zero.
    pub(crate) fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

impl Ord for Num {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Num::Small(a), Num::Small(b)) => a.cmp(b),
            (Num::Small(_), Num::Big(_)) => Ordering::Less,
            (Num::Big(_), Num::Small(_)) => Ordering::Greater,
            (Num::Big(a), Num::Big(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
        }
    }
}

impl PartialOrd for Num {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Splits off the longest prefix whose bytes satisfy `f` (which accepts only ASCII).
pub(crate) fn span(text: &str, f: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text.bytes().position(|b| !f(b)).unwrap_or(text.len());
    text.split_at(end)
}

/// Splits off the leading ASCII digits.
pub(crate) fn digits(text: &str) -> (&str, &str) {
    span(text, |b| b.is_ascii_digit())
}

/// A piece of a version as rpm and its kin cut it.
pub(crate) enum Piece<'t> {
    /// Digits.
    Number(Num),
    /// ASCII letters.
    Letters(&'t str),
    /// Anything else.
    Separators(&'t str),
}

/// The pieces of a text in order.
pub(crate) fn pieces(mut text: &str) -> impl Iterator<Item = Piece<'_>> {
    std::iter::from_fn(move || {
        let first = *text.as_bytes().first()?;
        let (piece, rest);
        if first.is_ascii_digit() {
            (piece, rest) = digits(text);
        } else if first.is_ascii_alphabetic() {
            (piece, rest) = span(text, |b| b.is_ascii_alphabetic());
        } else {
            let end = text.bytes().position(|b| b.is_ascii_alphanumeric()).unwrap_or(text.len());
            (piece, rest) = text.split_at(end);
        }
        text = rest;
        Some(match first {
            b'0'..=b'9' => Piece::Number(Num::parse(piece)),
            b'a'..=b'z' | b'A'..=b'Z' => Piece::Letters(piece),
            _ => Piece::Separators(piece),
        })
    })
}

/// The number before a first colon, else zero, and the rest.
pub(crate) fn epoch(text: &str) -> (Num, &str) {
    let (number, rest) = digits(text);
    rest.strip_prefix(':').map_or((Num::ZERO, text), |rest| (Num::parse(number), rest))
}

/// Compares two lists where missing entries count as `pad`.
pub(crate) fn cmp_padded<T: Ord>(a: &[T], b: &[T], pad: &T) -> Ordering {
    (0..a.len().max(b.len()))
        .map(|i| a.get(i).unwrap_or(pad).cmp(b.get(i).unwrap_or(pad)))
        .find(|o| o.is_ne())
        .unwrap_or(Ordering::Equal)
}
