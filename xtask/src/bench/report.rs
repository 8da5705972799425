//! What the rounds say, for people: a line while it runs, a table at the end.

use std::collections::BTreeMap;
use std::io::Write as _;

use super::Row;
use super::load::Sample;

/// The figures of one work on one registry.
struct Figures {
    cpu_us: f64,
    per_second: f64,
    p99_ms: f64,
}

fn figures(samples: &[Sample]) -> Figures {
    let mut cpu: Vec<f64> = samples.iter().map(|s| s.cpu_us).collect();
    let mut rate: Vec<f64> = samples.iter().map(|s| s.operations as f64 / s.seconds).collect();
    let mut latencies: Vec<f64> = samples.iter().flat_map(|s| s.latencies.iter().copied()).collect();
    latencies.sort_by(f64::total_cmp);
    Figures {
        cpu_us: median(&mut cpu),
        per_second: median(&mut rate),
        p99_ms: quantile(&latencies, 99) * 1000.0,
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn quantile(sorted: &[f64], percent: usize) -> f64 {
    sorted
        .get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

/// One line per registry, as soon as a work is done.
pub(crate) fn work(rows: &[Row]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for row in rows {
        let f = figures(&row.samples);
        writeln!(
            out,
            "{:22} {:12} {:>10} CPU  {:>9.0}/s  p99 {:>8.2} ms",
            row.work.name(),
            row.target,
            duration(f.cpu_us),
            f.per_second,
            f.p99_ms
        )?;
    }
    Ok(())
}

/// The table of CPU time per operation and the memory of every registry, in Markdown.
pub(crate) fn table(rows: &[Row], memory: &[(String, u64, u64)]) -> anyhow::Result<()> {
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        if !names.contains(&row.target.as_str()) {
            names.push(&row.target);
        }
    }
    let mut cells: BTreeMap<(&str, &str), String> = BTreeMap::new();
    let mut works: Vec<&str> = Vec::new();
    for row in rows {
        if !works.contains(&row.work.name()) {
            works.push(row.work.name());
        }
        let f = figures(&row.samples);
        let cell = format!("{} · {:.0}/s · {:.1} ms", duration(f.cpu_us), f.per_second, f.p99_ms);
        cells.insert((row.work.name(), &row.target), cell);
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nserver CPU per operation · operations/s · p99; median of the rounds\n")?;
    writeln!(out, "| work | {} |\n|---|{}", names.join(" | "), "---|".repeat(names.len()))?;
    for work in works {
        let line: Vec<&str> =
            names.iter().map(|n| cells.get(&(work, *n)).map_or("–", String::as_str)).collect();
        writeln!(out, "| {work} | {} |", line.join(" | "))?;
    }
    let line: Vec<String> = names
        .iter()
        .map(|name| match memory.iter().find(|(n, ..)| n == name) {
            Some((_, before, peak)) => format!("{} / {} MiB", before / 1024, peak / 1024),
            None => "–".to_owned(),
        })
        .collect();
    writeln!(out, "| memory before / peak | {} |", line.join(" | "))?;
    Ok(())
}

fn duration(us: f64) -> String {
    if us < 1000.0 { format!("{us:.0} us") } else { format!("{:.2} ms", us / 1000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_round_and_the_slowest_hundredth_count() {
        let sample = |cpu_us: f64, slow: f64| Sample {
            operations: 100,
            seconds: 2.0,
            cpu_us,
            latencies: (0..99).map(|_| 0.001).chain([slow]).collect(),
        };
        let f = figures(&[sample(90.0, 0.5), sample(50.0, 0.2), sample(60.0, 0.3)]);
        assert!((f.cpu_us - 60.0).abs() < 1e-9 && (f.per_second - 50.0).abs() < 1e-9, "{}", f.cpu_us);
        assert!((f.p99_ms - 200.0).abs() < 1e-6, "{}", f.p99_ms);
    }

    #[test]
    fn nothing_measured_is_zero_and_no_panic() {
        assert!(figures(&[]).p99_ms.abs() < f64::EPSILON);
    }
}
