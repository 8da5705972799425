//! `cargo xtask bench`: the same load on several registries in interleaved rounds.
//!
//! What is compared is the server's CPU time for one operation (from `/proc/PID/stat`): it says what a machine can
//! carry and hardly depends on the load generator, which shares the machine. Rounds are interleaved – every work runs
//! on each registry in turn before the next round – so that a disturbance of the machine meets all alike; the median
//! round counts. Every round is bounded in operations and in time.

pub(crate) mod floor;
mod load;
mod report;
pub(crate) mod scanning;
pub(crate) mod target;
mod work;

use std::path::PathBuf;

use anyhow::ensure;

use load::Sample;
use target::BenchTarget;
use work::Work;

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A registry: NAME=URL=PID[+PID…]; the URL may hold `user:password@`. Give it again for each one.
    #[arg(long = "against", value_name = "NAME=URL=PID", required = true)]
    against: Vec<BenchTarget>,
    /// A static file server for the same blobs (nginx): NAME=URL=PID. Its root is the directory of --static-root.
    #[arg(long = "static", value_name = "NAME=URL=PID", requires = "static_root")]
    statics: Vec<BenchTarget>,
    /// Where the files for the static server are written.
    #[arg(long, value_name = "DIR")]
    static_root: Option<PathBuf>,
    /// Rounds of every work on every registry; the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: u32,
    /// Longest time of one round, in seconds.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Most operations of one round.
    #[arg(long, default_value_t = 20_000)]
    operations: u64,
    /// Connections at once.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=256))]
    connections: u64,
    /// Only the works whose names contain one of these.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

/// All samples of one work on one registry.
struct Row {
    work: Work,
    target: String,
    samples: Vec<Sample>,
}

/// Runs the rounds and prints the table.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let works: Vec<Work> = work::ALL
        .iter()
        .copied()
        .filter(|w| args.only.is_empty() || args.only.iter().any(|part| w.name().contains(part.as_str())))
        .collect();
    ensure!(!works.is_empty(), "no work of such a name; there are: {}", work::names());
    if let Some(root) = &args.static_root {
        work::write_static(root)?;
    }
    let mut memory = Vec::new();
    for target in &args.against {
        memory.push((target.name.clone(), target.resident_kib(), 0));
        work::prepare(target, &works)?;
        target.reset_peak();
    }
    let limits =
        load::Limits { seconds: args.seconds, operations: args.operations, connections: args.connections };
    let mut rows: Vec<Row> = Vec::new();
    for &work in &works {
        let statics = args.statics.iter().filter(|_| work.static_path().is_some());
        let targets: Vec<(&BenchTarget, bool)> =
            args.against.iter().map(|t| (t, false)).chain(statics.map(|t| (t, true))).collect();
        let first = rows.len();
        rows.extend(targets.iter().map(|(t, _)| Row { work, target: t.name.clone(), samples: Vec::new() }));
        for round in 0..args.rounds {
            for (n, (target, is_static)) in targets.iter().enumerate() {
                let sample = load::round(target, work, *is_static, &limits, round)?;
                rows[first + n].samples.push(sample);
            }
        }
        report::work(&rows[first..])?;
    }
    for (target, entry) in args.against.iter().zip(&mut memory) {
        entry.2 = target.peak_kib();
    }
    report::table(&rows, &memory)
}
