//! Java archives: jar, war, ear and their kin, nested to any allowed depth.
//!
//! What a jar contains is told by `META-INF/maven/**/pom.properties` (a shaded jar has many); what it *is* by the one
//! that fits its name, else by name and manifest. Its SHA-1 is kept, which is how Maven repositories index it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::rc::Rc;

use sha1::{Digest as _, Sha1};

use super::text::text;
use super::{Extractor, FileInfo, Found, Parse, ParseError, ParseResult, Scope};
use crate::limits::{Limit, Limits};
use crate::package::{Package, PackageKind};
use crate::zipstream::{Budget, Member, walk};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "java",
    scope: Scope::Both,
    required: |info| is_archive(info.name),
    parse: Parse::Stream(parse),
};

const EXTENSIONS: [&str; 13] =
    ["jar", "war", "ear", "par", "sar", "nar", "jpi", "hpi", "kar", "lpkg", "rar", "aar", "car"];
const PROPERTIES_BYTES: u64 = 64 << 10;
const MANIFEST_BYTES: u64 = 10 << 20;

fn is_archive(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, extension)| {
        // `.rar` and `.car` are Java's only beside Java; as files of their own they are other formats.
        !stem.is_empty() && EXTENSIONS[..10].iter().any(|known| extension.eq_ignore_ascii_case(known))
    })
}

fn is_nested_archive(name: &str) -> bool {
    name.rsplit_once('.')
        .is_some_and(|(_, extension)| EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

/// Hashes what passes.
struct Hashing<'r> {
    inner: &'r mut dyn Read,
    hasher: Sha1,
    bytes: Rc<Cell<u64>>,
}

impl Read for Hashing<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.hasher.update(buf.get(..n).unwrap_or_default());
        self.bytes.set(self.bytes.get() + n as u64);
        Ok(n)
    }
}

/// What one archive states of itself.
#[derive(Default)]
struct Contents {
    poms: Vec<(String, String, String)>,
    manifest: BTreeMap<String, String>,
}

fn parse(info: &FileInfo<'_>, content: &mut dyn Read, limits: &Limits, found: &mut Found) -> ParseResult {
    let mut budget = Budget::new(limits, info.size_bytes);
    let mut hashing = Hashing { inner: content, hasher: Sha1::new(), bytes: Rc::default() };
    let mut contents = Contents::default();
    let outcome =
        walk(&mut hashing, &mut budget, &mut |name, member| visit(name, member, "", 1, &mut contents, found));
    io::copy(&mut hashing, &mut io::sink())?;
    let hash = data_encoding::HEXLOWER.encode(&hashing.hasher.finalize());
    conclude(info.name, "", contents, &hash, found);
    match outcome {
        // Something that only looks like a zip by its name is no broken scan.
        Err(ParseError::Malformed(_)) if hashing.bytes.get() < 22 => Ok(()),
        outcome => outcome,
    }
}

fn visit(
    name: &str,
    member: &mut Member<'_, '_>,
    within: &str,
    depth: u32,
    contents: &mut Contents,
    found: &mut Found,
) -> ParseResult {
    if name.starts_with("META-INF/maven/") && name.ends_with("/pom.properties") {
        if let Some(pom) = properties(&text(&member.bytes(PROPERTIES_BYTES)?)) {
            contents.poms.push(pom);
        }
    } else if name.eq_ignore_ascii_case("META-INF/MANIFEST.MF") {
        contents.manifest = manifest(&text(&member.bytes(MANIFEST_BYTES)?));
    } else if is_nested_archive(name) {
        return nested(name, member, within, depth, found);
    }
    Ok(())
}

fn nested(
    name: &str,
    member: &mut Member<'_, '_>,
    within: &str,
    depth: u32,
    found: &mut Found,
) -> ParseResult {
    let inner = if within.is_empty() { name.to_owned() } else { format!("{within}!/{name}") };
    let mut contents = Contents::default();
    let (outcome, hash) = member.hashed_archive(depth, &mut |name, member| {
        visit(name, member, &inner, depth + 1, &mut contents, found)
    })?;
    let base = name.rsplit_once('/').map_or(name, |(_, base)| base);
    conclude(base, &inner, contents, &hash, found);
    match outcome {
        Err(ParseError::Malformed(why)) => {
            found.problems.push(format!("{inner}: {why}"));
            Ok(())
        }
        outcome => outcome,
    }
}

impl<'l> Member<'_, 'l> {
    /// Walks the member as an archive and hashes all of it.
    fn hashed_archive(
        &mut self,
        depth: u32,
        each: &mut dyn FnMut(&str, &mut Member<'_, 'l>) -> ParseResult,
    ) -> Result<(ParseResult, String), ParseError> {
        if depth >= self.limits().nesting_depth {
            return Err(ParseError::Limit(Limit::NestingDepth));
        }
        let mut hasher = Sha1::new();
        let outcome = self.archive_through(&mut |bytes| hasher.update(bytes), each);
        Ok((outcome, data_encoding::HEXLOWER.encode(&hasher.finalize())))
    }
}

