//! What is wrong with artifacts, as both APIs tell it: reports of one artifact, and of all that a caller may see.
//!
//! Every artifact is read with a grant of the caller, so that a list over many repositories shows what each of them
//! alone would show. An index is the images that it lists.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use metadata::model::RepositoryId;
use metadata::model::scan::ScanStatus;
use oci::{Digest, Manifest, MediaType, Reference, RepoName};
use policy::{RepositoryPattern, TagPattern};
use registry::admin::ProjectRef;
use registry::exports::Criteria;
use registry::list::{Artifact, ArtifactKind, ArtifactQuery, RepositoryQuery};
use registry::manifest::PulledManifest;
use registry::scan::ArtifactScan;
use registry::{Caller, Error, Grant, Pull};
use vuln::Severity;
use vuln::foreign::{Combined, CombinedFinding};
use workers::scan::ReportError;

use crate::app::App;

/// Most images of an index that are looked at.
const MAX_IMAGES: usize = 100;

/// Repositories and artifacts read at once.
const BATCH: usize = 100;

/// A severity in Harbor's words.
pub(super) fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "Critical",
        Severity::High => "High",
        Severity::Medium => "Medium",
        Severity::Low => "Low",
        Severity::Negligible => "Negligible",
        Severity::Unknown => "Unknown",
    }
}

/// What all scanners say of one image.
pub(super) struct Judged {
    pub(super) digest: Digest,
    pub(super) said: Combined,
}

impl Judged {
    /// The findings that count.
    pub(super) fn findings(&self) -> impl Iterator<Item = &CombinedFinding> {
        self.said.findings.iter()
    }
}

/// A report that cannot be made, in the words of the APIs.
pub(super) fn report_error(error: ReportError) -> Error {
    match error {
        ReportError::NotScanned => Error::NotFound("a scan of this artifact"),
        unsupported @ ReportError::Unsupported => Error::Invalid(unsupported.to_string()),
        failed @ ReportError::Failed(_) => Error::Conflict(failed.to_string()),
        ReportError::Unavailable(error) => Error::Internal(format!("a report: {error}")),
    }
}

/// What is known of artifacts of a repository. By feeds that were not renewed for too long, nothing is known to be clean.
pub(super) async fn scans(
    app: &App,
    repository: RepositoryId,
    digests: &[Digest],
) -> Result<HashMap<Digest, ArtifactScan>, Error> {
    let mut known = app.registry.scans_of(repository, digests).await?;
    if known.values().all(|scan| scan.row.is_none() && scan.children.is_empty()) {
        return Ok(known);
    }
    let failed = |error: workers::JobError| Error::Internal(format!("the advisories: {error}"));
    let stale = app.scanner.stale_feeds().await.map_err(failed)?;
    if let Some(reason) = stale.first() {
        for row in known.values_mut().flat_map(|scan| scan.row.iter_mut().chain(&mut scan.children)) {
            if row.status == ScanStatus::Succeeded {
                row.status = ScanStatus::Incomplete;
                row.reason = Some(reason.clone());
            }
        }
    }
    Ok(known)
}

/// The same of one manifest that the caller has read.
pub(super) async fn scan_of(app: &App, manifest: &PulledManifest) -> Result<ArtifactScan, Error> {
    let mut known = scans(app, manifest.repository, &[manifest.digest]).await?;
    Ok(known.remove(&manifest.digest).unwrap_or_default())
}

/// Reports of an artifact: of its images, as far as they were scanned.
pub(super) async fn reports(
    app: &App,
    grant: &Grant<Pull>,
    reference: &Reference,
) -> Result<(PulledManifest, Vec<Judged>), Error> {
    let manifest = app.registry.pull_manifest(grant, reference).await?;
    let images = images(app, grant, &manifest).await?;
    let mut judged = Vec::new();
    for image in images.iter().chain(images.is_empty().then_some(&manifest)) {
        match app.scanner.combined(image).await {
            Ok(said) => judged.push(Judged { digest: image.digest, said }),
            Err(ReportError::NotScanned | ReportError::Unsupported) => {}
            Err(error) => return Err(report_error(error)),
        }
    }
    Ok((manifest, judged))
}

