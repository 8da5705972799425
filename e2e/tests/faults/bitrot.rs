//! Bytes that changed on disk never leave as a complete 200.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use e2e::bonded::Server;
use e2e::http::{Request, Response};
use e2e::image::noise;

use crate::Outcome;

/// The file that holds exactly these bytes.
pub(crate) fn object_with(dir: &Path, bytes: &[u8]) -> anyhow::Result<PathBuf> {
    let mut open = vec![dir.to_path_buf()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            if meta.is_dir() {
                open.push(entry.path());
            } else if meta.len() == bytes.len() as u64 && std::fs::read(entry.path())? == bytes {
                return Ok(entry.path());
            }
        }
    }
    anyhow::bail!("no file under {} holds the blob", dir.display())
}

fn flip(file: &Path, at: u64) -> anyhow::Result<()> {
    let mut file = std::fs::File::options().read(true).write(true).open(file)?;
    file.seek(SeekFrom::Start(at))?;
    let mut byte = [0];
    file.read_exact(&mut byte)?;
    file.seek(SeekFrom::Start(at))?;
    file.write_all(&[byte[0] ^ 0x40])?;
    Ok(())
}

fn is_honest(answer: &Response, bytes: &[u8]) -> bool {
    answer.status != 200 || !answer.complete || answer.body == bytes
}

#[test]
fn a_flipped_bit_never_leaves_as_a_complete_200() -> Outcome {
    const LENGTH: usize = 3 * 1024 * 1024 + 17;
    for at in [0, 1_500_000, LENGTH as u64 - 1] {
        let mut server = Server::start()?;
        let bytes = noise(at + 7, LENGTH);
        let digest = server.target().push_blob("rot/app", &bytes)?;
        let file = object_with(server.data(), &bytes)?;
        server.kill()?;
        flip(&file, at)?;
        server.restart()?;
        let path = format!("/v2/rot/app/blobs/{digest}");
        if at == 0 {
            let answer = server.target().fetch(path.clone())?;
            assert_eq!(answer.status, 500, "a bad first frame is an answer, not a closed connection");
        }
        for _ in 0..3 {
            // A connection closed before an answer is no complete 200 either.
            let Ok(answer) = server.target().fetch(path.clone()) else { continue };
            assert!(is_honest(&answer, &bytes), "byte {at}: a complete {} with wrong bytes", answer.status);
            assert!(answer.body != bytes, "byte {at} was not flipped");
        }
        let range = Request::new("GET", path.clone()).header("Range", format!("bytes={at}-{at}"));
        let answer = server.target().send(&range).unwrap_or_default();
        let right = [bytes[usize::try_from(at)?]];
        assert!(answer.status != 206 || !answer.complete || answer.body == right, "a wrong byte as 206");

        // Pushing it again repairs it.
        server.target().push_blob("rot/app", &bytes)?;
        let answer = server.target().fetch(path)?;
        assert!(answer.status == 200 && answer.body == bytes, "a re-push repairs: {}", answer.status);
    }
    Ok(())
}

#[test]
fn fsck_finds_a_flipped_bit_and_says_which_blob() -> Outcome {
    let mut server = Server::start()?;
    let bytes = noise(8, 500_000);
    let digest = server.target().push_blob("rot/fsck", &bytes)?;
    let file = object_with(server.data(), &bytes)?;
    assert!(server.stop(Duration::from_secs(30))?);
    let clean = server.maintain(&["fsck", "--read"], &[])?;
    assert!(clean.status.success(), "{}{}", clean.stdout, clean.stderr);
    flip(&file, 123_456)?;
    let found = server.maintain(&["fsck", "--read"], &[])?;
    assert!(!found.status.success(), "fsck is content with a flipped bit: {}", found.stdout);
    let said = found.stdout + &found.stderr;
    assert!(said.contains(&digest), "{said}");
    Ok(())
}

#[test]
fn a_bit_flipped_under_a_running_server_is_seen_once_the_file_changed() -> Outcome {
    let server = Server::start()?;
    let bytes = noise(5, 1_000_000);
    let digest = server.target().push_blob("rot/live", &bytes)?;
    let path = format!("/v2/rot/live/blobs/{digest}");
    assert!(server.target().fetch(path.clone())?.body == bytes);
    flip(&object_with(server.data(), &bytes)?, 700_000)?;
    let answer = server.target().fetch(path)?;
    assert!(is_honest(&answer, &bytes), "a complete 200 with wrong bytes");
    Ok(())
}

#[test]
fn a_shortened_or_missing_file_is_an_error_and_never_a_short_200() -> Outcome {
    for shorten in [true, false] {
        let mut server = Server::start()?;
        let bytes = noise(6, 800_000);
        let digest = server.target().push_blob("rot/short", &bytes)?;
        let file = object_with(server.data(), &bytes)?;
        server.kill()?;
        if shorten {
            std::fs::File::options().write(true).open(&file)?.set_len(400_000)?;
        } else {
            std::fs::remove_file(&file).context("removing the object")?;
        }
        server.restart()?;
        let answer = server.target().fetch(format!("/v2/rot/short/blobs/{digest}"))?;
        assert!(is_honest(&answer, &bytes), "a complete 200 of {} bytes", answer.body.len());
        assert_ne!((answer.status, answer.complete), (200, true));
    }
    Ok(())
}
