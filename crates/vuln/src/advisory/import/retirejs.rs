//! RetireJS: `jsrepository*.json`, vulnerabilities of JavaScript libraries by their popular name.
//!
//! A range is `atOrAbove` (included) to `below` (not included). Only libraries that name their npm package have a place;
//! what is told of the others is counted as skipped, as is a range that is none of npm's. A bound of nines is no
//! release: `999.999.999` is no end, `2.999.999` ends what is said without being the repair.

use super::{Item, Refusal, Sink, from_json, is_cve};
use crate::advisory::requirement::VersionSet;
use crate::advisory::{Advisory, Affected, Event, Rating, Reference};
use crate::version::Scheme;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::mem::take;

#[derive(Deserialize)]
struct Library {
    npmname: Option<String>,
    vulnerabilities: Vec<Vulnerability>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Vulnerability {
    /// The one range of the forms that scanners read.
    #[serde(flatten)]
    range: Span,
    /// The ranges of the form that people write.
    ranges: Option<Vec<Span>>,
    severity: Option<String>,
    cwe: Vec<String>,
    identifiers: Identifiers,
    summary: Option<String>,
    details: Option<String>,
    info: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Span {
    at_or_above: Option<String>,
    below: Option<String>,
    excludes: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Identifiers {
    #[serde(rename = "CVE")]
    cve: Vec<String>,
    #[serde(rename = "githubID")]
    github: Option<String>,
    summary: Option<String>,
    /// Numbers in places that have no common names: `issue`, `bug`, `PR`, `retid` (RetireJS's own).
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// Reads one repository and answers how many ranges were skipped.
pub(super) fn read(bytes: &[u8], sink: Sink<'_>) -> Result<u64, Refusal> {
    let mut document: BTreeMap<String, Value> = from_json(bytes)?;
    // Some forms have a second part, addresses that deliver malicious scripts.
    let libraries = match document.remove("advisories") {
        Some(Value::Object(advisories)) if !advisories.contains_key("vulnerabilities") => {
            advisories.into_iter().collect()
        }
        Some(library) => {
            document.insert("advisories".to_owned(), library);
            document
        }
        None => document,
    };
    let mut skipped = 0;
    for (name, library) in libraries {
        let library: Library = serde_json::from_value(library)
            .map_err(|error| Refusal::new(format!("library {name}: {}", Refusal::from_error(error))))?;
        for mut vulnerability in library.vulnerabilities {
            let spans = vulnerability.ranges.take().unwrap_or_else(|| vec![take(&mut vulnerability.range)]);
            let Some(package) = &library.npmname else {
                skipped += spans.len();
                continue;
            };
            let mut affected = Affected::new("npm", package);
            let kept = spans.iter().filter(|span| affect(&mut affected, span).is_some()).count();
            let list = if kept > 0 { advisories(package, vulnerability, &affected) } else { Vec::new() };
            let placed = if list.is_empty() { 0 } else { kept };
            skipped += spans.len() - placed;
            list.into_iter().for_each(|a| sink(Item::Advisory(Box::new(a))));
        }
    }
    Ok(skipped as u64)
}

/// What is said of a vulnerability: one advisory, or one for each CVE where nothing else names them all; none if
/// nothing names it.
fn advisories(package: &str, v: Vulnerability, affected: &Affected) -> Vec<Advisory> {
    let cves: Vec<String> = v.identifiers.cve.iter().filter(|c| is_cve(c)).cloned().collect();
    let summary = v.summary.or_else(|| v.identifiers.summary.clone()).unwrap_or_default();
    let advisory = |id: String| Advisory {
        id,
        summary: summary.trim().to_owned(),
        details: v.details.clone().unwrap_or_default(),
        severity: v.severity.clone().map(Rating::label).into_iter().collect(),
        affected: vec![affected.clone()],
        references: v.info.iter().map(Reference::web).collect(),
        database_specific: json!({"cwe_ids": v.cwe}),
        // The forms that scanners read repeat a vulnerability for each of its ranges.
        fragment: true,
        ..Advisory::default()
    };
    match (&v.identifiers.github, cves.as_slice()) {
        (Some(github), [cve]) => vec![Advisory { aliases: vec![cve.clone()], ..advisory(github.clone()) }],
        (Some(github), _) => vec![Advisory { upstream: cves, ..advisory(github.clone()) }],
        (None, []) => own_id(package, &v.identifiers.others).map(advisory).into_iter().collect(),
        (None, _) => cves.into_iter().map(advisory).collect(),
    }
}

/// A name for what nobody else has named.
fn own_id(package: &str, others: &BTreeMap<String, Value>) -> Option<String> {
    let of = |kind: &str| {
        let value = match others.get(kind)? {
            Value::Array(list) => list.first()?,
            value => value,
        };
        value.as_str()
    };
    if let Some(number) = of("retid") {
        return Some(format!("RETIREJS-{number}"));
    }
    let kind =
        ["issue", "bug", "PR", "osvdb", "tenable", "gist"].into_iter().find(|kind| of(kind).is_some())?;
    Some(format!("RETIREJS-{package}-{kind}-{}", of(kind)?))
}

/// Adds a range to what is affected; `None` if a bound is no version of npm or nothing lies between them.
fn affect(affected: &mut Affected, span: &Span) -> Option<()> {
    let mut set = VersionSet::all(Scheme::Npm);
    let mut narrow = |operator: &str, version: &str| {
        set = set.and(&VersionSet::parse(Scheme::Npm, &format!("{operator}{version}")).ok()?);
        Some(())
    };
    if let Some(version) = span.at_or_above.as_deref().filter(|v| *v != "0") {
        narrow(">=", &npm_version(version)?)?;
    }
    let mut repair = None;
    if let Some(version) = span.below.as_deref().filter(|v| !v.split('.').next().is_some_and(is_nines)) {
        let end = npm_version(version)?;
        narrow("<", &end)?;
        repair = Some(end).filter(|_| !version.split('.').any(is_nines));
    }
    // One that is not understood is no reason to pass the whole range over.
    for excluded in span.excludes.iter().filter_map(|text| npm_version(text)) {
        narrow("!=", &excluded)?;
    }
    if set.is_empty() {
        return None;
    }
    if !span.excludes.is_empty() {
        affected.fixed.extend(repair.clone());
    }
    for mut range in set.ranges() {
        for event in &mut range.events {
            if let Event::Fixed(end) = event
                && Some(&*end) != repair.as_ref()
            {
                *event = Event::Limit(take(end));
            }
        }
        affected.ranges.push(range);
    }
    Some(())
}

fn is_nines(part: &str) -> bool {
    part.len() >= 3 && part.bytes().all(|b| b == b'9')
}

/// A version as npm would have it: three numbers, and what follows them as a pre-release (`1.9.0b1`, `3.0.RC3`).
fn npm_version(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let mut numbers: Vec<&str> = numbers.trim_end_matches('.').split('.').collect();
    if numbers.len() > 3 || numbers.iter().any(|n| n.is_empty()) {
        return None;
    }
    numbers.resize(3, "0");
    let numbers = numbers.join(".");
    match rest.trim_start_matches('-') {
        "" if rest.is_empty() => Some(numbers),
        "" => None,
        pre => Some(format!("{numbers}-{pre}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ImportLimits, ImportStats, import};
    use super::*;
    use crate::advisory::Event::{Fixed, Introduced, IntroducedAfter, Limit};

    fn feed(name: &str, document: &Value) -> (Vec<Advisory>, ImportStats) {
        let mut out = Vec::new();
        let mut sink = |item: Item| {
            if let Item::Advisory(a) = item {
                out.push(*a);
            }
        };
        let text = document.to_string();
        let stats = import(name, text.as_bytes(), &ImportLimits::default(), &mut sink).expect("import");
        (out, stats)
    }

    fn library(npm: Option<&str>, vulnerabilities: &Value) -> Value {
        let mut library = json!({"vulnerabilities": vulnerabilities, "extractors": {"func": ["x.version"]}});
        if let Some(npm) = npm {
            library["npmname"] = npm.into();
        }
        library
    }

    fn vulnerability(members: &Value) -> Value {
        let mut out = json!({"severity": "low", "cwe": ["CWE-79"], "info": ["https://example.org/1"],
            "identifiers": {"CVE": ["CVE-2020-0001"]}});
        out.as_object_mut().expect("object").extend(members.as_object().expect("object").clone());
        out
    }

    /// What is said of the one vulnerability with these members.
    fn one(members: &Value) -> Vec<Advisory> {
        let document = json!({"x": library(Some("x-npm"), &json!([vulnerability(members)]))});
        let (found, stats) = feed("jsrepository.json", &document);
        assert_eq!((stats.documents, stats.refused, stats.skipped), (1, 0, 0), "{:?}", stats.refusals);
        found
    }

    fn events(members: &Value) -> Vec<Vec<Event>> {
        one(members)[0].affected[0].ranges.iter().map(|r| r.events.clone()).collect()
    }

    #[test]
    fn ranges_begin_at_and_end_before_their_bounds() {
        let at = |v: &str| v.to_owned();
        let start = Introduced(at("0"));
        let cases = [
            (
                json!({"atOrAbove": "1.2.1", "below": "1.9"}),
                vec![Introduced(at("1.2.1")), Fixed(at("1.9.0"))],
            ),
            (json!({"atOrAbove": "0", "below": "1.9.0b1"}), vec![start.clone(), Fixed(at("1.9.0-b1"))]),
            (json!({"below": "4.0.0-rc.2"}), vec![start.clone(), Fixed(at("4.0.0-rc.2"))]),
            // Nines are no release: nothing repairs it.
            (json!({"atOrAbove": "1.7.0", "below": "999.999.999"}), vec![Introduced(at("1.7.0"))]),
            (json!({"below": "2.999.999"}), vec![start.clone(), Limit(at("2.999.999"))]),
            (json!({"below": "1.999"}), vec![start.clone(), Limit(at("1.999.0"))]),
            (json!({"atOrAbove": "0", "below": "999.0.0"}), vec![start]),
        ];
        for (members, expected) in cases {
            assert_eq!(events(&members), [expected], "{members}");
        }
        let two = json!({"ranges": [{"below": "1.0.0"}, {"atOrAbove": "2.0.0", "below": "2.3.4"}]});
        assert_eq!(
            events(&two),
            [[Introduced(at("0")), Fixed(at("1.0.0"))], [Introduced(at("2.0.0")), Fixed(at("2.3.4"))]]
        );
    }

    #[test]
    fn an_excluded_version_is_neither_affected_nor_a_repair() {
        let at = |v: &str| v.to_owned();
        let members =
            json!({"atOrAbove": "1.12.3", "below": "3.0.0-beta1", "excludes": ["1.12.4-aem", "9.0.0"]});
        let found = one(&members);
        let affected = &found[0].affected[0];
        assert_eq!(affected.ranges[0].events, [Introduced(at("1.12.3")), Limit(at("1.12.4-aem"))]);
        assert_eq!(affected.ranges[1].events, [IntroducedAfter(at("1.12.4-aem")), Fixed(at("3.0.0-beta1"))]);
        assert_eq!((affected.ranges.len(), affected.fixed.as_slice()), (2, &[at("3.0.0-beta1")][..]));
    }

    #[test]
    fn a_vulnerability_has_the_names_that_others_give_it() {
        let named = |identifiers: Value| -> Vec<(String, Vec<String>, Vec<String>)> {
            let found = one(&json!({"below": "1.0.0", "identifiers": identifiers}));
            found.into_iter().map(|a| (a.id, a.aliases, a.upstream)).collect()
        };
        let plain = |id: &str| (id.to_owned(), Vec::new(), Vec::new());
        let (github, cves) =
            ("GHSA-2222-3333-4444", ["CVE-2014-5326".to_owned(), "CVE-2014-5325".to_owned()]);
        assert_eq!(
            named(json!({"githubID": github, "CVE": [cves[0]], "retid": "9"})),
            [(github.to_owned(), vec![cves[0].clone()], Vec::new())]
        );
        // Two CVEs are two vulnerabilities, never names of one.
        assert_eq!(
            named(json!({"githubID": github, "CVE": cves})),
            [(github.to_owned(), Vec::new(), cves.to_vec())]
        );
        assert_eq!(named(json!({"CVE": cves})), [plain(&cves[0]), plain(&cves[1])]);
        assert_eq!(named(json!({"githubID": github})), [plain(github)]);
        assert_eq!(named(json!({"retid": "73", "issue": "162"})), [plain("RETIREJS-73")]);
        assert_eq!(named(json!({"issue": "11974"})), [plain("RETIREJS-x-npm-issue-11974")]);
        assert_eq!(named(json!({"osvdb": ["94563"]})), [plain("RETIREJS-x-npm-osvdb-94563")]);
    }

    #[test]
    fn every_form_is_recognised_and_what_has_no_place_is_counted() {
        let old = vulnerability(&json!({"below": "1.0.0", "severity": "high",
            "identifiers": {"summary": " A title ", "githubID": "GHSA-2222-3333-4444"}}));
        let new =
            vulnerability(&json!({"ranges": [{"below": "1.0.0"}], "severity": "high", "summary": "A title",
            "identifiers": {"githubID": "GHSA-2222-3333-4444"}}));
        for known in [old, new] {
            let libraries = json!({
                "no-package": library(None, &json!([known, known])),
                "x.js": library(Some("x-npm"), &json!([
                    known,
                    vulnerability(&json!({"below": "1.2.3.4"})),
                    // The release lies behind its candidates: nothing is between them.
                    vulnerability(&json!({"atOrAbove": "3", "below": "3.0.RC3"})),
                    vulnerability(&json!({"below": "2.0.0", "identifiers": {"summary": "nameless"}})),
                ])),
            });
            let combined =
                json!({"advisories": libraries, "backdoored": {"example.org": [{"summary": "x"}]}});
            for (name, document) in [("jsrepository-v4.json", &libraries), ("combined.json", &combined)] {
                let (found, stats) = feed(name, document);
                assert_eq!(
                    (stats.documents, stats.refused, stats.skipped),
                    (1, 0, 5),
                    "{:?}",
                    stats.refusals
                );
                assert_eq!(found.len(), 1);
                let a = &found[0];
                assert_eq!(
                    (a.summary.as_str(), a.severity.as_slice()),
                    ("A title", &[Rating::label("high")][..])
                );
                let package = a.affected[0].package.as_ref().expect("package");
                assert_eq!((package.ecosystem.as_str(), package.name.as_str()), ("npm", "x-npm"));
                assert_eq!(a.database_specific, json!({"cwe_ids": ["CWE-79"]}));
                assert_eq!(a.references, [Reference::web("https://example.org/1")]);
            }
        }
    }

    #[test]
    fn a_range_without_place_does_not_take_the_others_with_it() {
        let spans = json!([{"below": "2.0.11"}, {"atOrAbove": "3", "below": "3.0.RC3"}]);
        let document =
            json!({"x": library(Some("x-npm"), &json!([vulnerability(&json!({"ranges": spans}))]))});
        let (found, stats) = feed("jsrepository.json", &document);
        assert_eq!((found.len(), stats.skipped), (1, 1));
        assert_eq!(found[0].affected[0].ranges.len(), 1);
    }

    #[test]
    fn ranges_of_one_vulnerability_that_stand_apart_are_all_kept() {
        let part = |above: &str, below: &str| vulnerability(&json!({"atOrAbove": above, "below": below}));
        let document =
            json!({"x": library(Some("x-npm"), &json!([part("1.0.0", "1.1.0"), part("2.0.0", "2.1.0")]))});
        let (found, _) = feed("jsrepository.json", &document);
        assert!(found.len() == 2 && found.iter().all(|a| a.fragment && a.id == "CVE-2020-0001"));
    }
}
