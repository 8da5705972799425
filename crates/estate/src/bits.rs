//! A dense set of small numbers: one bit each.
//!
//! What a query works with between reading lists: joining thousands of them is a write per number, and cutting two sets
//! is a pass over words.

/// A set of numbers below a bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Vec<u64>,
    bound: u32,
}

impl Bits {
    /// The empty set of numbers below `bound`.
    pub(crate) fn new(bound: u32) -> Self {
        Self { words: vec![0; (bound as usize).div_ceil(64)], bound }
    }

    /// All numbers below `bound`.
    pub(crate) fn full(bound: u32) -> Self {
        let mut all = Self { words: vec![u64::MAX; (bound as usize).div_ceil(64)], bound };
        if let Some(last) = all.words.last_mut().filter(|_| !bound.is_multiple_of(64)) {
            *last = (1 << (bound % 64)) - 1;
        }
        all
    }

    /// Adds a number; `false` if it is not below the bound.
    pub(crate) fn insert(&mut self, number: u32) -> bool {
        let inside = number < self.bound;
        if inside {
            self.words[number as usize / 64] |= 1 << (number % 64);
        }
        inside
    }

    /// Adds `first..end`, cut at the bound.
    pub(crate) fn insert_range(&mut self, first: u32, end: u32) {
        let end = end.min(self.bound);
        let mut at = first;
        while at < end {
            if at.is_multiple_of(64) && end - at >= 64 {
                self.words[at as usize / 64] = u64::MAX;
                at += 64;
            } else {
                self.words[at as usize / 64] |= 1 << (at % 64);
                at += 1;
            }
        }
    }

    pub(crate) fn remove(&mut self, number: u32) {
        if number < self.bound {
            self.words[number as usize / 64] &= !(1 << (number % 64));
        }
    }

    pub(crate) fn contains(&self, number: u32) -> bool {
        number < self.bound && self.words[number as usize / 64] >> (number % 64) & 1 == 1
    }

    /// Keeps what `other` also has.
    pub(crate) fn and(&mut self, other: &Self) {
        for (at, word) in self.words.iter_mut().enumerate() {
            *word &= other.words.get(at).copied().unwrap_or(0);
        }
    }

    /// Adds what `other` has.
    pub(crate) fn or(&mut self, other: &Self) {
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.words.iter().map(|w| u64::from(w.count_ones())).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.iter().all(|w| *w == 0)
    }

    /// The numbers from `first` on, in order.
    pub(crate) fn iter_from(&self, first: u32) -> impl Iterator<Item = u32> + '_ {
        let start = first as usize / 64;
        self.words.iter().enumerate().skip(start).flat_map(move |(at, word)| {
            let mut rest = if at == start { *word & (u64::MAX << (first % 64)) } else { *word };
            let base = u32::try_from(at * 64).unwrap_or(u32::MAX);
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                (bit < 64).then(|| {
                    rest &= rest - 1;
                    base + bit
                })
            })
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.iter_from(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_set_of_bits_is_a_set(
            bound in 0u32..300,
            numbers in proptest::collection::vec(0u32..320, 0..80),
            range in (0u32..320, 0u32..320),
            from in 0u32..320,
        ) {
            let (mut bits, mut set) = (Bits::new(bound), BTreeSet::new());
            for n in &numbers {
                prop_assert_eq!(bits.insert(*n), *n < bound);
                if *n < bound { set.insert(*n); }
            }
            bits.insert_range(range.0, range.1);
            set.extend((range.0..range.1.min(bound).max(range.0)).filter(|n| *n < bound));
            if let Some(first) = numbers.first() { bits.remove(*first); set.remove(first); }
            prop_assert_eq!(bits.count(), set.len() as u64);
            prop_assert_eq!(bits.iter_from(from).collect::<Vec<_>>(), set.range(from..).copied().collect::<Vec<_>>());
            prop_assert!((0..330).all(|n| bits.contains(n) == set.contains(&n)));
            prop_assert_eq!(Bits::full(bound).count(), u64::from(bound));
        }
    }
}
