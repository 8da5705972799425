//! A zip archive read as a stream, by its local headers.
//!
//! No seeking, so nested archives of any size need no memory, and overlapping members cannot multiply: every byte is
//! read once. The central directory at the end is compared with what was read; members that it states and the stream
//! did not show (overlap bombs, hidden members) end the scan. Specification: APPNOTE.TXT 6.3.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::DeflateDecoder;

use crate::extract::{ParseError, ParseResult};
use crate::limits::{Limit, Limits, Stop};

const LOCAL: [u8; 4] = *b"PK\x03\x04";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const DESCRIPTOR: [u8; 4] = *b"PK\x07\x08";
/// A launch script may precede the archive.
const PREFIX_BYTES: u64 = 1 << 20;
const NAME_BYTES: usize = 4096;
const UNSIZED_BYTES: u64 = 64 << 20;

/// What all archives inside one file may use together.
pub(crate) struct Budget<'l> {
    limits: &'l Limits,
    entries: u64,
    inflated: u64,
    /// Bytes of the outermost file, to which the ratio applies.
    outer: u64,
}

impl<'l> Budget<'l> {
    pub(crate) fn new(limits: &'l Limits, outer: u64) -> Self {
        Self { limits, entries: 0, inflated: 0, outer }
    }

    fn entry(&mut self) -> ParseResult {
        self.entries += 1;
        if self.entries > self.limits.entries { Err(ParseError::Limit(Limit::Entries)) } else { Ok(()) }
    }

    fn inflate(&mut self, bytes: u64) -> io::Result<()> {
        self.inflated += bytes;
        if self.inflated > self.limits.uncompressed_bytes {
            return Err(Stop::Limit(Limit::UncompressedSize).into());
        }
        // A quarter of a layer's allowance: inside an archive the layer's own ratio cannot see.
        if self.inflated > self.limits.ratio_free_bytes / 4
            && self.inflated / self.outer.max(1) > self.limits.ratio
        {
            return Err(Stop::Limit(Limit::Ratio).into());
        }
        Ok(())
    }
}

/// Counts bytes taken, so that offsets are known.
struct Counted<R> {
    inner: R,
    position: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.position += n as u64;
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }
    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
        self.position += amount as u64;
    }
}

/// Content of a member while the archive is walked.
pub(crate) struct Member<'m, 'l> {
    content: &'m mut dyn Read,
    budget: &'m mut Budget<'l>,
}

impl<'l> Member<'_, 'l> {
    /// The content up to a bound.
    pub(crate) fn bytes(&mut self, bound: u64) -> Result<Vec<u8>, ParseError> {
        let mut bytes = Vec::new();
        self.take(bound + 1).read_to_end(&mut bytes).map_err(inside)?;
        if bytes.len() as u64 > bound {
            return Err(ParseError::Limit(Limit::FileSize));
        }
        Ok(bytes)
    }

    /// The limits that apply.
    pub(crate) fn limits(&self) -> &'l Limits {
        self.budget.limits
    }

    /// Walks the member as an archive itself and reads it to its end; `through` sees all its bytes.
    pub(crate) fn archive_through(
        &mut self,
        through: &mut dyn FnMut(&[u8]),
        each: &mut dyn FnMut(&str, &mut Member<'_, 'l>) -> ParseResult,
    ) -> ParseResult {
        let mut content = Inflating { inner: &mut *self.content, through, bytes: 0 };
        let outcome = walk(&mut content, self.budget, each);
        let mut charged = 0;
        let mut rest = vec![0_u8; 16 << 10];
        loop {
            self.budget.inflate(content.bytes - charged).map_err(inside)?;
            charged = content.bytes;
            if content.read(&mut rest).map_err(inside)? == 0 {
                return outcome;
            }
        }
    }
}

/// Counts what an inner walk takes; charged when it is done, while the inner walk charges its own output.
struct Inflating<'m> {
    inner: &'m mut dyn Read,
    through: &'m mut dyn FnMut(&[u8]),
    bytes: u64,
}

