//! Matching: everything once, and afterwards only what changed.

use super::file::FileWriter;
use super::{Assessment, Changed, Findings};
use crate::bits::Bits;
use crate::build::WriteError;
use crate::container::OpenError;
use crate::estate::{Estate, Images, PackageRef};
use crate::package::PackageView;
use std::collections::BTreeMap;
use vuln::Distro;
use vuln::db::{Db, DbError};
use vuln::matching::assess;

/// Why matching ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// The estate or its findings cannot be read.
    #[error("estate cannot be read")]
    Estate(#[from] OpenError),
    /// The advisory database cannot be read.
    #[error("advisory database cannot be read")]
    Database(#[from] DbError),
    /// The result does not fit into a file.
    #[error("findings cannot be written")]
    Write(#[from] WriteError),
}

/// A finding of a package that appeared, changed or vanished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The package.
    pub package: PackageRef,
    /// The finding as it was; none: it appeared.
    pub before: Option<Assessment>,
    /// The finding as it is; none: it vanished.
    pub after: Option<Assessment>,
}

impl Change {
    /// The vulnerability's first name.
    pub fn id(&self) -> &str {
        self.after.as_ref().or(self.before.as_ref()).map_or("", |a| &a.id)
    }

    /// Its first names before and after.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        [&self.before, &self.after].into_iter().flatten().map(|a| a.id.as_str())
    }
}

/// What a changed database changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Changed findings, by package and identifier.
    pub changes: Vec<Change>,
    /// The file of findings to open on top of the others; empty if nothing changed.
    pub file: Vec<u8>,
    /// How many packages were matched again.
    pub matched: u64,
}

impl Delta {
    /// The changes by the vulnerability's first name: what one event is about.
    pub fn by_vulnerability(&self) -> BTreeMap<&str, Vec<&Change>> {
        let mut all: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
        for change in &self.changes {
            all.entry(change.id()).or_default().push(change);
        }
        all
    }

    /// The images that hold any package of some changes.
    ///
    /// # Errors
    /// [`OpenError::Damaged`].
    pub fn images<'c>(
        estate: &Estate<'_>,
        changes: impl IntoIterator<Item = &'c Change>,
    ) -> Result<Images, OpenError> {
        estate.images_with(changes.into_iter().map(|c| c.package))
    }
}

/// Matches every package of the segments at some places (all of an estate: `0..estate.segments()`); answers a file of
/// findings that says everything of them.
///
/// # Errors
/// [`DeltaError`].
pub fn full(
    estate: &Estate<'_>,
    segments: impl IntoIterator<Item = usize>,
    db: &Db<'_>,
) -> Result<Vec<u8>, DeltaError> {
    let mut writer = FileWriter::default();
    for place in segments {
        let layer = estate.layer(u32::try_from(place).unwrap_or(u32::MAX))?;
        writer.segment(layer.segment.id(), true);
        for package in 0..layer.segment.packages() {
            let found = judge(&layer.segment.view(package)?, db)?;
            if !found.is_empty() {
                writer.package(package, &found);
            }
        }
    }
    Ok(writer.finish()?)
}

/// Matches again what changed.
///
/// # Errors
/// [`DeltaError`].
pub fn delta(
    estate: &Estate<'_>,
    findings: &Findings<'_>,
    db: &Db<'_>,
    changed: &Changed,
) -> Result<Delta, DeltaError> {
    let mut writer = FileWriter::default();
    let mut delta = Delta::default();
    let mut named: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for name in &changed.names {
        for at in findings.packages(name)? {
            named.entry(at.segment).or_default().push(at.package);
        }
    }
    for (segment, layer) in estate.numbered() {
        let mut again = Bits::new(layer.segment.packages());
        for hash in &changed.lookups {
            layer.segment.looked_up(*hash, |package| {
                again.insert(package);
            })?;
        }
        for package in named.get(&segment).into_iter().flatten() {
            again.insert(*package);
        }
        let mut begun = false;
        for package in again.iter() {
            delta.matched += 1;
            let at = PackageRef { segment, package };
            let (before, after) = (findings.of(at)?, judge(&layer.segment.view(package)?, db)?);
            if before == after {
                continue;
            }
            if !begun {
                writer.segment(layer.segment.id(), false);
                begun = true;
            }
            writer.package(package, &after);
            compare(at, before, after, &mut delta.changes);
        }
    }
    if !delta.changes.is_empty() {
        delta.file = writer.finish()?;
    }
    Ok(delta)
}

/// What counts against a package, by identifier.
fn judge(view: &PackageView<'_>, db: &Db<'_>) -> Result<Vec<Assessment>, DbError> {
    if !view.counts() {
        return Ok(Vec::new());
    }
    let scopes: Vec<String> = view.scopes.iter().map(|s| (*s).to_owned()).collect();
    let distro = view.distro.map(|id| Distro { id: id.to_owned(), ..Distro::default() });
    let mut all = assess(db, &view.to_package(), distro.as_ref(), &scopes)?;
    all.retain(|a| !a.denied);
    all.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(all)
}

/// Pairs findings of the same vulnerability.
fn compare(package: PackageRef, before: Vec<Assessment>, after: Vec<Assessment>, into: &mut Vec<Change>) {
    let keyed = |all: Vec<Assessment>| all.into_iter().map(|f| (f.id.clone(), f)).collect::<BTreeMap<_, _>>();
    let (mut before, after) = (keyed(before), keyed(after));
    for (id, now) in after {
        let then = before.remove(&id);
        if then.as_ref() != Some(&now) {
            into.push(Change { package, before: then, after: Some(now) });
        }
    }
    into.extend(before.into_values().map(|then| Change { package, before: Some(then), after: None }));
}
