//! The name of an object in blob storage.
//!
//! A key is made of a 128-bit id that the caller draws once and never again (a ULID: time, then randomness), so a
//! re-push cannot meet the deletion of an older generation. It is never a digest and never a user's name: a presigned
//! URL tells nothing, and no foreign text reaches a path.
//!
//! [`BlobKey::begun_at`] makes such an id.
//!
//! Text form: `ss/iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii`, lower-case hexadecimal; `i` the id, `s` its lowest byte. All keys have one length and one depth: none is a prefix of another.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Length of a key's text in bytes.
const TEXT_LENGTH: usize = 35;

/// A generation-unique object key; ordered like its text (shard, then id).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlobKey(u128);

/// The text is not a blob key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a blob key")]
pub struct KeyError;

impl BlobKey {
    /// The number of shards, hence of shard directories.
    pub const SHARDS: usize = 256;

    /// The key of an id. The caller gives each id once: a ULID, or 128 random bits.
    pub const fn from_id(id: u128) -> Self {
        Self(id)
    }

    /// The key of an object begun at `unix_ms`, made unique by `random` (72 bits of it).
    ///
    /// Objects begun in the same second lie in the same shard, and each second takes the next one: what finishes
    /// together shares one directory sync, and all shards fill evenly over time.
    pub const fn begun_at(unix_ms: u64, random: u128) -> Self {
        let time = (unix_ms as u128) << 80;
        let shard = (unix_ms / 1000) as u128 & 0xff;
        Self(time | (random << 56 >> 48) | shard)
    }

    /// The id that made this key.
    pub fn id(self) -> u128 {
        self.0
    }

    /// The shard, the lowest byte of the id.
    pub fn shard(self) -> u8 {
        self.0.to_le_bytes()[0]
    }

    /// Parses the text form; anything else than exactly what `Display` writes is refused.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let bytes = text.as_bytes();
        if bytes.len() != TEXT_LENGTH || bytes[2] != b'/' {
            return Err(KeyError);
        }
        let mut id: u128 = 0;
        for digit in &bytes[3..] {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return Err(KeyError),
            };
            id = id << 4 | u128::from(value);
        }
        if bytes[..2] != bytes[TEXT_LENGTH - 2..] {
            return Err(KeyError);
        }
        Ok(Self(id))
    }
}

impl Ord for BlobKey {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.shard(), self.0).cmp(&(other.shard(), other.0))
    }
}

impl PartialOrd for BlobKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for BlobKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}/{:032x}", self.shard(), self.0)
    }
}

impl fmt::Debug for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_and_key_are_one_to_one_and_ordered_alike(a: u128, b: u128) {
            let (a, b) = (BlobKey::from_id(a), BlobKey::from_id(b));
            prop_assert_eq!(BlobKey::parse(&a.to_string()), Ok(a));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }

        #[test]
        fn no_other_text_is_a_key(text in "\\PC{0,40}") {
            if let Ok(key) = BlobKey::parse(&text) {
                prop_assert_eq!(key.to_string(), text);
            }
        }
    }

    #[test]
    fn objects_begun_together_share_a_shard_and_differ_by_all_random_bits() {
        let key = |ms, random| BlobKey::begun_at(ms, random);
        assert_eq!(key(1_795_251_600_000, 1).shard(), key(1_795_251_600_999, 2).shard());
        assert_ne!(key(1_795_251_600_000, 1).shard(), key(1_795_251_601_000, 1).shard());
        let all: std::collections::HashSet<_> = (0..72).map(|bit| key(0, 1 << bit)).collect();
        assert_eq!(all.len(), 72);
        assert!(key(1, u128::MAX).id() > key(0, u128::MAX).id());
        assert_eq!(key(7, u128::MAX).id() >> 80, 7);
    }

    #[test]
    fn paths_and_near_misses_are_not_keys() {
        let good = BlobKey::from_id(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef).to_string();
        assert_eq!(good, "ef/0123456789abcdef0123456789abcdef");
        for bad in [
            String::new(),
            "../../../../../../../../../etc/passwd".to_owned(),
            good.to_uppercase(),
            good.replace("ef/", "ee/"),
            format!("{good}0"),
            good.replace('/', "-"),
        ] {
            assert!(BlobKey::parse(&bad).is_err(), "{bad}");
        }
    }
}
