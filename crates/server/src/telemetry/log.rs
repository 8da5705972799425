//! Sets up the log: lines of text or JSON on standard error.
//!
//! Never tokens, bodies or secrets at any level: secrets are a type without a printed form, queries are not logged,
//! and hyper, h2 and rustls stay at `info` at most unless a directive names them – their traces show header values.

use std::io::{IsTerminal, stderr};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::log::{Format, Log};

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `log.level` is none.
    #[error("log.level: `{0}` is neither error, warn, info, debug, trace nor a list of directives")]
    Level(String),
    /// There is one already.
    #[error("the log is already set up")]
    Twice,
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

/// Sets up the log of the process, and sends panics there.
pub fn init(config: &Log) -> Result<(), LogError> {
    let builder = fmt().with_env_filter(filter(&config.level)?).with_writer(stderr);
    let set = match config.format {
        Format::Text => builder.with_ansi(stderr().is_terminal()).with_target(false).try_init(),
        Format::Json => {
            builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
        }
    };
    set.map_err(|_| LogError::Twice)?;
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let message = info.payload_as_str().unwrap_or("(no message)");
        tracing::error!(place, message, "panic");
    }));
    Ok(())
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
}
