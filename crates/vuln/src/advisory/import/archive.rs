//! Archives of documents, streamed: zip, tar, gzip, zstd, one in another.
//!
//! One document is in memory at a time; every byte that comes out of a decompressor is counted against the limits, so a
//! bomb ends as `limit`, not as an empty machine.

use super::{ImportError, ImportLimits};
use std::io::{Cursor, Read};

/// Counts what has been read of the whole import.
struct Meter<'a> {
    limits: &'a ImportLimits,
    documents: u64,
    bytes: u64,
}

type Visit<'a> = &'a mut dyn FnMut(&str, &[u8]);

/// Calls `visit` with the name and bytes of every document.
pub(super) fn documents(
    name: &str,
    bytes: &[u8],
    limits: &ImportLimits,
    visit: Visit<'_>,
) -> Result<(), ImportError> {
    let mut meter = Meter { limits, documents: 0, bytes: 0 };
    walk(name, bytes, 0, &mut meter, visit)
}

impl Meter<'_> {
    fn read(&mut self, name: &str, input: impl Read, buffer: &mut Vec<u8>) -> Result<(), ImportError> {
        buffer.clear();
        let max = self.limits.max_document_bytes.min(self.limits.max_total_bytes.saturating_sub(self.bytes));
        input.take(max.saturating_add(1)).read_to_end(buffer).map_err(|e| damaged(name, e))?;
        let length = buffer.len() as u64;
        if length > self.limits.max_document_bytes {
            return Err(ImportError::Limit { limit: "max_document_bytes", name: name.to_owned() });
        }
        if length > max {
            return Err(ImportError::Limit { limit: "max_total_bytes", name: name.to_owned() });
        }
        self.bytes += length;
        Ok(())
    }

    fn count(&mut self, name: &str) -> Result<(), ImportError> {
        self.documents += 1;
        if self.documents > self.limits.max_documents {
            return Err(ImportError::Limit { limit: "max_documents", name: name.to_owned() });
        }
        Ok(())
    }
}

fn damaged(name: &str, error: impl std::fmt::Display) -> ImportError {
    ImportError::Archive { name: name.to_owned(), reason: error.to_string() }
}

fn walk(
    name: &str,
    bytes: &[u8],
    depth: u32,
    meter: &mut Meter<'_>,
    visit: Visit<'_>,
) -> Result<(), ImportError> {
    let kind = Kind::of(bytes);
    if !matches!(kind, Kind::Document) && depth >= meter.limits.max_archive_depth {
        return Err(ImportError::Limit { limit: "max_archive_depth", name: name.to_owned() });
    }
    match kind {
        Kind::Zip => zip(name, bytes, depth, meter, visit),
        Kind::Tar => tar(name, bytes, depth, meter, visit),
        Kind::Gzip => stream(name, flate2::read::MultiGzDecoder::new(bytes), ".gz", depth, meter, visit),
        Kind::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(bytes).map_err(|e| damaged(name, e))?;
            decoder.window_log_max(27).map_err(|e| damaged(name, e))?;
            stream(name, decoder, ".zst", depth, meter, visit)
        }
        Kind::Document => {
            meter.count(name)?;
            visit(name, bytes);
            Ok(())
        }
    }
}

/// A compressed stream: a tar is walked while it is read, anything else is one document.
fn stream(
    name: &str,
    mut input: impl Read,
    suffix: &str,
    depth: u32,
    meter: &mut Meter<'_>,
    visit: Visit<'_>,
) -> Result<(), ImportError> {
    let inner = name.strip_suffix(suffix).unwrap_or(name);
    let mut head = vec![0; 512];
    let mut filled = 0;
    while filled < head.len() {
        match input.read(&mut head[filled..]).map_err(|e| damaged(name, e))? {
            0 => break,
            n => filled += n,
        }
    }
    head.truncate(filled);
    let is_tar = matches!(Kind::of(&head), Kind::Tar);
    let whole = Cursor::new(head).chain(input);
    if is_tar {
        return tar(inner, whole, depth, meter, visit);
    }
    let mut buffer = Vec::new();
    meter.read(inner, whole, &mut buffer)?;
    walk(inner, &buffer, depth + 1, meter, visit)
}

