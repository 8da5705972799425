//! When vulnerabilities came to projects and when they went, noted in the transaction that publishes what shows it.
//!
//! An image that is added opens what it is the first to have, at the time of its push; one that has an affected package
//! without the vulnerability is a repaired one, if it was pushed after the first affected one. Where images or findings
//! go, and where advisories change, the index says which projects are still affected. What was never noted, and all that
//! may have been missed while the index was made anew, is reckoned up page by page when there is nothing else to do;
//! until then nothing is closed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ::estate::findings::{Findings, Held, subject};
use ::estate::{Estate, OpenError};
use metadata::leases::{self, Held as Lease};
use metadata::model::exposure::{self, Exposing, Unfixed};
use metadata::{Timestamp, Tx};
use oci::Digest;
use vuln::db::{AdvisoryRef, Db, DbError};

use super::duty::IndexDuty;
use super::{Index, Open, Pointer, View};
use crate::job::JobError;
use crate::scan::Current;

/// Vulnerabilities reckoned up by one step.
const NAMES: u32 = 200;
/// Changed vulnerabilities from which on they are reckoned up page by page.
pub(super) const MANY: usize = 2000;

/// Where an image is: projects, and when it was pushed there first.
pub(super) type Places = BTreeMap<i64, Timestamp>;

/// Of some vulnerabilities, by first name, who is affected.
pub(super) type Settled = BTreeMap<String, Option<(Held, BTreeSet<i64>)>>;

/// Whom some vulnerabilities affect by what the index says.
pub(super) fn settled<'i>(
    estate: &Estate<'_>,
    findings: &Findings<'_>,
    ids: impl IntoIterator<Item = &'i str>,
) -> Result<Settled, OpenError> {
    ids.into_iter().map(|id| Ok((id.to_owned(), findings.held(estate, id)?))).collect()
}

/// A pair that was not affected before.
struct Gained {
    project: i64,
    vulnerability: String,
    held: Held,
    at: Timestamp,
}

/// A new image that has a package, as a possible repair.
struct Built {
    at: Timestamp,
    vulnerabilities: Arc<BTreeSet<String>>,
}

/// What some added and removed images show.
#[derive(Default)]
pub(super) struct Shown {
    gained: Vec<Gained>,
    /// Project and package → new images.
    built: BTreeMap<(i64, String), Vec<Built>>,
    settled: Settled,
}

/// What is to be known of images for it.
pub(super) struct Seen<'a> {
    pub(super) before: &'a Open,
    pub(super) segment: &'a [u8],
    pub(super) findings: &'a [u8],
    /// The images, and where they are now.
    pub(super) images: &'a [(Digest, Places)],
}

