//! Keeping the index: what was scanned is added, what is gone is taken out, what changed advisories speak of is matched
//! again – that and nothing else.
//!
//! Each step makes its files durable, then one transaction moves the setting on and settles what caused the step. A
//! process that loses its lease in between leaves files that nothing names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ::estate::findings::{self, Changed, Delta, Findings};
use ::estate::{Below, Estate, Writer, merge};
use metadata::jobs;
use metadata::leases::{self, Held};
use metadata::model::{RepositoryId, estate};
use metadata::{Store, outbox};
use oci::Digest;
use vuln::Inventory;
use vuln::db::Db;

use super::exposure::{MANY, Places, Seen, Settled, settled};
use super::settle::Settling;
use super::{AskSavedJob, Index, Open, Pointer};
use crate::duty::Duty;
use crate::job::JobError;
use crate::scan::{Current, Target};

/// Images added by one step, at most; each is a merge of its layers. Many at once, since every step opens all files.
const BATCH: u32 = 5000;
/// How long a step adds: news of advisories come before the next one.
const ADDING: Duration = Duration::from_secs(2);
/// Segments from which on some are merged when there is nothing else to do, and whatever there is to do.
const SEGMENTS: usize = 8;
const MOST_SEGMENTS: usize = 24;
/// Files of findings for each segment from which on they are made anew.
const FINDINGS: usize = 3;
/// Projects in which one image is placed.
const PLACES: u32 = 1000;
/// Steps of one round: a round is shorter than its lease.
const STEPS: usize = 20;

/// The duty.
#[derive(Clone, Debug)]
pub struct IndexDuty(pub Arc<Index>);

impl Duty for IndexDuty {
    const NAME: &'static str = "estate";

    fn every(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn lease(&self) -> Duration {
        Duration::from_mins(2)
    }

    async fn round(&self, store: &Store, held: &Held) -> Result<(), JobError> {
        let before = self.0.setting().await?.1;
        let outcome = match self.steps(store, held).await {
            // As after a rebuild of the database from an older state: the index is derived, and made from nothing.
            Err(JobError::Failed { reason }) => {
                tracing::error!(reason, "the index of the estate cannot be used; it is made anew");
                self.begin_anew(held).await
            }
            outcome => outcome,
        };
        if self.0.setting().await?.1 != before {
            let now = store.now();
            let mut tx = store.begin().await?;
            jobs::enqueue(&mut tx, store.next_id().await?, now, AskSavedJob::due(now)?);
            tx.relaxed();
            store.commit(tx).await?;
        }
        outcome
    }
}

impl IndexDuty {
    /// Forgets the files and has everything added again that was judged.
    async fn begin_anew(&self, held: &Held) -> Result<(), JobError> {
        let (pointer, former) = self.0.setting().await?;
        let mut tx = self.0.registry().store().begin().await?;
        leases::fence(&mut tx, held);
        estate::mark_all(&mut tx);
        let next = Pointer { number: pointer.number, ..Pointer::default() };
        Index::step(&mut tx, former.as_deref(), &next)?;
        Ok(self.0.registry().store().commit(tx).await?)
    }

