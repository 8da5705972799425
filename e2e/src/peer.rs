//! Another registry, for copies between two servers and as a second opinion: distribution.
//!
//! Started only where its binary is found ([`crate::tools`]); the suites never need it to judge Bonded.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::http::Request;
use crate::process::{self, Process};
use crate::registry::Target;
use crate::{tools, wait};

/// A running distribution registry without authentication.
#[derive(Debug)]
pub struct Peer {
    process: Process,
    target: Target,
    _data: TempDir,
}

impl Peer {
    /// Starts it on a free port; `None` where it is not installed.
    pub fn start() -> anyhow::Result<Option<Self>> {
        let Some(binary) = tools::find("registry") else { return Ok(None) };
        let data = tempfile::Builder::new().prefix("bonded-peer-").tempdir()?;
        let addr = ([127, 0, 0, 1], process::free_port()?).into();
        let target = Target { addr, credentials: None };
        let config = data.path().join("config.yml");
        std::fs::write(&config, configuration(data.path(), &target))?;
        let mut command = Command::new(binary);
        command.arg("serve").arg(&config);
        let process = Process::start(&mut command, &data.path().join("log"))?;
        wait::until(Duration::from_secs(30), "the peer's first answer", || {
            target.connect().send(&Request::new("GET", "/v2/")).ok().filter(|r| r.status == 200)
        })?;
        Ok(Some(Self { process, target, _data: data }))
    }

    /// The registry.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// `host:port`.
    pub fn host(&self) -> String {
        self.target.addr.to_string()
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

fn configuration(data: &Path, target: &Target) -> String {
    format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\nhttp: {{addr: '{}'}}\n",
        data.join("data").display(),
        target.addr
    )
}
