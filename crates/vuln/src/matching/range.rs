//! Whether a version lies in what an advisory claims.
//!
//! OSV's evaluation: the events of a range are walked in version order, the last one at or below the version decides;
//! `versions` lists count by themselves. Versions that the ecosystem's tool refuses are compared by the generic order
//! and that is said in the verdict, so that "could not compare" is never "not affected".

use crate::advisory::RangeKind;
use crate::db::{Claim, EventRef};
use crate::version::{Scheme, VersionKey};
use std::cmp::Ordering;

/// What a claim says of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Outside.
    Outside,
    /// Inside.
    Inside {
        /// Version that ends the range, if it ends in one.
        fixed: Option<String>,
        /// The range in words.
        range: String,
        /// Compared by the generic order because the ecosystem's tool refuses a version.
        generic: bool,
    },
    /// The version cannot be compared at all.
    Incomparable,
}

struct Compare<'a> {
    text: &'a str,
    scheme: Scheme,
    key: Option<VersionKey>,
    /// Without the local part, which PEP 440 passes over where a bound has none.
    public: Option<VersionKey>,
    generic: Option<VersionKey>,
    used_generic: bool,
}

impl<'a> Compare<'a> {
    fn new(scheme: Scheme, text: &'a str) -> Self {
        Self {
            text,
            scheme,
            key: scheme.parse(text).ok(),
            public: match (scheme, text.split_once('+')) {
                (Scheme::Pep440, Some((public, _))) => scheme.parse(public).ok(),
                _ => None,
            },
            generic: Scheme::Generic.parse(text).ok(),
            used_generic: false,
        }
    }

    /// The version, as it is compared with another one.
    fn key(&self, other: &str) -> Option<&VersionKey> {
        self.public.as_ref().filter(|_| !other.contains('+')).or(self.key.as_ref())
    }

    fn with(&mut self, other: &str) -> Ordering {
        if let (Some(key), Ok(other)) = (self.key(other), self.scheme.parse(other))
            && key.is_makeshift() == other.is_makeshift()
        {
            return key.compare(&other);
        }
        self.used_generic = true;
        match (&self.generic, Scheme::Generic.parse(other)) {
            (Some(key), Ok(other)) => key.compare(&other),
            _ => self.text.cmp(other),
        }
    }
}

/// Judges a version.
pub fn judge(scheme: Scheme, version: &str, claim: &Claim<'_>) -> Verdict {
    if version.is_empty() {
        return Verdict::Incomparable;
    }
    let mut compare = Compare::new(scheme, version);
    if let Some(verdict) = by_commit(version, claim) {
        return verdict;
    }
    let branch = is_branch(scheme, version);
    for (kind, events) in &claim.ranges {
        if branch || *kind == RangeKind::Git || outside_limit(events, &mut compare) {
            continue;
        }
        if let Some(fixed) = inside(events, &mut compare) {
            return Verdict::Inside {
                fixed: fixed.map(|v| repair(scheme, v).to_owned()),
                range: words(events),
                generic: compare.used_generic,
            };
        }
    }
    if let Some(listed) = listed(version, claim, &compare) {
        // A listed version may still lie before the end of a range, which then tells the repair.
        let after = |e: &&EventRef<'_>| matches!(e, EventRef::Fixed(v) if scheme.parse(v).ok().zip(compare.key.as_ref()).is_some_and(|(f, k)| f.compare(k).is_gt()));
        let fixed =
            claim.ranges.iter().filter(|(k, _)| *k != RangeKind::Git).flat_map(|(_, e)| e).find(after);
        let fixed = match fixed {
            Some(EventRef::Fixed(v)) => Some(repair(scheme, v).to_owned()),
            _ => None,
        };
        return Verdict::Inside { fixed, range: format!("listed version {listed}"), generic: false };
    }
    let incomparable =
        compare.key.is_none() && !version.starts_with(|c: char| c.is_ascii_digit() || c == 'v');
    if incomparable || branch { Verdict::Incomparable } else { Verdict::Outside }
}

/// The version to move to where a range ends: Composer's end at the development version before it.
fn repair(scheme: Scheme, end: &str) -> &str {
    if scheme == Scheme::Composer { end.strip_suffix("-dev").unwrap_or(end) } else { end }
}

/// Whether it is a branch of a Composer package, which no range of versions covers or excludes.
fn is_branch(scheme: Scheme, version: &str) -> bool {
    scheme == Scheme::Composer
        && (matches!(version, "master" | "trunk" | "default")
            || version.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("dev-")))
}

/// What can be said of a commit without its repository: that it is one of those named, else nothing.
fn by_commit(version: &str, claim: &Claim<'_>) -> Option<Verdict> {
    if !matches!(version.len(), 40 | 64) || !version.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut events = claim.ranges.iter().filter(|(kind, _)| *kind == RangeKind::Git).flat_map(|(_, e)| e);
    let named = events.clone().find(|event| event.version().eq_ignore_ascii_case(version));
    match named {
        Some(EventRef::Introduced(_) | EventRef::LastAffected(_)) => {
            let range = format!("commit {version}");
            Some(Verdict::Inside { fixed: None, range, generic: false })
        }
        Some(_) => Some(Verdict::Outside),
        None => events.next().map(|_| Verdict::Incomparable),
    }
}

