//! Declared licence texts of all ecosystems as SPDX expressions.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

/// Longest declaration that is looked at; more is a licence text, not a name.
const MAX_LEN: usize = 1_000;

static NAMES: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    include_str!("../../data/license/names.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('\t'))
        .collect()
});

static GNU: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"^(?:gnu )?(?P<family>agpl|lgpl|gpl|gfdl|affero gpl|affero general public|(?:lesser|library) general public|library or lesser general public|general public|free documentation)(?: \((?:a|l)?gpl\))?[ ,-]*(?:v|version |ver\. ?)?[ -]?(?P<major>[1-3])(?:\.(?P<minor>[0-3]))?(?:\.0)?(?P<later>\+|[ -]or[ -](?:later|newer|any later version|\(at your option\) any later version)|[ -]only| \((?:a|l)?gpl ?v?[1-3](?:\.[0-9])?(?P<later2>\+)?\)|(?: or later)? \((?:a|l)?gplv[0-9.]+\+?\))?(?:[ -]no[ -]invariants?)?$",
    )
    .ok()
});

/// A declared text as an SPDX expression; `None` when it cannot be read as one.
///
/// Understood: expressions, PyPI classifiers, Fedora's and Debian's short names, joined by `and`, `or`, `&`, `|`, `/`,
/// commas and, in old apk records, spaces.
pub fn normalize(declared: &str) -> Option<String> {
    let text = declared.trim();
    if text.is_empty() || text.len() > MAX_LEN || text.contains('\n') {
        return None;
    }
    if super::is_expression(text) && !is_deprecated(text) {
        return Some(text.to_owned());
    }
    if let Some(classifier) = text.strip_prefix("License ::") {
        let last = classifier.rsplit("::").next().unwrap_or(classifier).trim();
        return if last == "OSI Approved" { None } else { leaf(last) };
    }
    leaf(text).or_else(|| joined(text))
}

/// `GPL-2.0`, `GPL-2.0+`: identifiers that SPDX has replaced by `-only` and `-or-later`.
fn is_deprecated(text: &str) -> bool {
    text.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')')).any(|word| {
        let gnu = ["GPL-", "LGPL-", "AGPL-", "GFDL-"].iter().any(|family| word.starts_with(family));
        gnu && !word.ends_with("-only") && !word.ends_with("-or-later") && !word.contains("-invariants")
    })
}

fn joined(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut pending = String::new();
    let mut depth = 0_i32;
    let flush = |pending: &mut String, out: &mut String| -> Option<()> {
        let name = std::mem::take(pending);
        let name = name.trim();
        if name.is_empty() {
            return Some(());
        }
        let found = leaf(name).or_else(|| spaced(name))?;
        let wrap = found.contains(' ') && !found.contains(" WITH ");
        if wrap {
            out.extend(["(", &found, ")"]);
        } else {
            out.push_str(&found);
        }
        Some(())
    };
    for token in tokens(text) {
        match token.as_str() {
            "(" | ")" => {
                flush(&mut pending, &mut out)?;
                depth += if token == "(" { 1 } else { -1 };
                if depth < 0 {
                    return None;
                }
                out.push_str(&token);
            }
            "and" | "&" | "," | ";" | "+and" => {
                flush(&mut pending, &mut out)?;
                out.push_str(" AND ");
            }
            "or" | "|" | "||" | "/" => {
                flush(&mut pending, &mut out)?;
                out.push_str(" OR ");
            }
            word => {
                if !pending.is_empty() {
                    pending.push(' ');
                }
                pending.push_str(word);
            }
        }
    }
    flush(&mut pending, &mut out)?;
    super::is_expression(&out).then_some(out)
}

/// Words and separators. `or later` stays with its licence; a slash separates only between names that are known.
fn tokens(text: &str) -> Vec<String> {
    let mut spaced = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '(' | ')' | ',' | ';' | '&' | '|' => {
                spaced.push(' ');
                spaced.push(c);
                spaced.push(' ');
            }
            '/' => spaced.push_str(" / "),
            c => spaced.push(c),
        }
    }
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut out: Vec<String> = Vec::new();
    for (position, word) in words.iter().enumerate() {
        let lower = word.to_lowercase();
        let next = words.get(position + 1).map(|word| word.to_lowercase());
        let later =
            lower == "or" && next.is_some_and(|next| matches!(next.as_str(), "later" | "newer" | "any"));
        match (later, lower.as_str(), out.last_mut()) {
            (true, _, Some(last)) => last.push_str(" or"),
            (false, "and" | "or", Some(last)) if matches!(last.as_str(), "," | ";" | "and" | "or") => {
                *last = lower;
            }
            (false, "and" | "or" | "and/or", _) => {
                out.push(if lower == "and/or" { "or".into() } else { lower });
            }
            _ => out.push((*word).to_owned()),
        }
    }
    out
}

/// Old apk records: several identifiers with nothing but spaces between them.
fn spaced(text: &str) -> Option<String> {
    let parts: Vec<String> = text.split(' ').map(leaf).collect::<Option<_>>()?;
    (parts.len() > 1).then(|| parts.join(" AND "))
}

fn leaf(text: &str) -> Option<String> {
    if let Some(id) = spdx::license_id(text).filter(|id| id.name == text && !is_deprecated(text)) {
        return Some(id.name.to_owned());
    }
    let lower = text.to_lowercase();
    if let Some((name, exception)) = lower.split_once(" with ") {
        return Some(with_exception(&leaf(name.trim())?, exception));
    }
    let key = key(&lower);
    if let Some(known) = NAMES.get(key.as_str()) {
        return Some((*known).to_owned());
    }
    let imprecise = || spdx::imprecise_license_id(text).filter(|(_, len)| *len == text.len());
    gnu(&key).or_else(|| by_case(&key)).or_else(|| imprecise().map(|(id, _)| id.name.to_owned()))
}

