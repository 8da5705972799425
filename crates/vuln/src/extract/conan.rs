//! Conan: `conan.lock` (both versions), `conanfile.txt`, installed `conaninfo.txt`. References are
//! `name/version@user/channel#revision`.

use serde_json::Value;

use super::text::{json, text};
use super::{Extractor, Found, Parse, Scope};
use crate::package::PackageKind;

pub(super) const LOCK: Extractor = Extractor {
    name: "conan-lock",
    scope: Scope::Directory,
    required: |info| info.name == "conan.lock",
    parse: Parse::Document(|_, bytes, found| {
        let document = json(bytes)?;
        let nodes = document.pointer("/graph_lock/nodes").and_then(Value::as_object).into_iter().flatten();
        nodes.filter_map(|(_, node)| node.get("ref")?.as_str()).for_each(|reference| add(reference, found));
        for key in ["requires", "build_requires", "python_requires"] {
            let list = document.get(key).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_str).for_each(|reference| add(reference, found));
        }
        Ok(())
    }),
};

pub(super) const FILE: Extractor = Extractor {
    name: "conan-file",
    scope: Scope::Directory,
    required: |info| info.name == "conanfile.txt",
    parse: Parse::Document(|_, bytes, found| {
        section(&text(bytes), "[requires]", found);
        Ok(())
    }),
};

pub(super) const INFO: Extractor = Extractor {
    name: "conan-info",
    scope: Scope::Both,
    required: |info| info.name == "conaninfo.txt",
    parse: Parse::Document(|info, bytes, found| {
        section(&text(bytes), "[full_requires]", found);
        // …/data/NAME/VERSION/USER/CHANNEL/package/ID/conaninfo.txt
        let parts: Vec<&str> = info.path.split('/').collect();
        if let [.., name, version, _, _, "package", _, _] = parts.as_slice() {
            found.add(PackageKind::Conan, name, version);
        }
        Ok(())
    }),
};

fn section(text: &str, wanted: &str, found: &mut Found) {
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == wanted;
        } else if inside && !line.starts_with('#') {
            add(line, found);
        }
    }
}

fn add(reference: &str, found: &mut Found) {
    let bare = reference.split(['@', '#', ':']).next().unwrap_or("").trim();
    // Ranges (`[>=1.0]`) are no versions.
    if let Some((name, version)) = bare.split_once('/').filter(|(_, version)| !version.starts_with('[')) {
        found.add(PackageKind::Conan, name, version);
    }
}
