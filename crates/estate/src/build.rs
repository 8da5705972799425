//! Writing a segment: images with what they hold, images that are gone, changed placements.
//!
//! A segment says the whole truth of every image that it names: an image that is added again replaces what older
//! segments say of it, inventory and placements. Equal calls in equal order make equal bytes.

mod broad;
mod sections;

use crate::intern::{ComponentRow, Interner, PackageRow, Strings, TitleRow};
use crate::package::{self, FLAG_OWNED, FLAG_THIRD_PARTY, Platform};
use oci::Digest;
use std::collections::{BTreeMap, BTreeSet};
use vuln::matching::is_third_party;
use vuln::{Distro, Inventory, Package};

/// Why a segment cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// A table does not fit into its 4 GiB.
    #[error("more than one segment can hold: {0}; merge fewer segments")]
    TooLarge(&'static str),
    /// A segment that was to be merged cannot be read.
    #[error("segment cannot be read")]
    Read(#[from] crate::OpenError),
}

/// A component of the segment being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentId(pub(crate) u32);

/// A set of components of the segment being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FragmentId(pub(crate) u32);

/// An image to be written.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) fragments: Vec<u32>,
    pub(crate) projects: BTreeSet<i64>,
}

/// Collects what a segment says.
#[derive(Debug, Default)]
pub struct Writer {
    pub(crate) strings: Strings,
    pub(crate) paths: Strings,
    pub(crate) hashes: Strings,
    pub(crate) titles: Interner<TitleRow>,
    pub(crate) platforms: Interner<Platform>,
    pub(crate) packages: Interner<PackageRow>,
    pub(crate) components: Interner<ComponentRow>,
    pub(crate) fragments: Interner<Box<[u32]>>,
    pub(crate) images: BTreeMap<Digest, Draft>,
    pub(crate) removed: BTreeSet<Digest>,
    pub(crate) placed: BTreeMap<(i64, Digest), bool>,
}

impl Writer {
    /// A segment that says nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many images it adds.
    pub fn images(&self) -> usize {
        self.images.len()
    }

    /// Adds an image that projects hold, in place of what is known of it.
    pub fn add(&mut self, image: Digest, inventory: &Inventory, projects: &[i64]) {
        let distro = inventory.distro.as_ref();
        // The system's first: most images share theirs, so a search asks them first.
        let mut groups: BTreeMap<(bool, String), Vec<ComponentId>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let all = inventory.packages.iter().map(|p| (p, false));
        for (package, owned) in all.chain(inventory.suppressed.iter().map(|p| (p, true))) {
            let component = self.intern(distro, package, owned);
            // Findings of one package seen in the same places are the same finding.
            let row = self.components.at(component.0);
            if !seen.insert((row.package, row.paths.clone())) {
                continue;
            }
            let system = package::is_system(package.kind);
            let place = package.evidence.first().filter(|_| !system).map_or("", |e| e.path.as_str());
            let folder = place.split('/').next().unwrap_or_default();
            groups.entry((!system, folder.to_owned())).or_default().push(component);
        }
        let fragments: Vec<FragmentId> = groups.values().map(|group| self.fragment(group)).collect();
        self.add_fragments(image, &fragments, projects);
    }

    /// The component of a package that was found in a distribution.
    pub fn component(&mut self, distro: Option<&Distro>, package: &Package) -> ComponentId {
        self.intern(distro, package, false)
    }

    fn intern(&mut self, distro: Option<&Distro>, package: &Package, owned: bool) -> ComponentId {
        let system = package::is_system(package.kind);
        let platform = distro.filter(|_| system).map(Platform::of);
        let third_party = is_third_party(package, distro);
        let flags = (u32::from(third_party) * FLAG_THIRD_PARTY) | (u32::from(owned) * FLAG_OWNED);
        let row = self.package_row(package, platform, flags);
        let package_id = self.packages.id(row);
        let paths = ascending(package.evidence.iter().map(|e| self.paths.id(&e.path)));
        let hashes = ascending(package.hashes.iter().map(|h| self.hashes.id(&h.to_ascii_lowercase())));
        let licenses = ascending(package.licenses.iter().map(|l| self.strings.id(l)));
        ComponentId(self.components.id(ComponentRow { package: package_id, paths, licenses, hashes }))
    }

