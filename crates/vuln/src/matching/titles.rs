//! One line for each finding, read for all of them at once.

use super::finding::Finding;
use super::group::Untitled;
use crate::db::{AdvisoryRef, Db, DbError, Details};
use std::collections::{BTreeSet, HashMap};

/// So many advisories of a finding are asked for a line.
const ASKED: usize = 4;
/// Longest line that is cut from a text, in characters.
const MAX_LINE: usize = 200;

/// Findings with the titles that their advisories give them.
///
/// # Errors
/// [`DbError`] if the database is damaged.
pub(super) fn titled(db: &Db<'_>, mut untitled: Vec<Untitled>) -> Result<Vec<Finding>, DbError> {
    for one in &mut untitled {
        let mut seen = BTreeSet::new();
        one.advisories.retain(|at| seen.len() < ASKED && seen.insert(*at));
    }
    let wanted = untitled.iter().flat_map(|u| &u.advisories).copied().collect();
    let mut lines: HashMap<AdvisoryRef, String> = HashMap::new();
    db.each_details(&wanted, &mut |at, details| {
        if let Some(line) = line(details) {
            lines.insert(at, line);
        }
    })?;
    let title = |u: Untitled| {
        let title = u.advisories.iter().find_map(|at| lines.get(at)).cloned().unwrap_or_default();
        Finding { title, ..u.finding }
    };
    Ok(untitled.into_iter().map(title).collect())
}

fn line(details: Details) -> Option<String> {
    if !details.summary.is_empty() {
        return Some(details.summary);
    }
    let first = details.details.lines().map(str::trim).find(|l| !l.is_empty());
    first.map(|l| l.chars().take(MAX_LINE).collect())
}
