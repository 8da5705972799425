//! conda's `VersionOrder`: `epoch!version+local`, components split into numbers and words.
//!
//! Words come before numbers, `dev` before all words, `post` after everything; a missing part is 0.

use super::num::{Num, cmp_padded, digits};
use std::cmp::Ordering;

/// A parsed conda version.
#[derive(Clone, Debug)]
pub(super) struct Conda {
    epoch: Num,
    version: Vec<Component>,
    local: Vec<Component>,
}

super::ordered_by_cmp!(Conda);

#[derive(Clone, Debug, Default)]
struct Component(Vec<Part>);

super::ordered_by_cmp!(Component);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Stars(usize),
    Dev,
    Word(Box<str>),
    Number(Num),
    Post,
}

const ZERO: Part = Part::Number(Num::ZERO);

impl Ord for Component {
    fn cmp(&self, other: &Self) -> Ordering {
        cmp_padded(&self.0, &other.0, &ZERO)
    }
}

impl Conda {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut text = text.trim().to_lowercase();
        let valid = |b: u8| {
            b.is_ascii_digit() || b.is_ascii_lowercase() || matches!(b, b'*' | b'.' | b'+' | b'!' | b'_')
        };
        if text.contains('-') && !text.contains('_') {
            text = text.replace('-', "_");
        }
        if text.is_empty() || !text.bytes().all(valid) {
            return None;
        }
        let (epoch, rest) = match text.split_once('!') {
            Some((epoch, rest)) => (Num::parse_all(epoch)?, rest),
            None => (Num::ZERO, text.as_str()),
        };
        let (version, local) = rest.split_once('+').map_or((rest, None), |(v, l)| (v, Some(l)));
        if rest.contains('!') || local.is_some_and(|l| l.contains('+')) {
            return None;
        }
        let local = local.map_or(Some(Vec::new()), components)?;
        Some(Self { epoch, version: components(version)?, local })
    }
}

fn components(text: &str) -> Option<Vec<Component>> {
    // a trailing underscore belongs to the last component (`1.0.1_` is before `1.0.1a`)
    let (body, tail) = match text.strip_suffix('_') {
        Some(body) => (body, "_"),
        None => (text, ""),
    };
    let mut names: Vec<String> = body.split(['.', '_']).map(str::to_owned).collect();
    if let Some(last) = names.last_mut() {
        last.push_str(tail);
    }
    names.iter().map(|name| component(name)).collect()
}

fn component(text: &str) -> Option<Component> {
    let mut parts = Vec::new();
    let mut rest = text;
    if !rest.starts_with(|c: char| c.is_ascii_digit()) {
        parts.push(ZERO);
    }
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '0'..='9' => digits(rest).0.len(),
            '*' => rest.find(|c| c != '*').unwrap_or(rest.len()),
            _ => rest.find(|c: char| c.is_ascii_digit() || c == '*').unwrap_or(rest.len()),
        };
        let (part, after) = rest.split_at(end);
        parts.push(match (first, part) {
            ('0'..='9', number) => Part::Number(Num::parse(number)),
            ('*', stars) => Part::Stars(stars.len()),
            (_, "post") => Part::Post,
            (_, "dev") => Part::Dev,
            (_, word) => Part::Word(word.into()),
        });
        rest = after;
    }
    (!text.is_empty()).then_some(Component(parts))
}

impl Ord for Conda {
    fn cmp(&self, other: &Self) -> Ordering {
        let none = Component::default();
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| cmp_padded(&self.version, &other.version, &none))
            .then_with(|| cmp_padded(&self.local, &other.local, &none))
    }
}
