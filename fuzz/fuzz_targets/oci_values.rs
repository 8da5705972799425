//! The values of the protocol: whatever parses prints as a text that parses to the same value.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use oci::{Algorithm, ByteRange, ContentRange, Digest, Hasher, MediaType, Page, ProjectName, RepoName, Tag, UploadId};

fn round_trip<T: FromStr + Display + PartialEq + Debug>(text: &str) -> Option<T> {
    let value: T = text.parse().ok()?;
    let printed = value.to_string();
    assert_eq!(printed.parse::<T>().ok().as_ref(), Some(&value), "{text:?} printed as {printed:?}");
    Some(value)
}

fn names(text: &str) {
    let Some(name) = round_trip::<RepoName>(text) else { return };
    assert!(!name.as_str().contains(['%', '\\', ' ']) && !name.as_str().contains(".."), "{text:?}");
    assert_eq!(name.asked(), text);
    assert_eq!(RepoName::of(name.project(), name.repository()).as_ref(), Ok(&name), "{text:?}");
    assert!(name.project().parse::<ProjectName>().is_ok(), "{text:?}");
}

fn ranges(text: &str, size: u64) {
    if let Ok(Some(range)) = ByteRange::resolve(text, size) {
        assert!(range.len > 0 && range.start < size && range.len <= size - range.start, "{text:?} of {size}");
        assert!(range.last() < size);
    }
    if let Ok(range) = ContentRange::parse(text) {
        assert!(range.start <= range.end && range.len() > 0, "{text:?}");
    }
}

fuzz_target!(|input: &[u8]| {
    let (number, rest) = input.split_at(input.len().min(8));
    let size = number.iter().fold(0, |all, byte| (all << 8) | u64::from(*byte));
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        if let Some(mut hasher) = Hasher::resume(algorithm, rest) {
            assert_eq!(hasher.save(), rest);
            hasher.update(number);
            hasher.finish();
        }
        assert_eq!(Digest::from_raw(algorithm, rest).is_some(), rest.len() == algorithm.len());
    }
    let Ok(text) = std::str::from_utf8(rest) else { return };
    names(text);
    ranges(text, size);
    if let Some(tag) = round_trip::<Tag>(text)
        && let Some((subject, _)) = tag.evidence_subject()
    {
        assert!(tag.as_str().contains(&subject.hex()));
    }
    if let Some(digest) = round_trip::<Digest>(text) {
        assert_eq!(Digest::from_raw(digest.algorithm(), digest.raw()), Some(digest.clone()));
        round_trip::<Tag>(Tag::referrers_fallback(&digest).as_str()).expect("a tag");
    }
    round_trip::<UploadId>(text);
    round_trip::<MediaType>(text);
    round_trip::<ProjectName>(text);
    let _ = MediaType::from_header(text);
    let (n, last) = text.split_once('\n').unwrap_or((text, ""));
    if let Some(page) = Page::parse(Some(n), Some(last)) {
        assert!(page.limit() <= oci::page::MAX_PAGE);
    }
});
