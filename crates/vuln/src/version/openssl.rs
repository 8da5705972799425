//! OpenSSL's release names: up to 1.1.1 `major.minor.fix[letters][-preN|-betaN]`, from 3.0 semantic.

use super::num::{Num, digits, span};
use super::semver::{Ident, cmp_pre};
use std::cmp::Ordering;

/// A parsed OpenSSL version.
#[derive(Clone, Debug)]
pub(super) struct Openssl {
    numbers: Vec<Num>,
    /// Patch letters: none, `a` … `z`, `za` … `zz`.
    letters: Box<str>,
    pre: Vec<Ident>,
}

super::ordered_by_cmp!(Openssl);

impl Openssl {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('v').unwrap_or(text).to_ascii_lowercase();
        let mut numbers = Vec::new();
        let mut rest = text.as_str();
        loop {
            let (number, after) = digits(rest);
            if number.is_empty() {
                return None;
            }
            numbers.push(Num::parse(number));
            rest = after;
            match after.strip_prefix('.') {
                Some(more) => rest = more,
                None => break,
            }
        }
        let (letters, rest) = span(rest, |b| b.is_ascii_lowercase());
        let rest = rest.split_once('+').map_or(rest, |(v, _)| v);
        let pre = match rest.strip_prefix(['-', '.', '_']) {
            Some("") => return None,
            Some(pre) => pre_release(pre),
            None if rest.is_empty() => Vec::new(),
            None => return None,
        };
        Some(Self { numbers, letters: letters.into(), pre })
    }
}

/// `beta2` and `pre10` order by word, then number.
fn pre_release(text: &str) -> Vec<Ident> {
    let mut idents = Vec::new();
    for part in text.split('.') {
        let word = part.trim_end_matches(|c: char| c.is_ascii_digit());
        if !word.is_empty() {
            idents.push(Ident::Text(word.into()));
        }
        if part.len() > word.len() {
            idents.push(Ident::Number(Num::parse(&part[word.len()..])));
        }
    }
    idents
}

impl Ord for Openssl {
    fn cmp(&self, other: &Self) -> Ordering {
        super::num::cmp_padded(&self.numbers, &other.numbers, &Num::ZERO)
            .then_with(|| self.letters.cmp(&other.letters))
            .then_with(|| cmp_pre(&self.pre, &other.pre))
    }
}