impl Read for Inflating<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        (self.through)(buf.get(..n).unwrap_or_default());
        self.bytes += n as u64;
        Ok(n)
    }
}

impl Read for Member<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.content.read(buf)?;
        self.budget.inflate(n as u64)?;
        Ok(n)
    }
}

/// Damage inside an archive is a problem of that file, a limit is one of the scan.
fn inside(error: io::Error) -> ParseError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Stop>()) {
        Some(Stop::Limit(limit)) => ParseError::Limit(*limit),
        Some(Stop::Cancelled) => ParseError::Scan(error.into()),
        None => ParseError::malformed(format!("zip: {error}")),
    }
}

/// Walks an archive; `each` sees every member's name and content.
pub(crate) fn walk<'l>(
    source: &mut dyn Read,
    budget: &mut Budget<'l>,
    each: &mut dyn FnMut(&str, &mut Member<'_, 'l>) -> ParseResult,
) -> ParseResult {
    let mut source = Counted { inner: BufReader::with_capacity(32 << 10, source), position: 0 };
    let mut seen: Vec<u64> = Vec::new();
    let mut signature = find_signature(&mut source, PREFIX_BYTES).map_err(inside)?;
    while signature == Some(LOCAL) {
        seen.push(source.position - 4);
        budget.entry()?;
        signature = member(&mut source, budget, each)?;
    }
    if seen.is_empty() && signature.is_none() {
        return Err(ParseError::malformed("not a zip archive"));
    }
    compare_directory(&mut source, signature, &seen)
}

/// One local header with its data; gives the next signature.
fn member<'l, R: BufRead>(
    source: &mut Counted<R>,
    budget: &mut Budget<'l>,
    each: &mut dyn FnMut(&str, &mut Member<'_, 'l>) -> ParseResult,
) -> Result<Option<[u8; 4]>, ParseError> {
    let mut header = [0_u8; 26];
    source.read_exact(&mut header).map_err(inside)?;
    let (flags, method) = (le(&header, 2, 2), le(&header, 4, 2));
    let mut packed = le(&header, 14, 4);
    let name = bytes(source, le(&header, 22, 2))?;
    let extra = bytes(source, le(&header, 24, 2))?;
    if name.len() > NAME_BYTES {
        return Err(ParseError::Limit(Limit::PathLength));
    }
    let name = String::from_utf8_lossy(&name).into_owned();
    if packed == u64::from(u32::MAX) {
        packed = zip64_packed(&extra).unwrap_or(packed);
    }
    let streamed = flags & 8 != 0 && packed == 0;
    if flags & 1 != 0 {
        return Err(ParseError::malformed("encrypted zip"));
    }
    match (method, streamed) {
        (0, false) => content(&mut source.take(packed), &name, budget, each)?,
        (0, true) => {
            // Stored without a size: nobody can tell where it ends; go on at the next header.
            return find_signature(source, UNSIZED_BYTES).map_err(inside);
        }
        (8, true) => content(&mut DeflateDecoder::new(&mut *source), &name, budget, each)?,
        (8, false) => {
            let mut data = (&mut *source).take(packed);
            content(&mut DeflateDecoder::new(&mut data), &name, budget, each)?;
            skip(&mut data, budget)?;
        }
        (_, false) => skip(&mut source.take(packed), budget)?,
        (other, true) => return Err(ParseError::malformed(format!("zip method {other}"))),
    }
    let slack = if flags & 8 != 0 { 64 } else { 4 };
    find_signature(source, slack).map_err(inside)
}

fn skip(data: &mut dyn Read, budget: &mut Budget<'_>) -> ParseResult {
    io::copy(&mut Member { content: data, budget }, &mut io::sink()).map(|_| ()).map_err(inside)
}

