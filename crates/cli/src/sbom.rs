//! `bonded sbom`: make, convert, compare, score and merge bills of materials.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use vuln::sbom::{self, Diff, Format, Provenance, Score};

use crate::command::Outcome;
use crate::input::{self, Input, InputArgs};
use crate::output;

/// Arguments of `bonded sbom`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SbomArgs {
    /// OCI layout, image archive, directory or SBOM.
    #[arg(value_name = "SOURCE")]
    source: Option<String>,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    command: Option<SbomCommand>,
}

/// Where a bill of materials goes, and in which form.
#[derive(Debug, Args)]
struct Target {
    /// spdx-json, spdx3-json, cyclonedx-json or cyclonedx-xml, the last two with @1.4 to @1.7.
    #[arg(short = 'o', long = "format", value_name = "FORMAT", default_value = "spdx-json")]
    format: Format,
    /// File to write [default: standard output].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum SbomCommand {
    /// Say what two sources do not have in common; exit code 1 if anything.
    Diff {
        /// The older source.
        before: String,
        /// The newer source.
        after: String,
        #[command(flatten)]
        input: InputArgs,
        /// Result as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Score a bill of materials by the NTIA minimum elements and BSI TR-03183-2, with reasons.
    Score {
        /// The source.
        source: String,
        #[command(flatten)]
        input: InputArgs,
        /// Result as JSON.
        #[arg(long)]
        json: bool,
        /// Exit code 1 below this percentage of either yardstick.
        #[arg(long, value_name = "PERCENT")]
        fail_below: Option<u32>,
    },
    /// Merge several bills of materials of the same thing; of each fact the most trusted source decides.
    Merge {
        /// Sources as [TRUST=]SOURCE; TRUST is scanned, attested, vendor, declared or uploaded [default: scanned for
        /// images and directories, uploaded for SBOMs].
        #[arg(required = true, num_args = 2..)]
        sources: Vec<String>,
        #[command(flatten)]
        input: InputArgs,
        #[command(flatten)]
        target: Target,
    },
}

/// Provenance as named on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Trust {
    Scanned,
    Attested,
    Vendor,
    Declared,
    Uploaded,
}

impl From<Trust> for Provenance {
    fn from(trust: Trust) -> Self {
        match trust {
            Trust::Scanned => Self::Scanned,
            Trust::Attested => Self::Attested,
            Trust::Vendor => Self::Vendor,
            Trust::Declared => Self::Declared,
            Trust::Uploaded => Self::Uploaded,
        }
    }
}

pub(crate) fn run(args: SbomArgs) -> anyhow::Result<Outcome> {
    match args.command {
        Some(SbomCommand::Diff { before, after, input, json }) => {
            let before = load(&before, &input)?;
            let after = load(&after, &input)?;
            let found = sbom::diff(&before.document.inventory, &after.document.inventory);
            let text = if json { pretty(&found)? } else { diff_text(&found) };
            output::write(text.as_bytes(), None)?;
            Ok(if found.is_empty() { Outcome::Clean } else { Outcome::Findings })
        }
        Some(SbomCommand::Score { source, input, json, fail_below }) => {
            let loaded = load(&source, &input)?;
            let score = sbom::score(&loaded.document);
            let text = if json { pretty(&score)? } else { score_text(&score) };
            output::write(text.as_bytes(), None)?;
            let least = score.ntia_percent.min(score.bsi_percent);
            Ok(if fail_below.is_some_and(|limit| least < limit) { Outcome::Findings } else { Outcome::Clean })
        }
        Some(SbomCommand::Merge { sources, input, target }) => merge(&sources, &input, &target),
        None => {
            let Some(source) = args.source else {
                bail!(
                    "nothing to read; give an image layout, archive, directory or SBOM: `bonded sbom SOURCE`"
                );
            };
            let loaded = load(&source, &args.input)?;
            emit(&loaded, &args.target)
        }
    }
}

fn load(source: &str, args: &InputArgs) -> anyhow::Result<Input> {
    output::progress(&format!("reading {source}"));
    let loaded = input::load(source, args, None)?;
    for note in &loaded.notes {
        output::note(&format!("bonded: {source}: {note}"));
    }
    Ok(loaded)
}

fn emit(loaded: &Input, target: &Target) -> anyhow::Result<Outcome> {
    output::write(&sbom::write(&loaded.document, target.format)?, target.output.as_deref())?;
    let inventory = &loaded.document.inventory;
    for problem in &inventory.problems {
        output::note(&format!("bonded: {}: {} ({})", problem.path, problem.message, problem.source));
    }
    output::progress(&format!("{} packages", inventory.packages.len()));
    Ok(if inventory.problems.is_empty() { Outcome::Clean } else { Outcome::Incomplete })
}

fn merge(sources: &[String], args: &InputArgs, target: &Target) -> anyhow::Result<Outcome> {
    let mut parts = Vec::new();
    let mut first: Option<Input> = None;
    for source in sources {
        let (trust, source) = match source.split_once('=') {
            Some((name, rest)) => match Trust::from_str(name, true) {
                Ok(trust) => (Some(trust), rest),
                Err(_) => (None, source.as_str()),
            },
            None => (None, source.as_str()),
        };
        let loaded = load(source, args)?;
        let fallback = if loaded.is_sbom { Provenance::Uploaded } else { Provenance::Scanned };
        let provenance = trust.map_or(fallback, Provenance::from);
        parts.push((provenance, loaded.document.inventory.clone()));
        // What is described is what the most trusted source says.
        let better = parts.iter().all(|(other, _)| *other >= provenance);
        if first.is_none() || better {
            first = Some(loaded);
        }
    }
    let Some(mut whole) = first else { bail!("nothing to merge") };
    whole.document.inventory = sbom::merge(parts);
    emit(&whole, target)
}

fn pretty<T: serde::Serialize>(value: &T) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

fn diff_text(diff: &Diff) -> String {
    let mut out = String::new();
    let name = |namespace: &Option<String>, name: &str| match namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    };
    for package in &diff.removed {
        let _ = writeln!(out, "- {} {}", name(&package.namespace, &package.name), package.version);
    }
    for package in &diff.added {
        let _ = writeln!(out, "+ {} {}", name(&package.namespace, &package.name), package.version);
    }
    for change in &diff.changed {
        for field in &change.fields {
            let label = if field.field == "version" { String::new() } else { format!("{}: ", field.field) };
            let before = if field.before.is_empty() { "(none)" } else { &field.before };
            let after = if field.after.is_empty() { "(none)" } else { &field.after };
            let _ = writeln!(out, "~ {} {label}{before} -> {after}", name(&change.namespace, &change.name));
        }
    }
    let _ = writeln!(
        out,
        "{} added, {} removed, {} changed",
        diff.added.len(),
        diff.removed.len(),
        diff.changed.len()
    );
    out
}

fn score_text(score: &Score) -> String {
    let mut out = String::new();
    let _ =
        writeln!(out, "NTIA minimum elements {}%, BSI TR-03183-2 {}%", score.ntia_percent, score.bsi_percent);
    for criterion in &score.criteria {
        let mark = if criterion.met == criterion.of && criterion.of > 0 { "ok" } else { "--" };
        let reason =
            if criterion.reason.is_empty() { String::new() } else { format!(": {}", criterion.reason) };
        let _ = writeln!(
            out,
            "{mark} {:4} {} {}/{}{reason}",
            criterion.yardstick, criterion.name, criterion.met, criterion.of
        );
    }
    out
}
