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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advisory::import::Item;
    use crate::advisory::{Advisory, Affected, Event, Range, Rating};
    use crate::db::{Db, FeedDraft, ShrinkPolicy, Update};

    fn database(advisory: Advisory) -> Vec<u8> {
        let mut draft = FeedDraft::new("f", "f", "2026-01-01T00:00:00Z");
        draft.add(Item::Advisory(Box::new(advisory)));
        let mut update = Update::new();
        update.put(draft, ShrinkPolicy::Allow).unwrap();
        update.finish()
    }

    fn advisory(end: Event, rating: &str) -> Advisory {
        let mut affected = Affected::new("npm", "a");
        affected.ranges = vec![Range::new(vec![Event::Introduced("0".into()), end])];
        Advisory {
            id: "CVE-2026-1".into(),
            affected: vec![affected],
            severity: vec![Rating::label(rating)],
            ..Advisory::default()
        }
    }

    #[test]
    fn a_corrected_rating_and_a_corrected_kind_of_bound_are_changes() {
        let before = database(advisory(Event::Fixed("2.0".into()), "high"));
        for (after, changed) in [
            (advisory(Event::Fixed("2.0".into()), "high"), 0),
            (advisory(Event::Fixed("2.0".into()), "low"), 1),
            (advisory(Event::LastAffected("2.0".into()), "high"), 1),
        ] {
            let after = database(after);
            let (old, new) = (Db::open(&before).unwrap(), Db::open(&after).unwrap());
            let (old, new) = (old.feed_segment("f"), new.feed_segment("f"));
            assert_eq!(changed_packages(old.as_ref(), new.as_ref()).unwrap().len(), changed);
        }
    }
}
