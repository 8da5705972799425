//! Ubuntu security notices: `database.json` (all notices by number) and `notices.json` (the API's form).

use super::{Item, Refusal, Sink, from_json};
use crate::advisory::scope::ubuntu_release;
use crate::advisory::{Advisory, Affected, NameKind};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Notice {
    id: String,
    title: Option<String>,
    summary: Option<String>,
    description: Option<String>,
    cves: Vec<Value>,
    releases: BTreeMap<String, Release>,
    timestamp: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Release {
    sources: BTreeMap<String, Versioned>,
    binaries: BTreeMap<String, Versioned>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Versioned {
    version: Option<String>,
    pocket: Option<String>,
}

/// `https://usn.ubuntu.com/usn-db/database.json`.
pub(super) fn database(bytes: &[u8], sink: Sink<'_>) -> Result<(), Refusal> {
    for (number, notice) in from_json::<BTreeMap<String, Notice>>(bytes)? {
        let id = if number.starts_with("USN-") { number } else { format!("USN-{number}") };
        let affected = notice.releases.iter().flat_map(|(codename, r)| release(codename, r)).collect();
        emit(id, notice, affected, sink);
    }
    Ok(())
}

fn release(codename: &str, r: &Release) -> Vec<Affected> {
    let (codename, pro) = match codename.split_once('/') {
        Some((_, codename)) => (codename, true),
        None => (codename, false),
    };
    let Some(number) = ubuntu_release(codename) else { return Vec::new() };
    let entry = |names: &BTreeMap<String, Versioned>, kind: NameKind| -> Vec<Affected> {
        let one = |(name, v): (&String, &Versioned)| {
            let pro = pro || v.pocket.as_deref().is_some_and(|p| p.starts_with("esm"));
            let ecosystem = if pro { format!("Ubuntu:Pro:{number}") } else { format!("Ubuntu:{number}") };
            let mut affected = Affected::new(ecosystem, name.as_str()).until(Some(v.version.as_deref()?));
            affected.names = kind;
            Some(affected)
        };
        names.iter().filter_map(one).collect()
    };
    if r.sources.is_empty() {
        entry(&r.binaries, NameKind::Binary)
    } else {
        entry(&r.sources, NameKind::Source)
    }
}

fn emit(id: String, notice: Notice, affected: Vec<Affected>, sink: Sink<'_>) {
    let cve = |v: &Value| match v {
        Value::String(s) => Some(s.clone()),
        other => other.get("id").and_then(Value::as_str).map(str::to_owned),
    };
    sink(Item::Advisory(Box::new(Advisory {
        id,
        upstream: notice.cves.iter().filter_map(cve).filter(|c| super::is_cve(c)).collect(),
        published: notice.timestamp.map(|t| format!("@{t:.0}")),
        summary: notice.title.or(notice.summary).unwrap_or_default(),
        details: notice.description.unwrap_or_default(),
        affected,
        ..Advisory::default()
    })));
}

#[derive(Deserialize)]
struct Page {
    notices: Vec<ApiNotice>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ApiNotice {
    id: String,
    title: Option<String>,
    summary: Option<String>,
    description: Option<String>,
    published: Option<String>,
    cves_ids: Vec<String>,
    cves: Vec<Value>,
    release_packages: BTreeMap<String, Vec<ApiPackage>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ApiPackage {
    name: String,
    version: String,
    is_source: bool,
    pocket: Option<String>,
}

/// One notice or a page of `https://ubuntu.com/security/notices.json`.
pub(super) fn notice(bytes: &[u8], sink: Sink<'_>) -> Result<(), Refusal> {
    let notices = match from_json::<Page>(bytes) {
        Ok(page) => page.notices,
        Err(_) => vec![from_json::<ApiNotice>(bytes)?],
    };
    for n in notices {
        let mut affected = Vec::new();
        for (codename, packages) in &n.release_packages {
            let Some(number) = ubuntu_release(codename) else { continue };
            for p in packages.iter().filter(|p| p.is_source && !p.version.is_empty()) {
                let pro = p.pocket.as_deref().is_some_and(|p| p.starts_with("esm"));
                let ecosystem = if pro { format!("Ubuntu:Pro:{number}") } else { format!("Ubuntu:{number}") };
                affected.push(Affected::new(ecosystem, p.name.as_str()).until(Some(&p.version)));
            }
        }
        let cves = n.cves_ids.into_iter().map(Value::String).chain(n.cves).collect();
        let common = Notice {
            title: n.title,
            summary: n.summary,
            description: n.description,
            cves,
            ..Notice::default()
        };
        let published = n.published;
        emit(n.id, common, affected, &mut |item| {
            sink(match item {
                Item::Advisory(mut a) => {
                    a.published.clone_from(&published);
                    Item::Advisory(a)
                }
                other => other,
            });
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(read: fn(&[u8], Sink<'_>) -> Result<(), Refusal>, text: &str) -> Advisory {
        let mut out = Vec::new();
        read(text.as_bytes(), &mut |i| {
            if let Item::Advisory(a) = i {
                out.push(*a);
            }
        })
        .expect("notice");
        out.remove(0)
    }

    #[test]
    fn both_forms_state_source_packages_by_release() {
        let a = one(
            database,
            r#"{"5825-1":{"title":"PAM","cves":["CVE-2022-28321"],"timestamp":1674660000.0,"isummary":"x","releases":
            {"jammy":{"sources":{"pam":{"version":"1.4.0-11ubuntu2.1","description":"d"}},"binaries":{}},
             "xenial":{"sources":{"pam":{"version":"1.1.8-3.2ubuntu2.3+esm2","pocket":"esm-infra"}}}}}}"#,
        );
        let b = one(
            notice,
            r#"{"id":"USN-5825-1","title":"PAM","cves_ids":["CVE-2022-28321"],"release_packages":
            {"jammy":[{"name":"pam","version":"1.4.0-11ubuntu2.1","is_source":true},{"name":"libpam0g","version":"1","is_source":false}]}}"#,
        );
        let scopes = |a: &Advisory| -> Vec<String> {
            a.affected.iter().filter_map(|x| Some(x.package.as_ref()?.ecosystem.clone())).collect()
        };
        assert_eq!((a.id.as_str(), b.id.as_str()), ("USN-5825-1", "USN-5825-1"));
        assert_eq!(scopes(&a), ["Ubuntu:22.04", "Ubuntu:Pro:16.04"]);
        assert_eq!(scopes(&b), ["Ubuntu:22.04"]);
    }
}
