//! The distribution of an image.
//!
//! os-release(5) first; then what older systems have: one-line release files, `alpine-release`, `debian_version`,
//! `lsb-release`, `system-release-cpe`, BusyBox itself. The more specific file wins over the more general one.

use std::collections::BTreeMap;

use crate::extract::os_release::{OS_RELEASE, RELEASE_LINES};
use crate::package::{Distro, Package, PackageKind};

/// Decides from the release files that are there.
pub(super) fn decide(texts: &BTreeMap<&str, &str>) -> Option<Distro> {
    let fallback = || {
        let lines = RELEASE_LINES.iter().filter_map(|path| release_line(path, texts.get(path)?));
        lines.into_iter().next().or_else(|| lsb(texts)).or_else(|| alpine(texts)).or_else(|| cpe(texts))
    };
    let mut distro = os_release(texts).or_else(fallback).or_else(|| debian_version(texts))?;
    if distro.version_id.is_empty()
        && distro.id == "debian"
        && let Some(known) = debian_version(texts)
    {
        distro.version_id = known.version_id;
        distro.codename = distro.codename.or(known.codename);
    }
    if distro.version_id.is_empty() && distro.id == "alpine" {
        distro.version_id = alpine(texts).map(|known| known.version_id).unwrap_or_default();
    }
    distro.channel = channel(&distro, texts);
    Some(distro)
}

fn os_release(texts: &BTreeMap<&str, &str>) -> Option<Distro> {
    let listed = OS_RELEASE.iter().filter_map(|path| texts.get(path).copied());
    let fragments =
        texts.iter().filter(|(path, _)| path.starts_with("usr/lib/os.release.d/")).map(|(_, text)| *text);
    listed.chain(fragments).find_map(parse_os_release)
}

/// os-release(5): shell assignments.
fn parse_os_release(text: &str) -> Option<Distro> {
    let mut values: BTreeMap<&str, String> = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim();
        if let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            values.insert(key.trim(), unquote(value.trim()));
        }
    }
    let get = |key: &str| values.get(key).cloned().filter(|value| !value.is_empty());
    let id_like: Vec<String> =
        get("ID_LIKE").unwrap_or_default().split_whitespace().map(str::to_ascii_lowercase).collect();
    let id = get("ID")
        .map(|id| id.to_ascii_lowercase())
        .or_else(|| id_like.first().cloned())
        .or_else(|| by_name(&get("NAME")?))?;
    Some(Distro {
        id,
        id_like,
        version_id: get("VERSION_ID").unwrap_or_default(),
        codename: get("VERSION_CODENAME").or_else(|| codename_in(&get("VERSION")?)),
        pretty_name: get("PRETTY_NAME"),
        cpe: get("CPE_NAME"),
        channel: None,
    })
}

/// `8 (jessie)` → `jessie`: Debian before stretch has no `VERSION_CODENAME`.
fn codename_in(version: &str) -> Option<String> {
    let name = version.split_once('(')?.1.split(')').next()?;
    name.chars().all(|c| c.is_ascii_lowercase()).then(|| name.to_owned()).filter(|name| !name.is_empty())
}

fn unquote(value: &str) -> String {
    let inner = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.split(*quote).next());
    inner.unwrap_or(value).replace("\\\"", "\"").replace("\\$", "$").trim().to_owned()
}

/// Ids of distributions by how their release files begin.
const NAMES: [(&str, &str); 22] = [
    ("almalinux", "almalinux"),
    ("rocky", "rocky"),
    ("oracle", "ol"),
    ("enterprise linux enterprise linux", "ol"),
    ("scientific", "scientific"),
    ("centos", "centos"),
    ("red hat", "rhel"),
    ("fedora", "fedora"),
    ("amazon", "amzn"),
    ("vmware photon", "photon"),
    ("photon", "photon"),
    ("cbl-mariner", "mariner"),
    ("microsoft azure linux", "azurelinux"),
    ("azure linux", "azurelinux"),
    ("suse linux enterprise", "sles"),
    ("opensuse", "opensuse"),
    ("virtuozzo", "virtuozzo"),
    ("openeuler", "openeuler"),
    ("mageia", "mageia"),
    ("debian", "debian"),
    ("ubuntu", "ubuntu"),
    ("alpine", "alpine"),
];

fn by_name(name: &str) -> Option<String> {
    let name = name.trim().to_ascii_lowercase();
    NAMES.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, id)| (*id).to_owned())
}

/// `CentOS release 5.7 (Final)`, `VMware Photon OS 3.0`, SuSE-release's `VERSION = 11`.
fn release_line(path: &str, text: &str) -> Option<Distro> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let id = by_name(line)?;
    let number = |text: &str| {
        text.split_whitespace()
            .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
            .map(|word| word.trim_end_matches([',', ')']).to_owned())
    };
    let mut version_id =
        number(line.split_once("release").map_or(line, |(_, rest)| rest)).unwrap_or_default();
    if path.ends_with("SuSE-release") {
        let field = |name: &str| {
            text.lines().find_map(|line| {
                line.strip_prefix(name)?.trim().strip_prefix('=').map(|v| v.trim().to_owned())
            })
        };
        version_id = match (field("VERSION"), field("PATCHLEVEL")) {
            (Some(version), Some(patch)) if patch != "0" => format!("{version}.{patch}"),
            (Some(version), _) => version,
            _ => version_id,
        };
    }
    let codename =
        line.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(name, _)| name.to_owned());
    Some(Distro { id, version_id, codename, pretty_name: Some(line.to_owned()), ..Distro::default() })
}

