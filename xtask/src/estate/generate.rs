//! Images drawn from the catalogue.
//!
//! An image stands on one of some hundred base images, most on few; two in five install further packages of the
//! distribution. On top come an application's packages of one or two languages, drawn by Zipf's law, in one of a few
//! folders. Projects are large and small by the same law; one image in ten lies in several.

use super::catalogue::{Catalogue, Entry, Language, System};
use estate::{ComponentId, FragmentId, Writer};
use oci::Digest;
use std::collections::HashMap;
use vuln::{Distro, Evidence, Package, PackageKind, SourcePackage};

/// Projects of the registry.
pub(super) const PROJECTS: i64 = 2_000;
const BASES: usize = 240;
const FOLDERS: [&str; 6] = ["app", "usr/src/app", "srv/www", "opt/service", "home/node", "usr/local/lib"];
const LICENSES: [&str; 10] = [
    "MIT",
    "MIT",
    "MIT",
    "Apache-2.0",
    "Apache-2.0",
    "BSD-3-Clause",
    "ISC",
    "GPL-3.0-only",
    "MIT OR Apache-2.0",
    "LGPL-2.1-or-later",
];

/// Numbers drawn by a seed: SplitMix64.
pub(super) struct Draw(u64);

impl Draw {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x1234_5678_9abc_def0)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, each as likely.
    #[expect(clippy::cast_possible_truncation, reason = "below a usize")]
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// A number below `bound` of which the first ones are likely: Zipf's law with exponent 1.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and bound")]
    pub(super) fn zipf(&mut self, bound: usize) -> usize {
        let part = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        ((bound as f64 + 1.0).powf(part) - 1.0).floor().min(bound as f64 - 1.0).max(0.0) as usize
    }
}

fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// A digest that looks like one of a manifest.
pub(super) fn digest(image: u32) -> Digest {
    Digest::sha256(&image.to_le_bytes())
}

/// A package of a distribution.
pub(super) fn system_package(system: &System, entry: &Entry, version: usize) -> Package {
    let mut package = Package::new(system.kind, entry.name.as_str(), entry.versions[version].as_str());
    package.arch = Some(if system.kind == PackageKind::Deb { "amd64" } else { "x86_64" }.to_owned());
    package.source = entry
        .source
        .as_ref()
        .map(|s| SourcePackage { name: s.clone(), version: entry.versions[version].clone() });
    let path = match system.kind {
        PackageKind::Deb => "var/lib/dpkg/status",
        PackageKind::Apk => "lib/apk/db/installed",
        _ => "var/lib/rpm/rpmdb.sqlite",
    };
    package.evidence = vec![Evidence { layer: None, path: path.to_owned() }];
    package.licenses = vec![LICENSES[below(hash(&entry.name), LICENSES.len())].to_owned()];
    package
}

#[expect(clippy::cast_possible_truncation, reason = "below a usize")]
fn below(number: u64, bound: usize) -> usize {
    (number % bound as u64) as usize
}

/// A package of a language in a folder.
pub(super) fn language_package(kind: PackageKind, entry: &Entry, version: usize, folder: &str) -> Package {
    let version = entry.versions[version].as_str();
    let mut package = match kind {
        PackageKind::Npm | PackageKind::Composer => Package::scoped(kind, &entry.name, version),
        PackageKind::Maven => {
            let (group, artifact) = entry.name.split_once(':').unwrap_or(("", &entry.name));
            let mut package = Package::new(kind, artifact, version);
            package.namespace = Some(group.to_owned()).filter(|g| !g.is_empty());
            package
        }
        _ => Package::new(kind, entry.name.as_str(), version),
    };
    let name = &package.name;
    let path = match kind {
        PackageKind::Npm => format!("{folder}/node_modules/{}/package.json", entry.name),
        PackageKind::Pypi => format!("{folder}/site-packages/{name}-{version}.dist-info/METADATA"),
        PackageKind::Maven => format!("{folder}/lib/{name}-{version}.jar"),
        PackageKind::Gem => format!("{folder}/vendor/specifications/{name}-{version}.gemspec"),
        PackageKind::Composer => format!("{folder}/vendor/composer/installed.json"),
        PackageKind::Bitnami => format!("opt/bitnami/{name}/.spdx-{name}.spdx"),
        _ => format!("{folder}/bin/server"),
    };
    package.evidence = vec![Evidence { layer: None, path }];
    package.licenses = vec![LICENSES[below(hash(&entry.name), LICENSES.len())].to_owned()];
    if kind == PackageKind::Maven {
        package.hashes = vec![jar_hash(&entry.name, version)];
    }
    package
}

