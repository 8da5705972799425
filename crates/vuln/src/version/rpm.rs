//! RPM versions: `[epoch:]version[-release]`, as `rpmdev-vercmp` and `rpm.vercmp` (rpm's rpmio/rpmvercmp.c).
//!
//! `rpmvercmp` equals a lexicographic order of tokens with `~` < end < `^` < letters < digits; everything else only
//! separates. A missing epoch is 0; a missing release is before every release.

use super::num::{Num, Piece, epoch, pieces};
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
    fn parse(text: &str) -> Self {
        let mut tokens = Vec::new();
        for piece in pieces(text) {
            match piece {
                Piece::Number(number) => tokens.push(Token::Number(number)),
                Piece::Letters(letters) => tokens.push(Token::Alpha(letters.into())),
                Piece::Separators(separators) => {
                    tokens.extend(separators.bytes().filter_map(|byte| match byte {
                        b'~' => Some(Token::Tilde),
                        b'^' => Some(Token::Caret),
                        _ => None,
                    }));
                }
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
        let (epoch, rest) = epoch(text);
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
