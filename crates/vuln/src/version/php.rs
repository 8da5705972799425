//! PHP's `version_compare` (ext/standard/versioning.c), which composer/semver's `Comparator` calls; a leading `v` is
//! dropped as Composer does.
//!
//! Components order as: none after a separator < unknown word < dev < alpha < beta < RC < end < number < pl.

use super::num::{Num, cmp_padded};
use std::cmp::Ordering;

/// A parsed PHP version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Php(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Empty,
    Unknown,
    Dev,
    Alpha,
    Beta,
    Rc,
    End,
    Number(Num),
    Patch,
}

/// Special forms, found by prefix, in the order of the table of the C source.
const FORMS: [(&str, Part); 10] = [
    ("dev", Part::Dev),
    ("alpha", Part::Alpha),
    ("a", Part::Alpha),
    ("beta", Part::Beta),
    ("b", Part::Beta),
    ("RC", Part::Rc),
    ("rc", Part::Rc),
    ("#", Part::End),
    ("pl", Part::Patch),
    ("p", Part::Patch),
];

impl Part {
    fn parse(text: &str) -> Self {
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return Part::Number(Num::parse(super::num::digits(text).0));
        }
        if text.is_empty() {
            return Part::Empty;
        }
        FORMS.iter().find(|(form, _)| text.starts_with(form)).map_or(Part::Unknown, |(_, part)| part.clone())
    }
}

impl Php {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = match text.strip_prefix(['v', 'V']) {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit()) => rest,
            _ => text,
        };
        if text.is_empty() {
            return None;
        }
        Some(Self(canonical(text).split('.').map(Part::parse).collect()))
    }
}

/// Separators become dots, and a dot goes between digits and letters.
fn canonical(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut last = None;
    for c in text.chars() {
        let dot = |out: &mut String| {
            if !out.ends_with('.') {
                out.push('.');
            }
        };
        match last {
            None => out.push(c),
            Some(_) if !c.is_ascii_alphanumeric() => dot(&mut out),
            Some(l) => {
                let word = |c: char| !c.is_ascii_digit() && !matches!(c, '.' | '-' | '_' | '+');
                if (word(l) && c.is_ascii_digit()) || (char::is_ascii_digit(&l) && word(c)) {
                    dot(&mut out);
                }
                out.push(c);
            }
        }
        last = Some(c);
    }
    out
}

impl Ord for Php {
    fn cmp(&self, other: &Self) -> Ordering {
        cmp_padded(&self.0, &other.0, &Part::End)
    }
}

impl PartialOrd for Php {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
