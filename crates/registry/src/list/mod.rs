//! Lists: tags, repositories, referrers. All by keyset, so that a page costs the same anywhere.

mod catalog;
mod referrers;
mod tags;

/// One page of a list of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePage {
    /// The names.
    pub names: Vec<String>,
    /// More follow after the last one.
    pub more: bool,
}

pub use referrers::ReferrerPage;
