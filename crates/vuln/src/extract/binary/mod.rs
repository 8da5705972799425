//! Executables and shared libraries: what their build put into them.
//!
//! A file is held in memory up to a bound and examined whole; a larger one is examined window by window, in which all
//! but the pre-1.18 form of Go's build information is found as well.

mod classifier;
mod go;
mod pe;
mod rust;

use std::io::Read;

use super::cataloguer::hold;
use super::{Extractor, FileInfo, Found, Parse, ParseResult, Scope};
use crate::limits::Limits;

const WHOLE_BYTES: usize = 48 << 20;
const WINDOW_BYTES: usize = 16 << 20;
/// Go's build information of a large program is a few hundred KiB.
const OVERLAP_BYTES: usize = 1 << 20;

pub(super) const EXTRACTOR: Extractor =
    Extractor { name: "binary", scope: Scope::Both, required: is_candidate, parse: Parse::Stream(parse) };

fn is_candidate(info: &FileInfo<'_>) -> bool {
    let lower = info.name.to_ascii_lowercase();
    let library =
        lower.contains(".so.") || [".so", ".dll", ".exe"].iter().any(|suffix| lower.ends_with(suffix));
    info.size_bytes >= 16
        && (info.mode & 0o111 != 0 || library || classifier::is_known(info))
        && !is_text_name(&lower)
}

/// Executable by mode but never a binary.
fn is_text_name(lower: &str) -> bool {
    [
        ".sh", ".py", ".pl", ".rb", ".js", ".ts", ".json", ".txt", ".md", ".html", ".css", ".h", ".c",
        ".xml", ".jar", ".class",
    ]
    .iter()
    .any(|suffix| lower.ends_with(suffix))
}

fn is_binary(magic: &[u8]) -> bool {
    magic.starts_with(b"\x7fELF")
        || magic.starts_with(b"MZ")
        || matches!(
            magic,
            [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..]
                | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..]
                | [0xca, 0xfe, 0xba, 0xbe, ..]
        )
}

fn parse(info: &FileInfo<'_>, content: &mut dyn Read, _: &Limits, found: &mut Found) -> ParseResult {
    let mut bytes = Vec::new();
    content.take(8).read_to_end(&mut bytes)?;
    if !is_binary(&bytes) && info.name != "busybox" {
        return Ok(());
    }
    let _one_at_a_time = hold(info.size_bytes);
    let whole = WHOLE_BYTES as u64;
    if info.size_bytes <= whole {
        content.take(whole).read_to_end(&mut bytes)?;
        examine_whole(info, &bytes, found);
        return Ok(());
    }
    let mut first = true;
    loop {
        let before = bytes.len();
        content.take((WINDOW_BYTES.saturating_sub(before)) as u64).read_to_end(&mut bytes)?;
        if bytes.len() == before && !first {
            break;
        }
        if found.packages.is_empty() {
            go::parse_inline(&bytes, found);
            rust::search(&bytes, found);
        }
        classifier::classify(info, &bytes, found);
        first = false;
        let keep = bytes.len().saturating_sub(OVERLAP_BYTES);
        if bytes.len() < WINDOW_BYTES {
            break;
        }
        bytes.drain(..keep);
    }
    Ok(())
}

fn examine_whole(info: &FileInfo<'_>, bytes: &[u8], found: &mut Found) {
    go::parse(bytes, found);
    rust::parse(bytes, found);
    if found.packages.is_empty() {
        classifier::classify(info, bytes, found);
    }
    if bytes.starts_with(b"MZ") {
        pe::parse(bytes, found);
    }
}
