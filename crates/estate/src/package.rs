//! What matching depends on, and what a reader is shown.
//!
//! A package's title is its name as its ecosystem compares names (`org.apache.logging.log4j:log4j-core`, `flask` for
//! `Flask`); the end of it that is the name without the namespace is the bare name, by which people ask.

use std::borrow::Cow;
use vuln::advisory::scope;
use vuln::{Distro, Package, PackageKind, Purl, SourcePackage};

/// Packaging systems by the number that files store; numbers are never used again.
pub(crate) const KINDS: [PackageKind; 36] = {
    use PackageKind as K;
    [
        K::Deb,
        K::Rpm,
        K::Apk,
        K::Opkg,
        K::Alpm,
        K::Portage,
        K::Npm,
        K::Pypi,
        K::Conda,
        K::Maven,
        K::Golang,
        K::Cargo,
        K::Gem,
        K::Composer,
        K::Nuget,
        K::Pub,
        K::Hex,
        K::Swift,
        K::Cocoapods,
        K::Hackage,
        K::Cran,
        K::Julia,
        K::Conan,
        K::Luarocks,
        K::Bitnami,
        K::Nix,
        K::Brew,
        K::Pear,
        K::Opam,
        K::Swiplpack,
        K::Terraform,
        K::Github,
        K::WordpressPlugin,
        K::Otp,
        K::Oci,
        K::Generic,
    ]
};

/// The number of a packaging system.
pub(crate) fn code(kind: PackageKind) -> u32 {
    KINDS.iter().position(|k| *k == kind).and_then(|i| u32::try_from(i).ok()).unwrap_or(35)
}

/// Packages of the system's own package manager: what images of one base have in common.
pub(crate) fn is_system(kind: PackageKind) -> bool {
    use PackageKind::{Alpm, Apk, Deb, Opkg, Portage, Rpm};
    matches!(kind, Deb | Rpm | Apk | Opkg | Alpm | Portage)
}

/// A package that the distribution's advisories do not speak of.
pub(crate) const FLAG_THIRD_PARTY: u32 = 1;
/// A package in files of a distribution package, which answers for it.
pub(crate) const FLAG_OWNED: u32 = 2;

/// A name as its ecosystem compares it.
pub(crate) fn folded(kind: PackageKind, name: &str) -> Cow<'_, str> {
    scope::language(kind).map_or(Cow::Borrowed(name), |ecosystem| scope::normal_name(ecosystem, name))
}

/// A package's title and how many bytes at its end are the bare name.
pub(crate) fn title(package: &Package) -> (String, usize) {
    let full = match scope::language(package.kind) {
        Some(_) => scope::language_name(package),
        None => package.full_name(),
    };
    let full = folded(package.kind, &full).into_owned();
    let bare = folded(package.kind, &package.name);
    let length = if full.ends_with(bare.as_ref()) { bare.len() } else { full.len() };
    (full, length)
}

/// A distribution as matching sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Platform {
    pub(crate) id: String,
    pub(crate) scopes: Vec<String>,
}

impl Platform {
    pub(crate) fn of(distro: &Distro) -> Self {
        Self { id: distro.id.clone(), scopes: scope::of_distro(distro) }
    }

    pub(crate) fn to_line(&self) -> String {
        let scopes = self.scopes.iter().map(|s| s.replace('\n', " "));
        std::iter::once(self.id.replace('\n', " ")).chain(scopes).collect::<Vec<_>>().join("\n")
    }
}

/// A package as an estate holds it: all that matching depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageView<'a> {
    /// Packaging system.
    pub kind: PackageKind,
    /// Namespace, where the ecosystem has one.
    pub namespace: Option<&'a str>,
    /// Name as found.
    pub name: &'a str,
    /// Version.
    pub version: &'a str,
    /// Machine architecture.
    pub arch: Option<&'a str>,
    /// Source package's name and version.
    pub source: Option<(&'a str, &'a str)>,
    /// rpm module.
    pub module: Option<&'a str>,
    /// Identifier of the distribution, for its packages.
    pub distro: Option<&'a str>,
    /// Ecosystems (`Debian:12`) in which the distribution's packages are looked up.
    pub scopes: Vec<&'a str>,
    /// Not the distribution's own: its findings do not count.
    pub third_party: bool,
    /// In files of a distribution package, which answers for it.
    pub owned: bool,
}

impl PackageView<'_> {
    /// As scanning knows it, without evidence.
    pub fn to_package(&self) -> Package {
        let mut package = Package::new(self.kind, self.name, self.version);
        package.namespace = self.namespace.map(str::to_owned);
        package.arch = self.arch.map(str::to_owned);
        package.source =
            self.source.map(|(name, version)| SourcePackage { name: name.into(), version: version.into() });
        package.module = self.module.map(str::to_owned);
        package
    }

    /// Its package URL.
    pub fn purl(&self) -> Option<Purl> {
        let distro = self.distro.map(|id| Distro {
            id: id.to_owned(),
            version_id: self
                .scopes
                .first()
                .and_then(|s| s.split_once(':'))
                .map_or_else(String::new, |(_, release)| release.trim_start_matches('v').to_owned()),
            ..Distro::default()
        });
        Purl::of_package(&self.to_package(), distro.as_ref())
    }

    /// Whether findings of it count.
    pub fn counts(&self) -> bool {
        !self.third_party && !self.owned
    }
}

/// A package in an image: where and how it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<'a> {
    /// The package.
    pub package: PackageView<'a>,
    /// Paths of the files that state it.
    pub paths: Vec<&'a str>,
    /// Licences as declared.
    pub licenses: Vec<&'a str>,
    /// Hashes (`sha1:…`) of its file.
    pub hashes: Vec<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packaging_system_has_its_number() {
        for (number, kind) in (0..).zip(KINDS) {
            assert_eq!(code(kind), number);
        }
        // A new kind must be given a number: `Generic` is declared last, so the declaration counts them.
        assert_eq!(KINDS.len(), PackageKind::Generic as usize + 1);
    }

    #[test]
    fn titles_are_compared_as_the_ecosystem_does_and_end_in_the_bare_name() {
        for (kind, name, expected, bare) in [
            (PackageKind::Npm, "babel/core", "@babel/core", "core"),
            (PackageKind::Maven, "org.a/b-c", "org.a:b-c", "b-c"),
            (PackageKind::Pypi, "Zope_Interface", "zope-interface", "zope-interface"),
            (PackageKind::Deb, "libC6", "libC6", "libC6"),
            (PackageKind::Composer, "Sym/Http", "sym/http", "http"),
        ] {
            let (full, length) = title(&Package::scoped(kind, name, "1"));
            assert_eq!((full.as_str(), &full[full.len() - length..]), (expected, bare));
        }
    }
}
