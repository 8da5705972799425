//! Licences: what a package declares as an SPDX expression, what a licence text is, and how much it asks.
//!
//! Declared texts come in the words of seven ecosystems; what cannot be read as an expression stays the text that it
//! was (never a guess). Policies judge expressions: of `A OR B` one branch may be chosen, of `A AND B` both bind.

mod class;
mod dep5;
mod names;
mod recognise;

pub use class::{Class, class};
pub use dep5::copyright_file;
pub use names::normalize;
pub use recognise::{MAX_TEXT_BYTES, MIN_SCORE, Match, recognise};

/// Whether a text is an SPDX licence expression (SPDX 2.3 annex D), `LicenseRef-…` included.
pub fn is_expression(text: &str) -> bool {
    spdx::Expression::parse(text).is_ok()
}
