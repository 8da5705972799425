//! A stack of segments as one estate: the newest segment that names an image tells the truth of it.
//!
//! Opening compares the segments' images, so the upper ones should be small; [`crate::merge`] makes one of many.

use crate::bits::Bits;
use crate::container::OpenError;
use crate::package::{PackageView, Seen};
use crate::segment::Segment;
use oci::Digest;
use std::collections::BTreeMap;

/// An image of an open estate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    pub(crate) segment: u32,
    pub(crate) image: u32,
}

/// A package of an open estate; equal packages of two segments are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageRef {
    pub(crate) segment: u32,
    pub(crate) package: u32,
}

/// What a caller may see.
#[derive(Clone, Copy, Debug)]
pub enum Visible<'v> {
    /// Every image.
    All,
    /// Images that any of these projects holds.
    Projects(&'v [i64]),
}

/// A segment and what the ones above it change.
#[derive(Debug)]
pub(crate) struct Layer<'a> {
    pub(crate) segment: Segment<'a>,
    /// Images that no later segment names.
    pub(crate) live: Bits,
    /// Project → image → whether it is held, where that changed later.
    placed: BTreeMap<i64, BTreeMap<u32, bool>>,
}

/// Every image that a registry holds.
#[derive(Debug)]
pub struct Estate<'a> {
    pub(crate) layers: Vec<Layer<'a>>,
}

impl<'a> Estate<'a> {
    /// Opens segments, the oldest first.
    ///
    /// # Errors
    /// [`OpenError`] if one is foreign or damaged.
    pub fn open(segments: &[&'a [u8]]) -> Result<Self, OpenError> {
        let mut estate = Self { layers: Vec::with_capacity(segments.len()) };
        for bytes in segments {
            let segment = Segment::open(bytes)?;
            for layer in &mut estate.layers {
                for named in [segment.images(), segment.removed()] {
                    layer.forget(&named)?;
                }
            }
            let live = Bits::full(segment.images().len());
            estate.layers.push(Layer { segment, live, placed: BTreeMap::new() });
            for placing in segment.placings() {
                let placing = placing?;
                if let Some(at) = estate.find(&placing.image)? {
                    let layer = &mut estate.layers[at.segment as usize];
                    layer.placed.entry(placing.project).or_default().insert(at.image, placing.placed);
                }
            }
        }
        Ok(estate)
    }

    /// Compares every segment with the digest that it states: reads all of them.
    ///
    /// # Errors
    /// [`OpenError::Digest`].
    pub fn verify(&self) -> Result<(), OpenError> {
        self.layers.iter().try_for_each(|l| l.segment.verify())
    }

    /// How many segments it is made of.
    pub fn segments(&self) -> usize {
        self.layers.len()
    }

    /// How many images there are.
    pub fn images(&self) -> u64 {
        self.layers.iter().map(|l| l.live.count()).sum()
    }

    /// How many packages there are, those of several segments counted in each.
    pub fn packages(&self) -> u64 {
        self.layers.iter().map(|l| u64::from(l.segment.packages())).sum()
    }

    pub(crate) fn layer(&self, segment: u32) -> Result<&Layer<'a>, OpenError> {
        self.layers.get(segment as usize).ok_or(OpenError::Damaged("no such segment"))
    }

    pub(crate) fn numbered(&self) -> impl Iterator<Item = (u32, &Layer<'a>)> {
        (0u32..).zip(&self.layers)
    }

    /// The image with a digest.
    ///
    /// # Errors
    /// [`OpenError::Damaged`].
    pub fn find(&self, digest: &Digest) -> Result<Option<ImageRef>, OpenError> {
        for (segment, layer) in self.numbered().collect::<Vec<_>>().into_iter().rev() {
            if let Some(image) = layer.segment.images().find(digest)?
                && layer.live.contains(image)
            {
                return Ok(Some(ImageRef { segment, image }));
            }
        }
        Ok(None)
    }

    /// An image's digest.
    ///
    /// # Errors
    /// [`OpenError::Damaged`].
    pub fn digest(&self, at: ImageRef) -> Result<Digest, OpenError> {
        self.layer(at.segment)?.segment.images().at(at.image)
    }

