//! Project tasks: `cargo xtask tidy | …`.
//!
//! A dispatch and nothing else: each task owns a module of its name, with its arguments and a `run`.
//! What a task says on standard output is for people; its exit code is for scripts.

mod bench;
mod dist;
mod estate;
mod scale;
mod tidy;
mod truth;

use clap::{Parser, Subcommand};

/// The house tools of Bonded.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check what the compiler cannot: the arrow between crates, file sizes, headers, stray names.
    Tidy,
    /// Put the same load on several registries in interleaved rounds and compare what it costs them.
    Bench(bench::Args),
    /// Measure what a scan of everything costs those who pull meanwhile.
    BenchScan(bench::scanning::Args),
    /// Serve the floor under a push for `bench`: receive, hash, write, sync, nothing else.
    Floor(bench::floor::Args),
    /// Fill a registry with very many repositories, tags and referrers, and time pages of its lists.
    Scale(scale::Args),
    /// Build the estate of very many images and hold search and matching by delta against their aims.
    Estate(estate::Args),
    /// Build what is shipped: the static binary, the container image, checksums.
    Dist(dist::Args),
    /// Hold our answers against truth that others wrote.
    #[command(subcommand)]
    Truth(truth::Truth),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Tidy => tidy::run(),
        Task::Bench(args) => bench::run(args),
        Task::BenchScan(args) => bench::scanning::run(&args),
        Task::Floor(args) => bench::floor::run(args),
        Task::Scale(args) => scale::run(args),
        Task::Estate(args) => estate::run(&args),
        Task::Dist(args) => dist::run(&args),
        Task::Truth(truth) => truth::run(truth),
    }
}
