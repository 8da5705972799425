//! How long vulnerabilities stay in projects: what the duty that keeps the estate's index notes, and reports read.
//!
//! Invariant: of a vulnerability a project has at most one open row. Every step may be repeated: opening what is open and
//! closing what is closed changes nothing.

use super::ProjectId;
use crate::Timestamp;
use crate::error::StoreError;
use crate::params;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use crate::value::{Row, Value};

crate::statements! {
    OPEN = Write "INSERT INTO exposure (project_id, vulnerability, first_present, severity, published, package, tx) SELECT p.id, $1, $2, $3, $4, $5, $6 FROM project p WHERE p.id IN (SELECT value FROM bonded_ints($7)) AND NOT EXISTS (SELECT 1 FROM exposure e WHERE e.project_id = p.id AND e.vulnerability = $1 AND e.gone IS NULL) ON CONFLICT (project_id, vulnerability, first_present) DO UPDATE SET gone = NULL, severity = excluded.severity, tx = excluded.tx";
    CLOSE = Write "UPDATE exposure SET gone = $2, tx = $3 WHERE vulnerability = $1 AND gone IS NULL AND project_id NOT IN (SELECT value FROM bonded_ints($4))";
    RATE = Write "UPDATE exposure SET severity = $2, tx = $3 WHERE vulnerability = $1 AND gone IS NULL AND severity <> $2";
    FIX = Write "UPDATE exposure SET fix_built = $3, tx = $4 WHERE project_id = $1 AND vulnerability = $2 AND gone IS NULL AND fix_built IS NULL AND first_present < $3";
    KNOWN = Read "SELECT project_id, vulnerability FROM exposure WHERE gone IS NULL AND vulnerability IN (SELECT value FROM bonded_texts($1)) AND project_id IN (SELECT value FROM bonded_ints($2))";
    UNFIXED = Read "SELECT project_id, vulnerability, package, first_present FROM exposure WHERE gone IS NULL AND fix_built IS NULL AND project_id IN (SELECT value FROM bonded_ints($1)) AND package IN (SELECT value FROM bonded_texts($2))";
    OPEN_NAMES = Scan "SELECT DISTINCT vulnerability FROM exposure WHERE gone IS NULL AND vulnerability > $1 ORDER BY vulnerability LIMIT $2";
    PAGE = Scan "SELECT project_id, vulnerability, first_present, severity, published, fix_built, gone FROM exposure WHERE project_id IN (SELECT value FROM bonded_ints($1)) AND severity IN (SELECT value FROM bonded_ints($2)) AND ($3 = '' OR vulnerability = $3) AND (project_id, vulnerability, first_present) > ($4, $5, $6) ORDER BY project_id, vulnerability, first_present LIMIT $7";
    SUMS = Scan "SELECT project_id, severity, count(*), count(gone), count(fix_built), CAST(COALESCE(sum(GREATEST(gone - GREATEST(first_present, COALESCE(published, first_present)), 0) / 1000000), 0) AS INT8), CAST(COALESCE(sum(GREATEST(fix_built - GREATEST(first_present, COALESCE(published, first_present)), 0) / 1000000), 0) AS INT8), CAST(COALESCE(sum(GREATEST(COALESCE(gone, $4) - GREATEST(first_present, COALESCE(published, first_present)), 0) / 1000000), 0) AS INT8) FROM exposure WHERE project_id IN (SELECT value FROM bonded_ints($1)) AND severity IN (SELECT value FROM bonded_ints($2)) AND ($3 = '' OR vulnerability = $3) GROUP BY project_id, severity ORDER BY project_id, severity";
    PRUNE = Write "DELETE FROM exposure WHERE (project_id, vulnerability, first_present) IN (SELECT project_id, vulnerability, first_present FROM exposure WHERE gone < $1 ORDER BY gone LIMIT $2)";
    CLOSED = Read "SELECT 1 FROM exposure WHERE gone < $1 LIMIT 1";
}