impl Seen<'_> {
    /// Compares what images had with what they have.
    pub(super) fn compare(&self) -> Result<Shown, OpenError> {
        let old = self.before.borrow_dependent();
        let estate = Estate::open(&[self.segment])?;
        let findings = Findings::open(&[self.findings], &estate)?;
        let new = View { estate, findings };
        let (mut shown, mut lost) = (Shown::default(), BTreeSet::new());
        let mut first: BTreeMap<(i64, String), (Held, Timestamp)> = BTreeMap::new();
        for (digest, places) in self.images {
            let was = old.estate.find(digest)?;
            let (mut had, mut had_in) = (BTreeMap::new(), BTreeSet::new());
            if let Some(at) = was {
                had = old.findings.held_by(&old.estate, at)?;
                had_in.extend(old.estate.projects_of(at)?);
            }
            let mut has = BTreeMap::new();
            if let Some(at) = new.estate.find(digest)? {
                has = new.findings.held_by(&new.estate, at)?;
                if was.is_none() {
                    let ids: Arc<BTreeSet<String>> = Arc::new(has.keys().cloned().collect());
                    let packages: BTreeSet<String> =
                        new.estate.contents(at)?.iter().map(|seen| subject(&seen.package)).collect();
                    for (project, at) in places {
                        for package in &packages {
                            let built = Built { at: *at, vulnerabilities: Arc::clone(&ids) };
                            shown.built.entry((*project, package.clone())).or_default().push(built);
                        }
                    }
                }
            }
            for (id, held) in &has {
                for (project, at) in places {
                    if !(had.contains_key(id) && had_in.contains(project)) {
                        let known = first.entry((*project, id.clone()));
                        let known = known.or_insert_with(|| (held.clone(), *at));
                        known.0.severity = known.0.severity.max(held.severity);
                        known.1 = known.1.min(*at);
                    }
                }
            }
            let stays = |id: &String| has.contains_key(id) && had_in.iter().all(|p| places.contains_key(p));
            lost.extend(had.into_keys().filter(|id| !stays(id)));
        }
        shown.gained = first
            .into_iter()
            .map(|((project, vulnerability), (held, at))| Gained { project, vulnerability, held, at })
            .collect();
        if !lost.is_empty() {
            let maps = self.before.borrow_owner();
            let segments: Vec<&[u8]> = maps.segments.iter().map(|map| &**map).chain([self.segment]).collect();
            let files: Vec<&[u8]> = maps.findings.iter().map(|map| &**map).chain([self.findings]).collect();
            let estate = Estate::open(&segments)?;
            let findings = Findings::open(&files, &estate)?;
            shown.settled = settled(&estate, &findings, lost.iter().map(String::as_str))?;
        }
        Ok(shown)
    }
}

/// When each of some vulnerabilities was published, by the earliest of its advisories.
fn published(db: &Db<'_>, ids: &BTreeSet<String>) -> Result<BTreeMap<String, Timestamp>, DbError> {
    let mut of: BTreeMap<AdvisoryRef, Vec<&String>> = BTreeMap::new();
    for id in ids {
        for at in db.by_id(id)? {
            of.entry(at).or_default().push(id);
        }
    }
    let mut out: BTreeMap<String, Timestamp> = BTreeMap::new();
    db.each_details(&of.keys().copied().collect(), &mut |at, details| {
        let Some(time) = details.published.and_then(|text| text.parse::<Timestamp>().ok()) else { return };
        for id in &of[&at] {
            out.entry((*id).clone()).and_modify(|known| *known = time.min(*known)).or_insert(time);
        }
    })?;
    Ok(out)
}

/// The same, off the threads that answer.
async fn publications(
    by: &Arc<Current>,
    ids: BTreeSet<String>,
) -> Result<BTreeMap<String, Timestamp>, JobError> {
    let by = Arc::clone(by);
    let work = tokio::task::spawn_blocking(move || {
        let db = by.db().map_err(JobError::failed)?;
        published(&db, &ids).map_err(JobError::failed)
    });
    work.await.map_err(JobError::retry)?
}

fn exposing<'a>(id: &'a str, held: &'a Held, published: &BTreeMap<String, Timestamp>) -> Exposing<'a> {
    Exposing {
        vulnerability: id,
        severity: held.severity as i64,
        published: published.get(id).copied(),
        package: &held.package,
    }
}

