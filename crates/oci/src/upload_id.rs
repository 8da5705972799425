//! Names of upload sessions: 128 random bits, so that a session cannot be guessed.

use std::fmt;
use std::str::FromStr;

/// An upload session's name, 32 lower-case hexadecimal characters on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UploadId(u128);

/// The text is no upload session's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an upload session")]
pub struct UploadIdError;

impl UploadId {
    /// The name made of 128 random bits.
    pub fn from_random(bits: u128) -> Self {
        Self(bits)
    }
}

impl FromStr for UploadId {
    type Err = UploadIdError;

    fn from_str(text: &str) -> Result<Self, UploadIdError> {
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 32 || !text.bytes().all(lower_hex) {
            return Err(UploadIdError);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| UploadIdError)
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
