//! Tables of words, texts and ascending lists of numbers, as sections of a file.
//!
//! A list is a first byte that names its form and then either differences in LEB128 or a Roaring bitmap, whichever is
//! shorter; an empty list has no bytes at all. Reading checks every number against the bound that the caller states.

use crate::bits::Bits;
use crate::container::{OpenError, u32_at};
use roaring::RoaringBitmap;

const DIFFERENCES: u8 = 0;
const ROARING: u8 = 1;
/// Lists below this length are never bitmaps.
const MIN_BITMAP: usize = 64;
const DAMAGED: OpenError = OpenError::Damaged("list");

/// A table of 32-bit numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Words<'a>(pub(crate) &'a [u8]);

impl Words<'_> {
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.0.len() / 4).unwrap_or(u32::MAX)
    }

    pub(crate) fn at(&self, index: usize) -> Result<u32, OpenError> {
        u32_at(self.0, index.checked_mul(4).ok_or(DAMAGED)?)
    }

    /// Where part `index` of a concatenation lies whose ends this table holds.
    fn span(&self, index: u32) -> Result<std::ops::Range<usize>, OpenError> {
        let start = if index == 0 { 0 } else { self.at(index as usize - 1)? as usize };
        Ok(start..self.at(index as usize)? as usize)
    }

    /// The part in which byte `offset` of the concatenation lies.
    pub(crate) fn part_of(&self, offset: usize) -> Result<u32, OpenError> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.at(middle as usize)? as usize <= offset {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}

/// A table of texts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Texts<'a> {
    pub(crate) ends: Words<'a>,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Texts<'a> {
    pub(crate) fn new(ends: &'a [u8], bytes: &'a [u8]) -> Self {
        Self { ends: Words(ends), bytes }
    }

    pub(crate) fn len(&self) -> u32 {
        self.ends.len()
    }

    pub(crate) fn at(&self, index: u32) -> Result<&'a str, OpenError> {
        let bytes = self.bytes.get(self.ends.span(index)?).ok_or(OpenError::Damaged("text"))?;
        std::str::from_utf8(bytes).map_err(|_| OpenError::Damaged("text is not UTF-8"))
    }

    /// A table indexed by a number that stands one higher, nought being absence.
    pub(crate) fn optional(&self, index: u32) -> Result<Option<&'a str>, OpenError> {
        index.checked_sub(1).map(|i| self.at(i)).transpose()
    }

    /// The place of a text in a sorted table.
    pub(crate) fn find(&self, text: &str) -> Result<Option<u32>, OpenError> {
        let at = first(0, self.len(), |i| Ok(self.at(i)? < text))?;
        Ok((at < self.len() && self.at(at)? == text).then_some(at))
    }
}

/// The first number of `low..high` for which `before` no longer holds.
pub(crate) fn first(
    mut low: u32,
    mut high: u32,
    mut before: impl FnMut(u32) -> Result<bool, OpenError>,
) -> Result<u32, OpenError> {
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle)? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// A table of lists.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lists<'a> {
    ends: Words<'a>,
    bytes: &'a [u8],
}

impl<'a> Lists<'a> {
    pub(crate) fn new(ends: &'a [u8], bytes: &'a [u8]) -> Self {
        Self { ends: Words(ends), bytes }
    }

    pub(crate) fn len(&self) -> u32 {
        self.ends.len()
    }

