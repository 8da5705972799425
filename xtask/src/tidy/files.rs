//! What a tracked file must and must not contain.
//!
//! Rust files: a `//!` header, at most 800 lines of code (400 is the aim; comments, blanks and inline tests do not
//! count), no `allow` attribute (`#[expect(…, reason)]` says why and complains when it is no longer needed), `unsafe`
//! only in the modules named for it, and in the pure crates no file system, clock, network or process. All files: no
//! path of somebody's machine and no host of a package registry, so that the project builds and tests anywhere with
//! whatever registry its cargo is configured for. Lock files are written by tools and excepted.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Finding, arrow, source};

/// Code lines above which a file is told of, and above which it fails.
const AIM_LINES: usize = 400;
const MAX_LINES: usize = 800;

/// File names (without `.rs`) in which `unsafe` may stand.
const UNSAFE_MODULES: &[&str] = &["mmap", "hash_kernel", "sendfile", "allocator"];

/// Paths of a machine. Written in two parts, so that this file does not find itself.
const MACHINE_PATHS: &[(&str, &str)] = &[("/wo", "rk/"), ("/ro", "ot/"), ("/home", "/")];

/// Hosts of package registries, label by label for the same reason.
const REGISTRY_HOSTS: &[&[&str]] = &[
    &["index", "crates", "io"],
    &["static", "crates", "io"],
    &["pypi", "org"],
    &["files", "pythonhosted", "org"],
    &["registry", "npmjs", "org"],
    &["registry", "yarnpkg", "com"],
    &["proxy", "golang", "org"],
    &["sum", "golang", "org"],
    &["repo1", "maven", "org"],
    &["repo", "maven", "apache", "org"],
    &["deb", "debian", "org"],
    &["rubygems", "org"],
];

/// Files written by package managers, where hosts are data.
const LOCK_FILES: &[&str] = &[
    "Cargo.lock",
    "Gemfile.lock",
    "Pipfile.lock",
    "bun.lock",
    "composer.lock",
    "go.sum",
    "mix.lock",
    "package-lock.json",
    "packages.lock.json",
    "pnpm-lock.yaml",
    "poetry.lock",
    "pubspec.lock",
    "pylock.toml",
    "uv.lock",
    "yarn.lock",
];

/// What a pure crate may not name outside its tests.
const IMPURE_NAMES: &[&str] = &[
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "File::open",
];

/// Files that `path` declares as `#[cfg(test)] mod name;`: they are tests although their names do not say so.
pub(super) fn test_modules(path: &str, bytes: &[u8]) -> Vec<String> {
    let Some((stem, text)) = path.strip_suffix(".rs").zip(std::str::from_utf8(bytes).ok()) else {
        return Vec::new();
    };
    let dir = match stem.rsplit_once('/') {
        Some((dir, "mod" | "lib" | "main")) => dir,
        _ => stem,
    };
    let declared = source::code_only(text);
    let after_mark = declared.split("#[cfg(test)]").skip(1);
    let names = after_mark.filter_map(|rest| rest.trim_start().strip_prefix("mod ")?.split_once(';'));
    let names = names.map(|(name, _)| name.trim()).filter(|name| !name.contains(char::is_whitespace));
    names.flat_map(|name| [format!("{dir}/{name}.rs"), format!("{dir}/{name}/mod.rs")]).collect()
}

/// Every finding about the file `path` (below the workspace root) with these bytes; `tests` are [`test_modules`].
pub(super) fn check(path: &str, bytes: &[u8], tests: &BTreeSet<String>) -> Vec<Finding> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Vec::new() };
    let mut findings = check_names(path, text);
    if Path::new(path).extension().is_some_and(|extension| extension == "rs") {
        findings.extend(check_rust(path, text, tests.contains(path) || is_test(path)));
    }
    findings
}

fn check_names(path: &str, text: &str) -> Vec<Finding> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if LOCK_FILES.contains(&name) {
        return Vec::new();
    }
    let mut needles: Vec<(String, &str)> =
        MACHINE_PATHS.iter().map(|(a, b)| (format!("{a}{b}"), "a path of a machine")).collect();
    needles.extend(REGISTRY_HOSTS.iter().map(|labels| (labels.join("."), "the host of a package registry")));
    let mut findings = Vec::new();
    for (n, line) in text.lines().enumerate() {
        for (needle, what) in needles.iter().filter(|(needle, _)| stands_alone(line, needle)) {
            findings.push(Finding::error(format!("{path}:{}", n + 1), format!("{what}: {needle}")));
        }
    }
    findings
}

/// Whether `needle` stands in `line` and is not the tail of a longer name (`api.rubygems…` is, `x/home/` is not).
fn stands_alone(line: &str, needle: &str) -> bool {
    line.match_indices(needle).any(|(n, _)| {
        let before = line[..n].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || (c == '.' && needle.starts_with('/')) || c == '}')
    })
}

