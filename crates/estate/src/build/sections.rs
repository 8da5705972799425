//! From what a writer has collected to the bytes of a segment: only what images use is kept, sorted, and turned round.

use super::broad;
use super::{Draft, Order, WriteError, Writer, license_ids};
use crate::bits::Bits;
use crate::container;
use crate::intern::Strings;
use crate::layout::{self, SECTIONS};
use crate::lists::{Csr, Parts, put_word};
use crate::package::KINDS;
use oci::{Algorithm, Digest};
use std::collections::{BTreeMap, BTreeSet};
use vuln::matching::lookups;

pub(super) type Sections = [Vec<u8>; SECTIONS];

/// Which values are used, and in which order they are written.
pub(super) struct Orders {
    fragments: Order,
    pub(super) components: Order,
    packages: Order,
    titles: Order,
    hashes: Order,
}

pub(super) fn write(writer: Writer) -> Result<Vec<u8>, WriteError> {
    let orders = orders(&writer);
    let mut out: Sections = std::array::from_fn(|_| Vec::new());
    images(&writer, &orders, &mut out)?;
    components(&writer, &orders, &mut out)?;
    packages(&writer, &orders, &mut out);
    look_ups(&writer, &orders, &mut out);
    texts(&writer, &orders, &mut out)?;
    Ok(container::write(layout::MAGIC, out))
}

fn used(bound: usize, numbers: impl Iterator<Item = u32>) -> Bits {
    let mut used = Bits::new(u32::try_from(bound).unwrap_or(u32::MAX));
    for number in numbers {
        used.insert(number);
    }
    used
}

fn orders(w: &Writer) -> Orders {
    let fragments = used(w.fragments.len(), w.images.values().flat_map(|d| d.fragments.iter().copied()));
    let components =
        used(w.components.len(), fragments.iter().flat_map(|f| w.fragments.at(f).iter().copied()));
    let packages = used(w.packages.len(), components.iter().map(|c| w.components.at(c).package));
    let titles = used(w.titles.len(), packages.iter().map(|p| w.packages.at(p).title));
    let hashes = used(w.hashes.len(), components.iter().flat_map(|c| w.components.at(c).hashes.to_vec()));
    let titles =
        Order::of(w.titles.len(), titles.iter(), |a, b| w.titles.at(*a).key().cmp(&w.titles.at(*b).key()));
    let packages = Order::of(w.packages.len(), packages.iter(), |a, b| {
        let key = |p: &u32| {
            let row = w.packages.at(*p);
            (titles.of_value(row.title), w.strings.at(row.version))
        };
        key(a).cmp(&key(b)).then(a.cmp(b))
    });
    let components = Order::of(w.components.len(), components.iter(), |a, b| {
        let key = |c: &u32| packages.of_value(w.components.at(*c).package);
        key(a).cmp(&key(b)).then(a.cmp(b))
    });
    let fragments = Order::of(w.fragments.len(), fragments.iter(), Ord::cmp);
    let hashes = Order::of(w.hashes.len(), hashes.iter(), |a, b| w.hashes.at(*a).cmp(w.hashes.at(*b)));
    Orders { fragments, components, packages, titles, hashes }
}

pub(super) fn put(out: &mut Sections, at: usize, parts: Parts, what: &'static str) -> Result<(), WriteError> {
    if !parts.fits() {
        return Err(WriteError::TooLarge(what));
    }
    (out[at], out[at + 1]) = (parts.ends, parts.bytes);
    Ok(())
}

fn digests<'d>(all: impl Iterator<Item = &'d Digest>, out: &mut Vec<u8>) -> [u32; 2] {
    let mut counts = [0, 0];
    for digest in all {
        counts[usize::from(digest.algorithm() == Algorithm::Sha512)] += 1;
        out.extend_from_slice(digest.raw());
    }
    counts
}

