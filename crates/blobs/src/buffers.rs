//! Read buffers of one frame, used again and again.
//!
//! A fresh 256 KiB allocation costs more than the read itself: the allocator maps and clears pages for it each time.
//! Invariant: the pool keeps at most `MOST_IDLE` buffers; a buffer goes back when the last `Bytes` of it is dropped.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::frames::FRAME_LENGTH;

/// Idle buffers kept (4 MiB).
const MOST_IDLE: usize = 16;
/// Below this a plain allocation is cheaper than a pooled one.
const SMALL: usize = 32 * 1024;

/// A pool of frame buffers. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffers {
    idle: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// A buffer of a wanted length, with arbitrary content.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    length: usize,
    pool: Option<Buffers>,
}

impl Buffers {
    /// A buffer of `length` bytes.
    pub(crate) fn take(&self, length: usize) -> Buffer {
        if length <= SMALL || length > FRAME_LENGTH {
            return Buffer { bytes: vec![0; length], length, pool: None };
        }
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bytes = idle.unwrap_or_else(|| vec![0; FRAME_LENGTH]);
        Buffer { bytes, length, pool: Some(self.clone()) }
    }

    fn give_back(&self, bytes: Vec<u8>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_IDLE {
            idle.push(bytes);
        }
    }
}

impl Buffer {
    /// The bytes to fill.
    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.length]
    }

    /// The filled buffer as shared bytes.
    pub(crate) fn freeze(mut self) -> Bytes {
        if self.pool.is_some() {
            Bytes::from_owner(self)
        } else {
            Bytes::from(std::mem::take(&mut self.bytes))
        }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.give_back(std::mem::take(&mut self.bytes));
        }
    }
}
