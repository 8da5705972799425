//! docker with a daemon of its own, podman and buildah with storage of their own.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use e2e::process::Process;
use e2e::{require, tools, wait};

use crate::{Desk, Outcome, text};

/// A docker daemon without network, ended politely when dropped (it has a containerd of its own to end).
pub(crate) struct Dockerd {
    process: Process,
    socket: PathBuf,
}

impl Dockerd {
    pub(crate) fn start(desk: &Desk) -> anyhow::Result<Self> {
        let dir = desk.path("dockerd");
        std::fs::create_dir_all(&dir)?;
        let socket = dir.join("sock");
        let mut command = Command::new(tools::find("dockerd").unwrap_or_else(|| "dockerd".into()));
        command
            .arg("--data-root")
            .arg(dir.join("root"))
            .arg("--exec-root")
            .arg(dir.join("exec"))
            .arg("--pidfile")
            .arg(dir.join("pid"))
            .arg("--host")
            .arg(format!("unix://{}", socket.display()))
            .args(["--storage-driver", "vfs", "--iptables=false", "--ip6tables=false", "--bridge=none"]);
        let mut daemon = Self { process: Process::start(&mut command, &dir.join("log"))?, socket };
        let ready = wait::until(Duration::from_mins(1), "docker's first answer", || {
            let answers = daemon.run(desk, &["version"]).is_ok();
            (answers || daemon.process.ended().is_some()).then_some(answers)
        });
        anyhow::ensure!(matches!(ready, Ok(true)), "dockerd does not start:\n{}", daemon.process.tail());
        Ok(daemon)
    }

    /// `docker …` at this daemon.
    pub(crate) fn run(&self, desk: &Desk, args: &[&str]) -> anyhow::Result<String> {
        let host = format!("unix://{}", self.socket.display());
        desk.run("docker", &[&["--host", &host], args].concat())
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // If it does not end in time, dropping the process kills it.
        let _ = self.process.terminate(Duration::from_secs(30));
    }
}

/// A tar of a small root file system, for `import`.
fn root_tar(desk: &Desk, seed: u64) -> anyhow::Result<PathBuf> {
    let (dir, _) = desk.layout(seed)?;
    let tar = desk.path("root.tar.gz");
    let blobs = std::fs::read_dir(dir.join("blobs/sha256"))?.flatten();
    let largest = blobs.max_by_key(|e| e.metadata().map_or(0, |m| m.len()));
    if let Some(layer) = largest {
        std::fs::copy(layer.path(), &tar)?;
    }
    Ok(tar)
}

#[test]
fn docker_logs_in_pushes_and_pulls() -> Outcome {
    require!(root; "docker", "dockerd");
    let desk = Desk::new()?;
    let host = desk.host();
    let docker = Dockerd::start(&desk)?;
    let image = format!("{host}/docker/app:v1");
    docker.run(&desk, &["login", "-u", desk.user(), "-p", desk.password(), &host])?;
    let tar = root_tar(&desk, 51)?;
    docker.run(&desk, &["import", text(&tar), &image])?;
    let id = docker.run(&desk, &["inspect", "--format", "{{.Id}}", &image])?;
    docker.run(&desk, &["push", &image])?;
    assert!(desk.stored("docker/app", "v1")?.is_some());
    docker.run(&desk, &["rmi", &image])?;
    docker.run(&desk, &["pull", &image])?;
    assert_eq!(docker.run(&desk, &["inspect", "--format", "{{.Id}}", &image])?, id);
    // A second tag of the same image sends no layer again; a one-segment name lies in the library.
    let plain = format!("{host}/docker-plain:latest");
    docker.run(&desk, &["tag", &image, &plain])?;
    docker.run(&desk, &["push", &plain])?;
    assert!(desk.stored("library/docker-plain", "latest")?.is_some());
    docker.run(&desk, &["logout", &host])?;
    Ok(())
}

#[test]
fn podman_logs_in_pushes_and_pulls() -> Outcome {
    require!(root; "podman");
    let desk = Desk::new()?;
    let host = desk.host();
    let (root, run) = (desk.path("podman"), desk.path("podman-run"));
    let storage = ["--root", text(&root), "--runroot", text(&run), "--storage-driver", "vfs"];
    let podman = |args: &[&str]| desk.run("podman", &[&storage, args].concat());
    let image = format!("{host}/podman/app:v1");
    podman(&["login", "--tls-verify=false", "-u", desk.user(), "-p", desk.password(), &host])?;
    let tar = root_tar(&desk, 52)?;
    podman(&["import", text(&tar), &image])?;
    for format in ["oci", "v2s2"] {
        podman(&["push", "--tls-verify=false", "--format", format, &image])?;
        assert!(desk.stored("podman/app", "v1")?.is_some(), "{format}");
    }
    podman(&[
        "push",
        "--tls-verify=false",
        "--compression-format",
        "zstd",
        &image,
        &format!("{host}/podman/zstd:v1"),
    ])?;
    podman(&["rmi", &image])?;
    podman(&["pull", "--tls-verify=false", &image])?;
    podman(&["pull", "--tls-verify=false", &format!("{host}/podman/zstd:v1")])?;
    Ok(())
}

#[test]
fn buildah_builds_a_manifest_list_and_pushes_it() -> Outcome {
    require!(root; "buildah");
    let desk = Desk::new()?;
    let host = desk.host();
    let (root, run) = (desk.path("buildah"), desk.path("buildah-run"));
    let storage = ["--root", text(&root), "--runroot", text(&run), "--storage-driver", "vfs"];
    let buildah = |args: &[&str]| desk.run("buildah", &[&storage, args].concat());
    buildah(&["login", "--tls-verify=false", "-u", desk.user(), "-p", desk.password(), &host])?;
    std::fs::write(desk.path("hello.txt"), "hello")?;
    let list = "localhost/list:v1";
    buildah(&["manifest", "create", list])?;
    for architecture in ["amd64", "arm64"] {
        let container = buildah(&["from", "scratch"])?;
        let container = container.trim();
        buildah(&["copy", container, text(&desk.path("hello.txt")), &format!("/{architecture}")])?;
        buildah(&["config", "--arch", architecture, container])?;
        buildah(&["commit", "--manifest", list, container])?;
    }
    let sink = format!("docker://{host}/buildah/list:v1");
    buildah(&["manifest", "push", "--all", "--tls-verify=false", list, &sink])?;
    let stored = desk.server.target().fetch("/v2/buildah/list/manifests/v1")?;
    assert_eq!(stored.json()["manifests"].as_array().map(Vec::len), Some(2), "{}", stored.text());
    Ok(())
}