/// Whether a repository's tag is that of a version: `v1.2`, `name-1.2`, `NAME_1_2`.
fn is_tag_of(tag: &str, version: &str) -> bool {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['_', '-'], ".");
    let (tag, version) = (plain(tag), plain(version.trim_start_matches(['v', 'V'])));
    let Some(head) = tag.strip_suffix(&version).filter(|_| !version.is_empty()) else { return false };
    match head.strip_suffix(['.', '/']) {
        // `1.1` is no end of `openssl-1.1.1`: what stands before must be a name.
        Some(name) => name.rsplit(['.', '/']).next().is_some_and(|last| last.contains(char::is_alphabetic)),
        None => head.is_empty() || head == "v" || head.ends_with(".v") || head.ends_with("/v"),
    }
}

fn outside_limit(events: &[EventRef<'_>], compare: &mut Compare<'_>) -> bool {
    let mut limits =
        events.iter().filter_map(|e| if let EventRef::Limit(v) = e { Some(*v) } else { None }).peekable();
    limits.peek().is_some() && !limits.any(|v| v == "*" || compare.with(v).is_lt())
}

/// `Some(end)` if the version is inside.
fn inside<'a>(events: &[EventRef<'a>], compare: &mut Compare<'_>) -> Option<Option<&'a str>> {
    let mut state = false;
    let mut end = None;
    for event in events {
        match event {
            EventRef::Introduced("0") => state = true,
            EventRef::Introduced(v) if compare.with(v).is_ge() => (state, end) = (true, None),
            EventRef::IntroducedAfter(v) if compare.with(v).is_gt() => (state, end) = (true, None),
            EventRef::Fixed(v) => match compare.with(v) {
                Ordering::Less => end = end.or(Some(*v)),
                _ => state = false,
            },
            EventRef::LastAffected(v) if compare.with(v).is_gt() => state = false,
            _ => {}
        }
    }
    state.then_some(end)
}

fn listed<'a>(version: &str, claim: &Claim<'a>, compare: &Compare<'_>) -> Option<&'a str> {
    if let Some(same) = claim.versions.iter().find(|v| **v == version) {
        return Some(same);
    }
    if claim.ranges.iter().any(|(kind, _)| *kind == RangeKind::Git)
        && let Some(tag) = claim.versions.iter().find(|tag| is_tag_of(tag, version))
        && compare.scheme == Scheme::Generic
    {
        return Some(tag);
    }
    if !matches!(
        compare.scheme,
        Scheme::Composer
            | Scheme::Golang
            | Scheme::Npm
            | Scheme::Nuget
            | Scheme::Pep440
            | Scheme::Rpm
            | Scheme::RubyGems
            | Scheme::Semver
    ) {
        return None;
    }
    let same = |listed: &&&str| {
        let listed_key = compare.scheme.parse(listed);
        compare.key(listed).zip(listed_key.ok()).is_some_and(|(key, listed)| listed.compare(key).is_eq())
    };
    claim.versions.iter().find(same).copied()
}

