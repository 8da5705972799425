//! What is kept of an image in another's registry, and the reports that are made of it, by the advisories of the moment.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use upstream::adapter::serve::Asked;
use upstream::adapter::wire;
use vuln::look::Seen;
use vuln::report::harbor::{self, Artifact};
use vuln::sbom::Document;
use vuln::{Inventory, Problem};

use crate::job::JobError;
use crate::scan::layer::{self, MOST_BYTES};
use crate::scan::report::{NO_ADVISORIES, Parts};
use crate::scan::{ReportError, Scanner};

/// What was found in an image.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Found {
    /// Its packages.
    inventory: Inventory,
    /// When it was made, as it says.
    created: Option<Timestamp>,
    /// What could not be read.
    problems: Vec<Problem>,
}

impl Found {
    /// Puts the layers together, as it is kept.
    pub(super) fn of(parts: &Parts) -> Result<bytes::Bytes, String> {
        let (document, seen) = parts.compose()?;
        let mut problems = parts.problems.clone();
        problems.extend(seen.problems);
        let found = Self { inventory: document.inventory, created: document.created, problems };
        layer::pack(&found).map_err(|error| error.to_string())
    }
}

/// A report as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterReport {
    /// Its media type.
    pub media_type: &'static str,
    /// The document.
    pub bytes: Vec<u8>,
}

impl Scanner {
    /// A report of what was found in an image of another registry; `artifact` is how the other side named it.
    ///
    /// # Errors
    /// [`ReportError`]; one that would look clean without being so is [`ReportError::Failed`].
    pub async fn adapter_report(
        &self,
        artifact: &str,
        content: &[u8],
        asked: Asked,
    ) -> Result<AdapterReport, ReportError> {
        // At most so many inventories in memory; who asks waits.
        let _turn = self.reports.acquire().await.map_err(JobError::retry)?;
        let artifact: Artifact = serde_json::from_str(artifact).map_err(JobError::failed)?;
        let digest = artifact.digest.parse().map_err(JobError::failed)?;
        let parts = Parts::without_layers(self, digest, artifact.repository.clone()).await?;
        let now = Timestamp::from_microsecond(self.store().now().micros()).map_err(JobError::failed)?;
        let content = content.to_vec();
        let made = tokio::task::spawn_blocking(move || make(parts, &content, artifact, now, asked)).await;
        made.map_err(JobError::retry)?.map_err(ReportError::Failed)
    }
}

fn make(
    mut parts: Parts,
    content: &[u8],
    artifact: Artifact,
    now: Timestamp,
    asked: Asked,
) -> Result<AdapterReport, String> {
    let found: Found = layer::unpack(content, &mut MOST_BYTES.clone()).map_err(|error| error.to_string())?;
    let document = Document::new(parts.subject(), found.created, found.inventory);
    let (media_type, bytes) = match asked {
        Asked::Vulnerabilities(media_type) => {
            if !parts.has_advisories() {
                return Err(NO_ADVISORIES.to_owned());
            }
            parts.problems = found.problems;
            let report = parts.judge(&document, Seen::default())?;
            let report = harbor::report(&report, artifact, now).map_err(|error| error.to_string())?;
            (media_type, serde_json::to_vec(&report))
        }
        Asked::Sbom(form) => {
            let report = harbor::sbom_report(&document, form, artifact, now);
            let report = report.map_err(|error| error.to_string())?;
            let report = report.ok_or_else(|| format!("`{form}` is no form of an SBOM here"))?;
            (wire::SBOM_REPORT, serde_json::to_vec(&report))
        }
    };
    Ok(AdapterReport { media_type, bytes: bytes.map_err(|error| error.to_string())? })
}
