//! OSV ecosystem strings (`Debian:12`, `Ubuntu:22.04:LTS`, `npm` …): which packaging system and which distribution
//! release they mean, and how names are spelled in them.
//!
//! An advisory applies to an image only if its ecosystem [`Ecosystem::applies_to`] the image's distribution; an unknown
//! ecosystem applies to nothing and is reported as such by whoever reads the feed, never guessed.

use crate::package::{Distro, Package, PackageKind};
use crate::version::Scheme;
use std::borrow::Cow;

/// An OSV ecosystem: a name and what follows its first colon.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ecosystem {
    name: String,
    suffix: Option<String>,
}

/// What is known of an ecosystem that is a distribution.
struct Family {
    name: &'static str,
    kind: PackageKind,
    /// os-release `ID`s that belong to it.
    ids: &'static [&'static str],
    /// Whether advisories name source packages.
    by_source: bool,
}

const fn family(
    name: &'static str,
    kind: PackageKind,
    ids: &'static [&'static str],
    by_source: bool,
) -> Family {
    Family { name, kind, ids, by_source }
}

const FAMILIES: &[Family] = &[
    family("Debian", PackageKind::Deb, &["debian"], true),
    family("Ubuntu", PackageKind::Deb, &["ubuntu"], true),
    family("Echo", PackageKind::Deb, &["echo"], true),
    family("Alpine", PackageKind::Apk, &["alpine"], true),
    family("Alpaquita", PackageKind::Apk, &["alpaquita"], true),
    family("BellSoft Hardened Containers", PackageKind::Apk, &["bellsoft-hardened-containers"], true),
    family("Wolfi", PackageKind::Apk, &["wolfi"], false),
    family("Chainguard", PackageKind::Apk, &["chainguard"], false),
    family("MinimOS", PackageKind::Apk, &["minimos"], false),
    family("CleanStart", PackageKind::Apk, &["cleanstart"], false),
    family("AlmaLinux", PackageKind::Rpm, &["almalinux"], false),
    family("Rocky Linux", PackageKind::Rpm, &["rocky"], true),
    family("Red Hat", PackageKind::Rpm, &["rhel", "centos"], false),
    family("SUSE", PackageKind::Rpm, &["sles", "sled", "sles_sap", "sle-micro", "sl-micro"], true),
    family("openSUSE", PackageKind::Rpm, &["opensuse-leap", "opensuse-tumbleweed", "opensuse"], true),
    family("Azure Linux", PackageKind::Rpm, &["azurelinux", "mariner"], true),
    family("Photon OS", PackageKind::Rpm, &["photon"], true),
    family("openEuler", PackageKind::Rpm, &["openeuler"], true),
    family("Mageia", PackageKind::Rpm, &["mageia"], true),
];

const LANGUAGES: &[(&str, PackageKind)] = &[
    ("npm", PackageKind::Npm),
    ("PyPI", PackageKind::Pypi),
    ("Maven", PackageKind::Maven),
    ("Go", PackageKind::Golang),
    ("crates.io", PackageKind::Cargo),
    ("RubyGems", PackageKind::Gem),
    ("Packagist", PackageKind::Composer),
    ("NuGet", PackageKind::Nuget),
    ("Hex", PackageKind::Hex),
    ("Pub", PackageKind::Pub),
    ("SwiftURL", PackageKind::Swift),
    ("CRAN", PackageKind::Cran),
    ("Bioconductor", PackageKind::Cran),
    ("Hackage", PackageKind::Hackage),
    ("Julia", PackageKind::Julia),
    ("ConanCenter", PackageKind::Conan),
    ("GitHub Actions", PackageKind::Github),
    ("Bitnami", PackageKind::Bitnami),
    ("opam", PackageKind::Opam),
];

/// Debian's codenames, oldest first; the release number is the index plus 4.
const DEBIAN: [&str; 12] = [
    "etch", "lenny", "squeeze", "wheezy", "jessie", "stretch", "buster", "bullseye", "bookworm", "trixie",
    "forky", "duke",
];

