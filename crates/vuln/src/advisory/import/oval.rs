//! OVAL definitions of distributions: Oracle Linux, Azure Linux (CBL-Mariner), Red Hat, SUSE
//! (<https://oval-community-guidelines.readthedocs.io/>).
//!
//! A definition's criteria are a tree; the leaf tests compare an rpm's `evr` with a state. Releases, architectures and
//! module streams are told by the comments of sibling criteria, as every publisher of this form does.

use super::{Item, Refusal, Sink};
use crate::advisory::{Advisory, Affected, Event, NameKind, Range, Rating, Reference, scope};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event as Xml};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Most definitions, tests, objects and states of each kind.
const MAX_ENTRIES: usize = 5_000_000;
/// Deepest element or criteria.
const MAX_DEPTH: usize = 64;

#[derive(Default)]
struct Definition {
    class: String,
    id: String,
    title: String,
    description: String,
    platforms: Vec<String>,
    severity: String,
    advisory_id: String,
    issued: String,
    cves: BTreeSet<String>,
    vectors: Vec<String>,
    links: Vec<String>,
    criteria: Vec<Node>,
}

enum Node {
    /// Criteria with the index of their parent.
    Group { parent: Option<usize> },
    /// A criterion in a group.
    Leaf { parent: Option<usize>, test: String, comment: String },
}

#[derive(Default)]
struct Tables {
    definitions: Vec<Definition>,
    /// test → (object, state)
    tests: HashMap<String, (String, String)>,
    objects: HashMap<String, String>,
    /// state → (operation, evr)
    states: HashMap<String, (String, String)>,
}

pub(super) fn read(text: &str, name: &str, sink: Sink<'_>) -> Result<(), Refusal> {
    let tables = parse(text)?;
    for definition in &tables.definitions {
        if definition.class == "inventory" {
            continue;
        }
        emit(definition, &tables, name, sink);
    }
    Ok(())
}

struct Cursor {
    path: Vec<Vec<u8>>,
    value: String,
    open_id: String,
    groups: Vec<usize>,
    evr_operation: String,
}

fn parse(text: &str) -> Result<Tables, Refusal> {
    let mut reader = Reader::from_str(text);
    let mut tables = Tables::default();
    let mut cursor = Cursor {
        path: Vec::new(),
        value: String::new(),
        open_id: String::new(),
        groups: Vec::new(),
        evr_operation: String::new(),
    };
    loop {
        let event = reader.read_event().map_err(Refusal::from_error)?;
        match event {
            Xml::Start(e) => {
                if cursor.path.len() > MAX_DEPTH {
                    return Err(Refusal::new("elements nested too deeply"));
                }
                cursor.value.clear();
                open(&e, &mut cursor, &mut tables, false)?;
                cursor.path.push(e.local_name().as_ref().to_vec());
            }
            Xml::Empty(e) => open(&e, &mut cursor, &mut tables, true)?,
            Xml::Text(t) => cursor.value.push_str(&t.decode().map_err(Refusal::from_error)?),
            Xml::CData(t) => cursor.value.push_str(&String::from_utf8_lossy(&t)),
            Xml::GeneralRef(r) => cursor.value.push_str(match &*r {
                b"amp" => "&",
                b"lt" => "<",
                b"gt" => ">",
                _ => " ",
            }),
            Xml::End(_) => {
                let name = cursor.path.pop().unwrap_or_default();
                close(&name, &mut cursor, &mut tables);
            }
            Xml::Eof => return Ok(tables),
            _ => {}
        }
        let largest = tables
            .definitions
            .len()
            .max(tables.tests.len())
            .max(tables.states.len())
            .max(tables.objects.len());
        if largest > MAX_ENTRIES {
            return Err(Refusal::new("too many definitions"));
        }
    }
}

fn attribute(e: &BytesStart<'_>, name: &str) -> Result<String, Refusal> {
    let found = e.try_get_attribute(name).map_err(Refusal::from_error)?;
    let raw = found.map(|a| String::from_utf8_lossy(&a.value).into_owned()).unwrap_or_default();
    Ok(if raw.contains('&') {
        raw.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    } else {
        raw
    })
}

