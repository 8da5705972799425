//! Maintenance from the host: it works on the registry that is there, on its own storage, or says what to do.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::bonded::{Server, binary};
use e2e::image::Image;
use e2e::process::{self, Output};

use crate::Outcome;

/// At most, on a busy machine.
const LIMIT: Duration = Duration::from_mins(2);

fn run(arguments: &[&str], data: &Path) -> anyhow::Result<Output> {
    let mut command = Command::new(binary()?);
    command.args(arguments).arg("--data-dir").arg(data);
    process::run_within(&mut command, LIMIT)
}

#[test]
fn a_wrong_storage_path_is_refused_and_damages_nothing() -> Outcome {
    let mut server = Server::start()?;
    let images: Vec<Image> = (0..5).map(|n| Image::new(500 + n, 10_000)).collect();
    for (n, image) in images.iter().enumerate() {
        image.push(server.target(), "kept/app", &format!("t{n}"))?;
    }
    assert!(server.stop(Duration::from_secs(30))?);
    let empty = server.scratch().join("empty");
    std::fs::create_dir(&empty)?;
    let wrong = [("BONDED_STORAGE__FS__PATH", empty.to_str().unwrap_or_default())];
    for work in [&["serve", "--listen", "127.0.0.1:0"][..], &["fsck", "--repair"], &["gc"]] {
        let refused = server.maintain(work, &wrong)?;
        assert!(!refused.status.success(), "{work:?}: {}", refused.stdout);
        assert!(refused.stderr.contains("storage settings and mounts"), "{work:?}: {}", refused.stderr);
    }
    let clean = server.maintain(&["fsck", "--read", "--orphan-age", "0s"], &[])?;
    assert!(clean.status.success(), "{}{}", clean.stdout, clean.stderr);
    server.restart()?;
    for image in &images {
        let layer = e2e::registry::sha256(&image.layer);
        let got = server.target().fetch(format!("/v2/kept/app/blobs/{layer}"))?;
        assert!(got.status == 200 && got.body == image.layer, "{}", got.status);
    }
    Ok(())
}

#[test]
fn a_mistyped_directory_is_refused_and_not_made() -> Outcome {
    let scratch = tempfile::tempdir()?;
    let typo = scratch.path().join("typo");
    for work in [&["fsck"][..], &["gc"], &["audit", "verify"], &["admin", "reset-password"], &["rebuild"]] {
        let refused = run(work, &typo)?;
        assert!(!refused.status.success(), "{work:?}: {}", refused.stdout);
        assert!(
            refused.stderr.contains("typo") && refused.stderr.contains("--data-dir"),
            "{}",
            refused.stderr
        );
        assert!(!typo.exists(), "{work:?} made it");
    }
    // Blobs without a checkpoint: nothing to rebuild from, and the next try finds it as it was.
    std::fs::create_dir_all(typo.join("blobs"))?;
    for (flag, why) in [("--partial", "master key"), ("--without-secrets", "no checkpoint")] {
        let refused = run(&["rebuild", flag], &typo)?;
        assert!(!refused.status.success() && refused.stderr.contains(why), "{}", refused.stderr);
        let left: Vec<_> = std::fs::read_dir(&typo)?.flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["blobs"], "{flag}");
    }
    Ok(())
}

#[test]
fn a_command_beside_a_running_server_says_what_to_do() -> Outcome {
    let server = Server::start()?;
    let refused = server.maintain(&["gc", "--dry-run"], &[])?;
    assert!(!refused.status.success());
    assert!(refused.stderr.contains("POST /api/v1/system/collections"), "{}", refused.stderr);
    Ok(())
}
