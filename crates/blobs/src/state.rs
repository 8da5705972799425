//! The saved state of an unfinished object: what another process needs to go on writing it.

use crate::codec::{Decoder, Encoder};
use crate::{BlobError, StateError};

const MAGIC: u8 = b'w';
const VERSION: u8 = 1;

/// Where an unfinished object stands. Opaque to callers: stored as bytes in the upload session's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteState {
    pub(crate) offset: u64,
    pub(crate) place: Place,
}

/// What each kind of store needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A file; `incarnation` names the process that wrote it, see [`crate::BlobWriter::needs_recheck`].
    File { incarnation: u64 },
    /// An object of the memory store.
    Memory,
    /// A multipart upload.
    Remote(Box<RemotePlace>),
}

/// What has arrived of a multipart upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemotePlace {
    /// The service's id of the upload; absent before the first whole part.
    pub(crate) upload: Option<String>,
    /// The tags of the parts, in order.
    pub(crate) parts: Vec<String>,
    /// Bytes in these parts.
    pub(crate) part_bytes: u64,
    /// The side object with the bytes after them.
    pub(crate) tail: Option<Tail>,
}

/// A side object that holds what is too short for a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Its number; each pause writes the next one.
    pub(crate) number: u32,
    /// Its length.
    pub(crate) bytes: u32,
}

/// Most parts of an upload (Amazon S3, "Multipart upload limits").
const MOST_PARTS: u32 = 10_000;

impl WriteState {
    /// Bytes written so far; the resumed writer goes on here.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes that a resumed writer reads into memory.
    pub(crate) fn tail_bytes(&self) -> usize {
        match &self.place {
            Place::Remote(place) => place.tail.map_or(0, |tail| tail.bytes as usize),
            Place::File { .. } | Place::Memory => 0,
        }
    }

    /// The form to store; at most a few hundred bytes on files, some 50 bytes per part on S3.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Encoder::new(MAGIC, VERSION);
        out.u64(self.offset);
        match &self.place {
            Place::File { incarnation } => {
                out.byte(1);
                out.u64(*incarnation);
            }
            Place::Memory => out.byte(2),
            Place::Remote(place) => {
                out.byte(3);
                place.encode(&mut out);
            }
        }
        out.seal()
    }

    /// Reads the stored form; damaged, cut or foreign bytes are a [`BlobError::State`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BlobError> {
        let mut fields = Decoder::new(bytes, MAGIC, VERSION)?;
        let offset = fields.u64()?;
        let place = match fields.byte()? {
            1 => Place::File { incarnation: fields.u64()? },
            2 => Place::Memory,
            3 => Place::Remote(Box::new(RemotePlace::decode(&mut fields, offset)?)),
            _ => return Err(StateError::Version.into()),
        };
        fields.end()?;
        Ok(Self { offset, place })
    }
}

impl RemotePlace {
    fn encode(&self, out: &mut Encoder) {
        out.byte(u8::from(self.upload.is_some()));
        out.bytes(self.upload.as_deref().unwrap_or_default().as_bytes());
        out.u64(self.part_bytes);
        out.byte(u8::from(self.tail.is_some()));
        let tail = self.tail.unwrap_or(Tail { number: 0, bytes: 0 });
        out.u32(tail.number);
        out.u32(tail.bytes);
        out.u32(u32::try_from(self.parts.len()).unwrap_or(u32::MAX));
        for part in &self.parts {
            out.bytes(part.as_bytes());
        }
    }

    fn decode(fields: &mut Decoder<'_>, offset: u64) -> Result<Self, StateError> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| StateError::Contradiction);
        let has_upload = fields.byte()? != 0;
        let upload = Some(text(fields.bytes()?)?).filter(|_| has_upload);
        let part_bytes = fields.u64()?;
        let has_tail = fields.byte()? != 0;
        let tail = Some(Tail { number: fields.u32()?, bytes: fields.u32()? }).filter(|_| has_tail);
        let count = fields.u32()?;
        if count > MOST_PARTS {
            return Err(StateError::Contradiction);
        }
        let parts = (0..count).map(|_| text(fields.bytes()?)).collect::<Result<Vec<_>, _>>()?;
        let held = part_bytes.checked_add(tail.map_or(0, |tail| u64::from(tail.bytes)));
        if held != Some(offset) || (part_bytes > 0) != (upload.is_some() && count > 0) {
            return Err(StateError::Contradiction);
        }
        Ok(Self { upload, parts, part_bytes, tail })
    }
}
