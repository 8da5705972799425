//! `cargo xtask truth parity`: the same image through Syft and through Bonded, package by package.
//!
//! Syft is run, and its JSON read by our own reader; our list is made as `bonded sbom` makes it. A package is its kind,
//! name and version. What only one
//! of them lists is printed, for a person to explain (docs/sbom.md); packages that we list as owned by a distribution
//! package count as found, since the decision not to count them twice is ours.

use anyhow::{Context, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use vuln::advisory::scope;
use vuln::image::{Choice, Files, find_image};
use vuln::sbom::{Strictness, read};
use vuln::{Inventory, Limits, Mode, Package, PackageKind, Pulse, catalogue_layer, merge};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Syft's program.
    #[arg(long)]
    syft: PathBuf,
    /// OCI layouts, each a directory.
    #[arg(required = true)]
    layouts: Vec<PathBuf>,
    /// Print every difference instead of the first few of each kind.
    #[arg(long)]
    all: bool,
}

type Key = (String, String);

#[expect(clippy::print_stdout, reason = "this is the task's output")]
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let (mut common, mut all_theirs) = (0, 0);
    for layout in &args.layouts {
        let source = format!("oci-dir:{}", layout.display());
        let theirs = output(&args.syft, &["scan", &source, "-q", "-o", "syft-json"])?;
        let theirs =
            listed(&read(&theirs, Strictness::Lenient, &vuln::sbom::Limits::default())?.document.inventory);
        let ours = listed(&catalogued(layout)?);
        println!("{}", layout.display());
        let kinds: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        let none = BTreeSet::new();
        for kind in kinds {
            let (ours, theirs) = (ours.get(kind).unwrap_or(&none), theirs.get(kind).unwrap_or(&none));
            let both = ours.intersection(theirs).count();
            common += both;
            all_theirs += theirs.len();
            println!(
                "  {kind:<12} both {both:>5}  only syft {:>4}  only bonded {:>4}",
                theirs.len() - both,
                ours.len() - both
            );
            for (who, list) in [("syft", theirs.difference(ours)), ("bonded", ours.difference(theirs))] {
                for (name, version) in list.take(if args.all { usize::MAX } else { 10 }) {
                    println!("    only {who}: {name} {version}");
                }
            }
        }
    }
    let recall = f64::from(u32::try_from(common)?) / f64::from(u32::try_from(all_theirs.max(1))?);
    println!("{common} of syft's {all_theirs} packages, {recall:.4}");
    Ok(())
}

struct Layout<'p>(&'p Path);

impl Files for Layout<'_> {
    fn open(&self, path: &str) -> std::io::Result<Option<Box<dyn Read + '_>>> {
        Ok(Some(Box::new(File::open(self.0.join(path))?)))
    }
}

/// The layout's image, layer by layer.
fn catalogued(layout: &Path) -> anyhow::Result<Inventory> {
    let image = find_image(&Layout(layout), &Choice::default())?.context("no image")?;
    let mut layers = Vec::new();
    for layer in &image.layers {
        let bytes = std::fs::read(layout.join(&layer.path))?;
        layers.push(catalogue_layer(&bytes.as_slice(), Mode::Image, &Limits::default(), &|| Pulse::Go)?);
    }
    Ok(merge(&layers))
}

fn output(program: &Path, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
    let done = Command::new(program).args(arguments).output();
    let done = done.with_context(|| format!("{} cannot be run", program.display()))?;
    if !done.status.success() {
        bail!("{}: {}", program.display(), String::from_utf8_lossy(&done.stderr));
    }
    Ok(done.stdout)
}

/// Packages by kind.
fn listed(inventory: &Inventory) -> BTreeMap<String, BTreeSet<Key>> {
    let mut out: BTreeMap<String, BTreeSet<Key>> = BTreeMap::new();
    for package in inventory.packages.iter().chain(&inventory.suppressed) {
        out.entry(kind(package)).or_default().insert(key(package));
    }
    out
}

fn kind(package: &Package) -> String {
    format!("{:?}", package.kind).to_lowercase()
}

fn key(package: &Package) -> Key {
    let name = match scope::language(package.kind) {
        Some(ecosystem) => scope::normal_name(ecosystem, &scope::language_name(package)).into_owned(),
        None => package.name.clone(),
    };
    // An epoch of zero is written by some and not by others.
    let version = package.version.strip_prefix("0:").filter(|_| package.kind == PackageKind::Rpm);
    (name, version.unwrap_or(&package.version).to_owned())
}