    async fn steps(&self, store: &Store, held: &Held) -> Result<(), JobError> {
        for _ in 0..STEPS {
            // First what the index has by the advisories of this moment: what is added then is by the same.
            if self.rematch(held).await? || self.settle(held).await? {
                continue;
            }
            // However fast images come, the files stay few.
            if self.compact(held, MOST_SEGMENTS).await? {
                continue;
            }
            let dirty = store.estate_dirty(BATCH).await?;
            if !dirty.is_empty() {
                self.add(held, &dirty).await?;
            } else if !self.reckon(held).await? && !self.compact(held, SEGMENTS).await? {
                break;
            }
        }
        Ok(())
    }
}

/// What happened to an image.
enum Image {
    Gone,
    Unknown,
    Held { inventory: Box<Inventory>, places: Places },
}

impl IndexDuty {
    /// Adds what was scanned, takes out what is gone.
    async fn add(&self, held: &Held, dirty: &[(Digest, i64)]) -> Result<(), JobError> {
        let index = &*self.0;
        let (mut next, former, before) = index.current().await?;
        let advisories = index.scanner.advisories().current().await?;
        let content = advisories.as_ref().map_or(0, |current| current.content());
        if !next.segments.is_empty() && next.advisories != content {
            // They came just now: the rest is matched first.
            return Ok(());
        }
        next.advisories = content;
        let mut writer = Writer::new();
        let mut images = Vec::new();
        let (mut added, until) = (0, index.registry().store().now().plus(ADDING));
        for (digest, _) in dirty {
            added += 1;
            match self.look(digest).await? {
                Image::Gone => {
                    writer.remove(*digest);
                    images.push((*digest, Places::new()));
                }
                Image::Unknown => {}
                Image::Held { inventory, places } => {
                    writer.add(*digest, &inventory, &places.keys().copied().collect::<Vec<_>>());
                    images.push((*digest, places));
                }
            }
            if index.registry().store().now() > until {
                break;
            }
        }
        let dirty = dirty.get(..added).unwrap_or_default();
        let segment = tokio::task::spawn_blocking(move || writer.finish()).await.map_err(JobError::retry)?;
        let segment = segment.map_err(JobError::failed)?;
        let mut shown = None;
        let mut segment = segment;
        if let Some(by) = &advisories {
            let by = Arc::clone(by);
            let work = tokio::task::spawn_blocking(move || {
                let findings = full(&[&segment], &by)?;
                let seen = Seen { before: &before, segment: &segment, findings: &findings, images: &images };
                let shown = seen.compare().map_err(JobError::failed)?;
                Ok::<_, JobError>((segment, findings, shown))
            });
            let (same, findings, found) = work.await.map_err(JobError::retry)??;
            (segment, shown) = (same, Some(found));
            let file = index.write(&mut next, findings).await?;
            next.findings.push(file);
        }
        let file = index.write(&mut next, segment).await?;
        next.segments.push(file);
        let mut tx = index.registry().store().begin().await?;
        leases::fence(&mut tx, held);
        for (digest, mark) in dirty {
            estate::clean(&mut tx, digest, *mark);
        }
        // Judged before the advisories that the index is by, and not yet in it when these came.
        let now = index.registry().store().now();
        for row in index.registry().store().scans(dirty.iter().map(|(digest, _)| digest)).await? {
            if row.verdict.is_some_and(|verdict| verdict.advisories < content) {
                let again = Target::rejudged(row.digest).judge(now);
                jobs::enqueue(&mut tx, index.registry().store().next_id().await?, now, again);
            }
        }
        if let (Some(shown), Some(by)) = (shown, &advisories) {
            self.note(&mut tx, &mut next, shown, by).await?;
        }
        let gone = std::mem::take(&mut next.former);
        Index::step(&mut tx, former.as_deref(), &next)?;
        index.registry().store().commit(tx).await?;
        index.delete(&gone).await;
        Ok(())
    }

    async fn look(&self, digest: &Digest) -> Result<Image, JobError> {
        let store = self.0.registry().store();
        let places = store.places_of(digest, RepositoryId::from(0), PLACES).await?;
        if places.is_empty() {
            return Ok(Image::Gone);
        }
        let mut pushed = Places::new();
        for place in places {
            let at = pushed.entry(place.project.get()).or_insert(place.pushed_at);
            *at = place.pushed_at.min(*at);
        }
        match self.0.scanner.inventory(digest).await? {
            None => Ok(Image::Unknown),
            Some(inventory) => Ok(Image::Held { inventory: Box::new(inventory), places: pushed }),
        }
    }

