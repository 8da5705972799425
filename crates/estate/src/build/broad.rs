//! Images of what very many components have: a packaging system, a distribution, a common licence.
//!
//! Such a question would read most of the file, so its answer is written down.

use super::sections::{Orders, Sections, by_license, put};
use super::{WriteError, Writer};
use crate::bits::Bits;
use crate::layout;
use crate::lists::{Csr, Parts};
use crate::package::KINDS;
use std::collections::BTreeSet;

/// Who holds what.
pub(super) struct Held<'h> {
    /// Fragment → components.
    pub(super) of_fragments: &'h Csr,
    /// Component → fragments.
    pub(super) of_components: &'h Csr,
    /// Fragment → images.
    pub(super) holders: &'h Csr,
}

pub(super) fn write(
    w: &Writer,
    orders: &Orders,
    held: &Held<'_>,
    out: &mut Sections,
) -> Result<(), WriteError> {
    let bound = u32::try_from(w.images.len()).unwrap_or(u32::MAX);
    let mut kinds = vec![Bits::new(bound); KINDS.len()];
    let mut platforms = vec![Bits::new(bound); w.platforms.len()];
    for fragment in 0..held.of_fragments.len() {
        let (mut of_kinds, mut of_platforms) = (BTreeSet::new(), BTreeSet::new());
        for component in held.of_fragments.at(fragment) {
            let row = w.packages.at(w.components.at(orders.components.sorted[*component as usize]).package);
            of_kinds.insert(w.titles.at(row.title).kind as usize);
            of_platforms.extend(row.platform.checked_sub(1).map(|p| p as usize));
        }
        for image in held.holders.at(fragment) {
            for kind in &of_kinds {
                kinds[*kind].insert(*image);
            }
            for platform in &of_platforms {
                platforms[*platform].insert(*image);
            }
        }
    }
    put(out, layout::KIND_IMAGES, lists(&kinds), "images of packaging systems")?;
    put(out, layout::PLATFORM_IMAGES, lists(&platforms), "images of distributions")?;
    let mut of_licenses = Parts::default();
    let fragments = u32::try_from(held.of_fragments.len()).unwrap_or(u32::MAX);
    for components in by_license(w, &orders.components).values() {
        let mut images = Bits::new(bound);
        if components.len() >= layout::MANY_COMPONENTS {
            let mut of_license = Bits::new(fragments);
            for component in components {
                for fragment in held.of_components.at(*component as usize) {
                    of_license.insert(*fragment);
                }
            }
            for fragment in of_license.iter() {
                for image in held.holders.at(fragment as usize) {
                    images.insert(*image);
                }
            }
        }
        of_licenses.list(&images.iter().collect::<Vec<_>>());
    }
    put(out, layout::LICENSE_IMAGES, of_licenses, "images of licences")
}

fn lists(sets: &[Bits]) -> Parts {
    let mut parts = Parts::default();
    for set in sets {
        parts.list(&set.iter().collect::<Vec<_>>());
    }
    parts
}
