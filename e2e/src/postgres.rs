//! A PostgreSQL server from the machine's binaries, with a cluster of its own in a temporary directory.
//!
//! PostgreSQL refuses root: then it runs as the user `postgres`, which the package makes.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{self, Process};
use crate::{environment, tools, wait};

/// One command or start, at most. Generous: test machines are busy.
const LIMIT: Duration = Duration::from_mins(2);

/// Whether the server waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// Commits are on the disk when they are answered.
    Synced,
    /// They are not; nothing but a power cut tells the difference.
    Lazy,
}

/// A running server; ended by its own id when dropped.
#[derive(Debug)]
pub struct Postgres {
    binaries: PathBuf,
    owner: Option<(u32, u32)>,
    dir: TempDir,
    port: u16,
    disk: Disk,
    process: Option<Process>,
}

/// Where the server's programs lie: the newest of Debian's directories.
fn binaries() -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let installed = debian.map(|entry| entry.path().join("bin")).filter(|bin| bin.join("postgres").exists());
    let version = |bin: &PathBuf| -> Option<u32> { bin.parent()?.file_name()?.to_str()?.parse().ok() };
    installed.max_by_key(version)
}

/// The user to run as.
fn owner() -> Option<(u32, u32)> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = passwd.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Why there can be none here; `None` if there can.
pub fn missing() -> Option<&'static str> {
    if binaries().is_none() {
        return Some("no PostgreSQL server binaries (Debian: apt-get install postgresql)");
    }
    (environment::is_root() && owner().is_none())
        .then_some("PostgreSQL does not run as root and there is no user postgres")
}

impl Postgres {
    /// Starts one; `None` (and a line) where there can be none.
    pub fn start(disk: Disk) -> anyhow::Result<Option<Self>> {
        if let Some(why) = missing() {
            tools::skipped(why);
            return Ok(None);
        }
        let binaries = binaries().context("looked for above")?;
        let owner = if environment::is_root() { owner() } else { None };
        let dir = tempfile::Builder::new().prefix("bonded-postgres-").tempdir()?;
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777))?;
        let port = process::free_port()?;
        let mut server = Self { binaries, owner, dir, port, disk, process: None };
        let mut initdb = server.command("initdb");
        initdb.args(["--no-sync", "-A", "trust", "-U", "bonded", "-E", "UTF8", "--locale=C.UTF-8", "-D"]);
        process::succeed(initdb.arg(server.data()), LIMIT)?;
        server.up()?;
        Ok(Some(server))
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        command.current_dir("/").stdin(Stdio::null());
        if let Some((uid, gid)) = self.owner {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Starts the process; returns when it accepts.
    pub fn up(&mut self) -> anyhow::Result<()> {
        let port = self.port.to_string();
        let fsync = format!("fsync={}", if self.disk == Disk::Synced { "on" } else { "off" });
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &port, "-c", &fsync]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "shared_buffers=32MB",
            "max_connections=80",
        ] {
            command.args(["-c", setting]);
        }
        self.process = Some(Process::start(&mut command, &self.log())?);
        wait::until(LIMIT, "PostgreSQL's start", || {
            let mut ready = self.command("pg_isready");
            ready.args(["-q", "-h", "127.0.0.1", "-p", &port]);
            ready.status().ok().filter(std::process::ExitStatus::success)
        })
        .with_context(|| std::fs::read_to_string(self.log()).unwrap_or_default())?;
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// It dies at once, without a shutdown (`pg_ctl stop -m immediate`).
    pub fn down(&mut self) -> anyhow::Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.signal(Signal::QUIT)?;
        process.wait(LIMIT)?;
        Ok(())
    }

    /// Stops (or continues) every process of the server: connections stand, nothing is answered.
    pub fn freeze(&self, frozen: bool) -> anyhow::Result<()> {
        let signal = if frozen { Signal::STOP } else { Signal::CONT };
        let process = self.process.as_ref().context("the server is down")?;
        let id = process.id();
        process.signal(signal)?;
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        for child in children.split_whitespace() {
            if let Some(child) = child.parse().ok().and_then(rustix::process::Pid::from_raw) {
                // One that ended meanwhile needs no signal.
                let _ = rustix::process::kill_process(child, signal);
            }
        }
        Ok(())
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// The address of a database through a port, its own or a proxy's.
    pub fn url_at(port: u16, database: &str) -> String {
        format!("postgres://bonded@127.0.0.1:{port}/{database}")
    }

    /// The address of a database.
    pub fn url(&self, database: &str) -> String {
        Self::url_at(self.port, database)
    }

    /// A new database; its address.
    pub fn database(&self, name: &str) -> anyhow::Result<String> {
        self.sql("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(self.url(name))
    }

    /// Runs SQL as the owner; the rows, unaligned.
    pub fn sql(&self, database: &str, sql: &str) -> anyhow::Result<String> {
        let mut psql = self.command("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &self.url(database), "-c", sql]);
        process::succeed(&mut psql, LIMIT)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A frozen server does not hear that it shall end.
        let _ = self.freeze(false);
        let _ = self.down();
        // The data belongs to the other user; root may remove it.
    }
}
