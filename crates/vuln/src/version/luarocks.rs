//! LuaRocks' `core.vers`: numbers and words, words weigh less than nothing (`alpha`, `beta`, `pre`, `rc`) or more
//! (`scm`, `cvs`), and a revision after `-`.
//!
//! LuaRocks adds a number to the word before it in hundred-thousandths; so does this, in fixed point. It ignores the
//! revision when either has none: [`Luarocks::tool_cmp`]; `Ord` puts that one first.

use super::num::{Num, digits, span};
use std::cmp::Ordering;

/// A parsed rock version.
#[derive(Clone, Debug)]
pub(super) struct Luarocks {
    /// Weights in hundred-thousandths.
    parts: Vec<i128>,
    revision: Option<Num>,
}

super::ordered_by_cmp!(Luarocks);

const UNIT: i128 = 100_000;

fn word_weight(word: &str) -> i128 {
    match word {
        "dev" => 120_000_000 * UNIT,
        "scm" => 110_000_000 * UNIT,
        "cvs" => 100_000_000 * UNIT,
        "rc" => -1_000 * UNIT,
        "pre" => -10_000 * UNIT,
        "beta" => -100_000 * UNIT,
        "alpha" => -1_000_000 * UNIT,
        other => i128::from(other.bytes().next().unwrap_or_default()) * (UNIT / 1_000),
    }
}

impl Luarocks {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (mut rest, revision) = match text.rsplit_once('-').map(|(v, r)| (v, Num::parse_all(r))) {
            Some((version, Some(revision))) => (version, Some(revision)),
            _ => (text, None),
        };
        let mut parts = Vec::new();
        let mut word = None;
        while !rest.is_empty() {
            let (number, after) = digits(rest);
            let (text, after) =
                if number.is_empty() { span(rest, |b| b.is_ascii_alphabetic()) } else { (number, after) };
            if text.is_empty() {
                return None;
            }
            if number.is_empty() {
                parts.extend(word.replace(word_weight(text)));
            } else {
                let number =
                    number.trim_start_matches('0').get(..24).unwrap_or(number.trim_start_matches('0'));
                let value = number.bytes().fold(0_i128, |n, d| n * 10 + i128::from(d - b'0'));
                parts.push(word.take().map_or(value.saturating_mul(UNIT), |w| w.saturating_add(value)));
            }
            rest = after.trim_start_matches(['.', '-', '_']);
        }
        parts.extend(word);
        Some(Self { parts, revision })
    }

    /// LuaRocks' own answer.
    pub(super) fn tool_cmp(&self, other: &Self) -> Ordering {
        super::num::cmp_padded(&self.parts, &other.parts, &0).then_with(|| {
            match (&self.revision, &other.revision) {
                (Some(a), Some(b)) => a.cmp(b),
                _ => Ordering::Equal,
            }
        })
    }
}

impl Ord for Luarocks {
    fn cmp(&self, other: &Self) -> Ordering {
        self.tool_cmp(other).then_with(|| self.revision.is_some().cmp(&other.revision.is_some()))
    }
}
