//! Sets up the log: lines of text or JSON on standard error.
//!
//! Never tokens, bodies or secrets at any level: secrets are a type without a printed form, queries are not logged,
//! and hyper, h2 and rustls stay at `info` at most unless a directive names them – their traces show header values.
//!
//! A thread of its own writes: a reader of standard error that stands still must not hold up requests. What does not
//! fit into its queue is dropped, and counted.

use std::io::{IsTerminal, Write, stderr};
use std::sync::OnceLock;

use tokio::runtime::Handle;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

use super::trace::{SPANS, TraceError, Traces};
use crate::config::log::{Format, Log};
use crate::config::telemetry::Otlp;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `log.level` is none.
    #[error("log.level: `{0}` is neither error, warn, info, debug, trace nor a list of directives")]
    Level(String),
    /// There is one already.
    #[error("the log is already set up")]
    Twice,
    /// There can be no traces.
    #[error(transparent)]
    Traces(#[from] TraceError),
}

const QUIET: [&str; 4] = ["hyper", "h2", "rustls", "hyper_util"];

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    let wrong = || LogError::Level(level.to_owned());
    // A word that is no level would be taken for a target, at every level.
    let good =
        |word: &str| !word.is_empty() && (word.contains('=') || word.trim().parse::<LevelFilter>().is_ok());
    let mut filter =
        EnvFilter::try_new(level).ok().filter(|_| level.split(',').all(good)).ok_or_else(wrong)?;
    let loud = filter.max_level_hint().is_some_and(|hint| hint > LevelFilter::INFO);
    for target in QUIET.into_iter().filter(|target| loud && !level.contains(target)) {
        filter = filter.add_directive(format!("{target}=info").parse().map_err(|_| wrong())?);
    }
    Ok(filter)
}

/// Lines that wait for standard error; further ones are dropped.
const LINES: usize = 16 * 1024;

/// Counts the lines that were dropped; the log is the process's, and so is its counter.
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// Lines dropped because standard error was too slow.
pub fn dropped_lines() -> u64 {
    DROPPED.get().map_or(0, |counter| counter.dropped_lines() as u64)
}

/// The log and the traces of a process. Dropped, it writes what still waits.
#[derive(Debug)]
#[must_use]
pub struct Logging {
    _traces: Option<Traces>,
    _lines: WorkerGuard,
}

/// Writes by a thread of its own, which a reader that does not read cannot hand on to who logs.
fn writer(to: impl Write + Send + 'static, lines: usize) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default().lossy(true).buffered_lines_limit(lines).thread_name("log").finish(to)
}

fn layer<S>(config: &Log, writer: NonBlocking) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = fmt::layer().with_writer(writer);
    match config.format {
        Format::Text => lines.with_ansi(stderr().is_terminal()).with_target(false).boxed(),
        Format::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        }
    }
}

/// Sets up the log of the process, and sends panics there; and its traces, if a collector is configured.
pub fn init(config: &Log, otlp: &Otlp, runtime: &Handle) -> Result<Logging, LogError> {
    let filter = filter(&config.level)?;
    let traces = Traces::open(otlp, runtime)?;
    let (writer, lines) = writer(stderr(), LINES);
    let counter = writer.error_counter();
    let set = match &traces {
        None => registry().with(filter).with(layer(config, writer)).try_init(),
        Some(traces) => {
            let spans = tracing_opentelemetry::layer().with_tracer(traces.tracer());
            let spans = spans.with_location(false).with_threads(false).with_tracked_inactivity(false);
            let only = Targets::new().with_target(SPANS, LevelFilter::TRACE);
            registry()
                .with(layer(config, writer).with_filter(filter))
                .with(spans.with_filter(only))
                .try_init()
        }
    };
    set.map_err(|_| LogError::Twice)?;
    let _ = DROPPED.set(counter);
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let message = info.payload_as_str().unwrap_or("(no message)");
        tracing::error!(place, message, "panic");
    }));
    Ok(Logging { _traces: traces, _lines: lines })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_taken_and_other_words_refused() {
        for good in ["info", "WARN", "info,server=debug", "off"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["loud", "info,loud", "server=loud", ""] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_protocol_crates_stay_quiet_at_trace() {
        let shown = filter("trace").expect("trace").to_string();
        assert!(
            shown.contains("hyper=info") && shown.contains("h2=info") && shown.contains("rustls=info"),
            "{shown}"
        );
        assert!(!filter("info,h2=trace").expect("named").to_string().contains("h2=info"));
    }

    #[test]
    fn a_reader_that_stands_still_costs_lines_but_never_holds_up_who_logs() {
        struct Stuck(std::sync::mpsc::Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
                // Until the test is over.
                let _ = self.0.recv();
                Ok(line.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (release, stuck) = std::sync::mpsc::channel();
        let (log, guard) = writer(Stuck(stuck), 10);
        let counter = log.error_counter();
        let subscriber = registry().with(layer(&Log::default(), log));
        tracing::subscriber::with_default(subscriber, || {
            for line in 0..1000 {
                tracing::info!(line, "said");
            }
        });
        // One line is with the writer and ten wait.
        assert!((985..=990).contains(&counter.dropped_lines()), "{} dropped", counter.dropped_lines());
        drop((release, guard));
    }
}