fn content<'l>(
    data: &mut dyn Read,
    name: &str,
    budget: &mut Budget<'l>,
    each: &mut dyn FnMut(&str, &mut Member<'_, 'l>) -> ParseResult,
) -> ParseResult {
    let mut member = Member { content: data, budget };
    each(name, &mut member)?;
    io::copy(&mut member, &mut io::sink()).map_err(inside)?;
    Ok(())
}

/// Takes bytes until a header's signature was taken.
fn find_signature<R: BufRead>(source: &mut Counted<R>, within: u64) -> io::Result<Option<[u8; 4]>> {
    let mut window = [0_u8; 4];
    let mut taken = 0_u64;
    loop {
        let mut byte = [0_u8; 1];
        if taken >= within.saturating_add(4) || source.read(&mut byte)? == 0 {
            return Ok(None);
        }
        window.rotate_left(1);
        window[3] = byte[0];
        taken += 1;
        if taken >= 4
            && window.starts_with(b"PK")
            && window != DESCRIPTOR
            && matches!(window[2..], [1, 2] | [3, 4] | [5 | 6, 6] | [6, 7])
        {
            return Ok(Some(window));
        }
    }
}

/// Every member of the central directory must have been read.
fn compare_directory<R: BufRead>(
    source: &mut Counted<R>,
    mut signature: Option<[u8; 4]>,
    seen: &[u64],
) -> ParseResult {
    let mut offsets = HashSet::new();
    while signature == Some(CENTRAL) {
        let mut header = [0_u8; 42];
        source.read_exact(&mut header).map_err(inside)?;
        let mut offset = le(&header, 38, 4);
        let (name, extra, comment) = (le(&header, 24, 2), le(&header, 26, 2), le(&header, 28, 2));
        io::copy(&mut source.take(name), &mut io::sink()).map_err(inside)?;
        let extra = bytes(source, extra)?;
        io::copy(&mut source.take(comment), &mut io::sink()).map_err(inside)?;
        if offset == u64::from(u32::MAX) {
            // The offset is the last eight bytes of the zip64 field where no disk number follows.
            offset = extra.len().checked_sub(8).map_or(offset, |at| le(&extra, at, 8));
        }
        if !offsets.insert(offset) || offsets.len() > seen.len() {
            return Err(ParseError::Limit(Limit::Overlap));
        }
        signature = find_signature(source, 0).map_err(inside)?;
    }
    // A prefix shifts all offsets alike, if it does.
    let (Some(first), Some(base)) = (offsets.iter().min(), seen.first()) else { return Ok(()) };
    let shift = base.wrapping_sub(*first);
    let known: HashSet<u64> = seen.iter().copied().collect();
    if offsets.iter().any(|offset| !known.contains(&offset.wrapping_add(shift))) {
        return Err(ParseError::Limit(Limit::Overlap));
    }
    Ok(())
}

fn bytes<R: BufRead>(source: &mut Counted<R>, len: u64) -> Result<Vec<u8>, ParseError> {
    let mut bytes = Vec::new();
    source.take(len).read_to_end(&mut bytes).map_err(inside)?;
    if bytes.len() as u64 == len { Ok(bytes) } else { Err(ParseError::malformed("truncated zip header")) }
}

fn zip64_packed(extra: &[u8]) -> Option<u64> {
    let mut rest = extra;
    while rest.len() >= 4 {
        let (id, len) = (le(rest, 0, 2), usize::try_from(le(rest, 2, 2)).ok()?);
        let body = rest.get(4..4 + len)?;
        if id == 1 && body.len() >= 16 {
            return Some(le(body, 8, 8));
        }
        rest = rest.get(4 + len..)?;
    }
    None
}

fn le(bytes: &[u8], at: usize, len: usize) -> u64 {
    bytes
        .get(at..at + len)
        .unwrap_or_default()
        .iter()
        .rev()
        .fold(0, |value, byte| (value << 8) | u64::from(*byte))
}
