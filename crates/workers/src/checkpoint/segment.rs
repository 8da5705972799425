//! A segment: records, compressed, with a head that says where in the chain they belong.
//!
//! ```text
//! "BNDSEG01"  length of the head (4 bytes)  head (JSON)  records (zstd)  code (32 bytes)  CRC32C (4 bytes)
//! record:     kind (1 byte)  a (8)  b  fields  bytes  extra      each a length (4 bytes, all ones: none) and bytes
//! ```
//!
//! Numbers are little-endian. The checksum tells a torn object from a whole one; the code, made under the master key,
//! tells our segments from anybody else's; each head names its predecessor by its SHA-256. A record's fields are JSON,
//! so that a release reads what an older one wrote.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use metadata::Timestamp;
use metadata::model::checkpoint::{Kind, Record};
use oci::Digest;
use registry::Sealer;
use serde::{Deserialize, Serialize};
use thiserror::Error;

const MAGIC: &[u8; 8] = b"BNDSEG01";
const CODE_BYTES: usize = 32;
const CRC_BYTES: usize = 4;
const NONE: u32 = u32::MAX;
/// zstd's default: a good third less than level 1 for twice its time, which is small here.
const LEVEL: i32 = 3;

/// Records of a segment, at most, before they are compressed: one page and one manifest more.
pub(super) const MOST_RAW_BYTES: u64 = 64 << 20;

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Whose checkpoint this is.
    pub(super) installation: String,
    /// Its place in the chain.
    pub(super) number: u64,
    /// Its predecessor's SHA-256; none at the start of a chain.
    pub(super) previous: Option<Digest>,
    /// The number at which the full copy began to which this segment belongs; none: it holds what changed.
    pub(super) copy: Option<u64>,
    /// The first segment that a rebuild up to here needs; none: up to here there is no full copy yet.
    pub(super) needs: Option<u64>,
    /// The segments up to here are the database of one moment.
    pub(super) whole: bool,
    /// When it was written.
    pub(super) written_at: Timestamp,
    /// The first id that was not reserved then.
    pub(super) next_id: i64,
    /// Bytes of the records before they were compressed.
    pub(super) raw_bytes: u64,
}

/// Why bytes are no segment.
#[derive(Debug, Error)]
pub(super) enum SegmentError {
    /// Cut off or changed: what a crash leaves, or damage.
    #[error("the segment is torn or damaged")]
    Torn,
    /// Written under another master key, or by somebody else.
    #[error("the segment was not written under this master key")]
    Foreign,
    /// Made by a release that this one does not know.
    #[error("the segment has an unknown form: {0}")]
    Unknown(String),
}

/// Records on their way into a segment.
#[derive(Debug, Default)]
pub(super) struct Records {
    raw: BytesMut,
    count: u64,
}

impl Records {
    pub(super) fn bytes(&self) -> u64 {
        self.raw.len() as u64
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn push(&mut self, record: &Record) {
        let kind = Kind::ALL.iter().position(|kind| *kind == record.kind).unwrap_or(usize::MAX);
        self.raw.put_u8(u8::try_from(kind).unwrap_or(u8::MAX));
        self.raw.put_i64_le(record.a);
        let fields = record.fields.as_deref().map(str::as_bytes);
        for part in [Some(record.b.as_bytes()), fields, record.bytes.as_deref(), record.extra.as_deref()] {
            self.raw.put_u32_le(part.map_or(NONE, |part| u32::try_from(part.len()).unwrap_or(NONE)));
            self.raw.put_slice(part.unwrap_or_default());
        }
        self.count += 1;
    }

    /// The segment's bytes.
    pub(super) fn seal(self, head: &Head, sealer: &Sealer) -> Result<Bytes, std::io::Error> {
        let head = Head { raw_bytes: self.bytes(), ..head.clone() };
        let text = serde_json::to_vec(&head)?;
        let packed = zstd::bulk::compress(&self.raw, LEVEL)?;
        let mut out = BytesMut::with_capacity(text.len() + packed.len() + 64);
        out.put_slice(MAGIC);
        out.put_u32_le(u32::try_from(text.len()).unwrap_or(u32::MAX));
        out.put_slice(&text);
        out.put_slice(&packed);
        let code = sealer.code(&out);
        out.put_slice(&code);
        out.put_u32_le(crc32c::crc32c(&out));
        Ok(out.freeze())
    }
}

/// A segment as it was read.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) head: Head,
    pub(super) digest: Digest,
    packed: Bytes,
}

