//! The sections of a segment, in file order.
//!
//! A table of texts or lists has two: ends and bytes. Numbers of one row of [`PACKAGES`], [`TITLES`] and so on stand in
//! the order of the `mod` of their name.

pub(crate) const MAGIC: [u8; 8] = *b"BONDEST1";
pub(crate) const SECTIONS: usize = 48;

/// Words: images by SHA-256, by SHA-512; removed images by SHA-256, by SHA-512; components; fragments.
pub(crate) const META: usize = 0;
/// Raw digests, sorted, those of SHA-256 first.
pub(crate) const IMAGES: usize = 1;
/// Raw digests of images that are gone, as [`IMAGES`].
pub(crate) const REMOVED: usize = 2;
/// Changes of placements: rows of [`placed::BYTES`] bytes.
pub(crate) const PLACED: usize = 3;
/// Image → fragments.
pub(crate) const IMAGE_FRAGMENTS: usize = 4;
/// Fragment → images.
pub(crate) const FRAGMENT_IMAGES: usize = 6;
/// Fragment → components.
pub(crate) const FRAGMENT_COMPONENTS: usize = 8;
/// Component → fragments.
pub(crate) const COMPONENT_FRAGMENTS: usize = 10;
/// Component → package.
pub(crate) const COMPONENT_PACKAGE: usize = 12;
/// Component → paths of its evidence.
pub(crate) const COMPONENT_PATHS: usize = 13;
/// Component → licence texts (in [`STRINGS`]).
pub(crate) const COMPONENT_LICENSES: usize = 15;
/// Component → hashes.
pub(crate) const COMPONENT_HASHES: usize = 17;
/// Path → components.
pub(crate) const PATH_COMPONENTS: usize = 19;
/// Hash → components.
pub(crate) const HASH_COMPONENTS: usize = 21;
/// Licence → components.
pub(crate) const LICENSE_COMPONENTS: usize = 23;
/// Rows of [`package::WORDS`] words, by title, version and the rest; one row more at the end.
pub(crate) const PACKAGES: usize = 25;
/// Rows of [`title::WORDS`] words, by kind and name; one row more at the end.
pub(crate) const TITLES: usize = 26;
/// Names as they are compared, in the order of [`TITLES`].
pub(crate) const TITLE_TEXTS: usize = 27;
/// All other texts.
pub(crate) const STRINGS: usize = 29;
/// Paths.
pub(crate) const PATHS: usize = 31;
/// Hashes, sorted.
pub(crate) const HASHES: usize = 33;
/// Identifiers of licences in lower case, sorted.
pub(crate) const LICENSES: usize = 35;
/// Distributions: the identifier and the ecosystems looked up in, line by line.
pub(crate) const PLATFORMS: usize = 37;
/// Rows of a 64-bit hash of ecosystem and name, and a package; sorted.
pub(crate) const LOOKUPS: usize = 39;
/// Projects (i64), sorted; their images follow in [`PROJECT_IMAGES`].
pub(crate) const PROJECTS: usize = 40;
/// Project → images: ends and bytes in one section, ends first, as many as projects.
pub(crate) const PROJECT_IMAGES: usize = 41;
/// Packaging system (by number) → images with any package of it: what would otherwise be counted together from most of
/// the file.
pub(crate) const KIND_IMAGES: usize = 42;
/// Distribution → images, as [`KIND_IMAGES`].
pub(crate) const PLATFORM_IMAGES: usize = 44;
/// Licence → images, as [`KIND_IMAGES`]; empty for licences of few components, whose images are found the usual way.
pub(crate) const LICENSE_IMAGES: usize = 46;
/// Licences of fewer components have no list of images.
pub(crate) const MANY_COMPONENTS: usize = 256;

/// Words of [`META`].
pub(crate) mod meta {
    pub(crate) const SHA256: usize = 0;
    pub(crate) const SHA512: usize = 1;
    pub(crate) const REMOVED_SHA256: usize = 2;
    pub(crate) const REMOVED_SHA512: usize = 3;
}

/// Words of a row of [`PACKAGES`]; what may be absent stands one higher.
pub(crate) mod package {
    pub(crate) const FIRST_COMPONENT: usize = 0;
    pub(crate) const TITLE: usize = 1;
    pub(crate) const NAMESPACE: usize = 2;
    pub(crate) const NAME: usize = 3;
    pub(crate) const VERSION: usize = 4;
    pub(crate) const ARCH: usize = 5;
    pub(crate) const SOURCE_NAME: usize = 6;
    pub(crate) const SOURCE_VERSION: usize = 7;
    pub(crate) const MODULE: usize = 8;
    pub(crate) const PLATFORM: usize = 9;
    pub(crate) const FLAGS: usize = 10;
    pub(crate) const WORDS: usize = 11;
}

/// Words of a row of [`TITLES`].
pub(crate) mod title {
    pub(crate) const KIND: usize = 0;
    /// Bytes at the end of the title that are the name without its namespace.
    pub(crate) const BARE: usize = 1;
    pub(crate) const FIRST_PACKAGE: usize = 2;
    pub(crate) const WORDS: usize = 3;
}

/// A row of [`PLACED`]: project, 1 to place or 0 to take away, algorithm (0 SHA-256, 1 SHA-512), hash.
pub(crate) mod placed {
    pub(crate) const BYTES: usize = 8 + 1 + 1 + 64;
}

/// A row of [`LOOKUPS`].
pub(crate) const LOOKUP_BYTES: usize = 12;

/// What a name in an ecosystem is found by; two names that share it cost a comparison, nothing else.
pub(crate) fn lookup_hash(scope: &str, name: &str) -> u64 {
    let bytes = scope.bytes().chain([0]).chain(name.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}