    fn part(&self, index: u32) -> Result<&'a [u8], OpenError> {
        self.bytes.get(self.ends.span(index)?).ok_or(DAMAGED)
    }

    /// About what reading a list costs.
    pub(crate) fn size(&self, index: u32) -> u64 {
        self.part(index).map_or(0, |p| p.len() as u64)
    }

    /// About what reading all lists costs.
    pub(crate) fn total_size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Visits the numbers of a list in order, until the visitor answers `false`.
    pub(crate) fn visit(
        &self,
        index: u32,
        bound: u32,
        mut each: impl FnMut(u32) -> bool,
    ) -> Result<(), OpenError> {
        let Some((form, rest)) = self.part(index)?.split_first() else { return Ok(()) };
        if *form == ROARING {
            for number in bitmap(rest, bound)? {
                if number >= bound {
                    return Err(DAMAGED);
                }
                if !each(number) {
                    break;
                }
            }
            return Ok(());
        }
        if *form != DIFFERENCES {
            return Err(DAMAGED);
        }
        let (mut at, mut next) = (0, 0u64);
        while at < rest.len() {
            next += var(rest, &mut at)?;
            if next >= u64::from(bound) {
                return Err(DAMAGED);
            }
            if !each(u32::try_from(next).map_err(|_| DAMAGED)?) {
                break;
            }
            next += 1;
        }
        Ok(())
    }

    /// The numbers of a list.
    pub(crate) fn to_vec(self, index: u32, bound: u32) -> Result<Vec<u32>, OpenError> {
        let mut out = Vec::new();
        self.visit(index, bound, |n| {
            out.push(n);
            true
        })?;
        Ok(out)
    }

    /// Adds the numbers of a list to a set of numbers below the same bound: what questions do most.
    pub(crate) fn join(&self, index: u32, bound: u32, into: &mut Bits) -> Result<(), OpenError> {
        let Some((form, rest)) = self.part(index)?.split_first() else { return Ok(()) };
        if *form != DIFFERENCES {
            return self.visit(index, bound, |n| into.insert(n));
        }
        let (mut at, mut next) = (0, 0u32);
        while let Some(byte) = rest.get(at) {
            // Most differences are small.
            let difference = if *byte < 0x80 {
                at += 1;
                u32::from(*byte)
            } else {
                u32::try_from(var(rest, &mut at)?).map_err(|_| DAMAGED)?
            };
            next = next.checked_add(difference).filter(|n| *n < bound).ok_or(DAMAGED)?;
            into.insert(next);
            next += 1;
        }
        Ok(())
    }
}

/// Reads a bitmap that cannot unfold to more than the bound asks for.
fn bitmap(bytes: &[u8], bound: u32) -> Result<RoaringBitmap, OpenError> {
    let cookie = u32_at(bytes, 0)?;
    let containers = if cookie & 0xffff == 12347 { (cookie >> 16) + 1 } else { u32_at(bytes, 4)? };
    if containers > bound / 65536 + 1 {
        return Err(DAMAGED);
    }
    RoaringBitmap::deserialize_from(bytes).map_err(|_| DAMAGED)
}

/// Reads a number in LEB128 of at most 32 bits.
pub(crate) fn var(bytes: &[u8], at: &mut usize) -> Result<u64, OpenError> {
    let (mut value, mut shift) = (0u64, 0u32);
    loop {
        let byte = *bytes.get(*at).ok_or(DAMAGED)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(value).map(u64::from).map_err(|_| DAMAGED);
        }
        shift += 7;
        if shift > 28 {
            return Err(DAMAGED);
        }
    }
}

/// Writes a number in LEB128.
#[expect(clippy::cast_possible_truncation, reason = "masked")]
pub(crate) fn put_var(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_word(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// A table being written: the two sections of [`Texts`] or [`Lists`].
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) ends: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
}

