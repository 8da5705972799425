//! `setup.py` and `setup.cfg`: requirements pinned in string literals. The code is not run.

use super::text::text;
use super::{Extractor, Parse, Scope};
use crate::package::PackageKind;

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "python-setup",
    scope: Scope::Directory,
    required: |info| info.name == "setup.py",
    parse: Parse::Document(|_, bytes, found| {
        let text = text(bytes);
        for literal in text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .flat_map(|line| line.split(['"', '\'']))
        {
            let Some((name, version)) = literal.split_once("==") else { continue };
            let name = name.split('[').next().unwrap_or(name).trim();
            let version = version.split([';', ',', ' ']).next().unwrap_or("").trim();
            let plain = |text: &str| {
                !text.is_empty()
                    && text
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '!'))
            };
            if plain(name)
                && plain(version)
                && !name.contains(char::is_whitespace)
                && version.contains(|c: char| c.is_ascii_digit())
            {
                found.add(PackageKind::Pypi, name, version);
            }
        }
        Ok(())
    }),
};
