//! `updateinfo.xml` of rpm repositories: Amazon Linux (ALAS) and every other distribution that publishes it.

use super::{Item, Refusal, Sink};
use crate::advisory::{Advisory, Affected, NameKind, Rating, Reference};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event as Xml};
use std::collections::BTreeMap;

/// Most packages that one update may list.
const MAX_PACKAGES: usize = 200_000;

#[derive(Default)]
struct Update {
    security: bool,
    id: String,
    title: String,
    description: String,
    severity: String,
    issued: String,
    updated: String,
    cves: Vec<String>,
    links: Vec<String>,
    /// (name, epoch:version-release, module) → architectures.
    packages: BTreeMap<(String, String, Option<String>), Vec<String>>,
    module: Option<String>,
}

pub(super) fn read(text: &str, sink: Sink<'_>) -> Result<(), Refusal> {
    let mut reader = Reader::from_str(text);
    let mut update: Option<Update> = None;
    let (mut path, mut value): (Vec<Vec<u8>>, String) = (Vec::new(), String::new());
    loop {
        match reader.read_event().map_err(Refusal::from_error)? {
            Xml::Start(e) => {
                if path.len() > 32 {
                    return Err(Refusal::new("elements nested too deeply"));
                }
                open(&e, &mut update)?;
                path.push(e.name().as_ref().to_vec());
                value.clear();
            }
            Xml::Empty(e) => open(&e, &mut update)?,
            Xml::Text(t) => value.push_str(&t.decode().map_err(Refusal::from_error)?),
            Xml::CData(t) => value.push_str(&String::from_utf8_lossy(&t)),
            Xml::GeneralRef(r) => value.push_str(match &*r {
                b"amp" => "&",
                b"lt" => "<",
                b"gt" => ">",
                _ => " ",
            }),
            Xml::End(_) => {
                let name = path.pop().unwrap_or_default();
                let parent = path.last().map(Vec::as_slice).unwrap_or_default();
                close(&name, parent, &mut value, &mut update, sink);
            }
            Xml::Eof => return Ok(()),
            _ => {}
        }
    }
}

fn attribute(e: &BytesStart<'_>, name: &str) -> Result<Option<String>, Refusal> {
    let found = e.try_get_attribute(name).map_err(Refusal::from_error)?;
    Ok(found.map(|a| String::from_utf8_lossy(&a.value).into_owned()).filter(|v| !v.is_empty()))
}

fn open(e: &BytesStart<'_>, update: &mut Option<Update>) -> Result<(), Refusal> {
    if e.name().as_ref() == b"update" {
        let kind = attribute(e, "type")?;
        *update = Some(Update { security: kind.is_none_or(|k| k == "security"), ..Update::default() });
        return Ok(());
    }
    let Some(u) = update else { return Ok(()) };
    match e.name().as_ref() {
        b"issued" => u.issued = attribute(e, "date")?.unwrap_or_default(),
        b"updated" => u.updated = attribute(e, "date")?.unwrap_or_default(),
        b"reference" => {
            if let Some(id) = attribute(e, "id")?.filter(|i| super::is_cve(i)) {
                u.cves.push(id);
            }
            u.links.extend(attribute(e, "href")?);
        }
        b"collection" => u.module = None,
        b"module" => {
            if let (Some(name), Some(stream)) = (attribute(e, "name")?, attribute(e, "stream")?) {
                u.module = Some(format!("{name}:{stream}"));
            }
        }
        b"package" => {
            let (Some(name), Some(version), Some(release)) =
                (attribute(e, "name")?, attribute(e, "version")?, attribute(e, "release")?)
            else {
                return Err(Refusal::new(format!("package of {} without name or version", u.id)));
            };
            let epoch =
                attribute(e, "epoch")?.filter(|x| x != "0").map(|x| format!("{x}:")).unwrap_or_default();
            if u.packages.len() >= MAX_PACKAGES {
                return Err(Refusal::new("too many packages in one update"));
            }
            let arches = u
                .packages
                .entry((name, format!("{epoch}{version}-{release}"), u.module.clone()))
                .or_default();
            arches.extend(attribute(e, "arch")?);
        }
        _ => {}
    }
    Ok(())
}

fn close(name: &[u8], parent: &[u8], value: &mut String, update: &mut Option<Update>, sink: Sink<'_>) {
    let text = std::mem::take(value);
    if name == b"update" {
        if let Some(u) = update.take().filter(|u| u.security) {
            emit(u, sink);
        }
        return;
    }
    let (Some(u), b"update") = (update.as_mut(), parent) else { return };
    let text = text.trim().to_owned();
    match name {
        b"id" => u.id = text,
        b"title" => u.title = text,
        b"description" => u.description = text,
        b"severity" => u.severity = text,
        _ => {}
    }
}

