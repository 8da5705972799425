//! From findings of packages to counters of images.
//!
//! Fragments are counted once and images are sums of fragments, so counting all of an estate is cheap.

use super::{Assessment, Delta, Findings};
use crate::container::OpenError;
use crate::estate::{Estate, ImageRef, PackageRef};
use crate::layout;
use crate::package::PackageView;
use crate::tally::{Tally, TallyChange};
use std::collections::HashMap;
use vuln::advisory::Status;

impl Findings<'_> {
    /// What is wrong with an image: every finding of every package, as often as the package is there.
    ///
    /// # Errors
    /// [`OpenError::Damaged`].
    pub fn of_image<'e>(
        &self,
        estate: &Estate<'e>,
        at: ImageRef,
    ) -> Result<Vec<(PackageView<'e>, Assessment)>, OpenError> {
        let segment = estate.layer(at.segment)?.segment;
        let mut components = Vec::new();
        segment.each_component(at.image, |c| components.push(c))?;
        components.sort_unstable();
        let mut out = Vec::new();
        for component in components {
            let package = segment.package_of(component)?;
            let found = self.of(PackageRef { segment: at.segment, package })?;
            if !found.is_empty() {
                let view = segment.view(package)?;
                out.extend(found.into_iter().map(|f| (view.clone(), f)));
            }
        }
        Ok(out)
    }

    /// An image's counters.
    ///
    /// # Errors
    /// [`OpenError::Damaged`].
    pub fn tally(&self, estate: &Estate<'_>, at: ImageRef) -> Result<Tally, OpenError> {
        let segment = estate.layer(at.segment)?.segment;
        let mut components = Vec::new();
        segment.each_component(at.image, |c| components.push(c))?;
        let mut tally = Tally::default();
        for component in components {
            let package = segment.package_of(component)?;
            self.each(PackageRef { segment: at.segment, package }, |row| {
                tally.add(row.severity, row.status == Status::Fixed);
            })?;
        }
        Ok(tally)
    }

    /// An image's counters without the findings that the caller excuses: by a VEX statement, or by the allow-list of
    /// the project in which it is looked at.
    ///
    /// # Errors
    /// [`OpenError::Damaged`].
    pub fn tally_without(
        &self,
        estate: &Estate<'_>,
        at: ImageRef,
        excused: &dyn Fn(&PackageView<'_>, &Assessment) -> bool,
    ) -> Result<Tally, OpenError> {
        let mut tally = Tally::default();
        for (package, finding) in self.of_image(estate, at)? {
            if !excused(&package, &finding) {
                tally.add(finding.severity, finding.status == Status::Fixed);
            }
        }
        Ok(tally)
    }

    /// The counters of every image.
    ///
    /// # Errors
    /// [`OpenError::Damaged`].
    pub fn tallies(&self, estate: &Estate<'_>) -> Result<Vec<(ImageRef, Tally)>, OpenError> {
        let mut of_packages: Vec<HashMap<u32, Tally>> = vec![HashMap::new(); estate.segments()];
        self.each_package(|at, rows| {
            let tally = of_packages[at.segment as usize].entry(at.package).or_default();
            rows.iter().for_each(|row| tally.add(row.severity, row.status == Status::Fixed));
            Ok(())
        })?;
        let mut out = Vec::new();
        for ((segment, layer), of_packages) in estate.numbered().zip(of_packages) {
            let view = layer.segment;
            let mut of_fragments = vec![Tally::default(); view.fragments() as usize];
            let of_components = view.lists(layout::COMPONENT_FRAGMENTS);
            for (package, tally) in of_packages {
                for component in view.components_of(package)? {
                    of_components.visit(component, view.fragments(), |fragment| {
                        of_fragments[fragment as usize].join(&tally);
                        true
                    })?;
                }
            }
            let fragments = view.lists(layout::IMAGE_FRAGMENTS);
            for image in layer.live.iter() {
                let mut tally = Tally::default();
                fragments.visit(image, view.fragments(), |fragment| {
                    tally.join(&of_fragments[fragment as usize]);
                    true
                })?;
                out.push((ImageRef { segment, image }, tally));
            }
        }
        Ok(out)
    }
}

impl Delta {
    /// By how much each image's counters change; images whose counters stay are not among them.
    ///
    /// # Errors
    /// [`OpenError::Damaged`].
    pub fn tally_changes(&self, estate: &Estate<'_>) -> Result<Vec<(ImageRef, TallyChange)>, OpenError> {
        let mut of_packages: Vec<HashMap<u32, TallyChange>> = vec![HashMap::new(); estate.segments()];
        for change in &self.changes {
            let count = |finding: Option<&Assessment>| {
                let mut tally = Tally::default();
                finding.into_iter().for_each(|f| tally.add(f.severity, f.status == Status::Fixed));
                tally
            };
            let by = count(change.after.as_ref()).since(&count(change.before.as_ref()));
            let at = change.package;
            let changes = of_packages.get_mut(at.segment as usize);
            let changes = changes.ok_or(OpenError::Damaged("change of another estate"))?;
            changes.entry(at.package).or_default().join(&by);
        }
        let mut out = Vec::new();
        for ((segment, layer), of_packages) in estate.numbered().zip(of_packages) {
            let view = layer.segment;
            let mut of_fragments: HashMap<u32, TallyChange> = HashMap::new();
            let of_components = view.lists(layout::COMPONENT_FRAGMENTS);
            for (package, by) in of_packages.iter().filter(|(_, by)| !by.is_nothing()) {
                for component in view.components_of(*package)? {
                    of_components.visit(component, view.fragments(), |fragment| {
                        of_fragments.entry(fragment).or_default().join(by);
                        true
                    })?;
                }
            }
            let images = view.lists(layout::FRAGMENT_IMAGES);
            let mut of_images: HashMap<u32, TallyChange> = HashMap::new();
            for (fragment, by) in &of_fragments {
                images.visit(*fragment, view.images().len(), |image| {
                    of_images.entry(image).or_default().join(by);
                    true
                })?;
            }
            let changed = of_images.into_iter().filter(|(i, by)| layer.live.contains(*i) && !by.is_nothing());
            let mut changed: Vec<_> = changed.map(|(image, by)| (ImageRef { segment, image }, by)).collect();
            changed.sort_unstable();
            out.extend(changed);
        }
        Ok(out)
    }
}
