//! VEX documents and ignore files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vuln::matching::{IgnoreFile, VexDocument};

fuzz_target!(|input: &[u8]| {
    let _ = VexDocument::parse("x.json", input);
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = IgnoreFile::parse(".trivyignore", text);
        let _ = IgnoreFile::parse(".trivyignore.yaml", text);
    }
});
