//! Reports: made from what layers state and the advisories of the moment, whenever somebody asks.
//!
//! Nothing of a report is stored but its counts, so that a page of findings is never older than the advisories.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::tz::TimeZone;
use oci::Digest;
use registry::manifest::PulledManifest;
use serde_json::Value;
use vuln::db::stale_feeds;
use vuln::look;
use vuln::matching::{self, IgnoreFile, Options};
use vuln::report::{ScanReport, Target};
use vuln::sbom::{self, Document, Format, Provenance, Subject, SubjectKind};
use vuln::secrets::SecretRules;
use vuln::{Inventory, Problem, eol, merge, misconfig};

use super::foreign::{self, Foreign};
use super::image::{Image, check_layers};
use super::layer::{self, Record};
use super::others::Excuses;
use super::{Current, Scanner, secret_rules};
use crate::job::JobError;

/// The source of problems that say that a feed was not renewed. They pass with the next renewal, so that they are no part
/// of what is kept: whoever shows a kept verdict asks [`Scanner::stale_feeds`].
pub(super) const FEEDS: &str = "feeds";
/// Why nothing is judged.
pub(super) const NO_ADVISORIES: &str = "there are no advisories: name feeds in `scan.feeds`";

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The artifact was not scanned yet.
    #[error("this artifact was not scanned yet")]
    NotScanned,
    /// Nothing in it can be scanned.
    #[error("this artifact has nothing that can be scanned")]
    Unsupported,
    /// It cannot be read, whoever asks.
    #[error("this artifact cannot be judged: {0}")]
    Failed(String),
    /// It cannot be made now.
    #[error("the report cannot be made: {0}")]
    Unavailable(#[from] JobError),
}

/// Whose statements count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sources {
    /// What was read from the layers: the same wherever the image is, so that it may be kept for all.
    Own,
    /// And what hangs beside the image in the repository that is asked: for who asks there.
    WithOthers,
}

/// All that a report is made of.
pub(super) struct Parts {
    digest: Digest,
    name: String,
    /// Layers with what is kept of them, lowest first.
    pub(super) layers: Vec<(Digest, Bytes)>,
    /// The configuration, if it is one of an image.
    pub(super) config: Option<Value>,
    foreign: Vec<(Provenance, Inventory)>,
    /// What could not be read beside the layers.
    pub(super) problems: Vec<Problem>,
    advisories: Option<Arc<Current>>,
    excuses: Arc<Excuses>,
    now: jiff::Timestamp,
    max_feed_age: jiff::SignedDuration,
    rules: Arc<SecretRules>,
}

/// A report with what it is about.
pub(super) struct Made {
    /// What is in the artifact.
    pub document: Document,
    /// What is wrong with it.
    pub report: ScanReport,
    /// The advisories' content; 0: there were none.
    pub advisories: i64,
}

impl Parts {
    /// Reads what is needed; none: a layer was not catalogued.
    pub(super) async fn gather(
        scanner: &Scanner,
        image: &Image,
        sources: Sources,
    ) -> Result<Option<Self>, JobError> {
        image.check_size()?;
        if !image.is_whole(scanner).await? {
            return Ok(None);
        }
        let wanted = image.layers();
        let mut found = scanner.store().layer_catalogues(&wanted, layer::VERSION).await?;
        let mut layers = Vec::with_capacity(wanted.len());
        for digest in &wanted {
            // An image may have the same layer twice.
            match found.iter_mut().find(|(known, _)| known == digest) {
                Some((_, content)) => layers.push((*digest, content.clone())),
                None => return Ok(None),
            }
        }
        let mut foreign = match sources {
            Sources::Own => Foreign::default(),
            Sources::WithOthers => foreign::read(scanner, image).await?,
        };
        foreign.problems.extend(image.unread_layers());
        Ok(Some(Self {
            layers,
            config: image.config(&scanner.registry).await?,
            foreign: foreign.inventories,
            problems: foreign.problems,
            ..Self::without_layers(scanner, image.digest, image.place.full_name.clone()).await?
        }))
    }

    /// What the report of an artifact is made of beside its layers.
    pub(super) async fn without_layers(
        scanner: &Scanner,
        digest: Digest,
        name: String,
    ) -> Result<Self, JobError> {
        let now = scanner.store().now();
        Ok(Self {
            digest,
            name,
            layers: Vec::new(),
            config: None,
            foreign: Vec::new(),
            problems: Vec::new(),
            advisories: scanner.advisories.current().await?,
            excuses: Arc::default(),
            now: jiff::Timestamp::from_microsecond(now.micros()).map_err(JobError::failed)?,
            max_feed_age: scanner.settings.max_feed_age.try_into().map_err(JobError::failed)?,
            rules: secret_rules().await?,
        })
    }

