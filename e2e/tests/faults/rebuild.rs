//! The database is lost; the blobs and their checkpoints are not.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use e2e::bonded::{Options, Server};
use e2e::http::{Body, Request};
use e2e::image::Image;
use e2e::{tools, wait};

use crate::Outcome;

/// Where segments of the checkpoint lie: the last shard, behind all blobs.
fn segments(server: &Server) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(server.data().join("blobs/ff"))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("ffffffffff00") {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn lose_the_database(data: &Path) -> anyhow::Result<()> {
    let mut removed = 0;
    for entry in std::fs::read_dir(data)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("bonded.db") {
            std::fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    anyhow::ensure!(removed > 0, "no database to lose");
    Ok(())
}

/// A server that writes what changed every second.
fn start() -> anyhow::Result<Server> {
    let environment = vec![("BONDED_CHECKPOINT__INTERVAL".to_owned(), "1s".to_owned())];
    Server::start_with(Options { environment, ..Options::default() })
}

fn check(server: &Server, repo: &str, tag: &str, image: &Image) -> Outcome {
    let got = server.target().fetch(format!("/v2/{repo}/manifests/{tag}"))?;
    assert!(got.status == 200 && got.body == image.manifest, "{tag}: {} {}", got.status, got.text());
    let layer = e2e::registry::sha256(&image.layer);
    let layer = server.target().fetch(format!("/v2/{repo}/blobs/{layer}"))?;
    assert!(layer.body == image.layer, "{tag}: {}", layer.status);
    Ok(())
}

#[test]
fn rebuild_brings_back_tags_and_images_after_the_database_is_lost() -> Outcome {
    let mut server = Server::start()?;
    let images: Vec<Image> = (0..5).map(|n| Image::new(100 + n, 10_000)).collect();
    for (n, image) in images.iter().enumerate() {
        image.push(server.target(), "lost/app", &format!("t{n}"))?;
    }
    // A polite end writes the last checkpoint.
    assert!(server.stop(Duration::from_secs(30))?);
    lose_the_database(server.data())?;
    let rebuilt = server.maintain(&["rebuild"], &[])?;
    assert!(rebuilt.status.success(), "{}{}", rebuilt.stdout, rebuilt.stderr);
    server.restart()?;
    for (n, image) in images.iter().enumerate() {
        check(&server, "lost/app", &format!("t{n}"), image)?;
    }
    // Nothing is left to put right, and what is there is not rebuilt again.
    assert!(server.stop(Duration::from_secs(30))?);
    let clean = server.maintain(&["fsck", "--read"], &[])?;
    assert!(clean.status.success(), "{}{}", clean.stdout, clean.stderr);
    let again = server.maintain(&["rebuild"], &[])?;
    assert!(!again.status.success() && again.stderr.contains("not empty"), "{}", again.stderr);
    tools::figure(&format!("rebuild: {} of {} tags back", images.len(), images.len()));
    Ok(())
}

#[test]
fn rebuild_after_kill_9_has_what_was_written_and_the_old_passwords() -> Outcome {
    let mut server = start()?;
    let user = br#"{"name":"carol","password":"a long Passw0rd","display_name":"Carol"}"#;
    let made = server.target().send(
        &Request::new("POST", "/api/v1/users")
            .header("Content-Type", "application/json")
            .body(Body::Bytes(user)),
    )?;
    assert_eq!(made.status, 201, "{}", made.text());
    let image = Image::new(7, 20_000);
    image.push(server.target(), "lost/killed", "kept")?;
    let before = segments(&server)?.len();
    // A change after it, so that a later segment shows that the earlier change is written.
    wait::until(Duration::from_mins(1), "a checkpoint segment", || {
        let now = segments(&server).ok()?.len();
        (now > before).then_some(())
    })?;
    let marker = Image::new(8, 1_000);
    marker.push(server.target(), "lost/killed", "marker")?;
    let before = segments(&server)?.len();
    wait::until(Duration::from_mins(1), "the next checkpoint segment", || {
        let now = segments(&server).ok()?.len();
        (now > before).then_some(())
    })?;
    server.kill()?;
    lose_the_database(server.data())?;
    let lost = server.restart().map(drop);
    let why = format!("{:#}", lost.expect_err("a server starts beside a checkpoint with an empty database"));
    assert!(why.contains("bonded rebuild"), "{why}");
    let rebuilt = server.maintain(&["rebuild"], &[])?;
    assert!(rebuilt.status.success(), "{}{}", rebuilt.stdout, rebuilt.stderr);
    server.restart()?;
    check(&server, "lost/killed", "kept", &image)?;
    let carol = server.target().as_user("carol", "a long Passw0rd").fetch("/v2/")?;
    assert_eq!(carol.status, 200, "the old password does not work: {}", carol.text());
    let wrong = server.target().as_user("carol", "another Passw0rd").fetch("/v2/")?;
    assert_eq!(wrong.status, 401);
    Ok(())
}

#[test]
fn rebuild_ignores_a_torn_last_segment_and_names_a_missing_object() -> Outcome {
    let mut server = start()?;
    let images: Vec<Image> = (0..2).map(|n| Image::new(300 + n, 30_000)).collect();
    images[0].push(server.target(), "lost/torn", "first")?;
    assert!(server.stop(Duration::from_secs(30))?);
    server.restart()?;
    images[1].push(server.target(), "lost/torn", "second")?;
    assert!(server.stop(Duration::from_secs(30))?);
    let all = segments(&server)?;
    let last = all.last().expect("segments");
    let length = std::fs::metadata(last)?.len();
    std::fs::File::options().write(true).open(last)?.set_len(length / 2)?;
    let object = crate::bitrot::object_with(server.data(), &images[0].layer)?;
    std::fs::remove_file(object)?;
    lose_the_database(server.data())?;
    let rebuilt = server.maintain(&["rebuild"], &[])?;
    assert!(rebuilt.status.success(), "{}{}", rebuilt.stdout, rebuilt.stderr);
    let layer = e2e::registry::sha256(&images[0].layer);
    assert!(rebuilt.stdout.contains(&layer), "the missing object is not named: {}", rebuilt.stdout);
    assert!(rebuilt.stderr.contains("named by no row"), "{}", rebuilt.stderr);
    server.restart()?;
    let first = server.target().fetch("/v2/lost/torn/manifests/first")?;
    assert!(first.status == 200 && first.body == images[0].manifest);
    assert_eq!(server.target().fetch(format!("/v2/lost/torn/blobs/{layer}"))?.status, 404);
    // Pushed again, both are whole.
    for (tag, image) in ["first", "second"].into_iter().zip(&images) {
        image.push(server.target(), "lost/torn", tag)?;
        check(&server, "lost/torn", tag, image)?;
    }
    Ok(())
}

#[test]
fn rebuild_is_fast_enough_to_be_waited_for() -> Outcome {
    let manifests = e2e::environment::count("BONDED_REBUILD_MANIFESTS", 200);
    let mut server = Server::start()?;
    let image = Image::new(1, 100);
    image.push(server.target(), "lost/many", "base")?;
    let mut connection = server.target().connect();
    let text = String::from_utf8(image.manifest.clone())?;
    for n in 0..manifests {
        let manifest = text.replacen('{', &format!("{{\"annotations\":{{\"n\":\"{n}\"}},"), 1);
        let put = Request::new("PUT", format!("/v2/lost/many/manifests/t{n}"))
            .header("Content-Type", e2e::registry::OCI_MANIFEST)
            .body(Body::Bytes(manifest.as_bytes()));
        assert_eq!(connection.send(&put)?.status, 201);
    }
    assert!(server.stop(Duration::from_mins(2))?);
    let bytes: u64 = segments(&server)?.iter().filter_map(|s| s.metadata().ok()).map(|meta| meta.len()).sum();
    lose_the_database(server.data())?;
    let start = Instant::now();
    let rebuilt = server.maintain(&["rebuild"], &[])?;
    let elapsed = start.elapsed();
    assert!(rebuilt.status.success(), "{}{}", rebuilt.stdout, rebuilt.stderr);
    tools::figure(&format!(
        "rebuild: {manifests} manifests and tags in {elapsed:.1?}; {} bytes of segments per manifest",
        bytes / manifests.max(1) as u64
    ));
    server.restart()?;
    let last = server.target().fetch(format!("/v2/lost/many/manifests/t{}", manifests - 1))?;
    assert_eq!(last.status, 200);
    Ok(())
}
