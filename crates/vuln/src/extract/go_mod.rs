//! `go.mod`: required modules after `replace` and `exclude`.

use std::collections::BTreeMap;

use super::text::text;
use super::{Extractor, Found, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "go-mod",
    scope: Scope::Directory,
    required: |info| info.name == "go.mod",
    parse: Parse::Document(|_, bytes, found| {
        parse(&text(bytes), found);
        Ok(())
    }),
};

fn parse(text: &str, found: &mut Found) {
    let mut required: BTreeMap<String, (String, bool)> = BTreeMap::new();
    let mut replaced = Vec::new();
    let mut excluded = Vec::new();
    let mut block = String::new();
    for line in text.lines() {
        let (code, comment) = line.split_once("//").unwrap_or((line, ""));
        let mut words: Vec<&str> = code.split_whitespace().map(|word| word.trim_matches('"')).collect();
        if words.first() == Some(&")") {
            block.clear();
            continue;
        }
        if words.last() == Some(&"(") {
            block = words.first().map_or(String::new(), |word| (*word).to_owned());
            continue;
        }
        let directive = if block.is_empty() && !words.is_empty() { words.remove(0) } else { block.as_str() };
        match (directive, words.as_slice()) {
            ("require", [name, version]) => {
                required.insert((*name).to_owned(), ((*version).to_owned(), comment.trim() == "indirect"));
            }
            ("replace", _) => replaced.push(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()),
            ("exclude", [name, version]) => excluded.push(((*name).to_owned(), (*version).to_owned())),
            _ => {}
        }
    }
    for words in replaced {
        let mut sides = words.split(|word| word == "=>");
        let (Some([old, condition @ ..]), Some([new, target @ ..])) = (sides.next(), sides.next()) else {
            continue;
        };
        let applies = required
            .get(old)
            .is_some_and(|(version, _)| condition.first().is_none_or(|wanted| wanted == version));
        if applies && let Some((_, indirect)) = required.remove(old) {
            // A replacement by a path has no version: it is the project's own code.
            if let Some(version) = target.first() {
                required.insert(new.clone(), (version.clone(), indirect));
            }
        }
    }
    for (name, (version, indirect)) in required {
        if excluded.contains(&(name.clone(), version.clone())) {
            continue;
        }
        let mut package = Package::new(PackageKind::Golang, name, version);
        if indirect {
            package.properties.insert("indirect".to_owned(), "true".to_owned());
        }
        found.package(package);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements_apply_and_paths_drop_the_module() {
        let mut found = Found::default();
        let text = "module x\ngo 1.21\nrequire (\n a v1.0.0\n b v2.0.0 // indirect\n c v3.0.0\n)\nrequire d v1.1.0\nreplace a => e v1.5.0\nreplace c => ../c\nreplace b v9.0.0 => f v1.0.0\n";
        parse(text, &mut found);
        let names: Vec<_> =
            found.packages.iter().map(|package| format!("{} {}", package.name, package.version)).collect();
        assert_eq!(names, ["b v2.0.0", "d v1.1.0", "e v1.5.0"]);
    }
}
