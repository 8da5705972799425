//! Licence texts, recognised by their bigrams (Sørensen–Dice) against all texts of the SPDX list.

use std::sync::LazyLock;

use spdx::detection::{Store, TextData};

/// Similarity from which a text counts as the licence.
pub const MIN_SCORE: f32 = 0.9;

/// Largest text that is compared; real licences are below 100 KiB.
pub const MAX_TEXT_BYTES: usize = 256 << 10;

/// A recognised licence.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// SPDX identifier.
    pub id: String,
    /// Similarity, 0.9 to 1.0.
    pub score: f32,
}

/// The licence that a text is, if it is one of the SPDX list.
pub fn recognise(text: &str) -> Option<Match> {
    static STORE: LazyLock<Option<Store>> = LazyLock::new(|| Store::load_inline().ok());
    if text.len() < 100 || text.len() > MAX_TEXT_BYTES {
        return None;
    }
    let store = STORE.as_ref()?;
    let found = store.analyze(&TextData::new(text));
    (found.score >= MIN_SCORE).then(|| Match { id: found.name.to_owned(), score: found.score })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISC: &str = "Copyright (c) 2011-2026, The Example Authors\n\nPermission to use, copy, modify, and/or distribute \
        this software for any purpose with or without fee is hereby granted, provided that the above copyright notice and \
        this permission notice appear in all copies.\n\nTHE SOFTWARE IS PROVIDED \"AS IS\" AND THE AUTHOR DISCLAIMS ALL \
        WARRANTIES WITH REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT \
        SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER \
        RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, \
        ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.";

    #[test]
    fn a_text_is_the_licence_whatever_its_owner_and_another_text_is_none() {
        assert_eq!(recognise(ISC).map(|found| found.id).as_deref(), Some("ISC"));
        assert!(recognise(ISC).is_some_and(|found| found.score >= MIN_SCORE));
        let half: String = ISC.chars().take(ISC.len() / 2).collect();
        assert_eq!(recognise(&half), None, "half a licence is none");
        let prose =
            "The quick brown fox jumps over the lazy dog, again and again, until nobody looks any more. ";
        assert_eq!(recognise(&prose.repeat(20)), None);
        assert_eq!(recognise("MIT"), None, "a name is no text");
        assert_eq!(recognise(&"x".repeat(MAX_TEXT_BYTES + 1)), None);
    }
}
