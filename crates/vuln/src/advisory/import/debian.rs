//! Debian: the security tracker's JSON, the DSA and DLA lists, and the same as records.
//!
//! The tracker states, for each source package, CVE and release, whether and where it is fixed (`0`: never affected),
//! how urgent it is, and why there is no fix (`nodsa_reason`: ignored, postponed; urgency end-of-life).

use super::{Refusal, Sink, from_json};
use crate::advisory::import::Item;
use crate::advisory::scope::debian_release;
use crate::advisory::{Advisory, Affected, Rating, Status};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Issue {
    description: Option<String>,
    #[serde(default)]
    releases: BTreeMap<String, Release>,
}

#[derive(Deserialize)]
struct Release {
    status: Option<String>,
    fixed_version: Option<String>,
    urgency: Option<String>,
    nodsa: Option<String>,
    nodsa_reason: Option<String>,
}

/// `https://security-tracker.debian.org/tracker/data/json`.
pub(super) fn tracker(bytes: &[u8], sink: Sink<'_>) -> Result<(), Refusal> {
    let all: BTreeMap<String, BTreeMap<String, Issue>> = from_json(bytes)?;
    for (source, issues) in all {
        for (id, issue) in issues {
            let affected =
                issue.releases.iter().filter_map(|(release, r)| release_entry(&source, release, r)).collect();
            let temporary = id.starts_with("TEMP-");
            sink(Item::Advisory(Box::new(Advisory {
                id: format!("DEBIAN-{id}"),
                upstream: if temporary { Vec::new() } else { vec![id.clone()] },
                aliases: if temporary { vec![id] } else { Vec::new() },
                summary: issue.description.unwrap_or_default(),
                affected,
                fragment: true,
                ..Advisory::default()
            })));
        }
    }
    Ok(())
}

fn release_entry(source: &str, release: &str, r: &Release) -> Option<Affected> {
    let entry = Affected::new(format!("Debian:{}", debian_release(release)), source);
    let mut entry = match (r.status.as_deref()?, r.fixed_version.as_deref()) {
        ("resolved", Some("0")) => entry.until(None).with_status(Status::NotAffected),
        ("resolved", Some(fixed)) => entry.until(Some(fixed)),
        ("undetermined", _) => entry.until(None).with_status(Status::UnderInvestigation),
        ("open", _) => {
            let status = match (r.nodsa_reason.as_deref(), r.urgency.as_deref()) {
                (_, Some("end-of-life")) => Status::EndOfLife,
                (Some("ignored"), _) => Status::WillNotFix,
                (Some("postponed"), _) => Status::FixDeferred,
                _ if r
                    .nodsa
                    .as_deref()
                    .is_some_and(|n| n.contains("will be fixed") || n.contains("postponed")) =>
                {
                    Status::FixDeferred
                }
                _ => Status::Affected,
            };
            entry.until(None).with_status(status)
        }
        _ => return None,
    };
    entry.severity.extend(r.urgency.as_deref().map(Rating::label));
    Some(entry)
}

#[derive(Deserialize)]
struct Record {
    id: String,
    #[serde(default)]
    cves: Vec<String>,
    #[serde(default)]
    date: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    fix: Vec<(String, String, String)>,
}

/// One DSA or DLA as `{"id","cves","date","title","fix":[[release,source,version]]}`.
pub(super) fn record(bytes: &[u8], sink: Sink<'_>) -> Result<(), Refusal> {
    emit(from_json(bytes)?, sink);
    Ok(())
}

fn emit(r: Record, sink: Sink<'_>) {
    let affected = r.fix.iter().map(|(release, source, version)| {
        let entry = Affected::new(format!("Debian:{}", debian_release(release)), source.as_str());
        match version.as_str() {
            "<not-affected>" | "0" => entry.until(None).with_status(Status::NotAffected),
            "<end-of-life>" => entry.until(None).with_status(Status::EndOfLife),
            "<unfixed>" => entry.until(None),
            fixed => entry.until(Some(fixed)),
        }
    });
    sink(Item::Advisory(Box::new(Advisory {
        affected: affected.collect(),
        published: Some(r.date).filter(|d| !d.is_empty()),
        id: r.id,
        upstream: r.cves,
        summary: r.title,
        ..Advisory::default()
    })));
}

