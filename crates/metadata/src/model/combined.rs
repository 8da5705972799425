//! What scanners other than ours said, and the verdicts where not our own scan alone decides. Both are of one repository:
//! what is known there by other scanners and uploads is nobody else's business.

use std::collections::BTreeSet;

use bytes::Bytes;
use oci::Digest;

use super::scan::{Place, ScanRow, ScanStatus, Verdict, parse, place};
use super::{ProjectId, RepositoryId};
use crate::error::StoreError;
use crate::ids::JobId;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use crate::value::{Row, Value};
use crate::{Timestamp, params};

/// A manifest `e` about another one that may change what is said of that: a scanner's result, a VEX document, or a
/// statement that says it is one of these or does not say what it is. Signatures are most of what hangs beside images, and
/// say what they are. A document under a type of somebody's own is seen when it comes, not here.
macro_rules! may_matter {
    () => {
        "(e.artifact_type IN ('application/sarif+json', 'application/vnd.bonded.scan-result+json', 'application/vnd.security.vulnerability.report+json') OR lower(e.artifact_type) LIKE '%vex%' OR lower(e.artifact_type) LIKE '%csaf%' OR e.annotations LIKE '%\"dev.bonded.scan.result\"%' OR ((e.artifact_type IN ('application/vnd.in-toto+json', 'application/vnd.dsse.envelope.v1+json') OR e.artifact_type LIKE 'application/vnd.dev.sigstore.bundle%') AND e.annotations NOT LIKE '%\"dev.bonded.%' AND (e.annotations NOT LIKE '%redicate%ype\"%' OR e.annotations LIKE '%/vuln%' OR lower(e.annotations) LIKE '%vex%' OR lower(e.annotations) LIKE '%csaf%')))"
    };
}

/// Of a manifest `m` of a repository `r`: our own scan alone does not decide there.
macro_rules! not_ours_alone {
    () => {
        concat!(
            "(EXISTS (SELECT 1 FROM combined_scan c WHERE c.repository_id = m.repository_id AND c.digest = m.digest) OR EXISTS (SELECT 1 FROM setting s WHERE s.name = 'scan/scanners' OR s.name = 'scan/scanners/' || CAST(r.project_id AS TEXT)) OR EXISTS (SELECT 1 FROM manifest e WHERE e.repository_id = m.repository_id AND e.subject = m.digest AND ",
            may_matter!(),
            ") OR EXISTS (SELECT 1 FROM tag t WHERE t.repository_id = m.repository_id AND t.name = replace(m.digest, ':', '-') || '.att'))"
        )
    };
}

