//! `cargo xtask estate`: an estate of very many images, built of real package distributions, and what it answers.
//!
//! Everything is drawn by a seed, so a run can be repeated. Figures are printed as they are measured; each aim that is
//! met or missed is a line, and the last line is exactly `N passed, M failed`. Measure with `--release`.
//!
//! Aims are held against processor time: all is done by one thread without waiting, so on a machine that is not busy
//! with other things it is the time that passes, and on one that is the figures still mean something. The system counts
//! it to about 4 ms; so of questions the time that passed is printed beside it.

mod catalogue;
mod generate;
mod matching;
mod questions;
mod replay;

use anyhow::{Context, ensure};
use estate::{Estate, Writer};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// Arguments of `cargo xtask estate`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A folder laid out like `data/scan-truth`, `advisories` beside it.
    #[arg(default_value = "../shared/data/scan-truth")]
    dir: PathBuf,
    /// Images.
    #[arg(long, default_value_t = 1_000_000)]
    images: u32,
    /// Images of the full match after a rebuilt database.
    #[arg(long, default_value_t = 100_000)]
    rematch: u32,
    /// Questions of each kind.
    #[arg(long, default_value_t = 300)]
    questions: usize,
    /// Steps of the replayed history of the feeds; 0 leaves it out.
    #[arg(long, default_value_t = 25)]
    steps: usize,
    /// What is drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What was checked.
#[derive(Default)]
pub(crate) struct Judge {
    passed: u64,
    failed: u64,
}

impl Judge {
    /// Notes and prints a check.
    fn check(&mut self, holds: bool, what: &str) -> anyhow::Result<()> {
        if holds {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
        say(&format!("{} {what}", if holds { "ok    " } else { "FAILED" }))
    }

    /// A time against its aim.
    fn within(&mut self, took: Duration, aim: Duration, what: &str) -> anyhow::Result<()> {
        self.check(took < aim, &format!("{what}: {} (aim {})", text(took), text(aim)))
    }
}

fn text(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds >= 1.0 { format!("{seconds:.2} s") } else { format!("{:.2} ms", seconds * 1000.0) }
}

fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}

/// Processor time of this thread so far.
fn clock() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|n| n.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// What work makes and the processor time that it takes.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = clock();
    let made = work();
    (made, clock().saturating_sub(start))
}

/// Resident memory now and at most, in MiB.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |key: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_default();
        line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) / 1024
    };
    (of("VmRSS:"), of("VmHWM:"))
}

fn build(images: u32, args: &Args, catalogue: &catalogue::Catalogue) -> anyhow::Result<Vec<u8>> {
    let mut writer = Writer::new();
    let rows = generate::fill(&mut writer, catalogue, images, args.seed);
    let bytes = writer.finish()?;
    let mib = bytes.len() as f64 / 1_048_576.0;
    let per_row = bytes.len() as f64 / rows.max(1) as f64;
    say(&format!("       {images} images, {rows} package rows: {mib:.0} MiB, {per_row:.2} bytes a row"))?;
    Ok(bytes)
}

/// Builds, measures, judges.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut judge = Judge::default();
    let (db, took) = timed(|| crate::truth::feeds::all(&args.dir));
    let db = db.with_context(|| format!("reading feeds beside {}", args.dir.display()))?;
    say(&format!("       advisory database: {} MiB in {}", db.len() >> 20, text(took)))?;
    let catalogue = catalogue::read(&args.dir, &db)?;
    say(&format!("       {}", catalogue.describe()))?;

    let (segment, took) = timed(|| build(args.images, args, &catalogue));
    let segment = segment?;
    say(&format!("       built in {}, memory {} MiB, at most {} MiB", text(took), memory().0, memory().1))?;
    let (estate, took) = timed(|| Estate::open(&[&segment]));
    let estate = estate?;
    judge.within(took, Duration::from_millis(100), "an estate is opened")?;
    say(&format!("       {} images, {} packages", estate.images(), estate.packages()))?;
    let findings = matching::everything(&mut judge, &estate, &db)?;
    matching::new_advisory(&mut judge, &estate, &findings, &db)?;
    questions::ask(&mut judge, &estate, &findings, &catalogue, args)?;
    drop(estate);
    drop(segment);

    let smaller = build(args.rematch, args, &catalogue)?;
    matching::rebuilt(&mut judge, &smaller, &db)?;
    drop(smaller);
    if args.steps > 0 {
        replay::replay(&mut judge, args, &catalogue)?;
    }
    say(&format!("       memory at most {} MiB", memory().1))?;
    say(&format!("{} passed, {} failed", judge.passed, judge.failed))?;
    ensure!(judge.failed == 0, "{} aims were missed", judge.failed);
    Ok(())
}
