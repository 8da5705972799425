//! Which packages a changed feed speaks of differently.
//!
//! The continuous matcher re-judges only these: a feed of ten thousand advisories in which three changed costs three.

use super::{DbError, Segment};
use std::collections::{BTreeSet, HashMap, HashSet};

/// A package whose advisories changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangedPackage {
    /// Canonical ecosystem.
    pub scope: String,
    /// Normalised name.
    pub name: String,
}

fn fingerprints<'a>(segment: Option<&Segment<'a>>) -> Result<HashMap<&'a str, u64>, DbError> {
    let Some(segment) = segment else { return Ok(HashMap::new()) };
    (0..segment.advisories()).map(|i| segment.head(i).map(|h| (h.id, h.fingerprint))).collect()
}

/// Packages named by advisories that are new, gone, withdrawn or changed between two states of a feed.
///
/// # Errors
/// [`DbError::Damaged`].
pub fn changed_packages(
    old: Option<&Segment<'_>>,
    new: Option<&Segment<'_>>,
) -> Result<BTreeSet<ChangedPackage>, DbError> {
    let (before, after) = (fingerprints(old)?, fingerprints(new)?);
    let mut changed = BTreeSet::new();
    for (segment, own, other) in [(old, &before, &after), (new, &after, &before)] {
        let Some(segment) = segment else { continue };
        let different: HashSet<&str> =
            own.iter().filter(|(id, f)| other.get(*id) != Some(f)).map(|(id, _)| *id).collect();
        let mut wanted = HashSet::new();
        for index in 0..segment.advisories() {
            if different.contains(segment.head(index)?.id) {
                wanted.insert(index);
            }
        }
        segment.each_row(&mut |scope, name, row| {
            if wanted.contains(&row.advisory) {
                changed.insert(ChangedPackage { scope: scope.to_owned(), name: name.to_owned() });
            }
        })?;
    }
    Ok(changed)
}