fn images(w: &Writer, orders: &Orders, out: &mut Sections) -> Result<(), WriteError> {
    let counts = digests(w.images.keys(), &mut out[layout::IMAGES]);
    let removed = digests(w.removed.iter(), &mut out[layout::REMOVED]);
    for count in counts.into_iter().chain(removed) {
        put_word(&mut out[layout::META], count);
    }
    for ((project, image), placed) in &w.placed {
        let row = &mut out[layout::PLACED];
        row.extend_from_slice(&project.to_le_bytes());
        row.push(u8::from(*placed));
        row.push(u8::from(image.algorithm() == Algorithm::Sha512));
        let mut hash = [0; 64];
        hash[..image.raw().len()].copy_from_slice(image.raw());
        row.extend_from_slice(&hash);
    }
    let mut of_images = Csr::new();
    for draft in w.images.values() {
        of_images.push(mapped(&draft.fragments, &orders.fragments));
    }
    let mut of_fragments = Csr::new();
    for fragment in &orders.fragments.sorted {
        of_fragments.push(mapped(w.fragments.at(*fragment), &orders.components));
    }
    let holders = of_images.inverted(orders.fragments.sorted.len());
    put(out, layout::IMAGE_FRAGMENTS, Parts::lists(&of_images), "fragments of images")?;
    put(out, layout::FRAGMENT_IMAGES, Parts::lists(&holders), "images of fragments")?;
    let turned = of_fragments.inverted(orders.components.sorted.len());
    put(out, layout::FRAGMENT_COMPONENTS, Parts::lists(&of_fragments), "components of fragments")?;
    put(out, layout::COMPONENT_FRAGMENTS, Parts::lists(&turned), "fragments of components")?;
    projects(w.images.values(), out)?;
    broad::write(
        w,
        orders,
        &broad::Held { of_fragments: &of_fragments, of_components: &turned, holders: &holders },
        out,
    )
}

fn projects<'d>(drafts: impl Iterator<Item = &'d Draft>, out: &mut Sections) -> Result<(), WriteError> {
    let mut held: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    for (image, draft) in (0u32..).zip(drafts) {
        for project in &draft.projects {
            held.entry(*project).or_default().push(image);
        }
    }
    let mut parts = Parts::default();
    for (project, images) in &held {
        out[layout::PROJECTS].extend_from_slice(&project.to_le_bytes());
        parts.list(images);
    }
    if !parts.fits() {
        return Err(WriteError::TooLarge("images of projects"));
    }
    out[layout::PROJECT_IMAGES] = [parts.ends, parts.bytes].concat();
    Ok(())
}

fn mapped(numbers: &[u32], order: &Order) -> Vec<u32> {
    let mut all: Vec<u32> = numbers.iter().map(|n| order.of_value(*n)).collect();
    all.sort_unstable();
    all
}

fn components(w: &Writer, orders: &Orders, out: &mut Sections) -> Result<(), WriteError> {
    let (mut paths, mut licenses, mut hashes) = (Csr::new(), Csr::new(), Csr::new());
    for component in &orders.components.sorted {
        let row = w.components.at(*component);
        put_word(&mut out[layout::COMPONENT_PACKAGE], orders.packages.of_value(row.package));
        paths.push(row.paths.iter().copied());
        licenses.push(row.licenses.iter().copied());
        hashes.push(mapped(&row.hashes, &orders.hashes));
    }
    put(out, layout::PATH_COMPONENTS, Parts::lists(&paths.inverted(w.paths.len())), "paths")?;
    let turned = hashes.inverted(orders.hashes.sorted.len());
    put(out, layout::HASH_COMPONENTS, Parts::lists(&turned), "hashes")?;
    let by_id = by_license(w, &orders.components);
    let mut of_ids = Parts::default();
    by_id.values().for_each(|set| of_ids.list(&set.iter().copied().collect::<Vec<_>>()));
    put(out, layout::LICENSE_COMPONENTS, of_ids, "licences")?;
    put(out, layout::LICENSES, Parts::texts(by_id.keys().map(String::as_str)), "licences")?;
    put(out, layout::COMPONENT_PATHS, Parts::lists(&paths), "paths of components")?;
    put(out, layout::COMPONENT_LICENSES, Parts::lists(&licenses), "licences of components")?;
    put(out, layout::COMPONENT_HASHES, Parts::lists(&hashes), "hashes of components")
}

