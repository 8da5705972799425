//! A streaming tar reader: POSIX ustar, PAX, GNU long names and sparse files.
//!
//! Own code because every extended header must be bounded before it is read, and because sizes are taken exactly as
//! Go's `archive/tar` takes them (which docker and containerd use): a PAX size wins, header-only types have no data.
//! Otherwise one archive could show a scanner other files than it shows the runtime.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::decompress::Metered;
use crate::limits::{Limit, Limits, ScanError};

const BLOCK: usize = 512;
/// Extended headers and long names above this are a bomb: no path or attribute set comes near.
const EXTENSION_BYTES: u64 = 1 << 20;
const SPARSE_SEGMENTS: usize = 65_536;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    Directory,
    Symlink,
    Hardlink,
    /// Devices, pipes and types unknown to Go's reader.
    Other,
}

/// One entry; its data follows through [`Tar::data`].
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) kind: EntryKind,
    /// Logical size in bytes (of a sparse file with its holes).
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) link: String,
    sparse: Option<Vec<(u64, u64)>>,
}

/// The reader. Data that is not read is skipped.
pub(crate) struct Tar<'a, 'b> {
    source: &'b mut Metered<'a>,
    limits: &'a Limits,
    remaining: u64,
    padding: u64,
    global: BTreeMap<String, String>,
    started: bool,
}

/// Data of the current entry, holes filled with zeros.
pub(crate) struct Data<'t, 'a, 'b> {
    tar: &'t mut Tar<'a, 'b>,
    sparse: Option<(Vec<(u64, u64)>, usize)>,
    position: u64,
    size: u64,
}

fn malformed(why: impl Into<String>) -> ScanError {
    ScanError::Malformed { what: "tar", why: why.into() }
}

impl<'a, 'b> Tar<'a, 'b> {
    pub(crate) fn new(source: &'b mut Metered<'a>, limits: &'a Limits) -> Self {
        Self { source, limits, remaining: 0, padding: 0, global: BTreeMap::new(), started: false }
    }

