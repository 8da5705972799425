//! SHA-256 and SHA-512 whose running state can be saved.
//!
//! Why not a crate of safe Rust: hashing is the ceiling of every push, and on processors without SHA extensions – many
//! servers still – portable code reaches half of what AWS-LC's assembly does; on those with them, both are equal. AWS-LC's
//! safe wrapper hides the state that an upload needs in order to go on in another process.

use std::ffi::c_uint;

use aws_lc_sys::{
    SHA256_CTX, SHA256_Final, SHA256_Init, SHA256_Update, SHA512_CTX, SHA512_Final, SHA512_Init,
    SHA512_Update,
};

/// More than a saved state may have counted: no content is as long, and its bits still fit the counter.
const MAX_BYTES: u64 = 1 << 55;

/// A running hash over one of the library's contexts; `$tail` is the field of its block that is not full.
macro_rules! hash {
    ($name:ident, $context:ident, $word:ty, $block:literal, $digest:literal, $tail:ident,
     $init:ident, $update:ident, $finish:ident) => {
        /// A running hash.
        #[derive(Clone)]
        pub(crate) struct $name($context);

        impl $name {
            const WORDS: usize = 8 * size_of::<$word>();

            pub(crate) fn new() -> Self {
                let mut context = $context { h: [0; 8], Nl: 0, Nh: 0, $tail: [0; $block], num: 0, md_len: 0 };
                #[expect(unsafe_code, reason = "a call into AWS-LC")]
                // SAFETY: the context is ours and initialised; the call writes only to it and cannot fail.
                unsafe {
                    $init(&raw mut context);
                }
                Self(context)
            }

            pub(crate) fn update(&mut self, content: &[u8]) {
                #[expect(unsafe_code, reason = "a call into AWS-LC")]
                // SAFETY: the context was initialised by `new`; the slice is valid for its length; the call cannot fail.
                unsafe {
                    $update(&raw mut self.0, content.as_ptr().cast(), content.len());
                }
            }

            pub(crate) fn finish(mut self) -> [u8; $digest] {
                let mut digest = [0; $digest];
                #[expect(unsafe_code, reason = "a call into AWS-LC")]
                // SAFETY: the context was initialised by `new`; the digest has the length of this hash.
                unsafe {
                    $finish(digest.as_mut_ptr(), &raw mut self.0);
                }
                digest
            }

            /// The words of the state, the number of bytes so far, and the bytes of the block that is not full, all
            /// little-endian.
            pub(crate) fn save(&self) -> Vec<u8> {
                let bits = (u128::from(self.0.Nh) << <$word>::BITS) | u128::from(self.0.Nl);
                let length = u64::try_from(bits / 8).unwrap_or(u64::MAX);
                let tail = self.0.$tail.get(..self.0.num as usize).unwrap_or_default();
                let words = self.0.h.iter().flat_map(|word| word.to_le_bytes());
                words.chain(length.to_le_bytes()).chain(tail.iter().copied()).collect()
            }

            /// Goes on from what `save` wrote; `None` when that cannot be it.
            pub(crate) fn resume(saved: &[u8]) -> Option<Self> {
                let (words, rest) = saved.split_at_checked(Self::WORDS)?;
                let (length, tail) = rest.split_first_chunk::<8>()?;
                let length = u64::from_le_bytes(*length);
                if length % $block != tail.len() as u64 || length > MAX_BYTES {
                    return None;
                }
                let mut hash = Self::new();
                let words = words.as_chunks::<{ size_of::<$word>() }>().0;
                for (to, from) in hash.0.h.iter_mut().zip(words) {
                    *to = <$word>::from_le_bytes(*from);
                }
                let bits = u128::from(length) * 8;
                hash.0.Nl = <$word>::try_from(bits & u128::from(<$word>::MAX)).ok()?;
                hash.0.Nh = <$word>::try_from(bits >> <$word>::BITS).ok()?;
                hash.0.num = c_uint::try_from(tail.len()).ok()?;
                hash.0.$tail.get_mut(..tail.len())?.copy_from_slice(tail);
                Some(hash)
            }
        }
    };
}

hash!(Sha256, SHA256_CTX, u32, 64, 32, data, SHA256_Init, SHA256_Update, SHA256_Final);
hash!(Sha512, SHA512_CTX, u64, 128, 64, p, SHA512_Init, SHA512_Update, SHA512_Final);

#[cfg(test)]
mod tests {
    use sha2::Digest as _;

    use super::*;

    /// Every place to cut a message of some blocks, beside another implementation.
    #[test]
    fn a_hash_saved_anywhere_goes_on_to_what_another_implementation_says() {
        let content: Vec<u8> = (0..600_u32).map(|at| u8::try_from(at * 7 % 256).unwrap()).collect();
        for at in 0..content.len() {
            let (first, second) = content.split_at(at);
            let (mut small, mut large) = (Sha256::new(), Sha512::new());
            small.update(first);
            large.update(first);
            let mut small = Sha256::resume(&small.save()).unwrap();
            let mut large = Sha512::resume(&large.save()).unwrap();
            small.update(second);
            large.update(second);
            assert_eq!(small.finish(), *sha2::Sha256::digest(&content), "cut at {at}");
            assert_eq!(large.finish(), *sha2::Sha512::digest(&content), "cut at {at}");
        }
    }

    #[test]
    fn the_length_of_a_large_message_survives_being_saved() {
        let mut hash = Sha256::new();
        let block = vec![5; 1 << 20];
        let mut other = sha2::Sha256::new();
        for _ in 0..600 {
            hash.update(&block);
            other.update(&block);
            hash = Sha256::resume(&hash.save()).unwrap();
        }
        assert_eq!(hash.finish(), *other.finalize());
    }

    #[test]
    fn what_is_no_state_is_refused() {
        let mut hash = Sha256::new();
        hash.update(b"some bytes");
        let saved = hash.save();
        assert!(Sha256::resume(&saved[..saved.len() - 1]).is_none());
        assert!(Sha256::resume(&[&saved[..], b"x"].concat()).is_none());
        assert!(Sha256::resume(b"short").is_none());
        assert!(Sha512::resume(&saved).is_none());
    }
}
