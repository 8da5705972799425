//! BerkeleyDB hash files (`Packages`, rpm before 4.16).
//!
//! Pages of one size in either byte order. A hash page holds pairs of items; large values lie in chains of overflow
//! pages. Only what rpm writes is read: every page is visited once, chains are bounded by the number of pages.

use super::super::ParseError;

const HASH_MAGIC: u32 = 0x0006_1561;
const PAGE_HEADER: usize = 26;
const PAGE_HASH_UNSORTED: u8 = 2;
const PAGE_OVERFLOW: u8 = 7;
const PAGE_HASH: u8 = 13;
const ITEM_INLINE: u8 = 1;
const ITEM_OFF_PAGE: u8 = 3;
/// A header blob of a real package is a few hundred KiB; the kernel's are below 8 MiB.
const BLOB_BYTES: usize = 32 << 20;

struct Database<'b> {
    bytes: &'b [u8],
    page_size: usize,
    big_endian: bool,
}

pub(super) fn is_database(bytes: &[u8]) -> bool {
    byte_order(bytes).is_some()
}

/// Whether the file is big-endian, if it is a hash file at all.
fn byte_order(bytes: &[u8]) -> Option<bool> {
    let magic: [u8; 4] = bytes.get(12..16)?.try_into().ok()?;
    if u32::from_le_bytes(magic) == HASH_MAGIC {
        Some(false)
    } else {
        (u32::from_be_bytes(magic) == HASH_MAGIC).then_some(true)
    }
}

/// Gives every value to `each`.
pub(super) fn packages(bytes: &[u8], each: &mut dyn FnMut(&[u8])) -> Result<(), ParseError> {
    let big_endian = byte_order(bytes).ok_or_else(|| ParseError::malformed("BerkeleyDB magic"))?;
    let mut database = Database { bytes, page_size: 512, big_endian };
    let page_size = database.u32(bytes, 20).unwrap_or(0) as usize;
    if !(512..=65_536).contains(&page_size) || !page_size.is_power_of_two() {
        return Err(ParseError::malformed("BerkeleyDB page size"));
    }
    if bytes.get(24).copied().unwrap_or(0) != 0 {
        return Err(ParseError::malformed("encrypted BerkeleyDB"));
    }
    database.page_size = page_size;
    // Overflow bytes read altogether: pages of a sound file belong to one chain each.
    let mut budget = bytes.len();
    for page in bytes.chunks_exact(page_size).skip(1) {
        if matches!(page.get(25), Some(&(PAGE_HASH | PAGE_HASH_UNSORTED))) {
            database.hash_page(page, &mut budget, each)?;
        }
    }
    Ok(())
}

impl Database<'_> {
    fn u16(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let two: [u8; 2] = bytes.get(at..at + 2)?.try_into().ok()?;
        Some(usize::from(if self.big_endian { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) }))
    }

    fn u32(&self, bytes: &[u8], at: usize) -> Option<u32> {
        let four: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(if self.big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    }

    fn hash_page(
        &self,
        page: &[u8],
        budget: &mut usize,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<(), ParseError> {
        let entries = self.u16(page, 20).unwrap_or(0);
        // Items are stored downwards from the end of the page; odd ones are values.
        for index in (1..entries).step_by(2) {
            let at = |index: usize| self.u16(page, PAGE_HEADER + index * 2);
            let (Some(start), Some(end)) = (at(index), at(index - 1)) else {
                return Err(ParseError::malformed("BerkeleyDB page index"));
            };
            let Some(item) = page.get(start..) else {
                return Err(ParseError::malformed("BerkeleyDB item offset"));
            };
            match item.first() {
                Some(&ITEM_OFF_PAGE) => {
                    let (first, length) = (self.u32(item, 4), self.u32(item, 8));
                    let (Some(first), Some(length)) = (first, length) else {
                        return Err(ParseError::malformed("BerkeleyDB overflow item"));
                    };
                    let blob = self.overflow(first, length as usize, budget)?;
                    each(&blob);
                }
                Some(&ITEM_INLINE) => {
                    // rpm's own counter is four bytes under key 0; a header is never that small.
                    if let Some(value) = page.get(start + 1..end).filter(|value| value.len() > 8) {
                        each(value);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn overflow(&self, first: u32, length: usize, budget: &mut usize) -> Result<Vec<u8>, ParseError> {
        if length > BLOB_BYTES || length > *budget {
            return Err(ParseError::malformed("BerkeleyDB value length"));
        }
        *budget -= length;
        let mut value = Vec::with_capacity(length);
        let mut number = first;
        while number != 0 && value.len() < length {
            let start = (number as usize).checked_mul(self.page_size);
            let page = start.and_then(|start| self.bytes.get(start..start.checked_add(self.page_size)?));
            let Some(page) = page.filter(|page| page.get(25) == Some(&PAGE_OVERFLOW)) else {
                return Err(ParseError::malformed("BerkeleyDB overflow chain"));
            };
            let used = self.u16(page, 22).unwrap_or(0).min(self.page_size - PAGE_HEADER);
            let part = page.get(PAGE_HEADER..PAGE_HEADER + used).unwrap_or_default();
            if part.is_empty() {
                break;
            }
            value.extend_from_slice(part);
            number = self.u32(page, 16).unwrap_or(0);
        }
        value.truncate(length);
        Ok(value)
    }
}