fn open(e: &BytesStart<'_>, c: &mut Cursor, t: &mut Tables, empty: bool) -> Result<(), Refusal> {
    match e.local_name().as_ref() {
        b"definition" => {
            c.groups.clear();
            t.definitions.push(Definition {
                class: attribute(e, "class")?,
                id: attribute(e, "id")?,
                ..Definition::default()
            });
        }
        b"reference" => {
            let (id, url) = (attribute(e, "ref_id")?, attribute(e, "ref_url")?);
            if let Some(d) = t.definitions.last_mut() {
                if super::is_cve(&id) {
                    d.cves.insert(id);
                }
                d.links.extend(Some(url).filter(|u| !u.is_empty()));
            }
        }
        b"cve" => {
            let cvss = attribute(e, "cvss3")?;
            if let (Some(d), Some((_, vector))) = (t.definitions.last_mut(), cvss.split_once('/')) {
                d.vectors.push(vector.to_owned());
            }
        }
        b"issued" => {
            let date = attribute(e, "date")?;
            if let Some(d) = t.definitions.last_mut() {
                d.issued = date;
            }
        }
        b"criteria" => {
            if let Some(d) = t.definitions.last_mut() {
                d.criteria.push(Node::Group { parent: c.groups.last().copied() });
                if !empty {
                    c.groups.push(d.criteria.len() - 1);
                }
            }
        }
        b"criterion" => {
            let (test, comment) = (attribute(e, "test_ref")?, attribute(e, "comment")?);
            if let Some(d) = t.definitions.last_mut() {
                d.criteria.push(Node::Leaf { parent: c.groups.last().copied(), test, comment });
            }
        }
        b"rpminfo_test" | b"rpminfo_object" | b"rpminfo_state" => c.open_id = attribute(e, "id")?,
        b"object" => {
            let object = attribute(e, "object_ref")?;
            t.tests.entry(c.open_id.clone()).or_default().0 = object;
        }
        b"state" => {
            let state = attribute(e, "state_ref")?;
            t.tests.entry(c.open_id.clone()).or_default().1 = state;
        }
        b"evr" => c.evr_operation = attribute(e, "operation")?,
        _ => {}
    }
    Ok(())
}

fn close(name: &[u8], c: &mut Cursor, t: &mut Tables) {
    let value = std::mem::take(&mut c.value).trim().to_owned();
    let parent = c.path.last().map(Vec::as_slice).unwrap_or_default();
    match (name, parent) {
        (b"criteria", _) => {
            c.groups.pop();
        }
        (b"name", b"rpminfo_object") => {
            t.objects.insert(c.open_id.clone(), value);
        }
        (b"evr", b"rpminfo_state") => {
            t.states.insert(c.open_id.clone(), (std::mem::take(&mut c.evr_operation), value));
        }
        _ => {
            let Some(d) = t.definitions.last_mut() else { return };
            match name {
                b"title" => d.title = value,
                b"description" => d.description = value,
                b"platform" => d.platforms.push(value),
                b"severity" => d.severity = value,
                b"advisory_id" => d.advisory_id = value,
                b"advisory_date" => d.issued = value,
                b"cve" if super::is_cve(&value) => {
                    d.cves.insert(value);
                }
                _ => {}
            }
        }
    }
}

/// What the criteria above and beside a leaf say.
#[derive(Clone, Default)]
struct Context {
    release: Option<String>,
    arch: Option<String>,
    module: Option<String>,
}

impl Context {
    fn learn(&mut self, comment: &str) {
        if let Some(product) = comment.strip_suffix(" is installed") {
            self.release = self.release.take().or_else(|| ecosystem(product));
        } else if let Some((_, arch)) = comment.split_once(" arch is ") {
            self.arch = Some(arch.trim().to_owned());
        } else if let Some(module) =
            comment.strip_prefix("Module ").and_then(|m| m.strip_suffix(" is enabled"))
        {
            self.module = Some(module.to_owned());
        }
    }
}

fn ecosystem(platform: &str) -> Option<String> {
    let last = || platform.rsplit(' ').next().filter(|v| v.starts_with(|c: char| c.is_ascii_digit()));
    if platform.starts_with("Oracle Linux") {
        Some(format!("Oracle Linux:{}", last()?))
    } else if platform.starts_with("Red Hat Enterprise Linux") {
        Some(scope::canonical(&format!("Red Hat:enterprise_linux:{}", last()?)))
    } else if platform.starts_with("SUSE ") || platform.starts_with("openSUSE ") {
        let (family, rest) = platform.split_once(' ')?;
        Some(scope::canonical(&format!("{family}:{rest}")))
    } else {
        None
    }
}

/// Azure Linux names its release only in the file's name.
fn by_file(platforms: &[String], name: &str) -> Option<String> {
    let file = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    let family = platforms.iter().find_map(|p| match p.as_str() {
        "Azure Linux" => Some("Azure Linux"),
        p if p.contains("Mariner") => Some("CBL-Mariner"),
        _ => None,
    })?;
    let start = file.find(|c: char| c.is_ascii_digit())?;
    let version: String = file[start..].chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    Some(format!("{family}:{}", version.trim_end_matches('.')))
}

