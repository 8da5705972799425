//! RustSec/advisory-db: `crates/*/RUSTSEC-*.md` and `rust/*/CVE-*.md`, Markdown behind a fence of TOML.
//!
//! A document lists repaired and never affected versions as Cargo's requirements; affected is what neither covers. Its
//! meaning is that of the project's own OSV export, which [`osv`] reads: `^1.2` ends at `2.0.0-0`, before every
//! pre-release of 2.0.0, and all other bounds are taken as they are written.

use super::{Refusal, Sink, osv};
use crate::advisory::requirement::{MAX_TERMS, VersionSet};
use crate::advisory::{Advisory, Affected, AffectedPackage, Rating, Reference};
use crate::version::Scheme;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// Identifier of the repository's example of an advisory, which is none.
const EXAMPLE: &str = "RUSTSEC-0000-0000";

/// First line of a document.
pub(super) const FENCE: &str = "```toml";

#[derive(Deserialize)]
struct Front {
    advisory: Facts,
    versions: Versions,
    #[serde(default)]
    affected: Where,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Facts {
    id: String,
    package: String,
    date: String,
    withdrawn: Option<String>,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    related: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
    cvss: Option<String>,
    informational: Option<String>,
    url: Option<String>,
    #[serde(default)]
    references: Vec<String>,
    license: Option<String>,
}

#[derive(Deserialize)]
struct Versions {
    patched: Vec<String>,
    #[serde(default)]
    unaffected: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Where {
    arch: Vec<String>,
    os: Vec<String>,
    functions: BTreeMap<String, Vec<String>>,
}

/// Reads one document and answers how many vulnerabilities were skipped.
pub(super) fn read(text: &str, name: &str, sink: Sink<'_>) -> Result<u64, Refusal> {
    let (front, body) = text
        .trim_start()
        .strip_prefix(FENCE)
        .and_then(|rest| rest.split_once("\n```"))
        .ok_or_else(|| Refusal::new("the fence of TOML has no end"))?;
    let Front { advisory: facts, versions, affected: place } =
        toml::from_str(front.trim_end()).map_err(Refusal::from_error)?;
    if facts.id == EXAMPLE {
        return Ok(1);
    }
    let crates = facts.id.starts_with("RUSTSEC-") && !is_toolchain(name);
    let mut affected = Affected::new(if crates { "crates.io" } else { "Rust" }, facts.package.as_str());
    if let Some(AffectedPackage { purl, .. }) = affected.package.as_mut().filter(|_| crates) {
        *purl = Some(format!("pkg:cargo/{}", facts.package));
    }
    if versions.patched.len() + versions.unaffected.len() > MAX_TERMS {
        return Err(Refusal::new("too many requirements"));
    }
    let mut open = VersionSet::all(Scheme::Semver);
    for requirement in versions.patched.iter().chain(&versions.unaffected) {
        let safe = covered(requirement)
            .ok_or_else(|| Refusal::new(format!("requirement {requirement:?} cannot be read")))?;
        open = open.and(&safe.not());
    }
    affected.ranges = open.ranges();
    affected.ecosystem_specific = json!({"affects": {
        "arch": place.arch, "os": place.os, "functions": place.functions.keys().collect::<Vec<_>>()}});
    affected.database_specific = json!({
        "categories": facts.categories, "cvss": facts.cvss, "informational": facts.informational});
    let noon = |day: &str| format!("{day}T12:00:00Z");
    let (summary, details) = titled(body);
    let mut references = Vec::new();
    if crates {
        references.push(Reference {
            kind: "ADVISORY".into(),
            url: format!("https://rustsec.org/advisories/{}.html", facts.id),
        });
    }
    references.extend(facts.url.into_iter().chain(facts.references).map(Reference::web));
    osv::accept(
        Advisory {
            id: facts.id,
            published: Some(noon(&facts.date)),
            withdrawn: facts.withdrawn.as_deref().map(noon),
            aliases: facts.aliases,
            related: facts.related,
            summary: summary.to_owned(),
            details: details.to_owned(),
            severity: facts.cvss.into_iter().map(Rating::vector).collect(),
            affected: vec![affected],
            references,
            database_specific: json!({"license": facts.license.as_deref().unwrap_or("CC0-1.0")}),
            ..Advisory::default()
        },
        sink,
    )?;
    Ok(0)
}

/// Whether a document's place is the collection of what comes with the compiler: `rust/std/…`.
fn is_toolchain(name: &str) -> bool {
    name.rsplit('/').nth(2) == Some("rust")
}

/// Title and text of the Markdown behind the front matter.
fn titled(body: &str) -> (&str, &str) {
    let body = body.trim();
    match body.strip_prefix("# ").map(|rest| rest.split_once('\n').unwrap_or((rest, ""))) {
        Some((title, rest)) => (title.trim(), rest.trim()),
        None => ("", body),
    }
}

/// The versions that one of Cargo's requirements covers; comparators separated by commas must all hold.
fn covered(text: &str) -> Option<VersionSet> {
    let mut set = VersionSet::all(Scheme::Semver);
    for comparator in text.split(',').map(str::trim) {
        let at = comparator.find(|c: char| !"<>=^~".contains(c))?;
        let (operator, version) = (&comparator[..at], comparator[at..].trim());
        let (numbers, full) = whole(version)?;
        let plain = match operator {
            "" | "^" => {
                let last = numbers.len() - 1;
                let at = numbers.iter().position(|n| *n != 0).unwrap_or(last);
                format!(">={full},<{}", successor(&numbers, at)?)
            }
            "~" => format!(">={full},<{}", successor(&numbers, 1.min(numbers.len() - 1))?),
            "=" | "<" | "<=" | ">" | ">=" => format!("{operator}{full}"),
            _ => return None,
        };
        set = set.and(&VersionSet::parse(Scheme::Semver, &plain).ok()?);
    }
    Some(set)
}

/// The numbers as written (one to three), and the version with all three of them.
fn whole(version: &str) -> Option<(Vec<u64>, String)> {
    let end = version.find(['-', '+']).unwrap_or(version.len());
    let numbers: Vec<u64> = version[..end].split('.').map(|n| n.parse().ok()).collect::<Option<_>>()?;
    if numbers.len() > 3 || (numbers.len() < 3 && end < version.len()) {
        return None;
    }
    let part = |at: usize| numbers.get(at).copied().unwrap_or_default();
    let full = format!("{}.{}.{}{}", part(0), part(1), part(2), &version[end..]);
    Some((numbers, full))
}

/// The very first version after all that begin with the numbers up to place `at`: `2.0.0-0` after those of `1`.
fn successor(numbers: &[u64], at: usize) -> Option<String> {
    let mut parts = [0; 3];
    parts[..at].copy_from_slice(&numbers[..at]);
    parts[at] = numbers[at].checked_add(1)?;
    Some(format!("{}.{}.{}-0", parts[0], parts[1], parts[2]))
}

#[cfg(test)]
mod tests {
    use super::super::{ImportLimits, Item, import};
    use super::*;
    use crate::advisory::Event::{self, Fixed, Introduced, IntroducedAfter, LastAffected};