impl Segment {
    /// Takes the bytes of an object apart. Without a sealer the code is not compared.
    pub(super) fn open(bytes: &Bytes, sealer: Option<&Sealer>) -> Result<Self, SegmentError> {
        let content = bytes.len().checked_sub(CRC_BYTES).ok_or(SegmentError::Torn)?;
        let (content, mut crc) = (bytes.slice(..content), bytes.slice(content..));
        if crc32c::crc32c(&content) != crc.get_u32_le() {
            return Err(SegmentError::Torn);
        }
        let vouched = content.len().checked_sub(CODE_BYTES).ok_or(SegmentError::Torn)?;
        let (mut rest, code) = (content.slice(..vouched), content.slice(vouched..));
        if rest.len() < MAGIC.len() + 4 || rest.split_to(MAGIC.len()) != MAGIC[..] {
            return Err(SegmentError::Unknown("no segment of this release".to_owned()));
        }
        if sealer.is_some_and(|sealer| !sealer.vouches_for(&content[..vouched], &code)) {
            return Err(SegmentError::Foreign);
        }
        let length = usize::try_from(rest.get_u32_le()).unwrap_or(usize::MAX);
        if length > rest.len() {
            return Err(SegmentError::Torn);
        }
        let head: Head = serde_json::from_slice(&rest.split_to(length))
            .map_err(|error| SegmentError::Unknown(error.to_string()))?;
        if head.raw_bytes > MOST_RAW_BYTES {
            return Err(SegmentError::Unknown(format!("{} bytes of records", head.raw_bytes)));
        }
        Ok(Self { head, digest: Digest::sha256(bytes), packed: rest })
    }

    /// Its records.
    pub(super) fn records(&self) -> Result<Vec<Record>, SegmentError> {
        let raw = usize::try_from(self.head.raw_bytes).unwrap_or(0);
        let raw = zstd::bulk::decompress(&self.packed, raw).map_err(|_| SegmentError::Torn)?;
        let mut rest = Bytes::from(raw);
        let mut records = Vec::new();
        while !rest.is_empty() {
            records.push(record(&mut rest).ok_or(SegmentError::Torn)??);
        }
        Ok(records)
    }
}

fn record(rest: &mut Bytes) -> Option<Result<Record, SegmentError>> {
    let kind = rest.try_get_u8().ok()?;
    let Some(kind) = Kind::ALL.get(usize::from(kind)).copied() else {
        return Some(Err(SegmentError::Unknown(format!("records of kind {kind}"))));
    };
    let a = rest.try_get_i64_le().ok()?;
    let mut part = || -> Option<Option<Bytes>> {
        let length = rest.try_get_u32_le().ok()?;
        if length == NONE {
            return Some(None);
        }
        let length = usize::try_from(length).ok()?;
        (length <= rest.len()).then(|| Some(rest.split_to(length)))
    };
    let text = |bytes: Bytes| String::from_utf8(bytes.into()).ok();
    let b = text(part()??)?;
    let fields = match part()? {
        Some(fields) => Some(text(fields)?),
        None => None,
    };
    let (bytes, extra) = (part()?, part()?);
    Some(Ok(Record { kind, a, b, fields, bytes, extra, pending_bytes: 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            installation: "i".to_owned(),
            number: 7,
            previous: Some(Digest::sha256(b"before")),
            copy: None,
            needs: Some(3),
            whole: true,
            written_at: Timestamp::from_secs(1_767_225_600),
            next_id: 4097,
            raw_bytes: 0,
        }
    }

    fn sample() -> (Vec<Record>, Bytes, Sealer) {
        let record = |b: &str, fields: Option<&str>, bytes: Option<&'static [u8]>| Record {
            kind: Kind::Manifest,
            a: -5,
            b: b.to_owned(),
            fields: fields.map(str::to_owned),
            bytes: bytes.map(Bytes::from_static),
            extra: None,
            pending_bytes: 0,
        };
        let all = vec![record("x", Some("{\"y\":1}"), Some(b"bytes")), record("", None, None)];
        let sealer = Sealer::new(&[7; 32]).unwrap();
        let mut records = Records::default();
        all.iter().for_each(|record| records.push(record));
        let bytes = records.seal(&head(), &sealer).unwrap();
        (all, bytes, sealer)
    }

    #[test]
    fn a_segment_gives_back_what_was_put_in() {
        let (all, bytes, sealer) = sample();
        let segment = Segment::open(&bytes, Some(&sealer)).unwrap();
        assert_eq!(segment.records().unwrap(), all);
        assert_eq!(segment.head.previous, head().previous);
        assert_eq!(segment.digest, Digest::sha256(&bytes));
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_noticed() {
        let (_, bytes, sealer) = sample();
        for end in 0..bytes.len() {
            assert!(matches!(
                Segment::open(&bytes.slice(..end), Some(&sealer)),
                Err(SegmentError::Torn | SegmentError::Unknown(_))
            ));
        }
        for at in 0..bytes.len() {
            let mut wrong = bytes.to_vec();
            wrong[at] ^= 1;
            assert!(Segment::open(&wrong.into(), Some(&sealer)).is_err(), "byte {at}");
        }
    }

    #[test]
    fn another_master_keys_segment_is_foreign_unless_nobody_asks() {
        let (_, bytes, _) = sample();
        let other = Sealer::new(&[8; 32]).unwrap();
        assert!(matches!(Segment::open(&bytes, Some(&other)), Err(SegmentError::Foreign)));
        assert!(Segment::open(&bytes, None).is_ok());
    }
}
