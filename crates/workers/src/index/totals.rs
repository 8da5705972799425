//! Sums over what the index holds, for figures of everything that a caller may see.

use std::cmp::Reverse;
use std::sync::{Arc, PoisonError};

use ::estate::{ImageRef, OpenError, Tally, Visible};
use metadata::model::ProjectId;
use metadata::model::scan::SeverityCounts;
use oci::Digest;

use super::{Index, Open, Pointer};
use crate::job::JobError;
use crate::scan::severity_counts;

/// The findings of every image of an index that has any, worst first.
pub(super) type Tallies = Arc<Vec<(ImageRef, Tally)>>;

/// Sums over images, each once, wherever it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Images that were judged.
    pub images: u64,
    /// Those with a critical or high vulnerability.
    pub dangerous: u64,
    /// Vulnerabilities.
    pub counts: SeverityCounts,
    /// Those that a newer version repairs.
    pub fixable: u64,
    /// The worst images, worst first.
    pub worst: Vec<(Digest, SeverityCounts)>,
}

impl Index {
    /// Sums over the images of some projects, with the worst of them.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub async fn totals(&self, projects: &[ProjectId], worst: usize) -> Result<Totals, JobError> {
        let (pointer, _, open) = self.current().await?;
        let tallies = self.tallies(&pointer, &open).await?;
        let projects: Vec<i64> = projects.iter().map(|project| project.get()).collect();
        let summed = tokio::task::spawn_blocking(move || sum(&open, &tallies, &projects, worst)).await;
        summed.map_err(JobError::retry)?.map_err(JobError::failed)
    }

    /// Counted once for each state of the index.
    pub(super) async fn tallies(&self, pointer: &Pointer, open: &Arc<Open>) -> Result<Tallies, JobError> {
        let _turn = self.counting.lock().await;
        let known = self.tallied.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, tallies)) = known.filter(|(known, _)| known.same_files(pointer)) {
            return Ok(tallies);
        }
        let open = Arc::clone(open);
        let counted = tokio::task::spawn_blocking(move || {
            let view = open.borrow_dependent();
            let mut counted = view.findings.tallies(&view.estate)?;
            counted.retain(|(_, tally)| !tally.is_empty());
            counted.sort_by_cached_key(|(at, tally)| (Reverse(rank(tally)), *at));
            Ok::<_, OpenError>(counted)
        });
        let counted = counted.await.map_err(JobError::retry)?.map_err(JobError::failed)?;
        let tallies = Arc::new(counted);
        let known = (pointer.clone(), Arc::clone(&tallies));
        *self.tallied.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
        Ok(tallies)
    }
}

/// Which of two images is worse: the one with more of the worst severity.
fn rank(tally: &Tally) -> [u64; 6] {
    let SeverityCounts { critical, high, medium, low, negligible, unknown } = severity_counts(tally.all());
    [critical, high, medium, low, negligible, unknown]
}

fn sum(
    open: &Open,
    tallies: &[(ImageRef, Tally)],
    projects: &[i64],
    worst: usize,
) -> Result<Totals, OpenError> {
    let estate = &open.borrow_dependent().estate;
    let mut visible = estate.all_images();
    estate.cut(&mut visible, Visible::Projects(projects))?;
    let mut totals = Totals { images: visible.count(), ..Totals::default() };
    for (at, tally) in tallies.iter().filter(|(at, _)| visible.contains(*at)) {
        let counts = severity_counts(tally.all());
        totals.counts.add(&counts);
        totals.dangerous += u64::from(counts.critical + counts.high > 0);
        totals.fixable += severity_counts(tally.fixable()).total();
        if totals.worst.len() < worst {
            totals.worst.push((estate.digest(*at)?, counts));
        }
    }
    Ok(totals)
}
