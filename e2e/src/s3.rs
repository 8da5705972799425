//! An S3 service for tests: versitygw over a directory, else moto, with one bucket.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::bail;
use tempfile::TempDir;

use crate::http::{Connection, Request};
use crate::process::{self, Process};
use crate::{environment, tools, wait};

/// The bucket's name.
pub const BUCKET: &str = "bucket";
/// The access key and its secret.
pub const CREDENTIALS: (&str, &str) = ("ak", "sk");

/// The programs, the better one first.
const PROGRAMS: [(&str, &str); 2] = [("versitygw", "versitygw"), ("moto", "moto_server")];

/// A running service.
#[derive(Debug)]
pub struct S3 {
    _process: Process,
    addr: SocketAddr,
    kind: &'static str,
    _dir: TempDir,
}

/// The service to use and its program.
fn chosen() -> Option<(&'static str, std::path::PathBuf)> {
    let wanted = environment::variable("BONDED_TEST_S3");
    let wanted = |kind: &str| wanted.as_deref().is_none_or(|wanted| wanted == kind);
    PROGRAMS
        .into_iter()
        .filter(|(kind, _)| wanted(kind))
        .find_map(|(kind, program)| Some((kind, tools::find(program)?)))
}

/// Why there can be none here; `None` if there can.
pub fn missing() -> Option<&'static str> {
    chosen().is_none().then_some("no S3 service: neither versitygw nor moto_server is installed")
}

impl S3 {
    /// Starts one with an empty bucket; `None` (and a line) where there can be none.
    pub fn start() -> anyhow::Result<Option<Self>> {
        let Some((kind, program)) = chosen() else {
            tools::skipped(missing().unwrap_or_default());
            return Ok(None);
        };
        let dir = tempfile::Builder::new().prefix("bonded-s3-").tempdir()?;
        let addr: SocketAddr = ([127, 0, 0, 1], process::free_port()?).into();
        let mut command = Command::new(program);
        if kind == "versitygw" {
            std::fs::create_dir_all(dir.path().join("store").join(BUCKET))?;
            let (access, secret) = CREDENTIALS;
            command.args(["--access", access, "--secret", secret, "--quiet", "--port", &addr.to_string()]);
            command.arg("posix").arg(dir.path().join("store"));
        } else {
            command.args(["-H", "127.0.0.1", "-p", &addr.port().to_string()]);
        }
        let process = Process::start(&mut command, &dir.path().join("log"))?;
        wait::until(Duration::from_mins(1), "the first answer of the S3 service", || {
            Connection::new(addr, None).send(&Request::new("GET", "/")).ok()
        })?;
        if kind == "moto" {
            let made = Connection::new(addr, None).send(&Request::new("PUT", format!("/{BUCKET}")))?;
            if made.status != 200 {
                bail!("the bucket was not made: {} {}", made.status, made.text());
            }
        }
        Ok(Some(Self { _process: process, addr, kind, _dir: dir }))
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `versitygw` or `moto`.
    pub fn kind(&self) -> &'static str {
        self.kind
    }
}
