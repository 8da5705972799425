//! Packages as package URLs and back.
//!
//! A distribution package names its distribution (`distro=debian-12`), its source (`upstream=glibc@2.36-9`) and its
//! architecture, as Syft, Trivy and OSV write and read them, so that a foreign SBOM is matched like our own.

use super::{Purl, PurlParts};
use crate::package::{Distro, Package, PackageKind, SourcePackage};

/// Types and the packaging systems that they name.
const TYPES: [(PackageKind, &str); 36] = [
    (PackageKind::Deb, "deb"),
    (PackageKind::Rpm, "rpm"),
    (PackageKind::Apk, "apk"),
    (PackageKind::Opkg, "opkg"),
    (PackageKind::Alpm, "alpm"),
    (PackageKind::Portage, "ebuild"),
    (PackageKind::Npm, "npm"),
    (PackageKind::Pypi, "pypi"),
    (PackageKind::Conda, "conda"),
    (PackageKind::Maven, "maven"),
    (PackageKind::Golang, "golang"),
    (PackageKind::Cargo, "cargo"),
    (PackageKind::Gem, "gem"),
    (PackageKind::Composer, "composer"),
    (PackageKind::Nuget, "nuget"),
    (PackageKind::Pub, "pub"),
    (PackageKind::Hex, "hex"),
    (PackageKind::Swift, "swift"),
    (PackageKind::Cocoapods, "cocoapods"),
    (PackageKind::Hackage, "hackage"),
    (PackageKind::Cran, "cran"),
    (PackageKind::Julia, "julia"),
    (PackageKind::Conan, "conan"),
    (PackageKind::Luarocks, "luarocks"),
    (PackageKind::Bitnami, "bitnami"),
    (PackageKind::Nix, "nix"),
    (PackageKind::Brew, "brew"),
    (PackageKind::Pear, "pear"),
    (PackageKind::Opam, "opam"),
    (PackageKind::Swiplpack, "swiplpack"),
    (PackageKind::Terraform, "terraform"),
    (PackageKind::Github, "github"),
    (PackageKind::WordpressPlugin, "wordpress-plugin"),
    (PackageKind::Otp, "otp"),
    (PackageKind::Oci, "oci"),
    (PackageKind::Generic, "generic"),
];

/// The package URL type of a packaging system.
pub(super) fn type_of(kind: PackageKind) -> &'static str {
    TYPES.iter().find(|(k, _)| *k == kind).map_or("generic", |(_, ty)| ty)
}

fn kind_of(ty: &str) -> PackageKind {
    match ty {
        "portage" => PackageKind::Portage,
        "docker" => PackageKind::Oci,
        _ => TYPES.iter().find(|(_, t)| *t == ty).map_or(PackageKind::Generic, |(kind, _)| *kind),
    }
}

fn is_distribution(kind: PackageKind) -> bool {
    matches!(
        kind,
        PackageKind::Deb | PackageKind::Rpm | PackageKind::Apk | PackageKind::Opkg | PackageKind::Alpm
    )
}

impl Purl {
    /// The package URL of a package, `distro` being the distribution that it was found in. `None` only for a package
    /// without a name.
    pub fn of_package(package: &Package, distro: Option<&Distro>) -> Option<Self> {
        let kind = package.kind;
        let mut parts = PurlParts::new(type_of(kind), &package.name, &package.version);
        if let Some(namespace) = &package.namespace {
            parts.namespace = match kind {
                PackageKind::Npm if !namespace.starts_with('@') => format!("@{namespace}"),
                _ => namespace.clone(),
            };
        }
        match kind {
            PackageKind::Golang | PackageKind::Swift | PackageKind::Github | PackageKind::Terraform => {
                move_path_to_namespace(&mut parts);
            }
            PackageKind::Oci => image(&mut parts),
            PackageKind::Rpm => move_epoch(&mut parts),
            _ => {}
        }
        if is_distribution(kind) {
            distribution(&mut parts, package, distro);
        }
        for (key, property) in [("uuid", "uuid"), ("platform", "platform"), ("type", "type")] {
            if let Some(value) = package.properties.get(property).filter(|_| has_qualifier(kind, key)) {
                parts = parts.qualifier(key, value);
            }
        }
        Self::build_lenient(parts).ok()
    }

    /// The package that this names, without evidence; the version is empty if none is stated.
    pub fn to_package(&self) -> Package {
        let kind = kind_of(self.ty());
        let version = self.version().unwrap_or_default();
        let mut package = Package::new(kind, self.name(), version);
        let namespace = self.namespace().map(str::to_owned);
        match kind {
            PackageKind::Golang | PackageKind::Swift | PackageKind::Github | PackageKind::Terraform => {
                package.name = namespace.iter().cloned().chain([package.name]).collect::<Vec<_>>().join("/");
            }
            PackageKind::Oci => {
                if let Some(repository) = self.qualifier("repository_url") {
                    repository.clone_into(&mut package.name);
                }
            }
            PackageKind::Npm => package.namespace = namespace.map(|ns| ns.trim_start_matches('@').to_owned()),
            kind if is_distribution(kind) => {}
            _ => package.namespace = namespace,
        }
        if kind == PackageKind::Rpm {
            if let Some(epoch) = self.qualifier("epoch").filter(|e| *e != "0" && !version.contains(':')) {
                package.version = format!("{epoch}:{version}");
            }
            package.module = self.qualifier("rpmmod").map(str::to_owned);
        }
        package.arch = self.qualifier("arch").map(str::to_owned);
        package.source = self.qualifier("upstream").and_then(|u| source(kind, u, &package.version));
        for key in ["uuid", "platform", "type"] {
            if let Some(value) = self.qualifier(key).filter(|_| has_qualifier(kind, key)) {
                package.properties.insert(key.to_owned(), value.to_owned());
            }
        }
        package
    }