    /// What an image holds, by packaging system, name and version.
    ///
    /// # Errors
    /// [`OpenError::Damaged`].
    pub fn contents(&self, at: ImageRef) -> Result<Vec<Seen<'a>>, OpenError> {
        let segment = self.layer(at.segment)?.segment;
        let mut components = Vec::new();
        segment.each_component(at.image, |c| components.push(c))?;
        components.sort_unstable();
        components.into_iter().map(|c| segment.seen(c)).collect()
    }

    /// The projects that hold an image.
    ///
    /// # Errors
    /// [`OpenError::Damaged`].
    pub fn projects_of(&self, at: ImageRef) -> Result<Vec<i64>, OpenError> {
        let layer = self.layer(at.segment)?;
        let mut one = Bits::new(layer.segment.images().len());
        one.insert(at.image);
        Ok(layer.projects(&one)?.into_keys().collect())
    }

    /// A package.
    ///
    /// # Errors
    /// [`OpenError::Damaged`].
    pub fn package(&self, at: PackageRef) -> Result<PackageView<'a>, OpenError> {
        self.layer(at.segment)?.segment.view(at.package)
    }

    /// The images that hold any of some packages.
    ///
    /// # Errors
    /// [`OpenError::Damaged`].
    pub fn images_with(&self, packages: impl IntoIterator<Item = PackageRef>) -> Result<Images, OpenError> {
        let mut sets: Vec<Bits> = self.layers.iter().map(|l| Bits::new(l.segment.components())).collect();
        for at in packages {
            let components = self.layer(at.segment)?.segment.components_of(at.package)?;
            sets[at.segment as usize].insert_range(components.start, components.end);
        }
        let mut images = Vec::with_capacity(sets.len());
        for (layer, components) in self.layers.iter().zip(sets) {
            let mut found = layer.segment.images_with(&components)?;
            found.and(&layer.live);
            images.push(found);
        }
        Ok(Images { layers: images })
    }

    /// How many of some images each project holds; a project that holds none is not among them.
    ///
    /// # Errors
    /// [`OpenError::Damaged`].
    pub fn projects_with(&self, images: &Images) -> Result<BTreeMap<i64, u64>, OpenError> {
        let mut all = BTreeMap::new();
        for (layer, images) in self.layers.iter().zip(&images.layers) {
            for (project, count) in layer.projects(images)? {
                *all.entry(project).or_default() += count;
            }
        }
        Ok(all)
    }

    /// The digests of some images from `after` on (exclusive), in order.
    ///
    /// # Errors
    /// [`OpenError::Damaged`].
    pub fn digests(
        &self,
        images: &Images,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<(Digest, ImageRef)>, OpenError> {
        let mut out = Vec::new();
        for ((segment, layer), images) in self.numbered().zip(&images.layers) {
            let table = layer.segment.images();
            let start = match after {
                None => 0,
                Some(after) => {
                    let at = table.lower_bound(after)?;
                    at + u32::from(at < table.len() && table.at(at)? == *after)
                }
            };
            for image in images.iter_from(start).take(limit) {
                out.push((table.at(image)?, ImageRef { segment, image }));
            }
        }
        out.sort_unstable();
        out.truncate(limit);
        Ok(out)
    }

    /// Those of some digests that there are.
    ///
    /// # Errors
    /// [`OpenError::Damaged`].
    pub fn images_of<'d>(&self, digests: impl IntoIterator<Item = &'d Digest>) -> Result<Images, OpenError> {
        let empty = self.layers.iter().map(|layer| Bits::new(layer.segment.images().len()));
        let mut images = Images { layers: empty.collect() };
        for digest in digests {
            if let Some(at) = self.find(digest)? {
                images.layers[at.segment as usize].insert(at.image);
            }
        }
        Ok(images)
    }

    /// Every image.
    pub fn all_images(&self) -> Images {
        Images { layers: self.layers.iter().map(|layer| layer.live.clone()).collect() }
    }

    /// Cuts some images to those that a caller may see.
    ///
    /// # Errors
    /// [`OpenError::Damaged`].
    pub fn cut(&self, images: &mut Images, visible: Visible<'_>) -> Result<(), OpenError> {
        let Visible::Projects(projects) = visible else { return Ok(()) };
        for (layer, images) in self.layers.iter().zip(&mut images.layers) {
            if !images.is_empty() {
                images.and(&layer.visible(projects)?);
            }
        }
        Ok(())
    }
}

