//! One segment of many.
//!
//! What the newer segments say is kept, what they replace or remove is dropped, and so are packages that no image holds
//! any more. Merging all segments of an estate leaves nothing to remove; merging only some upper ones must keep what
//! they say of images below.

use crate::build::{Draft, WriteError, Writer, ascending};
use crate::container::OpenError;
use crate::estate::{Estate, Layer};
use crate::intern::ComponentRow;
use crate::layout;
use crate::package::{FLAG_OWNED, FLAG_THIRD_PARTY, Platform, is_system};

/// What lies below the segments that are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Below {
    /// Nothing: these are all segments.
    Nothing,
    /// Older segments, of which these take images away or move them.
    More,
}

/// Makes one segment of neighbouring ones, the oldest first.
///
/// # Errors
/// [`WriteError`] if one cannot be read, or the result is too large.
pub fn merge(segments: &[&[u8]], below: Below) -> Result<Vec<u8>, WriteError> {
    let estate = Estate::open(segments)?;
    let mut writer = Writer::new();
    for layer in &estate.layers {
        images(&mut writer, layer)?;
    }
    if below == Below::More {
        for layer in &estate.layers {
            let removed = layer.segment.removed();
            for at in 0..removed.len() {
                let image = removed.at(at)?;
                writer.placed.retain(|(_, placed), _| *placed != image);
                if estate.find(&image)?.is_none() {
                    writer.removed.insert(image);
                }
            }
            let named = layer.segment.images();
            for at in 0..named.len() {
                let image = named.at(at)?;
                if estate.find(&image)?.is_none() {
                    writer.removed.insert(image);
                }
            }
            for placing in layer.segment.placings() {
                let placing = placing?;
                if estate.find(&placing.image)?.is_none() && !writer.removed.contains(&placing.image) {
                    writer.placed.insert((placing.project, placing.image), placing.placed);
                }
            }
        }
    }
    writer.finish()
}

/// Adds the images of a layer that still count.
fn images(writer: &mut Writer, layer: &Layer<'_>) -> Result<(), OpenError> {
    let segment = layer.segment;
    let lists = segment.lists(layout::IMAGE_FRAGMENTS);
    let of_fragment = segment.lists(layout::FRAGMENT_COMPONENTS);
    let mut components: Vec<Option<u32>> = vec![None; segment.components() as usize];
    let mut fragments: Vec<Option<u32>> = vec![None; segment.fragments() as usize];
    for image in layer.live.iter() {
        let mut draft = Draft::default();
        for fragment in lists.to_vec(image, segment.fragments())? {
            if let Some(known) = fragments[fragment as usize] {
                draft.fragments.push(known);
                continue;
            }
            let mut mapped = Vec::new();
            for component in of_fragment.to_vec(fragment, segment.components())? {
                let known = match components[component as usize] {
                    Some(known) => known,
                    None => copy(writer, layer, component)?,
                };
                components[component as usize] = Some(known);
                mapped.push(known);
            }
            let known = writer.fragments.id(ascending(mapped.into_iter()));
            fragments[fragment as usize] = Some(known);
            draft.fragments.push(known);
        }
        draft.fragments.sort_unstable();
        writer.images.insert(segment.images().at(image)?, draft);
    }
    layer.each_placement(|project, image| {
        let digest = segment.images().at(image)?;
        if let Some(draft) = writer.images.get_mut(&digest).filter(|_| layer.live.contains(image)) {
            draft.projects.insert(project);
        }
        Ok(())
    })
}

fn copy(writer: &mut Writer, layer: &Layer<'_>, component: u32) -> Result<u32, OpenError> {
    let seen = layer.segment.seen(component)?;
    let view = &seen.package;
    let platform = view.distro.filter(|_| is_system(view.kind)).map(|id| Platform {
        id: id.to_owned(),
        scopes: view.scopes.iter().map(|s| (*s).to_owned()).collect(),
    });
    let flags = (u32::from(view.third_party) * FLAG_THIRD_PARTY) | (u32::from(view.owned) * FLAG_OWNED);
    let row = writer.package_row(&view.to_package(), platform, flags);
    let package = writer.packages.id(row);
    let paths = ascending(seen.paths.iter().map(|p| writer.paths.id(p)));
    let hashes = ascending(seen.hashes.iter().map(|h| writer.hashes.id(h)));
    let licenses = ascending(seen.licenses.iter().map(|l| writer.strings.id(l)));
    Ok(writer.components.id(ComponentRow { package, paths, licenses, hashes }))
}
