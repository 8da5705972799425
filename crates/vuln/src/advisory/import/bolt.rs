//! Reading a bbolt file (Trivy's published database) from bytes.
//!
//! Layout as bbolt writes it: pages of a fixed size, two meta pages, B+ trees of buckets; a bucket's value is its root
//! page, or 0 and an inline page. Every offset is checked against the file; depth and count are bounded, so a file that
//! points in circles ends.

const MAGIC: u32 = 0xED0C_DAED;
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const BUCKET: u32 = 0x01;
const HEADER: usize = 16;
const ELEMENT: usize = 16;
const MAX_DEPTH: u32 = 64;
/// Most pages visited: a circle in the file cannot hold us.
const MAX_VISITS: u64 = 50_000_000;

/// A damaged file.
#[derive(Debug, thiserror::Error)]
#[error("bolt file is damaged: {0}")]
pub(super) struct BoltError(&'static str);

pub(super) fn is_bolt(bytes: &[u8]) -> bool {
    u32_at(bytes, HEADER) == Some(MAGIC)
}

fn u16_at(b: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(b.get(at..at.checked_add(2)?)?.try_into().ok()?))
}
fn u32_at(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(b.get(at..at.checked_add(4)?)?.try_into().ok()?))
}
fn u64_at(b: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(b.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// An open file.
pub(super) struct Bolt<'a> {
    bytes: &'a [u8],
    page_size: usize,
    root: u64,
}

/// A value: a bucket to descend into, or bytes.
pub(super) enum Value<'a> {
    /// A bucket.
    Bucket(Bucket<'a>),
    /// Plain bytes.
    Bytes(&'a [u8]),
}

/// A bucket's root.
#[derive(Clone, Copy)]
pub(super) enum Bucket<'a> {
    /// On a page.
    Page(u64),
    /// In the parent's value.
    Inline(&'a [u8]),
}

impl<'a> Bolt<'a> {
    /// Opens a file by the newer of its two meta pages.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, BoltError> {
        let meta = |at: usize| -> Option<(u64, usize, u64)> {
            (u32_at(bytes, at + HEADER)? == MAGIC).then_some(())?;
            Some((
                u64_at(bytes, at + HEADER + 48)?,
                u32_at(bytes, at + HEADER + 8)? as usize,
                u64_at(bytes, at + HEADER + 16)?,
            ))
        };
        let first = meta(0).ok_or(BoltError("no meta page"))?;
        let page_size = first.1;
        if !(512..=1 << 20).contains(&page_size) {
            return Err(BoltError("page size"));
        }
        let newest = match meta(page_size) {
            Some(second) if second.0 > first.0 => second,
            _ => first,
        };
        Ok(Self { bytes, page_size, root: newest.2 })
    }

    /// The root bucket.
    pub(super) fn root(&self) -> Bucket<'a> {
        Bucket::Page(self.root)
    }

    fn page(&self, id: u64) -> Result<&'a [u8], BoltError> {
        let start = usize::try_from(id)
            .ok()
            .and_then(|i| i.checked_mul(self.page_size))
            .ok_or(BoltError("page id"))?;
        let overflow =
            u32_at(self.bytes, start.saturating_add(12)).ok_or(BoltError("page beyond the end"))? as usize;
        let length = (overflow + 1).checked_mul(self.page_size).ok_or(BoltError("overflow"))?;
        let end = start.checked_add(length).ok_or(BoltError("overflow"))?.min(self.bytes.len());
        self.bytes.get(start..end).ok_or(BoltError("page beyond the end"))
    }

    /// Visits the keys of a bucket in order.
    pub(super) fn each(
        &self,
        bucket: Bucket<'a>,
        visit: &mut dyn FnMut(&'a [u8], Value<'a>) -> Result<(), BoltError>,
    ) -> Result<(), BoltError> {
        let mut visits = 0;
        match bucket {
            Bucket::Page(id) => self.walk(self.page(id)?, 0, &mut visits, visit),
            Bucket::Inline(page) => self.walk(page, 0, &mut visits, visit),
        }
    }

    fn walk(
        &self,
        page: &'a [u8],
        depth: u32,
        visits: &mut u64,
        visit: &mut dyn FnMut(&'a [u8], Value<'a>) -> Result<(), BoltError>,
    ) -> Result<(), BoltError> {
        *visits += 1;
        if depth > MAX_DEPTH || *visits > MAX_VISITS {
            return Err(BoltError("pages in a circle"));
        }
        let short = || BoltError("page too short");
        let flags = u16_at(page, 8).ok_or_else(short)?;
        let count = u16_at(page, 10).ok_or_else(short)?;
        for index in 0..usize::from(count) {
            let at = HEADER + index * ELEMENT;
            if flags & BRANCH != 0 {
                let child = u64_at(page, at + 8).ok_or_else(short)?;
                self.walk(self.page(child)?, depth + 1, visits, visit)?;
                continue;
            }
            if flags & LEAF == 0 {
                return Err(BoltError("neither branch nor leaf"));
            }
            let field = |n: usize| u32_at(page, at + n).ok_or_else(short);
            let (kind, pos, ksize, vsize) =
                (field(0)?, field(4)? as usize, field(8)? as usize, field(12)? as usize);
            let start = at.checked_add(pos).ok_or_else(short)?;
            let middle = start.checked_add(ksize).ok_or_else(short)?;
            let end = middle.checked_add(vsize).ok_or_else(short)?;
            let (key, value) =
                (page.get(start..middle).ok_or_else(short)?, page.get(middle..end).ok_or_else(short)?);
            let value = if kind & BUCKET == 0 {
                Value::Bytes(value)
            } else {
                match u64_at(value, 0).ok_or_else(short)? {
                    0 => Value::Bucket(Bucket::Inline(value.get(16..).ok_or_else(short)?)),
                    root => Value::Bucket(Bucket::Page(root)),
                }
            };
            visit(key, value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
    fn leaf(entries: &[(u32, &[u8], Vec<u8>)]) -> Vec<u8> {
        let mut page = vec![0; HEADER];
        page[8..10].copy_from_slice(&LEAF.to_le_bytes());
        page[10..12].copy_from_slice(&u16::try_from(entries.len()).expect("few").to_le_bytes());
        let mut data = Vec::new();
        for (index, (kind, key, value)) in entries.iter().enumerate() {
            let pos = (entries.len() - index) * ELEMENT + data.len();
            for word in [*kind, pos as u32, key.len() as u32, value.len() as u32] {
                page.extend(word.to_le_bytes());
            }
            data.extend_from_slice(key);
            data.extend(value);
        }
        page.extend(data);
        page
    }

    fn bucket(entries: &[(u32, &[u8], Vec<u8>)]) -> Vec<u8> {
        let mut value = vec![0; 16];
        value.extend(leaf(entries));
        value
    }

    /// A file as bbolt writes it: `alpine 3.10` → `musl` → `CVE-2019-14697` and a details bucket.
    pub(in super::super) fn sample() -> Vec<u8> {
        let advisory = (0, &b"CVE-2019-14697"[..], br#"{"FixedVersion":"1.1.22-r3"}"#.to_vec());
        let musl = bucket(&[advisory]);
        let detail = (0, &b"CVE-2019-14697"[..], br#"{"Title":"musl","Severity":"CRITICAL"}"#.to_vec());
        let root = leaf(&[
            (BUCKET, b"alpine 3.10", bucket(&[(BUCKET, b"musl", musl)])),
            (BUCKET, b"vulnerability", bucket(&[detail])),
        ]);
        let mut file = Vec::new();
        for id in 0..2u64 {
            let mut page = vec![0; 4096];
            page[..8].copy_from_slice(&id.to_le_bytes());
            page[8..10].copy_from_slice(&4u16.to_le_bytes());
            page[16..20].copy_from_slice(&MAGIC.to_le_bytes());
            page[20..24].copy_from_slice(&2u32.to_le_bytes());
            page[24..28].copy_from_slice(&4096u32.to_le_bytes());
            page[32..40].copy_from_slice(&2u64.to_le_bytes());
            page[64..72].copy_from_slice(&id.to_le_bytes());
            file.extend(page);
        }
        let mut page = root;
        page.resize(4096, 0);
        file.extend(page);
        file
    }

    #[test]
    fn a_damaged_file_is_refused_without_panic() {
        let good = sample();
        for cut in (0..good.len()).step_by(97) {
            if let Ok(bolt) = Bolt::open(&good[..cut]) {
                let _ = bolt.each(bolt.root(), &mut |_, _| Ok(()));
            }
        }
        let mut circle = good;
        circle[8192 + 8..8192 + 10].copy_from_slice(&BRANCH.to_le_bytes());
        circle[8192 + 24..8192 + 32].copy_from_slice(&2u64.to_le_bytes());
        let bolt = Bolt::open(&circle).expect("meta is fine");
        assert!(bolt.each(bolt.root(), &mut |_, _| Ok(())).is_err());
    }
}
