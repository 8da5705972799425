//! A bounded read-only reader of SQLite files, enough for `rpmdb.sqlite`: the rows of one table in b-tree order.
//!
//! Own code (the file format is stable and public) so that hostile bytes never reach C and nothing is copied: pages are
//! views of the file. Every page is visited at most once.

use super::super::ParseError;

const MAGIC: &[u8] = b"SQLite format 3\0";
const LEAF: u8 = 13;
const INTERIOR: u8 = 5;
const BLOB_BYTES: usize = 32 << 20;

pub(super) fn is_database(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

struct Database<'b> {
    bytes: &'b [u8],
    page_size: usize,
    usable: usize,
    visits_left: usize,
}

fn be16(bytes: &[u8], at: usize) -> Option<usize> {
    let two: [u8; 2] = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
    Some(usize::from(u16::from_be_bytes(two)))
}

fn be32(bytes: &[u8], at: usize) -> Option<usize> {
    let four: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(four)).ok()
}

fn broken(what: &str) -> ParseError {
    ParseError::malformed(format!("sqlite {what}"))
}

/// Gives the `blob` column of every row of table `Packages` to `each`.
pub(super) fn packages(bytes: &[u8], each: &mut dyn FnMut(&[u8])) -> Result<(), ParseError> {
    let page_size = match be16(bytes, 16) {
        Some(1) => 65_536,
        Some(size) if size.is_power_of_two() && size >= 512 => size,
        _ => return Err(broken("page size")),
    };
    let usable = page_size - usize::from(bytes.get(20).copied().unwrap_or(0));
    if usable < 480 {
        return Err(broken("reserved space"));
    }
    let mut database = Database { bytes, page_size, usable, visits_left: bytes.len() / page_size + 1 };
    let mut root = None;
    database.walk(1, 0, &mut |row| {
        // sqlite_schema(type, name, tbl_name, rootpage, sql)
        if column(row, 0) == Some(b"table")
            && column(row, 1).is_some_and(|name| name.eq_ignore_ascii_case(b"Packages"))
        {
            root = column(row, 3)
                .map(|page| page.iter().fold(0_usize, |value, byte| (value << 8) | usize::from(*byte)));
        }
    })?;
    let root = root.ok_or_else(|| broken("table Packages is absent"))?;
    database.visits_left = bytes.len() / page_size + 1;
    database.walk(root, 0, &mut |row| {
        // Packages(hnum INTEGER PRIMARY KEY, blob BLOB)
        if let Some(blob) = column(row, 1) {
            each(blob);
        }
    })
}

impl<'b> Database<'b> {
    fn page(&self, number: usize) -> Option<&'b [u8]> {
        let start = number.checked_sub(1)?.checked_mul(self.page_size)?;
        self.bytes.get(start..start.checked_add(self.page_size)?)
    }

    fn walk(&mut self, number: usize, depth: usize, row: &mut dyn FnMut(&[u8])) -> Result<(), ParseError> {
        if depth > 20 || self.visits_left == 0 {
            return Err(broken("tree"));
        }
        self.visits_left -= 1;
        let page = self.page(number).ok_or_else(|| broken("page number"))?;
        let header = if number == 1 { 100 } else { 0 };
        let cells = be16(page, header + 3).ok_or_else(|| broken("page header"))?;
        let kind = page.get(header).copied();
        let pointers = header + if kind == Some(INTERIOR) { 12 } else { 8 };
        for cell in 0..cells {
            let at = be16(page, pointers + cell * 2).ok_or_else(|| broken("cell pointer"))?;
            match kind {
                Some(LEAF) => row(&self.payload(page, at)?),
                Some(INTERIOR) => {
                    let child = be32(page, at).ok_or_else(|| broken("cell"))?;
                    self.walk(child, depth + 1, row)?;
                }
                _ => return Err(broken("page type")),
            }
        }
        if kind == Some(INTERIOR) {
            let last = be32(page, header + 8).ok_or_else(|| broken("page header"))?;
            self.walk(last, depth + 1, row)?;
        }
        Ok(())
    }

    /// The whole payload of a leaf cell, overflow pages included.
    fn payload(&mut self, page: &'b [u8], at: usize) -> Result<std::borrow::Cow<'b, [u8]>, ParseError> {
        let cell = page.get(at..).ok_or_else(|| broken("cell"))?;
        let (length, a) = varint(cell).ok_or_else(|| broken("cell length"))?;
        let (_, b) = cell.get(a..).and_then(varint).ok_or_else(|| broken("row id"))?;
        let length = usize::try_from(length)
            .ok()
            .filter(|len| *len <= BLOB_BYTES)
            .ok_or_else(|| broken("cell length"))?;
        let body = cell.get(a + b..).ok_or_else(|| broken("cell"))?;
        let max_local = self.usable - 35;
        if length <= max_local {
            return body.get(..length).map(Into::into).ok_or_else(|| broken("cell"));
        }
        let min_local = (self.usable - 12) * 32 / 255 - 23;
        let spill = min_local + (length - min_local) % (self.usable - 4);
        let local = if spill <= max_local { spill } else { min_local };
        let mut value = Vec::with_capacity(length);
        value.extend_from_slice(body.get(..local).ok_or_else(|| broken("cell"))?);
        let mut next = be32(body, local).ok_or_else(|| broken("overflow"))?;
        while next != 0 && value.len() < length {
            if self.visits_left == 0 {
                return Err(broken("overflow chain"));
            }
            self.visits_left -= 1;
            let page = self.page(next).ok_or_else(|| broken("overflow page"))?;
            let part = (length - value.len()).min(self.usable - 4);
            value.extend_from_slice(page.get(4..4 + part).ok_or_else(|| broken("overflow page"))?);
            next = be32(page, 0).unwrap_or(0);
        }
        if value.len() < length {
            return Err(broken("overflow chain"));
        }
        Ok(value.into())
    }
}

/// A SQLite variable-length integer and its length in bytes.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(9).enumerate() {
        if index == 8 {
            return Some(((value << 8) | u64::from(*byte), 9));
        }
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

/// Bytes of a column of a record.
fn column(record: &[u8], wanted: usize) -> Option<&[u8]> {
    let (header_len, mut at) = varint(record)?;
    let header_len = usize::try_from(header_len).ok()?;
    let mut start = header_len;
    let mut index = 0;
    while at < header_len {
        let (serial, len) = varint(record.get(at..)?)?;
        at += len;
        let size = match serial {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(serial).ok()?,
            5 => 6,
            6 | 7 => 8,
            text_or_blob => usize::try_from((text_or_blob - 12) / 2).ok()?,
        };
        if index == wanted {
            return record.get(start..start.checked_add(size)?);
        }
        start = start.checked_add(size)?;
        index += 1;
    }
    None
}
