//! Where a name lives: OSV ecosystem strings made canonical, and the ones that a distribution or package belongs to.
//!
//! Feeds spell one release in several ways (`Ubuntu:22.04:LTS`, `Ubuntu:22.04`; `SUSE:Linux Enterprise Server 15 SP3`,
//! `SUSE Linux Enterprise 15-SP3`; Red Hat by CPE). Both sides of a look-up pass through this file, so they meet.

use super::NameKind;
use crate::package::{Distro, Package, PackageKind};
use crate::version::Scheme;
use std::borrow::Cow;

/// The canonical form of an ecosystem string.
pub fn canonical(ecosystem: &str) -> String {
    let ecosystem = ecosystem.trim();
    let (family, release) = ecosystem.split_once(':').unwrap_or((ecosystem, ""));
    match family {
        "Ubuntu" => ubuntu_scope(release),
        "Alpine" if !release.is_empty() => format!("Alpine:{}", alpine_release(release)),
        "Debian" => format!("Debian:{}", debian_release(release)).trim_end_matches(':').to_owned(),
        "Red Hat" => red_hat_scope(release),
        "Rocky Linux" | "AlmaLinux" | "Oracle Linux" => {
            format!("{family}:{}", release.split('.').next().unwrap_or(release))
                .trim_end_matches(':')
                .to_owned()
        }
        "SUSE" | "openSUSE" => suse_scope(family, release),
        _ => ecosystem.to_owned(),
    }
}

/// The family of an ecosystem string (before the colon).
pub fn family(ecosystem: &str) -> &str {
    ecosystem.split(':').next().unwrap_or(ecosystem)
}

/// `Ubuntu:18.04`, `Ubuntu:Pro:18.04` (extended maintenance), and the builds that are others:
/// `Ubuntu:Pro:FIPS-updates:20.04`, `Ubuntu:Pro:Realtime:22.04`, `Ubuntu:Nvidia-BlueField:22.04`. Each has two spellings.
fn ubuntu_scope(release: &str) -> String {
    let parts: Vec<&str> = release.split(':').collect();
    let Some(version) = parts.iter().find(|p| p.starts_with(|c: char| c.is_ascii_digit())) else {
        return format!("Ubuntu:{release}");
    };
    let pro = if parts.contains(&"Pro") { "Pro:" } else { "" };
    let words = parts.iter().filter(|p| *p != version && !matches!(**p, "LTS" | "Pro" | "for" | "Kernel"));
    let build = words.copied().collect::<Vec<_>>().join("-");
    match build.to_ascii_lowercase().as_str() {
        "" => format!("Ubuntu:{pro}{version}"),
        "nvidia-bluefield" => format!("Ubuntu:{pro}Nvidia-BlueField:{version}"),
        _ => format!("Ubuntu:{pro}{build}:{version}"),
    }
}

/// How far a scope is from the plain release, where a distribution's channels build on each other: what a farther one
/// has repaired is repaired, whatever a nearer one says. Scopes of which that cannot be said are all at 0.
pub fn distance(scope: &str) -> u8 {
    match scope.strip_prefix("Ubuntu:").map(|rest| rest.split(':').collect::<Vec<_>>()).as_deref() {
        Some(["Pro", _]) => 1,
        Some([_, _] | ["Pro", _, _]) => 2,
        _ => 0,
    }
}

/// The scopes that a distribution's package is looked up in: those of its distribution, and for the builds of
/// Ubuntu's own kind (FIPS, real time, BlueField) those of that kind, which mean no other package.
pub fn of_package(package: &Package, scopes: &[String]) -> Vec<String> {
    let mut out: Vec<String> = scopes.iter().filter(|s| kind(s) == package.kind).cloned().collect();
    let release = |s: &String| Some(s.strip_prefix("Ubuntu:").filter(|r| !r.contains(':'))?.to_owned());
    let Some(release) = out.iter().find_map(release) else { return out };
    let says = |word: &str| {
        let source = package.source.iter().flat_map(|s| [s.name.as_str(), s.version.as_str()]);
        [package.name.as_str(), package.version.as_str()]
            .into_iter()
            .chain(source)
            .any(|text| text.to_ascii_lowercase().contains(word))
    };
    let builds: &[&str] = match () {
        () if says("fips") => &["Pro:FIPS-updates", "Pro:FIPS", "Pro:FIPS-preview"],
        () if says("realtime") => &["Pro:Realtime"],
        () if says("bluefield") => &["Nvidia-BlueField"],
        () => &[],
    };
    out.extend(builds.iter().map(|build| format!("Ubuntu:{build}:{release}")));
    out
}

