//! Names and paths with wildcards, and finding those that match among very many.
//!
//! Before a pattern is tried on a text, its longest plain piece is looked for in all texts at once, which lie one after
//! the other in memory: what remains to be tried is little.

use super::SearchError;
use crate::container::OpenError;
use crate::lists::Texts;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use memchr::memmem;

/// Whether a text has wildcards.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// A pattern ready to be tried.
#[derive(Debug)]
pub(super) struct Pattern {
    set: GlobSet,
}

impl Pattern {
    /// `*` matches anything.
    pub(super) fn name(text: &str) -> Result<Self, SearchError> {
        Self::new(text, false)
    }

    /// `*` matches within a folder, `**` across.
    pub(super) fn path(text: &str) -> Result<Self, SearchError> {
        Self::new(text, true)
    }

    fn new(text: &str, folders: bool) -> Result<Self, SearchError> {
        let refused = || SearchError::Pattern { pattern: text.to_owned() };
        // Only the two wildcards are ours; paths and names contain the others as they are.
        let mut plain = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '[' | ']' | '{' | '}' => plain.extend(['[', c, ']']),
                '\\' => plain.push_str("[\\\\]"),
                c => plain.push(c),
            }
        }
        let glob = GlobBuilder::new(&plain).literal_separator(folders).backslash_escape(false).build();
        let mut set = GlobSetBuilder::new();
        set.add(glob.map_err(|_| refused())?);
        Ok(Self { set: set.build().map_err(|_| refused())? })
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        self.set.is_match(text)
    }
}

/// The longest piece of a pattern between wildcards of which `keep` holds for every character.
pub(crate) fn plain_piece(pattern: &str, keep: impl Fn(char) -> bool) -> &str {
    let pieces = pattern.split(|c: char| matches!(c, '*' | '?') || !keep(c));
    pieces.max_by_key(|piece| piece.len()).unwrap_or_default()
}

/// How often a piece occurs, counted up to some thousands: the rarest piece is the one to look for.
pub(super) fn hits(texts: &Texts<'_>, piece: &str) -> usize {
    memmem::find_iter(texts.bytes, piece).take(4096).count()
}

/// Visits every text that contains a piece (every text, if the piece is empty).
pub(crate) fn each_with(
    texts: &Texts<'_>,
    piece: &str,
    mut each: impl FnMut(u32, &str) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    if piece.is_empty() {
        for at in 0..texts.len() {
            each(at, texts.at(at)?)?;
        }
        return Ok(());
    }
    let finder = memmem::Finder::new(piece);
    let mut from = 0;
    while let Some(hit) = texts.bytes.get(from..).and_then(|rest| finder.find(rest)) {
        let offset = from + hit;
        let at = texts.ends.part_of(offset)?;
        if at >= texts.len() {
            break;
        }
        let end = texts.ends.at(at as usize)? as usize;
        // A hit across two texts is none.
        if offset + piece.len() <= end {
            each(at, texts.at(at)?)?;
            from = end.max(offset + 1);
        } else {
            from = offset + 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::Parts;

    #[test]
    fn only_the_two_wildcards_are_special() {
        for (pattern, path, expected) in [
            ("**/log4j-core-*.jar", "app/lib/log4j-core-2.14.jar", true),
            ("**/log4j-core-*.jar", "log4j-core-2.14.jar", true),
            ("**/log4j-core-*.jar", "log4j-core-2/14.jar", false),
            ("app/*.jar", "app/a/b.jar", false),
            ("a/[id].js", "a/[id].js", true),
            ("a/[id].js", "a/i.js", false),
            ("a/{b,c}\\d", "a/{b,c}\\d", true),
            ("a/!b?", "a/!bc", true),
        ] {
            assert_eq!(Pattern::path(pattern).unwrap().matches(path), expected, "{pattern} {path}");
        }
        assert!(Pattern::name("@*core").unwrap().matches("@babel/core"));
    }

    #[test]
    fn a_piece_is_found_in_whole_texts_only() {
        let all = ["ab", "cab", "", "abab", "b"];
        let parts = Parts::texts(all);
        let texts = Texts::new(&parts.ends, &parts.bytes);
        let with = |piece: &str| {
            let mut found = Vec::new();
            each_with(&texts, piece, |at, _| {
                found.push(at);
                Ok(())
            })
            .unwrap();
            found
        };
        assert_eq!(with("ab"), [0, 1, 3]);
        assert_eq!(with("bc"), [0u32; 0]);
        assert_eq!(with(""), [0, 1, 2, 3, 4]);
        assert_eq!(plain_piece("**/log4j-core-*.jar", |_| true), "/log4j-core-");
    }
}
