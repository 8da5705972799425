//! Asking registered scanners: adapters of Harbor's scanner-adapter API.
//!
//! A scanner gets our address, the artifact's digest and a token that pulls from this one repository for some minutes. What
//! it answers is read like any other result. Each is asked in its turn; one that fails does not stop the others.

use std::sync::Arc;

use metadata::jobs;
use metadata::model::combined::{self, ReportKey, ScannerReportRow};
use oci::{Digest, RepoName};
use registry::admin::{OWN_SCANNER, RegisteredScanner, ScannerCredentials};
use registry::scan::Attachment;
use serde::Deserialize;
use upstream::adapter::wire::{
    Artifact, CapabilityKind, EnabledCapability, Metadata, RegistryAccess, SBOM_REPORT, SbomMediaTypes,
    ScanRequest, VULNERABILITY_REPORT, VULNERABILITY_REPORT_1_0,
};
use upstream::adapter::{self, Adapter, AdapterError, Authorization, Document, Patience, Wanted};
use upstream::{Credentials, Options};
use url::Url;
use vuln::foreign::ScannerReport;

use super::super::image::Image;
use super::super::{Scanner, sbom};
use super::{Held, combine, results};
use crate::context::JobContext;
use crate::job::{Job, JobError};

/// Images that scanners are asked about at the same time by one process: it only waits.
const PARALLEL: usize = 8;
/// Largest answer of a scanner.
const ANSWER_BYTES: u64 = 16 << 20;
/// Forms of bills of materials that are taken, the best one first.
const FORMS: [&str; 2] = ["application/spdx+json", "application/vnd.cyclonedx+json"];
/// The annotation that names the scanner that made a bill of materials.
const MADE_BY: &str = "dev.bonded.sbom.scanner";

/// How scanners are reached, and reach us.
#[derive(Clone, Debug)]
pub struct AdapterSettings {
    /// How they are reached.
    pub options: Options,
    /// The address under which they pull from us; none: no scanner can be asked.
    pub registry_url: Option<Url>,
    /// How long they may take.
    pub patience: Patience,
}

/// Asks the scanners that were chosen for an artifact, then has what all say put together.
#[derive(Clone, Debug)]
pub struct ConsultJob(pub Arc<Scanner>);

impl Job for ConsultJob {
    const NAME: &'static str = registry::scan::COMBINED_STAGES[0];
    const PARALLEL: usize = PARALLEL;
    const ATTEMPTS: u32 = 3;
    type Payload = Held;

    async fn run(&self, held: Held, context: &JobContext) -> Result<(), JobError> {
        let scanner = &*self.0;
        let store = scanner.store();
        let Some(image) = Image::held(scanner, held.repository(), &held.digest).await? else {
            context.info("the artifact is gone");
            return Ok(());
        };
        let (choice, _) =
            scanner.registry.scanners_in(Some(image.place.project)).await.map_err(JobError::retry)?;
        let known = scanner.registry.scanners().await.map_err(JobError::retry)?;
        let former = store.scanner_reports(image.place.repository, &image.digest).await?;
        let mut missing = 0;
        for name in choice.scanners.iter().filter(|name| *name != OWN_SCANNER) {
            context.check()?;
            let one = known.iter().find(|scanner| scanner.name == *name);
            // Of an attempt before this one.
            let told = |row: &&ScannerReportRow| row.scanner == *name && row.job == context.lease().id;
            if former.iter().find(told).is_some_and(|row| row.reason.is_none()) {
                continue;
            }
            let outcome = match one {
                None => {
                    Err(Refusal::from("it is not registered any more; choose another scanner".to_owned()))
                }
                Some(one) if one.disabled => Err(Refusal::from("it is disabled".to_owned())),
                Some(one) => {
                    context.info(format!("{name} is asked"));
                    tokio::select! {
                        () = context.stopped() => return Err(JobError::Stopped),
                        said = ask(scanner, one, &image) => said?,
                    }
                }
            };
            let key = ReportKey { repository: image.place.repository, digest: &image.digest, scanner: name };
            let (job, now) = (context.lease().id, store.now());
            let mut tx = store.begin().await?;
            match outcome {
                Ok(report) => {
                    context.info(format!("{name}: {} findings", report.findings.len()));
                    let content = tokio::task::spawn_blocking(move || combine::pack(&report)).await;
                    combined::put_report(&mut tx, key, job, content.map_err(JobError::retry)??, now);
                }
                Err(Refusal { reason, passing }) => {
                    missing += usize::from(passing);
                    context.warn(format!("{name}: {reason}"));
                    combined::put_failure(&mut tx, key, job, &reason, now);
                }
            }
            context.commit(tx).await?;
        }
        let now = store.now();
        let mut tx = store.begin().await?;
        let combine = held.combine(now).project(image.place.project.get());
        jobs::enqueue(&mut tx, store.next_id().await?, now, combine);
        if missing > 0 && !context.is_last_attempt() {
            context.commit(tx).await?;
            return Err(JobError::retry(format!("{missing} scanners did not report")));
        }
        context.complete(tx).await
    }
}