/// `v3.20` from `3.20.1`, `v3.20`, `3.20`; `edge` stays.
fn alpine_release(release: &str) -> String {
    let bare = release.trim_start_matches('v');
    if !bare.starts_with(|c: char| c.is_ascii_digit()) {
        return release.to_owned();
    }
    if bare.contains('_') {
        return "edge".into();
    }
    let mut parts = bare.split('.');
    match (parts.next(), parts.next()) {
        (Some(major), Some(minor)) => format!("v{major}.{minor}"),
        _ => format!("v{bare}"),
    }
}

/// Debian's number from a number, point release or code name.
pub fn debian_release(release: &str) -> &str {
    match release {
        "buzz" => "1.1",
        "rex" => "1.2",
        "bo" => "1.3",
        "hamm" => "2.0",
        "slink" => "2.1",
        "potato" => "2.2",
        "woody" => "3.0",
        "sarge" => "3.1",
        "etch" => "4",
        "lenny" => "5",
        "squeeze" => "6",
        "wheezy" => "7",
        "jessie" => "8",
        "stretch" => "9",
        "buster" => "10",
        "bullseye" => "11",
        "bookworm" => "12",
        "trixie" => "13",
        "forky" => "14",
        "duke" => "15",
        "unstable" => "sid",
        other => match other.split_once('.') {
            Some((major, _)) if major.parse::<u32>().is_ok_and(|m| m >= 4) => major,
            _ => other,
        },
    }
}

/// Ubuntu's number from its code name (first word of it).
pub fn ubuntu_release(codename: &str) -> Option<&'static str> {
    Some(match codename {
        "dapper" => "6.06",
        "hardy" => "8.04",
        "lucid" => "10.04",
        "maverick" => "10.10",
        "natty" => "11.04",
        "oneiric" => "11.10",
        "precise" => "12.04",
        "quantal" => "12.10",
        "raring" => "13.04",
        "saucy" => "13.10",
        "trusty" => "14.04",
        "utopic" => "14.10",
        "vivid" => "15.04",
        "wily" => "15.10",
        "xenial" => "16.04",
        "yakkety" => "16.10",
        "zesty" => "17.04",
        "artful" => "17.10",
        "bionic" => "18.04",
        "cosmic" => "18.10",
        "disco" => "19.04",
        "eoan" => "19.10",
        "focal" => "20.04",
        "groovy" => "20.10",
        "hirsute" => "21.04",
        "impish" => "21.10",
        "jammy" => "22.04",
        "kinetic" => "22.10",
        "lunar" => "23.04",
        "mantic" => "23.10",
        "noble" => "24.04",
        "oracular" => "24.10",
        "plucky" => "25.04",
        "questing" => "25.10",
        "resolute" => "26.04",
        _ => return None,
    })
}

/// `Red Hat:8` for the CPE tails of the plain operating system and its standard repositories; others keep their tail.
fn red_hat_scope(tail: &str) -> String {
    let mut parts = tail.split(':');
    let (product, version, repository) =
        (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next_back().unwrap_or(""));
    let plain = matches!(
        repository,
        "" | "baseos"
            | "appstream"
            | "crb"
            | "server"
            | "client"
            | "workstation"
            | "computenode"
            | "powertools"
            | "nfv"
            | "realtime"
            | "highavailability"
            | "resilientstorage"
            | "supplementary"
    );
    if product == "enterprise_linux" && plain && !version.is_empty() {
        return format!("Red Hat:{}", version.split('.').next().unwrap_or(version));
    }
    if product.chars().all(|c| c.is_ascii_digit() || c == '.') && !product.is_empty() {
        return format!("Red Hat:{}", product.split('.').next().unwrap_or(product));
    }
    format!("Red Hat:{tail}")
}