/// A vulnerability that affects images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposing<'a> {
    /// Its first name.
    pub vulnerability: &'a str,
    /// Its rank: 5 for critical to 0 for not rated.
    pub severity: i64,
    /// When it was published, if that is known.
    pub published: Option<Timestamp>,
    /// A package that has it.
    pub package: &'a str,
}

/// A stay of a vulnerability in a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExposureRow {
    /// The project.
    pub project: ProjectId,
    /// The vulnerability's first name.
    pub vulnerability: String,
    /// When the first image was affected.
    pub first_present: Timestamp,
    /// Its rank: 5 for critical to 0 for not rated.
    pub severity: i64,
    /// When it was published, if that is known.
    pub published: Option<Timestamp>,
    /// When the first image was pushed that has the package without it.
    pub fix_built: Option<Timestamp>,
    /// When the last affected image was gone; none: it is there.
    pub gone: Option<Timestamp>,
}

/// An open stay without a repaired image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfixed {
    /// The project.
    pub project: i64,
    /// The vulnerability.
    pub vulnerability: String,
    /// The package that has it.
    pub package: String,
    /// When the first image was affected.
    pub first_present: Timestamp,
}

/// Which stays are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExposureFilter {
    /// Of these projects.
    pub projects: Vec<ProjectId>,
    /// Of these ranks.
    pub severities: Vec<i64>,
    /// Of this vulnerability; empty: of any.
    pub vulnerability: String,
}

/// The key of a stay: pages are in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExposurePlace {
    /// The project.
    pub project: ProjectId,
    /// The vulnerability.
    pub vulnerability: String,
    /// When the first image was affected.
    pub first_present: Timestamp,
}

/// Sums over the stays of a severity in a project; times are seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExposureSums {
    /// The project.
    pub project: ProjectId,
    /// The rank.
    pub severity: i64,
    /// Stays.
    pub stays: u64,
    /// Those that are over.
    pub repaired: u64,
    /// Those with a repaired image.
    pub fixed: u64,
    /// From known to gone, of those that are over.
    pub to_repair: u64,
    /// From known to the first repaired image, of those with one.
    pub to_fix: u64,
    /// From known to gone, or to now.
    pub exposed: u64,
}

fn lists(filter: &ExposureFilter) -> [Value; 2] {
    [
        Value::ints(filter.projects.iter().map(|project| project.get())),
        Value::ints(filter.severities.iter().copied()),
    ]
}

fn time(row: &Row, column: usize) -> Result<Option<Timestamp>, StoreError> {
    Ok(row.opt_int(column)?.map(Timestamp::from_micros))
}

impl Store {
    /// Which of some vulnerabilities are open in which of some projects.
    pub async fn open_exposures(
        &self,
        vulnerabilities: &[&str],
        projects: &[i64],
    ) -> Result<Vec<(i64, String)>, StoreError> {
        let lists = [Value::texts(vulnerabilities), Value::ints(projects.iter().copied())];
        let rows = self.rows(&KNOWN, &lists).await?;
        rows.iter().map(|row| Ok((row.int(0)?, row.text(1)?.to_owned()))).collect()
    }

    /// Open ones of some projects and packages without a repaired image.
    pub async fn unfixed_exposures(
        &self,
        projects: &[i64],
        packages: &[&str],
    ) -> Result<Vec<Unfixed>, StoreError> {
        let lists = [Value::ints(projects.iter().copied()), Value::texts(packages)];
        let parse = |row: &Row| {
            Ok(Unfixed {
                project: row.int(0)?,
                vulnerability: row.text(1)?.to_owned(),
                package: row.text(2)?.to_owned(),
                first_present: Timestamp::from_micros(row.int(3)?),
            })
        };
        self.rows(&UNFIXED, &lists).await?.iter().map(parse).collect()
    }

