//! The second stage: the layers of an artifact put together, judged by the advisories, the verdict kept.

use std::sync::Arc;

use metadata::jobs;
use metadata::model::estate;
use metadata::model::scan::{self, Attempt, ScanStatus, SeverityCounts, Verdict, VerdictDetails};
use metadata::{Tx, outbox};
use vuln::matching::Counts;
use vuln::report::ScanReport;

use super::image::Image;
use super::quiet::quietly;
use super::report::{FEEDS, Made, NO_ADVISORIES, Parts, Sources};
use super::{Scanner, Target, catalogue, index_bill, others, sbom};
use crate::context::JobContext;
use crate::job::{Job, JobError};

/// Images judged at the same time by one process; each holds an inventory.
const PARALLEL: usize = 2;

/// Judges a catalogued artifact.
#[derive(Clone, Debug)]
pub struct JudgeJob(pub Arc<Scanner>);

impl Job for JudgeJob {
    const NAME: &'static str = registry::scan::STAGES[1];
    const PARALLEL: usize = PARALLEL;
    const ATTEMPTS: u32 = 4;
    type Payload = Target;

    async fn run(&self, target: Target, context: &JobContext) -> Result<(), JobError> {
        let outcome = self.judge(&target, context).await;
        catalogue::explain(&self.0, &target, context, outcome).await
    }
}

impl JudgeJob {
    async fn judge(&self, target: &Target, context: &JobContext) -> Result<(), JobError> {
        let scanner = &*self.0;
        let Some(image) = Image::find(scanner, &target.digest).await? else {
            context.info("the artifact is gone");
            return Ok(());
        };
        let Some(parts) = Parts::gather(scanner, &image, Sources::Own).await? else {
            context.info("a layer was not read yet, or by former extractors: it is read now");
            let now = scanner.store().now();
            let mut tx = scanner.store().begin().await?;
            let whole = Target { rejudged: false, pushed: false, ..target.clone() };
            jobs::enqueue(&mut tx, scanner.store().next_id().await?, now, whole.job(now));
            return context.complete(tx).await;
        };
        let begun = std::time::Instant::now();
        let made = quietly("judge", move || parts.make()).await?.map_err(JobError::failed)?;
        context.check()?;
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let attached = if target.rejudged {
            Ok(())
        } else {
            sbom::attach(scanner, &image, &made.document, context).await
        };
        let kept = self.keep(target, &image, &made, millis, context).await?;
        match attached {
            Ok(()) => context.complete(kept).await,
            // What was found is known all the same.
            Err(error) => {
                context.commit(kept).await?;
                Err(error)
            }
        }
    }

    /// What keeps the verdict, and tells of it when it is another one.
    async fn keep(
        &self,
        target: &Target,
        image: &Image,
        made: &Made,
        millis: u64,
        context: &JobContext,
    ) -> Result<Tx, JobError> {
        let store = self.0.store();
        let former = store.scan(&target.digest).await?;
        let verdict = verdict(made, millis, store.now());
        let reason = incomplete(&made.report);
        let attempt = Attempt {
            digest: &target.digest,
            id: store.ids().next().await?,
            status: if reason.is_some() { ScanStatus::Incomplete } else { ScanStatus::Succeeded },
            reason: reason.as_deref(),
            job: context.lease().id,
        };
        context.info(format!(
            "{} packages, {} vulnerabilities ({} critical, {} high), {} secrets, {} misconfigurations",
            verdict.details.packages,
            verdict.counts.total(),
            verdict.counts.critical,
            verdict.counts.high,
            verdict.details.secrets,
            verdict.details.misconfigurations
        ));
        let mut tx = store.begin().await?;
        scan::put_verdict(&mut tx, &attempt, &verdict);
        if !target.rejudged {
            estate::mark(&mut tx, &target.digest);
            index_bill::follow(&self.0, &mut tx, image, target.priority).await?;
        }
        // Advisories that came while this was judged may have passed over it.
        let latest = self.0.advisories.pointer().await?.map_or(0, |pointer| pointer.content);
        if i64::try_from(latest).unwrap_or(i64::MAX) != made.advisories {
            let again = Target { rejudged: true, ..target.clone() }.judge(store.now());
            jobs::enqueue(&mut tx, store.next_id().await?, store.now(), again);
        }
        others::follow(&self.0, &mut tx, target, context).await?;
        let before = former.and_then(|row| row.verdict).map(|verdict| verdict.counts);
        if before != Some(verdict.counts) {
            let payload = serde_json::json!({
                "digest": target.digest,
                "repository": image.place.full_name,
                "before": before,
                "after": verdict.counts,
            });
            let (id, project) = (store.next_id().await?, Some(image.place.project.get()));
            outbox::append(&mut tx, id, store.now(), "verdict_changed", project, &payload.to_string());
        }
        Ok(tx)
    }
}

/// Counts of a report as they are kept.
pub(crate) fn severity_counts(of: Counts) -> SeverityCounts {
    SeverityCounts {
        critical: of.critical,
        high: of.high,
        medium: of.medium,
        low: of.low,
        negligible: of.negligible,
        unknown: of.unknown,
    }
}

fn verdict(made: &Made, millis: u64, judged_at: metadata::Timestamp) -> Verdict {
    let report = &made.report;
    let found = report.vulnerabilities.as_ref();
    let length = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let suppressed =
        found.map_or(0, |found| found.findings.iter().filter(|finding| !finding.counts()).count());
    Verdict {
        judged_at,
        advisories: made.advisories,
        counts: found.map(|found| severity_counts(found.all())).unwrap_or_default(),
        details: VerdictDetails {
            packages: length(report.target.packages),
            fixable: found.map(|found| severity_counts(found.fixable())).unwrap_or_default(),
            suppressed: length(suppressed),
            secrets: length(report.secrets.as_ref().map_or(0, Vec::len)),
            misconfigurations: length(report.misconfigurations.as_ref().map_or(0, Vec::len)),
            problems: length(report.problems.len() + found.map_or(0, |found| found.problems.len())),
            end_of_life: report.end_of_life.clone(),
            distribution: report.target.distro.as_ref().map(|it| format!("{} {}", it.id, it.version_id)),
            millis,
        },
    }
}

/// Why a report is not the whole truth, if it is not.
fn incomplete(report: &ScanReport) -> Option<String> {
    let Some(found) = &report.vulnerabilities else {
        return Some(NO_ADVISORIES.to_owned());
    };
    let mut problems = report.problems.iter().chain(&found.problems).filter(|it| it.source != FEEDS);
    let first = problems.next()?;
    let more = problems.count();
    let place = if first.path.is_empty() { String::new() } else { format!("{}: ", first.path) };
    let rest = if more == 0 { String::new() } else { format!(" (and {more} more)") };
    Some(format!("{place}{}{rest}", first.message))
}
