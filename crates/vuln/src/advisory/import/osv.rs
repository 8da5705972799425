//! OSV records: JSON and YAML, alone or in lists (<https://ossf.github.io/osv-schema/>).
//!
//! What the big feeds say outside the schema's own members – severity in words, urgency, "end of life", the module
//! stream in an erratum's title – is read here, so that the rest of the crate sees one form.

use super::{Refusal, Sink, from_json, from_yaml};
use crate::advisory::import::Item;
use crate::advisory::{Advisory, Rating, Status, known_word, scope};
use serde_json::Value;

/// One record or a list of them.
pub(super) fn json(bytes: &[u8], sink: Sink<'_>) -> Result<(), Refusal> {
    if bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[') {
        for advisory in from_json::<Vec<Advisory>>(bytes)? {
            accept(advisory, sink)?;
        }
        return Ok(());
    }
    accept(from_json(bytes)?, sink)
}

/// One record as YAML.
pub(super) fn yaml(text: &str, sink: Sink<'_>) -> Result<(), Refusal> {
    accept(from_yaml(text)?, sink)
}

/// Hands a record over, with what is said of it outside the schema's own members.
pub(super) fn accept(mut advisory: Advisory, sink: Sink<'_>) -> Result<(), Refusal> {
    if advisory.id.is_empty() {
        return Err(Refusal::new("record without id"));
    }
    complete(&mut advisory);
    sink(Item::Advisory(Box::new(advisory)));
    Ok(())
}

fn word<'a>(value: &'a Value, members: &[&str]) -> Option<&'a str> {
    members.iter().find_map(|m| value.get(*m).and_then(Value::as_str)).filter(|w| known_word(w).is_some())
}

fn complete(advisory: &mut Advisory) {
    if let Some(w) = word(&advisory.database_specific, &["severity", "ubuntu_priority", "github_severity"]) {
        advisory.severity.insert(0, Rating::label(w));
    }
    let titled =
        advisory.summary.split_once(':').map(|(first, _)| first.trim()).filter(|w| known_word(w).is_some());
    let errata = advisory.affected.iter().any(|a| {
        a.package
            .as_ref()
            .is_some_and(|p| matches!(scope::family(&p.ecosystem), "AlmaLinux" | "Rocky Linux" | "Red Hat"))
    });
    if let Some(w) = titled.filter(|_| errata) {
        advisory.severity.insert(0, Rating::label(w));
    }
    let stream = errata.then(|| module_stream(&advisory.summary)).flatten();
    for affected in &mut advisory.affected {
        for facts in [&affected.ecosystem_specific, &affected.database_specific] {
            if facts.get("urgency").and_then(Value::as_str) == Some("end-of-life") {
                affected.status = Some(Status::EndOfLife);
            }
        }
        let own = word(&affected.ecosystem_specific, &["urgency", "severity", "priority", "ubuntu_priority"])
            .or_else(|| word(&affected.database_specific, &["severity", "urgency"]));
        if let Some(w) = own {
            affected.severity.insert(0, Rating::label(w));
        }
        if affected.database_specific.get("informational").is_some_and(Value::is_string) {
            affected.severity.push(Rating::label("informational"));
        }
        for severity in advisory.severity.iter_mut().chain(&mut affected.severity) {
            if severity.kind == "Ubuntu" {
                severity.kind = "LABEL".into();
            }
        }
        let modular = affected.ranges.iter().flat_map(|r| &r.events).any(|e| e.version().contains(".module"));
        if modular && affected.module.is_none() {
            affected.module.clone_from(&stream);
        }
    }
}

/// `nodejs:18` from a title like `Important: nodejs:18 security update`.
fn module_stream(summary: &str) -> Option<String> {
    summary.split_whitespace().skip(1).find_map(|w| {
        let w = w.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let (name, stream) = w.split_once(':')?;
        let named = name.starts_with(|c: char| c.is_ascii_alphabetic());
        let plain =
            |t: &str| !t.is_empty() && t.chars().all(|c| c.is_ascii_alphanumeric() || "-._+".contains(c));
        (named && plain(name) && plain(stream)).then(|| w.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(bytes: &[u8]) -> Advisory {
        let mut out = None;
        json(bytes, &mut |item| {
            if let Item::Advisory(a) = item {
                out = Some(*a);
            }
        })
        .expect("record");
        out.expect("advisory")
    }

    /// The published form of GitHub's advisory database.
    const GHSA: &str = r#"{"schema_version":"1.4.0","id":"GHSA-29mw-wpgm-hmr9","modified":"2025-09-29T21:12:31Z",
      "published":"2022-01-06T20:30:46Z","aliases":["CVE-2020-28500"],"summary":"ReDoS in lodash","details":"x",
      "severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L"}],
      "affected":[{"package":{"ecosystem":"npm","name":"lodash"},"ranges":[{"type":"ECOSYSTEM",
        "events":[{"introduced":"4.0.0"},{"fixed":"4.17.21"}]}]}],
      "references":[{"type":"WEB","url":"https://example.org"}],
      "database_specific":{"cwe_ids":["CWE-1333"],"severity":"MODERATE","github_reviewed":true}}"#;

    #[test]
    fn github_record_keeps_its_word_before_its_vector() {
        let a = one(GHSA.as_bytes());
        assert_eq!((a.severity[0].kind.as_str(), a.severity[0].score.as_str()), ("LABEL", "MODERATE"));
        assert_eq!(a.affected[0].ranges[0].events.len(), 2);
    }

    #[test]
    fn debian_record_with_end_of_life_urgency_has_that_status() {
        let a = one(br#"{"id":"DEBIAN-CVE-2020-1","upstream":["CVE-2020-1"],"affected":[{"package":{"ecosystem":"Debian:11",
          "name":"x"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"}]}],
          "ecosystem_specific":{"urgency":"end-of-life"}}]}"#);
        assert_eq!(a.affected[0].status, Some(Status::EndOfLife));
    }

    #[test]
    fn module_stream_is_read_from_the_title() {
        assert_eq!(module_stream("Important: nodejs:18 security update").as_deref(), Some("nodejs:18"));
        assert_eq!(
            module_stream("Moderate: container-tools:rhel8 update").as_deref(),
            Some("container-tools:rhel8")
        );
        assert_eq!(module_stream("Moderate: libinput security update"), None);
    }

    #[test]
    fn null_members_are_empty() {
        let a = one(br#"{"id":"GO-1","modified":"x","aliases":null,"affected":null,"severity":null}"#);
        assert!(a.affected.is_empty() && a.aliases.is_empty());
    }
}
