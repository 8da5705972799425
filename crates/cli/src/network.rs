//! What the command line says of other hosts: authorities, credentials, clear text.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use upstream::{Client, Guard, Keychain, Options};

/// How other hosts are reached.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct NetworkArgs {
    /// Certificate authorities (PEM) beside the system's.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Ask other hosts in clear text (this machine always may be).
    #[arg(long)]
    pub plain_http: bool,
    /// Credentials of registries, as `docker login` writes them [default: ~/.docker/config.json, if it exists].
    #[arg(long, value_name = "FILE", env = "REGISTRY_AUTH_FILE")]
    pub auth_file: Option<PathBuf>,
}

impl NetworkArgs {
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let read = |path: &PathBuf| {
            std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
        };
        let ca_pem = self.ca_file.as_ref().map(read).transpose()?;
        // Who types an address here could connect to it without us.
        Ok(Client::new(&Options { ca_pem, plain_http: self.plain_http, guard: Guard::anywhere() })?)
    }

    pub(crate) fn keychain(&self) -> anyhow::Result<Keychain> {
        let own = || std::env::home_dir().map(|home| home.join(".docker/config.json")).filter(|p| p.exists());
        let Some(path) = self.auth_file.clone().or_else(own) else { return Ok(Keychain::default()) };
        let bytes = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        Keychain::parse(&bytes).with_context(|| path.display().to_string())
    }
}

/// What drives the client; two threads ask at a time.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("no thread can be started")
}