/// The scope of a Red Hat platform given as a CPE URI (`cpe:/a:redhat:enterprise_linux:9::appstream`).
pub fn red_hat_cpe(cpe: &str) -> Option<String> {
    let rest = cpe.strip_prefix("cpe:/")?;
    let tail = rest.splitn(3, ':').nth(2)?;
    Some(red_hat_scope(tail.trim_end_matches(':')))
}

/// `SUSE:15.3` for SUSE Linux Enterprise products of one release, `SUSE:Micro 5.3`, `openSUSE:Leap 15.6`.
fn suse_scope(family: &str, release: &str) -> String {
    let text = release.trim_start_matches("SUSE ").trim_start_matches("openSUSE ");
    if family == "openSUSE" || text.starts_with("Leap") || text.starts_with("Tumbleweed") {
        let short = text.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        return format!("openSUSE:{short}");
    }
    if let Some(rest) =
        text.strip_prefix("Linux Enterprise Micro ").or_else(|| text.strip_prefix("Linux Micro "))
    {
        return format!("SUSE:Micro {}", rest.split(['-', ' ']).next().unwrap_or(rest));
    }
    if let Some(version) = suse_version(text) {
        return format!("SUSE:{version}");
    }
    format!("SUSE:{text}")
}

/// `15.3` from text that ends in `15 SP3`, `15-SP3`, `15 SP3-LTSS`, `15.3` or `12`.
fn suse_version(text: &str) -> Option<String> {
    if !text.contains("Linux Enterprise") && !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let words: Vec<&str> = text.split([' ', '-']).filter(|w| !w.is_empty()).collect();
    let at = words.iter().rposition(|w| {
        w.starts_with(|c: char| c.is_ascii_digit()) && w.chars().all(|c| c.is_ascii_digit() || c == '.')
    })?;
    let base = words[at];
    match words
        .get(at + 1)
        .and_then(|w| w.strip_prefix("SP"))
        .filter(|n| n.chars().all(|c| c.is_ascii_digit()))
    {
        Some(pack) if pack != "0" => Some(format!("{base}.{pack}")),
        _ => Some(base.to_owned()),
    }
}

/// The OSV ecosystem of a language's packages.
pub fn language(kind: PackageKind) -> Option<&'static str> {
    Some(match kind {
        PackageKind::Npm => "npm",
        PackageKind::Pypi => "PyPI",
        PackageKind::Maven => "Maven",
        PackageKind::Golang => "Go",
        PackageKind::Cargo => "crates.io",
        PackageKind::Gem => "RubyGems",
        PackageKind::Composer => "Packagist",
        PackageKind::Nuget => "NuGet",
        PackageKind::Pub => "Pub",
        PackageKind::Hex => "Hex",
        PackageKind::Swift => "SwiftURL",
        PackageKind::Cocoapods => "CocoaPods",
        PackageKind::Hackage => "Hackage",
        PackageKind::Cran => "CRAN",
        PackageKind::Julia => "Julia",
        PackageKind::Conan => "ConanCenter",
        PackageKind::Bitnami => "Bitnami",
        PackageKind::Github => "GitHub Actions",
        PackageKind::Opam => "opam",
        _ => return None,
    })
}

/// Whether a feed is to be expected for a language's packages: nobody publishes advisories of CocoaPods under that name,
/// and an action is named by what is scanned, not contained in it.
pub fn is_published(language: &str) -> bool {
    !matches!(language, "CocoaPods" | "GitHub Actions")
}

