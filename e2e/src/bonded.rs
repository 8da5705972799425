//! The server under test: the built `bonded` on a free port with a data directory of its own.
//!
//! A [`Server`] is what an operator has: a directory, a port, a process. It can be killed, stopped and started again
//! on the same directory. [`shared`] gives tests that only speak the protocol one server between them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::http::Request;
use crate::process::{self, Output, Process};
use crate::registry::Target;
use crate::{environment, wait};

/// From start to the first answer, at most. Generous: test machines are busy.
const START_LIMIT: Duration = Duration::from_mins(1);

/// One maintenance command, at most.
const MAINTENANCE_LIMIT: Duration = Duration::from_mins(10);

/// The name of the configuration file in a server's own directory.
const CONFIG: &str = "bonded.toml";

/// How a server is to be started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// More environment variables (`BONDED_SECTION__KEY`).
    pub environment: Vec<(String, String)>,
    /// More arguments after `serve`.
    pub arguments: Vec<String>,
    /// A configuration file's text.
    pub config: Option<String>,
    /// Where its data lies; a temporary directory of its own if not said.
    pub data: Option<PathBuf>,
    /// The administrator's password; if not said, the server makes one and writes it beside its data.
    pub password: Option<String>,
}

/// A running (or killed) Bonded.
#[derive(Debug)]
pub struct Server {
    process: Option<Process>,
    options: Options,
    data: PathBuf,
    target: Target,
    /// Holds the log, and the data unless [`Options::data`] says where.
    scratch: TempDir,
}

impl Server {
    /// Starts a fresh server with the default configuration.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(Options::default())
    }

    /// Starts a server; when this returns it answers.
    pub fn start_with(options: Options) -> anyhow::Result<Self> {
        let scratch = tempfile::Builder::new().prefix("bonded-e2e-").tempdir()?;
        let data = options.data.clone().unwrap_or_else(|| scratch.path().join("data"));
        let addr = ([127, 0, 0, 1], process::free_port()?).into();
        let target = Target { addr, credentials: None };
        if let Some(text) = &options.config {
            std::fs::write(scratch.path().join(CONFIG), text)?;
        }
        let mut server = Self { process: None, options, data, target, scratch };
        server.restart()?;
        let password = match (&server.options.password, server.announced_password()) {
            (Some(stated), _) => Some(stated.clone()),
            // Another replica may have made it.
            (None, Err(_)) if server.options.config.is_some() => None,
            (None, announced) => Some(
                announced.context("the first start writes the administrator's password beside the data")?,
            ),
        };
        server.target.credentials = password.map(|password| ("admin".to_owned(), password));
        Ok(server)
    }

    fn announced_password(&self) -> std::io::Result<String> {
        Ok(std::fs::read_to_string(self.data.join("initial-admin-password"))?.trim().to_owned())
    }

    /// Starts the killed or stopped server again on the same data and port.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.spawn()?;
        self.wait_ready()
    }

    /// A command on this server's data, configuration and environment.
    fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(binary()?);
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(&self.data)
            .args(self.options.config.iter().flat_map(|_| ["--config", CONFIG]))
            // Most of what tests push is no image; those that are about scanning switch it on.
            .env("BONDED_SCAN__ON_PUSH", "false")
            .envs(self.options.environment.iter().map(|(name, value)| (name, value)))
            .envs(self.options.password.iter().map(|password| ("BONDED_ADMIN_PASSWORD", password)))
            .current_dir(self.scratch.path());
        Ok(command)
    }

    fn spawn(&mut self) -> anyhow::Result<()> {
        let mut command = self.command(&["serve"])?;
        command.arg("--listen").arg(self.target.addr.to_string()).args(&self.options.arguments);
        self.process = Some(Process::start(&mut command, &self.scratch.path().join("log"))?);
        Ok(())
    }

    fn wait_ready(&mut self) -> anyhow::Result<()> {
        let target = self.target.anonymous();
        let process = self.process.as_mut().context("nothing was started")?;
        let answered = wait::until(START_LIMIT, "the server's first answer", || {
            if let Some(status) = process.ended() {
                return Some(Err(status));
            }
            let answer = target.connect().send(&Request::new("GET", "/v2/")).ok()?;
            matches!(answer.status, 200 | 401).then_some(Ok(()))
        });
        match answered {
            Ok(Ok(())) => Ok(()),
            Ok(Err(status)) => bail!("bonded ended by itself ({status}):\n{}", process.tail()),
            Err(e) => bail!("{e}:\n{}", process.tail()),
        }
    }

    /// Runs `bonded ARGUMENTS` on this server's data, with its environment and some more, to its end.
    pub fn maintain(&self, arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Output> {
        let mut command = self.command(arguments)?;
        command.envs(environment.iter().copied());
        process::run_within(&mut command, MAINTENANCE_LIMIT)
    }

    /// Bytes of all files in its data directory below `part`.
    pub fn bytes_below(&self, part: &str) -> u64 {
        bytes_below(&self.data.join(part))
    }

    /// The registry for its administrator.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// `host:port`, as clients want it.
    pub fn host(&self) -> String {
        self.target.addr.to_string()
    }

    /// Where its data lies.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A directory that lives as long as the server.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// The process's id, `None` when killed.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        self.process.as_ref().map(Process::tail).unwrap_or_default()
    }

    /// kill -9.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.take().context("no process to kill")?.kill()
    }

    /// SIGTERM; whether it ended with success within `limit`.
    pub fn stop(&mut self, limit: Duration) -> anyhow::Result<bool> {
        Ok(self.process.take().context("no process to stop")?.terminate(limit)?.success())
    }
}

