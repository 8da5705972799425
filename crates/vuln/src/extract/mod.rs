//! Extractors: one file each, listed in one table.
//!
//! An extractor says by path (and mode) which files it needs and turns the bytes of one file into what that file
//! states. It sees no other file: what needs several files (ownership, distribution) is settled in [`crate::merge`].
//! A file that cannot be understood becomes a [`Problem`]; only a limit ends the scan.

mod cataloguer;
mod found;
mod registry;
pub(crate) mod text;

mod alpm;
mod apk;
mod binary;
mod bitnami;
mod bun;
mod cargo_lock;
mod conan;
mod conda;
mod dotnet;
mod dpkg;
pub(crate) mod dpkg_copyright;
mod dpkg_files;
mod erlang_app;
mod gemfile_lock;
mod github_actions;
mod go_mod;
mod haskell;
pub(crate) mod helm;
mod hex;
mod homebrew;
mod java;
mod julia;
mod jvm_release;
mod kernel;
mod nix;
mod npm_lock;
mod npm_package;
mod opam;
pub(crate) mod os_release;
mod pear;
mod php;
mod pipfile;
mod pnpm;
mod pom;
mod portage;
mod pubspec;
mod python_dist;
mod python_egg;
mod python_lock;
mod r;
mod requirements;
mod rockspec;
pub(crate) mod rpm;
mod ruby_gemspec;
mod setup_py;
mod swift;
mod swipl;
mod terraform;
mod wordpress;
mod yarn;

pub use cataloguer::{Cataloguer, FileInfo};
pub(crate) use found::{Found, ParseError, ParseResult};

/// Version of everything that decides a [`crate::layer::LayerResult`]: raise it with any change of an extractor.
pub const CATALOGUER_VERSION: u32 = 4;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// An image: what is installed. Lock files in it state what somebody once resolved, not what is there.
    Image,
    /// A source directory: what its lock files and manifests resolve, and what is installed in it.
    Directory,
}

/// In which modes an extractor runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Both,
    Image,
    Directory,
}

impl Scope {
    pub(crate) fn covers(self, mode: Mode) -> bool {
        match self {
            Self::Both => true,
            Self::Image => mode == Mode::Image,
            Self::Directory => mode == Mode::Directory,
        }
    }
}

/// How an extractor takes its file.
#[derive(Clone, Copy)]
pub(crate) enum Parse {
    /// A document or metadata file held in memory up to `document_bytes`; a larger one is a problem.
    Document(fn(&FileInfo<'_>, &[u8], &mut Found) -> ParseResult),
    /// A package database held in memory up to `database_bytes`; a larger one ends the scan.
    Database(fn(&FileInfo<'_>, &[u8], &mut Found) -> ParseResult),
    /// A file of any size, streamed with bounded memory.
    Stream(fn(&FileInfo<'_>, &mut dyn std::io::Read, &crate::limits::Limits, &mut Found) -> ParseResult),
}

/// One row of the table.
pub(crate) struct Extractor {
    /// Stable name, shown in problems and evidence.
    pub(crate) name: &'static str,
    pub(crate) scope: Scope,
    pub(crate) required: fn(&FileInfo<'_>) -> bool,
    pub(crate) parse: Parse,
}