    /// Vulnerabilities that are open anywhere, in order after `last`.
    pub async fn open_exposure_names(&self, last: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        let rows = self.rows(&OPEN_NAMES, &params![last, limit]).await?;
        rows.iter().map(|row| Ok(row.text(0)?.to_owned())).collect()
    }

    /// Stays after a place, in order.
    pub async fn exposures(
        &self,
        filter: &ExposureFilter,
        after: Option<&ExposurePlace>,
        limit: u32,
    ) -> Result<Vec<ExposureRow>, StoreError> {
        let [projects, severities] = lists(filter);
        let begin = ExposurePlace {
            project: 0.into(),
            vulnerability: String::new(),
            first_present: Timestamp::default(),
        };
        let after = after.unwrap_or(&begin);
        let place = params![after.project, &after.vulnerability, after.first_present, limit];
        let mut values = vec![projects, severities, (&filter.vulnerability).into()];
        values.extend(place);
        let parse = |row: &Row| {
            Ok(ExposureRow {
                project: row.id(0)?,
                vulnerability: row.text(1)?.to_owned(),
                first_present: Timestamp::from_micros(row.int(2)?),
                severity: row.int(3)?,
                published: time(row, 4)?,
                fix_built: time(row, 5)?,
                gone: time(row, 6)?,
            })
        };
        self.rows(&PAGE, &values).await?.iter().map(parse).collect()
    }

    /// Sums by project and severity; what is open counts up to `now`.
    pub async fn exposure_sums(
        &self,
        filter: &ExposureFilter,
        now: Timestamp,
    ) -> Result<Vec<ExposureSums>, StoreError> {
        let [projects, severities] = lists(filter);
        let values = [projects, severities, (&filter.vulnerability).into(), now.into()];
        let parse = |row: &Row| {
            Ok(ExposureSums {
                project: row.id(0)?,
                severity: row.int(1)?,
                stays: row.uint(2)?,
                repaired: row.uint(3)?,
                fixed: row.uint(4)?,
                to_repair: row.uint(5)?,
                to_fix: row.uint(6)?,
                exposed: row.uint(7)?,
            })
        };
        self.rows(&SUMS, &values).await?.iter().map(parse).collect()
    }

    /// Whether [`prune`] would find something.
    pub async fn has_closed_exposures(&self, before: Timestamp) -> Result<bool, StoreError> {
        Ok(self.row(&CLOSED, &params![before]).await?.is_some())
    }
}

/// Images of some projects are affected from `at` on, where none was before.
pub fn open(tx: &mut Tx, what: &Exposing<'_>, at: Timestamp, projects: impl IntoIterator<Item = i64>) {
    let by = tx.id();
    let Exposing { vulnerability, severity, package, .. } = *what;
    let published = what.published.map(Timestamp::micros);
    let projects = Value::ints(projects);
    let values = params![vulnerability, at, severity, published, package, by, projects];
    tx.step(&OPEN, values, Expect::Any);
}

/// No image is affected any more, but of these projects.
pub fn close_but(tx: &mut Tx, vulnerability: &str, at: Timestamp, projects: impl IntoIterator<Item = i64>) {
    let by = tx.id();
    tx.step(&CLOSE, params![vulnerability, at, by, Value::ints(projects)], Expect::Any);
}

/// Notes the severity of a vulnerability wherever it is open.
pub fn rate(tx: &mut Tx, vulnerability: &str, severity: i64) {
    let by = tx.id();
    tx.step(&RATE, params![vulnerability, severity, by], Expect::Any);
}

/// Notes that a repaired image was pushed after the first affected one; only the first such counts.
pub fn fix(tx: &mut Tx, project: i64, vulnerability: &str, at: Timestamp) {
    let by = tx.id();
    tx.step(&FIX, params![project, vulnerability, at, by], Expect::Any);
}

/// Forgets some that closed before a time.
pub fn prune(tx: &mut Tx, before: Timestamp, limit: u32) {
    tx.step(&PRUNE, params![before, limit], Expect::Any);
}
