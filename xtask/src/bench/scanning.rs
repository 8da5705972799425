//! `cargo xtask bench-scan`: what a scan of everything costs those who pull meanwhile.
//!
//! Images whose layers were never read are pushed first (the server runs with `scan.on_push = false`). Then the same
//! paced load of pulls, which keeps the machine half busy, runs in rounds: quiet, beside the scan of everything, quiet
//! again. Half of the pulls per second at full load would not be half: one that has to wake somebody up costs twice as
//! much as one of many. A latency counts from the moment at which its pull was due, so that a server that falls behind
//! shows it. A round is cut into windows of a second, and the median window counts: on a shared machine a stall of some
//! hundred milliseconds, whoever caused it, otherwise decides the slowest hundredth of a whole round.
//!
//! One round more runs beside a thread of *this* process that unpacks the same layers at the lowest priority: what any
//! such work costs on a machine that is shared with the load generator, whatever the server does.

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use e2e::http::Request;
use e2e::image::{LayerBuilder, bytes_of, manifest, noise};
use e2e::registry::OCI_MANIFEST;
use thread_priority::ThreadPriority;
use thread_priority::unix::{
    NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};

use super::load::{self, Limits};
use super::target::BenchTarget;
use super::work::{Operation, Work, prepare};

const REPO: &str = "bench/scanned";
const SCANS: &str = "/api/v1/system/scans";
/// What is pulled: a manifest, a configuration and a layer of 1 MB.
const WORK: Work = Work::Pull1M;
/// Rounds that look for the rate, at most.
const CALIBRATIONS: usize = 4;
/// Files of one layer.
const FILES: usize = 4000;

/// Arguments of `cargo xtask bench-scan`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The registry: NAME=URL=PID; the URL holds `user:password@` of an administrator.
    #[arg(long = "against", value_name = "NAME=URL=PID")]
    against: BenchTarget,
    /// Images that are pushed and then scanned; each has a layer of its own.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=1000))]
    images: u64,
    /// MiB of files in each layer.
    #[arg(long, default_value_t = 48, value_parser = clap::value_parser!(u64).range(1..=512))]
    layer_mib: u64,
    /// Length of a round in seconds.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Connections at once.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=64))]
    connections: u64,
}

/// Pushes, measures, prints the ratio.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let target = &args.against;
    prepare(target, &[WORK])?;
    let mut layer = Vec::new();
    for n in 0..args.images {
        // Layers that no run before this one has pushed.
        layer = push(target, u64::from(std::process::id()) << 16 | n, args.layer_mib)
            .with_context(|| format!("image {n}"))?;
    }
    let limits = Limits { seconds: args.seconds, operations: u64::MAX, connections: args.connections };
    let full = load::round(target, WORK, false, &limits, 0)?;
    let full = full.operations as f64 / full.seconds;
    let rate = half_busy(target, args, full / 2.0)?;
    say(format_args!("{full:.0} pulls/s at full load; rounds of {rate:.0} pulls/s, half busy:"));
    let before = round(target, args, rate)?;
    let control = beside_unpacking(&layer, || round(target, args, rate))?;
    let asked = target.target.send(&Request::new("POST", SCANS))?;
    ensure!(asked.status == 202, "POST {SCANS}: {} {}", asked.status, asked.text());
    wait_for(target, "running")?;
    let beside = round(target, args, rate)?;
    let still = state(target)? == "running";
    wait_for(target, "succeeded")?;
    let after = round(target, args, rate)?;
    for (name, round) in
        [("quiet", &before), ("unpacking", &control), ("scanning", &beside), ("quiet", &after)]
    {
        let slowest = round.percentiles(99);
        say(format_args!(
            "{name:>9}: p50 {:.2} ms, p99 {:.2} ms ({:.2}–{:.2}), {} pulls",
            round.median_of(50) * 1e3,
            round.median_of(99) * 1e3,
            slowest[0] * 1e3,
            slowest[slowest.len() - 1] * 1e3,
            round.0.iter().map(Vec::len).sum::<usize>()
        ));
    }
    ensure!(still, "the scan ended before the round did: give it more --images");
    let quiet = Round(before.0.into_iter().chain(after.0).collect());
    let ratio = |round: &Round| round.median_of(99) / quiet.median_of(99);
    say(format_args!(
        "p99 while scanning: {:.2} × quiet; beside another process's unpacking {:.2} ×",
        ratio(&beside),
        ratio(&control)
    ));
    Ok(())
}

/// Latencies of each second of a round, in seconds, each second's sorted.
struct Round(Vec<Vec<f64>>);

impl Round {
    /// The median window's percentile.
    fn median_of(&self, percent: usize) -> f64 {
        let all = self.percentiles(percent);
        all[all.len() / 2]
    }

    /// A percentile of each window, sorted.
    fn percentiles(&self, percent: usize) -> Vec<f64> {
        let mut all: Vec<f64> =
            self.0.iter().map(|window| window[(window.len() - 1) * percent / 100]).collect();
        all.sort_by(f64::total_cmp);
        all
    }
}

