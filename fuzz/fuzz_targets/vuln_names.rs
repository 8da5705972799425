//! Versions of every scheme, package URLs, ranges and licences: two texts, split at a NUL.
#![no_main]

use std::cmp::Ordering;

use libfuzzer_sys::fuzz_target;
use vuln::version::Scheme;
use vuln::{Purl, Vers, license};

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (a, b) = text.split_once('\0').unwrap_or((text, ""));
    for scheme in Scheme::ALL {
        let (Ok(left), Ok(right)) = (scheme.parse(a), scheme.parse(b)) else { continue };
        assert_eq!(left.cmp(&right), right.cmp(&left).reverse(), "{scheme:?}");
        assert_eq!(left.cmp(&left.clone()), Ordering::Equal, "{scheme:?}");
        left.compare(&right);
    }
    if let Ok(purl) = Purl::parse(a) {
        let written = purl.to_string();
        let again = Purl::parse(&written).expect("what is written can be read");
        assert_eq!(again.to_string(), written);
        let package = purl.to_package();
        Purl::of_package(&package, purl.distro().as_ref());
    }
    if let Ok(range) = Vers::parse(a) {
        let _ = range.contains(b);
        Vers::parse(&range.to_string()).expect("what is written can be read");
    }
    let _ = Vers::from_native(a, b);
    if let Some(expression) = license::normalize(a) {
        license::class(&expression);
    }
    license::is_expression(a);
    license::recognise(a);
    license::copyright_file(a);
});
