//! One bounded round of load, and what it cost the server.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::target::BenchTarget;
use super::work::{Operation, Work};

/// Bounds of a round.
pub(crate) struct Limits {
    pub(crate) seconds: u64,
    pub(crate) operations: u64,
    pub(crate) connections: u64,
}

/// What one round measured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    pub(crate) operations: u64,
    pub(crate) seconds: f64,
    /// The server's CPU time for one operation, in microseconds.
    pub(crate) cpu_us: f64,
    /// Latencies in seconds, sorted.
    pub(crate) latencies: Vec<f64>,
}

/// Loads one server with one work.
pub(crate) fn round(
    target: &BenchTarget,
    work: Work,
    is_static: bool,
    limits: &Limits,
    round: u32,
) -> anyhow::Result<Sample> {
    let workers = work.connections(limits.connections);
    let budget = AtomicU64::new(limits.operations);
    let length = Duration::from_secs(limits.seconds);
    let mut operations: Vec<Operation<'_>> = (0..workers)
        .map(|n| {
            let seed = u64::from(std::process::id()) << 32 | u64::from(round) << 24 | (work as u64) << 16 | n;
            Operation::new(target, work, is_static, seed)
        })
        .collect();
    for operation in &mut operations {
        // Opens the connection and warms the server's caches for this worker.
        operation.once().with_context(|| format!("{} on {}", work.name(), target.name))?;
    }
    let cpu = target.cpu_us()?;
    let start = Instant::now();
    let results = std::thread::scope(|scope| {
        let tasks: Vec<_> = operations
            .iter_mut()
            .map(|operation| scope.spawn(|| worker(operation, &budget, start + length)))
            .collect();
        tasks
            .into_iter()
            .map(|t| t.join().map_err(|_| anyhow::anyhow!("a worker panicked")))
            .collect::<Vec<_>>()
    });
    let seconds = start.elapsed().as_secs_f64();
    let cpu = target.cpu_us()? - cpu;
    let mut latencies = Vec::new();
    for result in results {
        latencies.extend(result?.with_context(|| format!("{} on {}", work.name(), target.name))?);
    }
    latencies.sort_by(f64::total_cmp);
    let operations = latencies.len() as u64;
    Ok(Sample { operations, seconds, cpu_us: cpu / operations.max(1) as f64, latencies })
}

fn worker(operation: &mut Operation<'_>, budget: &AtomicU64, end: Instant) -> anyhow::Result<Vec<f64>> {
    let mut latencies = Vec::new();
    while Instant::now() < end && take(budget) {
        latencies.push(operation.once()?);
    }
    Ok(latencies)
}

fn take(budget: &AtomicU64) -> bool {
    budget.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}
