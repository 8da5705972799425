//! RPM versions: `[epoch:]version[-release]`, as `rpmdev-vercmp` and `rpm.vercmp` (rpm's rpmio/rpmvercmp.c).
//!
//! `rpmvercmp` equals a lexicographic order of tokens with `~` < end < `^` < letters < digits; everything else only
//! separates. A missing epoch is 0; a missing release is before every release.

use super::num::{Num, digits, span};
use std::cmp::Ordering;

/// A parsed epoch-version-release.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rpm {
    epoch: Num,
    version: Tokens,
    release: Option<Tokens>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Token {
    Tilde,
    End,
    Caret,
    Alpha(Box<str>),
    Number(Num),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Tokens(Vec<Token>);

impl Tokens {
    fn parse(mut text: &str) -> Self {
        let mut tokens = Vec::new();
        while let Some(&first) = text.as_bytes().first() {
            let token;
            if first.is_ascii_digit() {
                (token, text) = digits(text);
                tokens.push(Token::Number(Num::parse(token)));
            } else if first.is_ascii_alphabetic() {
                (token, text) = span(text, |b| b.is_ascii_alphabetic());
                tokens.push(Token::Alpha(token.into()));
            } else {
                match first {
                    b'~' => tokens.push(Token::Tilde),
                    b'^' => tokens.push(Token::Caret),
                    _ => {}
                }
                let mut rest = text.chars();
                rest.next();
                text = rest.as_str();
            }
        }
        Self(tokens)
    }
}

impl Ord for Tokens {
    fn cmp(&self, other: &Self) -> Ordering {
        super::num::cmp_padded(&self.0, &other.0, &Token::End)
    }
}

impl PartialOrd for Tokens {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Rpm {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (epoch, rest) = digits(text);
        let (epoch, rest) = match rest.strip_prefix(':') {
            Some(rest) => (Num::parse(epoch), rest),
            None => (Num::ZERO, text),
        };
        if text.is_empty() {
            return None;
        }
        let (version, release) = match rest.rsplit_once('-') {
            Some((version, release)) => (version, Some(Tokens::parse(release))),
            None => (rest, None),
        };
        Some(Self { epoch, version: Tokens::parse(version), release })
    }
}
