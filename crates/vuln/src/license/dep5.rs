//! `usr/share/doc/PACKAGE/copyright`: Debian's machine-readable format 1.0 (DEP-5), else the texts that it names.

use std::collections::BTreeSet;

use super::names::normalize;
use super::recognise;

/// Largest file that is looked at.
const MAX_BYTES: usize = 1 << 20;

/// The licences that a copyright file states, sorted: SPDX expressions where they can be read, else the short names.
pub fn copyright_file(text: &str) -> Vec<String> {
    let text = text.get(..MAX_BYTES.min(text.len())).unwrap_or_default();
    let machine = text.lines().take(10).any(|line| line.to_ascii_lowercase().starts_with("format:"));
    let mut found = BTreeSet::new();
    if machine {
        for line in text.lines() {
            let Some(name) = line.strip_prefix("License:").map(str::trim).filter(|name| !name.is_empty())
            else {
                continue;
            };
            found.insert(normalize(name).unwrap_or_else(|| name.to_owned()));
        }
    }
    if found.is_empty() {
        found.extend(referenced(text));
    }
    if found.is_empty() {
        found.extend(recognise(text).map(|found| found.id));
    }
    found.into_iter().collect()
}

/// `/usr/share/common-licenses/GPL-2`: what Debian's free-form files refer to.
fn referenced(text: &str) -> BTreeSet<String> {
    text.split("/usr/share/common-licenses/")
        .skip(1)
        .filter_map(|rest| {
            let end = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.')))
                .unwrap_or(rest.len());
            normalize(rest[..end].trim_end_matches('.'))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_readable_file_states_each_licence_once() {
        let text = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\n\
                    Copyright: 2001 A\nLicense: GPL-2+\n\nFiles: b\nLicense: Expat or GPL-2+\n\nLicense: GPL-2+\n text\n";
        assert_eq!(copyright_file(text), ["GPL-2.0-or-later", "MIT OR GPL-2.0-or-later"]);
    }

    #[test]
    fn free_form_file_is_read_by_its_references() {
        let text = "On Debian systems see `/usr/share/common-licenses/LGPL-2.1'.";
        assert_eq!(copyright_file(text), ["LGPL-2.1-only"]);
    }
}