crate::statements! {
    REPORTS = Read "SELECT scanner, reason, attempted_at, job, reported_at, content FROM scanner_report WHERE repository_id = $1 AND digest = $2 ORDER BY scanner";
    HEARD = Read "SELECT scanner FROM scanner_report WHERE repository_id = $1 AND digest = $2 ORDER BY scanner";
    REPORT_JOBS = Read "SELECT DISTINCT job FROM scanner_report WHERE repository_id = $1 AND digest IN (SELECT value FROM bonded_texts($2)) ORDER BY job";
    PUT_REPORT = Write "INSERT INTO scanner_report (repository_id, digest, scanner, attempted_at, job, reported_at, content, tx) VALUES ($1, $2, $3, $4, $5, $4, $6, $7) ON CONFLICT (repository_id, digest, scanner) DO UPDATE SET reason = NULL, attempted_at = excluded.attempted_at, job = excluded.job, reported_at = excluded.reported_at, content = excluded.content, tx = excluded.tx";
    PUT_FAILURE = Write "INSERT INTO scanner_report (repository_id, digest, scanner, reason, attempted_at, job, tx) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (repository_id, digest, scanner) DO UPDATE SET reason = excluded.reason, attempted_at = excluded.attempted_at, job = excluded.job, tx = excluded.tx";
    FIND = Read "SELECT digest, id, status, reason, judged_at, job, judged_at, advisories, critical, high, medium, low, negligible, unknown, details FROM combined_scan WHERE repository_id = $1 AND digest IN (SELECT value FROM bonded_texts($2))";
    PUT = Write "INSERT INTO combined_scan (repository_id, digest, id, status, reason, judged_at, job, advisories, critical, high, medium, low, negligible, unknown, details, tx) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ON CONFLICT (repository_id, digest) DO UPDATE SET status = excluded.status, reason = excluded.reason, judged_at = excluded.judged_at, job = excluded.job, advisories = excluded.advisories, critical = excluded.critical, high = excluded.high, medium = excluded.medium, low = excluded.low, negligible = excluded.negligible, unknown = excluded.unknown, details = excluded.details, tx = excluded.tx";
    DELETE = Write "DELETE FROM combined_scan WHERE repository_id = $1 AND digest = $2";
    CONCERNED = Read { shared: concat!("SELECT m.repository_id, r.project_id, r.full_name, m.pushed_at FROM manifest m JOIN repository r ON r.id = m.repository_id WHERE m.digest = $1 AND ", not_ours_alone!(), " AND m.repository_id > $2 ORDER BY m.repository_id LIMIT $3") };
    CONCERNED_AMONG = Read { shared: concat!("SELECT DISTINCT m.digest FROM manifest m JOIN repository r ON r.id = m.repository_id WHERE m.digest IN (SELECT value FROM bonded_texts($1)) AND ", not_ours_alone!()) };
    PLACE = Read "SELECT m.repository_id, r.project_id, r.full_name, m.pushed_at FROM manifest m JOIN repository r ON r.id = m.repository_id WHERE m.repository_id = $1 AND m.digest = $2";
    IMAGES_OF = Scan "SELECT m.repository_id, m.digest FROM manifest m JOIN repository r ON r.id = m.repository_id WHERE ($1 = 0 OR r.project_id = $1) AND m.height = 0 AND (m.repository_id > $2 OR (m.repository_id = $2 AND m.digest > $3)) ORDER BY m.repository_id, m.digest LIMIT $4";
    DIGESTS = Scan "SELECT digest FROM (SELECT digest FROM combined_scan WHERE digest > $1 UNION SELECT digest FROM scanner_report WHERE digest > $1) AS d ORDER BY digest LIMIT $2";
    FORGET_REPORTS = Write "DELETE FROM scanner_report WHERE digest IN (SELECT value FROM bonded_texts($1)) AND NOT EXISTS (SELECT 1 FROM manifest m WHERE m.repository_id = scanner_report.repository_id AND m.digest = scanner_report.digest)";
    FORGET = Write "DELETE FROM combined_scan WHERE digest IN (SELECT value FROM bonded_texts($1)) AND NOT EXISTS (SELECT 1 FROM manifest m WHERE m.repository_id = combined_scan.repository_id AND m.digest = combined_scan.digest)";
}

/// What a registered scanner said of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScannerReportRow {
    /// Name of its registration.
    pub scanner: String,
    /// Why the newest attempt brought no report.
    pub reason: Option<String>,
    /// When that was made.
    pub attempted_at: Timestamp,
    /// The job that made it.
    pub job: JobId,
    /// When the last report came.
    pub reported_at: Option<Timestamp>,
    /// The last report, compressed.
    pub content: Option<Bytes>,
}

/// Whose report of what.
#[derive(Clone, Copy, Debug)]
pub struct ReportKey<'a> {
    /// The repository that asked.
    pub repository: RepositoryId,
    /// The artifact.
    pub digest: &'a Digest,
    /// Name of the scanner's registration.
    pub scanner: &'a str,
}

/// What all scanners together come to.
#[derive(Clone, Copy, Debug)]
pub struct CombinedScan<'a> {
    /// The repository.
    pub repository: RepositoryId,
    /// The artifact.
    pub digest: &'a Digest,
    /// Id of its report, used when it has none yet.
    pub id: i64,
    /// Why it is not the whole truth.
    pub reason: Option<&'a str>,
    /// The job.
    pub job: JobId,
    /// The verdict.
    pub verdict: &'a Verdict,
}