/// The images that an index lists and the repository holds; none for what is no index.
async fn images(
    app: &App,
    grant: &Grant<Pull>,
    manifest: &PulledManifest,
) -> Result<Vec<PulledManifest>, Error> {
    let Ok(media_type) = manifest.media_type.parse::<MediaType>() else { return Ok(Vec::new()) };
    let children = Manifest::parse(&media_type, &manifest.bytes)?.children;
    let mut images = Vec::new();
    for child in children.iter().take(MAX_IMAGES) {
        match app.registry.pull_manifest(grant, &Reference::Digest(child.digest)).await {
            Ok(image) => images.push(image),
            Err(Error::ManifestUnknown) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(images)
}

/// Criteria with their patterns read.
#[derive(Debug, Default)]
pub(super) struct Filter {
    projects: Vec<i64>,
    repositories: Vec<RepositoryPattern>,
    tags: Vec<TagPattern>,
    ids: Vec<String>,
}

impl Filter {
    pub(super) fn parse(criteria: &Criteria) -> Result<Self, Error> {
        Ok(Self {
            projects: criteria.projects.clone(),
            repositories: patterns(&criteria.repositories)?,
            tags: patterns(&criteria.tags)?,
            ids: criteria.ids.clone(),
        })
    }

    pub(super) fn names(&self, finding: &CombinedFinding) -> bool {
        self.ids.is_empty() || self.ids.iter().any(|id| *id == finding.id || finding.aliases.contains(id))
    }

    fn covers_repository(&self, name: &str) -> bool {
        self.repositories.is_empty() || self.repositories.iter().any(|pattern| pattern.covers(name))
    }

    fn covers(&self, artifact: &Artifact) -> bool {
        let image = matches!(artifact.kind, ArtifactKind::Image | ArtifactKind::Index | ArtifactKind::Other);
        let tags = &artifact.tags;
        image
            && (self.tags.is_empty()
                || tags.iter().any(|tag| self.tags.iter().any(|pattern| pattern.covers(&tag.name))))
    }
}

fn patterns<T>(texts: &[String]) -> Result<Vec<T>, Error>
where
    T: FromStr,
    T::Err: Display,
{
    let parse = |text: &String| text.parse().map_err(|error: T::Err| Error::Invalid(error.to_string()));
    texts.iter().map(parse).collect()
}

/// One artifact of many, with its reports.
pub(super) struct Place {
    pub(super) repository: String,
    pub(super) judged: Vec<Judged>,
}

/// Goes through all artifacts of a filter that the caller may pull, in order of name, newest first; `tell` ends it with
/// false.
pub(super) async fn walk<F>(
    app: Arc<App>,
    caller: Caller,
    filter: &Filter,
    mut tell: impl FnMut(Place) -> F + Send,
) -> Result<(), Error>
where
    F: Future<Output = bool> + Send,
{
    let named: Vec<Option<ProjectRef>> = if filter.projects.is_empty() {
        vec![None]
    } else {
        filter.projects.iter().map(|id| Some(ProjectRef::Id((*id).into()))).collect()
    };
    for project in named {
        let inside = project.is_some();
        let mut query = RepositoryQuery { project, limit: BATCH, ..RepositoryQuery::default() };
        loop {
            let page = app.registry.repositories(&caller, &query).await?;
            for row in &page.rows {
                if filter.covers_repository(&row.name)
                    && let Ok(repo) = row.full_name.parse::<RepoName>()
                    && !walk_repository(&app, &caller, &repo, filter, &mut tell).await?
                {
                    return Ok(());
                }
            }
            match page.rows.last().filter(|_| page.more) {
                Some(row) if inside => query.after.clone_from(&row.name),
                Some(row) => query.after.clone_from(&row.full_name),
                None => break,
            }
        }
    }
    Ok(())
}

/// The same in one repository; whether to go on.
async fn walk_repository<F>(
    app: &App,
    caller: &Caller,
    repo: &RepoName,
    filter: &Filter,
    tell: &mut (impl FnMut(Place) -> F + Send),
) -> Result<bool, Error>
where
    F: Future<Output = bool> + Send,
{
    let grant = match app.registry.access().grant::<Pull>(&caller.principal, repo).await {
        Ok(grant) => grant,
        // The right went meanwhile.
        Err(Error::Refused(_)) => return Ok(true),
        Err(error) => return Err(error),
    };
    let mut query = ArtifactQuery { on_top: true, limit: BATCH, ..ArtifactQuery::default() };
    loop {
        let page = match app.registry.artifacts(&grant, &query).await {
            Ok(page) => page,
            Err(Error::NameUnknown) => return Ok(true),
            Err(error) => return Err(error),
        };
        for artifact in page.artifacts.iter().filter(|artifact| filter.covers(artifact)) {
            let reference = Reference::Digest(artifact.row.digest);
            let judged = match reports(app, &grant, &reference).await {
                Ok((_, judged)) => judged,
                // What cannot be judged is no reason to tell nothing of all else; its own overview says so.
                Err(Error::ManifestUnknown | Error::Conflict(_)) => continue,
                Err(error) => return Err(error),
            };
            let place = Place { repository: repo.as_str().to_owned(), judged };
            if !judged_is_empty(&place) && !tell(place).await {
                return Ok(false);
            }
        }
        match page.artifacts.last().filter(|_| page.more) {
            Some(last) => query.after = Some(last.place()),
            None => return Ok(true),
        }
    }
}

fn judged_is_empty(place: &Place) -> bool {
    place.judged.iter().all(|judged| judged.findings().next().is_none())
}