/// Adds the archive itself and what is shaded into it.
fn conclude(file: &str, inner: &str, contents: Contents, hash: &str, found: &mut Found) {
    let (stem, file_version) = split_name(file.rsplit_once('.').map_or(file, |(stem, _)| stem));
    let is_own = |artifact: &str, version: &str| {
        artifact == stem
            || file.starts_with(&format!("{artifact}-{version}"))
            || file.strip_suffix(".jar") == Some(artifact)
    };
    let only = contents.poms.len() == 1;
    let mut has_own = false;
    for (group, artifact, version) in &contents.poms {
        let own = is_own(artifact, version) || (only && file_version.as_deref() == Some(version.as_str()));
        let mut package = Package::new(PackageKind::Maven, artifact, version.clone());
        package.namespace = Some(group.clone());
        if own && !has_own {
            package.hashes.push(format!("sha1:{hash}"));
            describe(&mut package, &contents.manifest);
        }
        has_own |= own;
        locate(&mut package, inner);
        found.package(package);
    }
    if has_own {
        return;
    }
    let get = |key: &str| {
        contents.manifest.get(key).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    let stated = ["Implementation-Version", "Plugin-Version", "Specification-Version", "Bundle-Version"]
        .iter()
        .find_map(|key| get(key));
    let Some(version) = file_version.or(stated).filter(|version| !version.contains("${")) else { return };
    // A jar named without version whose only pom it shades is that pom's.
    if only && contents.poms.first().is_some_and(|(_, _, pom)| *pom == version) {
        return;
    }
    let symbolic =
        get("Bundle-SymbolicName").map(|name| name.split(';').next().unwrap_or("").trim().to_owned());
    let name = if stem.is_empty() {
        get("Short-Name").or_else(|| get("Implementation-Title")).unwrap_or_default()
    } else {
        stem
    };
    let group = get("Implementation-Vendor-Id")
        .or_else(|| get("Group-Id"))
        // `group#artifact;version`, as Gradle's builds have it.
        .or_else(|| Some(get("Implementation-Title")?.split_once('#')?.0.to_owned()))
        .or_else(|| known_group(&name).map(str::to_owned))
        .or_else(|| group_in(symbolic.as_deref()?, &name))
        .or_else(|| get("Extension-Name").filter(|group| group.contains('.')));
    let mut package = Package::new(PackageKind::Maven, name, version);
    package.namespace = group.filter(|group| !group.contains(char::is_whitespace));
    package.hashes.push(format!("sha1:{hash}"));
    describe(&mut package, &contents.manifest);
    locate(&mut package, inner);
    found.package(package);
}

fn locate(package: &mut Package, inner: &str) {
    if !inner.is_empty() {
        package.properties.insert("nested-path".to_owned(), inner.to_owned());
    }
}

fn describe(package: &mut Package, manifest: &BTreeMap<String, String>) {
    package.supplier =
        manifest.get("Implementation-Vendor").or_else(|| manifest.get("Bundle-Vendor")).cloned();
    if let Some(license) = manifest.get("Bundle-License") {
        package.licenses = license
            .split(',')
            .map(|part| part.split(';').next().unwrap_or(part).trim().trim_matches('"').to_owned())
            .filter(|name| !name.is_empty())
            .collect();
    }
}

/// The group of an artifact whose builds are known to state none: without it no advisory speaks of it.
fn known_group(artifact: &str) -> Option<&'static str> {
    let lines = include_str!("../../data/maven/groups.tsv").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('\t')).find_map(|(pattern, group)| {
        let fits = match pattern.strip_suffix('*') {
            Some(start) => artifact.starts_with(start),
            None => artifact == pattern,
        };
        fits.then_some(group)
    })
}

/// `org.apache.commons.commons-io` of `commons-io` → `org.apache.commons`.
fn group_in(symbolic: &str, artifact: &str) -> Option<String> {
    let group = symbolic.strip_suffix(artifact)?.strip_suffix('.')?;
    (!group.is_empty()).then(|| group.to_owned())
}

/// `name-1.2.3` → name and version; the version begins at the first `-` before a digit.
fn split_name(stem: &str) -> (String, Option<String>) {
    let dash =
        stem.match_indices('-').find(|(at, _)| stem.as_bytes().get(at + 1).is_some_and(u8::is_ascii_digit));
    match dash {
        Some((at, _)) => (stem.get(..at).unwrap_or("").to_owned(), stem.get(at + 1..).map(str::to_owned)),
        None => (stem.to_owned(), None),
    }
}

fn properties(text: &str) -> Option<(String, String, String)> {
    let get = |key: &str| {
        text.lines().find_map(|line| {
            let (name, value) = line.trim().split_once(['=', ':'])?;
            (name.trim() == key).then(|| value.trim().to_owned())
        })
    };
    Some((get("groupId")?, get("artifactId")?, get("version")?))
        .filter(|(_, _, version)| !version.contains("${"))
}

/// The main section of a manifest; continuation lines begin with a space.
fn manifest(text: &str) -> BTreeMap<String, String> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        let line = line.trim_end_matches('\r');
        if line.is_empty() {
            break;
        }
        if let Some(rest) = line.strip_prefix(' ') {
            if let Some((_, value)) = fields.last_mut() {
                value.push_str(rest);
            }
        } else if let Some((key, value)) = line.split_once(':') {
            fields.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    fields.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_archives_do_not_state_are_known() {
        assert_eq!(known_group("spring-beans"), Some("org.springframework"));
        assert_eq!(known_group("spring-security-core"), Some("org.springframework.security"));
        assert_eq!(known_group("ant"), Some("org.apache.ant"));
        assert_eq!(known_group("antenna"), None);
    }

    #[test]
    fn file_names_split_at_the_version() {
        assert_eq!(split_name("log4j-core-2.14.1"), ("log4j-core".to_owned(), Some("2.14.1".to_owned())));
        assert_eq!(
            split_name("log4j-1.2-api-2.17.1"),
            ("log4j".to_owned(), Some("1.2-api-2.17.1".to_owned()))
        );
        assert_eq!(split_name("app"), ("app".to_owned(), None));
    }
}
