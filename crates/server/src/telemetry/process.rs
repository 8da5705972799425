//! The process's own figures by Prometheus' usual names, read from `/proc/self` when asked for.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::log::dropped_lines;
use super::single::{counters, gauges};
use super::trace::failed_exports;

/// Reads the figures.
#[derive(Debug)]
pub struct Process;

/// The figures of this moment.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Figures {
    cpu_seconds: f64,
    threads: i64,
    start_seconds: f64,
    resident_bytes: i64,
    virtual_bytes: i64,
    open_files: i64,
}

fn figures() -> Option<Figures> {
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let page = i64::try_from(rustix::param::page_size()).ok()?;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses and may hold anything: count from behind it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |nth: usize| fields.get(nth - 3)?.parse::<i64>().ok();
    let boot = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(Figures {
        cpu_seconds: (number(14)? + number(15)?) as f64 / ticks,
        threads: number(20)?,
        start_seconds: boot + number(22)? as f64 / ticks,
        virtual_bytes: number(23)?,
        resident_bytes: number(24)? * page,
        open_files: i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?,
    })
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(now) = figures() else { return Ok(()) };
        counters(
            &mut encoder,
            [("process_cpu_seconds", "Processor time, user and system", now.cpu_seconds)],
        )?;
        gauges(&mut encoder, [("process_start_time_seconds", "Start, in Unix time", now.start_seconds)])?;
        counters(
            &mut encoder,
            [
                (
                    "bonded_log_dropped_lines",
                    "Lines of the log that standard error was too slow for",
                    dropped_lines(),
                ),
                (
                    "bonded_traces_failed_exports",
                    "Exports of traces that the collector did not take",
                    failed_exports(),
                ),
            ],
        )?;
        gauges(
            &mut encoder,
            [
                ("process_resident_memory_bytes", "Resident memory", now.resident_bytes),
                ("process_virtual_memory_bytes", "Virtual memory", now.virtual_bytes),
                ("process_open_fds", "Open file descriptors", now.open_files),
                ("process_threads", "Threads", now.threads),
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_this_process() {
        let now = figures().expect("/proc/self is readable");
        assert!(now.resident_bytes > 1 << 20 && now.virtual_bytes >= now.resident_bytes, "{now:?}");
        assert!(now.threads >= 1 && now.open_files >= 3 && now.start_seconds > 1e9, "{now:?}");
    }
}
