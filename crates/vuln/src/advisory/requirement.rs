//! Version requirements as people write them, turned into OSV ranges.
//!
//! Feeds that are not OSV state affected or repaired versions as requirements (`>= 1.0, < 1.4`, `~> 3.2`, `[1.0,2.0)`,
//! `^1.2 || ~2.0`). A requirement is a union of intervals; an interval is two bounds. Sets can be intersected and
//! complemented under the ecosystem's order, which "affected = not (patched or unaffected)" needs.

use super::{Event, Range};
use crate::version::{Scheme, compare};
use std::cmp::Ordering;

/// Most alternatives or comparators that one requirement may have.
pub const MAX_TERMS: usize = 512;

/// One end of an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// No end.
    Open,
    /// Including this version.
    At(String),
    /// Not including it.
    Beyond(String),
}

impl Bound {
    fn version(&self) -> Option<&str> {
        match self {
            Self::Open => None,
            Self::At(v) | Self::Beyond(v) => Some(v),
        }
    }
}

/// Versions between two bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Lower end.
    pub low: Bound,
    /// Upper end.
    pub high: Bound,
}

/// A union of intervals under one order.
#[derive(Clone, Debug)]
pub struct VersionSet {
    scheme: Scheme,
    intervals: Vec<Interval>,
}

/// A requirement that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("requirement {text:?} cannot be read")]
pub struct RequirementError {
    /// The text refused.
    pub text: String,
}

fn order(scheme: Scheme, a: &str, b: &str) -> Ordering {
    match (a, b) {
        ("0", "0") => Ordering::Equal,
        _ => compare(scheme, a, b).or_else(|_| compare(Scheme::Generic, a, b)).unwrap_or_else(|_| a.cmp(b)),
    }
}

impl VersionSet {
    /// No version.
    pub fn none(scheme: Scheme) -> Self {
        Self { scheme, intervals: Vec::new() }
    }

    /// Every version.
    pub fn all(scheme: Scheme) -> Self {
        Self { scheme, intervals: vec![Interval { low: Bound::Open, high: Bound::Open }] }
    }

    /// Reads one requirement: alternatives separated by `||`, comparators by commas or spaces; Maven's brackets.
    ///
    /// # Errors
    /// [`RequirementError`] if it is no requirement or has more than [`MAX_TERMS`] terms.
    pub fn parse(scheme: Scheme, text: &str) -> Result<Self, RequirementError> {
        let refused = || RequirementError { text: text.chars().take(200).collect() };
        let mut out = Self::none(scheme);
        for alternative in text.split("||") {
            if out.intervals.len() >= MAX_TERMS {
                return Err(refused());
            }
            let alternative = alternative.trim();
            if alternative.starts_with(['[', '(']) {
                out.intervals.extend(brackets(alternative).ok_or_else(refused)?);
            } else {
                out.intervals.extend(comparators(scheme, alternative).ok_or_else(refused)?.intervals);
            }
        }
        out.intervals.retain(|i| !is_empty(scheme, i));
        Ok(out)
    }

    /// The union of several requirements.
    ///
    /// # Errors
    /// [`RequirementError`] of the first that cannot be read.
    pub fn any<'a>(
        scheme: Scheme,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, RequirementError> {
        let mut out = Self::none(scheme);
        for text in texts {
            out.intervals.extend(Self::parse(scheme, text)?.intervals);
            if out.intervals.len() > MAX_TERMS {
                return Err(RequirementError { text: text.chars().take(200).collect() });
            }
        }
        Ok(out)
    }

    /// Whether it holds no version.
    pub fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    /// Versions in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut intervals = Vec::new();
        for a in &self.intervals {
            for b in &other.intervals {
                let both = Interval {
                    low: tighter(self.scheme, &a.low, &b.low, Ordering::Greater),
                    high: tighter(self.scheme, &a.high, &b.high, Ordering::Less),
                };
                if !is_empty(self.scheme, &both) && intervals.len() < MAX_TERMS * 2 {
                    intervals.push(both);
                }
            }
        }
        Self { scheme: self.scheme, intervals }
    }

    /// Versions not in it.
    #[must_use]
    pub fn not(&self) -> Self {
        let mut out = Self::all(self.scheme);
        for interval in &self.intervals {
            let mut rest = Vec::new();
            if let Some(high) = flip(&interval.low) {
                rest.push(Interval { low: Bound::Open, high });
            }
            if let Some(low) = flip(&interval.high) {
                rest.push(Interval { low, high: Bound::Open });
            }
            out = out.and(&Self { scheme: self.scheme, intervals: rest });
        }
        out
    }

    /// Whether a version is in it.
    pub fn contains(&self, version: &str) -> bool {
        let point = Interval { low: Bound::At(version.into()), high: Bound::At(version.into()) };
        !self.and(&Self { scheme: self.scheme, intervals: vec![point] }).is_empty()
    }

    /// As OSV ranges, one for each interval; an exclusive upper bound is read as the repairing version.
    pub fn ranges(&self) -> Vec<Range> {
        let events = |i: &Interval| {
            let mut events = vec![match &i.low {
                Bound::Open => Event::Introduced("0".into()),
                Bound::At(v) => Event::Introduced(v.clone()),
                Bound::Beyond(v) => Event::IntroducedAfter(v.clone()),
            }];
            match &i.high {
                Bound::Open => {}
                Bound::At(v) => events.push(Event::LastAffected(v.clone())),
                Bound::Beyond(v) => events.push(Event::Fixed(v.clone())),
            }
            Range::new(events)
        };
        self.intervals.iter().map(events).collect()
    }
}

