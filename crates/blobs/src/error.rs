//! What can go wrong with blob storage, in terms of what the caller can do about it.

use std::io;

use crate::BlobKey;

/// An error of blob storage. "Not found" is not among them: look-ups answer `None`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// The disk, volume or bucket quota is full; what the failed write had taken is free again. Answer 507.
    #[error("no space left in blob storage")]
    NoSpace,
    /// `begin` on a key that has an object. Keys are used once: a caller's mistake, or a lost answer to `begin`.
    #[error("blob {key} exists already")]
    Exists {
        /// The key.
        key: BlobKey,
    },
    /// Another writer holds this object open. Retry later.
    #[error("blob {key} is being written elsewhere")]
    Busy {
        /// The key.
        key: BlobKey,
    },
    /// The bytes below the saved state's offset are not there any more (power cut, deletion). The client restarts the upload.
    #[error("blob {key} has lost bytes below offset {offset}")]
    Lost {
        /// The key.
        key: BlobKey,
        /// The offset that the state promised.
        offset: u64,
    },
    /// The saved state cannot be used. The client restarts the upload.
    #[error("saved upload state is not usable")]
    State(#[from] StateError),
    /// The object's length is not that of the bytes written to it; it was discarded.
    #[error("blob {key} has {found} bytes, {expected} were written")]
    Length {
        /// The key.
        key: BlobKey,
        /// Bytes written.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// A frame's bytes do not match their checksum. Cut the transfer, quarantine the object.
    #[error("blob {key} is corrupt in frame {frame}")]
    Corrupt {
        /// The key.
        key: BlobKey,
        /// Index of the 256 KiB frame.
        frame: u32,
    },
    /// The object ends before its recorded size. Cut the transfer, quarantine the object.
    #[error("blob {key} ends early, at byte {at}")]
    Truncated {
        /// The key.
        key: BlobKey,
        /// The first byte that is missing.
        at: u64,
    },
    /// The frame checksums could not be loaded, so the bytes cannot be vouched for.
    #[error("frame checksums are not available")]
    Frames(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The writer failed or was rolled back before; it takes nothing more.
    #[error("blob writer is closed after a failure")]
    Closed,
    /// The upload memory stayed exhausted for the whole wait. Answer 503 with Retry-After.
    #[error("upload memory is exhausted")]
    Overloaded,
    /// The remote store does not answer usefully after bounded retries. Answer 503.
    #[error("blob storage is unavailable: {operation}")]
    Unavailable {
        /// What was tried.
        operation: &'static str,
        /// The last failure.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The place cannot be used as blob storage; the text is one actionable line for the operator.
    #[error("{0}")]
    Unfit(String),
    /// Any other failure of the operating system.
    #[error("blob storage failed: {operation}")]
    Io {
        /// The system call or step.
        operation: &'static str,
        /// Its error.
        #[source]
        source: io::Error,
    },
}

impl BlobError {
    /// Maps an operating system error: a full disk or quota is [`BlobError::NoSpace`].
    pub(crate) fn io(operation: &'static str, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            _ => Self::Io { operation, source },
        }
    }

    /// Whether the stored bytes themselves are wrong, so that the object belongs into quarantine.
    pub fn is_corruption(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::Truncated { .. })
    }
}

/// Why saved bytes are not a state of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Shorter than its fields, or with bytes left over.
    #[error("saved state has a wrong length")]
    Length,
    /// Its checksum does not match.
    #[error("saved state is damaged")]
    Checksum,
    /// Made by a version or kind that this one does not read.
    #[error("saved state has an unknown version or kind")]
    Version,
    /// A field contradicts another or its limit.
    #[error("saved state contradicts itself")]
    Contradiction,
    /// Made by another kind of store than it is given to.
    #[error("saved state belongs to another kind of store")]
    Store,
}
