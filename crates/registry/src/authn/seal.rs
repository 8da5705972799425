//! Secrets in the database are sealed (AES-256-GCM) under the installation's master key, which is not in it.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use metadata::Random;
use sha2::Sha256;

/// Seals and opens secrets.
pub struct Sealer {
    key: LessSafeKey,
    mac: Hmac<Sha256>,
}

/// The sealed bytes are damaged, or were sealed under another master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a stored secret cannot be opened: the master key is not the one it was sealed with; restore the key that belongs to this database"
)]
pub struct SealError;

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// A sealer under a master key of 32 random bytes.
    pub fn new(master_key: &[u8; 32]) -> Result<Self, SealError> {
        let key = UnboundKey::new(&AES_256_GCM, master_key).map_err(|_| SealError)?;
        let derive = |key: &[u8]| Hmac::<Sha256>::new_from_slice(key).map_err(|_| SealError);
        let mut derived = derive(master_key)?;
        derived.update(b"bonded: what is stored outside the database");
        let mac = derive(&derived.finalize().into_bytes())?;
        Ok(Self { key: LessSafeKey::new(key), mac })
    }

    /// Seals a secret; `context` says what it is and must be the same when it is opened.
    pub fn seal(&self, random: &dyn Random, context: &str, secret: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce);
        let mut sealed = secret.to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context.as_bytes()),
                &mut sealed,
            )
            .map_err(|_| SealError)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// A code that only this master key makes for `content`, for what lies outside the database.
    pub fn code(&self, content: &[u8]) -> [u8; 32] {
        let mut mac = self.mac.clone();
        mac.update(content);
        mac.finalize().into_bytes().into()
    }

    /// Whether `code` is that of `content`.
    pub fn vouches_for(&self, content: &[u8], code: &[u8]) -> bool {
        let mut mac = self.mac.clone();
        mac.update(content);
        mac.verify_slice(code).is_ok()
    }

    /// Opens what `seal` made.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, content) = sealed.split_at_checked(NONCE_LEN).ok_or(SealError)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError)?;
        let mut content = content.to_vec();
        let plain = self
            .key
            .open_in_place(nonce, Aad::from(context.as_bytes()), &mut content)
            .map_err(|_| SealError)?;
        Ok(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metadata::SystemRandom;

    #[test]
    fn secrets_open_only_under_their_key_and_context() {
        let sealer = Sealer::new(&[7; 32]).unwrap();
        let sealed = sealer.seal(&SystemRandom, "key 1", b"secret").unwrap();
        assert_eq!(sealer.open("key 1", &sealed).unwrap(), b"secret");
        assert!(sealer.open("key 2", &sealed).is_err());
        assert!(Sealer::new(&[8; 32]).unwrap().open("key 1", &sealed).is_err());
        assert!(sealer.open("key 1", b"short").is_err());
        let code = sealer.code(b"content");
        assert!(sealer.vouches_for(b"content", &code) && !sealer.vouches_for(b"other", &code));
        assert!(!Sealer::new(&[8; 32]).unwrap().vouches_for(b"content", &code));
    }
}
