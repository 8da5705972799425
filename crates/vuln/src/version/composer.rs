//! Composer: `VersionParser::normalize`, then PHP's `version_compare`, as `composer audit` and constraints do.
//!
//! What `normalize` refuses (rare tags) is compared as written, so that an advisory that names it still applies.

use super::num::{digits, span};
use super::php::Php;

/// A parsed Composer version: named branches come before every release.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Composer {
    Branch(Box<str>),
    Release(Php),
}

impl Composer {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.split_once(" as ").map_or(text, |(v, _)| v.trim());
        let text = strip_stability(text);
        if matches!(text, "master" | "trunk" | "default") {
            return Some(Self::Branch(text.into()));
        }
        if text.get(..4).is_some_and(|p| p.eq_ignore_ascii_case("dev-")) {
            return Some(Self::Branch(text[4..].into()));
        }
        let text = text.split_once('+').map_or(text, |(v, _)| v);
        match normalize(text) {
            Some(normal) => Php::parse(&normal).map(Self::Release),
            None => Php::parse(text).map(Self::Release),
        }
    }
}

fn strip_stability(text: &str) -> &str {
    match text.rsplit_once('@') {
        Some((version, flag))
            if ["stable", "rc", "beta", "alpha", "dev"].iter().any(|s| flag.eq_ignore_ascii_case(s)) =>
        {
            version
        }
        _ => text,
    }
}

/// `1.2-b3` → `1.2.0.0-beta3`; dates keep their shape; `2.x-dev` fills with 9999999.
fn normalize(text: &str) -> Option<String> {
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    if let Some(normal) = classical(text) {
        return Some(normal);
    }
    if let Some(normal) = date(text) {
        return Some(normal);
    }
    branch(text)
}

fn classical(text: &str) -> Option<String> {
    let mut numbers = Vec::new();
    let mut rest = text;
    loop {
        let (number, after) = digits(rest);
        if number.is_empty() || (numbers.is_empty() && number.len() > 5) {
            return None;
        }
        numbers.push(number);
        rest = after;
        match after.strip_prefix('.') {
            Some(more) if numbers.len() < 4 && more.starts_with(|c: char| c.is_ascii_digit()) => rest = more,
            _ => break,
        }
    }
    numbers.resize(4, "0");
    Some(numbers.join(".") + &modifier(rest)?)
}

/// `\d{4}([.:-]?\d{2}){1,6}([.:-]?\d{1,3})?`, the separators becoming dots.
fn date(text: &str) -> Option<String> {
    let mut rest = text;
    let mut take = |most: usize, least: usize, separators: &[char]| {
        let bare = rest.strip_prefix(separators).unwrap_or(rest);
        let found = digits(bare).0.len().min(most);
        let fits = found >= least;
        if fits {
            rest = &bare[found..];
        }
        fits
    };
    let between = ['.', ':', '-'];
    if !take(4, 4, &[]) || !take(2, 2, &between) {
        return None;
    }
    let _more_pairs = (0..5).take_while(|_| take(2, 2, &between)).count();
    take(3, 1, &between);
    let taken = text.len() - rest.len();
    let date = text[..taken].replace([':', '-'], ".");
    Some(date + &modifier(rest)?)
}

/// Stability words as written and as normalised.
const WORDS: [(&str, &str); 9] = [
    ("stable", ""),
    ("beta", "-beta"),
    ("b", "-beta"),
    ("rc", "-RC"),
    ("alpha", "-alpha"),
    ("a", "-alpha"),
    ("patch", "-patch"),
    ("pl", "-patch"),
    ("p", "-patch"),
];

/// `[._-]?(stability number?)?([.-]?dev)?` to the end; `None` if something is left.
fn modifier(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let mut rest = lower.strip_prefix(['.', '_', '-']).unwrap_or(&lower);
    let mut out = String::new();
    if let Some((word, long)) = WORDS.iter().find(|(word, _)| rest.starts_with(word)) {
        rest = &rest[word.len()..];
        let (number, _) = span(rest, |b| b.is_ascii_digit() || matches!(b, b'.' | b'-'));
        let number = number.trim_end_matches(['.', '-']);
        rest = &rest[number.len()..];
        out.push_str(long);
        if !long.is_empty() {
            out.push_str(number.trim_start_matches(['.', '-']));
        }
    }
    match rest.strip_prefix(['.', '-']).unwrap_or(rest) {
        "dev" => Some(out + "-dev"),
        _ if rest.is_empty() => Some(out),
        _ => None,
    }
}

/// `1.x-dev`, `2.3.x-dev`.
fn branch(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let name = lower.strip_suffix("dev")?.trim_end_matches(['.', '-']);
    let mut parts: Vec<&str> = name.split('.').collect();
    if parts.len() > 4
        || !parts.iter().enumerate().all(|(i, p)| (i > 0 && matches!(*p, "x" | "*")) || is_number(p))
    {
        return None;
    }
    parts.resize(4, "x");
    let filled: Vec<&str> = parts.iter().map(|p| if is_number(p) { p } else { "9999999" }).collect();
    Some(filled.join(".") + "-dev")
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}
