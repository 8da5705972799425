//! `cargo xtask scale`: fills a registry through its own API and times pages of its lists.
//!
//! Three shapes that break registries: very many repositories, very many tags in one, very many referrers of one
//! subject. Pages are asked for from the beginning, the middle and the end, so a list that walks everything before
//! `last` cannot hide. Filling goes on where an earlier run stopped (everything is idempotent).

mod fill;
mod pages;

use std::io::Write as _;

use anyhow::ensure;

use crate::bench::target::BenchTarget;

/// Arguments of `cargo xtask scale`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The registry: NAME=URL=PID, the URL with `user:password@`.
    #[arg(long = "against", value_name = "NAME=URL=PID")]
    against: BenchTarget,
    /// Repositories with one image each.
    #[arg(long, default_value_t = 100_000)]
    repositories: u64,
    /// Tags of one repository.
    #[arg(long, default_value_t = 1_000_000)]
    tags: u64,
    /// Referrers of one subject.
    #[arg(long, default_value_t = 50_000)]
    referrers: u64,
    /// Connections at once while filling.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=256))]
    connections: u64,
    /// The slowest page that passes, in milliseconds.
    #[arg(long, default_value_t = 50.0)]
    max_page_ms: f64,
    /// Only time pages: the data is there.
    #[arg(long)]
    filled: bool,
}

/// Fills, times, judges.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if !args.filled {
        for (what, seconds) in fill::all(&args)? {
            writeln!(out, "filled {what} in {seconds:.0} s")?;
        }
    }
    let before = args.against.resident_kib();
    args.against.reset_peak();
    let mut slowest: f64 = 0.0;
    for list in pages::lists(&args)? {
        let times = pages::time(&args.against, &list)?;
        let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
        writeln!(
            out,
            "{:36} {:>4} pages  median {median:6.2} ms  slowest {worst:6.2} ms",
            list.name,
            times.len()
        )?;
        slowest = slowest.max(worst);
    }
    writeln!(
        out,
        "memory {} MiB before, {} MiB at most while listing; slowest page {slowest:.2} ms",
        before / 1024,
        args.against.peak_kib() / 1024
    )?;
    ensure!(slowest <= args.max_page_ms, "a page took {slowest:.1} ms, {} ms is the limit", args.max_page_ms);
    Ok(())
}
