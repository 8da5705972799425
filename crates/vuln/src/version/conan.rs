//! Conan 2's `Version`: items separated by dots, then `-pre` and `+build`, each again a version.
//!
//! [`Conan::tool_cmp`] is Conan's answer; it compares a number with a mixed item as text, which is no order
//! (`2` < `10` < `1a` < `2`), so `Ord` counts a mixed item by its leading number first. Both agree on items with equally
//! many digits.

use super::num::{Num, digits};
use std::cmp::Ordering;

/// A parsed Conan version.
#[derive(Clone, Debug)]
pub(super) struct Conan {
    items: Vec<Item>,
    pre: Option<Vec<Item>>,
    build: Option<Vec<Item>>,
}

super::ordered_by_cmp!(Conan);

/// An item with its leading number, if any, and its text (a number's without leading zeros).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    number: Option<Num>,
    is_number: bool,
    text: Box<str>,
}

impl Item {
    fn parse(text: &str) -> Self {
        let (number, rest) = digits(text);
        let is_number = rest.is_empty() && !number.is_empty();
        let shown = if is_number { number.trim_start_matches('0') } else { text };
        let shown = if is_number && shown.is_empty() { "0" } else { shown };
        let number = (!number.is_empty()).then(|| Num::parse(number));
        Self { number, is_number, text: shown.into() }
    }

    fn is_zero(&self) -> bool {
        self.is_number && &*self.text == "0"
    }

    fn tool_cmp(&self, other: &Self) -> Ordering {
        if self.is_number && other.is_number {
            self.number.cmp(&other.number)
        } else {
            self.text.cmp(&other.text)
        }
    }
}

impl Ord for Item {
    /// By leading number, items without one last; then numbers before mixed items, then by text.
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |i: &Self| (i.number.is_none(), !i.is_number);
        key(self)
            .0
            .cmp(&key(other).0)
            .then_with(|| self.number.cmp(&other.number))
            .then_with(|| key(self).1.cmp(&key(other).1))
            .then_with(|| self.text.cmp(&other.text))
    }
}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Items without trailing zeros.
fn items(text: &str) -> Vec<Item> {
    let mut items: Vec<Item> = text.split('.').map(Item::parse).collect();
    while items.last().is_some_and(Item::is_zero) {
        items.pop();
    }
    items
}

fn tool_cmp_lists(a: &[Item], b: &[Item]) -> Ordering {
    let by_item = a.iter().zip(b).map(|(a, b)| a.tool_cmp(b)).find(|o| o.is_ne());
    by_item.unwrap_or_else(|| a.len().cmp(&b.len()))
}

/// None before some.
fn tool_cmp_options(a: Option<&[Item]>, b: Option<&[Item]>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => tool_cmp_lists(a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

impl Conan {
    #[expect(clippy::unnecessary_wraps, reason = "all schemes parse through one signature")]
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (rest, build) = text.rsplit_once('+').map_or((text, None), |(v, b)| (v, Some(items(b))));
        let (release, pre) = rest.split_once('-').map_or((rest, None), |(v, p)| (v, Some(items(p))));
        Some(Self { items: items(release), pre, build })
    }

    /// Conan's own answer.
    pub(super) fn tool_cmp(&self, other: &Self) -> Ordering {
        tool_cmp_lists(&self.items, &other.items)
            .then_with(|| self.pre.is_none().cmp(&other.pre.is_none()))
            .then_with(|| tool_cmp_options(self.pre.as_deref(), other.pre.as_deref()))
            .then_with(|| tool_cmp_options(self.build.as_deref(), other.build.as_deref()))
    }
}

impl Ord for Conan {
    fn cmp(&self, other: &Self) -> Ordering {
        self.items
            .cmp(&other.items)
            .then_with(|| self.pre.is_none().cmp(&other.pre.is_none()))
            .then_with(|| self.pre.cmp(&other.pre))
            .then_with(|| self.build.cmp(&other.build))
    }
}
