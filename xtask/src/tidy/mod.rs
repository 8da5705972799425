//! `cargo xtask tidy`: the rules of the house that no compiler or lint checks.
//!
//! Two looks: at the crates ([`arrow`]: who may use whom, what the pure crates must never reach, which packages are
//! banned) and at every file git tracks or would track ([`files`]: size, header, stray machine paths and hosts,
//! `allow` attributes, `unsafe` outside its modules). A look returns its findings; nothing stops at the first one,
//! so a single run says everything. Warnings never fail the task, errors always do.

mod arrow;
mod files;
mod graph;
mod source;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// Told, but the task passes.
    Warning,
    /// Fails the task.
    Error,
}

/// One broken rule at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    weight: Weight,
    /// A path below the workspace root, or a crate's name.
    place: String,
    what: String,
}

impl Finding {
    fn error(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { weight: Weight::Error, place: place.into(), what: what.into() }
    }

    fn warning(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { weight: Weight::Warning, place: place.into(), what: what.into() }
    }
}

/// Runs every check; ends the process with 1 when any finding is an error.
pub(crate) fn run() -> anyhow::Result<()> {
    let root = workspace_root()?;
    let graph = graph::load(&root)?;
    let tracked = tracked_files(&root)?;

    let mut findings = arrow::check(&graph);
    // A name that git lists but that is gone from disk is a deletion not yet staged.
    let contents: Vec<(&str, Vec<u8>)> = tracked
        .iter()
        .filter_map(|path| Some((path.as_str(), std::fs::read(root.join(path)).ok()?)))
        .collect();
    let tests = contents.iter().flat_map(|(path, bytes)| files::test_modules(path, bytes)).collect();
    for (path, bytes) in &contents {
        findings.extend(files::check(path, bytes, &tests));
    }

    let mut out = std::io::stdout().lock();
    for finding in &findings {
        let label = match finding.weight {
            Weight::Warning => "warning",
            Weight::Error => "error",
        };
        writeln!(out, "{label}: {}: {}", finding.place, finding.what)?;
    }
    let errors = findings.iter().filter(|f| f.weight == Weight::Error).count();
    writeln!(
        out,
        "tidy: {} files and {} crates looked at, {errors} errors, {} warnings",
        tracked.len(),
        graph.members.len(),
        findings.len() - errors
    )?;
    if errors > 0 {
        std::process::exit(1);
    }
    Ok(())
}

/// The folder of the workspace's `Cargo.toml`, known since the build: xtask lies directly below it.
pub(crate) fn workspace_root() -> anyhow::Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(manifest.parent().context("xtask lies below the workspace root")?.to_path_buf())
}

/// Files that git tracks or would track (`.gitignore` respected), below the root, in git's order.
fn tracked_files(root: &Path) -> anyhow::Result<Vec<String>> {
    let out = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("git ls-files could not be started")?;
    if !out.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    let names = String::from_utf8(out.stdout).context("a tracked file's name is not UTF-8")?;
    Ok(names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}