fn flip(bound: &Bound) -> Option<Bound> {
    match bound {
        Bound::Open => None,
        Bound::At(v) => Some(Bound::Beyond(v.clone())),
        Bound::Beyond(v) => Some(Bound::At(v.clone())),
    }
}

fn tighter(scheme: Scheme, a: &Bound, b: &Bound, wanted: Ordering) -> Bound {
    let (Some(left), Some(right)) = (a.version(), b.version()) else {
        return if a.version().is_none() { b.clone() } else { a.clone() };
    };
    match order(scheme, left, right) {
        Ordering::Equal if matches!(a, Bound::Beyond(_)) => a.clone(),
        Ordering::Equal => b.clone(),
        found if found == wanted => a.clone(),
        _ => b.clone(),
    }
}

fn is_empty(scheme: Scheme, i: &Interval) -> bool {
    match (&i.low, &i.high) {
        (Bound::Open, _) | (_, Bound::Open) => false,
        (Bound::At(x), Bound::At(y)) => order(scheme, x, y).is_gt(),
        (Bound::At(x) | Bound::Beyond(x), Bound::At(y) | Bound::Beyond(y)) => order(scheme, x, y).is_ge(),
    }
}

/// Maven's (and NuGet's, GitLab's) bracket form: `[1.0,2.0)`, `(,1.0]`, `[1.5]`, several separated by commas.
fn brackets(text: &str) -> Option<Vec<Interval>> {
    let mut out = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if out.len() >= MAX_TERMS {
            return None;
        }
        let low_closed = match rest.as_bytes().first()? {
            b'[' => true,
            b'(' => false,
            _ => return None,
        };
        let end = rest.find([']', ')'])?;
        let high_closed = rest.as_bytes()[end] == b']';
        let inner = &rest[1..end];
        let bound = |v: &str, closed: bool| match v.trim() {
            "" => Bound::Open,
            v if closed => Bound::At(v.to_owned()),
            v => Bound::Beyond(v.to_owned()),
        };
        out.push(match inner.split_once(',') {
            Some((low, high)) => Interval { low: bound(low, low_closed), high: bound(high, high_closed) },
            None => Interval { low: bound(inner, true), high: bound(inner, true) },
        });
        rest = rest[end + 1..].trim_start_matches([',', ' ', '|']);
    }
    Some(out)
}

/// Comparators that must all hold.
fn comparators(scheme: Scheme, text: &str) -> Option<VersionSet> {
    let mut set = VersionSet::all(scheme);
    let mut words: Vec<String> = Vec::new();
    for token in text.split([',', ' ', '\t']).filter(|t| !t.is_empty()) {
        if words.len() >= MAX_TERMS {
            return None;
        }
        match words.last_mut() {
            Some(last) if last.chars().all(|c| "<>=!~^".contains(c)) => last.push_str(token),
            _ => words.push(token.to_owned()),
        }
    }
    if words.len() >= 3 && words[1] == "-" {
        words = vec![format!(">={}", words[0]), format!("<={}", words[2])];
    }
    for word in words {
        let split = word.find(|c: char| !"<>=!~^".contains(c))?;
        let (operator, version) = word.split_at(split);
        set = set.and(&one(scheme, operator, version)?);
    }
    Some(set)
}

fn one(scheme: Scheme, operator: &str, version: &str) -> Option<VersionSet> {
    let v = || version.to_owned();
    let single = |low, high| VersionSet { scheme, intervals: vec![Interval { low, high }] };
    if matches!(version, "*" | "x" | "X") {
        return Some(VersionSet::all(scheme));
    }
    if let Some(prefix) = version.strip_suffix(".*").or_else(|| version.strip_suffix(".x"))
        && matches!(operator, "" | "=" | "==" | "~" | "^")
    {
        return Some(single(
            Bound::At(first(scheme, prefix)),
            Bound::Beyond(end(scheme, prefix, usize::MAX)?),
        ));
    }
    Some(match operator {
        "<" if version == "0" => VersionSet::none(scheme),
        "<" => single(Bound::Open, Bound::Beyond(first(scheme, version))),
        "<=" | "=<" => single(Bound::Open, Bound::At(v())),
        ">=" | "=>" if version == "0" => VersionSet::all(scheme),
        ">" => single(Bound::Beyond(v()), Bound::Open),
        ">=" | "=>" => single(Bound::At(first(scheme, version)), Bound::Open),
        "" | "=" | "==" | "===" => single(Bound::At(v()), Bound::At(v())),
        "!=" => single(Bound::At(v()), Bound::At(v())).not(),
        "~>" | "~=" => {
            let parts = version.split('.').take_while(|p| p.bytes().all(|b| b.is_ascii_digit())).count();
            single(Bound::At(v()), Bound::Beyond(end(scheme, version, parts.saturating_sub(2))?))
        }
        "~" => single(Bound::At(first(scheme, version)), Bound::Beyond(end(scheme, version, 1)?)),
        "^" => {
            let at = version.split('.').position(|p| p != "0").unwrap_or(0);
            single(Bound::At(first(scheme, version)), Bound::Beyond(end(scheme, version, at)?))
        }
        _ => return None,
    })
}

