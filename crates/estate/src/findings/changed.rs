//! Whom a changed advisory database speaks of differently.
//!
//! Not only the packages of changed advisories: a finding's severity may come from another feed's advisory of the same
//! vulnerability. So the names of all that changed are collected, and every package is asked again that any advisory of
//! one of these names speaks of, in the old database or the new one.

use crate::layout::lookup_hash;
use std::collections::{BTreeSet, HashMap, HashSet};
use vuln::db::{Db, DbError, Head, Segment};

/// What has to be matched again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Hashes of ecosystem and name.
    pub(super) lookups: BTreeSet<u64>,
    /// Names of vulnerabilities whose findings are asked again wherever they are now.
    pub(super) names: BTreeSet<String>,
}

impl Changed {
    /// Compares two states of a database. Feeds that are byte for byte the same cost nothing but that comparison.
    ///
    /// # Errors
    /// [`DbError`] if one is damaged.
    pub fn between(old: &Db<'_>, new: &Db<'_>) -> Result<Self, DbError> {
        let feeds: BTreeSet<&str> =
            [old, new].iter().flat_map(|d| d.feeds()).map(|f| f.name.as_str()).collect();
        let mut changed = Self::default();
        for feed in &feeds {
            let (before, after) = (old.feed_segment(feed), new.feed_segment(feed));
            if before == after {
                continue;
            }
            let (heads_before, heads_after) = (heads(before.as_ref())?, heads(after.as_ref())?);
            for (own, other) in [(&heads_before, &heads_after), (&heads_after, &heads_before)] {
                for (id, (fingerprint, names)) in own {
                    if other.get(id).is_none_or(|(f, _)| f != fingerprint) {
                        changed.names.extend(names.iter().cloned());
                    }
                }
            }
            changed.scopes(before.as_ref(), after.as_ref())?;
        }
        changed.speak_of(old, &feeds)?;
        changed.speak_of(new, &feeds)?;
        // What the old state spoke of is among the lookups; the names were only the way there.
        changed.names.clear();
        Ok(changed)
    }

    /// What advisories of these identifiers change: `db` is the new state; packages that have such a finding now are
    /// asked again too, so that a withdrawn advisory goes.
    ///
    /// # Errors
    /// [`DbError`] if the database is damaged.
    pub fn of_ids<'i>(db: &Db<'_>, ids: impl IntoIterator<Item = &'i str>) -> Result<Self, DbError> {
        let mut changed = Self::default();
        for id in ids {
            changed.names.insert(public(id).to_owned());
            for at in db.by_id(id)? {
                changed.names.extend(names(&db.head(at)?));
            }
        }
        let feeds = db.feeds().into_iter().map(|f| f.name.as_str()).collect();
        changed.speak_of(db, &feeds)?;
        Ok(changed)
    }

    /// Whether nothing has to be matched again.
    pub fn is_empty(&self) -> bool {
        self.lookups.is_empty() && self.names.is_empty()
    }

    /// Scopes that only one state of a feed has: their rows were renamed as a whole.
    fn scopes(&mut self, old: Option<&Segment<'_>>, new: Option<&Segment<'_>>) -> Result<(), DbError> {
        let scopes = |s: Option<&Segment<'_>>| -> Result<BTreeSet<String>, DbError> {
            Ok(s.map(Segment::scopes)
                .transpose()?
                .unwrap_or_default()
                .into_iter()
                .map(str::to_owned)
                .collect())
        };
        let (before, after) = (scopes(old)?, scopes(new)?);
        let different: HashSet<&String> = before.symmetric_difference(&after).collect();
        if different.is_empty() {
            return Ok(());
        }
        for segment in [old, new].into_iter().flatten() {
            segment.each_row(&mut |scope, name, _| {
                if different.contains(&scope.to_owned()) {
                    self.lookups.insert(lookup_hash(scope, name));
                }
            })?;
        }
        Ok(())
    }

    /// Adds the packages that advisories of the names speak of.
    fn speak_of(&mut self, db: &Db<'_>, feeds: &BTreeSet<&str>) -> Result<(), DbError> {
        for segment in feeds.iter().filter_map(|f| db.feed_segment(f)) {
            let mut wanted = HashSet::new();
            segment.each_id(&mut |id, advisory| {
                if self.names.contains(public(id)) {
                    wanted.insert(advisory);
                }
            })?;
            if wanted.is_empty() {
                continue;
            }
            segment.each_row(&mut |scope, name, row| {
                if wanted.contains(&row.advisory) {
                    self.lookups.insert(lookup_hash(scope, name));
                }
            })?;
        }
        Ok(())
    }
}

/// An identifier without what importers add after `#` to keep parts of one advisory apart.
fn public(id: &str) -> &str {
    id.split('#').next().unwrap_or(id)
}

fn names(head: &Head<'_>) -> Vec<String> {
    let others = [&head.aliases, &head.upstream, &head.related].into_iter().flatten().copied();
    std::iter::once(head.id).chain(others).map(|n| public(n).to_owned()).collect()
}

type Heads<'a> = HashMap<&'a str, (u64, Vec<String>)>;

fn heads<'a>(segment: Option<&Segment<'a>>) -> Result<Heads<'a>, DbError> {
    let Some(segment) = segment else { return Ok(HashMap::new()) };
    let one = |at| segment.head(at).map(|h| (h.id, (h.fingerprint, names(&h))));
    (0..segment.advisories()).map(one).collect()
}
