//! Every image's packages at once: which images hold a package, what an advisory changes, how long repairs take.
//!
//! Derived and rebuildable: the truth is what each image's scan found. An estate is a stack of immutable segments, one
//! large and some small on top ([`Writer`], [`Estate::open`], [`merge`]); findings of packages are a second stack beside
//! it ([`findings`]). All are byte slices that the caller maps; foreign, torn or hostile bytes are an error, never a
//! panic. Pure: no runtime, network, clock or file system.
//!
//! ```text
//! image → fragments → components → package        what an image holds
//! package → components → fragments → images       who holds a package
//! (ecosystem, name) → packages                    whom an advisory speaks of
//! package → vulnerabilities                       findings
//! ```
//!
//! A *package* is all that matching depends on; a *component* is a package with where and how it was seen (paths,
//! licences, hashes); a *fragment* is a set of components that images share, such as the packages of a base image. The
//! fragments make the index small: what a thousand images have in common is written once.

mod bits;
mod build;
mod container;
mod estate;
pub mod findings;
pub mod history;
mod intern;
mod layout;
mod lists;
mod merge;
mod package;
pub mod search;
mod segment;
mod tally;

pub use build::{ComponentId, FragmentId, WriteError, Writer};
pub use container::OpenError;
pub use estate::{Estate, ImageRef, Images, PackageRef, Visible};
pub use merge::{Below, merge};
pub use package::{PackageView, Seen};
pub use tally::{Tally, TallyChange};
