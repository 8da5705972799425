//! Schedules: jobs that recur by a cron expression in a time zone.
//!
//! Invariant: a schedule fires by a compare-and-swap on its next time, in the transaction that enqueues the job, so
//! that any number of processes fire it once. Times missed while nothing ran are fired once, not each.

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::params;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use crate::value::{Row, Value};
use croner::Cron;
use std::str::FromStr;
use thiserror::Error;

/// The tag of firing a schedule that another process has fired, or that was changed.
pub const FIRED: &str = "schedule_fired";

crate::statements! {
    DECLARE = Write "INSERT INTO schedule \
        (name, tx, kind, cron, time_zone, payload, priority, enabled, project, next_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (name) DO NOTHING";
    PUT = Write "INSERT INTO schedule \
        (name, tx, kind, cron, time_zone, payload, priority, enabled, project, next_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (name) DO UPDATE SET tx = excluded.tx, \
        kind = excluded.kind, cron = excluded.cron, time_zone = excluded.time_zone, payload = excluded.payload, \
        priority = excluded.priority, enabled = excluded.enabled, project = excluded.project, \
        next_at = excluded.next_at";
    DELETE = Write "DELETE FROM schedule WHERE name = $1";
    DUE = Read "SELECT name, kind, cron, time_zone, payload, priority, enabled, project, next_at, last_at FROM schedule \
        WHERE enabled = 1 AND next_at <= $1 ORDER BY next_at LIMIT $2";
    FIRE = Write "UPDATE schedule SET next_at = $3, last_at = $4 WHERE name = $1 AND next_at = $2 AND enabled = 1";
    READ = Read "SELECT name, kind, cron, time_zone, payload, priority, enabled, project, next_at, last_at \
        FROM schedule WHERE name = $1";
    LIST = Read "SELECT name, kind, cron, time_zone, payload, priority, enabled, project, next_at, last_at \
        FROM schedule WHERE name > $1 ORDER BY name LIMIT $2";
}

/// Why an expression or a time zone is not accepted.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum CronError {
    /// Not five or six fields of cron, or a field out of range.
    #[error("not a cron expression: {reason}")]
    Expression {
        /// What is wrong.
        reason: String,
    },
    /// Not a name of the IANA time zone database.
    #[error("unknown time zone {name}")]
    TimeZone {
        /// The name.
        name: String,
    },
    /// It matches no time within the next years.
    #[error("the cron expression never matches")]
    Never,
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Its name, unique.
    pub name: String,
    /// The kind of job that it enqueues.
    pub kind: String,
    /// Five fields, or six with seconds first.
    pub cron: String,
    /// IANA name: `UTC`, `Europe/Berlin`.
    pub time_zone: String,
    /// JSON, the job's payload.
    pub payload: String,
    /// The job's priority.
    pub priority: i64,
    /// Whether it fires.
    pub enabled: bool,
    /// The project it belongs to.
    pub project: Option<i64>,
    /// When it fires next.
    pub next_at: Timestamp,
    /// When it fired last.
    pub last_at: Option<Timestamp>,
}

/// The first match of `cron` in `time_zone` after `after`.
pub fn next_after(cron: &str, time_zone: &str, after: Timestamp) -> Result<Timestamp, CronError> {
    let pattern =
        Cron::from_str(cron).map_err(|error| CronError::Expression { reason: error.to_string() })?;
    let zone =
        jiff::tz::TimeZone::get(time_zone).map_err(|_| CronError::TimeZone { name: time_zone.to_owned() })?;
    let next = pattern.find_next_occurrence(&after.to_jiff().to_zoned(zone), false);
    next.map(|next| Timestamp::from_micros(next.timestamp().as_microsecond())).map_err(|_| CronError::Never)
}

/// Appends a schedule unless one of its name exists: the defaults at start, which administrators may have changed.
pub fn declare(tx: &mut Tx, schedule: &Schedule) {
    let values = values(tx, schedule);
    tx.step(&DECLARE, values, Expect::Any);
}

/// Appends making or replacing a schedule.
pub fn put(tx: &mut Tx, schedule: &Schedule) {
    let values = values(tx, schedule);
    tx.step(&PUT, values, Expect::Rows(1));
}

/// Appends the removal of a schedule; unmet when there is none.
pub fn delete(tx: &mut Tx, name: &str) {
    tx.step(&DELETE, params![name], Expect::Rows(1));
}

fn values(tx: &Tx, schedule: &Schedule) -> [Value; 10] {
    params![
        &schedule.name,
        tx.id(),
        &schedule.kind,
        &schedule.cron,
        &schedule.time_zone,
        &schedule.payload,
        schedule.priority,
        schedule.enabled,
        schedule.project,
        schedule.next_at
    ]
}

/// Schedules whose time has come.
pub async fn due(store: &Store, limit: u32) -> Result<Vec<Schedule>, StoreError> {
    store.rows(&DUE, &params![store.now(), limit]).await?.iter().map(schedule).collect()
}

/// Appends that a schedule fires now and next at `next_at`. Conflict at [`FIRED`]: another process did so.
pub fn fire(tx: &mut Tx, schedule: &Schedule, next_at: Timestamp, now: Timestamp) {
    tx.step_or(&FIRE, params![&schedule.name, schedule.next_at, next_at, now], Expect::Rows(1), FIRED);
}

/// One schedule.
pub async fn read(store: &Store, name: &str) -> Result<Option<Schedule>, StoreError> {
    store.row(&READ, &params![name]).await?.as_ref().map(schedule).transpose()
}

/// Schedules by name, those after `after`.
pub async fn list(store: &Store, after: &str, limit: u32) -> Result<Vec<Schedule>, StoreError> {
    store.rows(&LIST, &params![after, limit]).await?.iter().map(schedule).collect()
}

fn schedule(row: &Row) -> Result<Schedule, StoreError> {
    Ok(Schedule {
        name: row.text(0)?.to_owned(),
        kind: row.text(1)?.to_owned(),
        cron: row.text(2)?.to_owned(),
        time_zone: row.text(3)?.to_owned(),
        payload: row.text(4)?.to_owned(),
        priority: row.int(5)?,
        enabled: row.bool(6)?,
        project: row.opt_int(7)?,
        next_at: row.id(8)?,
        last_at: row.opt_id(9)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn cron_follows_the_time_zone_through_daylight_saving() {
        let next = |cron, zone, after: &str| next_after(cron, zone, at(after)).unwrap().to_string();
        assert_eq!(next("0 3 * * *", "UTC", "2026-01-01T03:00:00Z"), "2026-01-02T03:00:00Z");
        assert_eq!(next("0 3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z"), "2026-03-29T01:00:00Z");
        assert_eq!(next("0 3 * * *", "Europe/Berlin", "2026-01-28T12:00:00Z"), "2026-01-29T02:00:00Z");
        assert_eq!(next("0 0 * * FRI#L", "UTC", "2026-01-01T00:00:00Z"), "2026-01-30T00:00:00Z");
    }

    #[test]
    fn what_is_no_cron_or_zone_is_said() {
        let now = at("2026-01-01T00:00:00Z");
        assert!(matches!(next_after("every day", "UTC", now), Err(CronError::Expression { .. })));
        assert!(matches!(next_after("0 3 * * *", "Mars/Base", now), Err(CronError::TimeZone { .. })));
        assert_eq!(next_after("0 0 30 2 *", "UTC", now), Err(CronError::Never));
    }
}