/// The first version that a bound speaks of: to Composer `>=7.0` and `<7.0` are bounds at `7.0-dev`.
fn first(scheme: Scheme, version: &str) -> String {
    let plain = version.trim_start_matches('v').bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if scheme == Scheme::Composer && plain { format!("{version}-dev") } else { version.to_owned() }
}

/// Where a range that a version opens ends. RubyGems compares releases there: `~> 3.0.1` excludes `3.1.0.beta1`, too.
fn end(scheme: Scheme, version: &str, at: usize) -> Option<String> {
    let bumped = bump(version, at)?;
    Some(match scheme {
        Scheme::RubyGems => format!("{bumped}.a"),
        _ => first(scheme, &bumped),
    })
}

/// The version whose part number `at` (or the last numeric one) is one higher and that ends there.
fn bump(version: &str, at: usize) -> Option<String> {
    let release = version.trim_start_matches('v').split(['-', '+']).next()?;
    let numbers: Vec<u64> = release.split('.').map_while(|p| p.parse().ok()).collect();
    let at = at.min(numbers.len().checked_sub(1)?);
    let mut out: Vec<String> = numbers[..at].iter().map(u64::to_string).collect();
    out.push(numbers[at].checked_add(1)?.to_string());
    Some(out.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> VersionSet {
        VersionSet::parse(Scheme::RubyGems, text).expect("requirement")
    }

    #[test]
    fn pessimistic_operator_allows_the_last_part_to_grow() {
        let s = set("~> 3.25.5");
        assert!(s.contains("3.25.9") && !s.contains("3.26.0") && !s.contains("3.25.4"));
        assert!(set("~> 2.3").contains("2.9") && !set("~> 2.3").contains("3.0"));
        let s = set("~> 3.0.19");
        assert!(s.contains("3.0.20") && !s.contains("3.1.0.beta1") && !s.contains("3.1.0"));
        let s = set("~> 1.0.0.rc1.1");
        assert!(s.contains("1.0.9") && !s.contains("1.1.0"));
    }

    #[test]
    fn composers_bounds_are_at_the_development_version() {
        let set = |text: &str| VersionSet::parse(Scheme::Composer, text).expect("requirement");
        let s = set(">=7.0.0,<7.1");
        assert!(s.contains("7.0.0-dev") && s.contains("7.0.0-alpha3") && s.contains("7.0.9"));
        assert!(!s.contains("7.1.0-RC2") && !s.contains("7.1.0"));
        assert!(set("^1.2").contains("1.2.0-beta1") && !set("^1.2").contains("2.0.0-alpha1"));
        assert!(set("<1.3.1-RC3").contains("1.3.1-RC2") && set("<=1.3.1").contains("1.3.1"));
    }

    #[test]
    fn affected_is_what_neither_patched_nor_unaffected_covers() {
        let safe = VersionSet::any(Scheme::RubyGems, ["~> 3.25.5", "~> 4.27.5", ">= 4.28.2", "< 2.0"])
            .expect("sets");
        let affected = safe.not();
        for (version, expected) in [
            ("1.9", false),
            ("2.0", true),
            ("3.25.4", true),
            ("3.25.5", false),
            ("3.26.0", true),
            ("4.28.2", false),
        ] {
            assert_eq!(affected.contains(version), expected, "{version}");
        }
    }

    #[test]
    fn brackets_and_hyphens_and_alternatives_are_read() {
        assert!(
            set("[2.9.0,2.9.10.7)").contains("2.9.10.6") && !set("[2.9.0,2.9.10.7)").contains("2.9.10.7")
        );
        assert!(set("(,1.0],[2.0,)").contains("3") && !set("(,1.0],[2.0,)").contains("1.5"));
        assert!(set("1.0 - 2.0").contains("1.5"));
        assert!(set("<1.0 || >=2.0,<2.5").contains("2.4") && !set("<1.0 || >=2.0,<2.5").contains("1.4"));
        assert!(set("^1.2.3").contains("1.9") && !set("^1.2.3").contains("2.0.0"));
        assert!(!set("> 1.0").contains("1.0"));
    }

    #[test]
    fn nonsense_is_refused_not_taken_for_everything() {
        assert!(VersionSet::parse(Scheme::Npm, "[1.0").is_err());
        assert!(VersionSet::parse(Scheme::Npm, "<>>< 1").is_err());
    }
}