/// The packaging system that an ecosystem's versions follow.
pub fn kind(ecosystem: &str) -> PackageKind {
    match family(ecosystem) {
        "Debian" | "Ubuntu" | "Echo" => PackageKind::Deb,
        "Alpine"
        | "Wolfi"
        | "Chainguard"
        | "Alpaquita"
        | "MinimOS"
        | "BellSoft Hardened Containers"
        | "CleanStart" => PackageKind::Apk,
        "AlmaLinux" | "Rocky Linux" | "Red Hat" | "SUSE" | "openSUSE" | "Oracle Linux" | "Amazon Linux"
        | "Fedora" | "Azure Linux" | "CBL-Mariner" | "Photon OS" | "openEuler" | "Mageia" => PackageKind::Rpm,
        "npm" => PackageKind::Npm,
        "PyPI" => PackageKind::Pypi,
        "Maven" => PackageKind::Maven,
        "Go" => PackageKind::Golang,
        "crates.io" => PackageKind::Cargo,
        "RubyGems" => PackageKind::Gem,
        "Packagist" => PackageKind::Composer,
        "NuGet" => PackageKind::Nuget,
        "Pub" => PackageKind::Pub,
        "Hex" => PackageKind::Hex,
        "SwiftURL" => PackageKind::Swift,
        "CocoaPods" => PackageKind::Cocoapods,
        "Hackage" | "GHC" => PackageKind::Hackage,
        "CRAN" | "Bioconductor" => PackageKind::Cran,
        "Julia" => PackageKind::Julia,
        "ConanCenter" => PackageKind::Conan,
        "Bitnami" => PackageKind::Bitnami,
        "GitHub Actions" => PackageKind::Github,
        "Arch Linux" => PackageKind::Alpm,
        _ => PackageKind::Generic,
    }
}

/// The version order of an ecosystem.
pub fn scheme(ecosystem: &str) -> Scheme {
    match kind(ecosystem) {
        PackageKind::Github => Scheme::Semver,
        kind => Scheme::of(kind),
    }
}

/// A package name as it is compared in an ecosystem.
pub fn normal_name<'a>(ecosystem: &str, name: &'a str) -> Cow<'a, str> {
    match family(ecosystem) {
        "PyPI" => Cow::Owned(pep503(name)),
        "NuGet" | "Packagist" | "GitHub Actions" | "Hex" if name.bytes().any(|b| b.is_ascii_uppercase()) => {
            Cow::Owned(name.to_ascii_lowercase())
        }
        "SwiftURL" | "GIT" => Cow::Owned(
            name.trim_start_matches("https://")
                .trim_start_matches("http://")
                .trim_end_matches('/')
                .trim_end_matches(".git")
                .to_ascii_lowercase(),
        ),
        _ => Cow::Borrowed(name),
    }
}

/// PEP 503: runs of `-`, `_`, `.` are one `-`, lower case.
fn pep503(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.trim().chars() {
        if matches!(c, '-' | '_' | '.') {
            if !out.ends_with('-') {
                out.push('-');
            }
        } else {
            out.push(c.to_ascii_lowercase());
        }
    }
    out
}

/// The name of a language package as its ecosystem's advisories spell it.
pub fn language_name(package: &Package) -> String {
    let Some(namespace) = package.namespace.as_deref().filter(|n| !n.is_empty()) else {
        return package.name.clone();
    };
    match package.kind {
        PackageKind::Maven => format!("{namespace}:{}", package.name),
        PackageKind::Npm => format!("@{}/{}", namespace.trim_start_matches('@'), package.name),
        // Some sources give the whole name as the name.
        _ if package.name.strip_prefix(namespace).is_some_and(|rest| rest.starts_with('/')) => {
            package.name.clone()
        }
        _ => format!("{namespace}/{}", package.name),
    }
}

/// The repository of a package that is known by its repository, for advisories of scope `GIT`.
pub fn repository(package: &Package) -> Option<String> {
    let named = language_name(package);
    match package.kind {
        PackageKind::Github => Some(format!("github.com/{named}")),
        PackageKind::Swift => Some(named),
        _ => None,
    }
}

/// Whether an ecosystem's advisories name source or binary packages.
pub fn default_names(ecosystem: &str) -> NameKind {
    match family(ecosystem) {
        "Debian" | "Ubuntu" | "Rocky Linux" | "SUSE" | "openSUSE" | "openEuler" | "Mageia" | "Echo"
        | "Photon OS" | "Azure Linux" | "CBL-Mariner" => NameKind::Source,
        "AlmaLinux" | "Oracle Linux" | "Amazon Linux" | "Fedora" => NameKind::Binary,
        _ => NameKind::Any,
    }
}

