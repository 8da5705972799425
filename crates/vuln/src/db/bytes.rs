//! Reading and writing the database's integers: little-endian words and LEB128, every read checked.

use super::DbError;

pub(super) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

#[expect(clippy::cast_possible_truncation, reason = "bounded above")]
pub(super) fn put_var(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A signed difference, small ones short.
pub(super) fn put_delta(out: &mut Vec<u8>, value: i64) {
    put_var(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Result<u32, DbError> {
    let slice = at
        .checked_add(4)
        .and_then(|end| bytes.get(at..end))
        .ok_or(DbError::Damaged("word beyond the end"))?;
    slice.try_into().map(u32::from_le_bytes).map_err(|_| DbError::Damaged("word"))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Result<u64, DbError> {
    Ok(u64::from(u32_at(bytes, at)?) | u64::from(u32_at(bytes, at.saturating_add(4))?) << 32)
}

/// A cursor over variable-length integers.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub(super) fn var(&mut self) -> Result<u64, DbError> {
        let (mut value, mut shift) = (0u64, 0u32);
        loop {
            let byte = *self.bytes.get(self.at).ok_or(DbError::Damaged("number beyond the end"))?;
            self.at += 1;
            if shift >= 64 {
                return Err(DbError::Damaged("number too long"));
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            shift += 7;
        }
    }

    pub(super) fn delta(&mut self) -> Result<i64, DbError> {
        let raw = self.var()?;
        Ok((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()))
    }

    pub(super) fn index(&mut self) -> Result<u32, DbError> {
        u32::try_from(self.var()?).map_err(|_| DbError::Damaged("index too large"))
    }

    /// A count of things of at least one byte each: never more than the bytes that are left.
    pub(super) fn count(&mut self) -> Result<usize, DbError> {
        let n = usize::try_from(self.var()?).map_err(|_| DbError::Damaged("count too large"))?;
        if n > self.bytes.len().saturating_sub(self.at) {
            return Err(DbError::Damaged("count beyond the end"));
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(values in proptest::collection::vec(any::<u64>(), 0..50), deltas in proptest::collection::vec(any::<i64>(), 0..50)) {
            let mut out = Vec::new();
            for v in &values { put_var(&mut out, *v); }
            for d in &deltas { put_delta(&mut out, *d); }
            let mut c = Cursor::new(&out, 0);
            for v in &values { prop_assert_eq!(c.var().unwrap(), *v); }
            for d in &deltas { prop_assert_eq!(c.delta().unwrap(), *d); }
            prop_assert!(c.var().is_err());
        }
    }
}
