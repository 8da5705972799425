//! PEP 440 as PyPA's `packaging` orders it; other texts come before all of these in setuptools' legacy order, as
//! `packaging` did up to version 21.

use super::num::{Num, digits, span};

/// A parsed Python version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pep440 {
    Legacy(Vec<Box<str>>),
    Version(Key),
}

/// `packaging`'s comparison key; the enums' declaration order is the order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    epoch: Num,
    release: Vec<Num>,
    pre: Pre,
    post: Option<Num>,
    dev: Dev,
    local: Option<Vec<Local>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pre {
    /// Neither pre- nor post- but a development release: before every pre-release.
    DevOnly,
    Alpha(Num),
    Beta(Num),
    Candidate(Num),
    None,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Dev {
    Number(Num),
    None,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Local {
    Text(Box<str>),
    Number(Num),
}

impl Pep440 {
    #[expect(clippy::unnecessary_wraps, reason = "all schemes parse through one signature")]
    pub(super) fn parse(text: &str) -> Option<Self> {
        let lower = text.to_lowercase();
        Some(match version(lower.trim()) {
            Some(key) => Self::Version(key),
            None => Self::Legacy(legacy(&lower)),
        })
    }
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b'-' | b'_' | b'.')
}

fn skip_separator(text: &str) -> &str {
    text.strip_prefix(['-', '_', '.']).unwrap_or(text)
}

/// A word out of `words` with optional separators and number: its index, the number (0 if none) and the rest.
fn labelled<'a>(text: &'a str, words: &[&str]) -> Option<(usize, Num, &'a str)> {
    let bare = skip_separator(text);
    let (index, word) = words.iter().enumerate().find(|(_, w)| bare.starts_with(**w))?;
    let (number, rest) = digits(skip_separator(&bare[word.len()..]));
    Some((index, Num::parse(number), rest))
}

/// PEP 440, appendix B.
fn version(text: &str) -> Option<Key> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (epoch, text) = match text.split_once('!') {
        Some((epoch, rest)) => (Num::parse_all(epoch)?, rest),
        None => (Num::ZERO, text),
    };
    let mut release = Vec::new();
    let mut rest = text;
    loop {
        let (number, after) = digits(rest);
        if number.is_empty() {
            return None;
        }
        release.push(Num::parse(number));
        rest = after;
        match after.strip_prefix('.') {
            Some(more) if more.starts_with(|c: char| c.is_ascii_digit()) => rest = more,
            _ => break,
        }
    }
    while release.last().is_some_and(Num::is_zero) {
        release.pop();
    }
    let mut pre = Pre::None;
    if let Some((word, number, after)) =
        labelled(rest, &["alpha", "a", "beta", "b", "preview", "pre", "c", "rc"])
    {
        // `r` and `rev` are post-releases, and `rc` is found as itself
        pre = match word {
            0 | 1 => Pre::Alpha(number),
            2 | 3 => Pre::Beta(number),
            _ => Pre::Candidate(number),
        };
        rest = after;
    }
    let mut post = None;
    match rest.strip_prefix('-').map(digits) {
        Some((number, after)) if !number.is_empty() => (post, rest) = (Some(Num::parse(number)), after),
        _ => {
            if let Some((_, number, after)) = labelled(rest, &["post", "rev", "r"]) {
                (post, rest) = (Some(number), after);
            }
        }
    }
    let mut dev = Dev::None;
    if let Some((_, number, after)) = labelled(rest, &["dev"]) {
        (dev, rest) = (Dev::Number(number), after);
    }
    if pre == Pre::None && post.is_none() && dev != Dev::None {
        pre = Pre::DevOnly;
    }
    let local = match rest.strip_prefix('+') {
        Some(local) => Some(local_parts(local)?),
        None if rest.is_empty() => None,
        None => return None,
    };
    Some(Key { epoch, release, pre, post, dev, local })
}

fn local_parts(text: &str) -> Option<Vec<Local>> {
    let part = |p: &str| match Num::parse_all(p) {
        Some(number) => Some(Local::Number(number)),
        None => {
            (!p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric())).then(|| Local::Text(p.into()))
        }
    };
    text.split(|c: char| u8::try_from(c).is_ok_and(is_separator)).map(part).collect()
}

/// setuptools' `parse_version` of old: words get a `*` before them, numbers are padded, `-` and releases sort between.
fn legacy(text: &str) -> Vec<Box<str>> {
    let mut parts: Vec<Box<str>> = Vec::new();
    let mut add = |part: String| {
        if part.starts_with('*') {
            if *part < *"*final" {
                while parts.last().is_some_and(|p| **p == *"*final-") {
                    parts.pop();
                }
            }
            while parts.last().is_some_and(|p| **p == *"00000000") {
                parts.pop();
            }
        }
        parts.push(part.into());
    };
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let part = match first {
            '0'..='9' => digits(rest).0,
            'a'..='z' => span(rest, |b| b.is_ascii_lowercase()).0,
            '.' | '-' => &rest[..1],
            _ => {
                let stop = |c: char| c.is_ascii_digit() || c.is_ascii_lowercase() || matches!(c, '.' | '-');
                &rest[..rest.find(stop).unwrap_or(rest.len())]
            }
        };
        rest = &rest[part.len()..];
        match part {
            "." => {}
            "pre" | "preview" | "rc" => add("*c".to_owned()),
            "-" => add("*final-".to_owned()),
            "dev" => add("*@".to_owned()),
            number if first.is_ascii_digit() => add(format!("{number:0>8}")),
            word => add(format!("*{word}")),
        }
    }
    add("*final".to_owned());
    parts
}
