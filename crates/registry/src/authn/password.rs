//! Passwords: Argon2id in PHC form.

use std::sync::OnceLock;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::error::Error;

/// Longest password in bytes.
pub const MAX_BYTES: usize = 1024;

/// Refuses passwords that are too short or too long.
pub fn check_strength(secret: &str, min_chars: usize) -> Result<(), Error> {
    if secret.len() > MAX_BYTES || secret.chars().count() < min_chars {
        return Err(Error::Invalid(format!(
            "a password has {min_chars} characters or more, and at most {MAX_BYTES} bytes"
        )));
    }
    Ok(())
}

/// Memory in KiB and passes: as strong as Argon2's usual 19 MiB in two passes (OWASP's table of equal settings), and
/// several checks at once do not take most of the process's memory.
const COST: (u32, u32) = (7 * 1024, 5);

/// Hashes a password; takes tens of milliseconds and 7 MiB.
pub fn hash(secret: &str) -> Result<String, Error> {
    let params = Params::new(COST.0, COST.1, 1, None).map_err(|error| Error::Internal(error.to_string()))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon2.hash_password(secret.as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|error| Error::Internal(error.to_string()))
}

/// Whether `secret` is the password of `hash`. Without a hash it takes as long and answers no.
pub fn verify(hash: Option<&str>, secret: &str) -> bool {
    static DUMMY: OnceLock<String> = OnceLock::new();
    let stored = match hash {
        Some(hash) => hash,
        None => DUMMY.get_or_init(|| self::hash("no such principal").unwrap_or_default()),
    };
    // With the cost that the hash itself names.
    let good = PasswordHash::new(stored)
        .is_ok_and(|parsed| Argon2::default().verify_password(secret.as_bytes(), &parsed).is_ok());
    good && hash.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_accepts_its_password_and_no_other() {
        let long = "x".repeat(80);
        let hash = hash(&long).unwrap();
        assert!(verify(Some(&hash), &long));
        assert!(!verify(Some(&hash), &format!("{}y", &long[..79])), "bytes past the 72nd count");
        assert!(!verify(None, "no such principal"));
        assert!(!verify(Some("garbage"), "x"));
    }

    #[test]
    fn short_and_endless_passwords_are_refused() {
        assert!(check_strength("1234567", 8).is_err());
        assert!(check_strength("12345678", 8).is_ok());
        assert!(check_strength(&"x".repeat(1025), 8).is_err());
    }
}