/// The form of the table's first column.
fn key(lower: &str) -> String {
    let plain = lower.replace('_', " ").replace("licence", "license");
    let plain = plain.trim_matches(|c: char| matches!(c, '"' | '\'' | '.' | ' '));
    plain
        .split_whitespace()
        .filter(|word| !matches!(*word, "the" | "license" | "licenses" | "license," | "license:"))
        .collect::<Vec<_>>()
        .join(" ")
        .trim_end_matches(',')
        .to_owned()
}

fn gnu(key: &str) -> Option<String> {
    let found = GNU.as_ref()?.captures(key)?;
    let major = &found["major"];
    let minor = found.name("minor").map_or("0", |minor| minor.as_str());
    let family = match &found["family"] {
        "agpl" | "affero gpl" | "affero general public" => "AGPL",
        "gfdl" | "free documentation" => "GFDL",
        "gpl" | "general public" => "GPL",
        _ => "LGPL",
    };
    let later = found.name("later").is_some_and(|later| {
        later.as_str().contains('+') || later.as_str().contains("later") || later.as_str().contains("newer")
    });
    let id = format!("{family}-{major}.{minor}-{}", if later { "or-later" } else { "only" });
    spdx::license_id(&id).map(|id| id.name.to_owned())
}

fn with_exception(license: &str, exception: &str) -> String {
    let key = key(exception);
    let plain =
        key.trim_end_matches(" exceptions").trim_end_matches(" exception").trim_end_matches("-exception");
    let id = match plain {
        "classpath" => "Classpath-exception-2.0",
        "openssl" => "LicenseRef-OpenSSL-exception",
        "autoconf" => "Autoconf-exception-2.0",
        "bison" => "Bison-exception-2.2",
        "font" => "Font-exception-2.0",
        "gcc" | "gcc runtime library" => "GCC-exception-3.1",
        "libtool" => "Libtool-exception",
        "llvm" => "LLVM-exception",
        "linux-syscall-note" => "Linux-syscall-note",
        _ => "",
    };
    if id.starts_with("LicenseRef-") || id.is_empty() {
        // An exception without an SPDX identifier only permits more: the licence itself is the safe reading.
        return license.to_owned();
    }
    format!("{license} WITH {id}")
}

/// SPDX identifiers in another case.
fn by_case(key: &str) -> Option<String> {
    static LOWER: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
        spdx::identifiers::LICENSES
            .iter()
            .filter(|license| !is_deprecated(license.name))
            .map(|license| (license.name.to_lowercase(), license.name))
            .collect()
    });
    LOWER.get(key).or_else(|| LOWER.get(&key.replace(' ', "-"))).map(|name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_texts_of_every_ecosystem_become_expressions() {
        for (text, expected) in [
            ("MIT", "MIT"),
            ("mit", "MIT"),
            ("MIT License", "MIT"),
            ("The MIT License", "MIT"),
            ("Apache License 2.0", "Apache-2.0"),
            ("Apache License, Version 2.0", "Apache-2.0"),
            ("License :: OSI Approved :: BSD License", "BSD-3-Clause"),
            (
                "License :: OSI Approved :: GNU General Public License v3 or later (GPLv3+)",
                "GPL-3.0-or-later",
            ),
            ("License :: OSI Approved :: GNU Lesser General Public License v2 (LGPLv2)", "LGPL-2.0-only"),
            ("License :: OSI Approved :: Apache Software License", "Apache-2.0"),
            ("GPLv2+", "GPL-2.0-or-later"),
            ("GPLv3", "GPL-3.0-only"),
            ("LGPLv2+", "LGPL-2.0-or-later"),
            ("GPL-2+", "GPL-2.0-or-later"),
            ("LGPL-2.1+", "LGPL-2.1-or-later"),
            ("GPL-3", "GPL-3.0-only"),
            ("GPL2", "GPL-2.0-only"),
            ("ASL 2.0", "Apache-2.0"),
            ("Expat", "MIT"),
            ("GPL+ or Artistic", "GPL-1.0-or-later OR Artistic-1.0-Perl"),
            ("GPLv2+ and BSD and MIT", "GPL-2.0-or-later AND BSD-3-Clause AND MIT"),
            ("(GPLv2+ or LGPLv3+) and MIT", "(GPL-2.0-or-later OR LGPL-3.0-or-later) AND MIT"),
            ("MPLv1.1 or LGPLv2+ or GPLv2+", "MPL-1.1 OR LGPL-2.0-or-later OR GPL-2.0-or-later"),
            ("MIT/Apache-2.0", "MIT OR Apache-2.0"),
            ("(MIT OR CC0-1.0)", "(MIT OR CC0-1.0)"),
            ("MIT BSD-3-Clause", "(MIT AND BSD-3-Clause)"),
            ("MIT, BSD-3-Clause GPL-2.0-only", "MIT AND (BSD-3-Clause AND GPL-2.0-only)"),
            ("GPL-2+ with OpenSSL exception", "GPL-2.0-or-later"),
            ("GPLv2 with Classpath exception", "GPL-2.0-only WITH Classpath-exception-2.0"),
            ("public-domain", "LicenseRef-Public-Domain"),
        ] {
            assert_eq!(normalize(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_stays_unread() {
        for text in
            ["", "SEE LICENSE IN LICENSE.txt", "custom", "MIT and something odd", "License :: OSI Approved"]
        {
            assert_eq!(normalize(text), None, "{text}");
        }
    }
}