    /// The artifact as documents name it.
    pub(super) fn subject(&self) -> Subject {
        subject(self.digest, &self.name)
    }

    /// Whether there are advisories to judge by.
    pub(super) fn has_advisories(&self) -> bool {
        self.advisories.is_some()
    }

    /// What is in the artifact, and what was seen beside packages.
    pub(super) fn compose(&self) -> Result<(Document, look::Seen), String> {
        let (mut results, mut seen, mut room) = (Vec::new(), Vec::new(), layer::MOST_BYTES);
        for (digest, content) in &self.layers {
            let record: Record = layer::unpack(content, &mut room)
                .map_err(|error| format!("what is kept of layer {digest}: {error}"))?;
            results.push(record.result);
            seen.push(record.seen);
        }
        let found: Vec<_> = results.iter().map(|result| result.diff_id).collect();
        check_layers(self.config.as_ref(), &found).map_err(|error| error.to_string())?;
        let seen = look::combine(&results, seen);
        let own = merge(&results);
        let inventory = if self.foreign.is_empty() {
            own
        } else {
            let own = std::iter::once((Provenance::Scanned, own));
            sbom::merge(own.chain(self.foreign.clone()).collect())
        };
        let created = self.config.as_ref().and_then(|config| config.get("created")?.as_str()?.parse().ok());
        Ok((Document::new(self.subject(), created, inventory), seen))
    }

    /// Makes the report: some milliseconds of work for a small image.
    pub(super) fn make(self) -> Result<Made, String> {
        let (document, seen) = self.compose()?;
        let report = self.judge(&document, seen)?;
        let advisories = self.advisories.as_ref().map_or(0, |current| current.content());
        Ok(Made { document, report, advisories })
    }

    /// What is wrong with it.
    pub(super) fn judge(&self, document: &Document, seen: look::Seen) -> Result<ScanReport, String> {
        let inventory = &document.inventory;
        let today = self.now.to_zoned(TimeZone::UTC).date();
        let ended = inventory.distro.as_ref().and_then(|distro| eol::ended(distro, today));
        let mut report = ScanReport {
            target: Target {
                name: document.subject.name.clone(),
                version: None,
                digest: document.subject.digest,
                distro: inventory.distro.clone(),
                packages: inventory.packages.len(),
            },
            created: self.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            end_of_life: ended.map(|date| date.to_string()),
            problems: inventory.problems.clone(),
            ..ScanReport::default()
        };
        let mut secrets = seen.secrets;
        secrets.extend(self.config.iter().flat_map(|config| self.rules.scan_config(config)));
        secrets.sort();
        report.secrets = Some(secrets);
        let mut violated = seen.misconfigurations;
        violated.extend(self.config.iter().flat_map(misconfig::image::check));
        violated.sort();
        violated.dedup();
        report.misconfigurations = Some(violated);
        report.problems.extend(seen.problems);
        report.problems.extend(self.problems.iter().cloned());
        if let Some(current) = &self.advisories {
            let db = current.db().map_err(|error| error.to_string())?;
            report.stale_feeds = stale_feeds(db.feeds(), self.now, self.max_feed_age);
            report.problems.extend(report.stale_feeds.iter().map(|feed| Problem {
                source: FEEDS.to_owned(),
                path: String::new(),
                message: feed.sentence(),
            }));
            let Excuses { allowed, vex, problems } = &*self.excuses;
            report.problems.extend(problems.iter().cloned());
            let ignore = (!allowed.is_empty())
                .then(|| IgnoreFile::parse("allow-list", &allowed.join("\n")))
                .transpose()
                .map_err(|error| error.to_string())?;
            let products: Vec<String> = document.subject.purl().into_iter().collect();
            let today = today.to_string();
            let options = Options { vex, ignore: ignore.as_ref(), products: &products, today: &today };
            let found =
                matching::match_inventory(&db, inventory, &options).map_err(|error| error.to_string())?;
            // The feed of release dates is newer than the list that this was built with.
            report.end_of_life = found.end_of_life.clone().or(report.end_of_life.take());
            report.vulnerabilities = Some(found);
        }
        Ok(report)
    }
}

/// An artifact as documents name it.
pub(super) fn subject(digest: Digest, name: &str) -> Subject {
    Subject { kind: SubjectKind::Container, name: name.to_owned(), version: None, digest: Some(digest) }
}

