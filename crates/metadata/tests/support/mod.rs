//! A PostgreSQL server from the machine's binaries in a temporary directory, and a proxy that breaks connections.
//! Where there are no binaries the tests that need one say so and pass.
#![expect(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "support of tests, each of which uses its own part"
)]

pub(crate) mod proxy;

use metadata::postgres::PostgresOptions;
use metadata::{Engine, ManualClock, Postgres, SeededRandom, Store};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// A running server; ended by its own pid when dropped.
pub(crate) struct Server {
    binaries: PathBuf,
    dir: TempDir,
    pub(crate) port: u16,
    fsync: bool,
    process: Option<Child>,
}

/// Where the server's programs lie: the newest of Debian's directories, else the path's.
fn binaries() -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> =
        debian.map(|entry| entry.path().join("bin")).filter(|bin| bin.join("postgres").exists()).collect();
    found.sort();
    found.pop()
}

/// The user to run as: PostgreSQL refuses root.
fn user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = passwd.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

impl Server {
    /// Starts one that does not wait for the disk, or says why the test is skipped.
    pub(crate) fn start() -> Option<Self> {
        Self::new(false)
    }

    /// Starts one that waits for the disk.
    pub(crate) fn start_durable() -> Option<Self> {
        Self::new(true)
    }

    fn new(fsync: bool) -> Option<Self> {
        let Some(binaries) = binaries() else {
            println!("skipped: no PostgreSQL server binaries (Debian: apt-get install postgresql)");
            return None;
        };
        if rustix::process::geteuid().is_root() && user().is_none() {
            println!("skipped: PostgreSQL does not run as root and there is no user postgres");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { binaries, dir, port, fsync, process: None };
        let data = server.data();
        let initdb = server
            .command("initdb")
            .args(["--no-sync", "-A", "trust", "-U", "bonded", "-E", "UTF8", "--locale=C.UTF-8", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(initdb.status.success(), "initdb: {}", String::from_utf8_lossy(&initdb.stderr));
        server.up();
        Some(server)
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        command.current_dir("/").stdin(Stdio::null());
        if let Some((uid, gid)) = user() {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Starts the process; returns when it accepts.
    pub(crate) fn up(&mut self) {
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        let data = self.data();
        let child = self
            .command("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", if self.fsync { "fsync=on" } else { "fsync=off" }])
            .args(["-c", "unix_socket_directories=", "-c", "shared_buffers=32MB", "-c", "max_connections=40"])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(child);
        for _ in 0..600 {
            let mut ready = self.command("pg_isready");
            ready.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
            if ready.status().unwrap().success() {
                return;
            }
            std::thread::yield_now();
        }
        panic!("postgres did not start: {}", std::fs::read_to_string(self.dir.path().join("log")).unwrap());
    }

    /// Starts it anew, with TLS by this certificate and key (PEM).
    pub(crate) async fn encrypt(&mut self, cert: &str, key: &str) {
        let data = self.data();
        for (name, content) in [("server.crt", cert), ("server.key", key)] {
            let path = data.join(name);
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            if let Some((uid, gid)) = user() {
                std::os::unix::fs::chown(&path, Some(uid), Some(gid)).unwrap();
            }
        }
        self.admin("ALTER SYSTEM SET ssl = on").await;
        self.down();
        self.up();
    }

    /// `pg_ctl stop -m immediate`: the server dies without a shutdown.
    pub(crate) fn down(&mut self) {
        if let Some(mut process) = self.process.take() {
            signal_to(&process, rustix::process::Signal::QUIT);
            process.wait().unwrap();
        }
    }

    /// Stops (or continues) every process of the server.
    pub(crate) fn freeze(&self, frozen: bool) {
        let signal = if frozen { rustix::process::Signal::STOP } else { rustix::process::Signal::CONT };
        let process = self.process.as_ref().unwrap();
        let children =
            std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", process.id())).unwrap_or_default();
        signal_to(process, signal);
        for child in children.split_whitespace() {
            if let Some(pid) = child.parse().ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, signal);
            }
        }
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://bonded@127.0.0.1:{}/{database}", self.port)
    }

    /// A new database; answers its URL.
    pub(crate) async fn database(&self, name: &str) -> String {
        self.admin(&format!("CREATE DATABASE {name}")).await;
        self.url(name)
    }

    /// Runs SQL as the owner, outside the engine.
    pub(crate) async fn admin(&self, sql: &str) {
        let client = self.client("postgres").await;
        client.batch_execute(sql).await.unwrap();
    }

    pub(crate) async fn client(&self, database: &str) -> tokio_postgres::Client {
        let (client, connection) =
            tokio_postgres::connect(&self.url(database), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    pub(crate) async fn engine(&self, database: &str) -> Arc<Postgres> {
        let url = self.database(database).await;
        Postgres::connect(&url, PostgresOptions::default()).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.freeze(false);
            self.down();
        }
        // The data belongs to the other user; root may remove it, others own it.
    }
}

fn signal_to(process: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(process.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// A store on an engine with a clock that stands still.
pub(crate) fn store(engine: Arc<dyn Engine>) -> Store {
    Store::new(engine, Arc::new(ManualClock::default()), Arc::new(SeededRandom::new(7)))
}

/// Waits for a condition, at most ten seconds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "{what} did not come true within 10 s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
