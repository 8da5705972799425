//! A layer's bytes, decompressed and metered.
//!
//! The compression is told by magic bytes, never by media type, because media types lie. All output passes one meter
//! that counts it, hashes it (the digest of the uncompressed stream is the diffID), compares it with the input consumed
//! and asks the caller's watch; nothing behind it can grow without bound.

use std::cell::Cell;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

use flate2::read::MultiGzDecoder;
use oci::digest::{Algorithm, Digest, Hasher};

use crate::limits::{Limit, Limits, ScanError, Stop, Watch, check};

const WATCH_EVERY: u64 = 1 << 20;

/// Counts what was taken from the compressed source.
struct Consumed<R> {
    inner: R,
    bytes: Rc<Cell<u64>>,
}

impl<R: Read> Read for Consumed<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.bytes.set(self.bytes.get() + n as u64);
        Ok(n)
    }
}

/// The uncompressed stream of a layer with its limits.
pub(crate) struct Metered<'a> {
    inner: Box<dyn Read + 'a>,
    consumed: Rc<Cell<u64>>,
    produced: u64,
    next_watch: u64,
    limits: &'a Limits,
    watch: &'a dyn Watch,
    hasher: Option<Hasher>,
}

impl<'a> Metered<'a> {
    /// Detects the compression and opens the stream. `hash` asks for the diffID.
    pub(crate) fn open(
        source: impl Read + 'a,
        limits: &'a Limits,
        watch: &'a dyn Watch,
        hash: bool,
    ) -> Result<Self, ScanError> {
        let consumed = Rc::new(Cell::new(0));
        let mut source = Consumed { inner: source, bytes: Rc::clone(&consumed) };
        let mut magic = Vec::with_capacity(4);
        source.by_ref().take(4).read_to_end(&mut magic)?;
        let compression = Compression::detect(&magic);
        let whole = io::Cursor::new(magic).chain(source);
        let inner: Box<dyn Read + 'a> = match compression {
            Compression::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(64 << 10, whole))),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(whole).map_err(ScanError::Read)?;
                decoder.window_log_max(limits.zstd_window_log).map_err(ScanError::Read)?;
                Box::new(ZstdErrors(decoder))
            }
            Compression::None => Box::new(BufReader::with_capacity(64 << 10, whole)),
        };
        let hasher = hash.then(|| Hasher::new(Algorithm::Sha256));
        Ok(Self { inner, consumed, produced: 0, next_watch: WATCH_EVERY, limits, watch, hasher })
    }

    /// Uncompressed bytes so far.
    pub(crate) fn produced(&self) -> u64 {
        self.produced
    }

    /// Charges bytes that exist only logically (holes of a sparse file).
    pub(crate) fn charge(&self, logical: u64) -> io::Result<()> {
        if self.produced.saturating_add(logical) > self.limits.uncompressed_bytes {
            return Err(Stop::Limit(Limit::UncompressedSize).into());
        }
        Ok(())
    }

    /// The diffID of everything read; meaningful once the stream was read to its end.
    pub(crate) fn into_digest(self) -> Option<Digest> {
        self.hasher.map(Hasher::finish)
    }
}

impl Read for Metered<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.produced += n as u64;
        if self.produced > self.limits.uncompressed_bytes {
            return Err(Stop::Limit(Limit::UncompressedSize).into());
        }
        if self.produced > self.limits.ratio_free_bytes
            && self.produced / self.consumed.get().max(1) > self.limits.ratio
        {
            return Err(Stop::Limit(Limit::Ratio).into());
        }
        if self.produced >= self.next_watch {
            self.next_watch = self.produced + WATCH_EVERY;
            check(self.watch)?;
        }
        if let (Some(hasher), Some(read)) = (self.hasher.as_mut(), buf.get(..n)) {
            hasher.update(read);
        }
        Ok(n)
    }
}

/// Names the limit when libzstd refuses a window.
struct ZstdErrors<R>(R);

impl<R: Read> Read for ZstdErrors<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf).map_err(|error| {
            if error.to_string().contains("too much memory") {
                Stop::Limit(Limit::DecoderWindow).into()
            } else {
                error
            }
        })
    }
}

enum Compression {
    Gzip,
    Zstd,
    None,
}

impl Compression {
    fn detect(magic: &[u8]) -> Self {
        match magic {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or a skippable frame in front of one (zstd:chunked).
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Self::Zstd,
            _ => Self::None,
        }
    }
}
