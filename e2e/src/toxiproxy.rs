//! Toxiproxy (github.com/Shopify/toxiproxy): faults of the network between a server and its stores, made by others.
//!
//! Started only where its server is found ([`crate::tools`]) under the name `toxiproxy-server`.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::{Body, Request};
use crate::process::{self, Process};
use crate::registry::Target;
use crate::wait;

/// The program's name.
pub const PROGRAM: &str = "toxiproxy-server";

/// Which way a toxic works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// A running Toxiproxy.
#[derive(Debug)]
pub struct Toxiproxy {
    control: Target,
    _process: Process,
    _log: TempDir,
}

/// A proxy in front of one server.
#[derive(Debug, Clone)]
pub struct Toxic {
    control: Target,
    name: String,
    port: u16,
}

impl Toxiproxy {
    /// Starts it on a free port; the caller knows that it is installed.
    pub fn start() -> anyhow::Result<Self> {
        let binary = crate::tools::find(PROGRAM).context("toxiproxy-server is not installed")?;
        let log = tempfile::Builder::new().prefix("bonded-toxiproxy-").tempdir()?;
        let control = Target { addr: ([127, 0, 0, 1], process::free_port()?).into(), credentials: None };
        let mut command = Command::new(binary);
        command.args(["-host", "127.0.0.1", "-port", &control.addr.port().to_string()]);
        let process = Process::start(&mut command, &log.path().join("log"))?;
        wait::until(Duration::from_secs(30), "Toxiproxy's first answer", || {
            control.connect().send(&Request::new("GET", "/version")).ok().filter(|r| r.status == 200)
        })?;
        Ok(Self { control, _process: process, _log: log })
    }

    /// A proxy in front of `upstream`.
    pub fn before(&self, name: &str, upstream: SocketAddr) -> anyhow::Result<Toxic> {
        let port = process::free_port()?;
        let proxy = json!({ "name": name, "listen": format!("127.0.0.1:{port}"), "upstream": upstream });
        call(&self.control, "POST", "/proxies", &proxy)?;
        Ok(Toxic { control: self.control.clone(), name: name.to_owned(), port })
    }
}

impl Toxic {
    /// The port to connect to instead of the server's.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Adds a toxic of this type to all connections (Toxiproxy's README, "Toxics").
    pub fn add(&self, kind: &str, way: Way, attributes: &Value) -> anyhow::Result<()> {
        let stream = if way == Way::Up { "upstream" } else { "downstream" };
        let toxic = json!({ "name": "toxic", "type": kind, "stream": stream, "attributes": attributes });
        call(&self.control, "POST", &format!("/proxies/{}/toxics", self.name), &toxic)
    }

    /// Takes the toxic away.
    pub fn heal(&self) -> anyhow::Result<()> {
        call(&self.control, "DELETE", &format!("/proxies/{}/toxics/toxic", self.name), &Value::Null)
    }
}

fn call(control: &Target, method: &str, path: &str, document: &Value) -> anyhow::Result<()> {
    let bytes = document.to_string();
    let request = Request::new(method, path).header("Content-Type", "application/json");
    let answer = control.send(&request.body(Body::Bytes(bytes.as_bytes())))?;
    anyhow::ensure!((200..300).contains(&answer.status), "{method} {path}: {}", answer.text());
    Ok(())
}
