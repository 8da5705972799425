//! A file of sections: what segments and findings are stored in.
//!
//! ```text
//! 0   magic                    8 bytes
//! 8   u64 length of the file
//! 16  SHA-256 of all from 48 on
//! 48  u32 count of sections
//! 52  u64 end of each section, counted from the first section's start
//! ..  the sections
//! ```
//!
//! Opening looks at the header alone: a file that is cut is refused, a file that was changed is found out by
//! [`Container::verify`] or, since every read is checked, is an error where it is read.

use sha2::{Digest, Sha256};

const START: usize = 52;
const HASHED_FROM: usize = 48;

/// Why bytes cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another kind of file, or one of another version.
    #[error("not a file of this kind and version")]
    Foreign,
    /// Bytes are missing or wrong.
    #[error("file is damaged: {0}")]
    Damaged(&'static str),
    /// The content does not have the digest that its header states.
    #[error("file does not have its stated digest")]
    Digest,
}

/// An opened file of `N` sections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Container<'a, const N: usize> {
    bytes: &'a [u8],
    sections: [&'a [u8]; N],
}

impl<'a, const N: usize> Container<'a, N> {
    pub(crate) fn open(bytes: &'a [u8], magic: [u8; 8]) -> Result<Self, OpenError> {
        if bytes.get(..8) != Some(&magic) {
            return Err(OpenError::Foreign);
        }
        if u64_at(bytes, 8)? != bytes.len() as u64 {
            return Err(OpenError::Damaged("not of its stated length"));
        }
        if u32_at(bytes, HASHED_FROM)? as usize != N {
            return Err(OpenError::Foreign);
        }
        let mut sections: [&[u8]; N] = [&[]; N];
        let data = bytes.get(START + N * 8..).ok_or(OpenError::Damaged("header"))?;
        let mut start = 0;
        for (at, section) in sections.iter_mut().enumerate() {
            let end = usize::try_from(u64_at(bytes, START + at * 8)?).unwrap_or(usize::MAX);
            *section = data.get(start..end).ok_or(OpenError::Damaged("section"))?;
            start = end;
        }
        Ok(Self { bytes, sections })
    }

    pub(crate) fn section(&self, at: usize) -> &'a [u8] {
        self.sections.get(at).copied().unwrap_or_default()
    }

    /// What the file is known by: the digest that its header states.
    pub(crate) fn id(&self) -> [u8; 32] {
        self.bytes.get(16..48).and_then(|b| b.try_into().ok()).unwrap_or_default()
    }

    /// Compares the content with the stated digest: reads the whole file.
    pub(crate) fn verify(&self) -> Result<(), OpenError> {
        let content = self.bytes.get(HASHED_FROM..).unwrap_or_default();
        if Sha256::digest(content).as_slice() == self.id() { Ok(()) } else { Err(OpenError::Digest) }
    }
}

/// Writes the file.
pub(crate) fn write<const N: usize>(magic: [u8; 8], sections: [Vec<u8>; N]) -> Vec<u8> {
    let total = START + N * 8 + sections.iter().map(Vec::len).sum::<usize>();
    let mut out = Vec::with_capacity(total);
    out.extend_from_slice(&magic);
    out.extend_from_slice(&(total as u64).to_le_bytes());
    out.extend_from_slice(&[0; 32]);
    out.extend_from_slice(&u32::try_from(N).unwrap_or(u32::MAX).to_le_bytes());
    let mut end = 0u64;
    for section in &sections {
        end += section.len() as u64;
        out.extend_from_slice(&end.to_le_bytes());
    }
    for section in sections {
        out.extend_from_slice(&section);
    }
    let digest = Sha256::digest(&out[HASHED_FROM..]);
    out[16..48].copy_from_slice(&digest);
    out
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Result<u32, OpenError> {
    let word = at.checked_add(4).and_then(|end| bytes.get(at..end)).and_then(|b| b.try_into().ok());
    word.map(u32::from_le_bytes).ok_or(OpenError::Damaged("number beyond the end"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Result<u64, OpenError> {
    let word = at.checked_add(8).and_then(|end| bytes.get(at..end)).and_then(|b| b.try_into().ok());
    word.map(u64::from_le_bytes).ok_or(OpenError::Damaged("number beyond the end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_or_changed_is_found_out() {
        let file = write(*b"TESTFILE", [vec![1, 2, 3], Vec::new(), vec![4]]);
        let open = |bytes: &[u8]| Container::<3>::open(bytes, *b"TESTFILE").map(|_| ());
        let opened = Container::<3>::open(&file, *b"TESTFILE").unwrap();
        assert_eq!((opened.section(0), opened.section(2)), (&[1, 2, 3][..], &[4][..]));
        opened.verify().unwrap();
        for cut in 0..file.len() {
            assert!(open(&file[..cut]).is_err(), "{cut}");
        }
        assert_eq!(Container::<2>::open(&file, *b"TESTFILE").map(|_| ()), Err(OpenError::Foreign));
        let mut changed = file.clone();
        *changed.last_mut().unwrap() = 5;
        let opened = Container::<3>::open(&changed, *b"TESTFILE").unwrap();
        assert_eq!(opened.verify(), Err(OpenError::Digest));
    }
}
