//! The serverless subcommands, and what their exit codes mean.

use std::process::ExitCode;

use clap::Subcommand;

use crate::{advisories, clock, output, sbom, scan, search};

/// Subcommands that need no server of this installation; one asks another.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List what is in an image, archive, directory or SBOM; compare, score and merge SBOMs.
    Sbom(sbom::SbomArgs),
    /// Say what is wrong with an image, archive, directory or SBOM.
    Scan(scan::ScanArgs),
    /// Ask a registry which of its images contain something.
    Search(search::SearchArgs),
    /// Build, inspect and carry the advisory database.
    Advisories(advisories::AdvisoriesArgs),
}

/// What a subcommand ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done; nothing found that the caller asked to fail on.
    Clean,
    /// Findings at or above what the caller asked to fail on, a difference, or feeds older than allowed.
    Findings,
    /// Done, but parts of the source could not be read or judged: not to be taken for clean.
    Incomplete,
}

/// Runs a subcommand: 0 clean, 1 findings, 2 it could not be done (the reason is one line on standard error),
/// 3 incomplete.
pub fn run(command: Command) -> ExitCode {
    let outcome = match command {
        Command::Sbom(args) => sbom::run(args),
        Command::Scan(args) => scan::run(args),
        Command::Search(args) => search::run(args),
        Command::Advisories(args) => advisories::run(args, clock::now(), &mut std::io::stdout()),
    };
    match outcome {
        Ok(Outcome::Clean) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::from(1),
        Ok(Outcome::Incomplete) => ExitCode::from(3),
        // The reader has seen enough (`| head`).
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
