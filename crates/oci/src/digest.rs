//! Content digests (OCI image specification, "Digests").
//!
//! A `Digest` is always valid: algorithm registered here, hexadecimal lower case, right length. It is the only name
//! of bytes that a caller may send, so that nothing else ever reaches a storage key.

use std::fmt;
use std::str::FromStr;

use crate::hash_kernel::{Sha256, Sha512};

/// A digest algorithm that may be pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, the canonical algorithm.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// The registered name: `sha256` or `sha512`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Length of the raw hash in bytes.
    pub fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// Why a text is not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// No `algorithm:hex` form.
    #[error("digest is not of the form `algorithm:hex`")]
    Form,
    /// An algorithm that is not sha256 or sha512.
    #[error("digest algorithm is not supported; use sha256 or sha512")]
    Algorithm,
    /// Wrong length, upper case or a character that is not hexadecimal.
    #[error("digest is not lower-case hexadecimal of its algorithm's length")]
    Hex,
}

/// A verified-form content digest such as `sha256:6c3c…`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    bytes: [u8; 64],
}

impl Digest {
    /// The digest of a raw hash; `None` when the length is not the algorithm's.
    pub fn from_raw(algorithm: Algorithm, raw: &[u8]) -> Option<Self> {
        if raw.len() != algorithm.len() {
            return None;
        }
        let mut bytes = [0; 64];
        bytes[..raw.len()].copy_from_slice(raw);
        Some(Self { algorithm, bytes })
    }

    /// SHA-256 of `content`.
    pub fn sha256(content: &[u8]) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(content);
        hasher.finish()
    }

    /// Digest of `content` by `algorithm`.
    pub fn of(algorithm: Algorithm, content: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(content);
        hasher.finish()
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw hash.
    pub fn raw(&self) -> &[u8] {
        &self.bytes[..self.algorithm.len()]
    }

    /// The hash in lower-case hexadecimal, without the algorithm.
    pub fn hex(&self) -> String {
        let mut out = String::with_capacity(self.algorithm.len() * 2);
        push_hex(&mut out, self.raw());
        out
    }
}

fn push_hex(out: &mut String, raw: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in raw {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (name, hex) = text.split_once(':').ok_or(DigestError::Form)?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return Err(DigestError::Algorithm),
        };
        if hex.len() != algorithm.len() * 2 {
            return Err(DigestError::Hex);
        }
        let mut bytes = [0; 64];
        for (target, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            *target = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self { algorithm, bytes })
    }
}

fn nibble(digit: u8) -> Result<u8, DigestError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(DigestError::Hex),
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::with_capacity(8 + self.algorithm.len() * 2);
        out.push_str(self.algorithm.name());
        out.push(':');
        push_hex(&mut out, self.raw());
        f.write_str(&out)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A running hash whose state can be saved and continued by another process.
#[derive(Clone)]
pub struct Hasher(Running);

#[derive(Clone)]
enum Running {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// A fresh hash.
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self(Running::Sha256(Sha256::new())),
            Algorithm::Sha512 => Self(Running::Sha512(Sha512::new())),
        }
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Running::Sha256(_) => Algorithm::Sha256,
            Running::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Adds bytes.
    pub fn update(&mut self, content: &[u8]) {
        match &mut self.0 {
            Running::Sha256(state) => state.update(content),
            Running::Sha512(state) => state.update(content),
        }
    }

    /// The digest of all bytes added.
    pub fn finish(self) -> Digest {
        let mut bytes = [0; 64];
        let algorithm = self.algorithm();
        match self.0 {
            Running::Sha256(state) => bytes[..32].copy_from_slice(&state.finish()),
            Running::Sha512(state) => bytes = state.finish(),
        }
        Digest { algorithm, bytes }
    }

    /// The state so far; `Hasher::resume` continues it.
    pub fn save(&self) -> Vec<u8> {
        match &self.0 {
            Running::Sha256(state) => state.save(),
            Running::Sha512(state) => state.save(),
        }
    }

    /// Continues a saved state; `None` when it is not one of this algorithm, or counts more bytes than there can be.
    pub fn resume(algorithm: Algorithm, state: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::Sha256 => Some(Self(Running::Sha256(Sha256::resume(state)?))),
            Algorithm::Sha512 => Some(Self(Running::Sha512(Sha512::resume(state)?))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_outside_the_grammar_are_refused() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let long = "0".repeat(10_000);
        for bad in [
            String::new(),
            hex.to_owned(),
            format!("SHA256:{hex}"),
            format!("sha256:{}", hex.to_uppercase()),
            format!("sha256:{}", &hex[1..]),
            format!("sha256:{hex}0"),
            format!("md5:{hex}"),
            format!("sha256+b64:{hex}"),
            format!("sha256:{long}"),
            format!("sha512:{hex}"),
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad:.80}");
        }
        assert_eq!(Digest::sha256(b""), format!("sha256:{hex}").parse().unwrap());
    }

    #[test]
    fn a_saved_hash_continues_to_the_same_digest() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let content: Vec<u8> = (0..1000_u32).flat_map(u32::to_le_bytes).collect();
            let (first, second) = content.split_at(1234);
            let mut hasher = Hasher::new(algorithm);
            hasher.update(first);
            let mut resumed = Hasher::resume(algorithm, &hasher.save()).unwrap();
            resumed.update(second);
            assert_eq!(resumed.finish(), Digest::of(algorithm, &content));
        }
        assert!(Hasher::resume(Algorithm::Sha256, b"short").is_none());
    }

    #[test]
    fn a_saved_state_that_counts_too_much_is_refused() {
        for (algorithm, length) in [(Algorithm::Sha256, 32), (Algorithm::Sha512, 64)] {
            let mut hasher = Hasher::new(algorithm);
            hasher.update(&[7; 1000]);
            let mut damaged = hasher.save();
            assert_eq!(damaged[length..length + 8], 1000_u64.to_le_bytes(), "the place of the length");
            damaged[length + 7] = 1;
            assert!(Hasher::resume(algorithm, &damaged).is_none(), "{algorithm:?}");
        }
    }
}
