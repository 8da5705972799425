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

/// What an object is that is found by its key and not by a row: it must be readable when the database is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    /// Segments of the checkpoint.
    Checkpoint,
    /// Segments of old audit records.
    Audit,
    /// The id of the installation that the storage belongs to.
    Installation,
    /// Advisory databases.
    Advisories,
    /// The index of all images' packages, and what is wrong with them.
    Estate,
}

impl Series {
    /// Stands where other keys have their time: beyond all times that a clock shows.
    const fn mark(self) -> u128 {
        match self {
            Self::Checkpoint => FIRST_MARK,
            Self::Audit => FIRST_MARK + 1,
            Self::Installation => FIRST_MARK + 2,
            Self::Advisories => FIRST_MARK + 3,
            Self::Estate => FIRST_MARK + 4,
        }
    }
}

/// Times from here on (the year 10889) are no times.
const FIRST_MARK: u128 = 0xffff_ffff_ff00;

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

    /// The key of the object `number` of a series. All lie in the last shard, behind every other key, in order of their
    /// numbers (40 bits); `random` keeps two attempts apart.
    pub const fn of_series(series: Series, number: u64, random: u32) -> Self {
        Self(series.mark() << 80 | (number as u128 & 0xff_ffff_ffff) << 40 | (random as u128) << 8 | 0xff)
    }

    /// The number of an object of a series.
    pub fn number_in(self, series: Series) -> Option<u64> {
        let number = (self.0 >> 40) & 0xff_ffff_ffff;
        (self.0 >> 80 == series.mark() && self.shard() == 0xff).then(|| u64::try_from(number).unwrap_or(0))
    }

    /// Whether the object belongs to a series: no row names it, and it is none of the blobs.
    pub const fn is_of_series(self) -> bool {
        self.0 >> 80 >= FIRST_MARK
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
    fn objects_of_a_series_lie_behind_all_others_in_order() {
        let key = |number, random| BlobKey::of_series(Series::Checkpoint, number, random);
        assert!(BlobKey::begun_at(u64::from(u32::MAX) * 1000, u128::MAX) < key(0, 0));
        assert!(key(0, u32::MAX) < key(1, 0) && key(1, 0) < key(1, 1));
        assert!(key((1 << 40) - 1, u32::MAX) < BlobKey::of_series(Series::Audit, 0, 0));
        assert_eq!(key(77, 5).number_in(Series::Checkpoint), Some(77));
        assert_eq!(key(77, 5).number_in(Series::Audit), None);
        assert!(key(77, 5).is_of_series() && !BlobKey::begun_at(1_795_251_600_000, 1).is_of_series());
        assert_eq!(BlobKey::begun_at(1_795_251_600_000, 1).number_in(Series::Checkpoint), None);
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