/// Ubuntu's codenames of releases that images are still built on.
const UBUNTU: [(&str, &str); 17] = [
    ("precise", "12.04"),
    ("trusty", "14.04"),
    ("xenial", "16.04"),
    ("bionic", "18.04"),
    ("cosmic", "18.10"),
    ("disco", "19.04"),
    ("eoan", "19.10"),
    ("focal", "20.04"),
    ("groovy", "20.10"),
    ("hirsute", "21.04"),
    ("impish", "21.10"),
    ("jammy", "22.04"),
    ("kinetic", "22.10"),
    ("lunar", "23.04"),
    ("mantic", "23.10"),
    ("noble", "24.04"),
    ("oracular", "24.10"),
];

/// The first `count` dot-separated parts.
fn head(text: &str, count: usize) -> String {
    text.split('.').take(count).collect::<Vec<_>>().join(".")
}

impl Ecosystem {
    /// Splits an ecosystem string; any text is one, known or not.
    pub fn parse(text: &str) -> Self {
        let (name, suffix) = text.trim().split_once(':').map_or((text.trim(), None), |(n, s)| (n, Some(s)));
        Self { name: name.to_owned(), suffix: suffix.filter(|s| !s.is_empty()).map(str::to_owned) }
    }

    /// The ecosystem of a language's packages; `None` where there is none, and for distribution packages, whose
    /// ecosystem is their distribution's.
    pub fn of_kind(kind: PackageKind) -> Option<Self> {
        let (name, _) = LANGUAGES.iter().find(|(_, k)| *k == kind)?;
        Some(Self::parse(name))
    }

    /// The ecosystem of a distribution release as OSV spells it; `None` for a distribution that OSV does not know.
    pub fn of_distro(distro: &Distro) -> Option<Self> {
        let family = FAMILIES.iter().find(|f| f.ids.contains(&distro.id.as_str()))?;
        let key = distro_key(family, distro);
        let suffix = match (family.name, key.as_deref()) {
            (_, None) => None,
            ("Ubuntu", Some(v)) if is_ubuntu_lts(v) => Some(format!("{v}:LTS")),
            ("Alpine", Some(v)) if v != "edge" => Some(format!("v{v}")),
            ("Red Hat", Some(v)) => Some(format!("enterprise_linux:{v}")),
            ("SUSE", Some(v)) => Some(format!("Linux Enterprise Server {v}")),
            ("openSUSE", Some("tumbleweed")) => Some("Tumbleweed".to_owned()),
            ("openSUSE", Some(v)) => Some(format!("Leap {v}")),
            (_, Some(v)) => Some(v.to_owned()),
        };
        Some(Self { name: family.name.to_owned(), suffix })
    }

    /// The ecosystem of a package found in `distro`.
    pub fn of_package(package: &Package, distro: Option<&Distro>) -> Option<Self> {
        Self::of_kind(package.kind).or_else(|| {
            let of_distro = Self::of_distro(distro?)?;
            (of_distro.kind() == Some(package.kind)).then_some(of_distro)
        })
    }

    /// The name before the first colon.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What follows the first colon: release, product, repository.
    pub fn suffix(&self) -> Option<&str> {
        self.suffix.as_deref()
    }

