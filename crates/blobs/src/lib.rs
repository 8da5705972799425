//! Blob storage: where the bytes of layers, configs and checkpoints lie.
//!
//! The crate knows objects, not digests' meaning: a caller gives a generation-unique [`BlobKey`], streams bytes into it
//! and, once [`Ingest::finish`] has returned, may name the object in a database row. Invariants kept here:
//!
//! - *Bytes, then rows*: `finish` returns only after the bytes and the object's name are durable. Nothing is renamed or
//!   copied; the object lies at its final place from its first byte, and only a row makes it visible.
//! - *A pause survives kill -9*: the saved state and the bytes below its offset continue in any later process.
//! - *Failure returns the space*: an upload that fails or is dropped leaves nothing beyond its last saved state.
//! - *A flipped bit does not leave as a whole answer*: [`verify`] checks 256 KiB frames against stored checksums.
//! - *Memory is bounded*: all uploads share one [`Budget`]; over it they wait, and then fail with a typed error.
//!
//! Start with [`Ingest`] for writing, [`BlobReader`] for reading, and [`BlobStore`] for the contract that every
//! implementation and wrapper keeps; [`suite`] executes that contract.

mod budget;
mod buffers;
mod busy;
mod codec;
mod error;
mod frames;
pub mod fs;
mod hooked;
mod ingest;
mod key;
pub mod memory;
pub mod remote;
pub mod scrub;
mod state;
mod store;
pub mod suite;
pub mod verify;

pub use budget::{Budget, Permit};
pub use error::{BlobError, StateError};
pub use frames::{FRAME_BYTES, FrameSums, frame_count, frames_from_bytes, frames_to_bytes};
pub use fs::FsBlobs;
pub use hooked::{Failure, Fault, HookedBlobs, Operation};
pub use ingest::{Ingest, IngestError, IngestState, Ingested};
pub use key::{BlobKey, KeyError, Series};
pub use memory::MemoryBlobs;
pub use remote::{AzureConfig, RemoteBlobs, S3Config, S3Credentials};
pub use state::WriteState;
pub use store::{
    BlobObject, BlobStore, BlobWriter, BoxFuture, BoxStream, Capabilities, FreeSpace, Listed, LocalStore,
    Presign, Stamp, Stat, SyncWriter, Unfinished, Written,
};
pub use verify::{BlobBody, BlobReader, FrameChecks, FrameSource, OpenBlob};
