//! Version orders, exactly as the ecosystems' own tools decide them.
//!
//! A [`Scheme`] names the tool, [`compare`] answers as that tool would, [`VersionKey`] is a version tokenised once for
//! repeated comparison. Invariants: every answer is a pure function of the two texts; no input panics; work and memory
//! are bounded by [`MAX_VERSION_BYTES`]; `VersionKey`'s `Ord` is a total order (for the tools whose own answer is none,
//! pacman, `LuaRocks`, Maven and Conan, see [`VersionKey::compare`]).

mod alpm;
mod apk;
mod bitnami;
mod composer;
mod conan;
mod conda;
mod cran;
mod datetime;
mod deb;
mod gem;
mod generic;
mod gentoo;
mod golang;
mod hackage;
mod julia;
mod luarocks;
mod maven;
mod nuget;
mod num;
mod openssl;
mod pep440;
mod php;
mod pub_dart;
mod rpm;
mod semver;

use crate::package::PackageKind;
use std::cmp::Ordering;

/// Longest version text that is looked at, in bytes; real ones stay below 300.
pub const MAX_VERSION_BYTES: usize = 1024;

/// Why a version has no place in an order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Longer than [`MAX_VERSION_BYTES`].
    #[error("version of {len_bytes} bytes is longer than {MAX_VERSION_BYTES}")]
    TooLong {
        /// Its length.
        len_bytes: usize,
    },
    /// The ecosystem's own tool refuses it.
    #[error("{version:?} is not a version of {scheme}")]
    Unparsable {
        /// Scheme asked for.
        scheme: Scheme,
        /// The text refused.
        version: String,
    },
}