    fn family(&self) -> Option<&'static Family> {
        FAMILIES.iter().find(|f| f.name == self.name)
    }

    /// The packaging system; `None` when the ecosystem is not known.
    pub fn kind(&self) -> Option<PackageKind> {
        let language = LANGUAGES.iter().find(|(name, _)| *name == self.name).map(|(_, kind)| *kind);
        language.or_else(|| self.family().map(|f| f.kind))
    }

    /// The order of its versions; `None` when the ecosystem is not known.
    pub fn scheme(&self) -> Option<Scheme> {
        self.kind().map(Scheme::of)
    }

    /// Whether it is a distribution (else a language's registry, or unknown).
    pub fn is_distribution(&self) -> bool {
        self.family().is_some()
    }

    /// Whether its advisories name source packages rather than binary ones.
    pub fn names_source_packages(&self) -> bool {
        self.family().is_some_and(|f| f.by_source)
    }

    /// Whether an advisory of this ecosystem speaks of the release `distro`. Ubuntu's `Pro` and Red Hat's extended
    /// streams do not apply to the plain release; an ecosystem without a release applies to all of its distribution.
    pub fn applies_to(&self, distro: &Distro) -> bool {
        let Some(family) = self.family().filter(|f| f.ids.contains(&distro.id.as_str())) else {
            return false;
        };
        let Some(suffix) = &self.suffix else { return true };
        match release_key(family, suffix) {
            Some(ours) => distro_key(family, distro).is_some_and(|theirs| theirs == ours),
            None => false,
        }
    }

    /// The release without the spelling of the ecosystem: `12`, `22.04`, `3.20`, `9`, `15 SP5`; `None` if there is none
    /// or it is no plain release (`Ubuntu:Pro:…`).
    pub fn release(&self) -> Option<String> {
        release_key(self.family()?, self.suffix.as_deref()?)
    }

    /// The distribution that it means, for matching package lists without os-release.
    pub fn distro(&self) -> Option<Distro> {
        let family = self.family()?;
        let release = self.release().unwrap_or_default();
        let id = match (family.name, release.as_str()) {
            ("openSUSE", "tumbleweed") => "opensuse-tumbleweed",
            _ => family.ids.first()?,
        };
        let version_id = match family.name {
            "SUSE" => release.replace(" SP", "."),
            "openSUSE" if release == "tumbleweed" => String::new(),
            _ => release,
        };
        Some(Distro { id: id.to_owned(), version_id, ..Distro::default() })
    }

    /// A package name as the ecosystem compares it (PEP 503 for PyPI, without case for NuGet and Packagist …).
    pub fn normalize_name<'a>(&self, name: &'a str) -> Cow<'a, str> {
        self.kind().map_or(Cow::Borrowed(name), |kind| normalize_name(kind, name))
    }
}

impl std::fmt::Display for Ecosystem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        self.suffix.as_ref().map_or(Ok(()), |suffix| write!(f, ":{suffix}"))
    }
}

fn is_ubuntu_lts(version: &str) -> bool {
    let year: Option<u32> = version.split('.').next().and_then(|y| y.parse().ok());
    version.ends_with(".04") && year.is_some_and(|y| y % 2 == 0)
}

/// What identifies a release, from an ecosystem's suffix.
fn release_key(family: &Family, suffix: &str) -> Option<String> {
    let starts_with_number = |t: &str| t.starts_with(|c: char| c.is_ascii_digit());
    Some(match family.name {
        "Debian" => match DEBIAN.iter().position(|c| *c == suffix) {
            Some(index) => (index + 4).to_string(),
            None => head(suffix, 1),
        },
        "Ubuntu" => {
            starts_with_number(suffix).then(|| head(suffix.split(':').next().unwrap_or(suffix), 2))?
        }
        "Alpine" if suffix == "edge" => suffix.to_owned(),
        "Alpine" => head(suffix.strip_prefix('v').unwrap_or(suffix), 2),
        "AlmaLinux" | "Rocky Linux" | "Azure Linux" => head(suffix, 1),
        "Red Hat" => {
            let (product, rest) = suffix.split_once(':')?;
            let plain = matches!(product, "enterprise_linux" | "redhat_enterprise_linux");
            plain.then(|| head(rest.split(':').next().unwrap_or(rest), 1))?
        }
        // product names end in the release: `Linux Enterprise Module for Basesystem 15 SP5`
        "SUSE" => {
            let start = suffix.find(|c: char| c.is_ascii_digit())?;
            let mut words = suffix[start..].split_whitespace();
            let (major, pack) = (words.next()?, words.next().filter(|w| w.starts_with("SP")));
            match pack {
                Some(pack) => format!("{major} {pack}"),
                None => major.replace('.', " SP"),
            }
        }
        "openSUSE" if suffix.eq_ignore_ascii_case("tumbleweed") => "tumbleweed".to_owned(),
        "openSUSE" => suffix.split_whitespace().last()?.to_owned(),
        _ => suffix.to_owned(),
    })
}