impl Store {
    /// What registered scanners said of an artifact.
    pub async fn scanner_reports(
        &self,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<Vec<ScannerReportRow>, StoreError> {
        let row = |row: &Row| {
            Ok(ScannerReportRow {
                scanner: row.text(0)?.to_owned(),
                reason: row.opt_text(1)?.map(str::to_owned),
                attempted_at: row.id(2)?,
                job: row.id(3)?,
                reported_at: row.opt_id(4)?,
                content: row.opt_bytes(5)?,
            })
        };
        self.rows(&REPORTS, &params![repository, digest]).await?.iter().map(row).collect()
    }

    /// The registered scanners that were asked about an artifact, whatever they said.
    pub async fn scanners_heard(
        &self,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<Vec<String>, StoreError> {
        let rows = self.rows(&HEARD, &params![repository, digest]).await?;
        rows.iter().map(|row| Ok(row.text(0)?.to_owned())).collect()
    }

    /// The jobs that asked registered scanners.
    pub async fn scanner_jobs(
        &self,
        repository: RepositoryId,
        digests: &[Digest],
    ) -> Result<Vec<JobId>, StoreError> {
        let digests = Value::texts(digests.iter().map(Digest::to_string));
        self.rows(&REPORT_JOBS, &[repository.into(), digests]).await?.iter().map(|row| row.id(0)).collect()
    }

    /// Verdicts that hold in a project in place of those of our own scan.
    pub async fn combined_scans<'a>(
        &self,
        repository: RepositoryId,
        digests: impl IntoIterator<Item = &'a Digest>,
    ) -> Result<Vec<ScanRow>, StoreError> {
        let digests = Value::texts(digests.into_iter().map(Digest::to_string));
        self.rows(&FIND, &[repository.into(), digests]).await?.iter().map(parse).collect()
    }

    /// Repositories, in order of their ids after `last`, that hold an artifact and do not go by our own scan alone, or did
    /// not when it was judged last, or hold what may be a result of another scanner.
    pub async fn places_with_scanners(
        &self,
        digest: &Digest,
        last: RepositoryId,
        limit: u32,
    ) -> Result<Vec<Place>, StoreError> {
        self.rows(&CONCERNED, &params![digest, last, limit]).await?.iter().map(place).collect()
    }

    /// Those of some artifacts that a repository holds of which the same is true.
    pub async fn with_scanners<'a>(
        &self,
        digests: impl IntoIterator<Item = &'a Digest>,
    ) -> Result<BTreeSet<Digest>, StoreError> {
        let digests = Value::texts(digests.into_iter().map(Digest::to_string));
        self.rows(&CONCERNED_AMONG, &[digests]).await?.iter().map(|row| row.digest(0)).collect()
    }

    /// A repository, if it holds an artifact.
    pub async fn place_of(
        &self,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<Option<Place>, StoreError> {
        self.row(&PLACE, &params![repository, digest]).await?.as_ref().map(place).transpose()
    }

    /// Artifacts of which something is kept here, in order of digest after `last`.
    pub async fn combined_digests(&self, last: &str, limit: u32) -> Result<Vec<Digest>, StoreError> {
        self.rows(&DIGESTS, &params![last, limit]).await?.iter().map(|row| row.digest(0)).collect()
    }

    /// Images of a project's repositories, or of all, in order of repository and digest after `last`.
    pub async fn images_in(
        &self,
        project: Option<ProjectId>,
        last: (RepositoryId, &str),
        limit: u32,
    ) -> Result<Vec<(RepositoryId, Digest)>, StoreError> {
        let rows =
            self.rows(&IMAGES_OF, &params![project.map_or(0, ProjectId::get), last.0, last.1, limit]).await?;
        rows.iter().map(|row| Ok((row.id(0)?, row.digest(1)?))).collect()
    }
}

/// Keeps a report in place of the last one.
pub fn put_report(tx: &mut Tx, key: ReportKey<'_>, job: JobId, content: Bytes, at: Timestamp) {
    let by = tx.id();
    let values = params![key.repository, key.digest, key.scanner, at, job, content, by];
    tx.step(&PUT_REPORT, values, Expect::Rows(1));
}

/// Keeps why a scanner did not report; its last report stands.
pub fn put_failure(tx: &mut Tx, key: ReportKey<'_>, job: JobId, reason: &str, at: Timestamp) {
    let by = tx.id();
    let values = params![key.repository, key.digest, key.scanner, reason, at, job, by];
    tx.step(&PUT_FAILURE, values, Expect::Rows(1));
}

/// Keeps a verdict in place of the last one.
pub fn put(tx: &mut Tx, scan: &CombinedScan<'_>) {
    let by = tx.id();
    let status = if scan.reason.is_some() { ScanStatus::Incomplete } else { ScanStatus::Succeeded };
    let verdict = scan.verdict;
    let [critical, high, medium, low, negligible, unknown] = verdict.counts.ints();
    tx.step(
        &PUT,
        params![
            scan.repository,
            scan.digest,
            scan.id,
            status.as_str(),
            scan.reason,
            verdict.judged_at,
            scan.job,
            verdict.advisories,
            critical,
            high,
            medium,
            low,
            negligible,
            unknown,
            verdict.details.to_text(),
            by
        ],
        Expect::Rows(1),
    );
}

/// Lets our own scan decide again.
pub fn delete(tx: &mut Tx, repository: RepositoryId, digest: &Digest) {
    tx.step(&DELETE, params![repository, digest], Expect::Any);
}

/// Forgets what is about artifacts, of these, that a repository does not hold any more.
pub fn forget(tx: &mut Tx, digests: &[Digest]) {
    let texts = || Value::texts(digests.iter().map(Digest::to_string));
    tx.step(&FORGET_REPORTS, [texts()], Expect::Any);
    tx.step(&FORGET, [texts()], Expect::Any);
}
