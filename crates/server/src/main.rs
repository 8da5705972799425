//! The `bonded` binary: allocator, TLS provider, runtime, command line.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage or configuration. The reason is one line on standard error.

mod allocator;

use std::fmt::Write as _;
use std::future::Future;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use server::app::{self, Maintenance};
use server::command::{Bonded, Command, ConfigCommand, Settings};
use server::config::{Config, ConfigError};
use server::telemetry::log;

/// Threads for blocking calls (files, SQLite, hashing): enough to keep disks busy, bounded so that a slow disk makes
/// requests wait instead of making threads.
const BLOCKING_THREADS: usize = 64;

fn main() -> ExitCode {
    // Two providers may be compiled in by dependencies: without a choice rustls panics at the first connection.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return failed("a TLS provider is already installed");
    }
    let outcome = match Bonded::parse().command {
        Command::Serve(settings) => with_config(&settings, app::serve),
        Command::Config(command) => config(&command),
        Command::Admin(command) => maintain(Maintenance::Admin(command)),
        Command::Audit(command) => maintain(Maintenance::Audit(command)),
        Command::Fsck(command) => maintain(Maintenance::Fsck(command)),
        Command::Rebuild(command) => maintain(Maintenance::Rebuild(command)),
        Command::Gc(command) => maintain(Maintenance::Gc(command)),
        Command::Serverless(command) => return cli::run(command),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = failed(&chain(&error));
            if error.is::<ConfigError>() { ExitCode::from(2) } else { code }
        }
    }
}

/// The error and its causes in one line; a cause whose text its effect already holds is left out.
fn chain(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |line, cause| {
        let cause = cause.to_string();
        match line.as_str() {
            "" => cause,
            line if line.contains(&cause) => line.to_owned(),
            line => format!("{line}: {cause}"),
        }
    })
}

fn failed(message: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "bonded: {}", message.replace('\n', " "));
    ExitCode::FAILURE
}

fn with_config<F>(settings: &Settings, run: impl FnOnce(Config) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    allocator::without_huge_pages();
    let config = settings.load()?;
    let threads = config.server.worker_threads;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(usize::from(threads));
    }
    let runtime = builder.max_blocking_threads(BLOCKING_THREADS).enable_all().build()?;
    // Ends before the runtime does, which carries the last traces away.
    let _logging = log::init(&config.log, &config.telemetry.otlp, runtime.handle())?;
    runtime.spawn(allocator::give_back());
    runtime.block_on(run(config))
}

fn maintain(work: Maintenance) -> anyhow::Result<()> {
    with_config(&work.settings().clone(), |config| app::maintain(config, work))
}

fn config(command: &ConfigCommand) -> anyhow::Result<()> {
    let text = match command {
        ConfigCommand::Check(settings) => {
            let mut text = String::new();
            for warning in settings.load()?.warnings() {
                writeln!(text, "warning: {warning}")?;
            }
            text + "the configuration is valid\n"
        }
        ConfigCommand::Show(settings) => settings.load()?.to_toml()?,
        ConfigCommand::Schema => serde_json::to_string_pretty(&Config::schema())? + "\n",
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
