//! A minimal binary form for saved states: magic, version, fields, CRC32C.
//!
//! Rows that hold states are trusted but can rot or come from another version, so decoding checks every length, never
//! panics and allocates no more than the input's size.

use crate::StateError;

/// Writes fields; `seal` ends the document.
pub(crate) struct Encoder(Vec<u8>);

impl Encoder {
    pub(crate) fn new(magic: u8, version: u8) -> Self {
        Self(vec![b'B', magic, version])
    }

    pub(crate) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A byte string with its length. Longer than 4 GiB cannot occur: callers bound what they save.
    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(value);
    }

    pub(crate) fn seal(mut self) -> Vec<u8> {
        let sum = crc32c::crc32c(&self.0);
        self.u32(sum);
        self.0
    }
}

/// Reads fields in the order they were written.
pub(crate) struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    pub(crate) fn new(document: &'a [u8], magic: u8, version: u8) -> Result<Self, StateError> {
        let (body, sum) = document.split_last_chunk::<4>().ok_or(StateError::Length)?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*sum) {
            return Err(StateError::Checksum);
        }
        let (head, fields) = body.split_first_chunk::<3>().ok_or(StateError::Length)?;
        if *head != [b'B', magic, version] {
            return Err(StateError::Version);
        }
        Ok(Self(fields))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let (value, rest) = self.0.split_first_chunk::<N>().ok_or(StateError::Length)?;
        self.0 = rest;
        Ok(*value)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, StateError> {
        Ok(self.take::<1>()?[0])
    }

    pub(crate) fn u32(&mut self) -> Result<u32, StateError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, StateError> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], StateError> {
        let length = usize::try_from(self.u32()?).map_err(|_| StateError::Length)?;
        let (value, rest) = self.0.split_at_checked(length).ok_or(StateError::Length)?;
        self.0 = rest;
        Ok(value)
    }

    pub(crate) fn end(self) -> Result<(), StateError> {
        if self.0.is_empty() { Ok(()) } else { Err(StateError::Length) }
    }
}
