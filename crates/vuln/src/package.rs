//! Packages as every other part of this crate sees them.
//!
//! Extractors make `Package` values, SBOM writers and readers render them, the matcher judges them. A package says
//! where it was seen (`Evidence`) so that a finding can always be explained.

use oci::Digest;
use serde::{Deserialize, Serialize};

/// The packaging system a package belongs to: it decides name normalisation, version order and package URL type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageKind {
    /// Debian packages (`pkg:deb`).
    Deb,
    /// RPM packages (`pkg:rpm`).
    Rpm,
    /// Alpine-style packages (`pkg:apk`).
    Apk,
    /// opkg packages.
    Opkg,
    /// Arch Linux packages (`pkg:alpm`).
    Alpm,
    /// Gentoo packages (`pkg:ebuild`).
    Portage,
    /// npm packages.
    Npm,
    /// Python distributions (`pkg:pypi`).
    Pypi,
    /// Conda packages.
    Conda,
    /// Maven artifacts; `namespace` is the group id.
    Maven,
    /// Go modules; the name is the whole module path.
    Golang,
    /// Rust crates.
    Cargo,
    /// Ruby gems.
    Gem,
    /// PHP Composer packages.
    Composer,
    /// .NET packages.
    Nuget,
    /// Dart packages.
    Pub,
    /// Erlang and Elixir packages.
    Hex,
    /// Swift packages.
    Swift,
    /// CocoaPods.
    Cocoapods,
    /// Haskell packages.
    Hackage,
    /// R packages.
    Cran,
    /// Julia packages.
    Julia,
    /// C and C++ packages of Conan.
    Conan,
    /// Lua rocks.
    Luarocks,
    /// Bitnami components.
    Bitnami,
    /// Nix store paths (`pkg:nix`).
    Nix,
    /// Homebrew formulae (`pkg:brew`).
    Brew,
    /// PHP PEAR and PECL packages (`pkg:pear`); `namespace` is the channel.
    Pear,
    /// OCaml packages (`pkg:opam`).
    Opam,
    /// SWI-Prolog packs (`pkg:swiplpack`).
    Swiplpack,
    /// Terraform providers (`pkg:terraform`).
    Terraform,
    /// GitHub actions and shared workflows (`pkg:github`).
    Github,
    /// WordPress plugins (`pkg:wordpress-plugin`).
    WordpressPlugin,
    /// Erlang OTP applications (`pkg:otp`).
    Otp,
    /// Container images that a chart or document names (`pkg:oci`); the name is the whole repository.
    Oci,
    /// Anything else: `pkg:generic`.
    Generic,
}

/// Where a package was seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Evidence {
    /// Uncompressed digest (diffID) of the layer, absent for a plain directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<Digest>,
    /// Path of the file that states the package, without a leading slash.
    pub path: String,
}

/// The source package that a distribution package was built from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourcePackage {
    /// Source name.
    pub name: String,
    /// Source version in the distribution's full form (`epoch:upstream-revision`).
    pub version: String,
}

/// What the property `source` says of a package that was made from the code at hand, as a member of a workspace: feeds do
/// not speak of it, whatever has the same name elsewhere.
pub(crate) const LOCAL: &str = "local";

/// One package at one version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Packaging system.
    pub kind: PackageKind,
    /// Maven group, npm scope without `@`, Composer vendor …; none where the ecosystem has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name as the ecosystem spells it (not normalised).
    pub name: String,
    /// Version in the ecosystem's full form; for rpm `epoch:version-release` (no epoch: without `epoch:`).
    pub version: String,
    /// Machine architecture, for distribution packages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// Source package, for distribution packages that differ from or state it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourcePackage>,
    /// rpm modularity label (`name:stream:…`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Who supplies it: rpm vendor, Debian maintainer; decides official against third party.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supplier: Option<String>,
    /// Licences as declared, each an SPDX expression or the text found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<String>,
    /// Lower-case hexadecimal hashes as `algorithm:hex` (`sha1:…`), of the package file where known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hashes: Vec<String>,
    /// Names (as in `name`) of packages that this one states it depends on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// Every place that states it; never empty after extraction.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// Further facts for SBOM properties, sorted by key.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub properties: std::collections::BTreeMap<String, String>,
}

impl Package {
    /// A package with only its identity set.
    pub fn new(kind: PackageKind, name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            kind,
            namespace: None,
            name: name.into(),
            version: version.into(),
            arch: None,
            source: None,
            module: None,
            supplier: None,
            licenses: Vec::new(),
            hashes: Vec::new(),
            depends_on: Vec::new(),
            evidence: Vec::new(),
            properties: std::collections::BTreeMap::new(),
        }
    }

    /// A package whose ecosystem name has a namespace before the last slash: npm (`@scope/name`), Composer, Portage.
    pub fn scoped(kind: PackageKind, name: &str, version: impl Into<String>) -> Self {
        match name.rsplit_once('/') {
            Some((namespace, name)) => {
                let mut package = Self::new(kind, name, version);
                package.namespace = Some(namespace.trim_start_matches('@').to_owned());
                package
            }
            None => Self::new(kind, name, version),
        }
    }

    /// The name as the ecosystem's tools and advisories write it: `@scope/name`, `group:artifact`, `vendor/name`.
    pub fn full_name(&self) -> String {
        match (&self.namespace, self.kind) {
            (None, _) => self.name.clone(),
            (Some(namespace), PackageKind::Npm) => format!("@{namespace}/{}", self.name),
            (Some(namespace), PackageKind::Maven) => format!("{namespace}:{}", self.name),
            (Some(namespace), _) => format!("{namespace}/{}", self.name),
        }
    }
}

/// A Linux distribution release, from os-release and its relatives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Distro {
    /// `ID`, lower case: `debian`, `alpine`, `almalinux` …
    pub id: String,
    /// `ID_LIKE`, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub id_like: Vec<String>,
    /// `VERSION_ID`, empty for rolling releases.
    pub version_id: String,
    /// `VERSION_CODENAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codename: Option<String>,
    /// `PRETTY_NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretty_name: Option<String>,
    /// `CPE_NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpe: Option<String>,
    /// What changes the advisories that apply beside the version: `edge` (an Alpine that mixes in edge packages), `esm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
}

/// All that a scan needs to know of one image, directory or SBOM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// The distribution, if one was recognised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distro: Option<Distro>,
    /// Packages, sorted and without duplicates.
    pub packages: Vec<Package>,
    /// Packages found in files that an official distribution package owns: the distribution answers for them, so they
    /// are neither counted nor matched. Their property `owner` names the owning package.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suppressed: Vec<Package>,
    /// Files that an extractor could not read: the scan is partial, never silently clean.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// A file that could not be understood, or a limit that was reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// Extractor or stage that failed.
    pub source: String,
    /// Path in the image or directory.
    pub path: String,
    /// What is wrong, as a lower-case fragment.
    pub message: String,
}
