//! Alpine versions: `digits{.digits}{letter}{_suffix{number}}{~hash}{-rN}`, as apk-tools 3 (src/version.c).
//!
//! apk compares what is left of an invalid version too; so does this, with the invalid rest before the end.

use super::num::{Num, digits, span};
use std::cmp::Ordering;

/// A parsed Alpine version: tokens up to the end or the first invalid one.
#[derive(Clone, Debug)]
pub(super) struct Apk(Vec<Token>);

super::ordered_by_cmp!(Apk);

#[derive(Clone, Debug)]
enum Token {
    Initial(Num),
    Digit(Box<str>),
    Letter(u8),
    /// Index into [`SUFFIXES`].
    Suffix(usize),
    SuffixNumber(Num),
    Hash(Box<str>),
    Revision(Num),
    End,
    Invalid,
}

const SUFFIXES: [&str; 9] = ["alpha", "beta", "pre", "rc", "cvs", "svn", "git", "hg", "p"];
const PRE_RELEASES: usize = 4;

impl Token {
    /// Position in the grammar.
    fn stage(&self) -> u8 {
        match self {
            Token::Initial(_) => 0,
            Token::Digit(_) => 1,
            Token::Letter(_) => 2,
            Token::Suffix(_) => 3,
            Token::SuffixNumber(_) => 4,
            Token::Hash(_) => 5,
            Token::Revision(_) => 6,
            Token::End => 7,
            Token::Invalid => 8,
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        let pre = |t: &Token| matches!(t, Token::Suffix(i) if *i < PRE_RELEASES);
        match (self, other) {
            (Token::Initial(a), Token::Initial(b))
            | (Token::SuffixNumber(a), Token::SuffixNumber(b))
            | (Token::Revision(a), Token::Revision(b)) => a.cmp(b),
            (Token::Digit(a), Token::Digit(b)) => digit_order(a, b),
            (Token::Letter(a), Token::Letter(b)) => a.cmp(b),
            (Token::Suffix(a), Token::Suffix(b)) => a.cmp(b),
            (Token::Hash(a), Token::Hash(b)) => a.cmp(b),
            (a, b) if pre(a) != pre(b) => pre(b).cmp(&pre(a)),
            (a, b) => b.stage().cmp(&a.stage()),
        }
    }
}

/// Components with a leading zero order as text, like decimals.
fn digit_order(a: &str, b: &str) -> Ordering {
    if a.starts_with('0') || b.starts_with('0') { a.cmp(b) } else { Num::parse(a).cmp(&Num::parse(b)) }
}

impl Apk {
    #[expect(clippy::unnecessary_wraps, reason = "all schemes parse through one signature")]
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (first, mut rest) = digits(text);
        let mut tokens =
            vec![if first.is_empty() { Token::Invalid } else { Token::Initial(Num::parse(first)) }];
        while let Some(last) = tokens.last().filter(|t| t.stage() < Token::End.stage()) {
            let (token, after) = next(last.stage(), rest);
            tokens.push(token);
            rest = after;
        }
        Some(Self(tokens))
    }
}

/// Reads the token after one of `stage`.
fn next(stage: u8, text: &str) -> (Token, &str) {
    const INVALID: (Token, &str) = (Token::Invalid, "");
    let Some(&first) = text.as_bytes().first() else { return (Token::End, "") };
    match first {
        b'a'..=b'z' if stage <= 1 => (Token::Letter(first), &text[1..]),
        b'.' if stage <= 1 => match digits(&text[1..]) {
            ("", _) => INVALID,
            (number, rest) => (Token::Digit(number.into()), rest),
        },
        // after a letter only apk-tools 2 takes digits (`5.9.2p1`); to apk-tools 3 such a version is invalid anyway
        b'0'..=b'9' if stage <= 2 => {
            let (number, rest) = digits(text);
            (Token::Digit(number.into()), rest)
        }
        b'0'..=b'9' if stage == 3 => {
            let (number, rest) = digits(text);
            (Token::SuffixNumber(Num::parse(number)), rest)
        }
        b'_' if stage <= 4 => {
            let (name, rest) = span(&text[1..], |b| b.is_ascii_lowercase());
            SUFFIXES.iter().position(|s| *s == name).map_or(INVALID, |i| (Token::Suffix(i), rest))
        }
        b'~' if stage < 5 => match span(&text[1..], |b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            ("", _) => INVALID,
            (hash, rest) => (Token::Hash(hash.into()), rest),
        },
        b'-' if stage < 6 && text[1..].starts_with('r') => match digits(&text[2..]) {
            ("", _) => INVALID,
            (number, rest) => (Token::Revision(Num::parse(number)), rest),
        },
        _ => INVALID,
    }
}

impl Ord for Apk {
    fn cmp(&self, other: &Self) -> Ordering {
        // both lists end in End or Invalid, which no other token equals
        self.0.iter().zip(&other.0).map(|(a, b)| a.order(b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    }
}