impl Layer<'_> {
    /// A later segment names these images.
    fn forget(&mut self, named: &crate::segment::DigestTable<'_>) -> Result<(), OpenError> {
        for at in 0..named.len() {
            if let Some(image) = self.segment.images().find(&named.at(at)?)? {
                self.live.remove(image);
            }
        }
        Ok(())
    }

    /// The images of some projects.
    fn visible(&self, projects: &[i64]) -> Result<Bits, OpenError> {
        let bound = self.segment.images().len();
        let lists = self.segment.project_images();
        let mut all = Bits::new(bound);
        for project in projects {
            let list = self.segment.project(*project)?;
            match (self.placed.get(project), list) {
                (None, Some(list)) => lists.join(list, bound, &mut all)?,
                (None, None) => {}
                (Some(changed), list) => {
                    if let Some(list) = list {
                        lists.visit(list, bound, |image| {
                            if changed.get(&image) != Some(&false) {
                                all.insert(image);
                            }
                            true
                        })?;
                    }
                    for (image, _) in changed.iter().filter(|(_, placed)| **placed) {
                        all.insert(*image);
                    }
                }
            }
        }
        Ok(all)
    }

    /// Visits every placement, also those of images that no longer count.
    pub(crate) fn each_placement(
        &self,
        mut each: impl FnMut(i64, u32) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        let lists = self.segment.project_images();
        for (list, project) in (0u32..).zip(self.segment.projects()) {
            let changed = self.placed.get(&project);
            for image in lists.to_vec(list, self.segment.images().len())? {
                if !changed.is_some_and(|c| c.contains_key(&image)) {
                    each(project, image)?;
                }
            }
        }
        for (project, changed) in &self.placed {
            for (image, _) in changed.iter().filter(|(_, placed)| **placed) {
                each(*project, *image)?;
            }
        }
        Ok(())
    }

    /// How many of some images each project holds.
    pub(crate) fn projects(&self, images: &Bits) -> Result<BTreeMap<i64, u64>, OpenError> {
        let mut all = BTreeMap::new();
        if images.is_empty() {
            return Ok(all);
        }
        let lists = self.segment.project_images();
        for (list, project) in (0u32..).zip(self.segment.projects()) {
            let changed = self.placed.get(&project);
            let mut count = 0u64;
            lists.visit(list, self.segment.images().len(), |image| {
                let known = changed.is_some_and(|c| c.contains_key(&image));
                count += u64::from(!known && images.contains(image));
                true
            })?;
            if count > 0 {
                all.insert(project, count);
            }
        }
        for (project, changed) in &self.placed {
            let more = changed.iter().filter(|(image, placed)| **placed && images.contains(**image)).count();
            if more > 0 {
                *all.entry(*project).or_default() += more as u64;
            }
        }
        Ok(all)
    }
}

/// A set of images of an open estate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    pub(crate) layers: Vec<Bits>,
}

impl Images {
    /// How many.
    pub fn count(&self) -> u64 {
        self.layers.iter().map(Bits::count).sum()
    }

    /// Keeps what is also among others.
    pub fn and(&mut self, others: &Self) {
        self.layers.iter_mut().zip(&others.layers).for_each(|(own, other)| own.and(other));
    }

    /// Whether an image is among them.
    pub fn contains(&self, at: ImageRef) -> bool {
        self.layers.get(at.segment as usize).is_some_and(|l| l.contains(at.image))
    }

    /// Each of them, segment by segment.
    pub fn iter(&self) -> impl Iterator<Item = ImageRef> + '_ {
        (0u32..)
            .zip(&self.layers)
            .flat_map(|(segment, images)| images.iter().map(move |image| ImageRef { segment, image }))
    }
}
