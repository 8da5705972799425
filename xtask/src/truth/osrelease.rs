//! `os-release`: root folders whose name states their distribution.

use super::{Report, file_name, folders, inventory};
use std::path::Path;
use vuln::{Distro, Mode};

/// Folder names that are not the `ID` that their release file has.
const IDS: &[(&str, &str)] = &[
    ("redhat", "rhel"),
    ("rockylinux", "rocky"),
    ("oraclelinux", "ol"),
    ("amazon", "amzn"),
    ("centos5", "centos"),
    ("centos6", "centos"),
];

/// Names that state no distribution.
const OTHER: &[&str] =
    &["custom", "empty", "os", "syft", "unprintable", "missing-id", "unknown-id", "missing-version"];

pub(super) fn run(dir: &Path, report: &mut Report) -> anyhow::Result<()> {
    let mut open = folders(dir)?;
    while let Some(root) = open.pop() {
        let is_root = root.join("etc").is_dir() || root.join("usr").is_dir() || root.join("bin").is_dir();
        if is_root {
            // `debian/from-os-release` is a variant of `debian`
            let own = file_name(&root);
            let variant = own.starts_with("from-") || own.starts_with("with-");
            let name = if variant { root.parent().map(file_name).unwrap_or(own) } else { own };
            let distro = inventory::of_folder(&root, Mode::Image)?.distro;
            judge(&name, distro.as_ref(), report);
            continue;
        }
        for entry in std::fs::read_dir(&root)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.is_file() {
                let distro = inventory::of_one_file(&path, "etc/os-release")?.distro;
                judge(&file_name(&path), distro.as_ref(), report);
            }
        }
    }
    Ok(())
}

/// `name` is `debian`, `ubuntu-20.04`, `opensuse-leap` …
fn judge(name: &str, distro: Option<&Distro>, report: &mut Report) {
    if OTHER.contains(&name) || name.starts_with("bad-") || name.starts_with('.') {
        report.skip("os-release", "", 1, "name states no distribution");
        return;
    }
    let (base, version) = match name.rsplit_once('-') {
        Some((base, v)) if v.starts_with(|c: char| c.is_ascii_digit()) => (base, Some(v)),
        _ => (name, None),
    };
    let expected = IDS.iter().find(|(folder, _)| *folder == base).map_or(base, |(_, id)| id);
    let outcome = match distro {
        Some(d) if d.id == expected && version.is_none_or(|v| d.version_id.starts_with(v)) => Ok(()),
        other => Err(format!("{name}: recognised as {other:?}")),
    };
    report.check("os-release", "", outcome);
}
