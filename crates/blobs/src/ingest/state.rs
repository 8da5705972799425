//! The saved state of an upload: hash, checksums, and where its object stands.

use oci::{Algorithm, Hasher};

use crate::codec::{Decoder, Encoder};
use crate::frames::{FRAME_BYTES, FrameSums, frames_from_bytes, frames_to_bytes};
use crate::{BlobError, StateError, WriteState};

const MAGIC: u8 = b'i';
const VERSION: u8 = 1;

/// What the upload session's row keeps between two requests. Any replica continues from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestState {
    pub(super) algorithm: Algorithm,
    pub(super) hash: Vec<u8>,
    pub(super) sums: FrameSums,
    pub(super) write: WriteState,
}

impl IngestState {
    /// Bytes received so far: where the client goes on.
    pub fn offset(&self) -> u64 {
        self.write.offset()
    }

    /// Where the object stands; `BlobStore::abort` takes it.
    pub fn write_state(&self) -> &WriteState {
        &self.write
    }

    /// The form to store: some 200 bytes, and 4 per whole frame (16 KiB per GiB received).
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Encoder::new(MAGIC, VERSION);
        out.bytes(self.algorithm.name().as_bytes());
        out.bytes(&self.hash);
        let (open_sum, open_length) = self.sums.open();
        out.u32(open_sum);
        out.u64(open_length as u64);
        out.bytes(&frames_to_bytes(self.sums.closed()));
        out.bytes(&self.write.to_bytes());
        out.seal()
    }

    /// The algorithm that the bytes are hashed with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Reads the stored form. Damaged, cut, foreign or contradicting bytes are [`BlobError::State`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BlobError> {
        let mut fields = Decoder::new(bytes, MAGIC, VERSION)?;
        let algorithm = match fields.bytes()? {
            b"sha256" => Algorithm::Sha256,
            b"sha512" => Algorithm::Sha512,
            _ => return Err(StateError::Version.into()),
        };
        let hash = fields.bytes()?.to_vec();
        let open_sum = fields.u32()?;
        let open_length = usize::try_from(fields.u64()?).map_err(|_| StateError::Contradiction)?;
        let closed = frames_from_bytes(fields.bytes()?).ok_or(StateError::Contradiction)?;
        let write = WriteState::from_bytes(fields.bytes()?)?;
        fields.end()?;
        let summed = (closed.len() as u64).saturating_mul(FRAME_BYTES).saturating_add(open_length as u64);
        if summed != write.offset() || Hasher::resume(algorithm, &hash).is_none() {
            return Err(StateError::Contradiction.into());
        }
        Ok(Self { algorithm, hash, sums: FrameSums::resume(closed, open_sum, open_length)?, write })
    }
}
