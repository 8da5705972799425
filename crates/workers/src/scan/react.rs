//! What events cause here: what is pushed is scanned, and where statements about an artifact come or go, or others are
//! believed, its verdict is put together anew.

use metadata::jobs::NewJob;
use metadata::outbox::Event;
use oci::{Digest, Tag};
use serde::Deserialize;

use super::{Held, Recombine, RecombineJob, Target, priority};
use crate::job::{Job as _, JobError};

/// A manifest that came, or a manifest or tag that is gone.
#[derive(Deserialize)]
struct Told {
    digest: Digest,
    #[serde(default)]
    repository_id: Option<i64>,
    #[serde(default)]
    subject: Option<Digest>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    by_system: bool,
}

impl Told {
    fn of(event: &Event) -> Result<Self, JobError> {
        serde_json::from_str(&event.payload).map_err(JobError::failed)
    }

    /// Verdicts on what this was about: its subject, and what cosign's tags of attestations (`sha256-HEX.att`) name.
    fn combined(&self, event: &Event) -> Vec<NewJob> {
        let attested =
            self.tags.iter().filter_map(|tag| match tag.parse::<Tag>().ok()?.evidence_subject()? {
                (subject, Some("att")) => Some(subject),
                _ => None,
            });
        let Some(repository) = self.repository_id else { return Vec::new() };
        let mut subjects: Vec<Digest> = self.subject.into_iter().chain(attested).collect();
        subjects.sort();
        subjects.dedup();
        let combine = |subject| {
            let held = Held { repository, digest: subject, priority: priority::PUSHED };
            let mut job = held.combine(event.created_at);
            job.project = event.project;
            job
        };
        subjects.into_iter().map(combine).collect()
    }
}

/// The reaction to `manifest_pushed`: the artifact is scanned if its project says so.
///
/// # Errors
/// If the event cannot be read.
pub fn on_push(event: &Event) -> Result<Vec<NewJob>, JobError> {
    let pushed = Told::of(event)?;
    // What scanning attaches is not scanned.
    if pushed.by_system {
        return Ok(Vec::new());
    }
    let target = Target { pushed: true, ..Target::new(pushed.digest, priority::PUSHED) };
    let mut job = target.job(event.created_at);
    job.project = event.project;
    let mut caused = pushed.combined(event);
    caused.push(job);
    Ok(caused)
}

/// The reaction to `manifest_deleted` and `tag_deleted`: what was stated by it counts no more.
///
/// # Errors
/// If the event cannot be read.
pub fn on_loss(event: &Event) -> Result<Vec<NewJob>, JobError> {
    let gone = Told::of(event)?;
    // What scanning takes away is taken account of by what it does next.
    Ok(if gone.by_system { Vec::new() } else { gone.combined(event) })
}

/// The reaction to `scanners_chosen`: verdicts are put together anew, of the project or of all.
///
/// # Errors
/// None that is known.
pub fn on_choice(event: &Event) -> Result<Vec<NewJob>, JobError> {
    let job = RecombineJob::request(&Recombine { project: event.project }, event.created_at)?;
    Ok(vec![match event.project {
        Some(project) => job.dedupe(format!("project {project}")).project(project),
        None => job.dedupe("all"),
    }])
}