/// Runs `work` while a thread of the lowest priority unpacks a layer again and again.
fn beside_unpacking<T>(layer: &[u8], work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let unpacking = scope.spawn(|| {
            let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
            set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle)
                .map_err(|error| anyhow::anyhow!("the lowest priority: {error:?}"))?;
            while !ended.load(Ordering::Relaxed) {
                let mut file = flate2::read::MultiGzDecoder::new(layer);
                let mut piece = vec![0; 64 << 10];
                while !ended.load(Ordering::Relaxed) && file.read(&mut piece)? > 0 {
                    std::hint::black_box(&piece);
                }
            }
            anyhow::Ok(())
        });
        let outcome = work();
        ended.store(true, Ordering::Relaxed);
        unpacking.join().map_err(|_| anyhow::anyhow!("the unpacking panicked"))??;
        outcome
    })
}

/// An image with a layer that no registry has seen: source-like files and packages. The layer.
fn push(target: &BenchTarget, n: u64, layer_mib: u64) -> anyhow::Result<Vec<u8>> {
    let length = usize::try_from(layer_mib)? * (1 << 20) / FILES;
    let text: Vec<u8> = noise(n, length).into_iter().map(|byte| b' ' + byte % 95).collect();
    let mut layer = LayerBuilder::default();
    for file in 0..FILES {
        let mut content = format!("// {n} {file}\n").into_bytes();
        content.extend_from_slice(&text);
        layer.file(&format!("app/src/{}/{file}.js", file % 50), 0o644, &content)?;
        if file % 20 == 0 {
            let package = format!(r#"{{"name":"package-{file}","version":"1.{n}.0"}}"#);
            layer.file(
                &format!("app/node_modules/package-{file}/package.json"),
                0o644,
                package.as_bytes(),
            )?;
        }
    }
    let layer = layer.finish()?;
    let config =
        bytes_of(&serde_json::json!({ "architecture": "amd64", "os": "linux", "author": n.to_string() }));
    for blob in [&layer, &config] {
        target.target.push_blob(REPO, blob)?;
    }
    target.target.push_manifest(REPO, &format!("v{n}"), OCI_MANIFEST, &manifest(&config, &[&layer]))?;
    Ok(layer)
}

/// The rate of pulls that keeps the machine, the load generator included, half busy.
fn half_busy(target: &BenchTarget, args: &Args, first: f64) -> anyhow::Result<f64> {
    let mut rate = first;
    for _ in 0..CALIBRATIONS {
        let before = ticks()?;
        round(target, args, rate)?;
        let (busy, all) = ticks()?;
        let share = (busy - before.0) / (all - before.1).max(1.0);
        if (share - 0.5).abs() < 0.05 {
            break;
        }
        rate *= 0.5 / share.max(0.1);
    }
    Ok(rate)
}

/// Processor time of this machine since its start: busy, and all of it.
fn ticks() -> anyhow::Result<(f64, f64)> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let times = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let times: Vec<f64> = times.map(str::parse).collect::<Result<_, _>>()?;
    ensure!(times.len() >= 8, "/proc/stat has another form");
    let all: f64 = times[..8].iter().sum();
    Ok((all - times[3] - times[4], all))
}

/// Pulls at this rate for the round's length.
fn round(target: &BenchTarget, args: &Args, rate: f64) -> anyhow::Result<Round> {
    let pause = Duration::from_secs_f64(args.connections as f64 / rate);
    let mut operations: Vec<Operation<'_>> =
        (0..args.connections).map(|n| Operation::new(target, WORK, false, n)).collect();
    for operation in &mut operations {
        operation.once()?;
    }
    let start = Instant::now();
    let end = start + Duration::from_secs(args.seconds);
    let results: Vec<anyhow::Result<Vec<(Duration, f64)>>> = std::thread::scope(|scope| {
        let worker = |(n, operation): (usize, &mut Operation<'_>)| {
            let mut due = start + pause.mul_f64(n as f64 / args.connections as f64);
            let mut latencies = Vec::new();
            while due < end {
                rest(due.saturating_duration_since(Instant::now()));
                operation.once()?;
                latencies.push((due - start, due.elapsed().as_secs_f64()));
                due += pause;
            }
            Ok(latencies)
        };
        let tasks: Vec<_> =
            operations.iter_mut().enumerate().map(|each| scope.spawn(move || worker(each))).collect();
        tasks
            .into_iter()
            .map(|task| task.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a worker panicked"))))
            .collect()
    });
    let mut windows = vec![Vec::new(); usize::try_from(args.seconds)?];
    for result in results {
        for (due, latency) in result? {
            let window =
                windows.get_mut(usize::try_from(due.as_secs())?).context("a pull was due after the end")?;
            window.push(latency);
        }
    }
    for window in &mut windows {
        ensure!(!window.is_empty(), "a second without pulls");
        window.sort_by(f64::total_cmp);
    }
    Ok(Round(windows))
}

fn state(target: &BenchTarget) -> anyhow::Result<String> {
    let scans = target.target.fetch(SCANS)?.json();
    Ok(scans[0]["state"].as_str().unwrap_or_default().to_owned())
}

fn wait_for(target: &BenchTarget, wanted: &str) -> anyhow::Result<()> {
    let end = Instant::now() + Duration::from_mins(5);
    while Instant::now() < end {
        let state = state(target)?;
        if state == wanted {
            return Ok(());
        }
        ensure!(state != "failed", "the scan failed");
        rest(Duration::from_millis(20));
    }
    bail!("the scan is not {wanted} after five minutes")
}

#[expect(clippy::disallowed_methods, reason = "the pace of the load, and of questions about a job, is time")]
fn rest(time: Duration) {
    std::thread::sleep(time);
}

#[expect(clippy::print_stdout, reason = "the figures are for people")]
fn say(line: std::fmt::Arguments<'_>) {
    println!("{line}");
}