impl IndexDuty {
    /// Notes what added and removed images show.
    pub(super) async fn note(
        &self,
        tx: &mut Tx,
        next: &mut Pointer,
        shown: Shown,
        by: &Arc<Current>,
    ) -> Result<(), JobError> {
        let store = self.0.registry().store();
        let Shown { mut gained, built, settled } = shown;
        let ids: BTreeSet<&str> = gained.iter().map(|it| it.vulnerability.as_str()).collect();
        let projects: BTreeSet<i64> = gained.iter().map(|it| it.project).collect();
        let (ids, projects): (Vec<&str>, Vec<i64>) =
            (ids.into_iter().collect(), projects.into_iter().collect());
        let open: BTreeSet<(i64, String)> =
            store.open_exposures(&ids, &projects).await?.into_iter().collect();
        gained.retain(|it| !open.contains(&(it.project, it.vulnerability.clone())));
        let times = publications(by, gained.iter().map(|it| it.vulnerability.clone()).collect()).await?;
        for it in &gained {
            exposure::open(tx, &exposing(&it.vulnerability, &it.held, &times), it.at, [it.project]);
        }
        let projects: BTreeSet<i64> = built.keys().map(|(project, _)| *project).collect();
        let packages: BTreeSet<&str> = built.keys().map(|(_, package)| package.as_str()).collect();
        let (projects, packages): (Vec<i64>, Vec<&str>) =
            (projects.into_iter().collect(), packages.into_iter().collect());
        let mut unfixed = store.unfixed_exposures(&projects, &packages).await?;
        unfixed.extend(gained.into_iter().map(|it| Unfixed {
            project: it.project,
            vulnerability: it.vulnerability,
            package: it.held.package,
            first_present: it.at,
        }));
        for it in unfixed {
            let images = built.get(&(it.project, it.package)).into_iter().flatten();
            let repaired = images.filter(|image| !image.vulnerabilities.contains(&it.vulnerability));
            let later = repaired.map(|image| image.at).filter(|at| *at > it.first_present);
            if let Some(at) = later.min() {
                exposure::fix(tx, it.project, &it.vulnerability, at);
            }
        }
        self.settle_exposures(tx, next, settled, by).await
    }

    /// Notes who is affected by some vulnerabilities, and that nobody else is.
    pub(super) async fn settle_exposures(
        &self,
        tx: &mut Tx,
        next: &Pointer,
        settled: Settled,
        by: &Arc<Current>,
    ) -> Result<(), JobError> {
        let mut settled = settled;
        if !next.reckoned {
            // The others come with their page.
            settled.retain(|id, _| *id <= next.reckoned_to);
        }
        if settled.is_empty() {
            return Ok(());
        }
        self.write_exposures(tx, &settled, by).await
    }

    async fn write_exposures(
        &self,
        tx: &mut Tx,
        settled: &Settled,
        by: &Arc<Current>,
    ) -> Result<(), JobError> {
        let now = self.0.registry().store().now();
        let present = settled.iter().filter(|(_, whom)| whom.is_some()).map(|(id, _)| id.clone());
        let times = publications(by, present.collect()).await?;
        for (id, whom) in settled {
            let mut projects = BTreeSet::new();
            if let Some((held, all)) = whom {
                exposure::rate(tx, id, held.severity as i64);
                exposure::open(tx, &exposing(id, held, &times), now, all.iter().copied());
                projects.clone_from(all);
            }
            exposure::close_but(tx, id, now, projects);
        }
        Ok(())
    }

    /// Reckons a page of vulnerabilities up; false: all are.
    pub(super) async fn reckon(&self, held: &Lease) -> Result<bool, JobError> {
        let index = &*self.0;
        let (pointer, former, open) = index.current().await?;
        let Some(by) = index.scanner.advisories().current().await? else { return Ok(false) };
        if pointer.reckoned || pointer.advisories != by.content() {
            return Ok(false);
        }
        let store = index.registry().store();
        let last = pointer.reckoned_to.clone();
        let noted = store.open_exposure_names(&last, NAMES).await?;
        let work = tokio::task::spawn_blocking(move || {
            let view = open.borrow_dependent();
            let most = usize::try_from(NAMES).unwrap_or(usize::MAX);
            let mut names: BTreeSet<String> = view.findings.first_names(&last, most)?.into_iter().collect();
            names.extend(noted);
            let names: Vec<String> = names.into_iter().take(most).collect();
            settled(&view.estate, &view.findings, names.iter().map(String::as_str))
        });
        let settled = work.await.map_err(JobError::retry)?.map_err(JobError::failed)?;
        let mut next = pointer;
        match settled.keys().next_back() {
            Some(last) => next.reckoned_to.clone_from(last),
            None => next.reckoned = true,
        }
        let mut tx = store.begin().await?;
        leases::fence(&mut tx, held);
        self.write_exposures(&mut tx, &settled, &by).await?;
        Index::step(&mut tx, former.as_deref(), &next)?;
        store.commit(tx).await?;
        Ok(true)
    }
}
