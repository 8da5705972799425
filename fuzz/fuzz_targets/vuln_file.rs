//! Every extractor: the first line of the input is the path, the rest the content.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vuln::extract::{Cataloguer, FileInfo};
use vuln::{Limits, Mode, merge};

fuzz_target!(|input: &[u8]| {
    let line = input.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (path, content) = input.split_at(line);
    let path = String::from_utf8_lossy(path);
    let limits = Limits { uncompressed_bytes: 64 << 20, ratio_free_bytes: 8 << 20, ..Limits::default() };
    for mode in [Mode::Image, Mode::Directory] {
        let mut cataloguer = Cataloguer::new(mode, &limits);
        if cataloguer.file(&FileInfo::new(&path, content.len() as u64, 0o755), &mut &*content).is_ok() {
            merge(&[cataloguer.finish_directory()]);
        }
    }
});
