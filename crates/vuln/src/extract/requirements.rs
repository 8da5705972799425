//! pip's requirements and constraints files: pinned (`==`, `===`) requirements only.

use super::text::text;
use super::{Extractor, FileInfo, Found, Parse, Scope};
use crate::package::PackageKind;

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "python-requirements",
    scope: Scope::Directory,
    required: is_requirements,
    parse: Parse::Document(|_, bytes, found| {
        parse(&text(bytes), found);
        Ok(())
    }),
};

fn is_requirements(info: &FileInfo<'_>) -> bool {
    let Some(stem) = info.name.strip_suffix(".txt") else { return false };
    stem.contains("requirements") || stem.contains("constraints") || info.parent() == "requirements"
}

fn parse(text: &str, found: &mut Found) {
    let joined = text.replace("\\\r\n", " ").replace("\\\n", " ");
    for line in joined.lines() {
        let line = line.split(" #").next().unwrap_or(line).trim();
        if line.starts_with(['#', '-']) {
            continue;
        }
        let spaced: String = line
            .split(';')
            .next()
            .unwrap_or("")
            .split(" --")
            .next()
            .unwrap_or("")
            .split_whitespace()
            .collect();
        let Some((name, version)) = spaced.split_once("==") else { continue };
        let version = version.trim_start_matches('=').split(',').next().unwrap_or("");
        let name = name.split('[').next().unwrap_or(name);
        let is_name = !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if is_name && !version.contains('*') {
            found.add(PackageKind::Pypi, name, version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pinned_requirements_count() {
        let mut found = Found::default();
        parse(
            "a==1.0\nb[x,y] == 2 ; python_version < '3'\nc>=1\n# d==1\n-r e.txt\nf==1.*\ng==3 \\\n  --hash=sha256:00\n",
            &mut found,
        );
        let names: Vec<_> =
            found.packages.iter().map(|package| format!("{}={}", package.name, package.version)).collect();
        assert_eq!(names, ["a=1.0", "b=2", "g=3"]);
    }
}