    /// The next entry, or none at the end of the archive.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, ScanError> {
        let mut pax: BTreeMap<String, String> = BTreeMap::new();
        let (mut long_name, mut long_link) = (None, None);
        loop {
            self.skip_rest()?;
            let Some(header) = self.header()? else { return Ok(None) };
            match header.get(156).copied().unwrap_or(0) {
                b'x' => pax = parse_pax(&self.extension(&header)?)?,
                b'g' => {
                    for (key, value) in parse_pax(&self.extension(&header)?)? {
                        self.global.insert(key, value);
                    }
                    if self.global.len() > 1024 {
                        return Err(ScanError::limit(Limit::PathLength, ""));
                    }
                }
                b'L' => long_name = Some(text(&self.extension(&header)?)),
                b'K' => long_link = Some(text(&self.extension(&header)?)),
                flag => return self.entry(&header, flag, &pax, long_name, long_link).map(Some),
            }
        }
    }

    /// Offset in the uncompressed stream of the data of the entry just returned.
    pub(crate) fn position(&self) -> u64 {
        self.source.produced()
    }

    /// The data of the entry just returned.
    pub(crate) fn data(&mut self, entry: &Entry) -> Data<'_, 'a, 'b> {
        let sparse = entry.sparse.clone().map(|map| (map, 0));
        Data { size: entry.size, sparse, position: 0, tar: self }
    }

    fn skip_rest(&mut self) -> Result<(), ScanError> {
        // Sizes are bounded where headers are read; the sum of a size and its padding cannot be too large.
        let rest = self.remaining.saturating_add(self.padding);
        if rest > 0 {
            let skipped = io::copy(&mut (&mut *self.source).take(rest), &mut io::sink())?;
            // Missing padding after the very last member is tolerated, missing data is not.
            if skipped < self.remaining {
                return Err(malformed("truncated entry"));
            }
        }
        (self.remaining, self.padding) = (0, 0);
        Ok(())
    }

    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, ScanError> {
        let mut block = [0_u8; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let n = self.source.read(block.get_mut(filled..).unwrap_or_default())?;
            if n == 0 {
                if filled == 0 {
                    return Ok(None);
                }
                return Err(malformed("truncated header"));
            }
            filled += n;
        }
        Ok(Some(block))
    }

    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, ScanError> {
        let Some(block) = self.block()? else {
            return Ok(None);
        };
        if block.iter().all(|byte| *byte == 0) {
            // Two zero blocks end an archive; a single one is accepted as its end as well.
            return Ok(None);
        }
        if !checksum_matches(&block) {
            let why = if self.started { "header checksum" } else { "not a tar archive" };
            return Err(malformed(why));
        }
        self.started = true;
        Ok(Some(block))
    }

    fn extension(&mut self, header: &[u8; BLOCK]) -> Result<Vec<u8>, ScanError> {
        let size = number(field(header, 124, 12))?;
        if size > EXTENSION_BYTES {
            return Err(ScanError::limit(Limit::PathLength, ""));
        }
        self.padding = pad(size);
        let mut body = Vec::new();
        (&mut *self.source).take(size).read_to_end(&mut body)?;
        if body.len() as u64 != size {
            return Err(malformed("truncated extended header"));
        }
        Ok(body)
    }

    fn entry(
        &mut self,
        header: &[u8; BLOCK],
        flag: u8,
        pax: &BTreeMap<String, String>,
        long_name: Option<String>,
        long_link: Option<String>,
    ) -> Result<Entry, ScanError> {
        let get = |key: &str| pax.get(key).or_else(|| self.global.get(key)).filter(|value| !value.is_empty());
        let raw_path = get("GNU.sparse.name")
            .or_else(|| get("path"))
            .cloned()
            .or(long_name)
            .unwrap_or_else(|| header_path(header));
        let link = get("linkpath").cloned().or(long_link).unwrap_or_else(|| text(field(header, 157, 100)));
        if raw_path.len() > self.limits.path_bytes || link.len() > self.limits.path_bytes {
            return Err(ScanError::limit(Limit::PathLength, &raw_path));
        }
        let mut size = number(field(header, 124, 12))?;
        if let Some(value) = get("size") {
            size = value.parse().map_err(|_| malformed("PAX size"))?;
        }
        let size = bounded(size)?;
        let kind = match flag {
            b'0' | 0 | b'7' | b'S' if raw_path.ends_with('/') => EntryKind::Directory,
            b'0' | 0 | b'7' | b'S' => EntryKind::File,
            b'1' => EntryKind::Hardlink,
            b'2' => EntryKind::Symlink,
            b'5' => EntryKind::Directory,
            _ => EntryKind::Other,
        };
        let header_only = matches!(flag, b'1'..=b'6') || (kind == EntryKind::Directory && flag != b'S');
        let stored = if header_only { 0 } else { size };
        (self.remaining, self.padding) = (stored, pad(stored));
        let sparse_1 = get("GNU.sparse.major").is_some_and(|major| major == "1");
        let sparse_0 = get("GNU.sparse.map").cloned();
        let real = get("GNU.sparse.realsize")
            .or_else(|| get("GNU.sparse.size"))
            .map(|value| value.parse().map_err(|_| malformed("sparse size")).and_then(bounded))
            .transpose()?;
        let mode = u32::try_from(number(field(header, 100, 8)).unwrap_or(0)).unwrap_or(0);
        let mut entry = Entry { path: raw_path, kind, size: stored, mode, link, sparse: None };
        if kind == EntryKind::File && flag == b'S' {
            entry.sparse = Some(self.gnu_sparse(header)?);
            entry.size = bounded(number(field(header, 483, 12))?)?;
        } else if let (EntryKind::File, Some(real)) = (kind, real) {
            entry.size = real;
            if sparse_1 {
                entry.sparse = Some(self.pax_sparse()?);
            } else if let Some(map) = sparse_0 {
                entry.sparse = Some(pairs(map.split(','))?);
            }
        }
        if entry.sparse.is_some() {
            self.source.charge(entry.size)?;
        }
        Ok(entry)
    }

    /// The map of an old GNU sparse file, which continues in blocks between header and data.
    fn gnu_sparse(&mut self, header: &[u8; BLOCK]) -> Result<Vec<(u64, u64)>, ScanError> {
        let mut map = Vec::new();
        let mut take = |bytes: &[u8], slots: usize| -> Result<(), ScanError> {
            for slot in 0..slots {
                let offset = field(bytes, slot * 24, 12);
                let length = field(bytes, slot * 24 + 12, 12);
                if offset.first().is_none_or(|byte| *byte == 0) {
                    break;
                }
                map.push((number(offset)?, number(length)?));
            }
            if map.len() > SPARSE_SEGMENTS {
                return Err(ScanError::limit(Limit::Facts, ""));
            }
            Ok(())
        };
        take(field(header, 386, 96), 4)?;
        let mut more = header.get(482).copied().unwrap_or(0) != 0;
        while more {
            let block = self.block()?.ok_or_else(|| malformed("truncated sparse map"))?;
            take(field(&block, 0, 504), 21)?;
            more = block.get(504).copied().unwrap_or(0) != 0;
        }
        Ok(map)
    }

    /// The map of a PAX 1.0 sparse file, which is the first part of its data.
    fn pax_sparse(&mut self) -> Result<Vec<(u64, u64)>, ScanError> {
        let mut numbers: Vec<String> = Vec::new();
        let (mut digits, mut wanted) = (String::new(), 1_usize);
        while numbers.len() < wanted {
            if self.remaining < BLOCK as u64 {
                return Err(malformed("sparse map"));
            }
            let block = self.block()?.ok_or_else(|| malformed("truncated sparse map"))?;
            self.remaining -= BLOCK as u64;
            for byte in block {
                if byte.is_ascii_digit() && digits.len() < 20 {
                    digits.push(char::from(byte));
                } else if byte == b'\n' && numbers.len() < wanted {
                    if numbers.is_empty() {
                        let count: usize = digits.parse().map_err(|_| malformed("sparse map"))?;
                        if count > SPARSE_SEGMENTS {
                            return Err(ScanError::limit(Limit::Facts, ""));
                        }
                        wanted = 1 + count * 2;
                    }
                    numbers.push(std::mem::take(&mut digits));
                }
            }
        }
        pairs(numbers.iter().skip(1).map(String::as_str))
    }
}