/// The hash of a jar.
pub(super) fn jar_hash(name: &str, version: &str) -> String {
    let digest = Digest::sha256(format!("{name}@{version}").as_bytes()).hex();
    format!("sha1:{}", &digest[..40])
}

struct Base {
    system: usize,
    components: Vec<ComponentId>,
}

fn bases(writer: &mut Writer, catalogue: &Catalogue, draw: &mut Draw) -> Vec<Base> {
    let mut bases = Vec::new();
    for number in 0..BASES {
        // Half are Debian 12, the rest any of the releases.
        let system = if number % 2 == 0 { 0 } else { draw.below(catalogue.systems.len()) };
        let of = &catalogue.systems[system];
        let wanted = if of.kind == PackageKind::Apk { 15 + draw.below(30) } else { 60 + draw.below(60) };
        // Which build of the base this is: an older one has older versions of everything.
        let age = draw.below(7);
        let mut components = Vec::new();
        for rank in 0..wanted.min(of.entries.len()) {
            let entry = &of.entries[(rank * 7 + draw.below(3)) % of.entries.len()];
            let version = (age + below(hash(&entry.name), 3)) % entry.versions.len();
            components.push(writer.component(Some(&of.distro), &system_package(of, entry, version)));
        }
        components.sort_unstable();
        components.dedup();
        bases.push(Base { system, components });
    }
    bases
}

type Cache = HashMap<(usize, usize, usize, usize), ComponentId>;

fn extra(
    writer: &mut Writer,
    catalogue: &Catalogue,
    base: &Base,
    draw: &mut Draw,
    cache: &mut Cache,
) -> Vec<ComponentId> {
    let system: &System = &catalogue.systems[base.system];
    let mut components = base.components.clone();
    for _ in 0..=draw.zipf(30) {
        let at = draw.zipf(system.entries.len());
        let entry = &system.entries[at];
        let version = draw.zipf(entry.versions.len());
        let component = cache.entry((usize::MAX, base.system, at, version)).or_insert_with(|| {
            writer.component(Some(&system.distro), &system_package(system, entry, version))
        });
        components.push(*component);
    }
    components
}

fn application(
    writer: &mut Writer,
    catalogue: &Catalogue,
    distro: &Distro,
    draw: &mut Draw,
    cache: &mut Cache,
) -> Vec<ComponentId> {
    let mut components = Vec::new();
    let folder = draw.zipf(FOLDERS.len());
    for _ in 0..=usize::from(draw.below(5) == 0) {
        let sum: u64 = catalogue.languages.iter().map(|l| l.weight).sum();
        let mut point = draw.next() % sum;
        let mut chosen = 0;
        while point >= catalogue.languages[chosen].weight {
            point -= catalogue.languages[chosen].weight;
            chosen += 1;
        }
        let language: &Language = &catalogue.languages[chosen];
        for _ in 0..3 + draw.below(36) {
            let at = draw.zipf(language.entries.len());
            let entry = &language.entries[at];
            let version = draw.zipf(entry.versions.len());
            let component = cache.entry((chosen, at, version, folder)).or_insert_with(|| {
                let package = language_package(language.kind, entry, version, FOLDERS[folder]);
                writer.component(Some(distro), &package)
            });
            components.push(*component);
        }
    }
    components.sort_unstable();
    components.dedup();
    components
}

/// Adds images; answers how many package rows they have.
pub(super) fn fill(writer: &mut Writer, catalogue: &Catalogue, images: u32, seed: u64) -> u64 {
    let mut draw = Draw::new(seed);
    let bases = bases(writer, catalogue, &mut draw);
    let of_bases: Vec<FragmentId> = bases.iter().map(|b| writer.fragment(&b.components)).collect();
    let (mut cache, mut rows) = (Cache::new(), 0);
    for image in 0..images {
        let chosen = draw.zipf(bases.len());
        let base = &bases[chosen];
        let (system, held) = if draw.below(5) < 2 {
            let components = extra(writer, catalogue, base, &mut draw, &mut cache);
            (writer.fragment(&components), components.len())
        } else {
            (of_bases[chosen], base.components.len())
        };
        let distro = &catalogue.systems[base.system].distro;
        let application = application(writer, catalogue, distro, &mut draw, &mut cache);
        rows += (held + application.len()) as u64;
        let application = writer.fragment(&application);
        let mut projects = vec![project(&mut draw)];
        if draw.below(10) == 0 {
            projects.push(project(&mut draw));
        }
        writer.add_fragments(digest(image), &[system, application], &projects);
    }
    rows
}

#[expect(clippy::cast_possible_wrap, reason = "below PROJECTS")]
fn project(draw: &mut Draw) -> i64 {
    draw.zipf(2_000) as i64
}