fn words(events: &[EventRef<'_>]) -> String {
    let one = |e: &EventRef<'_>| match e {
        EventRef::Introduced("0") => "from the first version".to_owned(),
        EventRef::Introduced(v) => format!("from {v}"),
        EventRef::IntroducedAfter(v) => format!("after {v}"),
        EventRef::Fixed(v) => format!("before {v}"),
        EventRef::LastAffected(v) => format!("up to {v}"),
        EventRef::Limit(v) => format!("looked at below {v}"),
    };
    events.iter().take(12).map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim<'a>(events: &[EventRef<'a>]) -> Claim<'a> {
        Claim { ranges: vec![(RangeKind::Ecosystem, events.to_vec())], ..Claim::default() }
    }

    fn is_in(version: &str, events: &[EventRef<'_>]) -> bool {
        matches!(judge(Scheme::Semver, version, &claim(events)), Verdict::Inside { .. })
    }

    fn is_in_as(scheme: Scheme, version: &str, claim: &Claim<'_>) -> bool {
        matches!(judge(scheme, version, claim), Verdict::Inside { .. })
    }

    #[test]
    fn a_bound_that_is_no_version_of_its_ecosystem_does_not_hide_what_is_affected() {
        use EventRef::{Introduced, LastAffected};
        for bound in ["2.6.0-NA", "2.6.0-cu124"] {
            let claim = claim(&[Introduced("0"), LastAffected(bound)]);
            assert!(is_in_as(Scheme::Pep440, "2.6.0", &claim), "{bound}");
            assert!(!is_in_as(Scheme::Pep440, "2.6.1", &claim), "{bound}");
        }
    }

    #[test]
    fn bounds_pass_over_local_versions_unless_they_have_one() {
        use EventRef::{Fixed, Introduced, LastAffected};
        let up_to = claim(&[Introduced("0"), LastAffected("2.10.0")]);
        assert!(is_in_as(Scheme::Pep440, "2.10.0+cu128", &up_to));
        assert!(!is_in_as(Scheme::Pep440, "2.10.1+cu128", &up_to));
        let before = claim(&[Introduced("0"), Fixed("2.10.0+1")]);
        assert!(
            is_in_as(Scheme::Pep440, "2.10.0", &before) && !is_in_as(Scheme::Pep440, "2.10.0+2", &before)
        );
        let listed = Claim { versions: vec!["2.10.0"], ..Claim::default() };
        assert!(is_in_as(Scheme::Pep440, "2.10.0+cu128", &listed));
    }

    #[test]
    fn a_listed_version_is_meant_however_it_is_written() {
        let listed = Claim { versions: vec!["1.0.0"], ..Claim::default() };
        for (scheme, version) in
            [(Scheme::Composer, "v1.0.0"), (Scheme::RubyGems, "1.0"), (Scheme::Npm, "v1.0.0")]
        {
            assert!(is_in_as(scheme, version, &listed), "{scheme:?}");
            assert!(!is_in_as(scheme, "1.0.1", &listed), "{scheme:?}");
        }
    }

    #[test]
    fn a_branch_of_composer_is_in_no_range_and_cannot_be_called_clean() {
        use EventRef::{Fixed, Introduced};
        let claim = claim(&[Introduced("0"), Fixed("2.0.0")]);
        assert_eq!(judge(Scheme::Composer, "dev-master", &claim), Verdict::Incomparable);
        assert!(is_in_as(Scheme::Composer, "1.x-dev", &claim));
    }

    #[test]
    fn the_last_event_at_or_below_the_version_decides() {
        use EventRef::{Fixed, Introduced, LastAffected};
        let two = [Introduced("0"), Fixed("1.2.0"), Introduced("2.0.0"), LastAffected("2.3.0")];
        for (version, expected) in [
            ("0.1.0", true),
            ("1.2.0", false),
            ("1.9.0", false),
            ("2.0.0", true),
            ("2.3.0", true),
            ("2.3.1", false),
        ] {
            assert_eq!(is_in(version, &two), expected, "{version}");
        }
    }

    #[test]
    fn the_repair_of_the_own_branch_is_named() {
        use EventRef::{Fixed, Introduced};
        let events = [Introduced("1.0.0"), Fixed("1.2.0"), Introduced("2.0.0"), Fixed("2.4.0")];
        let Verdict::Inside { fixed, .. } = judge(Scheme::Semver, "2.1.0", &claim(&events)) else {
            panic!("outside")
        };
        assert_eq!(fixed.as_deref(), Some("2.4.0"));
    }

    #[test]
    fn a_limit_ends_what_is_spoken_of() {
        use EventRef::{Introduced, Limit};
        assert!(is_in("1.0.0", &[Introduced("0"), Limit("2.0.0")]));
        assert!(!is_in("2.0.0", &[Introduced("0"), Limit("2.0.0")]));
        assert!(is_in("9.0.0", &[Introduced("0"), Limit("*")]));
    }

    #[test]
    fn a_commit_is_judged_only_where_it_is_named() {
        use EventRef::{Fixed, Introduced};
        let [first, repair, other] = ["a", "b", "c"].map(|digit| digit.repeat(40));
        let events = vec![Introduced(&first), Fixed(&repair)];
        let c = Claim {
            ranges: vec![(RangeKind::Git, events)],
            versions: vec!["lib2-1.2.0"],
            ..Claim::default()
        };
        let judged = |version: &str| judge(Scheme::Generic, version, &c);
        assert!(matches!(judged(&first), Verdict::Inside { .. }));
        assert_eq!(judged(&repair), Verdict::Outside);
        assert_eq!(judged(&other), Verdict::Incomparable);
        assert!(matches!(judged("1.2.0"), Verdict::Inside { .. }));
        assert_eq!(judged("2.0"), Verdict::Outside);
    }

    #[test]
    fn tags_are_told_from_parts_of_tags() {
        for (tag, version, expected) in [
            ("v1.2.0", "1.2.0", true),
            ("1.2.0", "v1.2.0", true),
            ("libssh2-1.11.1", "1.11.1", true),
            ("OpenSSL_1_1_1k", "1.1.1k", true),
            ("release/v1.2", "1.2", true),
            ("OpenSSL_1_1_1", "1.1", false),
            ("11.2", "1.2", false),
            ("1.2-rc1", "1.2", false),
            ("v1.2", "", false),
        ] {
            assert_eq!(is_tag_of(tag, version), expected, "{tag} {version}");
        }
    }

    #[test]
    fn listed_versions_count_and_python_ones_by_value() {
        let c = Claim { versions: vec!["1.0"], ..Claim::default() };
        assert!(matches!(judge(Scheme::Pep440, "1.0.0", &c), Verdict::Inside { .. }));
        assert_eq!(judge(Scheme::Pep440, "1.1", &c), Verdict::Outside);
        assert_eq!(judge(Scheme::Golang, "(devel)", &c), Verdict::Incomparable);
    }
}