/// The distribution release that an update is for: by its identifier, else by the package's own release.
fn ecosystem(id: &str, version: &str) -> Option<String> {
    let family = id.split(['-', ':']).next().unwrap_or_default();
    let el = || {
        let at = version.find(".el").or_else(|| version.find("_el"))?;
        let digits: String = version[at + 3..].chars().take_while(char::is_ascii_digit).collect();
        (!digits.is_empty()).then_some(digits)
    };
    Some(match family {
        "ALAS" => "Amazon Linux:1".into(),
        f if f.starts_with("ALAS2023") => "Amazon Linux:2023".into(),
        f if f.starts_with("ALAS2022") => "Amazon Linux:2022".into(),
        f if f.starts_with("ALAS2") => "Amazon Linux:2".into(),
        "ALSA" | "ALBA" | "ALEA" => format!("AlmaLinux:{}", el()?),
        "RLSA" | "RLBA" | "RLEA" | "RXSA" => format!("Rocky Linux:{}", el()?),
        "RHSA" | "RHBA" | "RHEA" | "CESA" => format!("Red Hat:{}", el()?),
        "ELSA" | "ELBA" => format!("Oracle Linux:{}", el()?),
        "FEDORA" => {
            let at = version.rfind(".fc")?;
            format!(
                "Fedora:{}",
                version[at + 3..].chars().take_while(char::is_ascii_digit).collect::<String>()
            )
        }
        _ => return None,
    })
}

fn emit(u: Update, sink: Sink<'_>) {
    let entry = |((name, version, module), mut arches): ((String, String, Option<String>), Vec<String>)| {
        let mut affected = Affected::new(ecosystem(&u.id, &version)?, name).until(Some(&version));
        arches.sort_unstable();
        arches.dedup();
        if arches.iter().any(|a| a == "noarch") {
            arches.clear();
        }
        (affected.names, affected.arches, affected.module) = (NameKind::Binary, arches, module);
        Some(affected)
    };
    let affected = u.packages.into_iter().filter_map(entry).collect();
    sink(Item::Advisory(Box::new(Advisory {
        id: u.id.clone(),
        upstream: u.cves,
        published: Some(u.issued).filter(|d| !d.is_empty()),
        modified: u.updated,
        summary: u.title,
        details: u.description,
        severity: Some(u.severity).filter(|s| !s.is_empty()).map(Rating::label).into_iter().collect(),
        affected,
        references: u.links.into_iter().map(Reference::web).collect(),
        fragment: true,
        ..Advisory::default()
    })));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amazon_update_names_binary_packages_with_their_architectures() {
        let text = r#"<?xml version="1.0" ?><updates><update author="linux-security@amazon.com" from="x" status="final" type="security" version="1.4">
          <id>ALAS2-2019-1233</id><title>Amazon Linux 2 - curl: important</title><issued date="2019-07-02 21:30:00"/>
          <updated date="2019-07-08 21:50:00"/><severity>important</severity><description>A &amp; B</description>
          <references><reference href="https://example.org/CVE-2019-5436" id="CVE-2019-5436" title="" type="cve"/></references>
          <pkglist><collection short="amazon-linux-2---core"><name>Amazon Linux 2</name>
          <package arch="x86_64" epoch="0" name="curl" release="11.amzn2.0.2" version="7.61.1"><filename>f</filename></package>
          <package arch="aarch64" epoch="0" name="curl" release="11.amzn2.0.2" version="7.61.1"><filename>f</filename></package>
          </collection></pkglist></update><update type="bugfix"><id>ALAS2-1</id></update></updates>"#;
        let mut out = Vec::new();
        read(text, &mut |i| out.push(i)).expect("updates");
        assert_eq!(out.len(), 1);
        let Some(Item::Advisory(a)) = out.pop() else { panic!("no advisory") };
        let package = a.affected[0].package.as_ref().expect("package");
        assert_eq!((package.ecosystem.as_str(), package.name.as_str()), ("Amazon Linux:2", "curl"));
        assert_eq!(a.affected[0].arches, ["aarch64", "x86_64"]);
        assert_eq!(a.affected[0].ranges[0].events[1].version(), "7.61.1-11.amzn2.0.2");
        assert_eq!(
            (a.upstream.as_slice(), a.severity[0].score.as_str()),
            (&["CVE-2019-5436".to_owned()][..], "important")
        );
    }
}
