//! Maven 3.9's `ComparableVersion`: nested lists of numbers and qualifiers, a hyphen or a change between digits and
//! letters opens a list.
//!
//! [`Maven::compare_to`] is Maven's answer. On qualifiers in unusual places it is no total order
//! (`1-alpha` < `1` < `1.x.2` < `1-alpha`), so `Ord` weighs each item against an absent one first; both agree elsewhere.
//! Depth and size are bounded by the version's length, itself bounded by the caller.

use super::num::Num;
use std::cmp::Ordering;

/// A parsed Maven version.
#[derive(Clone, Debug)]
pub(super) struct Maven(Vec<Item>);

super::ordered_by_cmp!(Maven);

#[derive(Clone, Debug)]
enum Item {
    Number(Num),
    Qualifier(Qualifier),
    List(Vec<Item>),
}

/// Known qualifiers in their order, then all others by text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Qualifier(u8, Box<str>);

const RELEASE: u8 = 5;

impl Qualifier {
    fn new(text: &str, followed_by_digit: bool) -> Self {
        let rank = match (text, followed_by_digit) {
            ("alpha", _) | ("a", true) => 0,
            ("beta", _) | ("b", true) => 1,
            ("milestone", _) | ("m", true) => 2,
            ("rc" | "cr", _) => 3,
            ("snapshot", _) => 4,
            ("" | "ga" | "final" | "release", _) => RELEASE,
            ("sp", _) => 6,
            _ => return Self(7, text.into()),
        };
        Self(rank, Box::default())
    }
}

impl Item {
    fn parse(is_digit: bool, text: &str) -> Self {
        // Java's Character.isDigit also takes other scripts' digits; they compare as text here
        match Num::parse_all(text) {
            Some(number) if is_digit => Item::Number(number),
            _ => Item::Qualifier(Qualifier::new(text, false)),
        }
    }

    fn is_null(&self) -> bool {
        match self {
            Item::Number(n) => n.is_zero(),
            Item::Qualifier(q) => q.0 == RELEASE,
            Item::List(l) => l.is_empty(),
        }
    }

    /// Against an absent item.
    fn cmp_absent(&self) -> Ordering {
        match self {
            Item::Number(n) => n.cmp(&Num::ZERO),
            Item::Qualifier(q) => q.0.cmp(&RELEASE),
            Item::List(l) => l.iter().map(Item::cmp_absent).find(|o| o.is_ne()).unwrap_or(Ordering::Equal),
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Item::Number(a), Item::Number(b)) => a.cmp(b),
            (Item::Qualifier(a), Item::Qualifier(b)) => a.cmp(b),
            (Item::List(a), Item::List(b)) => cmp_lists(a, b),
            (Item::Number(_), _) | (Item::List(_), Item::Qualifier(_)) => Ordering::Greater,
            (_, Item::Number(_)) | (Item::Qualifier(_), Item::List(_)) => Ordering::Less,
        }
    }
}

fn cmp_lists(a: &[Item], b: &[Item]) -> Ordering {
    for i in 0..a.len().max(b.len()) {
        let order = match (a.get(i), b.get(i)) {
            (Some(a), Some(b)) => a.order(b),
            (Some(a), None) => a.cmp_absent(),
            (None, Some(b)) => b.cmp_absent().reverse(),
            (None, None) => Ordering::Equal,
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Removes null items at the end and before lists.
fn normalize(list: &mut Vec<Item>) {
    for i in (0..list.len()).rev() {
        if list[i].is_null() {
            list.remove(i);
        } else if !matches!(list[i], Item::List(_)) {
            break;
        }
    }
}

/// The lists still open, outermost first.
struct Open(Vec<Vec<Item>>);

impl Open {
    fn add(&mut self, item: Item) {
        if let Some(list) = self.0.last_mut() {
            list.push(item);
        }
    }

    fn open(&mut self) {
        self.0.push(Vec::new());
    }

    fn innermost_is_empty(&self) -> bool {
        self.0.last().is_none_or(Vec::is_empty)
    }

    /// Closes all, innermost first; a list is always the last item of the one that holds it.
    fn close(mut self) -> Vec<Item> {
        while let Some(mut list) = self.0.pop() {
            normalize(&mut list);
            match self.0.last_mut() {
                Some(outer) => outer.push(Item::List(list)),
                None => return list,
            }
        }
        Vec::new()
    }
}

impl Maven {
    #[expect(clippy::unnecessary_wraps, reason = "all schemes parse through one signature")]
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.to_lowercase();
        let mut open = Open(vec![Vec::new()]);
        let mut is_digit = false;
        let mut start = 0;
        for (i, c) in text.char_indices() {
            match c {
                '.' | '-' => {
                    open.add(if i == start {
                        Item::Number(Num::ZERO)
                    } else {
                        Item::parse(is_digit, &text[start..i])
                    });
                    start = i + 1;
                    if c == '-' {
                        open.open();
                    }
                }
                '0'..='9' => {
                    if !is_digit && i > start {
                        if !open.innermost_is_empty() {
                            open.open();
                        }
                        open.add(Item::Qualifier(Qualifier::new(&text[start..i], true)));
                        start = i;
                        open.open();
                    }
                    is_digit = true;
                }
                _ => {
                    if is_digit && i > start {
                        open.add(Item::parse(true, &text[start..i]));
                        start = i;
                        open.open();
                    }
                    is_digit = false;
                }
            }
        }
        if text.len() > start {
            if !is_digit && !open.innermost_is_empty() {
                open.open();
            }
            open.add(Item::parse(is_digit, &text[start..]));
        }
        Some(Self(open.close()))
    }
}

impl Maven {
    /// Maven's own answer.
    pub(super) fn compare_to(&self, other: &Self) -> Ordering {
        cmp_lists(&self.0, &other.0)
    }
}

/// Qualifiers, lists and numbers, each by whether it is before, as, or after an absent item.
fn rank(item: &Item) -> u8 {
    match (item.cmp_absent(), item) {
        (Ordering::Less, Item::Qualifier(_)) => 0,
        (Ordering::Less, _) => 1,
        (Ordering::Equal, _) => 2,
        (Ordering::Greater, Item::Qualifier(_)) => 3,
        (Ordering::Greater, Item::List(_)) => 4,
        (Ordering::Greater, Item::Number(_)) => 5,
    }
}

fn cmp_total(a: &[Item], b: &[Item]) -> Ordering {
    let absent = Item::Number(Num::ZERO);
    (0..a.len().max(b.len()))
        .map(|i| (a.get(i).unwrap_or(&absent), b.get(i).unwrap_or(&absent)))
        .map(|(a, b)| {
            rank(a).cmp(&rank(b)).then_with(|| match (a, b) {
                (Item::Number(a), Item::Number(b)) => a.cmp(b),
                (Item::Qualifier(a), Item::Qualifier(b)) => a.cmp(b),
                (Item::List(a), Item::List(b)) => cmp_total(a, b),
                _ => Ordering::Equal,
            })
        })
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

impl Ord for Maven {
    fn cmp(&self, other: &Self) -> Ordering {
        cmp_total(&self.0, &other.0)
    }
}
