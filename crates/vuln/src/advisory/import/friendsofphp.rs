//! FriendsOfPHP/security-advisories: one YAML document for each advisory, versions by branch.

use super::{Refusal, Scalar, Sink, from_yaml};
use crate::advisory::import::Item;
use crate::advisory::requirement::VersionSet;
use crate::advisory::{Advisory, Affected, Reference, scope};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Document {
    title: Option<String>,
    link: Option<String>,
    cve: Option<Scalar>,
    branches: BTreeMap<String, Branch>,
    reference: String,
}

#[derive(Deserialize)]
struct Branch {
    time: Option<Scalar>,
    versions: Vec<Scalar>,
}

pub(super) fn read(text: &str, name: &str, sink: Sink<'_>) -> Result<(), Refusal> {
    let d: Document = from_yaml(text)?;
    let package = d
        .reference
        .strip_prefix("composer://")
        .ok_or_else(|| Refusal::new("reference is not composer://"))?;
    let scheme = scope::scheme("Packagist");
    let mut affected = Affected::new("Packagist", package.trim());
    for branch in d.branches.values() {
        let mut set = VersionSet::all(scheme);
        for requirement in &branch.versions {
            set = set.and(&VersionSet::parse(scheme, &requirement.to_string()).map_err(Refusal::from_error)?);
        }
        affected.ranges.extend(set.ranges());
    }
    let cve = d.cve.map(|c| c.to_string()).filter(|c| super::is_cve(c));
    let file = name.rsplit('/').next().and_then(|n| n.rsplit_once('.')).map_or(name, |(n, _)| n);
    let own = if super::is_cve(file) { file.to_owned() } else { format!("{}/{file}", package.trim()) };
    let (id, aliases) = match cve {
        Some(cve) if cve != own => (cve, vec![own]),
        Some(cve) => (cve, Vec::new()),
        None => (own, Vec::new()),
    };
    sink(Item::Advisory(Box::new(Advisory {
        id,
        aliases: aliases.into_iter().filter(|a| !super::is_cve(a)).collect(),
        published: d.branches.values().filter_map(|b| b.time.as_ref()).map(ToString::to_string).min(),
        summary: d.title.unwrap_or_default(),
        references: d.link.into_iter().map(Reference::web).collect(),
        affected: vec![affected],
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
    fn each_branch_is_a_range_of_its_own() {
        let text = "title: t\nlink: 'https://example.org'\ncve: CVE-2019-7861\nbranches:\n    '2.1':\n        time: '2019-06-25 00:00:00'\n        versions: ['>=2.1', '<2.1.18']\n    '2.2':\n        time: null\n        versions: ['>=2.2', '<2.2.9']\nreference: 'composer://magento/product-community-edition'\n";
        let mut out = Vec::new();
        read(text, "magento/product-community-edition/CVE-2019-7861.yaml", &mut |i| out.push(i))
            .expect("document");
        let Some(Item::Advisory(a)) = out.pop() else { panic!("no advisory") };
        let events: Vec<_> = a.affected[0].ranges.iter().map(|r| r.events.clone()).collect();
        assert_eq!(events[1], [Event::Introduced("2.2-dev".into()), Event::Fixed("2.2.9-dev".into())]);
        assert_eq!(events.len(), 2);
    }
}
