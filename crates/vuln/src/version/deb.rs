//! Debian versions: `[epoch:]upstream[-revision]`, as `dpkg --compare-versions` (deb-version(7), lib/dpkg/version.c).
//!
//! dpkg only warns of odd characters, so they are accepted; it refuses an empty version, a bad epoch, an empty
//! revision and embedded blanks.

use super::num::Num;
use std::cmp::Ordering;

/// A parsed Debian version.
#[derive(Clone, Debug)]
pub(super) struct Deb {
    epoch: u32,
    upstream: Box<str>,
    revision: Box<str>,
}

super::ordered_by_cmp!(Deb);

impl Deb {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
        if text.is_empty() || text.bytes().any(|b| b.is_ascii_whitespace()) {
            return None;
        }
        let (epoch, rest) = match text.split_once(':') {
            Some((epoch, rest)) => {
                let Num::Small(n) = Num::parse_all(epoch)? else { return None };
                (u32::try_from(n).ok().filter(|n| *n <= i32::MAX.unsigned_abs())?, rest)
            }
            None => (0, text),
        };
        if rest.is_empty() {
            return None;
        }
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "\0"));
        if upstream.is_empty() || revision.is_empty() {
            return None;
        }
        let revision = revision.trim_matches('\0');
        Some(Self { epoch, upstream: upstream.into(), revision: revision.into() })
    }
}

impl Ord for Deb {
    fn cmp(&self, other: &Self) -> Ordering {
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| verrevcmp(self.upstream.as_bytes(), other.upstream.as_bytes()))
            .then_with(|| verrevcmp(self.revision.as_bytes(), other.revision.as_bytes()))
    }
}

/// Weight of a byte outside a number; the end and digits weigh nothing, `~` less than that.
fn weight(byte: Option<u8>) -> i32 {
    match byte {
        None => 0,
        Some(b) if b.is_ascii_digit() => 0,
        Some(b) if b.is_ascii_alphabetic() => i32::from(b),
        Some(b'~') => -1,
        // dpkg reads plain `char`, signed on the platforms that publish its answers
        Some(b) => i32::from(b.cast_signed()) + 256,
    }
}

/// dpkg's `verrevcmp`: alternately a non-digit and a digit part.
fn verrevcmp(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        while a.first().is_some_and(|c| !c.is_ascii_digit()) || b.first().is_some_and(|c| !c.is_ascii_digit())
        {
            let by_weight = weight(a.first().copied()).cmp(&weight(b.first().copied()));
            if by_weight.is_ne() {
                return by_weight;
            }
            a = a.get(1..).unwrap_or_default();
            b = b.get(1..).unwrap_or_default();
        }
        let (na, nb);
        (na, a) = number(a);
        (nb, b) = number(b);
        let by_number = na.len().cmp(&nb.len()).then_with(|| na.cmp(nb));
        if by_number.is_ne() {
            return by_number;
        }
    }
    Ordering::Equal
}

/// Splits off a number without its leading zeros.
fn number(text: &[u8]) -> (&[u8], &[u8]) {
    let start = text.iter().position(|b| *b != b'0').unwrap_or(text.len());
    let text = &text[start..];
    text.split_at(text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len()))
}
