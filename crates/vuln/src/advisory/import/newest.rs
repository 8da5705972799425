//! What is newest: lists of package URLs, and the published metadata of npm, PyPI and crates.io.
//!
//! A list has one `pkg:type/name@version` a line – the form for everything that has no public metadata, and for sites
//! that let mirrors tell. Pre-releases and withdrawn releases are nobody's newest; of several statements the greatest
//! version counts.

use super::{Item, Refusal, Sink, from_json};
use crate::Purl;
use crate::advisory::scope;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The newest version of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Newest {
    /// Canonical ecosystem.
    pub scope: String,
    /// Normalised name.
    pub name: String,
    /// Version.
    pub version: String,
}

fn item(ecosystem: &str, name: &str, version: &str) -> Item {
    let name = scope::normal_name(ecosystem, name).into_owned();
    Item::Newest(Newest { scope: ecosystem.to_owned(), name, version: version.to_owned() })
}

/// Package URLs, one a line; empty lines and lines with `#` first are comments.
pub(super) fn list(text: &str, sink: Sink<'_>) -> Result<(), Refusal> {
    for (number, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let refuse = |why: &str| Refusal::new(format!("line {}: {why}", number + 1));
        let package = Purl::parse(line).map_err(|error| refuse(&error.to_string()))?.to_package();
        let ecosystem = scope::language(package.kind)
            .ok_or_else(|| refuse("only packages of languages have one newest version"))?;
        if package.version.is_empty() {
            return Err(refuse("no version"));
        }
        sink(item(ecosystem, &scope::language_name(&package), &package.version));
    }
    Ok(())
}

#[derive(Deserialize)]
struct Packument {
    name: String,
    #[serde(rename = "dist-tags")]
    tags: BTreeMap<String, String>,
}

/// npm's document of a package.
pub(super) fn npm(bytes: &[u8], sink: Sink<'_>) -> Result<(), Refusal> {
    let document: Packument = from_json(bytes)?;
    let latest = document.tags.get("latest").ok_or_else(|| Refusal::new("no version is tagged latest"))?;
    sink(item("npm", &document.name, latest));
    Ok(())
}

#[derive(Deserialize)]
struct Project {
    info: ProjectInfo,
}

#[derive(Deserialize)]
struct ProjectInfo {
    name: String,
    version: String,
    #[serde(default)]
    yanked: bool,
}

/// PyPI's JSON document of a project.
pub(super) fn pypi(bytes: &[u8], sink: Sink<'_>) -> Result<(), Refusal> {
    let Project { info } = from_json(bytes)?;
    if !info.yanked {
        sink(item("PyPI", &info.name, &info.version));
    }
    Ok(())
}

#[derive(Deserialize)]
struct Release {
    name: String,
    vers: String,
    #[serde(default)]
    yanked: bool,
}

/// A line of crates.io's index.
pub(super) fn cargo(bytes: &[u8], sink: Sink<'_>) -> Result<(), Refusal> {
    let release: Release = from_json(bytes)?;
    let plain = release.vers.split('+').next().unwrap_or_default();
    if !release.yanked && !plain.contains('-') {
        sink(item("crates.io", &release.name, &release.vers));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{ImportLimits, import};
    use super::*;

    /// What a document of this name states: `scope name version`; panics if it is refused.
    fn stated(name: &str, content: &str) -> Vec<String> {
        let mut out = Vec::new();
        let mut sink = |item: Item| {
            if let Item::Newest(n) = item {
                out.push(format!("{} {} {}", n.scope, n.name, n.version));
            }
        };
        let stats = import(name, content.as_bytes(), &ImportLimits::default(), &mut sink).expect("import");
        assert_eq!((stats.documents, stats.refused), (1, 0), "{:?}", stats.refusals);
        out
    }

    #[test]
    fn every_form_is_recognised_and_read() {
        let list =
            "# of our mirror\n\npkg:npm/%40scope/a@1.0.0\npkg:pypi/Zope.Interface@7.0\npkg:maven/g/a@2\n";
        assert_eq!(
            stated("newest.txt", list),
            ["npm @scope/a 1.0.0", "PyPI zope-interface 7.0", "Maven g:a 2"]
        );
        let npm = r#"{"_id":"left-pad","name":"left-pad","dist-tags":{"latest":"1.3.0","next":"2.0.0-rc"},
            "versions":{"1.3.0":{"name":"left-pad","version":"1.3.0"}},"time":{"modified":"2019-01-01T00:00:00Z"}}"#;
        assert_eq!(stated("left-pad.json", npm), ["npm left-pad 1.3.0"]);
        let pypi = r#"{"info":{"name":"Flask","version":"3.1.2","yanked":false},"last_serial":1,
            "releases":{},"urls":[],"vulnerabilities":[]}"#;
        assert_eq!(stated("flask.json", pypi), ["PyPI flask 3.1.2"]);
        let line = |version: &str, yanked: bool| {
            format!(
                r#"{{"name":"serde","vers":"{version}","deps":[],"cksum":"","features":{{}},"yanked":{yanked}}}"#
            )
        };
        let index = [line("1.0.1", false), line("1.0.3", true), line("2.0.0-rc.1", false)].join("\n");
        assert_eq!(stated("serde", &index), ["crates.io serde 1.0.1"]);
    }

    #[test]
    fn a_list_says_which_line_is_wrong() {
        for (text, place) in [
            ("pkg:npm/a@1\nnonsense\n", "line 2"),
            ("pkg:npm/a\n", "line 1"),
            ("pkg:deb/debian/a@1\n", "line 1"),
        ] {
            let stats =
                import("a.txt", text.as_bytes(), &ImportLimits::default(), &mut |_| {}).expect("import");
            assert_eq!(stats.refused, 1, "{text}");
            assert!(stats.refusals[0].1.starts_with(place), "{:?}", stats.refusals);
        }
    }
}
