//! One verdict out of what all scanners of a repository say.

use std::sync::Arc;

use bytes::Bytes;
use metadata::model::combined::{self, CombinedScan, ScannerReportRow};
use metadata::model::scan::{SeverityCounts, Verdict};
use metadata::outbox;
use registry::admin::{Counting, OWN_SCANNER, ScannerChoice};
use registry::manifest::PulledManifest;
use vuln::Severity;
use vuln::foreign::{self, Combined, CombinedFinding, Limits, Rule, ScannerReport, Voice};

use super::super::Scanner;
use super::super::image::Image;
use super::super::report::{FEEDS, ReportError, Sources};
use super::{Excuses, Held, results, vex};
use crate::context::JobContext;
use crate::job::{Job, JobError};

/// Images put together at the same time by one process; each holds its reports.
const PARALLEL: usize = 2;
/// By whom VEX documents that cannot be read are told.
const VEX: &str = "vex";
/// Most bytes of a kept report.
const REPORT_BYTES: usize = 64 << 20;

/// Puts together what all scanners say of an artifact.
#[derive(Clone, Debug)]
pub struct CombineJob(pub Arc<Scanner>);

impl Job for CombineJob {
    const NAME: &'static str = registry::scan::COMBINED_STAGES[1];
    const PARALLEL: usize = PARALLEL;
    const ATTEMPTS: u32 = 4;
    type Payload = Held;

    async fn run(&self, held: Held, context: &JobContext) -> Result<(), JobError> {
        let outcome = self.combine(&held, context).await;
        let (reason, outcome) = match context.conclude(outcome) {
            Ok(concluded) => concluded,
            Err(outcome) => return outcome,
        };
        self.explain(&held, &reason, context).await?;
        outcome
    }
}

impl CombineJob {
    /// Keeps why there is no new verdict: what was clean before need not be so now.
    async fn explain(&self, held: &Held, reason: &str, context: &JobContext) -> Result<(), JobError> {
        context.warn(format!("not put together: {reason}"));
        let store = self.0.store();
        let former = store.combined_scans(held.repository(), [&held.digest]).await?.pop();
        let former = former.and_then(|row| row.verdict);
        let own = store.scan(&held.digest).await?.and_then(|row| row.verdict);
        let Some(verdict) = former.or(own) else { return Ok(()) };
        let mut tx = store.begin().await?;
        let scan = CombinedScan {
            repository: held.repository(),
            digest: &held.digest,
            id: store.ids().next().await?,
            reason: Some(reason),
            job: context.lease().id,
            verdict: &verdict,
        };
        combined::put(&mut tx, &scan);
        context.commit(tx).await
    }

    async fn combine(&self, held: &Held, context: &JobContext) -> Result<(), JobError> {
        let scanner = &*self.0;
        let store = scanner.store();
        let Some(image) = Image::held(scanner, held.repository(), &held.digest).await? else {
            context.info("the artifact is gone");
            return Ok(());
        };
        let heard = match scanner.listen(&image, Listening::ToKeep).await {
            Ok(heard) => heard,
            Err(ReportError::Unavailable(error)) => return Err(error),
            Err(nothing) => {
                context.info(format!("nobody has judged it: {nothing}"));
                let mut tx = store.begin().await?;
                combined::delete(&mut tx, image.place.repository, &image.digest);
                return context.complete(tx).await;
            }
        };
        let former = store.combined_scans(image.place.repository, [&image.digest]).await?.pop();
        let mut tx = store.begin().await?;
        if heard.is_own_alone() {
            combined::delete(&mut tx, image.place.repository, &image.digest);
            return context.complete(tx).await;
        }
        // Secrets, packages and the like are what our own scan saw, whoever else is asked for vulnerabilities.
        let own = store.scan(&image.digest).await?.and_then(|row| row.verdict);
        let (verdict, reason) = heard.verdict(own, store.now());
        let counts = verdict.counts;
        let said: Vec<&str> = heard.combined.heard.iter().map(|heard| heard.by.as_str()).collect();
        context.info(format!("{} vulnerabilities, by {}", counts.total(), said.join(", ")));
        let scan = CombinedScan {
            repository: image.place.repository,
            digest: &image.digest,
            id: store.ids().next().await?,
            reason: reason.as_deref(),
            job: context.lease().id,
            verdict: &verdict,
        };
        combined::put(&mut tx, &scan);
        let before = former.and_then(|row| row.verdict).map(|verdict| verdict.counts);
        if before != Some(counts) {
            let payload = serde_json::json!({
                "digest": image.digest,
                "repository": image.place.full_name,
                "before": before,
                "after": counts,
            });
            let (id, project) = (store.next_id().await?, Some(image.place.project.get()));
            outbox::append(&mut tx, id, store.now(), "verdict_changed", project, &payload.to_string());
        }
        context.complete(tx).await
    }
}

