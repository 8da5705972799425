//! Manifests: pull, put, delete, restore.

mod delete;
mod plan;
mod pull;
mod put;
mod restore;
mod tag;
mod turns;

pub use plan::Lacking;
pub use pull::PulledManifest;
pub use put::PutManifest;
pub(crate) use turns::Turns;
