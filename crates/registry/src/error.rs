//! What a use case answers when it does not succeed. The edge maps it, exhaustively and in one file, to the wire of
//! the distribution API and of the native API.

use std::time::Duration;

use metadata::{CommitError, StoreError};
use oci::{Digest, ManifestError};

/// Why a caller may not do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not signed in: 401 with a challenge for `scope` (empty: for nothing in particular).
    SignIn {
        /// Scope to ask a token for.
        scope: String,
    },
    /// The caller's own rights would do, its token's scope does not: 401 with `insufficient_scope`.
    InsufficientScope {
        /// Scope to ask a token for.
        scope: String,
    },
    /// May not know that it exists: answered as a name that does not exist.
    Hidden,
    /// May read but not do this: 403.
    Denied {
        /// For the person.
        reason: String,
    },
}

/// Why a use case did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller may not.
    #[error("refused")]
    Refused(Refusal),
    /// Name, password or token are wrong.
    #[error("invalid credentials")]
    InvalidCredentials,
    /// Too many wrong passwords.
    #[error("too many failed attempts; try again in {} seconds", retry_after.as_secs())]
    TooManyAttempts {
        /// When to try again.
        retry_after: Duration,
    },
    /// The repository does not exist or holds nothing.
    #[error("repository name not known to registry")]
    NameUnknown,
    /// The manifest is not in the repository.
    #[error("manifest unknown to registry")]
    ManifestUnknown,
    /// The blob is not in the repository.
    #[error("blob unknown to registry")]
    BlobUnknown,
    /// The upload session is not in the repository.
    #[error("blob upload unknown to registry")]
    UploadUnknown,
    /// A chunk does not follow what was received; `received` bytes are there.
    #[error("the chunk does not follow the {received} bytes received")]
    RangeInvalid {
        /// Bytes received and kept.
        received: u64,
    },
    /// The content does not have the digest that was stated.
    #[error("content does not match the digest `{expected}`")]
    DigestMismatch {
        /// The stated digest.
        expected: Digest,
    },
    /// The body has another length than was stated, or is over a limit.
    #[error("{0}")]
    Size(String),
    /// Over a limit: 413.
    #[error("{0}")]
    TooLarge(String),
    /// The document is no manifest.
    #[error(transparent)]
    ManifestInvalid(#[from] ManifestError),
    /// The manifest refers to blobs or manifests that are not in the repository, or states a wrong size for them.
    #[error("manifest refers to content that is not in the repository")]
    ManifestReferences(Vec<MissingReference>),
    /// A live manifest refers to the blob.
    #[error("manifest `{by}` refers to this blob; delete it first")]
    BlobInUse {
        /// The manifest.
        by: Digest,
    },
    /// The request contradicts the state, in words for the caller.
    #[error("{0}")]
    Conflict(String),
    /// A value of the request is malformed, in words for the caller.
    #[error("{0}")]
    Invalid(String),
    /// A thing of the administration API does not exist.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// A limit of the caller is reached.
    #[error("{0}")]
    LimitReached(String),
    /// No space left.
    #[error("no space left on the registry's storage")]
    NoSpace,
    /// Cannot be done now: 503.
    #[error("the registry cannot do this now")]
    Unavailable,
    /// The client did not send the whole body.
    #[error("the request's body ended early")]
    BodyIncomplete,
    /// Stored bytes are not what they were.
    #[error("stored content is damaged and was taken out of service; push it again")]
    Corrupt,
    /// Blob storage is not that of the database, in words for the operator.
    #[error("{0}")]
    WrongStorage(String),
    /// A defect or a broken store; the text is for the log.
    #[error("internal error")]
    Internal(String),
}

/// A reference of a manifest that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingReference {
    /// What it refers to.
    pub digest: Digest,
    /// What is wrong: `unknown`, or the size that the blob really has.
    pub problem: String,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { reason } => {
                tracing::warn!(reason, "metadata store unavailable");
                Self::Unavailable
            }
            StoreError::NoSpace => Self::NoSpace,
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict { step, .. } => {
                tracing::warn!(step, "gave up after repeated conflicts");
                Self::Unavailable
            }
            CommitError::Unavailable { reason, .. } => {
                tracing::warn!(reason, "metadata store unavailable");
                Self::Unavailable
            }
            CommitError::NoSpace => Self::NoSpace,
            CommitError::Inconsistent { what } => Self::Internal(what),
        }
    }
}
