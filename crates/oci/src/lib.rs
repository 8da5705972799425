//! Protocol vocabulary of the OCI distribution and image specifications, sans-IO: every value is made only by
//! parsing, and nothing here reads a socket, a file or a clock.
//!
//! The server, the outbound client and the command line speak these types; one parser makes the `RepoName` that
//! authorisation and handler share.

pub mod descriptor;
pub mod digest;
pub mod error;
mod hash_kernel;
pub mod manifest;
pub mod media_type;
pub mod name;
mod object;
pub mod operation;
pub mod page;
pub mod range;
pub mod strict_json;
pub mod tag;
pub mod upload_id;

pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use error::ErrorCode;
pub use manifest::{Manifest, ManifestError, ManifestKind};
pub use media_type::MediaType;
pub use name::{NameError, ProjectName, RepoName};
pub use operation::{Method, Mount, Operation, OperationError};
pub use page::Page;
pub use range::{ByteRange, ContentRange, RangeError};
pub use tag::{Reference, Tag, TagError};
pub use upload_id::UploadId;
