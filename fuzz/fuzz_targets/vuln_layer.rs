//! A layer of any bytes: decompression, tar, links, whiteouts, merge. The stable twin is `crates/vuln/tests/robust.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vuln::{Limits, Mode, Pulse, catalogue_layer, merge};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { uncompressed_bytes: 64 << 20, ratio_free_bytes: 8 << 20, ..Limits::default() };
    if let Ok(result) = catalogue_layer(&bytes, Mode::Image, &limits, &|| Pulse::Go) {
        merge(&[result]);
    }
});