fn lsb(texts: &BTreeMap<&str, &str>) -> Option<Distro> {
    let text = texts.get("etc/lsb-release")?;
    let get = |key: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('=').map(unquote))
            .filter(|value| !value.is_empty())
    };
    let id = get("DISTRIB_ID")?;
    Some(Distro {
        id: by_name(&id).unwrap_or_else(|| id.to_ascii_lowercase()),
        version_id: get("DISTRIB_RELEASE").unwrap_or_default(),
        codename: get("DISTRIB_CODENAME"),
        pretty_name: get("DISTRIB_DESCRIPTION"),
        ..Distro::default()
    })
}

fn alpine(texts: &BTreeMap<&str, &str>) -> Option<Distro> {
    let version = texts.get("etc/alpine-release")?.trim();
    version.starts_with(|c: char| c.is_ascii_digit()).then(|| Distro {
        id: "alpine".to_owned(),
        version_id: version.to_owned(),
        ..Distro::default()
    })
}

/// `10.8`, or `trixie/sid` before a release.
fn debian_version(texts: &BTreeMap<&str, &str>) -> Option<Distro> {
    let text = texts.get("etc/debian_version")?.trim();
    let numbered = text.starts_with(|c: char| c.is_ascii_digit());
    let codename = (!numbered)
        .then(|| text.split('/').next().unwrap_or(text).to_owned())
        .filter(|name| !name.is_empty());
    let version_id = if numbered { text.to_owned() } else { String::new() };
    (!text.is_empty()).then(|| Distro { id: "debian".to_owned(), version_id, codename, ..Distro::default() })
}

/// `cpe:/o:centos:linux:6:GA`.
fn cpe(texts: &BTreeMap<&str, &str>) -> Option<Distro> {
    let text = texts.get("etc/system-release-cpe")?.trim();
    let rest = text.strip_prefix("cpe:/o:").or_else(|| text.strip_prefix("cpe:2.3:o:"))?;
    let parts: Vec<&str> = rest.split(':').collect();
    let (vendor, version) = (parts.first()?, parts.get(2)?);
    let id = match *vendor {
        "redhat" => "rhel",
        "fedoraproject" => "fedora",
        "amazon" => "amzn",
        "oracle" => "ol",
        other => other,
    };
    Some(Distro {
        id: id.to_owned(),
        version_id: (*version).to_owned(),
        cpe: Some(text.to_owned()),
        ..Distro::default()
    })
}

/// An image with nothing but BusyBox.
pub(super) fn busybox<'p>(mut packages: impl Iterator<Item = &'p Package>) -> Option<Distro> {
    let package =
        packages.find(|package| package.kind == PackageKind::Generic && package.name == "busybox")?;
    let pretty_name = Some(format!("BusyBox v{}", package.version));
    Some(Distro {
        id: "busybox".to_owned(),
        version_id: package.version.clone(),
        pretty_name,
        ..Distro::default()
    })
}

fn channel(distro: &Distro, texts: &BTreeMap<&str, &str>) -> Option<String> {
    match distro.id.as_str() {
        "alpine" => {
            let mut lines = texts
                .get("etc/apk/repositories")?
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with('#'));
            lines.any(|line| line.contains("/edge/")).then(|| "edge".to_owned())
        }
        "ubuntu" => {
            let status: serde_json::Value =
                serde_json::from_str(texts.get("var/lib/ubuntu-advantage/status.json")?).ok()?;
            let enabled = |service: &serde_json::Value| {
                let text = |key: &str| service.get(key).and_then(serde_json::Value::as_str).unwrap_or("");
                text("name").starts_with("esm") && text("status") == "enabled"
            };
            status.get("services")?.as_array()?.iter().any(enabled).then(|| "esm".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &str)]) -> (String, String) {
        let distro = decide(&files.iter().copied().collect()).unwrap_or_default();
        (distro.id, distro.version_id)
    }

    #[test]
    fn distributions_are_told_by_any_of_their_release_files() {
        type Case<'c> = (&'c [(&'c str, &'c str)], (&'c str, &'c str));
        let cases: [Case<'_>; 11] = [
            (&[("etc/redhat-release", "CentOS release 5.7 (Final)")], ("centos", "5.7")),
            (&[("etc/system-release-cpe", "cpe:/o:centos:linux:6:GA\n")], ("centos", "6")),
            (&[("etc/redhat-release", "AlmaLinux release 8.10 (Cerulean Leopard)")], ("almalinux", "8.10")),
            (&[("etc/system-release", "Amazon Linux AMI release 2018.03")], ("amzn", "2018.03")),
            (&[("etc/os-release", "ID=\"debian\"\n"), ("etc/debian_version", "10.8\n")], ("debian", "10.8")),
            (
                &[("usr/lib/os-release", "NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"8\"\nID_LIKE=debian\n")],
                ("debian", "8"),
            ),
            (&[("etc/os-release", "ID=alpine\r\nVERSION_ID=3.11.6\r\n")], ("alpine", "3.11.6")),
            (&[("etc/lsb-release", "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=14.04\n")], ("ubuntu", "14.04")),
            (
                &[(
                    "etc/SuSE-release",
                    "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 4\n",
                )],
                ("sles", "11.4"),
            ),
            (&[("etc/photon-release", "VMware Photon OS 3.0\nPHOTON_BUILD_NUMBER=1")], ("photon", "3.0")),
            (&[("etc/os-release", "")], ("", "")),
        ];
        for (files, (id, version)) in cases {
            assert_eq!(of(files), (id.to_owned(), version.to_owned()), "{files:?}");
        }
    }
}
