//! Real content: Debian by debootstrap, and what Python, Node, Java and Go people ship, from their registries.
//!
//! Each image is assembled here as an OCI layout, pushed by skopeo, fetched again and compared; Debian's and Go's are
//! also run by docker. A package manager that is absent or cannot reach its registry skips its image by name.

use std::path::Path;

use anyhow::Context as _;
use e2e::image::{LayerBuilder, write_layout};
use e2e::{require, tools};
use serde_json::json;

use crate::daemons::Dockerd;
use crate::{Desk, Outcome, text};

/// Makes an image of a directory, pushes it and fetches it again.
fn round_trip(desk: &Desk, name: &str, root: &Path, at: &str) -> anyhow::Result<String> {
    let mut layer = LayerBuilder::default();
    layer.directory(at, root)?;
    let layout = desk.path(&format!("{name}-layout"));
    let config = json!({ "architecture": "amd64", "os": "linux", "config": {} });
    let layer = layer.finish()?;
    let size = layer.len();
    let digest = write_layout(&layout, "v1", &[layer], &config)?;
    let host = desk.host();
    desk.run("skopeo", &["login", "--tls-verify=false", "-u", desk.user(), "-p", desk.password(), &host])?;
    let remote = format!("docker://{host}/real/{name}:v1");
    desk.run("skopeo", &["copy", "--dest-tls-verify=false", &format!("oci:{}:v1", text(&layout)), &remote])?;
    assert_eq!(desk.stored(&format!("real/{name}"), "v1")?, Some(digest.clone()));
    let back = desk.path(&format!("{name}-back"));
    desk.run("skopeo", &["copy", "--src-tls-verify=false", &remote, &format!("oci:{}:v1", text(&back))])?;
    for entry in std::fs::read_dir(layout.join("blobs/sha256"))? {
        let entry = entry?;
        let copy = back.join("blobs/sha256").join(entry.file_name());
        assert!(std::fs::read(entry.path())? == std::fs::read(&copy)?, "{} differs", copy.display());
    }
    tools::figure(&format!("{name}: a layer of {} KiB pushed and pulled unchanged", size / 1024));
    Ok(format!("{host}/real/{name}:v1"))
}

/// Runs a package manager; `false` and a line that says so when it cannot.
fn fetched(desk: &Desk, program: &str, args: &[&str]) -> anyhow::Result<bool> {
    let (done, said) = desk.attempt(program, args)?;
    if !done {
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        tools::skipped(&format!("an image from {program}'s registry: {last}"));
    }
    Ok(done)
}

#[test]
fn debian_by_debootstrap_is_pushed_pulled_and_run() -> Outcome {
    require!(root; "debootstrap", "skopeo", "docker", "dockerd");
    let desk = Desk::new()?;
    let root = desk.path("debian");
    let bootstrap = ["--variant=minbase", "--exclude=systemd,udev", "bookworm", text(&root)];
    if !fetched(&desk, "debootstrap", &bootstrap)? {
        return Ok(());
    }
    // Devices and downloaded packages are no content of an image.
    for dir in ["dev", "proc", "sys", "var/cache/apt/archives", "var/lib/apt/lists"] {
        std::fs::remove_dir_all(root.join(dir)).ok();
        std::fs::create_dir_all(root.join(dir))?;
    }
    let image = round_trip(&desk, "debian", &root, ".")?;
    let docker = Dockerd::start(&desk)?;
    docker.run(&desk, &["login", "-u", desk.user(), "-p", desk.password(), &desk.host()])?;
    docker.run(&desk, &["pull", &image])?;
    let id = docker.run(&desk, &["create", "--network=none", &image, "/bin/cat", "/etc/debian_version"])?;
    match docker.run(&desk, &["start", "--attach", id.trim()]) {
        Ok(version) => assert!(version.starts_with("12."), "{version}"),
        // The image is right; containers cannot run where cgroups are not writable.
        Err(e) => tools::figure(&format!("debian was pulled but not run here: {e:#}").replace('\n', " ")),
    }
    Ok(())
}

#[test]
fn a_python_image_is_pushed_and_pulled() -> Outcome {
    require!("python3", "skopeo");
    let desk = Desk::new()?;
    let site = desk.path("site-packages");
    let args =
        ["-m", "pip", "install", "--quiet", "--no-compile", "--target", text(&site), "requests==2.32.3"];
    if fetched(&desk, "python3", &args)? {
        round_trip(&desk, "python", &site, "usr/lib/python3/dist-packages")?;
    }
    Ok(())
}

#[test]
fn a_node_image_is_pushed_and_pulled() -> Outcome {
    require!("npm", "skopeo");
    let desk = Desk::new()?;
    let app = desk.path("app");
    std::fs::create_dir(&app)?;
    let args =
        ["install", "--prefix", text(&app), "--no-audit", "--no-fund", "--ignore-scripts", "express@4.21.2"];
    if fetched(&desk, "npm", &args)? {
        round_trip(&desk, "node", &app, "app")?;
    }
    Ok(())
}

#[test]
fn a_java_image_is_pushed_and_pulled() -> Outcome {
    require!("mvn", "skopeo");
    let desk = Desk::new()?;
    let lib = desk.path("lib");
    let artifact = "-Dartifact=commons-io:commons-io:2.16.1";
    let into = format!("-DoutputDirectory={}", text(&lib));
    if fetched(&desk, "mvn", &["-q", "-B", "dependency:copy", artifact, &into])? {
        round_trip(&desk, "java", &lib, "app/lib")?;
    }
    Ok(())
}

#[test]
fn a_go_image_is_pushed_and_pulled() -> Outcome {
    require!("crane", "skopeo");
    let desk = Desk::new()?;
    let bin = desk.path("bin");
    std::fs::create_dir(&bin)?;
    std::fs::copy(tools::find("crane").context("crane is installed")?, bin.join("crane"))?;
    round_trip(&desk, "go", &bin, "usr/local/bin")?;
    Ok(())
}
