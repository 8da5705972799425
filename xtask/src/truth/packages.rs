//! `rpmdb`, `apk`, `dpkg`: package databases with what the package manager itself says, or, where no answer is given,
//! with what a count of the database's own records says.

use super::{Report, file_name, files, folders, inventory};
use anyhow::Context;
use std::collections::BTreeSet;
use std::path::Path;
use vuln::PackageKind;

/// `Packages` (or `rpmdb.sqlite`, `Packages.db`) beside `expected.txt`, the output of `rpm -qa`: either
/// `name|epoch|version|release|arch|sourcerpm|…` under a header or `name epoch:version-release sourcerpm`.
pub(super) fn rpmdb(dir: &Path, report: &mut Report) -> anyhow::Result<()> {
    for folder in folders(dir)? {
        let name = file_name(&folder);
        let database = files(&folder)?
            .into_iter()
            .find(|p| matches!(file_name(p).as_str(), "Packages" | "Packages.db" | "rpmdb.sqlite"));
        let expected = std::fs::read_to_string(folder.join("expected.txt"));
        let (Some(database), Ok(expected)) = (database, expected) else {
            report.skip("rpmdb", &name, 1, "database or expected.txt is absent");
            continue;
        };
        let found = inventory::of_one_file(&database, &format!("var/lib/rpm/{}", file_name(&database)))?;
        let ours: BTreeSet<String> = found.packages.iter().map(rpm_row).collect();
        let theirs: BTreeSet<String> = expected.lines().filter_map(expected_row).collect();
        compare_sets("rpmdb", &name, &ours, &theirs, report);
    }
    Ok(())
}

/// `name epoch:version-release source-name` of ours.
fn rpm_row(package: &vuln::Package) -> String {
    let version = if package.version.contains(':') {
        package.version.clone()
    } else {
        format!("0:{}", package.version)
    };
    let source = package.source.as_ref().map(|s| {
        let version = s.version.split_once(':').map_or(s.version.as_str(), |(_, v)| v);
        format!("{}-{version}.src.rpm", s.name)
    });
    format!("{} {version} {}", package.name, source.unwrap_or_else(|| format!("{}-?.src.rpm", package.name)))
}

fn expected_row(line: &str) -> Option<String> {
    let fields: Vec<&str> = line.split('|').collect();
    match fields.as_slice() {
        ["name", ..] => None,
        [name, epoch, version, release, _arch, source, ..] => {
            let epoch = if *epoch == "(none)" { "0" } else { epoch };
            Some(format!("{name} {epoch}:{version}-{release} {source}"))
        }
        _ => Some(line.trim().to_owned()).filter(|line| !line.is_empty()),
    }
}

fn compare_sets(
    set: &str,
    group: &str,
    ours: &BTreeSet<String>,
    theirs: &BTreeSet<String>,
    report: &mut Report,
) {
    for row in theirs {
        let missed = format!("missed {row}");
        report.check(set, group, if ours.contains(row) { Ok(()) } else { Err(missed) });
    }
    for row in ours.difference(theirs) {
        report.fail(set, group, &format!("not stated: {row}"));
    }
}

/// Every `lib/apk/db/installed` below: as many packages as records with a name and a version.
pub(super) fn apk(dir: &Path, report: &mut Report) -> anyhow::Result<()> {
    counted(
        "apk",
        dir,
        PackageKind::Apk,
        report,
        |path| path.ends_with("apk/db/installed"),
        |text| records(text).filter(|r| has(r, "P:") && has(r, "V:")).map(|r| field(&r, "P:")).collect(),
    )
}

/// Every dpkg status file below: as many packages as records that are installed.
pub(super) fn dpkg(dir: &Path, report: &mut Report) -> anyhow::Result<()> {
    counted(
        "dpkg",
        dir,
        PackageKind::Deb,
        report,
        |path| {
            path.ends_with("dpkg/status") || (path.contains("dpkg/status.d/") && !path.ends_with(".md5sums"))
        },
        |text| {
            records(text)
                .filter(|r| has(r, "Package:") && has(r, "Version:"))
                .filter(|r| {
                    let status = field(r, "Status:");
                    status.is_empty()
                        || status.split_whitespace().last() != Some("config-files")
                            && !status.contains("not-installed")
                })
                .map(|r| field(&r, "Package:"))
                .collect()
        },
    )
}

fn records(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.split("\n\n").map(|record| record.lines().collect())
}

fn has(record: &[&str], key: &str) -> bool {
    record.iter().any(|line| line.starts_with(key) && line.len() > key.len())
}

fn field(record: &[&str], key: &str) -> String {
    record.iter().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim().to_owned()
}

fn counted(
    set: &str,
    dir: &Path,
    kind: PackageKind,
    report: &mut Report,
    is_database: impl Fn(&str) -> bool,
    names: impl Fn(&str) -> BTreeSet<String>,
) -> anyhow::Result<()> {
    for path in files(dir)? {
        let relative = path.strip_prefix(dir)?.to_string_lossy().into_owned();
        if !is_database(&relative) {
            continue;
        }
        let text =
            String::from_utf8_lossy(&std::fs::read(&path).context("reading the database")?).into_owned();
        let expected = names(&text);
        let name = relative.split_once('/').map_or(relative.as_str(), |(_, rest)| rest);
        let found = inventory::of_one_file(&path, name)?;
        let ours: BTreeSet<String> =
            found.packages.iter().filter(|p| p.kind == kind).map(|p| p.name.clone()).collect();
        let told = relative.contains("corrupt") && !found.problems.is_empty();
        let outcome = if ours == expected || told {
            Ok(())
        } else {
            let missed: Vec<_> = expected.difference(&ours).collect();
            let surplus: Vec<_> = ours.difference(&expected).collect();
            Err(format!(
                "{relative}: missed {missed:?}, not stated {surplus:?}, problems {:?}",
                found.problems
            ))
        };
        report.check(set, "", outcome);
    }
    Ok(())
}