    fn document(id: &str, facts: &str, versions: &str) -> String {
        format!(
            "{FENCE}\n[advisory]\nid = \"{id}\"\npackage = \"fancy\"\ndate = \"2021-06-16\"\n{facts}\n\
             [versions]\n{versions}\n\n[affected]\nos = [\"windows\"]\n\n[affected.functions]\n\
             \"fancy::f\" = [\"< 2\"]\n```\n\n# A `title`\n\nText.\n"
        )
    }

    fn one(name: &str, text: &str) -> Advisory {
        let mut out = None;
        let mut sink = |item: Item| {
            if let Item::Advisory(a) = item {
                out = Some(*a);
            }
        };
        let stats = import(name, text.as_bytes(), &ImportLimits::default(), &mut sink).expect("import");
        assert_eq!((stats.documents, stats.refused), (1, 0), "{:?}", stats.refusals);
        out.expect("advisory")
    }

    fn events(versions: &str) -> Vec<Event> {
        let a = one("x.md", &document("RUSTSEC-2021-0001", "", versions));
        a.affected[0].ranges.iter().flat_map(|r| r.events.clone()).collect()
    }

    #[test]
    fn members_have_the_meaning_of_the_projects_own_export() {
        let facts = "aliases = [\"CVE-2021-38512\", \"GHSA-8928-2fgm-6x9x\"]\nrelated = [\"CVE-2021-1\"]\n\
            cvss = \"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N\"\ninformational = \"unsound\"\n\
            url = \"https://example.org/1\"\nexpect-deleted = true";
        let text = document("RUSTSEC-2021-0081", facts, "patched = [\">= 1.0\"]");
        let a = one("crates/fancy/RUSTSEC-2021-0081.md", &text);
        assert_eq!(one("x.md", &text.replace('\n', "\r\n")), a);
        assert_eq!((a.id.as_str(), a.withdrawn), ("RUSTSEC-2021-0081", None));
        assert_eq!(a.aliases, ["CVE-2021-38512", "GHSA-8928-2fgm-6x9x"]);
        assert_eq!(a.related, ["CVE-2021-1"]);
        assert_eq!((a.summary.as_str(), a.details.as_str()), ("A `title`", "Text."));
        assert_eq!(a.published.as_deref(), Some("2021-06-16T12:00:00Z"));
        assert_eq!(a.severity, [Rating::vector("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N")]);
        assert_eq!(a.affected[0].severity, [Rating::label("informational")]);
        assert_eq!(
            a.affected[0].ecosystem_specific,
            json!({"affects": {"arch": [], "os": ["windows"], "functions": ["fancy::f"]}})
        );
        let package = a.affected[0].package.clone().expect("package");
        assert_eq!((package.ecosystem.as_str(), package.name.as_str()), ("crates.io", "fancy"));
        assert_eq!(a.references[1], Reference::web("https://example.org/1"));
    }

