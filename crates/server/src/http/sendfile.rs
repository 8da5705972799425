//! File ranges that the kernel sends itself, by `sendfile(2)`, under an unpatched hyper.
//!
//! Why: copying a layer from the page cache into the process and back into the kernel costs half of the CPU of a pull.
//! hyper has no file bodies, but it hands the `Bytes` of a body to the transport uncopied. So a body is made of slices of
//! a memory map that nobody reads, and the transport, which knows the addresses of its connection's maps, sends from the
//! file instead. Whoever else reads such `Bytes` – TLS, HTTP/2 – reads the right bytes from the map: sending from the
//! file is an optimisation, never a condition.
//!
//! Invariants: a range leaves the table before its map is gone, or a later buffer at the same address would be taken for
//! it; a slice is handed to hyper only when its pages are in memory, or the disk would stall the connections that share
//! the thread; files are never written or cut in place while they have a key (`blobs::fs`).

use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use rustix::io::Errno;
use rustix::net::SendFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// From this length on, a map costs less than the copies that it saves.
pub const WORTH_BYTES: u64 = 512 * 1024;
/// What is handed to hyper, and to the kernel, at once.
const SLICE_BYTES: usize = 2 << 20;
/// What is read at once where the kernel cannot send from the file, and to bring cold pages into memory.
const COPY_BYTES: usize = 256 * 1024;

/// The mapped ranges whose bytes may still be on their way to one connection.
#[derive(Debug, Default)]
pub struct FileRanges {
    count: AtomicUsize,
    ranges: Mutex<Vec<MappedRange>>,
}

/// Where a part of a file lies in memory.
#[derive(Debug, Clone)]
struct MappedRange {
    start: usize,
    length: usize,
    file: Arc<File>,
    offset: u64,
}

/// The owner of a map's `Bytes`.
struct Mapped {
    map: memmap2::Mmap,
    table: Arc<FileRanges>,
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        let start = self.map.as_ptr().addr();
        let mut ranges = self.table.lock();
        ranges.retain(|range| range.start != start);
        self.table.count.store(ranges.len(), Ordering::Relaxed);
    }
}

impl FileRanges {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<MappedRange>> {
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of a range of a file, for a body on this connection.
    pub fn body(
        self: &Arc<Self>,
        file: &Arc<File>,
        range: Range<u64>,
    ) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static + use<>> {
        let bytes = self.map(file, &range)?;
        let state = (bytes, Arc::clone(file), range.start);
        Ok(futures_util::stream::try_unfold(state, |(mut rest, file, at)| async move {
            if rest.is_empty() {
                return Ok(None);
            }
            let slice = rest.split_to(rest.len().min(SLICE_BYTES));
            let length = slice.len();
            if !resident(&slice) {
                let file = Arc::clone(&file);
                tokio::task::spawn_blocking(move || warm(&file, at, length)).await??;
            }
            Ok(Some((slice, (rest, file, at + length as u64))))
        }))
    }

    fn map(self: &Arc<Self>, file: &Arc<File>, range: &Range<u64>) -> io::Result<Bytes> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
        #[expect(unsafe_code, reason = "mapping a file")]
        // SAFETY: read-only, and files with a key are immutable until they are unlinked, which leaves the map whole.
        let map = unsafe { memmap2::MmapOptions::new().offset(range.start).len(length).map(&**file)? };
        let start = map.as_ptr().addr();
        let mut ranges = self.lock();
        ranges.push(MappedRange { start, length, file: Arc::clone(file), offset: range.start });
        self.count.store(ranges.len(), Ordering::Relaxed);
        drop(ranges);
        Ok(Bytes::from_owner(Mapped { map, table: Arc::clone(self) }))
    }

    /// The file and the place in it that these bytes are mapped from.
    fn find(&self, bytes: &[u8]) -> Option<(Arc<File>, u64)> {
        let start = bytes.as_ptr().addr();
        let ranges = self.lock();
        let inside = |range: &&MappedRange| {
            start.checked_sub(range.start).is_some_and(|from| from + bytes.len() <= range.length)
        };
        let found = ranges.iter().find(inside)?;
        Some((Arc::clone(&found.file), found.offset + (start - found.start) as u64))
    }