/// What identifies a release, from os-release.
fn distro_key(family: &Family, distro: &Distro) -> Option<String> {
    let version = Some(distro.version_id.as_str()).filter(|v| !v.is_empty());
    let codename = distro.codename.as_deref();
    match family.name {
        "Debian" => version.map(|v| head(v, 1)).or_else(|| {
            let index = DEBIAN.iter().position(|c| Some(*c) == codename)?;
            Some((index + 4).to_string())
        }),
        "Ubuntu" => version
            .map(|v| head(v, 2))
            .or_else(|| UBUNTU.iter().find(|(c, _)| Some(*c) == codename).map(|(_, v)| (*v).to_owned())),
        "Alpine" => version.map(|v| if v.contains(['_', 'e']) { "edge".to_owned() } else { head(v, 2) }),
        "AlmaLinux" | "Rocky Linux" | "Red Hat" | "Azure Linux" => version.map(|v| head(v, 1)),
        "SUSE" => version.map(|v| v.replace('.', " SP")),
        "openSUSE" if distro.id == "opensuse-tumbleweed" => Some("tumbleweed".to_owned()),
        // `openEuler 24.03 (LTS-SP1)`
        "openEuler" => version.map(|v| {
            let variant = distro.pretty_name.as_deref().and_then(|p| p.split_once('(')).map(|(_, v)| v);
            variant.map_or(v.to_owned(), |variant| format!("{v}-{}", variant.trim_end_matches(')')))
        }),
        "Wolfi" | "Chainguard" | "MinimOS" => None,
        _ => version.map(str::to_owned),
    }
}

/// A package name as its packaging system compares it.
pub fn normalize_name(kind: PackageKind, name: &str) -> Cow<'_, str> {
    let lower = |name: &str| Cow::Owned(name.to_lowercase());
    match kind {
        PackageKind::Pypi => {
            let mut out = String::with_capacity(name.len());
            for c in name.chars() {
                match c {
                    '-' | '_' | '.' if out.ends_with('-') => {}
                    '-' | '_' | '.' => out.push('-'),
                    c => out.extend(c.to_lowercase()),
                }
            }
            Cow::Owned(out)
        }
        PackageKind::Nuget
        | PackageKind::Composer
        | PackageKind::Github
        | PackageKind::Hex
        | PackageKind::Pub
        | PackageKind::Bitnami
        | PackageKind::Conan => lower(name),
        PackageKind::Swift => {
            let bare = name.strip_prefix("https://").or(name.strip_prefix("http://")).unwrap_or(name);
            lower(bare.strip_suffix(".git").unwrap_or(bare))
        }
        _ => Cow::Borrowed(name),
    }
}