    /// The distribution that a distribution package names by its namespace and its `distro` qualifier
    /// (`debian-12`, `alpine-3.20.1`, or a bare codename).
    pub fn distro(&self) -> Option<Distro> {
        if !is_distribution(kind_of(self.ty())) {
            return None;
        }
        let stated = self.qualifier("distro").or(self.qualifier("distro_name")).unwrap_or_default();
        let namespace = self.namespace().unwrap_or_default();
        let starts_with_number = |t: &str| t.starts_with(|c: char| c.is_ascii_digit());
        let (id, version, codename) = match stated.rsplit_once('-') {
            Some((id, version)) if starts_with_number(version) || version == "edge" => (id, version, None),
            _ if starts_with_number(stated) => (namespace, stated, None),
            _ if stated == namespace || stated.is_empty() => (namespace, "", None),
            _ if namespace.is_empty() => (stated, "", None),
            _ => (namespace, "", Some(stated.to_owned())),
        };
        if id.is_empty() {
            return None;
        }
        Some(Distro { id: id.to_owned(), version_id: version.to_owned(), codename, ..Distro::default() })
    }
}

fn has_qualifier(kind: PackageKind, key: &str) -> bool {
    matches!(
        (kind, key),
        (PackageKind::Julia, "uuid") | (PackageKind::Gem, "platform") | (PackageKind::Maven, "type")
    )
}

/// `github.com/a/b` becomes namespace `github.com/a` and name `b`.
fn move_path_to_namespace(parts: &mut PurlParts) {
    if let Some((path, name)) = parts.name.rsplit_once('/') {
        let (path, name) = (path.to_owned(), name.to_owned());
        parts.namespace =
            if parts.namespace.is_empty() { path } else { format!("{}/{path}", parts.namespace) };
        parts.name = name;
    }
}

/// The name of an image is its last segment; the whole repository is a qualifier.
fn image(parts: &mut PurlParts) {
    if let Some((_, last)) = parts.name.rsplit_once('/') {
        let last = last.to_owned();
        parts.qualifiers.push(("repository_url".to_owned(), std::mem::replace(&mut parts.name, last)));
    }
    if !parts.version.is_empty() && !parts.version.contains(':') {
        parts.qualifiers.push(("tag".to_owned(), std::mem::take(&mut parts.version)));
    }
}

fn move_epoch(parts: &mut PurlParts) {
    if let Some((epoch, rest)) = parts.version.split_once(':') {
        let (epoch, rest) = (epoch.to_owned(), rest.to_owned());
        parts.version = rest;
        if epoch != "0" {
            parts.qualifiers.push(("epoch".to_owned(), epoch));
        }
    }
}

/// Namespace, architecture, distribution and source of a distribution package.
fn distribution(parts: &mut PurlParts, package: &Package, distro: Option<&Distro>) {
    let mut add = |key: &str, value: &str| {
        if !value.is_empty() {
            parts.qualifiers.push((key.to_owned(), value.to_owned()));
        }
    };
    if let Some(arch) = &package.arch {
        add("arch", arch);
    }
    if let Some(module) = &package.module {
        add("rpmmod", module);
    }
    if let Some(source) = &package.source {
        let same_name = source.name == package.name;
        let same_version = source.version == package.version || source.version.is_empty();
        if package.kind == PackageKind::Rpm {
            let version = source.version.split_once(':').map_or(source.version.as_str(), |(_, v)| v);
            add("upstream", &format!("{}-{version}.src.rpm", source.name));
        } else if !same_version {
            add("upstream", &format!("{}@{}", source.name, source.version));
        } else if !same_name {
            add("upstream", &source.name);
        }
    }
    if let Some(distro) = distro {
        let tail = if distro.version_id.is_empty() {
            distro.codename.as_deref().unwrap_or_default()
        } else {
            &distro.version_id
        };
        add("distro", &if tail.is_empty() { distro.id.clone() } else { format!("{}-{tail}", distro.id) });
        if parts.namespace.is_empty() {
            parts.namespace.clone_from(&distro.id);
        }
    }
}

/// Reads `upstream`: `name`, `name@version`, or the file name of a source rpm.
fn source(kind: PackageKind, upstream: &str, version: &str) -> Option<SourcePackage> {
    let make = |name: &str, version: &str| {
        Some(SourcePackage { name: name.to_owned(), version: version.to_owned() })
    };
    if kind == PackageKind::Rpm {
        let stem = upstream.strip_suffix(".src.rpm").or_else(|| upstream.strip_suffix(".nosrc.rpm"));
        let Some(stem) = stem else { return make(upstream, version) };
        let mut parts = stem.rsplitn(3, '-');
        let (release, ver, name) = (parts.next()?, parts.next()?, parts.next()?);
        let epoch = version.split_once(':').map_or(String::new(), |(e, _)| format!("{e}:"));
        return make(name, &format!("{epoch}{ver}-{release}"));
    }
    match upstream.split_once('@') {
        Some((name, source_version)) => make(name, source_version),
        None => make(upstream, version),
    }
}
