//! ruby-advisory-db: `gems/*/*.yml` and `rubies/*/*.yml`.
//!
//! A document lists repaired and never affected versions; affected is what neither covers.

use super::{Refusal, Scalar, Sink, from_yaml};
use crate::advisory::import::Item;
use crate::advisory::requirement::VersionSet;
use crate::advisory::{Advisory, Affected, Rating, Reference, scope};
use serde::Deserialize;

#[derive(Deserialize)]
struct Document {
    gem: Option<String>,
    engine: Option<String>,
    library: Option<String>,
    cve: Option<Scalar>,
    osvdb: Option<Scalar>,
    ghsa: Option<Scalar>,
    url: Option<String>,
    title: Option<String>,
    date: Option<Scalar>,
    description: Option<String>,
    cvss_v2: Option<Scalar>,
    cvss_v3: Option<Scalar>,
    cvss_v4: Option<Scalar>,
    patched_versions: Option<Vec<Scalar>>,
    unaffected_versions: Option<Vec<Scalar>>,
    related: Option<Related>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Related {
    cve: Option<Vec<Scalar>>,
    url: Option<Vec<String>>,
}

pub(super) fn read(text: &str, name: &str, sink: Sink<'_>) -> Result<(), Refusal> {
    let d: Document = from_yaml(text)?;
    let (ecosystem, package) = match (&d.gem, d.engine.as_ref().or(d.library.as_ref())) {
        (Some(gem), _) => ("RubyGems", gem),
        (None, Some(engine)) => ("Ruby", engine),
        (None, None) => return Err(Refusal::new("neither gem nor engine named")),
    };
    let cve = d.cve.as_ref().map(|c| format!("CVE-{}", c.to_string().trim_start_matches("CVE-")));
    let ghsa = d.ghsa.as_ref().map(|g| format!("GHSA-{}", g.to_string().trim_start_matches("GHSA-")));
    let osvdb = d.osvdb.as_ref().map(|o| format!("OSVDB-{o}"));
    let file = name.rsplit('/').next().and_then(|n| n.split('.').next()).unwrap_or(name).to_owned();
    let mut names = [cve, ghsa, osvdb].into_iter().flatten();
    let id = names.next().unwrap_or(file);
    let scheme = scope::scheme("RubyGems");
    let requirements = |list: &Option<Vec<Scalar>>| -> Vec<String> {
        list.iter().flatten().map(|s| s.to_string().replace('\n', " ")).collect()
    };
    let (patched, unaffected) = (requirements(&d.patched_versions), requirements(&d.unaffected_versions));
    let safe = VersionSet::any(scheme, patched.iter().chain(&unaffected).map(String::as_str))
        .map_err(Refusal::from_error)?;
    let mut affected = Affected::new(ecosystem, package.as_str());
    affected.ranges = safe.not().ranges();
    let related = d.related.unwrap_or_default();
    let mut references: Vec<Reference> = d.url.into_iter().map(Reference::web).collect();
    references.extend(related.url.into_iter().flatten().map(Reference::web));
    let scores = [(d.cvss_v4, "CVSS_V4"), (d.cvss_v3, "CVSS_V3"), (d.cvss_v2, "CVSS_V2")];
    let severity = scores
        .into_iter()
        .filter_map(|(s, kind)| Some(Rating { kind: kind.into(), score: s?.to_string(), source: None }))
        .collect();
    sink(Item::Advisory(Box::new(Advisory {
        id,
        aliases: names.collect(),
        related: related.cve.into_iter().flatten().map(|c| format!("CVE-{c}")).collect(),
        published: d.date.map(|d| d.to_string()),
        summary: d.title.unwrap_or_default().trim().to_owned(),
        details: d.description.unwrap_or_default(),
        severity,
        affected: vec![affected],
        references,
        fragment: true,
        ..Advisory::default()
    })));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advisory::Event;

    #[test]
    fn affected_versions_are_those_neither_patched_nor_unaffected() {
        let text = "---\ngem: rack\ncve: 2020-8161\nghsa: 5f9h-9pjv-v6j7\ntitle: x\npatched_versions:\n  - \"~> 2.1.3\"\n  - \">= 2.2.0\"\nunaffected_versions:\n  - \"< 1.0\"\n";
        let mut out = Vec::new();
        read(text, "gems/rack/CVE-2020-8161.yml", &mut |i| out.push(i)).expect("document");
        let Some(Item::Advisory(a)) = out.pop() else { panic!("no advisory") };
        assert_eq!(
            (a.id.as_str(), a.aliases.as_slice()),
            ("CVE-2020-8161", &["GHSA-5f9h-9pjv-v6j7".to_owned()][..])
        );
        let events: Vec<_> = a.affected[0].ranges.iter().flat_map(|r| r.events.clone()).collect();
        // Pre-releases of 2.2 are no releases of 2.1, and before 2.2.0.
        let expected = [
            Event::Introduced("1.0".into()),
            Event::Fixed("2.1.3".into()),
            Event::Introduced("2.2.a".into()),
            Event::Fixed("2.2.0".into()),
        ];
        assert_eq!(events, expected);
    }
}