/// The name by which advisories know a package: `group:artifact` for Maven, `@scope/name` for npm, `vendor/name` for
/// Composer, the name elsewhere. Distribution packages are also known by their source.
pub fn advisory_name(package: &Package) -> String {
    match (&package.namespace, package.kind) {
        (Some(group), PackageKind::Maven) => format!("{group}:{}", package.name),
        (Some(scope), PackageKind::Npm) => format!("@{}/{}", scope.trim_start_matches('@'), package.name),
        (
            Some(namespace),
            PackageKind::Composer
            | PackageKind::Golang
            | PackageKind::Swift
            | PackageKind::Github
            | PackageKind::Terraform
            | PackageKind::Hex,
        ) => format!("{namespace}/{}", package.name),
        _ => package.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distro(id: &str, version_id: &str) -> Distro {
        Distro { id: id.to_owned(), version_id: version_id.to_owned(), ..Distro::default() }
    }

    #[test]
    fn releases_are_spelled_as_osv_spells_them_and_apply_to_themselves() {
        for (id, version, expected) in [
            ("debian", "12", "Debian:12"),
            ("debian", "12.5", "Debian:12"),
            ("ubuntu", "22.04", "Ubuntu:22.04:LTS"),
            ("ubuntu", "24.10", "Ubuntu:24.10"),
            ("alpine", "3.20.3", "Alpine:v3.20"),
            ("alpine", "3.21.0_alpha20240923", "Alpine:edge"),
            ("wolfi", "20230201", "Wolfi"),
            ("almalinux", "9.3", "AlmaLinux:9"),
            ("rocky", "9.4", "Rocky Linux:9"),
            ("rhel", "9.2", "Red Hat:enterprise_linux:9"),
            ("sles", "15.5", "SUSE:Linux Enterprise Server 15 SP5"),
            ("sles", "12", "SUSE:Linux Enterprise Server 12"),
            ("opensuse-leap", "15.6", "openSUSE:Leap 15.6"),
            ("opensuse-tumbleweed", "20240901", "openSUSE:Tumbleweed"),
            ("azurelinux", "3.0", "Azure Linux:3"),
            ("mariner", "2.0", "Azure Linux:2"),
            ("photon", "3.0", "Photon OS:3.0"),
            ("alpaquita", "23", "Alpaquita:23"),
            ("mageia", "9", "Mageia:9"),
        ] {
            let release = distro(id, version);
            let ecosystem = Ecosystem::of_distro(&release).unwrap();
            assert_eq!(ecosystem.to_string(), expected);
            assert!(ecosystem.applies_to(&release), "{expected}");
            assert_eq!(Ecosystem::parse(expected), ecosystem);
            let back = ecosystem.distro().unwrap();
            assert!(ecosystem.applies_to(&back), "{expected}: {back:?}");
        }
        assert_eq!(Ecosystem::of_distro(&distro("nixos", "24.05")), None);
    }

    #[test]
    fn advisories_of_other_releases_products_and_streams_do_not_apply() {
        for (ecosystem, id, version) in [
            ("Debian:11", "debian", "12"),
            ("Debian:12", "ubuntu", "12"),
            ("Ubuntu:Pro:22.04:LTS", "ubuntu", "22.04"),
            ("Ubuntu:Pro:FIPS-updates:20.04:LTS", "ubuntu", "20.04"),
            ("Alpine:v3.2", "alpine", "3.20"),
            ("Red Hat:rhel_eus:9.2::baseos", "rhel", "9.2"),
            ("Red Hat:openshift:4.12::el9", "rhel", "9.2"),
            ("SUSE:Linux Enterprise Server 15 SP4", "sles", "15.5"),
            ("openSUSE:Leap 15.5", "opensuse-leap", "15.6"),
            ("npm", "debian", "12"),
            ("Nonsense:12", "debian", "12"),
        ] {
            assert!(!Ecosystem::parse(ecosystem).applies_to(&distro(id, version)), "{ecosystem}");
        }
        for (ecosystem, id, version) in [
            ("Azure Linux:3.0", "azurelinux", "3.0"),
            ("Red Hat:enterprise_linux:9::baseos", "rhel", "9.2"),
            ("SUSE:Linux Enterprise Module for Basesystem 15 SP5", "sles", "15.5"),
            ("Alpine", "alpine", "3.20"),
            ("Debian:bookworm", "debian", "12"),
        ] {
            assert!(Ecosystem::parse(ecosystem).applies_to(&distro(id, version)), "{ecosystem}");
        }
        let jessie = Distro { codename: Some("jessie".into()), ..distro("debian", "") };
        assert!(Ecosystem::parse("Debian:8").applies_to(&jessie));
    }

    #[test]
    fn every_language_goes_there_and_back() {
        for (name, kind) in LANGUAGES {
            assert_eq!(Ecosystem::parse(name).kind(), Some(*kind));
            assert!(Ecosystem::of_kind(*kind).is_some());
        }
        assert_eq!(
            Ecosystem::parse("Packagist:https://packages.drupal.org/8").kind(),
            Some(PackageKind::Composer)
        );
        assert_eq!(Ecosystem::parse("OSS-Fuzz").kind(), None);
    }

    #[test]
    fn names_compare_as_in_their_ecosystem() {
        let same =
            |ecosystem: &str, name: &str| Ecosystem::parse(ecosystem).normalize_name(name).into_owned();
        assert_eq!(same("PyPI", "Zope.Interface__x"), "zope-interface-x");
        assert_eq!(same("NuGet", "Newtonsoft.Json"), "newtonsoft.json");
        assert_eq!(same("npm", "JSONStream"), "JSONStream");
        assert_eq!(same("SwiftURL", "https://github.com/Apple/swift-nio.git"), "github.com/apple/swift-nio");
        let mut log4j = Package::new(PackageKind::Maven, "log4j-core", "2.17.0");
        log4j.namespace = Some("org.apache.logging.log4j".into());
        assert_eq!(advisory_name(&log4j), "org.apache.logging.log4j:log4j-core");
    }
}