/// What for all are heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listening {
    /// For who asks, with what hangs beside the image and what passes when feeds are renewed.
    ToShow,
    /// For a verdict that is kept: of what the image itself is.
    ToKeep,
}

/// What all scanners of a repository say of an artifact.
pub(super) struct AllSaid {
    /// Whether something beside our own scan and the scanners that were chosen was said.
    more: bool,
    choice: ScannerChoice,
    combined: Combined,
}

impl AllSaid {
    /// Whether there is nothing but our own scan.
    fn is_own_alone(&self) -> bool {
        !self.more && self.choice.scanners == [OWN_SCANNER]
    }

    fn verdict(&self, own: Option<Verdict>, judged_at: metadata::Timestamp) -> (Verdict, Option<String>) {
        let (advisories, mut details) = own.map(|own| (own.advisories, own.details)).unwrap_or_default();
        let fixable = |finding: &&CombinedFinding| !finding.fixed_versions.is_empty();
        let findings = &self.combined.findings;
        details.fixable = counts(findings.iter().filter(fixable));
        details.suppressed = u64::try_from(self.combined.beside.len()).unwrap_or(u64::MAX);
        let reason = self.combined.unheard.first().map(|first| {
            let more = self.combined.unheard.len() - 1;
            let rest = if more == 0 { String::new() } else { format!(" (and {more} more)") };
            format!("{}: {}{rest}", first.by, first.reason)
        });
        let verdict = Verdict { judged_at, advisories, counts: counts(findings), details };
        (verdict, reason)
    }
}

fn counts<'a>(findings: impl IntoIterator<Item = &'a CombinedFinding>) -> SeverityCounts {
    let mut counts = SeverityCounts::default();
    for finding in findings {
        *match finding.severity {
            Severity::Critical => &mut counts.critical,
            Severity::High => &mut counts.high,
            Severity::Medium => &mut counts.medium,
            Severity::Low => &mut counts.low,
            Severity::Negligible => &mut counts.negligible,
            Severity::Unknown => &mut counts.unknown,
        } += 1;
    }
    counts
}

/// A report as it is kept.
pub(super) fn pack(report: &ScannerReport) -> Result<Bytes, JobError> {
    let text = serde_json::to_vec(report).map_err(JobError::failed)?;
    Ok(zstd::encode_all(text.as_slice(), 3).map_err(JobError::failed)?.into())
}

fn unpack(content: &[u8]) -> Result<ScannerReport, String> {
    let text = zstd::bulk::decompress(content, REPORT_BYTES).map_err(|error| error.to_string())?;
    serde_json::from_slice(&text).map_err(|error| error.to_string())
}

/// What a registered scanner said last; the inner error is why there is nothing.
async fn kept_report(row: Option<ScannerReportRow>) -> Result<Result<ScannerReport, String>, JobError> {
    let Some(row) = row else {
        return Ok(Err("it has not looked at this artifact yet; scan it".to_owned()));
    };
    let Some(content) = row.content else { return Ok(Err(row.reason.unwrap_or_default())) };
    let unpacked = tokio::task::spawn_blocking(move || unpack(&content)).await.map_err(JobError::retry)?;
    Ok(unpacked.map(|mut report| {
        report.problems.extend(row.reason.map(|why| format!("the newest scan failed: {why}")));
        report
    }))
}

fn rule(choice: &ScannerChoice) -> Rule {
    match choice.counting {
        Counting::Primary => Rule::Primary(choice.scanners.first().cloned().unwrap_or_default()),
        Counting::Union => Rule::Union,
        Counting::Intersection => Rule::Intersection,
    }
}

