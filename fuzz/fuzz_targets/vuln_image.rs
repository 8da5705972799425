//! Image documents and archives of any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vuln::image::{ArchiveIndex, Choice, Files, find_image};
use vuln::{Limits, Pulse};

struct Everywhere<'b>(&'b [u8]);

impl Files for Everywhere<'_> {
    fn open(&self, _: &str) -> std::io::Result<Option<Box<dyn std::io::Read + '_>>> {
        Ok(Some(Box::new(self.0)))
    }
}

fuzz_target!(|bytes: &[u8]| {
    let _ = find_image(&Everywhere(bytes), &Choice::default());
    let _ = ArchiveIndex::read(bytes, &Limits::default(), &|| Pulse::Go);
});