macro_rules! schemes {
    ($($(#[$doc:meta])* $name:ident $vers:literal => $ty:path;)+) => {
        /// A version order, named after the ecosystem whose tool defines it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Scheme { $($(#[$doc])* $name,)+ }

        impl Scheme {
            /// Every scheme, in declaration order.
            pub const ALL: &'static [Scheme] = &[$(Scheme::$name,)+];

            /// Its name as a VERS versioning scheme (or the nearest such name).
            pub fn name(self) -> &'static str { match self { $(Scheme::$name => $vers,)+ } }

            /// Tokenises `version` for repeated comparison.
            ///
            /// # Errors
            /// [`VersionError`] if it is over-long or the ecosystem's tool refuses it.
            pub fn parse(self, version: &str) -> Result<VersionKey, VersionError> {
                if version.len() > MAX_VERSION_BYTES {
                    return Err(VersionError::TooLong { len_bytes: version.len() });
                }
                let refused = || VersionError::Unparsable { scheme: self, version: version.to_owned() };
                Ok(VersionKey(match self {
                    $(Scheme::$name => Key::$name(<$ty>::parse(version).ok_or_else(refused)?),)+
                }))
            }
        }

        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        enum Key { $($name($ty),)+ }
    };
}

schemes! {
    /// dpkg, `deb-version(7)`; also opkg.
    Deb "deb" => deb::Deb;
    /// rpm's `rpmvercmp` over `epoch:version-release`.
    Rpm "rpm" => rpm::Rpm;
    /// apk-tools 3.
    Apk "apk" => apk::Apk;
    /// node-semver as npm uses it (build metadata ignored; what it refuses is compared by its numbers).
    Npm "npm" => semver::Semver;
    /// Semantic Versioning 2.0.0, any count of numbers, optional `v`; Cargo, Hex, Swift.
    Semver "semver" => semver::Semver;
    /// PEP 440, and setuptools' legacy order for what is none.
    Pep440 "pypi" => pep440::Pep440;
    /// Maven 3.9's `ComparableVersion`.
    Maven "maven" => maven::Maven;
    /// `golang.org/x/mod/semver` (the `v` may be missing) and toolchain names (`go1.21rc2`).
    Golang "golang" => golang::Golang;
    /// `Gem::Version`; also CocoaPods.
    RubyGems "gem" => gem::Gem;
    /// Composer's normalised order (`composer audit`): `1.0` is `1.0.0`.
    Composer "composer" => composer::Composer;
    /// PHP's `version_compare` as composer/semver's `Comparator` calls it, a leading `v` dropped: `1.0` < `1.0.0`.
    Packagist "packagist" => php::Php;
    /// `NuGetVersion`.
    Nuget "nuget" => nuget::Nuget;
    /// Dart's `pub_semver`: build metadata counts.
    Pub "pub" => pub_dart::Pub;
    /// Elixir's `Version`.
    Hex "hex" => semver::Semver;
    /// Swift package tags.
    Swift "swift" => semver::Semver;
    /// R's `package_version`.
    Cran "cran" => cran::Cran;
    /// Haskell's `Data.Version`.
    Hackage "hackage" => hackage::Hackage;
    /// Julia's `VersionNumber`.
    Julia "julia" => julia::Julia;
    /// Conan 2's `Version`.
    Conan "conan" => conan::Conan;
    /// conda's `VersionOrder`.
    Conda "conda" => conda::Conda;
    /// pacman's `vercmp`.
    Alpm "alpm" => alpm::Alpm;
    /// Gentoo's Package Manager Specification, section 3.3.
    Gentoo "gentoo" => gentoo::Gentoo;
    /// OpenSSL's release names, before and after 3.0.
    Openssl "openssl" => openssl::Openssl;
    /// nginx release numbers.
    Nginx "nginx" => semver::Semver;
    /// Bitnami: semantic with a packaging revision.
    Bitnami "bitnami" => bitnami::Bitnami;
    /// LuaRocks' `core.vers`.
    Luarocks "luarocks" => luarocks::Luarocks;
    /// VERS `intdot`: integers separated by dots.
    Intdot "intdot" => generic::Intdot;
    /// VERS `lexicographic`: by Unicode code points.
    Lexicographic "lexicographic" => generic::Lexicographic;
    /// VERS `datetime`: RFC 3339.
    Datetime "datetime" => datetime::Datetime;
    /// No known order: runs of digits and letters, `~` before everything (as rpm).
    Generic "generic" => rpm::Rpm;
}

impl std::fmt::Display for Scheme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Scheme {
    /// The order that a packaging system uses.
    pub fn of(kind: PackageKind) -> Self {
        match kind {
            // opam's order is dpkg's algorithm
            PackageKind::Deb | PackageKind::Opkg | PackageKind::Opam => Self::Deb,
            PackageKind::Rpm => Self::Rpm,
            PackageKind::Apk => Self::Apk,
            PackageKind::Alpm => Self::Alpm,
            PackageKind::Portage => Self::Gentoo,
            PackageKind::Npm => Self::Npm,
            PackageKind::Pypi => Self::Pep440,
            PackageKind::Conda => Self::Conda,
            PackageKind::Maven => Self::Maven,
            PackageKind::Golang => Self::Golang,
            PackageKind::Cargo | PackageKind::Terraform | PackageKind::Github => Self::Semver,
            PackageKind::Gem | PackageKind::Cocoapods => Self::RubyGems,
            PackageKind::Composer => Self::Composer,
            PackageKind::Pear | PackageKind::WordpressPlugin => Self::Packagist,
            PackageKind::Nuget => Self::Nuget,
            PackageKind::Pub => Self::Pub,
            PackageKind::Hex => Self::Hex,
            PackageKind::Swift => Self::Swift,
            PackageKind::Hackage => Self::Hackage,
            PackageKind::Cran => Self::Cran,
            PackageKind::Julia => Self::Julia,
            PackageKind::Conan => Self::Conan,
            PackageKind::Luarocks => Self::Luarocks,
            PackageKind::Bitnami => Self::Bitnami,
            PackageKind::Nix
            | PackageKind::Brew
            | PackageKind::Swiplpack
            | PackageKind::Otp
            | PackageKind::Oci
            | PackageKind::Generic => Self::Generic,
        }
    }

    /// The scheme of a VERS type or of another name in common use for it; `None` when unknown.
    pub fn by_name(name: &str) -> Option<Self> {
        if let Some(found) = Self::ALL.iter().copied().find(|s| s.name() == name) {
            return Some(found);
        }
        Some(match name {
            "debian" | "ubuntu" | "dpkg" | "opkg" => Self::Deb,
            "redhat" | "rhel" | "suse" | "opensuse" | "almalinux" | "rocky" => Self::Rpm,
            "alpine" => Self::Apk,
            "cargo" | "crates" | "crates.io" | "github" | "mattermost" | "elixir" | "otp" | "vcpkg" => {
                Self::Semver
            }
            "pep440" | "python" => Self::Pep440,
            "go" => Self::Golang,
            "rubygems" | "ruby" | "cocoapods" => Self::RubyGems,
            "ebuild" | "portage" => Self::Gentoo,
            "arch" | "archlinux" => Self::Alpm,
            "dart" => Self::Pub,
            "haskell" => Self::Hackage,
            "r" => Self::Cran,
            _ => return None,
        })
    }
}

/// One version, tokenised; compare keys of one scheme only (keys of different schemes order by scheme).
///
/// `Ord` is total and safe for sorting. It is what the tool answers, except where the tool's answers are no total order:
/// pacman and `LuaRocks` call a version without a release equal to the same version with any (here it comes first), and
/// Maven and Conan judge words in unusual places in a circle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionKey(Key);

impl VersionKey {
    /// Whether the ecosystem knows no such version, and orders it somewhere all the same.
    pub(crate) fn is_makeshift(&self) -> bool {
        matches!(self.0, Key::Pep440(pep440::Pep440::Legacy(_)))
    }

    /// The tool's own answer, also where it is no total order: what judges a version against an advisory.
    pub fn compare(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Key::Alpm(a), Key::Alpm(b)) => a.vercmp(b),
            (Key::Luarocks(a), Key::Luarocks(b)) => a.tool_cmp(b),
            (Key::Maven(a), Key::Maven(b)) => a.compare_to(b),
            (Key::Conan(a), Key::Conan(b)) => a.tool_cmp(b),
            (a, b) => a.cmp(b),
        }
    }
}

/// Compares two versions as the scheme's own tool does.
///
/// # Errors
/// [`VersionError`] if either text is over-long or no version to that tool.
pub fn compare(scheme: Scheme, a: &str, b: &str) -> Result<Ordering, VersionError> {
    Ok(scheme.parse(a)?.compare(&scheme.parse(b)?))
}

/// Derives equality and partial order from `Ord`, for keys whose order is not that of their fields.
macro_rules! ordered_by_cmp {
    ($ty:ty) => {
        impl PartialEq for $ty {
            fn eq(&self, other: &Self) -> bool {
                self.cmp(other).is_eq()
            }
        }
        impl Eq for $ty {}
        impl PartialOrd for $ty {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }
    };
}
use ordered_by_cmp;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod vectors;