impl Read for Data<'_, '_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some((map, index)) = &mut self.sparse else {
            let want = buf.len().min(usize::try_from(self.tar.remaining).unwrap_or(usize::MAX));
            let n = self.tar.source.read(buf.get_mut(..want).unwrap_or_default())?;
            if n == 0 && want > 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "truncated tar entry"));
            }
            self.tar.remaining -= n as u64;
            return Ok(n);
        };
        while map.get(*index).is_some_and(|(offset, length)| self.position >= offset.saturating_add(*length))
        {
            *index += 1;
        }
        let left = self.size.saturating_sub(self.position);
        let (is_data, run) = match map.get(*index) {
            Some((offset, length)) if self.position >= *offset => {
                (true, offset.saturating_add(*length) - self.position)
            }
            Some((offset, _)) => (false, offset - self.position),
            None => (false, left),
        };
        let run = run.min(left).min(buf.len() as u64);
        let want = usize::try_from(run).unwrap_or(0);
        let target = buf.get_mut(..want).unwrap_or_default();
        let n = if is_data {
            let stored = want.min(usize::try_from(self.tar.remaining).unwrap_or(usize::MAX));
            let n = self.tar.source.read(target.get_mut(..stored).unwrap_or_default())?;
            self.tar.remaining -= n as u64;
            n
        } else {
            target.fill(0);
            want
        };
        self.position += n as u64;
        Ok(n)
    }
}

/// Go's reader counts in signed numbers and refuses what is larger.
fn bounded(size: u64) -> Result<u64, ScanError> {
    i64::try_from(size).map(|_| size).map_err(|_| malformed("size"))
}

