//! Blobs: pull and delete.

mod delete;
mod pull;

pub use pull::PulledBlob;
