//! When a grant counts: on which repositories, from which networks, at which time, for which tags.
//!
//! All conditions of a grant must hold. Those on repository, network and time decide whether the grant counts at all;
//! the one on tags leaves a question open until a tag is known, which is what [`TagRule`] carries.

use core::net::IpAddr;
use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;

use crate::pattern::{PatternError, RepositoryPattern, segment_matches};

/// Most entries of one list of conditions.
pub const MAX_ENTRIES: usize = 50;

/// A pattern over tags such as `dev-*`; `*` is any run of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagPattern(String);

impl TagPattern {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern covers `tag`.
    pub fn covers(&self, tag: &str) -> bool {
        segment_matches(self.0.as_bytes(), tag.as_bytes())
    }
}

impl FromStr for TagPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-*".contains(&byte);
        if text.is_empty() || text.len() > 128 || !text.bytes().all(good) {
            return Err(PatternError::Tag);
        }
        Ok(Self(text.to_owned()))
    }
}

/// A network in CIDR form; a bare address is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

/// The text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("network is not an address or a network in CIDR form such as 10.0.0.0/8")]
pub struct NetworkError;

impl Network {
    /// Whether the address lies in it. An IPv4 address mapped into IPv6 counts as the IPv4 one.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        parsed.map(|net| Self(net.trunc())).map_err(|_| NetworkError)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What must hold for a grant to count. Empty lists ask nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Only these repositories of the project.
    pub repositories: Vec<RepositoryPattern>,
    /// Only these tags.
    pub tags: Vec<TagPattern>,
    /// Only callers from these networks.
    pub networks: Vec<Network>,
    /// Not before, in microseconds since 1970.
    pub not_before: Option<i64>,
    /// Not at or after, in microseconds since 1970.
    pub not_after: Option<i64>,
}

impl Conditions {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the grant counts for a caller from `address` at `now` microseconds. A caller whose address is not known
    /// is in no network.
    pub(crate) fn hold(&self, address: Option<IpAddr>, now: i64) -> bool {
        let near = self.networks.is_empty()
            || address.is_some_and(|from| self.networks.iter().any(|it| it.contains(from)));
        near && self.not_before.is_none_or(|begin| now >= begin) && self.not_after.is_none_or(|end| now < end)
    }

    /// Whether the grant counts on `repository`. Without one in question, only a grant on all of them does.
    pub(crate) fn cover(&self, repository: Option<&str>) -> bool {
        self.repositories.is_empty()
            || repository.is_some_and(|name| self.repositories.iter().any(|pattern| pattern.covers(name)))
    }
}

/// For which tags of a repository a permission holds: the part of a decision that needs a tag.
///
/// Content without a tag is decided by the grants that ask for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagRule {
    pub(crate) untagged: bool,
    pub(crate) allowed: Vec<TagPattern>,
    pub(crate) denied: Vec<TagPattern>,
}

impl TagRule {
    /// Whether the permission holds for a tag.
    pub fn permits(&self, tag: &str) -> bool {
        let covered = |patterns: &[TagPattern]| patterns.iter().any(|pattern| pattern.covers(tag));
        (self.untagged || covered(&self.allowed)) && !covered(&self.denied)
    }

    /// Whether it holds for content that no tag reaches.
    pub fn permits_untagged(&self) -> bool {
        self.untagged
    }

    /// Whether it holds for content that these tags reach: for one of them is enough, since that one shows it.
    pub fn permits_any<'a>(&self, tags: impl IntoIterator<Item = &'a str>) -> bool {
        let mut tags = tags.into_iter().peekable();
        if tags.peek().is_none() { self.untagged } else { tags.any(|tag| self.permits(tag)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(list: &[&str]) -> Vec<TagPattern> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn tag_patterns_are_globs_over_tags() {
        for (pattern, tag, expected) in [
            ("*", "v1", true),
            ("dev-*", "dev-1", true),
            ("dev-*", "prod-1", false),
            ("v*.*", "v1.2", true),
            ("V1", "v1", false),
        ] {
            assert_eq!(pattern.parse::<TagPattern>().unwrap().covers(tag), expected, "{pattern} {tag}");
        }
        for bad in ["", "a/b", "a b", "[a]"] {
            assert!(bad.parse::<TagPattern>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn networks_take_mapped_addresses_and_bare_ones() {
        let network: Network = "10.1.2.3/8".parse().unwrap();
        assert_eq!(network.to_string(), "10.0.0.0/8");
        assert!(network.contains("::ffff:10.9.9.9".parse().unwrap()));
        assert!(!network.contains("11.0.0.1".parse().unwrap()));
        assert!("192.0.2.1".parse::<Network>().unwrap().contains("192.0.2.1".parse().unwrap()));
        assert!("10.0.0.0/33".parse::<Network>().is_err());
    }

    #[test]
    fn a_window_begins_with_its_first_instant_and_ends_before_its_last() {
        let window = Conditions { not_before: Some(10), not_after: Some(20), ..Conditions::default() };
        let held: Vec<bool> = [9, 10, 19, 20].map(|now| window.hold(None, now)).into();
        assert_eq!(held, [false, true, true, false]);
    }

    #[test]
    fn a_caller_from_nowhere_is_in_no_network() {
        let inside = Conditions { networks: vec!["0.0.0.0/0".parse().unwrap()], ..Conditions::default() };
        assert!(inside.hold(Some("203.0.113.9".parse().unwrap()), 0));
        assert!(!inside.hold(None, 0));
    }

    #[test]
    fn a_denied_tag_is_denied_whatever_allows_it() {
        let rule = TagRule { untagged: true, allowed: patterns(&["*"]), denied: patterns(&["prod-*"]) };
        assert!(rule.permits("dev-1") && !rule.permits("prod-1"));
        assert!(rule.permits_any(["prod-1", "dev-1"]), "the other tag shows the same content");
        assert!(!rule.permits_any(["prod-1"]) && rule.permits_any([]));
    }

    #[test]
    fn content_without_a_tag_is_not_what_a_grant_on_tags_gives() {
        let rule = TagRule { untagged: false, allowed: patterns(&["dev-*"]), denied: Vec::new() };
        assert!(rule.permits_any(["dev-1"]) && !rule.permits_any([]) && !rule.permits_any(["v1"]));
    }
}