impl Scanner {
    /// The report of an artifact that the caller has read: by the advisories of this moment, with the project's
    /// allow-list and the VEX documents that it believes applied and shown.
    ///
    /// # Errors
    /// [`ReportError`].
    pub async fn report(&self, manifest: &PulledManifest) -> Result<ScanReport, ReportError> {
        let image = self.image(manifest).await?;
        let _turn = self.reports.acquire().await.map_err(JobError::retry)?;
        let excuses = self.excuses(&image).await?;
        Ok(self.make_in_turn(&image, excuses.into(), Sources::WithOthers).await?.report)
    }

    /// What is to be said of feeds that were not renewed for too long: by them nothing is known to be clean.
    ///
    /// # Errors
    /// If the advisories cannot be read.
    pub async fn stale_feeds(&self) -> Result<Vec<String>, JobError> {
        let Some(current) = self.advisories.current().await? else { return Ok(Vec::new()) };
        let now = jiff::Timestamp::from_microsecond(self.store().now().micros()).map_err(JobError::failed)?;
        let limit = self.settings.max_feed_age.try_into().map_err(JobError::failed)?;
        let stale = stale_feeds(current.db().map_err(JobError::failed)?.feeds(), now, limit);
        Ok(stale.iter().map(vuln::db::StaleFeed::sentence).collect())
    }

    /// When each feed was last renewed or found unchanged, in Unix time; 0 if it does not say, or never came.
    ///
    /// # Errors
    /// If the advisories cannot be read.
    pub async fn feed_times(&self) -> Result<BTreeMap<String, i64>, JobError> {
        let mut times: BTreeMap<_, _> = self.feeds.iter().map(|feed| (feed.name.clone(), 0)).collect();
        let Some(current) = self.advisories.current().await? else { return Ok(times) };
        let db = current.db().map_err(JobError::failed)?;
        let time = |at: &str| at.parse().map_or(0, jiff::Timestamp::as_second);
        times.extend(db.feeds().into_iter().map(|feed| (feed.name.clone(), time(&feed.imported_at))));
        Ok(times)
    }

    /// The bill of materials of an artifact that the caller has read.
    ///
    /// # Errors
    /// [`ReportError`].
    pub async fn bill_of_materials(
        &self,
        manifest: &PulledManifest,
        form: Format,
    ) -> Result<Vec<u8>, ReportError> {
        let image = self.image(manifest).await?;
        let turn = self.reports.acquire().await.map_err(JobError::retry)?;
        let document = if image.manifest.children.is_empty() {
            self.make_in_turn(&image, Arc::default(), Sources::WithOthers).await?.document
        } else {
            self.document_of_index(&image).await?.ok_or(ReportError::NotScanned)?
        };
        drop(turn);
        let written = tokio::task::spawn_blocking(move || sbom::write(&document, form)).await;
        Ok(written.map_err(JobError::retry)?.map_err(JobError::failed)?)
    }

    /// What is in an artifact, wherever it is; none: it was not scanned, or has nothing that could be.
    pub(crate) async fn inventory(&self, digest: &Digest) -> Result<Option<Inventory>, JobError> {
        let Some(image) = Image::find(self, digest).await? else { return Ok(None) };
        if image.is_opaque() {
            return Ok(None);
        }
        let Some(parts) = Parts::gather(self, &image, Sources::Own).await? else { return Ok(None) };
        let composed = tokio::task::spawn_blocking(move || parts.compose()).await.map_err(JobError::retry)?;
        // What cannot be put together was said by its scan.
        Ok(composed.ok().map(|(document, _)| document.inventory))
    }

    /// A manifest that the caller has read, as an image.
    pub(super) async fn image(&self, manifest: &PulledManifest) -> Result<Image, ReportError> {
        let place = self.store().place_of(manifest.repository, &manifest.digest).await;
        let place = place.map_err(JobError::from)?.ok_or(ReportError::NotScanned)?;
        Ok(Image::parse(manifest.digest, place, &manifest.media_type, manifest.bytes.clone())?)
    }

    /// Makes a report; for who waited for a turn (`reports`), so that there are at most so many inventories in memory.
    pub(super) async fn make_in_turn(
        &self,
        image: &Image,
        excuses: Arc<Excuses>,
        sources: Sources,
    ) -> Result<Made, ReportError> {
        if image.is_opaque() {
            return Err(ReportError::Unsupported);
        }
        let Some(mut parts) = Parts::gather(self, image, sources).await? else {
            return Err(ReportError::NotScanned);
        };
        parts.excuses = excuses;
        let made = tokio::task::spawn_blocking(move || parts.make()).await;
        made.map_err(JobError::retry)?.map_err(ReportError::Failed)
    }
}
