//! .NET: `*.deps.json`, `packages.lock.json`, `packages.config`, `*Packages.props` and project files.

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value;

use super::text::{json, str_of, text};
use super::{Extractor, Found, Parse, ParseError, ParseResult, Scope};
use crate::package::{Package, PackageKind};

pub(super) const DEPS: Extractor = Extractor {
    name: "dotnet-deps",
    scope: Scope::Both,
    required: |info| info.has_suffix(".deps.json"),
    parse: Parse::Document(|info, bytes, found| {
        deps(info.name.trim_end_matches(".deps.json"), &json(bytes)?, found);
        Ok(())
    }),
};

pub(super) const LOCK: Extractor = Extractor {
    name: "nuget-lock",
    scope: Scope::Directory,
    required: |info| info.name == "packages.lock.json",
    parse: Parse::Document(|_, bytes, found| {
        let document = json(bytes)?;
        let frameworks = document.get("dependencies").and_then(Value::as_object);
        for (name, entry) in
            frameworks.into_iter().flatten().filter_map(|(_, packages)| packages.as_object()).flatten()
        {
            if str_of(entry, "type") != "Project" {
                let mut package = Package::new(PackageKind::Nuget, name.as_str(), str_of(entry, "resolved"));
                let needs = entry.get("dependencies").and_then(Value::as_object);
                package.depends_on = needs.map(|needs| needs.keys().cloned().collect()).unwrap_or_default();
                found.package(package);
            }
        }
        Ok(())
    }),
};

pub(super) const CONFIG: Extractor = Extractor {
    name: "nuget-config",
    scope: Scope::Directory,
    required: |info| info.name == "packages.config",
    parse: Parse::Document(|_, bytes, found| elements(&text(bytes), &["package"], "id", "version", found)),
};

pub(super) const PROPS: Extractor = Extractor {
    name: "nuget-props",
    scope: Scope::Directory,
    required: |info| {
        info.name.to_ascii_lowercase().ends_with("packages.props")
            || [".csproj", ".fsproj", ".vbproj"].iter().any(|suffix| info.name.ends_with(suffix))
    },
    parse: Parse::Document(|_, bytes, found| {
        elements(
            &text(bytes),
            &["PackageVersion", "PackageReference", "GlobalPackageReference"],
            "Include",
            "Version",
            found,
        )
    }),
};

/// Libraries that bring files; the application itself is the project named like the file.
fn deps(application: &str, document: &Value, found: &mut Found) {
    let targets = document.get("targets").and_then(Value::as_object);
    let dependencies = |key: &str| -> Vec<String> {
        let entry = targets
            .into_iter()
            .flatten()
            .find_map(|(_, target)| target.get(key)?.get("dependencies")?.as_object());
        entry.map(|needs| needs.keys().cloned().collect()).unwrap_or_default()
    };
    for (key, entry) in document.get("libraries").and_then(Value::as_object).into_iter().flatten() {
        let Some((name, version)) = key.split_once('/') else { continue };
        let wanted = match str_of(entry, "type") {
            // `runtimepack.Microsoft.NETCore.App.Runtime.linux-x64` is the runtime that the application carries.
            "package" | "runtimepack" => true,
            "project" => name == application,
            _ => false,
        };
        if wanted {
            let mut package =
                Package::new(PackageKind::Nuget, name.trim_start_matches("runtimepack."), version);
            package.hashes = super::npm_lock::integrity(str_of(entry, "sha512")).into_iter().collect();
            package.depends_on = dependencies(key);
            found.package(package);
        }
    }
}

/// Elements with a name and a version attribute; MSBuild also allows a nested `<Version>`.
fn elements(text: &str, names: &[&str], id: &str, version: &str, found: &mut Found) -> ParseResult {
    let mut reader = Reader::from_str(text);
    let mut open: Option<String> = None;
    let mut in_version = false;
    loop {
        match reader.read_event().map_err(ParseError::malformed)? {
            Event::Start(start) => {
                let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
                in_version = open.is_some() && name == version;
                if names.contains(&name.as_str()) {
                    open = element(&start, id, version, found);
                }
            }
            Event::Empty(start)
                if names.contains(&String::from_utf8_lossy(start.local_name().as_ref()).as_ref()) =>
            {
                element(&start, id, version, found);
            }
            Event::Text(content) if in_version => {
                if let Some(name) = &open {
                    add(name, content.decode().map_err(ParseError::malformed)?.trim(), found);
                }
            }
            Event::End(_) => in_version = false,
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

/// Adds the package if the version is an attribute; gives the name.
fn element(
    start: &quick_xml::events::BytesStart<'_>,
    id: &str,
    version: &str,
    found: &mut Found,
) -> Option<String> {
    let get = |wanted: &str| {
        let attribute = start
            .attributes()
            .flatten()
            .find(|attribute| attribute.key.local_name().as_ref().eq_ignore_ascii_case(wanted.as_bytes()))?;
        Some(String::from_utf8_lossy(&attribute.value).into_owned())
    };
    let name = get(id)?;
    if let Some(version) = get(version) {
        add(&name, &version, found);
    }
    Some(name)
}

fn add(name: &str, version: &str, found: &mut Found) {
    // `[1.0]` is exactly 1.0; other ranges, wildcards and properties are no versions.
    let version = version.strip_prefix('[').and_then(|version| version.strip_suffix(']')).unwrap_or(version);
    if version.starts_with(|c: char| c.is_ascii_digit()) && !version.contains(['*', ',']) {
        found.add(PackageKind::Nuget, name, version);
    }
}
