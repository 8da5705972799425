//! Arch Linux versions: `[epoch:]version[-release]`, as pacman's `vercmp` (lib/libalpm/version.c).
//!
//! [`Alpm::vercmp`] is pacman's answer. It is no total order: a missing release equals every release, and separators at
//! the end are judged differently than elsewhere. `Ord` puts a missing release first and orders the separators as
//! everywhere; on versions with a release and without such separators both agree.

use super::num::{Num, Piece, cmp_padded, epoch, pieces, span};
use std::cmp::Ordering;

/// A parsed Arch Linux version.
#[derive(Clone, Debug)]
pub(super) struct Alpm {
    epoch: Num,
    version: Box<str>,
    release: Option<Box<str>>,
    key: (Vec<Token>, Option<Vec<Token>>),
}

/// In the order in which they may follow the same beginning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Token {
    Letters(Box<str>),
    End,
    Number(Num),
    Separators(usize),
}

fn tokens(text: &str) -> Vec<Token> {
    let token = |piece| match piece {
        Piece::Number(number) => Token::Number(number),
        Piece::Letters(letters) => Token::Letters(letters.into()),
        Piece::Separators(separators) => Token::Separators(separators.len()),
    };
    pieces(text).map(token).collect()
}

super::ordered_by_cmp!(Alpm);

impl Alpm {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let (epoch, rest) = epoch(text);
        let (version, release) = rest.rsplit_once('-').map_or((rest, None), |(v, r)| (v, Some(r)));
        let key = (tokens(version), release.map(tokens));
        Some(Self { epoch, version: version.into(), release: release.map(Into::into), key })
    }

    /// pacman's own answer.
    pub(super) fn vercmp(&self, other: &Self) -> Ordering {
        let by_version = self.epoch.cmp(&other.epoch).then_with(|| rpmvercmp(&self.version, &other.version));
        by_version.then_with(|| match (&self.release, &other.release) {
            (Some(a), Some(b)) => rpmvercmp(a, b),
            _ => Ordering::Equal,
        })
    }
}

impl Ord for Alpm {
    fn cmp(&self, other: &Self) -> Ordering {
        let release = |key: &Self| key.key.1.is_some();
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| cmp_padded(&self.key.0, &other.key.0, &Token::End))
            .then_with(|| release(self).cmp(&release(other)))
            .then_with(|| match (&self.key.1, &other.key.1) {
                (Some(a), Some(b)) => cmp_padded(a, b, &Token::End),
                _ => Ordering::Equal,
            })
    }
}

/// rpm's algorithm before `~` and `^`, where longer separators are newer and remaining letters are older.
fn rpmvercmp(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() && !b.is_empty() {
        let (sep_a, rest_a) = separators(a);
        let (sep_b, rest_b) = separators(b);
        (a, b) = (rest_a, rest_b);
        if a.is_empty() || b.is_empty() {
            break;
        }
        if sep_a != sep_b {
            return sep_a.cmp(&sep_b);
        }
        let is_number = a.starts_with(|c: char| c.is_ascii_digit());
        let same_kind = |b: u8| if is_number { b.is_ascii_digit() } else { b.is_ascii_alphabetic() };
        let (part_a, part_b);
        (part_a, a) = span(a, same_kind);
        (part_b, b) = span(b, same_kind);
        if part_b.is_empty() {
            return if is_number { Ordering::Greater } else { Ordering::Less };
        }
        let order = if is_number { Num::parse(part_a).cmp(&Num::parse(part_b)) } else { part_a.cmp(part_b) };
        if order.is_ne() {
            return order;
        }
    }
    let is_letter = |t: &str| t.starts_with(|c: char| c.is_ascii_alphabetic());
    match (a.is_empty(), b.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) if !is_letter(b) => Ordering::Less,
        _ if is_letter(a) => Ordering::Less,
        _ => Ordering::Greater,
    }
}

/// Length in bytes of the separators at the beginning, and the rest.
fn separators(text: &str) -> (usize, &str) {
    let end = text.bytes().position(|b| b.is_ascii_alphanumeric()).unwrap_or(text.len());
    (end, &text[end..])
}