    /// Writes the first of these buffers, from its file where it has one; `None` when none of them has.
    pub(super) fn poll_write(
        &self,
        socket: &TcpStream,
        bufs: &[IoSlice<'_>],
        context: &mut Context<'_>,
    ) -> Option<Poll<io::Result<usize>>> {
        if self.count.load(Ordering::Relaxed) == 0 || bufs.iter().all(|buf| self.find(buf).is_none()) {
            return None;
        }
        let first = bufs.iter().find(|buf| !buf.is_empty())?;
        let from = self.find(first);
        Some(poll_io(socket, context, || match &from {
            // The head of the answer: its body follows at once, so the kernel may wait for it.
            None => Ok(rustix::net::send(socket, first, SendFlags::MORE | SendFlags::NOSIGNAL)?),
            Some((file, offset)) => send(socket, file, *offset, first.len()),
        }))
    }
}

fn poll_io(
    socket: &TcpStream,
    context: &mut Context<'_>,
    mut write: impl FnMut() -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(socket.poll_write_ready(context))?;
        match socket.try_io(Interest::WRITABLE, &mut write) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return Poll::Ready(result),
        }
    }
}

fn send(socket: &TcpStream, file: &File, offset: u64, length: usize) -> io::Result<usize> {
    let mut at = offset;
    match rustix::fs::sendfile(socket, file, Some(&mut at), length.min(SLICE_BYTES)) {
        // The file is shorter than its row says: only a cut connection tells the client.
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(sent) => Ok(sent),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            let mut copy = vec![0; length.min(COPY_BYTES)];
            let read = file.read_at(&mut copy, offset)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok(rustix::net::send(socket, copy.get(..read).unwrap_or_default(), SendFlags::NOSIGNAL)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether all pages of a slice of a map are in memory. Where that cannot be told, they are read.
fn resident(slice: &[u8]) -> bool {
    let page = rustix::param::page_size();
    let start = slice.as_ptr().addr();
    let before = start % page;
    let length = before + slice.len();
    let mut pages = [0_u8; SLICE_BYTES / 4096 + 2];
    let count = length.div_ceil(page);
    if count > pages.len() {
        return false;
    }
    #[expect(unsafe_code, reason = "asking for the residency of a map")]
    // SAFETY: the pages lie in the map that `slice` borrows, and `pages` has a byte for each of them.
    let answer = unsafe {
        let first = slice.as_ptr().wrapping_sub(before).cast_mut().cast();
        libc::mincore(first, length, pages.as_mut_ptr())
    };
    answer == 0 && pages.iter().take(count).all(|state| state & 1 == 1)
}

/// Brings a part of a file into memory; blocks.
fn warm(file: &File, offset: u64, length: usize) -> io::Result<()> {
    let ahead = std::num::NonZeroU64::new(2 * SLICE_BYTES as u64);
    // Advice only: a file system that does not take it reads as before.
    let _ = rustix::fs::fadvise(file, offset, ahead, rustix::fs::Advice::WillNeed);
    let mut bin = vec![0; COPY_BYTES.min(length)];
    let mut done = 0;
    while done < length {
        let wanted = bin.len().min(length - done);
        let Some(part) = bin.get_mut(..wanted) else { break };
        match file.read_at(part, offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use futures_util::TryStreamExt as _;

    use super::*;

    fn file(length: usize) -> (Arc<File>, Vec<u8>) {
        let content: Vec<u8> = (0..length).map(|at| u8::try_from(at * 31 % 251).unwrap_or(0)).collect();
        let mut file = tempfile::tempfile().expect("file");
        file.write_all(&content).expect("content");
        (Arc::new(file), content)
    }

    #[tokio::test]
    async fn whoever_reads_the_bytes_reads_the_file() {
        let (file, content) = file(5_000_000);
        let table = Arc::new(FileRanges::default());
        for range in [0..5_000_000, 1..4_999_999, 4096..8192, 4097..4098] {
            let slices: Vec<Bytes> =
                table.body(&file, range.clone()).expect("map").try_collect().await.expect("read");
            let bounds =
                usize::try_from(range.start).expect("start")..usize::try_from(range.end).expect("end");
            assert_eq!(slices.concat(), &content[bounds], "{range:?}");
        }
        assert_eq!(table.count.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_range_is_known_by_its_addresses_until_its_last_bytes_are_gone() {
        let (file, _) = file(3_000_000);
        let table = Arc::new(FileRanges::default());
        let mut slices: Vec<Bytes> =
            table.body(&file, 100_000..2_900_000).expect("map").try_collect().await.expect("read");
        assert_eq!(slices.len(), 2);
        assert_eq!(table.find(&slices[0][5..]).expect("known").1, 100_005);
        assert_eq!(table.find(&slices[1]).expect("known").1, 100_000 + SLICE_BYTES as u64);
        assert!(table.find(b"elsewhere").is_none());
        slices.remove(0);
        assert_eq!(table.count.load(Ordering::Relaxed), 1);
        slices.clear();
        assert_eq!(table.count.load(Ordering::Relaxed), 0);
    }
}
