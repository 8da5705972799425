//! Real clients, unmodified, against the real server: log in, push, pull, copy, delete.
//!
//! A client that is not installed is skipped by name. Every client runs with a home of its own, so nothing of the
//! machine's user is read or changed, and within a time limit.

mod artifacts;
mod copies;
mod cosign;
mod crane;
mod daemons;
mod large;
mod real_images;
mod search;
mod skopeo;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use e2e::bonded::{self, Server};
use e2e::image::{LayerBuilder, noise, write_layout};
use e2e::{process, tools};
use serde_json::json;
use tempfile::TempDir;

/// What a test that arranges, acts and asserts returns.
type Outcome = anyhow::Result<()>;

/// One command of a client, at most.
const LIMIT: Duration = Duration::from_mins(4);

/// A server and a user's home directory at it.
struct Desk {
    server: Arc<Server>,
    home: TempDir,
}

impl Desk {
    fn new() -> anyhow::Result<Self> {
        let home = tempfile::Builder::new().prefix("bonded-home-").tempdir()?;
        Ok(Self { server: bonded::shared()?, home })
    }

    /// `host:port` of the server.
    fn host(&self) -> String {
        self.server.host()
    }

    fn user(&self) -> &str {
        self.server.target().credentials.as_ref().map_or("", |(user, _)| user)
    }

    fn password(&self) -> &str {
        self.server.target().credentials.as_ref().map_or("", |(_, password)| password)
    }

    /// A path in the home.
    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The client with this home.
    fn command(&self, program: &str) -> anyhow::Result<Command> {
        let found = tools::find(program).with_context(|| format!("{program} is not installed"))?;
        let mut command = Command::new(found);
        command
            .current_dir(self.home.path())
            .env("HOME", self.home.path())
            .env("DOCKER_CONFIG", self.path("docker"))
            .env("REGISTRY_AUTH_FILE", self.path("auth.json"))
            .env("XDG_RUNTIME_DIR", self.home.path())
            .env("HELM_REGISTRY_CONFIG", self.path("helm.json"))
            .env("COSIGN_PASSWORD", "")
            .env("TMPDIR", self.home.path());
        Ok(command)
    }

    /// Runs the client to success; what it said.
    #[track_caller]
    fn run(&self, program: &str, args: &[&str]) -> anyhow::Result<String> {
        let place = std::panic::Location::caller();
        let mut command = self.command(program)?;
        process::succeed(command.args(args), LIMIT)
            .with_context(|| format!("at {place}; the server's log ends with\n{}", self.server.tail()))
    }

    /// Runs the client; whether it succeeded, and all it said.
    fn attempt(&self, program: &str, args: &[&str]) -> anyhow::Result<(bool, String)> {
        let output = process::run_within(self.command(program)?.args(args), LIMIT)?;
        Ok((output.status.success(), output.stdout + &output.stderr))
    }

    /// A small image as an OCI layout with the tag `v1`; its directory and manifest digest.
    fn layout(&self, seed: u64) -> anyhow::Result<(PathBuf, String)> {
        self.layout_of(&format!("layout-{seed}"), seed, 300_000)
    }

    fn layout_of(&self, name: &str, seed: u64, bytes: usize) -> anyhow::Result<(PathBuf, String)> {
        let mut layer = LayerBuilder::default();
        layer.file("data/noise", 0o644, &noise(seed, bytes))?;
        layer.file("etc/os-release", 0o644, b"ID=example\n")?;
        let dir = self.path(name);
        let config = json!({ "architecture": "amd64", "os": "linux", "config": { "Cmd": ["/none"] } });
        let digest = write_layout(&dir, "v1", &[layer.finish()?], &config)?;
        Ok((dir, digest))
    }

    /// The digest that the server has under the tag.
    fn stored(&self, repo: &str, tag: &str) -> anyhow::Result<Option<String>> {
        digest_at(self.server.target(), repo, tag)
    }
}

/// The digest that a registry has under the tag, `None` if there is no such tag.
fn digest_at(target: &e2e::Target, repo: &str, tag: &str) -> anyhow::Result<Option<String>> {
    let accept = format!(
        "{}, {}, {}, {}",
        e2e::registry::OCI_MANIFEST,
        e2e::registry::OCI_INDEX,
        e2e::registry::DOCKER_MANIFEST,
        e2e::registry::DOCKER_LIST
    );
    let head =
        e2e::http::Request::new("HEAD", format!("/v2/{repo}/manifests/{tag}")).header("Accept", accept);
    let answer = target.send(&head)?;
    Ok(answer.header("docker-content-digest").filter(|_| answer.status == 200).map(str::to_owned))
}

/// The path as text; the suites' own paths are all ASCII.
fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

/// Pushes an image with this version of left-pad; its digest.
fn push_package(server: &Server, repo: &str, tag: &str, version: &str) -> anyhow::Result<String> {
    let mut layer = LayerBuilder::default();
    let package = json!({ "name": "left-pad", "version": version }).to_string();
    layer.file("app/node_modules/left-pad/package.json", 0o644, package.as_bytes())?;
    let dir = server.scratch().join(version);
    let config = json!({ "architecture": "amd64", "os": "linux", "config": {} });
    let digest = write_layout(&dir, tag, &[layer.finish()?], &config)?;
    let mut manifest = Vec::new();
    for entry in std::fs::read_dir(dir.join("blobs/sha256"))? {
        let path = entry?.path();
        let bytes = std::fs::read(&path)?;
        if digest.ends_with(&*path.file_name().unwrap_or_default().to_string_lossy()) {
            manifest = bytes;
        } else {
            server.target().push_blob(repo, &bytes)?;
        }
    }
    server.target().push_manifest(repo, tag, e2e::registry::OCI_MANIFEST, &manifest)
}
