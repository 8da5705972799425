//! ndb files (`Packages.db`, SUSE): slots of 16 bytes that point to blobs in 16-byte blocks, little-endian.

use super::super::ParseError;

const MAGIC: &[u8; 4] = b"RpmP";
const SLOT: &[u8; 4] = b"Slot";
const BLOB: &[u8; 4] = b"BlbS";
const PAGE: usize = 4096;
const BLOCK: usize = 16;

pub(super) fn is_database(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

fn le32(bytes: &[u8], at: usize) -> usize {
    let four = bytes.get(at..at + 4).and_then(|four| <[u8; 4]>::try_from(four).ok());
    four.map_or(0, |four| u32::from_le_bytes(four) as usize)
}

/// Gives every blob to `each`.
pub(super) fn packages(bytes: &[u8], each: &mut dyn FnMut(&[u8])) -> Result<(), ParseError> {
    let slot_bytes = le32(bytes, 12).checked_mul(PAGE).filter(|len| *len > 0 && *len <= bytes.len());
    let slots = slot_bytes
        .and_then(|len| bytes.get(32..len))
        .ok_or_else(|| ParseError::malformed("ndb slot pages"))?;
    let mut budget = bytes.len();
    for slot in slots.chunks_exact(BLOCK).filter(|slot| slot.starts_with(SLOT)) {
        let (index, offset) = (le32(slot, 4), le32(slot, 8));
        if index == 0 || offset == 0 {
            continue;
        }
        let blob = offset.checked_mul(BLOCK).and_then(|start| bytes.get(start..));
        let Some(blob) = blob.filter(|blob| blob.starts_with(BLOB) && le32(blob, 4) == index) else {
            return Err(ParseError::malformed("ndb blob"));
        };
        let length = le32(blob, 12);
        if length > budget {
            return Err(ParseError::malformed("ndb blob length"));
        }
        budget -= length;
        each(blob.get(16..16 + length).ok_or_else(|| ParseError::malformed("ndb blob length"))?);
    }
    Ok(())
}
