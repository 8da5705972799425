//! A child process that ends when its guard drops, and commands with a time limit.
//!
//! Output goes to a file, not a pipe: a server that logs much must never block on a reader that does not read. That of a
//! command is a file in memory: on a full disk the very message that says so would be lost.

use std::fs::File;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal};

use crate::wait;

/// A running server.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output going to the end of `log`.
    pub fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let out = File::options().create(true).append(true).open(log)?;
        let err = out.try_clone()?;
        let child =
            command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().with_context(|| {
                format!("{} could not be started", command.get_program().to_string_lossy())
            })?;
        Ok(Self { child, log: log.to_path_buf() })
    }

    /// The operating system's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, then reaped: when this returns the process holds nothing any more.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, then waits up to `limit` for the end.
    pub fn terminate(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait(limit)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid =
            i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no such process id")?;
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    /// Waits up to `limit` for the end.
    pub fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let child = &mut self.child;
        wait::until(limit, "the end of a process", || child.try_wait().ok().flatten())
    }

    /// `Some` once the process has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The last lines of its output, for messages of failed tests.
    pub fn tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already ended is fine; there is nobody left to tell about anything else.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port nobody listens on at this moment.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// What a finished command said.
#[derive(Debug)]
pub struct Output {
    /// Its exit status.
    pub status: ExitStatus,
    /// Standard output, lossily decoded.
    pub stdout: String,
    /// Standard error, lossily decoded.
    pub stderr: String,
}

/// Runs `command` to its end, at most `limit`; over it the command is killed and an error told.
pub fn run_within(command: &mut Command, limit: Duration) -> anyhow::Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut out = file_in_memory()?;
    let mut err = file_in_memory()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(err.try_clone()?)
        .spawn()
        .with_context(|| format!("{name} could not be started"))?;
    let ended = wait::until(limit, &format!("the end of {name}"), || child.try_wait().ok().flatten());
    if ended.is_err() {
        child.kill()?;
        child.wait()?;
    }
    let output = Output { status: ended?, stdout: text_of(&mut out)?, stderr: text_of(&mut err)? };
    Ok(output)
}

/// Like [`run_within`], and an error with what it said unless it exits with 0; its standard output otherwise.
pub fn succeed(command: &mut Command, limit: Duration) -> anyhow::Result<String> {
    let line = format!("{command:?}");
    let output = run_within(command, limit)?;
    if !output.status.success() {
        bail!("{line}: {}\n{}\n{}", output.status, output.stdout.trim(), output.stderr.trim());
    }
    Ok(output.stdout)
}

fn file_in_memory() -> anyhow::Result<File> {
    Ok(rustix::fs::memfd_create("output", rustix::fs::MemfdFlags::CLOEXEC)?.into())
}

fn text_of(file: &mut File) -> anyhow::Result<String> {
    use std::io::Seek as _;
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
