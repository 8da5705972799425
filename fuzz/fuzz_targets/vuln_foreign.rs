//! Reports of other scanners, and what is made of them: two documents (split at a NUL) combined by every rule.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vuln::foreign::{Limits, Rule, Voice, combine, read};

fuzz_target!(|input: &[u8]| {
    let limits = Limits { max_bytes: 1 << 20, max_entries: 10_000, max_nesting: 4 };
    let mut reports = Vec::new();
    for document in input.splitn(2, |byte| *byte == 0) {
        if let Ok(read) = read(document, &limits) {
            assert!(!read.is_empty(), "a document that is read has a report");
            reports.extend(read);
        }
    }
    let names: Vec<String> = (0..reports.len()).map(|index| index.to_string()).collect();
    let voices: Vec<Voice<'_>> =
        names.iter().zip(&reports).map(|(by, report)| Voice { by, said: Ok(report) }).collect();
    let count = |rule: Rule| {
        let combined = combine(&voices, &rule);
        (combined.findings.len(), combined.beside.len())
    };
    let (union, beside) = count(Rule::Union);
    for rule in [Rule::Intersection, Rule::Primary("0".into())] {
        let (counting, others) = count(rule);
        assert!(counting <= union);
        assert_eq!(counting + others, union + beside);
    }
});
