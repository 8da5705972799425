//! Node.js security working group: `vuln/npm/*.json` and `vuln/core/*.json`.

use super::{Item, Refusal, Sink, from_json};
use crate::advisory::requirement::VersionSet;
use crate::advisory::{Advisory, Affected, Rating, Reference, scope};
use serde::Deserialize;
use serde_json::Value;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Document {
    id: Value,
    title: Option<String>,
    overview: Option<String>,
    module_name: Option<String>,
    created_at: Option<String>,
    publish_date: Option<String>,
    updated_at: Option<String>,
    cves: Option<Vec<String>>,
    cve: Value,
    vulnerable_versions: Option<String>,
    patched_versions: Option<String>,
    vulnerable: Option<String>,
    patched: Option<String>,
    references: Value,
    #[serde(rename = "ref")]
    reference: Option<String>,
    cvss_vector: Option<String>,
    severity: Option<String>,
}

pub(super) fn read(bytes: &[u8], name: &str, sink: Sink<'_>) -> Result<(), Refusal> {
    let d: Document = from_json(bytes)?;
    let core = d.module_name.is_none();
    let (ecosystem, package) = ("npm", d.module_name.as_deref().unwrap_or("node"));
    let scheme = scope::scheme(ecosystem);
    let parse = |text: &Option<String>| -> Result<Option<VersionSet>, Refusal> {
        match text.as_deref().map(str::trim) {
            None | Some("" | "<0.0.0" | "<=99.999.99999 <0.0.0") => Ok(None),
            Some(t) => VersionSet::parse(scheme, t).map(Some).map_err(Refusal::from_error),
        }
    };
    let vulnerable = parse(if core { &d.vulnerable } else { &d.vulnerable_versions })?;
    let patched = parse(if core { &d.patched } else { &d.patched_versions })?;
    let set = match (vulnerable, patched) {
        (Some(v), Some(p)) => v.and(&p.not()),
        (Some(v), None) => v,
        (None, Some(p)) => p.not(),
        (None, None) => VersionSet::all(scheme),
    };
    let mut affected = Affected::new(if core { "Node.js" } else { ecosystem }, package);
    affected.ranges = set.ranges();
    let number = match &d.id {
        Value::Number(n) => n.to_string(),
        Value::String(s) => s.clone(),
        _ => name.rsplit('/').next().and_then(|n| n.split('.').next()).unwrap_or(name).to_owned(),
    };
    let mut cves = d.cves.unwrap_or_default();
    match d.cve {
        Value::String(s) => cves.push(s),
        Value::Array(list) => cves.extend(list.iter().filter_map(Value::as_str).map(str::to_owned)),
        _ => {}
    }
    let links = match &d.references {
        Value::Array(list) => list.iter().filter_map(Value::as_str).map(Reference::web).collect(),
        Value::String(text) => {
            text.split_whitespace().filter(|w| w.starts_with("http")).map(Reference::web).collect()
        }
        _ => Vec::new(),
    };
    let vector = d.cvss_vector.filter(|v| v.starts_with("CVSS:") || v.starts_with("AV:"));
    sink(Item::Advisory(Box::new(Advisory {
        id: format!("{}-{number}", if core { "NODE-CORE" } else { "NSWG-ECO" }),
        aliases: cves.into_iter().filter(|c| super::is_cve(c)).collect(),
        published: d.publish_date.or(d.created_at),
        modified: d.updated_at.unwrap_or_default(),
        summary: d.title.unwrap_or_default(),
        details: d.overview.unwrap_or_default(),
        severity: d.severity.map(Rating::label).into_iter().chain(vector.map(Rating::vector)).collect(),
        affected: vec![affected],
        references: d.reference.into_iter().map(Reference::web).chain(links).collect(),
        ..Advisory::default()
    })));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advisory::Event;

    #[test]
    fn vulnerable_versions_are_ranges() {
        let text = br#"{"id":42,"title":"t","module_name":"hawk","publish_date":"2016-01-19","cves":["CVE-2016-2515"],
          "vulnerable_versions":"< 3.1.3  || >= 4.0.0 <4.1.1","patched_versions":">=3.1.3 < 4.0.0 || >=4.1.1",
          "references":["https://example.org"],"cvss_vector":"CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"}"#;
        let mut out = Vec::new();
        read(text, "vuln/npm/42.json", &mut |i| out.push(i)).expect("document");
        let Some(Item::Advisory(a)) = out.pop() else { panic!("no advisory") };
        assert_eq!(
            a.affected[0].ranges[1].events,
            [Event::Introduced("4.0.0".into()), Event::Fixed("4.1.1".into())]
        );
        assert_eq!(a.aliases, ["CVE-2016-2515"]);
    }
}
