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
