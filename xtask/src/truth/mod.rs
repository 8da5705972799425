//! `cargo xtask truth scan DIR`: runs every set of checks that it knows of a folder laid out like `scan-truth`.
//!
//! Nothing in here decides right or wrong: the folder's rows do. A set that is absent or unknown, a row that contradicts
//! the ecosystem's own tool (listed with that tool's answer) and a row that no advisory of the folder decides are counted
//! as skipped, on lines before the last. The last line is exactly `N passed, M failed`.

pub(crate) mod feeds;
mod findings;
mod harbor;
mod imageconfig;
mod inventory;
mod osrelease;
mod packages;
mod parity;
mod purls;
mod report;
mod sboms;
mod schemas;
mod syft;
mod versions;
mod versspec;

use anyhow::Context;
use clap::Subcommand;
use report::Report;
use std::path::{Path, PathBuf};

/// What to hold against its truth.
#[derive(Subcommand)]
pub(crate) enum Truth {
    /// The scanner: versions, package URLs, package databases, SBOMs, findings.
    Scan {
        /// A folder laid out like `data/scan-truth`.
        dir: PathBuf,
        /// Show every failed row instead of the first few of each set.
        #[arg(long)]
        all: bool,
        /// Run only the sets whose name begins so.
        #[arg(long)]
        only: Option<String>,
    },
    /// The same images through Syft and through Bonded, package by package.
    Parity(parity::Args),
}

/// A set: its folder and what runs it.
struct Set {
    name: &'static str,
    run: fn(&Path, &mut Report) -> anyhow::Result<()>,
}

const SETS: &[Set] = &[
    Set { name: "versions", run: versions::run },
    Set { name: "purl", run: purls::run },
    Set { name: "os-release", run: osrelease::run },
    Set { name: "rpmdb", run: packages::rpmdb },
    Set { name: "apk", run: packages::apk },
    Set { name: "dpkg", run: packages::dpkg },
    Set { name: "syft", run: syft::run },
    Set { name: "sbom", run: sboms::run },
    Set { name: "osv", run: schemas::osv },
    Set { name: "image-config", run: imageconfig::run },
    Set { name: "debian", run: findings::debian },
    Set { name: "osv-dev-answers", run: findings::answers },
    Set { name: "match-labels", run: findings::labels },
    Set { name: "trivy", run: findings::trivy },
    Set { name: "alpine", run: findings::alpine },
    Set { name: "claircore", run: findings::claircore },
    Set { name: "kev", run: findings::kev },
    Set { name: "vex", run: findings::vex },
    Set { name: "harbor", run: harbor::run },
];

/// Folders that hold no checks.
const NO_SETS: &[&str] = &["LICENSES"];

pub(crate) fn run(truth: Truth) -> anyhow::Result<()> {
    let (dir, all, only) = match truth {
        Truth::Scan { dir, all, only } => (dir, all, only),
        Truth::Parity(args) => return parity::run(&args),
    };
    let mut report = Report::new(all);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found.sort();
    let wanted = |name: &str| only.as_deref().is_none_or(|prefix| name.starts_with(prefix));
    for set in SETS.iter().filter(|set| wanted(set.name)) {
        if !found.iter().any(|name| name == set.name) {
            report.skip(set.name, "", 1, "set is absent");
            continue;
        }
        if let Err(error) = (set.run)(&dir.join(set.name), &mut report) {
            report.fail(set.name, "", &format!("set cannot be run: {error:#}"));
        }
    }
    for name in found.iter().filter(|name| wanted(name)) {
        if !SETS.iter().any(|set| set.name == name) && !NO_SETS.contains(&name.as_str()) {
            report.skip(name, "", 1, "set is not known");
        }
    }
    let failed = report.print();
    if failed > 0 {
        // not an error to be printed: the last line is the totals
        std::process::exit(1);
    }
    Ok(())
}

/// All files below a folder, sorted by path.
fn files(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The sub-folders of a folder, sorted.
fn folders(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The rows of a JSON Lines file.
fn json_lines(path: &Path) -> anyhow::Result<Vec<serde_json::Value>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let rows = text.lines().filter(|line| !line.trim().is_empty()).map(serde_json::from_str);
    rows.collect::<Result<_, _>>().with_context(|| format!("parsing {}", path.display()))
}

fn json(path: &Path) -> anyhow::Result<serde_json::Value> {
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("parsing {}", path.display()))
}