fn check_rust(path: &str, text: &str, is_test: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !text.trim_start().starts_with("//!") {
        findings.push(Finding::error(path, "no `//!` header: say what the file is for, and why"));
    }
    let code = source::code_only(text);
    let shipped = source::without_tests(&code);
    findings.extend(check_size(path, source::code_lines(&shipped), is_test));
    for n in lines_with_allow(&code) {
        findings.push(Finding::error(
            format!("{path}:{n}"),
            "an allow attribute: mend it, or #[expect(…, reason = \"…\")]",
        ));
    }
    let stem = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".rs");
    if !UNSAFE_MODULES.contains(&stem) {
        for n in source::lines_with_word(&code, "unsafe") {
            findings.push(Finding::error(
                format!("{path}:{n}"),
                format!("unsafe outside the modules named for it ({})", UNSAFE_MODULES.join(", ")),
            ));
        }
    }
    if is_pure_source(path) && !is_test {
        for name in IMPURE_NAMES {
            for (n, _) in shipped.lines().enumerate().filter(|(_, line)| line.contains(name)) {
                findings.push(Finding::error(
                    format!("{path}:{}", n + 1),
                    format!("{name} in a crate that knows no file system, network or clock"),
                ));
            }
        }
    }
    findings
}

fn check_size(path: &str, lines: usize, is_test: bool) -> Option<Finding> {
    if lines > MAX_LINES {
        return Some(Finding::error(path, format!("{lines} code lines, at most {MAX_LINES}: split it")));
    }
    (lines > AIM_LINES && !is_test)
        .then(|| Finding::warning(path, format!("{lines} code lines, {AIM_LINES} is the aim")))
}

fn lines_with_allow(code: &str) -> Vec<usize> {
    let is_allow = |line: &str| {
        let attribute = line.find("#[").or_else(|| line.find("#!["));
        attribute.is_some_and(|n| {
            !source::lines_with_word(&line[n..], "allow").is_empty() && line.contains("allow(")
        })
    };
    code.lines().enumerate().filter(|(_, line)| is_allow(line)).map(|(n, _)| n + 1).collect()
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/")
        || path.starts_with("e2e/")
        || path.ends_with("/tests.rs")
        || path.ends_with("_tests.rs")
}

fn is_pure_source(path: &str) -> bool {
    let below = |name: &&&str| path.starts_with(&format!("crates/{name}/src/"));
    arrow::PURE.iter().any(|name| below(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &str, text: &str) -> Vec<String> {
        check(path, text.as_bytes(), &BTreeSet::new())
            .into_iter()
            .map(|f| format!("{}: {}", f.place, f.what))
            .collect()
    }

    #[test]
    fn a_file_without_header_is_an_error() {
        assert_eq!(said("a.rs", "use std::fs;\n").len(), 1);
        assert!(said("a.rs", "//! What.\nuse std::fs;\n").is_empty());
    }

    #[test]
    fn size_counts_code_and_not_comments_or_tests() {
        let code = |n| {
            format!(
                "//! x\n{}// c\n#[cfg(test)]\nmod tests {{\n{}}}\n",
                "x();\n".repeat(n),
                "y();\n".repeat(900)
            )
        };
        let none = BTreeSet::new();
        assert!(check("a.rs", code(400).as_bytes(), &none).is_empty());
        assert_eq!(check("a.rs", code(401).as_bytes(), &none)[0].weight, super::super::Weight::Warning);
        assert!(check("x/tests/a.rs", code(800).as_bytes(), &none).is_empty());
        assert_eq!(check("x/tests/a.rs", code(801).as_bytes(), &none)[0].weight, super::super::Weight::Error);
    }

    #[test]
    fn an_allow_attribute_is_an_error_and_a_method_of_that_name_is_not() {
        let lint = ["#[al", "low(dead_code)]"].concat();
        assert_eq!(said("a.rs", &format!("//! x\n{lint}\nfn f() {{}}\n")).len(), 1);
        assert!(said("a.rs", "//! x\nfn f() { policy.allow(x); }\n").is_empty());
    }

    #[test]
    fn unsafe_stands_only_in_its_modules() {
        let text = format!("//! x\nfn f() {{ {} {{ }} }}\n", "unsafe");
        assert_eq!(said("crates/blobs/src/fs.rs", &text).len(), 1);
        assert!(said("crates/vuln/src/mmap.rs", &text).is_empty());
    }

    #[test]
    fn machine_paths_and_registry_hosts_are_errors_outside_lock_files() {
        let host = ["registry", "npmjs", "org"].join(".");
        let path = ["/ro", "ot/.cargo"].concat();
        assert_eq!(said("a.md", &format!("see https://{host}/x and {path}\n")).len(), 2);
        assert!(said("fixtures/yarn.lock", &host).is_empty());
        assert!(said("a.md", "the OCI config's rootfs, https://x/home/y and ~/.cargo\n").is_empty());
    }

    #[test]
    fn a_module_declared_for_tests_is_a_test() {
        let found =
            test_modules("crates/vuln/src/version.rs", b"//! x\n#[cfg(test)]\nmod vectors;\nmod real;\n");
        assert_eq!(found, ["crates/vuln/src/version/vectors.rs", "crates/vuln/src/version/vectors/mod.rs"]);
        let text = b"//! x\nuse std::fs::read;\n";
        assert!(check(&found[0], text, &found.iter().cloned().collect()).is_empty());
        assert_eq!(check(&found[0], text, &BTreeSet::new()).len(), 1);
    }

    #[test]
    fn a_pure_crate_names_no_clock_outside_its_tests() {
        let text = "//! x\nfn f() { std::fs::read(p); }\n#[cfg(test)]\nmod tests {\n use std::fs;\n}\n";
        assert_eq!(said("crates/vuln/src/a.rs", text).len(), 1);
        assert!(said("crates/blobs/src/a.rs", text).is_empty());
    }
}
