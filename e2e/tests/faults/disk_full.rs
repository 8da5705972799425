//! A full disk: the failed upload is refused clearly and gives its space back, everything else goes on.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use e2e::bonded::{Options, Server};
use e2e::http::{Body, Request};
use e2e::image::{Image, noise};
use e2e::registry::{OCI_MANIFEST, sha256, with_query};
use e2e::{Target, process, require, tools, wait};
use tempfile::TempDir;

use crate::Outcome;

const LIMIT: Duration = Duration::from_secs(30);
/// Room for the database and a little content.
const DISK_MIB: usize = 40;

/// A small file system in memory, unmounted when dropped.
struct SmallDisk {
    at: PathBuf,
    _dir: TempDir,
}

impl SmallDisk {
    fn new() -> anyhow::Result<Self> {
        let dir = TempDir::new()?;
        let at = dir.path().join("disk");
        std::fs::create_dir(&at)?;
        let size = format!("size={DISK_MIB}m");
        let mut mount = Command::new("mount");
        process::succeed(mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&at), LIMIT)?;
        Ok(Self { at, _dir: dir })
    }

    fn free_bytes(&self) -> anyhow::Result<u64> {
        let stat = rustix::fs::statvfs(&self.at)?;
        Ok(stat.f_bavail * stat.f_frsize)
    }

    fn server(&self) -> anyhow::Result<Server> {
        Server::start_with(Options { data: Some(self.at.join("data")), ..Options::default() })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = process::run_within(Command::new("umount").arg("--lazy").arg(&self.at), LIMIT);
    }
}

/// Takes all but `leave` bytes.
fn fill(disk: &SmallDisk, file: &Path, leave: u64) -> anyhow::Result<()> {
    let take = disk.free_bytes()?.saturating_sub(leave);
    std::fs::write(file, vec![1; usize::try_from(take)?])?;
    Ok(())
}

fn upload(target: &Target, repo: &str, bytes: &[u8]) -> anyhow::Result<e2e::http::Response> {
    let opened = target.send(&Request::new("POST", format!("/v2/{repo}/blobs/uploads/")))?;
    let at = with_query(&opened.location().unwrap_or_default(), &format!("digest={}", sha256(bytes)));
    target.send(
        &Request::new("PUT", at).header("Content-Type", "application/octet-stream").body(Body::Bytes(bytes)),
    )
}

#[test]
fn a_blob_too_large_for_the_disk_is_refused_and_its_space_returned() -> Outcome {
    require!(root; "mount");
    let disk = SmallDisk::new()?;
    let server = disk.server()?;
    let image = Image::new(1, 10_000);
    image.push(server.target(), "full/app", "v1")?;
    let before = disk.free_bytes()?;

    let answer = upload(server.target(), "full/app", &noise(2, (DISK_MIB + 10) * 1024 * 1024))?;
    assert_eq!((answer.status, &*answer.error_code()), (507, "UNAVAILABLE"), "{}", answer.text());

    let start = std::time::Instant::now();
    let after = wait::until(LIMIT, "the return of the failed upload's space", || {
        disk.free_bytes().ok().filter(|free| free + 2 * 1024 * 1024 > before)
    })?;
    tools::figure(&format!(
        "disk full: {} {}, {} of {} bytes free again after {:.1} s",
        answer.status,
        answer.error_code(),
        after,
        before,
        start.elapsed().as_secs_f64()
    ));
    assert!(server.target().fetch("/v2/full/app/manifests/v1")?.body == image.manifest);
    Image::new(3, 10_000).push(server.target(), "full/other", "v1")?;
    Ok(())
}

#[test]
fn on_a_full_disk_a_tag_keeps_its_old_image_and_recovers_when_space_returns() -> Outcome {
    require!(root; "mount");
    let disk = SmallDisk::new()?;
    let server = disk.server()?;
    let (old, new) = (Image::new(4, 10_000), Image::new(5, 10_000));
    old.push(server.target(), "full/app", "latest")?;
    new.push_blobs(server.target(), "full/app")?;
    let filler = disk.at.join("filler");
    fill(&disk, &filler, 0)?;

    let mut acknowledged = old.manifest.clone();
    let refused = (0..200).find_map(|n| {
        let manifest = [new.manifest.clone(), vec![b' '; 30_000 + n]].concat();
        let answer = server.target().put_manifest("full/app", "latest", OCI_MANIFEST, &manifest);
        match answer {
            Ok(answer) if answer.status == 201 => {
                acknowledged = manifest;
                None
            }
            other => Some(other),
        }
    });
    let refused = refused.context("the disk never became full")??;
    assert_eq!((refused.status, &*refused.error_code()), (507, "UNAVAILABLE"), "{}", refused.text());
    // What was acknowledged last, and not what was refused.
    let served = server.target().fetch("/v2/full/app/manifests/latest")?;
    assert!(served.status == 200 && served.body == acknowledged, "{} {}", served.status, served.body.len());

    std::fs::remove_file(&filler)?;
    wait::until(LIMIT, "a push after space returned", || {
        let answer = server.target().put_manifest("full/app", "latest", OCI_MANIFEST, &new.manifest).ok()?;
        (answer.status == 201).then_some(())
    })?;
    assert!(server.target().fetch("/v2/full/app/manifests/latest")?.body == new.manifest);
    Ok(())
}
