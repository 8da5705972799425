//! Which images contain what: questions over all that a caller may see.
//!
//! A question is [`Query`], read from one line of text ([`Query::parse`]) or put together from its parts. Conditions
//! side by side speak of one package; `AND` joins statements, each of which some package of the image must fulfil.
//! Answers come by digest, a page at a time; the total is exact.

mod eval;
mod parse;
pub(crate) mod pattern;
mod range;

pub use parse::{MAX_CONDITIONS, MAX_QUERY_BYTES, QueryError};
pub use range::VersionRange;

use crate::bits::Bits;
use crate::container::OpenError;
use crate::estate::{Estate, ImageRef, Images, Visible};
use crate::findings::Findings;
use crate::package::Seen;
use oci::Digest;
use vuln::{PackageKind, Purl};

/// A question: every statement must be true of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Statements; never empty after parsing.
    pub statements: Vec<Statement>,
}

/// A statement: one package fulfils every condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// Conditions; those that choose packages ([`Condition::Version`] alone does not) first or last, as one likes.
    pub conditions: Vec<Condition>,
}

/// What a package must fulfil.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It is this package; a version, a distribution and an architecture count where they are stated.
    Purl(Purl),
    /// Its name, with or without its namespace, as its ecosystem compares names; `*` and `?` are wildcards.
    Name(String),
    /// Its version in its ecosystem's own order.
    Version(VersionRange),
    /// Its packaging system.
    Kind(PackageKind),
    /// Its distribution (`debian`) or the release (`Debian:12`).
    Distribution(String),
    /// A licence that its declared expression names; `*` and `?` are wildcards.
    License(String),
    /// A file that states it; wildcards `*` and `?` within a folder, `**` across.
    Path(String),
    /// A hash of its file: `sha1:…`.
    Hash(String),
    /// A vulnerability by any of its names.
    Vulnerability(String),
}

impl Condition {
    /// Whether it chooses packages by itself.
    pub fn chooses(&self) -> bool {
        !matches!(self, Self::Version(_))
    }
}

/// Which part of the answer is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Window<'w> {
    /// What the caller may see.
    pub visible: Visible<'w>,
    /// Only images after this one.
    pub after: Option<Digest>,
    /// Most images.
    pub limit: usize,
    /// Most matched packages that are told of an image.
    pub packages: usize,
}

/// A page of an answer.
#[derive(Debug)]
pub struct Page<'e> {
    /// How many images the whole answer has.
    pub total: u64,
    /// Images by digest.
    pub images: Vec<Found<'e>>,
    /// What to continue after, if there is more.
    pub next: Option<Digest>,
}

/// An image of an answer.
#[derive(Debug)]
pub struct Found<'e> {
    /// The image.
    pub at: ImageRef,
    /// Its digest.
    pub digest: Digest,
    /// The packages that fulfil a statement.
    pub packages: Vec<Seen<'e>>,
    /// How many there are, also beyond the window.
    pub matched: u64,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// The estate or its findings cannot be read.
    #[error("estate cannot be read")]
    Estate(#[from] OpenError),
    /// A pattern cannot be understood.
    #[error("{pattern:?} is not a pattern: use *, ? and, in paths, **")]
    Pattern {
        /// The pattern.
        pattern: String,
    },
    /// A statement without a condition that chooses packages.
    #[error("no package is named: write one before the version, as in `log4j-core < 2.17.1`")]
    Unbounded,
}

/// Everything that fulfils a question, without a window.
///
/// # Errors
/// [`SearchError`].
pub fn images(estate: &Estate<'_>, findings: &Findings<'_>, query: &Query) -> Result<Images, SearchError> {
    Ok(find(estate, findings, query)?.0)
}

/// A page of the answer to a question.
///
/// # Errors
/// [`SearchError`].
pub fn search<'e>(
    estate: &Estate<'e>,
    findings: &Findings<'_>,
    query: &Query,
    window: &Window<'_>,
) -> Result<Page<'e>, SearchError> {
    let (mut images, matched) = find(estate, findings, query)?;
    estate.cut(&mut images, window.visible)?;
    let total = images.count();
    let mut found = estate.digests(&images, window.after.as_ref(), window.limit.saturating_add(1))?;
    let more = found.len() > window.limit;
    found.truncate(window.limit);
    let next = found.last().filter(|_| more).map(|(digest, _)| *digest);
    let mut page = Page { total, images: Vec::with_capacity(found.len()), next };
    for (digest, at) in found {
        let segment = estate.layer(at.segment)?.segment;
        let mut components = Vec::new();
        segment.each_component(at.image, |component| {
            if matched[at.segment as usize].contains(component) {
                components.push(component);
            }
        })?;
        components.sort_unstable();
        let packages = components.iter().take(window.packages).map(|c| segment.seen(*c));
        let packages = packages.collect::<Result<_, _>>()?;
        page.images.push(Found { at, digest, packages, matched: components.len() as u64 });
    }
    Ok(page)
}

/// The images, and for each segment the components that fulfil any statement.
fn find(
    estate: &Estate<'_>,
    findings: &Findings<'_>,
    query: &Query,
) -> Result<(Images, Vec<Bits>), SearchError> {
    let prepared = eval::prepare(findings, query)?;
    let (mut layers, mut matched) = (Vec::new(), Vec::new());
    for (number, layer) in estate.numbered() {
        let segment = layer.segment;
        let mut images = layer.live.clone();
        let mut all = Bits::new(segment.components());
        for statement in &prepared {
            let components = eval::components(&segment, number, statement)?;
            all.or(&components);
            if images.is_empty() {
                continue;
            }
            match eval::known_images(&segment, statement)? {
                Some(known) => images.and(&known),
                None => images.and(&segment.images_with(&components)?),
            }
        }
        layers.push(images);
        matched.push(all);
    }
    Ok((Images { layers }, matched))
}
