//! Limits of a scan and the errors that name them.
//!
//! Foreign bytes may be a bomb. Every dimension in which they can grow is bounded here, with its unit in the name; a
//! limit that is reached ends the scan of that layer as [`ScanError::Limit`] naming which, so that the artifact is shown
//! as "not scanned" and never as clean. Time is not read here: the caller's [`Watch`] is asked at least once per MiB.

use std::io;

/// A dimension that is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Limit {
    /// Bytes of the layer after decompression, holes of sparse files included.
    #[error("uncompressed-size")]
    UncompressedSize,
    /// Decompressed bytes per compressed byte.
    #[error("compression-ratio")]
    Ratio,
    /// Entries of a tar or zip archive.
    #[error("entries")]
    Entries,
    /// Symbolic and hard links of a layer.
    #[error("links")]
    Links,
    /// Length of a path, or of an extended header that carries one.
    #[error("path-length")]
    PathLength,
    /// Size of one file that has to be held in memory.
    #[error("file-size")]
    FileSize,
    /// Archives inside archives.
    #[error("nesting-depth")]
    NestingDepth,
    /// Members of an archive that lie over each other or that its directory hides.
    #[error("archive-overlap")]
    Overlap,
    /// Packages stated by one layer.
    #[error("packages")]
    Packages,
    /// Facts (texts, owned paths, links) kept of one layer.
    #[error("facts")]
    Facts,
    /// Memory that the decompressor would need.
    #[error("decoder-window")]
    DecoderWindow,
    /// The time that the caller allows.
    #[error("time")]
    Time,
}

/// Why a layer, directory or image could not be catalogued.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// A limit was reached; the result would be partial and is refused.
    #[error("limit {limit} reached at {at:?}")]
    Limit {
        /// Which one.
        limit: Limit,
        /// Path in the layer, empty when it is the layer itself.
        at: String,
    },
    /// The caller's [`Watch`] said to stop.
    #[error("cancelled")]
    Cancelled,
    /// The bytes are not what they claim to be.
    #[error("malformed {what}: {why}")]
    Malformed {
        /// Kind of document: `tar`, `gzip`, `index.json` …
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A document that the image names is absent.
    #[error("missing {0}")]
    Missing(String),
    /// The source holds several images and none was chosen.
    #[error("several images: {}", .0.join(", "))]
    Ambiguous(Vec<String>),
    /// The source could not be read.
    #[error("source is not readable")]
    Read(#[source] io::Error),
}

impl ScanError {
    /// A limit reached at a path.
    pub fn limit(limit: Limit, at: &str) -> Self {
        Self::Limit { limit, at: at.chars().take(256).collect() }
    }
}

/// A stop that travels through `std::io::Read` as the inner error of an [`io::Error`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    #[error("limit {0} reached")]
    Limit(Limit),
    #[error("cancelled")]
    Cancelled,
}

impl From<Stop> for io::Error {
    fn from(stop: Stop) -> Self {
        Self::other(stop)
    }
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Stop>()) {
            Some(Stop::Limit(limit)) => Self::limit(*limit, ""),
            Some(Stop::Cancelled) => Self::Cancelled,
            None => match error.kind() {
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
                    Self::Malformed { what: "stream", why: error.to_string() }
                }
                _ => Self::Read(error),
            },
        }
    }
}

/// What the caller says when asked whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// Go on.
    Go,
    /// The allowed time is over: ends as [`Limit::Time`].
    TimeOver,
    /// The person or the process wants it to stop: ends as [`ScanError::Cancelled`].
    Cancelled,
}

/// The caller's clock and cancel switch. Asked at least once per MiB of output and once per 1,024 entries.
pub trait Watch: Sync {
    /// Whether to go on.
    fn pulse(&self) -> Pulse;
}

impl<F: Fn() -> Pulse + Sync> Watch for F {
    fn pulse(&self) -> Pulse {
        self()
    }
}

/// Turns the answer of a [`Watch`] into a stop.
pub(crate) fn check(watch: &dyn Watch) -> io::Result<()> {
    match watch.pulse() {
        Pulse::Go => Ok(()),
        Pulse::TimeOver => Err(Stop::Limit(Limit::Time).into()),
        Pulse::Cancelled => Err(Stop::Cancelled.into()),
    }
}

/// Bounds of one layer or directory. The defaults hold a scan of two layers at a time below 200 MiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes after decompression.
    pub uncompressed_bytes: u64,
    /// Decompressed bytes allowed per compressed byte, once `ratio_free_bytes` were produced.
    pub ratio: u64,
    /// Decompressed bytes to which `ratio` does not apply.
    pub ratio_free_bytes: u64,
    /// Tar entries.
    pub entries: u64,
    /// Symbolic and hard links.
    pub links: u64,
    /// Bytes of a path.
    pub path_bytes: usize,
    /// Bytes of a package database or archive member held in memory.
    pub database_bytes: u64,
    /// Bytes of a lock file or metadata document held in memory.
    pub document_bytes: u64,
    /// Archives inside archives.
    pub nesting_depth: u32,
    /// Packages of a layer.
    pub packages: usize,
    /// Facts of a layer (owned paths, links, texts), counted one by one.
    pub facts: usize,
    /// Base-two logarithm of the largest zstd window.
    pub zstd_window_log: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            uncompressed_bytes: 64 << 30,
            ratio: 500,
            ratio_free_bytes: 1 << 30,
            entries: 1_000_000,
            links: 500_000,
            path_bytes: 4096,
            database_bytes: 96 << 20,
            document_bytes: 16 << 20,
            nesting_depth: 8,
            packages: 300_000,
            facts: 2_000_000,
            zstd_window_log: 25,
        }
    }
}
