//! The outbound client: documents over HTTPS, images and artifacts from registries.
//!
//! What is fetched is foreign. Every read has a bound on its size and on silence; what a digest names is compared with
//! it before it counts. Credentials go to the host they were given for (and to the token service of its own domain),
//! never along a redirect to another one; a redirect never leaves TLS. Whoever lets strangers name addresses gives a
//! [`Guard`]: it holds for names, addresses, redirects and token services alike.

mod auth;
mod client;
mod credentials;
mod error;
pub mod feeds;
mod guard;
mod mmap;
mod reference;
mod registry;

pub use client::{Client, Fetched, Options, Validator, place};
pub use credentials::{Credentials, Keychain};
pub use error::UpstreamError;
pub use guard::Guard;
pub use mmap::Mapped;
pub use reference::ImageReference;
pub use registry::{FetchedManifest, Registry};