/// The canonical ecosystems that a distribution's packages are looked up in, the most specific first.
pub fn of_distro(distro: &Distro) -> Vec<String> {
    let version = distro.version_id.as_str();
    let major = version.split('.').next().unwrap_or(version);
    let one = |s: String| vec![s];
    match distro.id.as_str() {
        "debian" | "raspbian" => match (version, distro.codename.as_deref()) {
            ("", Some(codename)) => one(format!("Debian:{}", debian_release(codename))),
            ("", None) => one("Debian:sid".into()),
            _ => one(format!("Debian:{}", debian_release(version))),
        },
        // Whether extended maintenance is enabled or not: what is repaired only there is not repaired without it.
        "ubuntu" => vec![format!("Ubuntu:{version}"), format!("Ubuntu:Pro:{version}")],
        "alpine" | "postmarketos" => {
            let release = canonical(&format!("Alpine:{}", if version.is_empty() { "edge" } else { version }));
            // Which packages come from edge, an installation does not say.
            let edge = (distro.channel.as_deref() == Some("edge")).then(|| "Alpine:edge".to_owned());
            let edge = edge.filter(|edge| *edge != release);
            std::iter::once(release).chain(edge).collect()
        }
        "wolfi" => one("Wolfi".into()),
        "chainguard" => vec!["Chainguard".into(), "Wolfi".into()],
        "minimos" => one("MinimOS".into()),
        "alpaquita" => one(format!("Alpaquita:{}", if version.is_empty() { "stream" } else { version })),
        "almalinux" => one(format!("AlmaLinux:{major}")),
        "rocky" => one(format!("Rocky Linux:{major}")),
        "rhel" | "centos" | "redhat" => one(format!("Red Hat:{major}")),
        "ol" | "oracle" => one(format!("Oracle Linux:{major}")),
        "amzn" | "amazon" => one(format!("Amazon Linux:{}", amazon_release(version))),
        "fedora" => one(format!("Fedora:{version}")),
        "sles" | "sled" | "sles_sap" | "suse" | "sle_hpc" => one(format!("SUSE:{version}")),
        "sle-micro" | "sl-micro" | "suse-microos" => one(format!("SUSE:Micro {version}")),
        "opensuse-leap" | "opensuse.leap" => one(format!("openSUSE:Leap {version}")),
        "opensuse-tumbleweed" | "opensuse.tumbleweed" => one("openSUSE:Tumbleweed".into()),
        "azurelinux" => one(format!("Azure Linux:{}", two_parts(version))),
        "mariner" => {
            vec![format!("CBL-Mariner:{}", two_parts(version)), format!("Azure Linux:{}", two_parts(version))]
        }
        "photon" => one(format!("Photon OS:{version}")),
        "openeuler" => one(openeuler_release(distro)),
        "mageia" => one(format!("Mageia:{version}")),
        "arch" | "archarm" => one("Arch Linux".into()),
        "echo" => one("Echo".into()),
        _ => like(distro, major),
    }
}

/// Rebuilds that keep the parent's packages and versions.
fn like(distro: &Distro, major: &str) -> Vec<String> {
    match distro.id.as_str() {
        "scientific" | "eurolinux" | "virtuozzo" => vec![format!("Red Hat:{major}")],
        _ => Vec::new(),
    }
}

fn amazon_release(version: &str) -> &str {
    match version {
        v if v.starts_with("2023") => "2023",
        v if v.starts_with("2022") => "2022",
        v if v == "2" || v.starts_with("2 ") || v.starts_with("2.") => "2",
        _ => "1",
    }
}

fn two_parts(version: &str) -> String {
    let mut parts = version.split('.');
    match (parts.next(), parts.next()) {
        (Some(a), Some(b)) => format!("{a}.{b}"),
        _ => format!("{version}.0"),
    }
}