    #[test]
    fn what_was_withdrawn_says_so() {
        let a = one(
            "x.md",
            &document("RUSTSEC-2021-0081", "withdrawn = \"2021-07-01\"", "patched = [\">= 1.0\"]"),
        );
        assert_eq!(a.withdrawn.as_deref(), Some("2021-07-01T12:00:00Z"));
    }

    #[test]
    fn the_compilers_own_parts_are_no_crates() {
        let text = document("CVE-2015-20001", "", "patched = [\">= 1.2.0\"]");
        for name in ["rust/fancy/CVE-2015-20001.md", "db/rust/fancy/CVE-2015-20001.md", "CVE-2015-20001.md"] {
            let a = one(name, &text);
            assert_eq!(a.affected[0].package.as_ref().map(|p| p.ecosystem.as_str()), Some("Rust"), "{name}");
        }
        let a = one("rust/fancy/x.md", &document("RUSTSEC-2021-0001", "", "patched = []"));
        assert_eq!(a.affected[0].package.as_ref().map(|p| p.ecosystem.as_str()), Some("Rust"));
    }

    #[test]
    fn bounds_are_those_that_cargo_means() {
        let at = |v: &str| v.to_owned();
        assert_eq!(events("patched = []"), [Introduced(at("0"))]);
        // A caret ends before the pre-releases of the next version that breaks: those are affected.
        assert_eq!(
            events("patched = [\"^ 2.2.1\", \">= 3.0.0-beta.9\"]\nunaffected = [\"< 1.0\"]"),
            [
                Introduced(at("1.0.0")),
                Fixed(at("2.2.1")),
                Introduced(at("3.0.0-0")),
                Fixed(at("3.0.0-beta.9"))
            ]
        );
        assert_eq!(
            events("patched = [\"0.3.1\", \"^0.0.7\"]"),
            [
                Introduced(at("0")),
                Fixed(at("0.0.7")),
                Introduced(at("0.0.8-0")),
                Fixed(at("0.3.1")),
                Introduced(at("0.4.0-0"))
            ]
        );
        assert_eq!(
            events("patched = [\"~1.2.3\", \">=2\"]"),
            [Introduced(at("0")), Fixed(at("1.2.3")), Introduced(at("1.3.0-0")), Fixed(at("2.0.0"))]
        );
        assert_eq!(
            events("patched = [\"> 0.3.2\"]\nunaffected = [\"<= 0.1.2\"]"),
            [IntroducedAfter(at("0.1.2")), LastAffected(at("0.3.2"))]
        );
        assert_eq!(
            events("patched = [\">= 1.2.3, < 1.3.0\", \"< 2.0, >= 1.5\"]\nunaffected = [\"=0.2.0\"]"),
            [
                Introduced(at("0")),
                Fixed(at("0.2.0")),
                IntroducedAfter(at("0.2.0")),
                Fixed(at("1.2.3")),
                Introduced(at("1.3.0")),
                Fixed(at("1.5.0")),
                Introduced(at("2.0.0"))
            ]
        );
    }

    #[test]
    fn what_is_no_advisory_is_refused_or_passed_over() {
        let whole = document("RUSTSEC-2021-0001", "", "patched = [\">= 1.0\"]");
        let unfenced = whole.replace("\n```\n", "\n");
        let wildcard = document("RUSTSEC-2021-0001", "", "patched = [\"1.*\"]");
        let silent = document("RUSTSEC-2021-0001", "", "unaffected = [\"< 1\"]");
        for text in [unfenced, wildcard, silent, format!("{FENCE}\n[advisory]\n```\n")] {
            let stats =
                import("x.md", text.as_bytes(), &ImportLimits::default(), &mut |_| {}).expect("import");
            assert_eq!((stats.items, stats.refused), (0, 1), "{text}");
        }
        let example = document(EXAMPLE, "", "patched = []");
        let stats =
            import("x.md", example.as_bytes(), &ImportLimits::default(), &mut |_| {}).expect("import");
        assert_eq!((stats.items, stats.refused, stats.skipped), (0, 0, 1));
        let other = "```toml\n[package]\nname = \"x\"\n```\n";
        let stats =
            import("README.md", other.as_bytes(), &ImportLimits::default(), &mut |_| {}).expect("import");
        assert_eq!((stats.documents, stats.ignored), (0, 1));
    }

    proptest::proptest! {
        #[test]
        fn no_requirement_panics(text in "[<>=^~, ]{0,3}[0-9.*]{0,24}[-+a-z0-9.,]{0,8}") {
            let _ = covered(&text);
        }
    }
}