/// Licences with the components that have them; each text is read once.
pub(super) fn by_license(w: &Writer, components: &Order) -> BTreeMap<String, BTreeSet<u32>> {
    let mut of_texts: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (place, component) in (0u32..).zip(&components.sorted) {
        for text in &w.components.at(*component).licenses {
            of_texts.entry(*text).or_default().push(place);
        }
    }
    let mut by_id: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    for (text, components) in of_texts {
        for id in license_ids(w.strings.at(text)) {
            by_id.entry(id).or_default().extend(&components);
        }
    }
    by_id
}

fn packages(w: &Writer, orders: &Orders, out: &mut Sections) {
    let of = |at: usize| orders.components.sorted.get(at).map(|c| w.components.at(*c).package);
    let mut first_component = 0usize;
    let mut first_of_title: Vec<u32> = Vec::new();
    for (place, package) in (0u32..).zip(&orders.packages.sorted) {
        let row = w.packages.at(*package);
        let title = orders.titles.of_value(row.title);
        while first_of_title.len() <= title as usize {
            first_of_title.push(place);
        }
        let first = u32::try_from(first_component).unwrap_or(u32::MAX);
        for word in [
            first,
            title,
            row.namespace,
            row.name,
            row.version,
            row.arch,
            row.source_name,
            row.source_version,
            row.module,
            row.platform,
            row.flags,
        ] {
            put_word(&mut out[layout::PACKAGES], word);
        }
        while of(first_component) == Some(*package) {
            first_component += 1;
        }
    }
    let last = u32::try_from(first_component).unwrap_or(u32::MAX);
    for word in std::iter::once(last).chain([0; layout::package::WORDS - 1]) {
        put_word(&mut out[layout::PACKAGES], word);
    }
    for (title, first) in orders.titles.sorted.iter().zip(first_of_title) {
        let row = w.titles.at(*title);
        for word in [row.kind, row.bare, first] {
            put_word(&mut out[layout::TITLES], word);
        }
    }
    for word in [u32::MAX, 0, u32::try_from(orders.packages.sorted.len()).unwrap_or(u32::MAX)] {
        put_word(&mut out[layout::TITLES], word);
    }
}

fn look_ups(w: &Writer, orders: &Orders, out: &mut Sections) {
    let mut rows: Vec<(u64, u32)> = Vec::new();
    for (place, package) in (0u32..).zip(&orders.packages.sorted) {
        let row = w.packages.at(*package);
        let platform = row.platform.checked_sub(1).map(|p| w.platforms.at(p));
        let scopes = platform.map_or(&[][..], |p| &p.scopes);
        let kind = KINDS.get(w.titles.at(row.title).kind as usize).copied();
        let mut bare = vuln::Package::new(kind.unwrap_or(KINDS[35]), w.strings.at(row.name), "");
        bare.namespace = w.strings.text(row.namespace).map(str::to_owned);
        bare.source = w.strings.text(row.source_name).map(|name| vuln::SourcePackage {
            name: name.to_owned(),
            version: w.strings.text(row.source_version).unwrap_or_default().to_owned(),
        });
        w.strings.at(row.version).clone_into(&mut bare.version);
        let found = lookups(&bare, scopes);
        rows.extend(found.iter().map(|(scope, name)| (layout::lookup_hash(scope, name), place)));
    }
    rows.sort_unstable();
    rows.dedup();
    for (hash, package) in rows {
        out[layout::LOOKUPS].extend_from_slice(&hash.to_le_bytes());
        put_word(&mut out[layout::LOOKUPS], package);
    }
}

fn texts(w: &Writer, orders: &Orders, out: &mut Sections) -> Result<(), WriteError> {
    let all = |strings: &Strings| Parts::texts(strings.iter());
    put(out, layout::STRINGS, all(&w.strings), "texts")?;
    put(out, layout::PATHS, all(&w.paths), "paths")?;
    let titles = orders.titles.sorted.iter().map(|t| &*w.titles.at(*t).text);
    put(out, layout::TITLE_TEXTS, Parts::texts(titles), "names")?;
    let hashes = orders.hashes.sorted.iter().map(|h| w.hashes.at(*h));
    put(out, layout::HASHES, Parts::texts(hashes), "hashes")?;
    let lines: Vec<String> = w.platforms.iter().map(crate::package::Platform::to_line).collect();
    put(out, layout::PLATFORMS, Parts::texts(lines.iter().map(String::as_str)), "distributions")
}