fn pad(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

fn field(block: &[u8], start: usize, len: usize) -> &[u8] {
    block.get(start..start + len).unwrap_or_default()
}

fn text(bytes: &[u8]) -> String {
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

fn header_path(header: &[u8; BLOCK]) -> String {
    let name = text(field(header, 0, 100));
    // Only POSIX ustar has a prefix; GNU uses these bytes for times and sparse maps.
    let prefix =
        if field(header, 257, 6) == b"ustar\0" { text(field(header, 345, 155)) } else { String::new() };
    if prefix.is_empty() { name } else { format!("{prefix}/{name}") }
}

/// An octal or base-256 number.
fn number(bytes: &[u8]) -> Result<u64, ScanError> {
    if let Some((first, rest)) = bytes.split_first()
        && first & 0x80 != 0
    {
        if first & 0x40 != 0 {
            return Err(malformed("negative number"));
        }
        let mut value = u64::from(first & 0x3f);
        for byte in rest {
            value = value
                .checked_mul(256)
                .and_then(|v| v.checked_add(u64::from(*byte)))
                .ok_or_else(|| malformed("number"))?;
        }
        return Ok(value);
    }
    let digits = text(bytes);
    let digits = digits.trim_matches([' ', '\0']);
    if digits.is_empty() {
        return Ok(0);
    }
    u64::from_str_radix(digits, 8).map_err(|_| malformed("number"))
}

fn checksum_matches(block: &[u8; BLOCK]) -> bool {
    let Ok(stated) = number(field(block, 148, 8)) else { return false };
    let (mut unsigned, mut signed) = (0_i64, 0_i64);
    for (index, byte) in block.iter().enumerate() {
        let byte = if (148..156).contains(&index) { b' ' } else { *byte };
        unsigned += i64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    i64::try_from(stated).is_ok_and(|stated| stated == unsigned || stated == signed)
}

fn pairs<'s>(numbers: impl Iterator<Item = &'s str>) -> Result<Vec<(u64, u64)>, ScanError> {
    let values =
        numbers.map(str::parse).collect::<Result<Vec<u64>, _>>().map_err(|_| malformed("sparse map"))?;
    if values.len() > SPARSE_SEGMENTS * 2 {
        return Err(ScanError::limit(Limit::Facts, ""));
    }
    Ok(values.chunks_exact(2).filter_map(|pair| Some((*pair.first()?, *pair.get(1)?))).collect())
}

/// PAX records: `LENGTH KEY=VALUE\n`.
fn parse_pax(body: &[u8]) -> Result<BTreeMap<String, String>, ScanError> {
    let mut records = BTreeMap::new();
    let mut rest = body;
    while !rest.is_empty() {
        let bad = || malformed("PAX record");
        let space = memchr::memchr(b' ', rest).ok_or_else(bad)?;
        let length: usize = std::str::from_utf8(rest.get(..space).unwrap_or_default())
            .ok()
            .and_then(|s| s.parse().ok())
            .ok_or_else(bad)?;
        let record = rest.get(space + 1..length).ok_or_else(bad)?;
        let record = record.strip_suffix(b"\n").ok_or_else(bad)?;
        let equals = memchr::memchr(b'=', record).ok_or_else(bad)?;
        let (key, value) = record.split_at(equals);
        let value = value.get(1..).unwrap_or_default();
        if memchr::memchr(0, value).is_some() && !key.starts_with(b"SCHILY.xattr.") {
            return Err(bad());
        }
        // The 0.0 sparse format repeats these two keys; together they are the 0.1 map.
        let key = String::from_utf8_lossy(key).into_owned();
        let value = String::from_utf8_lossy(value).into_owned();
        if key == "GNU.sparse.offset" || key == "GNU.sparse.numbytes" {
            let map: &mut String = records.entry("GNU.sparse.map".to_owned()).or_default();
            if !map.is_empty() {
                map.push(',');
            }
            map.push_str(&value);
        } else {
            records.insert(key, value);
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(records)
}