fn zip(
    name: &str,
    bytes: &[u8],
    depth: u32,
    meter: &mut Meter<'_>,
    visit: Visit<'_>,
) -> Result<(), ImportError> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|e| damaged(name, e))?;
    if archive.len() as u64 > meter.limits.max_documents {
        return Err(ImportError::Limit { limit: "max_documents", name: name.to_owned() });
    }
    let mut buffer = Vec::new();
    for index in 0..archive.len() {
        let file = archive.by_index(index).map_err(|e| damaged(name, e))?;
        if !file.is_file() {
            continue;
        }
        let path = file.name().map_err(|e| damaged(name, e))?.into_owned();
        meter.read(&path, file, &mut buffer)?;
        walk(&path, &buffer, depth + 1, meter, visit)?;
    }
    Ok(())
}

fn tar(
    name: &str,
    input: impl Read,
    depth: u32,
    meter: &mut Meter<'_>,
    visit: Visit<'_>,
) -> Result<(), ImportError> {
    let mut archive = tar::Archive::new(input);
    let mut buffer = Vec::new();
    for entry in archive.entries().map_err(|e| damaged(name, e))? {
        let entry = entry.map_err(|e| damaged(name, e))?;
        if !entry.header().entry_type().is_file() {
            meter.count(name)?;
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        meter.read(&path, entry, &mut buffer)?;
        walk(&path, &buffer, depth + 1, meter, visit)?;
    }
    Ok(())
}

enum Kind {
    Zip,
    Tar,
    Gzip,
    Zstd,
    Document,
}

impl Kind {
    fn of(bytes: &[u8]) -> Self {
        if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
            Self::Zip
        } else if bytes.starts_with(b"\x1f\x8b") {
            Self::Gzip
        } else if bytes.starts_with(b"\x28\xb5\x2f\xfd") {
            Self::Zstd
        } else if bytes.get(257..262) == Some(b"ustar") {
            Self::Tar
        } else {
            Self::Document
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("write");
        encoder.finish().expect("finish")
    }

    fn seen(bytes: &[u8], limits: &ImportLimits) -> Result<Vec<(String, Vec<u8>)>, ImportError> {
        let mut out = Vec::new();
        documents("feed.tar.gz", bytes, limits, &mut |n, b| out.push((n.to_owned(), b.to_vec())))?;
        Ok(out)
    }

    #[test]
    fn documents_of_a_compressed_tar_are_visited_in_order() {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, body) in [("b.json", "{}"), ("a.json", "[]")] {
            let mut header = tar::Header::new_ustar();
            header.set_size(body.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, body.as_bytes()).expect("append");
        }
        let bytes = gz(&builder.into_inner().expect("tar"));
        let found = seen(&bytes, &ImportLimits::default()).expect("walk");
        assert_eq!(found, [("b.json".into(), b"{}".to_vec()), ("a.json".into(), b"[]".to_vec())]);
    }

    #[test]
    fn a_bomb_ends_as_limit() {
        let limits = ImportLimits { max_document_bytes: 1 << 16, ..ImportLimits::default() };
        let bomb = gz(&vec![0; 1 << 20]);
        assert!(matches!(seen(&bomb, &limits), Err(ImportError::Limit { limit: "max_document_bytes", .. })));
    }

    #[test]
    fn nesting_is_bounded() {
        let mut bytes = b"{}".to_vec();
        for _ in 0..5 {
            bytes = gz(&bytes);
        }
        let limits = ImportLimits::default();
        assert!(matches!(seen(&bytes, &limits), Err(ImportError::Limit { limit: "max_archive_depth", .. })));
    }
}