/// Bytes of all files below a directory; one that is being deleted meanwhile counts or not.
pub fn bytes_below(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let size = |e: std::fs::DirEntry| match e.metadata() {
        Ok(meta) if meta.is_dir() => bytes_below(&e.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// A server that all tests running at the same time share; it ends with the last of them.
pub fn shared() -> anyhow::Result<Arc<Server>> {
    static SHARED: LazyLock<Mutex<Weak<Server>>> = LazyLock::new(Mutex::default);
    static FAILED: OnceLock<String> = OnceLock::new();
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Ok(server);
    }
    if let Some(why) = FAILED.get() {
        bail!("the server did not start for an earlier test: {why}");
    }
    let server = Server::start().inspect_err(|e| {
        // A second try would only cost every further test the same wait.
        let _ = FAILED.set(format!("{e:#}"));
    })?;
    let server = Arc::new(server);
    *shared = Arc::downgrade(&server);
    Ok(server)
}

/// The server's binary: `BONDED_BIN`, else the workspace's own, built now if it is not up to date.
pub fn binary() -> anyhow::Result<PathBuf> {
    static BUILT: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| build().map_err(|e| format!("{e:#}")));
    BUILT.clone().map_err(|e| anyhow::anyhow!(e))
}

fn build() -> anyhow::Result<PathBuf> {
    if let Some(path) = environment::variable("BONDED_BIN") {
        return Ok(PathBuf::from(path));
    }
    // A test runs from TARGET/PROFILE/deps, an example or task from TARGET/PROFILE.
    let exe = std::env::current_exe()?;
    let mut dir = exe.parent().context("an executable lies in a directory")?;
    if dir.ends_with("deps") {
        dir = dir.parent().context("deps lies in the profile's directory")?;
    }
    let mut command = Command::new("cargo");
    // With the whole workspace and a test: only so the features are those that the tests are built with, and what they
    // have compiled is not compiled again with others.
    command.args(["build", "--quiet", "--workspace", "--bin", "bonded", "--test", "protocol"]);
    if dir.ends_with("release") {
        command.arg("--release");
    }
    command.arg("--target-dir").arg(dir.parent().context("a profile lies in the target directory")?);
    command.current_dir(environment::workspace_root());
    process::succeed(&mut command, Duration::from_mins(30)).context("building the server")?;
    Ok(dir.join("bonded"))
}
