//! The texts of advisories in compressed blocks: alike texts together are small, and one is read without the others.

use super::bytes::put_u32;
use super::segment::Details;

/// Details are compressed in blocks of about this size.
const BLOCK_BYTES: usize = 192 << 10;
/// zstd level for details: built once, read often.
const LEVEL: i32 = 12;

/// Details, compressed together.
#[derive(Default)]
pub(super) struct Blocks {
    starts: Vec<u8>,
    bytes: Vec<u8>,
    open: Vec<u8>,
    count: u32,
}

impl Blocks {
    /// Takes an advisory's details; answers block, start and length.
    pub(super) fn add(&mut self, details: &Details) -> (u32, u32, u32) {
        let start = self.open.len();
        // Writing to a Vec cannot fail, and Details has only string keys.
        let _ = serde_json::to_writer(&mut self.open, details);
        let place = (
            self.count,
            u32::try_from(start).unwrap_or(u32::MAX),
            u32::try_from(self.open.len() - start).unwrap_or(0),
        );
        if self.open.len() >= BLOCK_BYTES {
            self.close();
        }
        place
    }

    fn close(&mut self) {
        put_u32(&mut self.starts, u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
        if let Ok(block) = zstd::bulk::compress(&self.open, LEVEL) {
            self.bytes.extend(block);
        }
        self.open.clear();
        self.count += 1;
    }

    /// Where each block starts, and the blocks.
    pub(super) fn finish(mut self) -> (Vec<u8>, Vec<u8>) {
        if !self.open.is_empty() {
            self.close();
        }
        put_u32(&mut self.starts, u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
        (self.starts, self.bytes)
    }
}