impl Scanner {
    /// What all scanners of its repository say of an image that the caller has read, by the rule that is chosen there:
    /// our own findings by the advisories of this moment, the project's allow-list applied to all.
    ///
    /// # Errors
    /// [`ReportError`]; [`ReportError::NotScanned`] if nobody has reported.
    pub async fn combined(&self, manifest: &PulledManifest) -> Result<Combined, ReportError> {
        let image = self.image(manifest).await?;
        Ok(self.listen(&image, Listening::ToShow).await?.combined)
    }

    /// What lets findings of an image not count in its project; for who waited for a turn: it may be much.
    pub(in crate::scan) async fn excuses(&self, image: &Image) -> Result<Excuses, JobError> {
        let decided = self.registry.scanning_in(image.place.project).await.map_err(JobError::retry)?;
        let excuses = if decided.vex { vex::read(self, image).await? } else { Excuses::default() };
        let allowed = self.registry.allowed_ids(decided).await.map_err(JobError::retry)?;
        Ok(Excuses { allowed, ..excuses })
    }

    /// Hears all scanners that are chosen for an image, and what was left beside it.
    pub(super) async fn listen(&self, image: &Image, listening: Listening) -> Result<AllSaid, ReportError> {
        // At most so many inventories and reports in memory; who asks waits.
        let _turn = self.reports.acquire().await.map_err(JobError::retry)?;
        let mut excuses = self.excuses(image).await?;
        let sources = match listening {
            Listening::ToShow => Sources::WithOthers,
            Listening::ToKeep => {
                // Kept counts are without allow-lists.
                excuses.allowed = Vec::new();
                Sources::Own
            }
        };
        let excuses = Arc::new(excuses);
        let mut inventory = None;
        let (choice, _) =
            self.registry.scanners_in(Some(image.place.project)).await.map_err(JobError::retry)?;
        let mut said: Vec<(String, Result<ScannerReport, String>)> = Vec::new();
        let mut nothing = None;
        let mut kept = self
            .store()
            .scanner_reports(image.place.repository, &image.digest)
            .await
            .map_err(JobError::from)?;
        for name in &choice.scanners {
            if name == OWN_SCANNER {
                match self.make_in_turn(image, Arc::clone(&excuses), sources).await {
                    Ok(mut made) => {
                        made.report
                            .problems
                            .retain(|it| listening == Listening::ToShow || it.source != FEEDS);
                        let report = foreign::own(&made.report, &Limits::default());
                        inventory = Some(made.document.inventory);
                        said.push((name.clone(), report.map_err(|error| error.to_string())));
                    }
                    Err(ReportError::Unavailable(error)) => return Err(error.into()),
                    Err(reason) => {
                        said.push((name.clone(), Err(reason.to_string())));
                        nothing = Some(reason);
                    }
                }
                continue;
            }
            let row = kept.iter().position(|row| row.scanner == *name).map(|at| kept.swap_remove(at));
            said.push((name.clone(), kept_report(row).await?));
        }
        let uploaded = match choice.counting {
            // What anybody may upload must not decide that all of them agree.
            Counting::Intersection => std::collections::BTreeMap::new(),
            Counting::Union | Counting::Primary => results::read(self, image).await?,
        };
        let more = !uploaded.is_empty() || !excuses.vex.is_empty() || !excuses.problems.is_empty();
        said.extend(uploaded);
        if let Some(reason) = nothing.filter(|_| said.len() == 1) {
            return Err(reason);
        }
        let rule = rule(&choice);
        // Our own report says itself what could not be read.
        if inventory.is_none() {
            let unread =
                excuses.problems.iter().map(|problem| (VEX.to_owned(), Err(problem.message.clone())));
            said.extend(unread);
            if !excuses.vex.is_empty() {
                inventory = self.inventory(&image.digest).await?;
            }
        }
        let product = super::super::report::subject(image.digest, &image.place.full_name).purl();
        let combined = tokio::task::spawn_blocking(move || {
            let voices: Vec<Voice<'_>> = said
                .iter()
                .map(|(by, said)| Voice { by, said: said.as_ref().map_err(String::as_str) })
                .collect();
            let excuses = foreign::Excuses {
                allowed: &excuses.allowed,
                vex: &excuses.vex,
                products: product.as_slice(),
                inventory: inventory.as_ref(),
            };
            foreign::combine(&voices, &rule, &excuses)
        });
        let combined = combined.await.map_err(JobError::retry)?;
        Ok(AllSaid { more, choice, combined })
    }
}
