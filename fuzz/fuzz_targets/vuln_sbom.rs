//! Bills of materials of others, in every form: what is read can be written in each of ours and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vuln::sbom::{Format, Limits, Provenance, Strictness, diff, merge, read, score, write};

fuzz_target!(|input: &[u8]| {
    let limits = Limits { max_bytes: 1 << 20, max_packages: 10_000 };
    let _ = read(input, Strictness::Strict, &limits);
    let Ok(reading) = read(input, Strictness::Lenient, &limits) else { return };
    let document = reading.document;
    score(&document);
    merge(vec![(Provenance::Uploaded, document.inventory.clone()), (Provenance::Declared, document.inventory.clone())]);
    for form in Format::all() {
        let Ok(written) = write(&document, form) else { continue };
        let again = read(&written, Strictness::Lenient, &limits).expect("what is written can be read");
        diff(&document.inventory, &again.document.inventory);
    }
});