/// Why a scanner did not report.
struct Refusal {
    reason: String,
    /// Whether it may a moment later.
    passing: bool,
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self { reason, passing: false }
    }
}

/// What a scanner says; the inner error is its own.
async fn ask(
    scanner: &Scanner,
    one: &RegisteredScanner,
    image: &Image,
) -> Result<Result<ScannerReport, Refusal>, JobError> {
    let Some(url) = &scanner.settings.adapters.registry_url else {
        let why = "scanners cannot reach this registry: set `scan.registry_url` or `server.external_url`";
        return Ok(Err(why.to_owned().into()));
    };
    let repo: RepoName = image.place.full_name.parse().map_err(JobError::failed)?;
    let credentials = scanner.registry.credentials_of(one).map_err(JobError::retry)?;
    let adapter = match scanner.adapter(&one.url, credentials) {
        Ok(adapter) => adapter,
        Err(error) => return Ok(Err(hidden(&one.url, &error))),
    };
    let hidden = |error: AdapterError| hidden(&one.url, &error);
    let told = async {
        let metadata = adapter.metadata().await.map_err(hidden)?;
        let media_type = image.manifest.media_type.as_str();
        let access = || access(scanner, &metadata, url, &repo);
        let artifact = Artifact {
            repository: repo.as_str().to_owned(),
            digest: image.digest.to_string(),
            tag: String::new(),
            mime_type: media_type.to_owned(),
        };
        let reports = [VULNERABILITY_REPORT, VULNERABILITY_REPORT_1_0];
        let Some(kind) = metadata.produces(CapabilityKind::Vulnerability, media_type, &reports) else {
            let why = format!("it does not report vulnerabilities of artifacts of type `{media_type}`");
            return Err(Refusal::from(why));
        };
        // Adapters before SBOMs know one kind of request only.
        let speaks = metadata.capabilities.iter().any(|it| it.kind == CapabilityKind::Sbom);
        let vulnerabilities = EnabledCapability {
            kind: CapabilityKind::Vulnerability,
            produces_mime_types: vec![kind.to_owned()],
            parameters: None,
        };
        let request = ScanRequest {
            registry: access()?,
            artifact: artifact.clone(),
            enabled_capabilities: speaks.then_some(vulnerabilities).into_iter().collect(),
        };
        let wanted = Wanted { media_type: kind, sbom_media_type: None, limit: ANSWER_BYTES };
        let patience = &scanner.settings.adapters.patience;
        let scanned = adapter.scan(&request, &[wanted], patience).await;
        let document = scanned.map_err(hidden)?.pop().ok_or_else(|| "it gave no report".to_owned())?;
        let bill = match metadata.produces(CapabilityKind::Sbom, media_type, &[SBOM_REPORT]) {
            Some(_) => {
                let request = ScanRequest { registry: access()?, artifact, enabled_capabilities: Vec::new() };
                let bill = bill_of_materials(&adapter, &metadata, request, patience).await;
                bill.map_err(|error| hidden(error).reason)
            }
            None => Ok(None),
        };
        Ok::<_, Refusal>((document, bill))
    };
    let (document, bill) = match told.await {
        Ok(told) => told,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let (digest, config) = (image.digest, image.manifest.config.as_ref().map(|config| config.digest));
    let read = move || results::check_result(&document.bytes, &digest, config.as_ref());
    let mut report = match tokio::task::spawn_blocking(read).await.map_err(JobError::retry)? {
        Ok(report) => report,
        Err(error) => return Ok(Err(format!("its report: {error}").into())),
    };
    match bill {
        Ok(Some(bill)) => {
            // The report counts, whatever becomes of what came with it.
            if let Err(error) = attach(scanner, image, &one.name, bill).await {
                report.problems.push(format!("its bill of materials: {error}"));
            }
        }
        Ok(None) => {}
        Err(reason) => report.problems.push(format!("its bill of materials: {reason}")),
    }
    Ok(Ok(report))
}

/// What an adapter's failure is to those who see the image: where the adapter is, is nobody's business.
fn hidden(url: &str, error: &AdapterError) -> Refusal {
    let place = Url::parse(url).ok().and_then(|url| {
        let host = url.host_str()?.to_owned();
        Some(url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}")))
    });
    let text = error.to_string();
    let words = text.split(' ').map(|word| match &place {
        Some(place) if word.contains(place.as_str()) => "its address",
        _ => word,
    });
    let passing = match error {
        AdapterError::Upstream(_)
        | AdapterError::Failed { .. }
        | AdapterError::Lost { .. }
        | AdapterError::TimeOver { .. } => true,
        AdapterError::Base(_)
        | AdapterError::Unauthorized { .. }
        | AdapterError::Incapable { .. }
        | AdapterError::Refused { .. } => false,
    };
    Refusal { reason: words.collect::<Vec<_>>().join(" "), passing }
}

/// How an adapter pulls from us: as it says that it wants to be authorised.
fn access(
    scanner: &Scanner,
    metadata: &Metadata,
    url: &Url,
    repo: &RepoName,
) -> Result<RegistryAccess, String> {
    let issued =
        scanner.registry.authenticator().issue_to_scanner(repo).map_err(|error| error.to_string())?;
    let wanted = metadata.properties.get("harbor.scanner-adapter/registry-authorization-type");
    let authorization = match wanted.map(String::as_str) {
        Some("Bearer") => format!("Bearer {}", issued.token),
        // Basic is what those mean that say nothing.
        _ => {
            let pair = format!("{}:{}", registry::authn::TOKEN_USER, issued.token);
            format!("Basic {}", data_encoding::BASE64.encode(pair.as_bytes()))
        }
    };
    Ok(RegistryAccess { url: url.as_str().trim_end_matches('/').to_owned(), authorization })
}

/// A bill of materials in one of the forms that are taken.
async fn bill_of_materials(
    adapter: &Adapter,
    metadata: &Metadata,
    mut request: ScanRequest,
    patience: &Patience,
) -> Result<Option<(&'static str, Document)>, AdapterError> {
    let offered: Vec<&String> = metadata
        .capabilities
        .iter()
        .filter(|it| it.kind == CapabilityKind::Sbom)
        .flat_map(|it| &it.additional_attributes.sbom_media_types)
        .collect();
    let form =
        FORMS.into_iter().find(|form| offered.is_empty() || offered.iter().any(|it| it.as_str() == *form));
    let Some(form) = form else { return Ok(None) };
    request.enabled_capabilities = vec![EnabledCapability {
        kind: CapabilityKind::Sbom,
        produces_mime_types: vec![SBOM_REPORT.to_owned()],
        parameters: Some(SbomMediaTypes { sbom_media_types: vec![form.to_owned()] }),
    }];
    let wanted = Wanted { media_type: SBOM_REPORT, sbom_media_type: Some(form), limit: ANSWER_BYTES };
    let documents = adapter.scan(&request, &[wanted], patience).await?;
    Ok(documents.into_iter().next().map(|document| (form, document)))
}

/// Attaches a scanner's bill of materials in place of its former one, where the project wants such.
async fn attach(
    scanner: &Scanner,
    image: &Image,
    name: &str,
    (form, document): (&'static str, Document),
) -> Result<(), JobError> {
    #[derive(Deserialize)]
    struct Report<'a> {
        #[serde(borrow)]
        sbom: &'a serde_json::value::RawValue,
    }
    let decided = scanner.registry.scanning_in(image.place.project).await.map_err(JobError::retry)?;
    if decided.sbom == Some(false) || scanner.settings.sbom.is_empty() {
        return Ok(());
    }
    let report: Report<'_> = serde_json::from_slice(&document.bytes)
        .map_err(|error| JobError::failed(format!("{name}'s report of a bill of materials: {error}")))?;
    let attachment = Attachment {
        subject: sbom::subject(image)?,
        artifact_type: form,
        media_type: form,
        annotations: vec![(MADE_BY, name.to_owned())],
    };
    let bytes = bytes::Bytes::copy_from_slice(report.sbom.get().as_bytes());
    let digest: Digest =
        scanner.registry.attach(&image.place, &attachment, bytes).await.map_err(JobError::retry)?;
    let (place, store) = (&image.place, scanner.store());
    let made = store.referrers_noting(place.repository, &image.digest, (MADE_BY, name), sbom::REFERRERS);
    for old in made.await? {
        if old != digest {
            scanner.registry.detach(&image.place, &old).await.map_err(JobError::retry)?;
        }
    }
    Ok(())
}

impl Scanner {
    fn adapter(&self, url: &str, credentials: ScannerCredentials) -> Result<Adapter, AdapterError> {
        let base = Url::parse(url).map_err(|_| AdapterError::Base(url.to_owned()))?;
        let authorization = match credentials {
            ScannerCredentials::None => Authorization::None,
            ScannerCredentials::Basic { user, password } => {
                Authorization::Basic(Credentials { user, password })
            }
            ScannerCredentials::Bearer(token) => Authorization::Bearer(token),
            ScannerCredentials::ApiKey(key) => Authorization::ApiKey(key),
        };
        Adapter::new(&self.settings.adapters.options, &base, authorization)
    }

    /// What the adapter at an address says of itself.
    ///
    /// # Errors
    /// It is not there, or no scanner whose reports are read.
    pub async fn probe(&self, url: &str, credentials: ScannerCredentials) -> Result<Metadata, AdapterError> {
        let metadata = self.adapter(url, credentials)?.metadata().await?;
        adapter::check(&metadata, url)?;
        Ok(metadata)
    }
}
