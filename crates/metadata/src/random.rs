//! Randomness: the seam through which unguessable ids, secrets and jitter are drawn.

use rand::Rng;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::fmt;
use std::sync::Mutex;

/// A source of random bytes.
pub trait Random: Send + Sync + fmt::Debug {
    /// Fills `out` with bytes that an attacker cannot foresee.
    fn fill(&self, out: &mut [u8]);

    /// 128 random bits: object keys, session ids, tokens' ids.
    fn id128(&self) -> u128 {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        u128::from_be_bytes(bytes)
    }

    /// A number below `bound` for jitter (not for secrets: slightly biased); 0 for a bound of 0.
    fn below(&self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_be_bytes(bytes).checked_rem(bound).unwrap_or(0)
    }
}

/// The thread's generator, seeded by the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, out: &mut [u8]) {
        rand::rng().fill_bytes(out);
    }
}

/// A reproducible source, for tests only.
pub struct SeededRandom(Mutex<StdRng>);

impl SeededRandom {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }
}

impl fmt::Debug for SeededRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeededRandom")
    }
}

impl Random for SeededRandom {
    fn fill(&self, out: &mut [u8]) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).fill_bytes(out);
    }
}