impl Parts {
    pub(crate) fn texts<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        let mut out = Self::default();
        for text in texts {
            out.bytes.extend_from_slice(text.as_bytes());
            out.end();
        }
        out
    }

    pub(crate) fn lists(lists: &Csr) -> Self {
        let mut out = Self::default();
        for index in 0..lists.len() {
            out.list(lists.at(index));
        }
        out
    }

    /// Ends a part; a table beyond 4 GiB is found out by [`Parts::fits`].
    pub(crate) fn end(&mut self) {
        put_word(&mut self.ends, u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
    }

    /// Whether all ends could be written.
    pub(crate) fn fits(&self) -> bool {
        u32::try_from(self.bytes.len()).is_ok()
    }

    /// Adds an ascending list.
    pub(crate) fn list(&mut self, numbers: &[u32]) {
        if !numbers.is_empty() {
            let start = self.bytes.len();
            self.bytes.push(DIFFERENCES);
            let mut next = 0;
            for number in numbers {
                put_var(&mut self.bytes, number.saturating_sub(next));
                next = number.saturating_add(1);
            }
            let bitmap = (numbers.len() >= MIN_BITMAP)
                .then(|| RoaringBitmap::from_sorted_iter(numbers.iter().copied()));
            if let Some(Ok(bitmap)) = bitmap
                && bitmap.serialized_size() + 1 < self.bytes.len() - start
            {
                self.bytes.truncate(start);
                self.bytes.push(ROARING);
                // Writing to a Vec cannot fail.
                let _ = bitmap.serialize_into(&mut self.bytes);
            }
        }
        self.end();
    }
}

/// Lists in memory, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Csr {
    starts: Vec<usize>,
    numbers: Vec<u32>,
}

impl Default for Csr {
    fn default() -> Self {
        Self { starts: vec![0], numbers: Vec::new() }
    }
}

impl Csr {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn push(&mut self, numbers: impl IntoIterator<Item = u32>) {
        self.numbers.extend(numbers);
        self.starts.push(self.numbers.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    pub(crate) fn at(&self, index: usize) -> &[u32] {
        &self.numbers[self.starts[index]..self.starts[index + 1]]
    }

    /// The lists turned round: for each number below `bound` the ascending indexes of the lists that hold it.
    pub(crate) fn inverted(&self, bound: usize) -> Self {
        let mut starts = vec![0usize; bound + 1];
        for number in &self.numbers {
            starts[*number as usize + 1] += 1;
        }
        for at in 0..bound {
            starts[at + 1] += starts[at];
        }
        let mut next = starts.clone();
        let mut numbers = vec![0u32; self.numbers.len()];
        for index in 0..self.len() {
            for number in self.at(index) {
                let slot = &mut next[*number as usize];
                numbers[*slot] = u32::try_from(index).unwrap_or(u32::MAX);
                *slot += 1;
            }
        }
        Self { starts, numbers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn lists_are_read_as_written(
            lists in proptest::collection::vec(proptest::collection::btree_set(0u32..100_000, 0..300), 0..6),
            dense in 0u32..40_000,
        ) {
            let mut lists: Vec<BTreeSet<u32>> = lists;
            lists.push((0..dense).collect());
            let mut csr = Csr::new();
            lists.iter().for_each(|l| csr.push(l.iter().copied()));
            let parts = Parts::lists(&csr);
            let read = Lists::new(&parts.ends, &parts.bytes);
            for (at, list) in (0u32..).zip(&lists) {
                let got = read.to_vec(at, 100_000).unwrap();
                prop_assert!(got.iter().eq(list.iter()));
                if let Some(last) = list.last() {
                    prop_assert!(read.to_vec(at, *last).is_err());
                }
            }
            let inverted = csr.inverted(100_000);
            for number in [0, 1, 77_777, 99_999] {
                let holders: Vec<u32> =
                    (0u32..).zip(&lists).filter(|(_, l)| l.contains(&number)).map(|(i, _)| i).collect();
                prop_assert_eq!(inverted.at(number as usize), &holders[..]);
            }
        }

        #[test]
        fn hostile_lists_are_errors(bytes in proptest::collection::vec(any::<u8>(), 0..200), form in 0u8..3) {
            let mut bytes = bytes;
            bytes.insert(0, form);
            let ends = u32::try_from(bytes.len()).unwrap().to_le_bytes();
            let _ = Lists::new(&ends, &bytes).to_vec(0, 1000);
        }
    }
}
