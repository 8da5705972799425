//! A power cut: the disk as it is at the moment of an acknowledgement, without anything the kernel still holds.
//!
//! The data lies on ext4 on a loop device. Right after an acknowledgement the server is stopped (SIGSTOP, so that the
//! copy is of one moment) and the backing file copied without a sync: what was only in the file system's page cache
//! is not in the copy. The copy is mounted (its journal replays, as after a real cut), a server started on it and
//! held to everything acknowledged so far. It models the loss of what was not written back, not reordered or torn
//! sectors. The negative control runs the same with fsync disabled and must lose: else the test proves nothing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context as _;
use e2e::bonded::{Options, Server};
use e2e::{environment, process, require, tools};
use tempfile::TempDir;

use crate::Outcome;
use crate::history::{History, Verdict};
use crate::storm::{Work, Worker};

const LIMIT: Duration = Duration::from_mins(1);
const DISK_BYTES: u64 = 256 * 1024 * 1024;
/// Acknowledged images between two cuts.
const ROUNDS: usize = 5;

/// A mounted file system that is unmounted when dropped.
struct Mount {
    at: PathBuf,
}

impl Mount {
    fn new(image: &Path, at: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&at)?;
        process::succeed(Command::new("mount").args(["-o", "loop"]).arg(image).arg(&at), LIMIT)?;
        Ok(Self { at })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a file still open must not leave the mount behind.
        let _ = process::run_within(Command::new("umount").arg("--lazy").arg(&self.at), LIMIT);
    }
}

/// Cuts the power until so many images were acknowledged; what was lost over all cuts.
fn cuts(acknowledgements: usize, environment: Vec<(String, String)>) -> anyhow::Result<(usize, Verdict)> {
    let dir = TempDir::new()?;
    let disk = dir.path().join("disk");
    std::fs::File::create(&disk)?.set_len(DISK_BYTES)?;
    process::succeed(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk), LIMIT)?;
    let mount = Mount::new(&disk, dir.path().join("mount"))?;
    let options = Options { data: Some(mount.at.join("data")), environment, ..Options::default() };
    let server = Server::start_with(options)?;
    // The first start (and its password) is not what is tested: let it reach the disk.
    process::succeed(&mut Command::new("sync"), LIMIT)?;

    let mut history = History::default();
    let mut total = Verdict::default();
    for cut in 0.. {
        if history.promises >= acknowledgements {
            break;
        }
        push_some(&server, cut, &mut history);
        let copy = dir.path().join("copy");
        cut_power(&server, &disk, &copy)?;
        let verdict = check_copy(&copy, &dir.path().join("after"), &server, &history)?;
        total.checked += verdict.checked;
        total.lost.extend(verdict.lost.into_iter().map(|why| format!("cut {cut}: {why}")));
    }
    Ok((history.promises, total))
}

fn push_some(server: &Server, cut: u64, history: &mut History) {
    let worker = Worker {
        target: server.target().clone(),
        repo: "power/cut".to_owned(),
        work: if cut.is_multiple_of(2) { Work::Manifests } else { Work::Tags },
        seed: cut / 2 + 1,
    };
    let (tell, told) = mpsc::channel();
    worker.run(ROUNDS, &tell);
    drop(tell);
    for event in told {
        history.record(event);
    }
}

/// Copies the backing file as it is now, with the server standing still.
fn cut_power(server: &Server, disk: &Path, copy: &Path) -> anyhow::Result<()> {
    let id = server.id().context("the server runs")?.to_string();
    process::succeed(Command::new("kill").args(["-STOP", &id]), LIMIT)?;
    let copied = process::succeed(
        Command::new("cp").args(["--sparse=always", "--reflink=auto"]).arg(disk).arg(copy),
        LIMIT,
    );
    process::succeed(Command::new("kill").args(["-CONT", &id]), LIMIT)?;
    copied.map(drop)
}

/// Starts a server on the copy and checks every promise.
fn check_copy(copy: &Path, at: &Path, original: &Server, history: &History) -> anyhow::Result<Verdict> {
    let mount = Mount::new(copy, at.to_path_buf())?;
    let options = Options { data: Some(mount.at.join("data")), ..Options::default() };
    let Ok(mut server) = Server::start_with(options) else {
        return Ok(Verdict {
            checked: 1,
            lost: vec!["the server does not start on what is left".to_owned()],
        });
    };
    let mut target = server.target().clone();
    target.credentials.clone_from(&original.target().credentials);
    let verdict = history.check(&target);
    server.kill()?;
    verdict
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() -> Outcome {
    require!(root; "mkfs.ext4", "mount");
    let (promises, verdict) = cuts(environment::count("BONDED_FAULT_ACKS", 30), Vec::new())?;
    tools::figure(&format!(
        "power: {promises} acknowledgements, {} checks, {} lost",
        verdict.checked,
        verdict.lost.len()
    ));
    assert!(verdict.lost.is_empty(), "{:#?}", verdict.lost);
    Ok(())
}

#[test]
fn with_fsync_disabled_the_power_cut_loses() -> Outcome {
    require!(root; "mkfs.ext4", "mount", "eatmydata");
    let preload = ("LD_PRELOAD".to_owned(), "libeatmydata.so".to_owned());
    let (promises, verdict) = cuts(20, vec![preload])?;
    tools::figure(&format!(
        "without fsync: {promises} acknowledgements, {} checks, {} lost",
        verdict.checked,
        verdict.lost.len()
    ));
    assert!(!verdict.lost.is_empty(), "nothing was lost without fsync: the method proves nothing");
    Ok(())
}
