//! Behaviour on ranges as people and tools write them.

use super::{Vers, VersError};
use proptest::prelude::*;

#[test]
fn canonical_ranges_read_back_as_themselves() {
    for text in [
        "vers:npm/>=1.0.0|<2.0.0",
        "vers:npm/*",
        "vers:none/*",
        "vers:all/*",
        "vers:pypi/0.0.1|!=0.0.2|>=3.0.0",
        "vers:npm/1.0%252F0",
        "vers:generic/1%201",
        "vers:deb/>=1:2.0-1|<1:2.0-2",
        "vers:datetime/2024-01-01T00:00:00Z",
        "vers:test/2|1",
    ] {
        let parsed = Vers::parse_canonical(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(parsed.to_string(), text);
    }
}

#[test]
fn what_is_not_canonical_is_refused_but_read_leniently() {
    for text in [
        "vers:npm/>=1.0.0| <2.0.0",
        "vers:npm/|>=1.0.0|<2.0.0",
        "vers:npm/>=1.0.0|<2.0.0|",
        "vers:npm/>=1.0.0||<2.0.0",
        "vers:npm/<2.0.0|>=1.0.0",
        "vers:npm/=1.0.0",
        "vers:npm/%31.0.0",
        "vers:NPM/1.0.0",
        "vers:npm/1.0.0|1.0.0",
        "vers:npm/>=1.0.0|>=2.0.0",
        "vers:npm/1.0.0|<2.0.0",
        "vers:npm/>=1.0.0|!=1.0.0+x|<1.0.0",
    ] {
        assert!(Vers::parse_canonical(text).is_err(), "{text}");
        assert!(Vers::parse(text).is_ok(), "{text}");
    }
    for text in [
        "",
        "vers:",
        "vers:npm",
        "vers:npm/",
        "npm/1",
        "vers:npm/>=",
        "vers:npm/1.0%2G0",
        "vers:invalid/1",
        "vers:npm/1|*",
        "vers:all/1",
        "vers:npm/~1",
        "vers:npm/é",
        "vers:npm/>=banana",
    ] {
        assert!(Vers::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_version_is_in_exactly_the_intervals() {
    for (range, inside, outside) in [
        (
            "vers:npm/>=1.0.0|<2.0.0|>=3.0.0",
            vec!["1.0.0", "1.9.9", "3.0.0", "4.0.0"],
            vec!["0.9.9", "2.0.0", "2.5.0"],
        ),
        ("vers:npm/<1.0.0|2.0.0", vec!["0.1.0", "2.0.0"], vec!["1.0.0", "1.5.0", "3.0.0"]),
        ("vers:pypi/>=1|!=1.5|<=2", vec!["1", "1.4", "2.0"], vec!["1.5.0", "2.0.1"]),
        ("vers:pypi/!=1.5", vec!["1", "2"], vec!["1.5.0"]),
        ("vers:npm/>1.0.0|<1.0.1", vec![], vec!["1.0.0", "1.0.1"]),
        ("vers:deb/<1:2.0", vec!["9.9"], vec!["1:2.0"]),
    ] {
        let range = Vers::parse(range).unwrap();
        for version in inside {
            assert!(range.contains(version).unwrap(), "{version} in {range}");
        }
        for version in outside {
            assert!(!range.contains(version).unwrap(), "{version} not in {range}");
        }
    }
    assert!(Vers::parse("vers:all/*").unwrap().contains("anything").unwrap());
    assert!(!Vers::parse("vers:none/*").unwrap().contains("anything").unwrap());
    assert!(matches!(Vers::parse("vers:test/1").unwrap().contains("1"), Err(VersError::UnknownType(_))));
}

#[test]
fn native_notations_mean_what_their_tools_say() {
    for (scheme, native, expected) in [
        ("npm", "^1.1.7 || >= 2.0.1", "vers:npm/>=1.1.7|<2.0.0|>=2.0.1"),
        ("npm", "~1.6.5 || >=1.7.2", "vers:npm/>=1.6.5|<1.7.0|>=1.7.2"),
        ("npm", ">= 2.2.x", "vers:npm/>=2.2.0|<2.3.0"),
        ("npm", "2.0.x || 2.1.x", "vers:npm/>=2.0.0|<2.1.0|>=2.1.0|<2.2.0"),
        ("npm", "=3.0.0-rc.1", "vers:npm/3.0.0-rc.1"),
        ("npm", "1.2 - 2.3", "vers:npm/>=1.2.0|<2.4.0"),
        ("npm", "^0.0.3", "vers:npm/>=0.0.3|<0.0.4"),
        ("npm", "^0.2.3", "vers:npm/>=0.2.3|<0.3.0"),
        ("npm", ">1.2 <=2", "vers:npm/>=1.3.0|<3.0.0"),
        ("npm", "*", "vers:npm/*"),
        ("pypi", ">=1.0a1,<1.0.5||>=1.1b1,<1.1.1", "vers:pypi/>=1.0a1|<1.0.5|>=1.1b1|<1.1.1"),
        ("pypi", "==2.3.0||==3.0.0", "vers:pypi/2.3.0|3.0.0"),
        ("pypi", "~= 2.2.1, != 2.2.5", "vers:pypi/>=2.2.1|!=2.2.5|<2.3"),
        ("pypi", "==1.1.*", "vers:pypi/>=1.1|<1.2"),
        ("gem", "~>2.0.8", "vers:gem/>=2.0.8|<2.1"),
        ("gem", "~> 2", "vers:gem/>=2|<3"),
        ("gem", ">= 1.0, < 2", "vers:gem/>=1.0|<2"),
        ("maven", "(,1.0],[1.2,)", "vers:maven/<=1.0|>=1.2"),
        ("maven", "[1.5]", "vers:maven/1.5"),
        ("nuget", "[1.0, 2.0), (3.0,)", "vers:nuget/>=1.0.0|<2.0.0|>3.0.0"),
        ("conan", "~2.5", "vers:conan/>=2.5|<2.6-"),
        ("conan", "[>=1.1 <1.2 || ^0.1.2]", "vers:conan/>=0.1.2|<0.2-|>=1.1|<1.2"),
        ("openssl", "1.0.0a, 1.0.0", "vers:openssl/1.0.0|1.0.0a"),
        ("nginx", "1.5.0+, 1.4.1+", "vers:nginx/>=1.4.1|<1.5.0|>=1.5.0"),
        ("nginx", "1.1.4-1.2.8, 1.3.9-1.4.0", "vers:nginx/>=1.1.4|<=1.2.8|>=1.3.9|<=1.4.0"),
        ("deb", ">> 1:2.0, << 1:3.0", "vers:deb/>1:2.0|<1:3.0"),
        ("composer", ">=1.0,<1.5|>=2.0,<2.1", "vers:composer/>=1.0|<1.5|>=2.0|<2.1"),
    ] {
        assert_eq!(Vers::from_native(scheme, native).unwrap().to_string(), expected, "{scheme} {native}");
    }
    for (scheme, native) in
        [("npm", "latest"), ("nuget", "(1.0)"), ("pypi", ">1 <2"), ("gem", "~>"), ("conan", "~x")]
    {
        assert!(Vers::from_native(scheme, native).is_err(), "{scheme} {native}");
    }
}

#[test]
fn ranges_over_a_limit_are_refused() {
    let many = vec!["1"; super::MAX_CONSTRAINTS + 1].join("|");
    assert_eq!(Vers::parse(&format!("vers:npm/{many}")), Err(VersError::TooLong));
    assert!(Vers::parse(&format!("vers:npm/{}", "1".repeat(5000))).is_err());
}

proptest! {
    #[test]
    fn reading_what_was_written_changes_nothing(text in "vers:(npm|pypi|deb|maven)/([<>]?=?[0-9.a%|-]{1,6}[|]?){1,4}") {
        if let Ok(range) = Vers::parse(&text) {
            prop_assert_eq!(&Vers::parse(&range.to_string()).unwrap(), &range);
        }
    }

    #[test]
    fn no_text_panics(text in any::<String>(), version in any::<String>()) {
        for text in [text.clone(), format!("vers:npm/{text}"), format!("vers:deb/>{text}")] {
            let _ = Vers::parse_canonical(&text);
            let _ = Vers::parse(&text).map(|range| range.contains(&version));
        }
        for scheme in ["npm", "pypi", "gem", "maven", "nuget", "conan", "openssl", "nginx", "deb", "no such"] {
            let _ = Vers::from_native(scheme, &text);
        }
    }
}
