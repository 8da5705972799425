//! Error codes of the OCI distribution specification ("Error codes") and of Docker's token protocol.

/// A code of the `errors` list. Its HTTP status is decided at the edge, in one exhaustive match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// Blob unknown to the repository.
    BlobUnknown,
    /// Blob upload invalid.
    BlobUploadInvalid,
    /// Blob upload unknown to the repository.
    BlobUploadUnknown,
    /// The given digest does not match, or is not a digest.
    DigestInvalid,
    /// The manifest refers to a blob or manifest unknown to the repository.
    ManifestBlobUnknown,
    /// Manifest invalid.
    ManifestInvalid,
    /// Manifest unknown to the repository.
    ManifestUnknown,
    /// Invalid repository name.
    NameInvalid,
    /// Repository name not known.
    NameUnknown,
    /// The length does not match the content, or is over a limit.
    SizeInvalid,
    /// A chunk's range does not follow what was received.
    RangeInvalid,
    /// Authentication required.
    Unauthorized,
    /// The caller may not do this.
    Denied,
    /// The operation or document is not supported.
    Unsupported,
    /// Too many requests, or a limit of the caller is reached.
    TooManyRequests,
    /// A tag is not of the grammar.
    TagInvalid,
    /// `n` is not a number.
    PaginationNumberInvalid,
    /// The server cannot do it now.
    Unavailable,
    /// Anything else.
    Unknown,
}

impl ErrorCode {
    /// The code as the specification spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::RangeInvalid => "RANGE_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Denied => "DENIED",
            Self::Unsupported => "UNSUPPORTED",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::TagInvalid => "TAG_INVALID",
            Self::PaginationNumberInvalid => "PAGINATION_NUMBER_INVALID",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unknown => "UNKNOWN",
        }
    }
}