    pub(crate) fn package_row(
        &mut self,
        package: &Package,
        platform: Option<Platform>,
        flags: u32,
    ) -> PackageRow {
        let (text, bare) = package::title(package);
        let bare = u32::try_from(bare).unwrap_or(u32::MAX);
        let kind = package::code(package.kind);
        let source = package.source.as_ref();
        PackageRow {
            title: self.titles.id(TitleRow { kind, text: text.into(), bare }),
            namespace: self.strings.optional(package.namespace.as_deref()),
            name: self.strings.id(&package.name),
            version: self.strings.id(&package.version),
            arch: self.strings.optional(package.arch.as_deref()),
            source_name: self.strings.optional(source.map(|s| s.name.as_str())),
            source_version: self.strings.optional(source.map(|s| s.version.as_str())),
            module: self.strings.optional(package.module.as_deref()),
            platform: platform.map_or(0, |p| self.platforms.id(p) + 1),
            flags,
        }
    }

    /// A set of components.
    pub fn fragment(&mut self, components: &[ComponentId]) -> FragmentId {
        FragmentId(self.fragments.id(ascending(components.iter().map(|c| c.0))))
    }

    /// Adds an image made of fragments, which must not overlap.
    pub fn add_fragments(&mut self, image: Digest, fragments: &[FragmentId], projects: &[i64]) {
        let fragments = ascending(fragments.iter().map(|f| f.0)).into_vec();
        self.removed.remove(&image);
        self.placed.retain(|(_, placed), _| *placed != image);
        self.images.insert(image, Draft { fragments, projects: projects.iter().copied().collect() });
    }

    /// Says that an image is gone.
    pub fn remove(&mut self, image: Digest) {
        self.images.remove(&image);
        self.placed.retain(|(_, placed), _| *placed != image);
        self.removed.insert(image);
    }

    /// Says that a project holds an image, which this or an older segment adds.
    pub fn place(&mut self, project: i64, image: Digest) {
        match self.images.get_mut(&image) {
            Some(draft) => drop(draft.projects.insert(project)),
            None => drop(self.placed.insert((project, image), true)),
        }
    }

    /// Says that a project no longer holds an image.
    pub fn take_away(&mut self, project: i64, image: Digest) {
        match self.images.get_mut(&image) {
            Some(draft) => drop(draft.projects.remove(&project)),
            None => drop(self.placed.insert((project, image), false)),
        }
    }

    /// The segment's bytes.
    ///
    /// # Errors
    /// [`WriteError::TooLarge`].
    pub fn finish(self) -> Result<Vec<u8>, WriteError> {
        sections::write(self)
    }
}

pub(crate) fn ascending(numbers: impl Iterator<Item = u32>) -> Box<[u32]> {
    let mut all: Vec<u32> = numbers.collect();
    all.sort_unstable();
    all.dedup();
    all.into()
}

/// Identifiers of the licences in a declared text: those of an SPDX expression, else the text itself; lower case.
pub(crate) fn license_ids(text: &str) -> BTreeSet<String> {
    match spdx::Expression::parse(text) {
        Ok(expression) => {
            let named = expression.requirements().map(|r| r.req.license.to_string().to_ascii_lowercase());
            named.collect()
        }
        Err(_) => BTreeSet::from([text.trim().to_ascii_lowercase()]),
    }
}

/// A sorted order of used values: the place of each, and the values by place.
pub(crate) struct Order {
    place: Vec<u32>,
    pub(crate) sorted: Vec<u32>,
}

impl Order {
    /// Sorts the used ones of `count` values.
    pub(crate) fn of(
        count: usize,
        used: impl Iterator<Item = u32>,
        compare: impl FnMut(&u32, &u32) -> std::cmp::Ordering,
    ) -> Self {
        let mut sorted: Vec<u32> = used.collect();
        sorted.sort_by(compare);
        let mut place = vec![u32::MAX; count];
        for (at, value) in (0u32..).zip(&sorted) {
            place[*value as usize] = at;
        }
        Self { place, sorted }
    }

    pub(crate) fn of_value(&self, value: u32) -> u32 {
        self.place.get(value as usize).copied().unwrap_or(u32::MAX)
    }
}