/// (ecosystem, name, module, group) → architectures and events.
type Rows = BTreeMap<(String, String, Option<String>, Vec<Event>), BTreeSet<String>>;

fn emit(d: &Definition, t: &Tables, name: &str, sink: Sink<'_>) {
    let by_platform = d.platforms.iter().find_map(|p| ecosystem(p)).or_else(|| by_file(&d.platforms, name));
    let mut rows = Rows::new();
    for group in groups_with_tests(d) {
        let context = context_of(d, group);
        let Some(ecosystem) = context.release.clone().or_else(|| by_platform.clone()) else { continue };
        for (package, events) in packages(d, group, t) {
            let key = (ecosystem.clone(), package, context.module.clone(), events);
            rows.entry(key).or_default().extend(context.arch.clone());
        }
    }
    let affected = rows.into_iter().map(|((ecosystem, name, module, events), arches)| Affected {
        ranges: vec![Range::new(events)],
        arches: arches.into_iter().collect(),
        module,
        names: if by_platform.as_deref().is_some_and(|e| e.starts_with("SUSE")) {
            NameKind::Binary
        } else {
            NameKind::Default
        },
        ..Affected::new(ecosystem, name)
    });
    let affected: Vec<Affected> = affected.collect();
    // The first word; that of Red Hat's and SUSE's errata holds a colon itself (`RHSA-2020:0134: …`).
    let errata = d.title.split_whitespace().next().map(|word| word.trim_end_matches(':')).filter(|word| {
        let numbered = word.ends_with(|c: char| c.is_ascii_digit());
        word.contains('-') && numbered && !word.starts_with("CVE-")
    });
    let id = errata.map_or_else(
        || if d.advisory_id.is_empty() { d.id.clone() } else { format!("AZL-{}", d.advisory_id) },
        str::to_owned,
    );
    let mut severity: Vec<_> =
        Some(&d.severity).filter(|s| !s.is_empty()).map(Rating::label).into_iter().collect();
    severity.extend(d.vectors.first().map(Rating::vector));
    sink(Item::Advisory(Box::new(Advisory {
        upstream: d.cves.iter().filter(|c| **c != id).cloned().collect(),
        id,
        published: Some(d.issued.clone()).filter(|i| !i.is_empty()),
        summary: d.title.clone(),
        details: d.description.clone(),
        severity,
        affected,
        references: d.links.iter().map(Reference::web).collect(),
        fragment: true,
        ..Advisory::default()
    })));
}

fn parent(node: &Node) -> Option<usize> {
    match node {
        Node::Group { parent } | Node::Leaf { parent, .. } => *parent,
    }
}

fn groups_with_tests(d: &Definition) -> BTreeSet<Option<usize>> {
    d.criteria.iter().filter(|n| matches!(n, Node::Leaf { .. })).map(parent).collect()
}

/// Leaves beside the group and beside each of its ancestors.
fn context_of(d: &Definition, group: Option<usize>) -> Context {
    let mut context = Context::default();
    let mut at = group;
    for _ in 0..MAX_DEPTH {
        for node in &d.criteria {
            if let Node::Leaf { parent, comment, .. } = node
                && *parent == at
            {
                context.learn(comment);
            }
        }
        match at.and_then(|i| d.criteria.get(i)).map(parent) {
            Some(up) => at = up,
            None => break,
        }
    }
    context
}