/// `data/DSA/list`, `data/DLA/list` of the tracker's repository.
#[expect(clippy::manual_strip, reason = "the length decides")]
pub(super) fn list(text: &str, sink: Sink<'_>) -> Result<(), Refusal> {
    let mut open: Option<Record> = None;
    for line in text.lines() {
        if line.starts_with('[') {
            if let Some(done) = open.take() {
                emit(done, sink);
            }
            let (date, rest) = line[1..]
                .split_once("] ")
                .ok_or_else(|| Refusal::new(format!("header {line:?} has no date")))?;
            let (id, title) = rest.split_once(' ').unwrap_or((rest, ""));
            open = Some(Record {
                id: id.to_owned(),
                cves: Vec::new(),
                date: date.to_owned(),
                title: title.trim().to_owned(),
                fix: Vec::new(),
            });
            continue;
        }
        let (Some(record), line) = (open.as_mut(), line.trim()) else { continue };
        if let Some(ids) = line.strip_prefix('{').and_then(|l| l.strip_suffix('}')) {
            record.cves.extend(ids.split_whitespace().map(str::to_owned));
        } else if let Some((release, rest)) = line.strip_prefix('[').and_then(|l| l.split_once("] - ")) {
            let mut words = rest.split_whitespace();
            if let (Some(source), Some(version)) = (words.next(), words.next()) {
                record.fix.push((release.to_owned(), source.to_owned(), version.to_owned()));
            }
        }
    }
    if let Some(done) = open {
        emit(done, sink);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(read: impl FnOnce(Sink<'_>) -> Result<(), Refusal>) -> Vec<Advisory> {
        let mut out = Vec::new();
        read(&mut |i| {
            if let Item::Advisory(a) = i {
                out.push(*a);
            }
        })
        .expect("readable");
        out
    }

    #[test]
    fn tracker_states_become_statuses() {
        let text = br#"{"bash":{"CVE-2019-18276":{"description":"d","scope":"local","releases":{
          "bookworm":{"status":"resolved","repositories":{},"fixed_version":"5.1-1","urgency":"unimportant"},
          "buster":{"status":"open","repositories":{},"urgency":"low","nodsa":"Minor issue","nodsa_reason":"ignored"},
          "trixie":{"status":"resolved","repositories":{},"fixed_version":"0","urgency":"unimportant"}}}}}"#;
        let a = all(|s| tracker(text, s)).remove(0);
        let statuses: Vec<_> = a
            .affected
            .iter()
            .map(|x| (x.package.as_ref().map(|p| p.ecosystem.clone()).unwrap_or_default(), x.status))
            .collect();
        assert_eq!(
            statuses,
            [
                ("Debian:12".into(), None),
                ("Debian:10".into(), Some(Status::WillNotFix)),
                ("Debian:13".into(), Some(Status::NotAffected))
            ]
        );
    }

    #[test]
    fn list_and_record_state_the_same() {
        let from_list = all(|s| {
            list(
                "[29 Mar 2023] DSA-5380-1 xorg-server - security update\n\t{CVE-2023-1393}\n\t[bullseye] - xorg-server 2:1.20.11-1+deb11u6\n",
                s,
            )
        });
        let from_record = all(|s| {
            record(
                br#"{"cves":["CVE-2023-1393"],"date":"29 Mar 2023","fix":[["11","xorg-server","2:1.20.11-1+deb11u6"]],
                "id":"DSA-5380-1","title":"xorg-server - security update"}"#,
                s,
            )
        });
        assert_eq!(from_list, from_record);
    }
}
