//! Laws that every order must obey, on texts that look like versions and on any text.

use super::{Scheme, compare};
use proptest::prelude::*;
use std::cmp::Ordering;

/// Texts made of the pieces that versions are made of, so that the interesting branches meet often.
fn version_like() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "0",
        "1",
        "2",
        "9",
        "10",
        "01",
        "00",
        "2024",
        ".",
        ".",
        ".",
        "-",
        "-",
        "_",
        "+",
        "~",
        "^",
        ":",
        "!",
        "a",
        "b",
        "rc",
        "alpha",
        "beta",
        "pre",
        "dev",
        "post",
        "p",
        "sp",
        "ga",
        "final",
        "snapshot",
        "x",
        "v",
        "r1",
        "-r0",
        "_p",
        "_alpha",
        "git",
        "#",
        "*",
        "99999999999999999999",
        "é",
        " ",
    ]);
    prop::collection::vec(piece, 1..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn keys_of_every_scheme_are_totally_ordered(a in version_like(), b in version_like(), c in version_like()) {
        for &scheme in Scheme::ALL {
            let (Ok(x), Ok(y), Ok(z)) = (scheme.parse(&a), scheme.parse(&b), scheme.parse(&c)) else { continue };
            prop_assert_eq!(x.cmp(&x), Ordering::Equal, "{} {:?} differs from itself", scheme, a);
            prop_assert_eq!(x.cmp(&y), y.cmp(&x).reverse(), "{} {:?} {:?}", scheme, a, b);
            prop_assert_eq!(x == y, x.cmp(&y).is_eq(), "{} {:?} {:?}", scheme, a, b);
            if x <= y && y <= z {
                prop_assert!(x <= z, "{}: {:?} <= {:?} <= {:?}", scheme, a, b, c);
            }
            if x == y {
                prop_assert_eq!(x.cmp(&z), y.cmp(&z), "{}: {:?} = {:?}, against {:?}", scheme, a, b, c);
            }
        }
    }

    #[test]
    fn no_text_panics_and_compare_mirrors(a in any::<String>(), b in any::<String>()) {
        for &scheme in Scheme::ALL {
            let (ab, ba) = (compare(scheme, &a, &b), compare(scheme, &b, &a));
            if let (Ok(ab), Ok(ba)) = (ab, ba) {
                prop_assert_eq!(ab, ba.reverse());
            }
        }
    }
}

#[test]
fn over_long_versions_are_refused_and_the_longest_are_compared() {
    for &scheme in Scheme::ALL {
        for unit in ["1", "1.", "1-", "a1", "0", "-", "_p1", "~", "α"] {
            let long = unit.repeat(super::MAX_VERSION_BYTES / unit.len());
            let _ = compare(scheme, &long, &long);
            assert!(scheme.parse(&unit.repeat(2000)).is_err());
        }
    }
}