    /// Matches again what new advisories speak of differently; false: there is nothing to do.
    async fn rematch(&self, held: &Held) -> Result<bool, JobError> {
        let index = &*self.0;
        let (pointer, former, open) = index.current().await?;
        let Some(new) = index.scanner.advisories().current().await? else { return Ok(false) };
        if pointer.segments.is_empty() || pointer.advisories == new.content() {
            return Ok(false);
        }
        let old = match pointer.advisories {
            0 => None,
            content => index.scanner.advisories().former_of(&new, content).await?,
        };
        let work = {
            let (open, new) = (Arc::clone(&open), Arc::clone(&new));
            tokio::task::spawn_blocking(move || match old {
                Some(old) => changed(&open, &old, &new).map(Outcome::Delta),
                None => everything(&open, &new).map(Outcome::All),
            })
        };
        let outcome = work.await.map_err(JobError::retry)??;
        let mut next = Pointer { advisories: new.content(), ..pointer.clone() };
        let mut exposures = Settled::new();
        let mut other_scopes = true;
        let told = match outcome {
            Outcome::All(file) => {
                let file = index.write(&mut next, file).await?;
                next.former.extend(next.findings.drain(..).map(|old| old.object));
                next.findings.push(file);
                (next.reckoned, next.reckoned_to) = (false, String::new());
                None
            }
            Outcome::Delta(Matched { delta, told, other_scopes: other, settled }) => {
                other_scopes = other;
                if !delta.file.is_empty() {
                    let file = index.write(&mut next, delta.file).await?;
                    next.findings.push(file);
                }
                match settled {
                    Some(found) => exposures = found,
                    None => (next.reckoned, next.reckoned_to) = (false, String::new()),
                }
                Some(told)
            }
        };
        // Those who wait for news hear them before every verdict is up to date.
        next.settling = Some(settling(&pointer, other_scopes));
        let store = index.registry().store();
        let mut tx = store.begin().await?;
        leases::fence(&mut tx, held);
        for (id, projects) in told.iter().flatten() {
            for (project, images) in projects {
                let payload = serde_json::json!({ "id": id, "images": images }).to_string();
                let event = store.next_id().await?;
                outbox::append(&mut tx, event, store.now(), "advisory_matched", Some(*project), &payload);
            }
        }
        self.settle_exposures(&mut tx, &next, exposures, &new).await?;
        Index::step(&mut tx, former.as_deref(), &next)?;
        store.commit(tx).await?;
        Ok(true)
    }

