//! Lists: tags, repositories, artifacts, referrers. All by keyset, so that a page costs the same anywhere.

mod accessories;
mod artifacts;
mod catalog;
mod details;
mod kind;
mod referrers;
mod repositories;
mod tags;

/// One page of a list of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePage {
    /// The names.
    pub names: Vec<String>,
    /// More follow after the last one.
    pub more: bool,
}

pub use accessories::Accessory;
pub use artifacts::{Artifact, ArtifactPage, ArtifactQuery, TagFilter};
pub use details::Details;
pub use kind::ArtifactKind;
pub use referrers::ReferrerPage;
pub use repositories::{COUNTED, RepositoryOrder, RepositoryPage, RepositoryQuery};
