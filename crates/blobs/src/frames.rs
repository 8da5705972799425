//! CRC32C checksums per 256 KiB frame of an object.
//!
//! They are made while the bytes stream in, kept in rows of their own, and let a server vouch for any range without
//! reading the whole object. CRC32C finds every single flipped bit and every burst up to 32 bits.

use std::ops::Range;

use crate::StateError;

/// Bytes per frame; the last frame of an object may be shorter.
pub const FRAME_BYTES: u64 = 256 * 1024;

/// [`FRAME_BYTES`] as a length.
pub(crate) const FRAME_LENGTH: usize = 256 * 1024;

/// How many frames an object of `size` bytes has; an empty one has none. Saturates far beyond any object's size.
pub fn frame_count(size: u64) -> u32 {
    u32::try_from(size.div_ceil(FRAME_BYTES)).unwrap_or(u32::MAX)
}

/// The end of the piece of a range that begins at `start`: the next multiple of [`FRAME_BYTES`] or `end`.
pub(crate) fn piece_end(start: u64, end: u64) -> u64 {
    (start / FRAME_BYTES + 1).saturating_mul(FRAME_BYTES).min(end)
}

/// A range cut at frame bounds.
pub(crate) fn pieces(range: Range<u64>) -> impl Iterator<Item = Range<u64>> + Send {
    let mut start = range.start;
    std::iter::from_fn(move || {
        let piece = start..piece_end(start, range.end);
        start = piece.end.max(start);
        (piece.start < piece.end).then_some(piece)
    })
}

/// Running frame checksums of a growing object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameSums {
    closed: Vec<u32>,
    open_sum: u32,
    open_length: usize,
}

impl FrameSums {
    /// Sums of an empty object.
    pub fn new() -> Self {
        Self::default()
    }

    /// Continues after `closed` whole frames and `open_length` bytes (less than a frame) whose sum is `open_sum`.
    pub(crate) fn resume(closed: Vec<u32>, open_sum: u32, open_length: usize) -> Result<Self, StateError> {
        if open_length >= FRAME_LENGTH || (open_length == 0 && open_sum != 0) {
            return Err(StateError::Contradiction);
        }
        Ok(Self { closed, open_sum, open_length })
    }

    /// Adds bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(FRAME_LENGTH - self.open_length));
            self.open_sum = crc32c::crc32c_append(self.open_sum, now);
            self.open_length += now.len();
            if self.open_length == FRAME_LENGTH {
                self.closed.push(self.open_sum);
                (self.open_sum, self.open_length) = (0, 0);
            }
            bytes = later;
        }
    }

    /// The sums of the whole frames so far.
    pub fn closed(&self) -> &[u32] {
        &self.closed
    }

    /// The sum of the frame that is not full yet, and its length in bytes.
    pub(crate) fn open(&self) -> (u32, usize) {
        (self.open_sum, self.open_length)
    }

    /// All sums, the last one of a frame that may be short.
    pub fn finish(mut self) -> Vec<u32> {
        if self.open_length > 0 {
            self.closed.push(self.open_sum);
        }
        self.closed
    }
}

/// Packs sums for a row: 4 bytes each, little endian.
pub fn frames_to_bytes(frames: &[u32]) -> Vec<u8> {
    frames.iter().flat_map(|sum| sum.to_le_bytes()).collect()
}

/// Unpacks sums; `None` when the length is not a multiple of 4.
pub fn frames_from_bytes(bytes: &[u8]) -> Option<Vec<u32>> {
    let (sums, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| sums.iter().map(|sum| u32::from_le_bytes(*sum)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_cover_exactly_the_object() {
        for (size, count) in [(0, 0), (1, 1), (FRAME_BYTES, 1), (FRAME_BYTES + 1, 2)] {
            assert_eq!(frame_count(size), count);
            let mut sums = FrameSums::new();
            sums.update(&vec![7; usize::try_from(size).unwrap()]);
            assert_eq!(sums.finish().len(), usize::try_from(count).unwrap());
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_sums(length in 0_usize..600_000, cuts in prop::collection::vec(0_usize..600_000, 0..8)) {
            let bytes: Vec<u8> = (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let mut whole = FrameSums::new();
            whole.update(&bytes);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(length)).collect();
            cuts.extend([0, length]);
            cuts.sort_unstable();
            let mut split = FrameSums::new();
            for pair in cuts.windows(2) {
                split.update(&bytes[pair[0]..pair[1]]);
                let (sum, open) = split.open();
                split = FrameSums::resume(split.closed().to_vec(), sum, open).unwrap();
            }
            let (whole, split) = (whole.finish(), split.finish());
            prop_assert_eq!(&whole, &split);
            prop_assert_eq!(frames_from_bytes(&frames_to_bytes(&whole)), Some(whole));
        }
    }
}