/// Packages that the group's tests compare, each with its events.
fn packages(d: &Definition, group: Option<usize>, t: &Tables) -> BTreeMap<String, Vec<Event>> {
    let mut out: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for node in &d.criteria {
        let Node::Leaf { parent, test, .. } = node else { continue };
        if *parent != group {
            continue;
        }
        let Some((object, state)) = t.tests.get(test) else { continue };
        let (Some(name), Some((operation, evr))) = (t.objects.get(object), t.states.get(state)) else {
            continue;
        };
        let evr = evr.strip_prefix("0:").unwrap_or(evr).to_owned();
        out.entry(name.clone()).or_default().push(match operation.as_str() {
            "less than" => Event::Fixed(evr),
            "less than or equal" => Event::LastAffected(evr),
            "greater than or equal" => Event::Introduced(evr),
            "greater than" => Event::IntroducedAfter(evr),
            _ => continue,
        });
    }
    for events in out.values_mut() {
        if !events.iter().any(|e| matches!(e, Event::Introduced(_) | Event::IntroducedAfter(_))) {
            events.insert(0, Event::Introduced("0".into()));
        }
    }
    out.retain(|_, e| !e.is_empty());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advisories(text: &str, name: &str) -> Vec<Advisory> {
        let mut out = Vec::new();
        read(text, name, &mut |i| {
            if let Item::Advisory(a) = i {
                out.push(*a);
            }
        })
        .expect("oval");
        out
    }

    #[test]
    fn oracle_rows_carry_release_architecture_and_module() {
        let text = r#"<?xml version="1.0"?><oval_definitions xmlns="http://oval.mitre.org/XMLSchema/oval-definitions-5"><definitions>
         <definition id="oval:com.oracle.elsa:def:20194114" version="501" class="patch"><metadata>
          <title>ELSA-2019-4114:  nodejs:12 security update (IMPORTANT)</title><affected family="unix"><platform>Oracle Linux 8</platform></affected>
          <reference source="elsa" ref_id="ELSA-2019-4114" ref_url="https://linux.oracle.com/errata/ELSA-2019-4114.html"/>
          <reference source="CVE" ref_id="CVE-2019-9511" ref_url="https://linux.oracle.com/cve/CVE-2019-9511.html"/>
          <description>d</description><advisory><severity>IMPORTANT</severity><issued date="2019-11-14"/><cve>CVE-2019-9511</cve></advisory></metadata>
          <criteria operator="AND"><criterion test_ref="t:1" comment="Oracle Linux 8 is installed"/>
           <criteria operator="AND"><criterion test_ref="t:m" comment="Module nodejs:12 is enabled"/><criteria operator="OR">
           <criteria operator="AND"><criterion test_ref="t:2" comment="Oracle Linux arch is x86_64"/><criteria operator="OR">
            <criteria operator="AND"><criterion test_ref="t:3" comment="nodejs is earlier than 1:12.13.1-1.module+el8"/><criterion test_ref="t:4" comment="nodejs is signed"/></criteria>
           </criteria></criteria></criteria></criteria></criteria></definition></definitions>
         <tests><rpminfo_test xmlns="x" id="t:3"><object object_ref="o:3"/><state state_ref="s:3"/></rpminfo_test></tests>
         <objects><rpminfo_object xmlns="x" id="o:3"><name>nodejs</name></rpminfo_object></objects>
         <states><rpminfo_state xmlns="x" id="s:3"><evr datatype="evr_string" operation="less than">1:12.13.1-1.module+el8</evr></rpminfo_state></states></oval_definitions>"#;
        let a = advisories(text, "com.oracle.elsa-all.xml").remove(0);
        assert_eq!(
            (a.id.as_str(), a.upstream.as_slice()),
            ("ELSA-2019-4114", &["CVE-2019-9511".to_owned()][..])
        );
        let row = &a.affected[0];
        assert_eq!(row.package.as_ref().map(|p| p.ecosystem.as_str()), Some("Oracle Linux:8"));
        assert_eq!(
            (row.arches.as_slice(), row.module.as_deref()),
            (&["x86_64".to_owned()][..], Some("nodejs:12"))
        );
    }

    #[test]
    fn azure_release_comes_from_the_file_name() {
        let text = r#"<oval_definitions xmlns="http://oval.mitre.org/XMLSchema/oval-definitions-5"><definitions>
         <definition class="vulnerability" id="oval:com.microsoft.azurelinux:def:39708" version="1"><metadata><title>CVE-2024-24258 affecting package freeglut for versions less than 3.4.0-1</title>
         <affected family="unix"><platform>Azure Linux</platform></affected><reference ref_id="CVE-2024-24258" ref_url="u" source="CVE"/>
         <advisory_id>39708-1</advisory_id><severity>High</severity></metadata>
         <criteria operator="AND"><criterion comment="Package freeglut is earlier than 3.4.0-1, affected by CVE-2024-24258" test_ref="tst:1"/></criteria></definition></definitions>
         <tests><linux-def:rpminfo_test id="tst:1"><linux-def:object object_ref="obj:1"/><linux-def:state state_ref="ste:1"/></linux-def:rpminfo_test></tests>
         <objects><linux-def:rpminfo_object id="obj:1"><linux-def:name>freeglut</linux-def:name></linux-def:rpminfo_object></objects>
         <states><linux-def:rpminfo_state id="ste:1"><linux-def:evr datatype="evr_string" operation="less than">0:3.4.0-1.azl3</linux-def:evr></linux-def:rpminfo_state></states></oval_definitions>"#;
        let a = advisories(text, "azurelinux-3.0-oval.xml").remove(0);
        let row = &a.affected[0];
        assert_eq!(row.package.as_ref().map(|p| p.ecosystem.as_str()), Some("Azure Linux:3.0"));
        assert_eq!(row.ranges[0].events[1], Event::Fixed("3.4.0-1.azl3".into()));
    }
}