    /// Makes few files of many; false: they are few.
    async fn compact(&self, held: &Held, segments: usize) -> Result<bool, JobError> {
        let index = &*self.0;
        let (pointer, former, open) = index.current().await?;
        let by = index.scanner.advisories().current().await?;
        let content = by.as_ref().map_or(0, |by| by.content());
        if pointer.segments.len() < segments && pointer.findings.len() < segments * FINDINGS
            || pointer.advisories != content
        {
            return Ok(false);
        }
        let (from, below) = worth_merging(&pointer);
        let work = tokio::task::spawn_blocking(move || {
            let maps = open.borrow_owner();
            let upper: Vec<&[u8]> = maps.segments[from..].iter().map(|map| &**map).collect();
            let merged = merge(&upper, below).map_err(JobError::failed)?;
            let mut all: Vec<&[u8]> = maps.segments[..from].iter().map(|map| &**map).collect();
            all.push(&merged);
            let found = by.map(|by| full(&all, &by)).transpose()?;
            Ok::<_, JobError>((merged, found))
        });
        let (merged, found) = work.await.map_err(JobError::retry)??;
        let mut next = pointer;
        let gone = std::mem::take(&mut next.former);
        next.former =
            next.segments.drain(from..).chain(next.findings.drain(..)).map(|old| old.object).collect();
        let segment = index.write(&mut next, merged).await?;
        next.segments.push(segment);
        if let Some(found) = found {
            let found = index.write(&mut next, found).await?;
            next.findings.push(found);
        }
        let mut tx = index.registry().store().begin().await?;
        leases::fence(&mut tx, held);
        Index::step(&mut tx, former.as_deref(), &next)?;
        index.registry().store().commit(tx).await?;
        index.delete(&gone).await;
        Ok(true)
    }
}

/// What is to be settled after a step: what was not yet, too.
fn settling(before: &Pointer, other_scopes: bool) -> Settling {
    let unsettled = before.settling.as_ref().is_some_and(|before| before.other_scopes);
    Settling { from: before.advisories, other_scopes: other_scopes || unsettled, last: String::new() }
}

/// Where merging begins: all segments, or those above a base that is much larger than they are together.
fn worth_merging(pointer: &Pointer) -> (usize, Below) {
    let upper: u64 = pointer.segments.iter().skip(1).map(|file| file.size_bytes).sum();
    match pointer.segments.first() {
        Some(base) if pointer.segments.len() > 2 && base.size_bytes / 4 > upper => (1, Below::More),
        _ => (0, Below::Nothing),
    }
}

/// What is wrong with all packages of some segments.
fn full(segments: &[&[u8]], by: &Current) -> Result<Vec<u8>, JobError> {
    let db = by.db().map_err(JobError::failed)?;
    let estate = Estate::open(segments).map_err(JobError::failed)?;
    findings::full(&estate, 0..estate.segments(), &db).map_err(JobError::failed)
}

enum Outcome {
    All(Vec<u8>),
    Delta(Matched),
}

/// Vulnerability → project → how many of its images.
type Told = BTreeMap<String, BTreeMap<i64, u64>>;

struct Matched {
    delta: Delta,
    /// What is told of changed advisories.
    told: Told,
    /// The feeds speak of other systems and languages than before.
    other_scopes: bool,
    /// Whom the changed vulnerabilities affect now; none: they are too many to say at once.
    settled: Option<Settled>,
}

fn everything(open: &Open, new: &Current) -> Result<Vec<u8>, JobError> {
    let db = new.db().map_err(JobError::failed)?;
    let estate = &open.borrow_dependent().estate;
    findings::full(estate, 0..estate.segments(), &db).map_err(JobError::failed)
}

fn changed(open: &Open, old: &[u8], new: &Current) -> Result<Matched, JobError> {
    let (old, new) = (Db::open(old).map_err(JobError::failed)?, new.db().map_err(JobError::failed)?);
    let view = open.borrow_dependent();
    let changed = Changed::between(&old, &new).map_err(JobError::failed)?;
    let delta = findings::delta(&view.estate, &view.findings, &new, &changed).map_err(JobError::failed)?;
    let mut told = Told::new();
    for (id, changes) in delta.by_vulnerability() {
        let images = Delta::images(&view.estate, changes).map_err(JobError::failed)?;
        let projects = view.estate.projects_with(&images).map_err(JobError::failed)?;
        told.insert(id.to_owned(), projects);
    }
    let ids: BTreeSet<&str> = delta.changes.iter().flat_map(::estate::findings::Change::ids).collect();
    let settled = if ids.len() > MANY { None } else { Some(after(open, &delta, &ids)?) };
    let other_scopes = old.scopes() != new.scopes();
    Ok(Matched { delta, told, other_scopes, settled })
}

/// Whom vulnerabilities affect after a step.
fn after(open: &Open, delta: &Delta, ids: &BTreeSet<&str>) -> Result<Settled, JobError> {
    let estate = &open.borrow_dependent().estate;
    let maps = open.borrow_owner();
    let mut files: Vec<&[u8]> = maps.findings.iter().map(|map| &**map).collect();
    if !delta.file.is_empty() {
        files.push(&delta.file);
    }
    let findings = Findings::open(&files, estate).map_err(JobError::failed)?;
    settled(estate, &findings, ids.iter().copied()).map_err(JobError::failed)
}
