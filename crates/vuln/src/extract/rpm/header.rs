//! An rpm header: an index of (tag, type, offset, count) over a store of values, all big-endian.

pub(super) const NAME: u32 = 1000;
pub(super) const VERSION: u32 = 1001;
pub(super) const RELEASE: u32 = 1002;
pub(super) const EPOCH: u32 = 1003;
pub(super) const VENDOR: u32 = 1011;
pub(super) const LICENSE: u32 = 1014;
pub(super) const ARCH: u32 = 1022;
pub(super) const SOURCE_RPM: u32 = 1044;
pub(super) const PROVIDE_NAME: u32 = 1047;
pub(super) const REQUIRE_NAME: u32 = 1049;
pub(super) const DIR_INDEXES: u32 = 1116;
pub(super) const BASE_NAMES: u32 = 1117;
pub(super) const DIR_NAMES: u32 = 1118;
pub(super) const MODULARITY_LABEL: u32 = 5096;

const INDEX_ENTRY: usize = 16;
const TYPE_INT32: u32 = 4;
const TYPE_STRING: u32 = 6;
const TYPE_STRING_ARRAY: u32 = 8;
const TYPE_I18N_STRING: u32 = 9;

/// A view of a header blob.
pub(super) struct Header<'b> {
    index: &'b [u8],
    store: &'b [u8],
}

pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let four: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(u32::from_be_bytes(four))
}

impl<'b> Header<'b> {
    /// The blob is: number of index entries, bytes of the store, index, store.
    pub(super) fn parse(blob: &'b [u8]) -> Option<Self> {
        let entries = usize::try_from(be32(blob, 0)?).ok()?;
        let store_len = usize::try_from(be32(blob, 4)?).ok()?;
        let index_end = 8_usize.checked_add(entries.checked_mul(INDEX_ENTRY)?)?;
        let index = blob.get(8..index_end)?;
        let store = blob.get(index_end..index_end.checked_add(store_len)?)?;
        (entries > 0).then_some(Self { index, store })
    }

    fn find(&self, tag: u32) -> Option<(u32, &'b [u8], usize)> {
        self.index.chunks_exact(INDEX_ENTRY).find(|entry| be32(entry, 0) == Some(tag)).and_then(|entry| {
            let offset = usize::try_from(be32(entry, 8)?).ok()?;
            let count = usize::try_from(be32(entry, 12)?).ok()?;
            Some((be32(entry, 4)?, self.store.get(offset..)?, count))
        })
    }

    /// The first string of a tag.
    pub(super) fn string(&self, tag: u32) -> Option<String> {
        let (kind, data, _) = self.find(tag)?;
        matches!(kind, TYPE_STRING | TYPE_STRING_ARRAY | TYPE_I18N_STRING).then_some(())?;
        let first = data.split(|byte| *byte == 0).next()?;
        (!first.is_empty()).then(|| String::from_utf8_lossy(first).into_owned())
    }

    /// All strings of a tag.
    pub(super) fn strings(&self, tag: u32) -> Vec<String> {
        match self.find(tag) {
            Some((TYPE_STRING | TYPE_STRING_ARRAY, data, count)) => {
                // The count is stated by the file; the store bounds what is really there.
                data.split(|byte| *byte == 0)
                    .take(count.min(data.len()))
                    .map(|text| String::from_utf8_lossy(text).into_owned())
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    /// The first number of a tag.
    pub(super) fn number(&self, tag: u32) -> Option<u32> {
        match self.find(tag)? {
            (TYPE_INT32, data, _) => be32(data, 0),
            _ => None,
        }
    }

    /// All numbers of a tag.
    pub(super) fn numbers(&self, tag: u32) -> Vec<u32> {
        match self.find(tag) {
            Some((TYPE_INT32, data, count)) => {
                data.chunks_exact(4).take(count).filter_map(|chunk| be32(chunk, 0)).collect()
            }
            _ => Vec::new(),
        }
    }
}
