//! An estate's segment and its findings read from foreign bytes, then searched, counted and merged.
#![no_main]

use estate::findings::Findings;
use estate::search::{Query, Window, search};
use estate::{Below, Estate, Visible, merge};
use libfuzzer_sys::fuzz_target;

const QUESTIONS: [&str; 8] = [
    "lodash < 2",
    "*core* AND license:MIT",
    "pkg:npm/lodash@1.0",
    "path:**/lodash/*",
    "cve:CVE-2026-1",
    "ecosystem:deb",
    "ecosystem:Debian:12",
    "sha1:0000000000000000000000000000000000000000",
];

/// Sets the length that the header states, which a fuzzer would hardly ever hit.
fn with_length(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let length = (bytes.len() as u64).to_le_bytes();
    if let Some(stated) = bytes.get_mut(8..16) {
        stated.copy_from_slice(&length);
    }
    bytes
}

// The first two bytes say how long the segment is; the rest are findings.
fuzz_target!(|input: &[u8]| {
    let Some((length, rest)) = input.split_first_chunk::<2>() else { return };
    let at = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (segment, findings) = (with_length(&rest[..at]), with_length(&rest[at..]));
    let Ok(estate) = Estate::open(&[&segment]) else { return };
    let _ = merge(&[&segment], Below::More);
    let Ok(findings) = Findings::open(&[&findings], &estate) else { return };
    let _ = findings.tallies(&estate);
    for question in QUESTIONS {
        let query = Query::parse(question).expect("a question");
        let window = Window { visible: Visible::Projects(&[1, 2]), after: None, limit: 3, packages: 3 };
        let _ = search(&estate, &findings, &query, &window);
    }
});
