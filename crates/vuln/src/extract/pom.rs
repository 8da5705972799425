//! `pom.xml`: the project and its dependencies that state a version, here or in `dependencyManagement`. Also Gradle's
//! `gradle.lockfile`. Parents and imported poms are not fetched; a version that needs them is left out.

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::text::text;
use super::{Extractor, Found, Parse, ParseError, ParseResult, Scope};
use crate::package::{Package, PackageKind};

pub(super) const POM: Extractor = Extractor {
    name: "java-pom",
    scope: Scope::Directory,
    required: |info| info.name == "pom.xml",
    parse: Parse::Document(|_, bytes, found| parse(&text(bytes), found)),
};

pub(super) const GRADLE: Extractor = Extractor {
    name: "gradle-lock",
    scope: Scope::Directory,
    required: |info| info.name == "gradle.lockfile" || info.name == "buildscript-gradle.lockfile",
    parse: Parse::Document(|_, bytes, found| {
        for line in text(bytes).lines().filter(|line| !line.starts_with('#')) {
            let coordinates = line.split('=').next().unwrap_or("");
            if let [group, artifact, version] = coordinates.split(':').collect::<Vec<_>>().as_slice() {
                let mut package = Package::new(PackageKind::Maven, *artifact, *version);
                package.namespace = Some((*group).to_owned());
                found.package(package);
            }
        }
        Ok(())
    }),
};

const DEPTH: usize = 64;

/// Text of every leaf by its path; dependencies collected as they end.
#[derive(Default)]
struct Pom {
    project: BTreeMap<String, String>,
    properties: BTreeMap<String, String>,
    dependencies: Vec<BTreeMap<String, String>>,
    managed: Vec<BTreeMap<String, String>>,
}

fn parse(text: &str, found: &mut Found) -> ParseResult {
    let pom = read(text)?;
    let get = |map: &BTreeMap<String, String>, key: &str| pom.expand(map.get(key).map_or("", String::as_str));
    let own = |key: &str| {
        let value = get(&pom.project, key);
        if value.is_empty() { get(&pom.project, &format!("parent/{key}")) } else { value }
    };
    add(own("groupId"), own("artifactId"), own("version"), "", found);
    for dependency in &pom.dependencies {
        let (group, artifact) = (get(dependency, "groupId"), get(dependency, "artifactId"));
        let mut version = get(dependency, "version");
        if version.is_empty() {
            let managed = pom
                .managed
                .iter()
                .find(|managed| get(managed, "groupId") == group && get(managed, "artifactId") == artifact);
            version = managed.map(|managed| get(managed, "version")).unwrap_or_default();
        }
        add(group, artifact, version, dependency.get("scope").map_or("", String::as_str), found);
    }
    Ok(())
}

fn add(group: String, artifact: String, version: String, scope: &str, found: &mut Found) {
    // Ranges and unresolved properties are no versions.
    if version.starts_with(['[', '(']) || version.contains("${") || artifact.contains("${") {
        return;
    }
    let mut package = Package::new(PackageKind::Maven, artifact, version);
    package.namespace = Some(group).filter(|group| !group.is_empty());
    if !scope.is_empty() {
        package.properties.insert("scope".to_owned(), scope.to_owned());
    }
    found.package(package);
}

impl Pom {
    /// Replaces `${…}` by properties and project members, to a bounded depth.
    fn expand(&self, value: &str) -> String {
        let mut value = value.trim().to_owned();
        for _ in 0..8 {
            let Some(name) = super::text::between(&value, "${", "}").map(str::to_owned) else { break };
            let member = name.strip_prefix("project.").or_else(|| name.strip_prefix("pom."));
            let known = self.properties.get(&name).or_else(|| {
                let member = member?;
                self.project.get(member).or_else(|| self.project.get(&format!("parent/{member}")))
            });
            let Some(known) = known.filter(|known| known.len() < 1024) else { break };
            value = value.replace(&format!("${{{name}}}"), known.trim());
            if value.len() > 4096 {
                break;
            }
        }
        value
    }

    fn leaf(&mut self, path: &[String], text: &str) {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["project", "properties", name] => {
                self.properties.insert((*name).to_owned(), text.to_owned());
            }
            ["project", "parent", name] => {
                self.project.insert(format!("parent/{name}"), text.to_owned());
            }
            ["project", name] => {
                self.project.insert((*name).to_owned(), text.to_owned());
            }
            ["project", "dependencyManagement", "dependencies", "dependency", name] => {
                if let Some(last) = self.managed.last_mut() {
                    last.insert((*name).to_owned(), text.to_owned());
                }
            }
            [.., "dependencies", "dependency", name]
                if !path.contains(&"dependencyManagement") && !path.contains(&"plugin") =>
            {
                if let Some(last) = self.dependencies.last_mut() {
                    last.insert((*name).to_owned(), text.to_owned());
                }
            }
            _ => {}
        }
    }
}

fn read(text: &str) -> Result<Pom, ParseError> {
    let mut reader = Reader::from_str(text);
    let mut pom = Pom::default();
    let mut path: Vec<String> = Vec::new();
    let mut leaf = String::new();
    loop {
        match reader.read_event().map_err(ParseError::malformed)? {
            Event::Start(start) => {
                path.push(String::from_utf8_lossy(start.local_name().as_ref()).into_owned());
                if path.len() > DEPTH {
                    return Err(ParseError::malformed("nested too deeply"));
                }
                leaf.clear();
                if path.last().is_some_and(|name| name == "dependency") {
                    let managed = path.iter().any(|name| name == "dependencyManagement");
                    if managed {
                        pom.managed.push(BTreeMap::new());
                    } else {
                        pom.dependencies.push(BTreeMap::new());
                    }
                }
            }
            Event::Text(content) => leaf.push_str(&content.decode().map_err(ParseError::malformed)?),
            Event::CData(content) => leaf.push_str(&String::from_utf8_lossy(&content)),
            Event::End(_) => {
                if !leaf.trim().is_empty() {
                    pom.leaf(&path, leaf.trim());
                }
                leaf.clear();
                path.pop();
            }
            Event::Eof => return Ok(pom),
            _ => {}
        }
    }
}
