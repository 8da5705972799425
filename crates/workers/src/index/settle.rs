//! Verdicts kept up with the index: once advisories changed, each image's counters are what the index counts.
//!
//! Nothing is read again for it: an image's counters depend on its layers and the advisories, and the index has both
//! ([`Findings::tallies`](::estate::findings::Findings::tallies)). Judged again are only images of which the index does
//! not know all: those that it does not hold, those where other scanners have a say, and those whose verdict was
//! incomplete although feeds speak of it now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ::estate::{ImageRef, OpenError, Tally};
use metadata::jobs;
use metadata::leases::{self, Held};
use metadata::model::estate;
use metadata::model::scan::{ScanRow, ScanStatus, Verdict};
use oci::Digest;
use serde::{Deserialize, Serialize};

use super::duty::IndexDuty;
use super::totals::Tallies;
use super::{Index, Open};
use crate::job::JobError;
use crate::scan::{Target, severity_counts};

/// Rows settled by one transaction.
const ROWS: u32 = 1000;
/// Transactions of one step.
const PAGES: usize = 50;

/// Verdicts that are not up to date yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Settling {
    /// The advisories before these.
    pub from: i64,
    /// Feeds speak of other systems and languages than before: what was incomplete may be whole now.
    pub other_scopes: bool,
    /// The artifact that was settled last.
    pub last: String,
}

/// What becomes of a verdict by former advisories.
enum Fate {
    /// It says what the index says.
    Same,
    /// It says something else.
    Other(Box<Verdict>),
    /// The index cannot tell.
    Unknown,
}

impl IndexDuty {
    /// Settles verdicts that were given by former advisories; false: there are none.
    pub(super) async fn settle(&self, held: &Held) -> Result<bool, JobError> {
        let index = &*self.0;
        let (pointer, mut former, open) = index.current().await?;
        let Some(mut settling) = pointer.settling.clone() else { return Ok(false) };
        let tallies = Arc::new(Lookup::of(index.tallies(&pointer, &open).await?));
        let store = index.registry().store();
        for _ in 0..PAGES {
            let page = store.judged_before(pointer.advisories, &settling.last, ROWS).await?;
            let mut next = pointer.clone();
            let Some(end) = page.last().map(|row| row.digest.to_string()) else {
                next.settling = None;
                let mut tx = store.begin().await?;
                leases::fence(&mut tx, held);
                Index::step(&mut tx, former.as_deref(), &next)?;
                store.commit(tx).await?;
                return Ok(true);
            };
            settling.last = end;
            next.settling = Some(settling.clone());
            let consulted = store.with_scanners(page.iter().map(|row| &row.digest)).await?;
            let (open, tallies, by) = (Arc::clone(&open), Arc::clone(&tallies), settling.clone());
            let content = pointer.advisories;
            let now = store.now();
            let work = tokio::task::spawn_blocking(move || {
                let fates = page.into_iter().map(|row| {
                    let fate = fate(&open, &tallies, &row, &by, &consulted)?;
                    Ok::<_, OpenError>((row, fate))
                });
                fates.collect::<Result<Vec<_>, _>>()
            });
            let mut tx = store.begin().await?;
            leases::fence(&mut tx, held);
            let mut same: BTreeMap<i64, Vec<Digest>> = BTreeMap::new();
            for (row, fate) in work.await.map_err(JobError::retry)?.map_err(JobError::failed)? {
                let judged = row.verdict.as_ref().map_or(0, |verdict| verdict.advisories);
                match fate {
                    Fate::Same => same.entry(judged).or_default().push(row.digest),
                    Fate::Other(verdict) => {
                        let verdict = Verdict { judged_at: now, advisories: content, ..*verdict };
                        estate::recount(&mut tx, &row.digest, judged, &verdict);
                    }
                    Fate::Unknown => {
                        let again = Target::rejudged(row.digest).judge(now);
                        jobs::enqueue(&mut tx, store.next_id().await?, now, again);
                    }
                }
            }
            for (judged, digests) in same {
                estate::up_to_date(&mut tx, judged, content, &digests);
            }
            let text = Index::step(&mut tx, former.as_deref(), &next)?;
            store.commit(tx).await?;
            former = Some(text);
        }
        Ok(true)
    }
}

fn fate(
    open: &Open,
    tallies: &Lookup,
    row: &ScanRow,
    by: &Settling,
    consulted: &BTreeSet<Digest>,
) -> Result<Fate, OpenError> {
    let Some(verdict) = &row.verdict else { return Ok(Fate::Unknown) };
    let waits = row.status == ScanStatus::Incomplete && (by.other_scopes || verdict.advisories != by.from);
    if waits || consulted.contains(&row.digest) {
        return Ok(Fate::Unknown);
    }
    let Some(at) = open.borrow_dependent().estate.find(&row.digest)? else { return Ok(Fate::Unknown) };
    let tally = tallies.get(at);
    let (counts, fixable) = (severity_counts(tally.all()), severity_counts(tally.fixable()));
    if verdict.counts == counts && verdict.details.fixable == fixable {
        return Ok(Fate::Same);
    }
    let mut other = Verdict { counts, ..verdict.clone() };
    other.details.fixable = fixable;
    Ok(Fate::Other(Box::new(other)))
}

/// Tallies by image.
struct Lookup {
    tallies: Tallies,
    /// Places in `tallies`, in order of their images.
    by_image: Vec<u32>,
}

impl Lookup {
    fn of(tallies: Tallies) -> Self {
        let mut by_image: Vec<u32> = (0..).take(tallies.len()).collect();
        by_image.sort_unstable_by_key(|at| tallies[*at as usize].0);
        Self { tallies, by_image }
    }

    /// An image's counters; an image without findings has no entry.
    fn get(&self, image: ImageRef) -> Tally {
        let found = self.by_image.binary_search_by_key(&image, |at| self.tallies[*at as usize].0);
        found.map_or_else(|_| Tally::default(), |at| self.tallies[self.by_image[at] as usize].1)
    }
}