/// `openEuler:22.03-LTS-SP3` from the pretty name `openEuler 22.03 (LTS-SP3)`.
fn openeuler_release(distro: &Distro) -> String {
    let pretty = distro.pretty_name.as_deref().unwrap_or_default();
    match pretty.split_once('(').and_then(|(_, r)| r.split_once(')')) {
        Some((service, _)) => format!("openEuler:{}-{service}", distro.version_id),
        None => format!("openEuler:{}", distro.version_id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_of_ubuntu_stay_apart_in_either_spelling() {
        let spelled = [
            ("Ubuntu:22.04:LTS", "Ubuntu:22.04", 0),
            ("Ubuntu:25.10", "Ubuntu:25.10", 0),
            ("Ubuntu:Pro:18.04:LTS", "Ubuntu:Pro:18.04", 1),
            ("Ubuntu:Pro:FIPS:20.04:LTS", "Ubuntu:Pro:FIPS:20.04", 2),
            ("Ubuntu:Pro:FIPS-updates:20.04:LTS", "Ubuntu:Pro:FIPS-updates:20.04", 2),
            ("Ubuntu:Pro:Realtime:24.04:LTS", "Ubuntu:Pro:Realtime:24.04", 2),
            ("Ubuntu:Pro:24.04:LTS:Realtime:Kernel", "Ubuntu:Pro:Realtime:24.04", 2),
            ("Ubuntu:Nvidia-BlueField:22.04:LTS", "Ubuntu:Nvidia-BlueField:22.04", 2),
            ("Ubuntu:22.04:LTS:for:NVIDIA:BlueField", "Ubuntu:Nvidia-BlueField:22.04", 2),
            ("Ubuntu", "Ubuntu:", 0),
        ];
        for (text, expected, away) in spelled {
            assert_eq!((canonical(text).as_str(), distance(&canonical(text))), (expected, away), "{text}");
            assert_eq!(canonical(expected), expected);
        }
        assert_eq!(distance("Alpine:edge"), 0);
    }

    #[test]
    fn a_package_is_looked_up_where_its_build_is_of() {
        let distro = |id: &str, version: &str, channel: Option<&str>| Distro {
            id: id.to_owned(),
            version_id: version.to_owned(),
            channel: channel.map(str::to_owned),
            ..Distro::default()
        };
        assert_eq!(of_distro(&distro("alpine", "3.20.1", Some("edge"))), ["Alpine:v3.20", "Alpine:edge"]);
        assert_eq!(of_distro(&distro("alpine", "3.20.1", None)), ["Alpine:v3.20"]);
        assert_eq!(of_distro(&distro("alpine", "3.24_alpha20260801", Some("edge"))), ["Alpine:edge"]);
        let scopes = of_distro(&distro("ubuntu", "20.04", None));
        let of = |kind, name: &str, version: &str| {
            of_package(&Package::new(kind, name.to_owned(), version.to_owned()), &scopes)
        };
        let plain = ["Ubuntu:20.04", "Ubuntu:Pro:20.04"];
        assert_eq!(of(PackageKind::Deb, "openssl", "1.1.1f-1ubuntu2.16"), plain);
        assert_eq!(
            of(PackageKind::Deb, "openssl", "1.1.1f-1ubuntu2.fips.7")[2..],
            ["Ubuntu:Pro:FIPS-updates:20.04", "Ubuntu:Pro:FIPS:20.04", "Ubuntu:Pro:FIPS-preview:20.04"]
        );
        assert_eq!(
            of(PackageKind::Deb, "linux-image-5.15.0-1040-realtime", "5.15.0-1040.45")[2..],
            ["Ubuntu:Pro:Realtime:20.04"]
        );
        assert_eq!(of(PackageKind::Rpm, "openssl", "1"), Vec::<String>::new());
    }

    #[test]
    fn a_name_that_begins_like_its_vendor_keeps_it() {
        let named = |kind, namespace: &str, name: &str| {
            language_name(&Package {
                namespace: Some(namespace.to_owned()),
                ..Package::new(kind, name.to_owned(), "1.0".to_owned())
            })
        };
        assert_eq!(named(PackageKind::Composer, "symfony", "symfony"), "symfony/symfony");
        assert_eq!(named(PackageKind::Composer, "aws", "aws-sdk-php"), "aws/aws-sdk-php");
        assert_eq!(named(PackageKind::Golang, "github.com/a", "github.com/a/b"), "github.com/a/b");
        assert_eq!(named(PackageKind::Golang, "github.com/a", "b"), "github.com/a/b");
    }
}
