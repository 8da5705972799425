//! Space: what is deleted gives its disk back, what is needed stays.

use std::time::Duration;

use e2e::bonded::{Options, Server};
use e2e::http::{Body, Request};
use e2e::image::{Image, noise};
use e2e::registry::{sha256, with_query};
use e2e::{tools, wait};

use crate::{NOTHING_KEPT, Outcome};

const LAYER_BYTES: usize = 5_000_000;

/// A server with two images of which one is deleted, and the bytes that its data took before the deletion.
fn with_a_deleted_image(options: Options) -> anyhow::Result<(Server, Image, u64)> {
    let server = Server::start_with(options)?;
    let (kept, deleted) = (Image::new(1, LAYER_BYTES), Image::new(2, LAYER_BYTES));
    kept.push(server.target(), "space/app", "kept")?;
    let digest = deleted.push(server.target(), "space/app", "deleted")?;
    let before = server.bytes_below("blobs");
    let delete = Request::new("DELETE", format!("/v2/space/app/manifests/{digest}"));
    assert_eq!(server.target().send(&delete)?.status, 202);
    Ok((server, kept, before))
}

fn is_whole(server: &Server, image: &Image) -> Outcome {
    let path = format!("/v2/space/app/blobs/{}", e2e::registry::sha256(&image.layer));
    let got = server.target().fetch(path)?;
    assert!(got.status == 200 && got.body == image.layer, "{}", got.status);
    Ok(())
}

#[test]
fn collecting_with_grace_zero_returns_the_disk_of_a_deleted_image_and_only_that() -> Outcome {
    let (mut server, kept, before) = with_a_deleted_image(Options::default())?;
    assert!(server.stop(Duration::from_secs(30))?);
    let dry = server.maintain(&["gc", "--dry-run"], NOTHING_KEPT)?;
    assert!(dry.status.success(), "{}{}", dry.stdout, dry.stderr);
    assert!(server.bytes_below("blobs") + 1_000_000 > before, "a dry run deletes nothing");
    let done = server.maintain(&["gc"], NOTHING_KEPT)?;
    assert!(done.status.success(), "{}{}", done.stdout, done.stderr);
    let after = server.bytes_below("blobs");
    tools::figure(&format!("gc: {before} bytes before, {after} after one of two images of 5 MB was deleted"));
    assert!(after + (LAYER_BYTES as u64) * 9 / 10 < before, "{after} of {before} bytes left");
    server.restart()?;
    is_whole(&server, &kept)
}

#[test]
fn a_running_server_collects_by_itself() -> Outcome {
    let mut environment: Vec<(String, String)> =
        NOTHING_KEPT.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    environment.push(("BONDED_GC__INTERVAL".to_owned(), "1s".to_owned()));
    let (server, kept, before) = with_a_deleted_image(Options { environment, ..Options::default() })?;
    wait::until(Duration::from_mins(1), "the collection of a deleted image", || {
        (server.bytes_below("blobs") + (LAYER_BYTES as u64) * 9 / 10 < before).then_some(())
    })?;
    is_whole(&server, &kept)
}

#[test]
fn collecting_beside_pushes_never_breaks_an_image() -> Outcome {
    let mut environment: Vec<(String, String)> =
        NOTHING_KEPT.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    environment.push(("BONDED_GC__INTERVAL".to_owned(), "1s".to_owned()));
    let server = Server::start_with(Options { environment, ..Options::default() })?;
    let end = std::time::Instant::now() + Duration::from_secs(10);
    let mut rounds = 0;
    // Every round deletes the image and at once pushes it again: the collector must never take what came back.
    while std::time::Instant::now() < end {
        let image = Image::new(7, 20_000);
        let mut digest = String::new();
        // A blob may be collected between its push and its manifest (grace 0): then the client pushes it again.
        for attempt in 0..10 {
            match image.push(server.target(), "space/again", "v1") {
                Ok(pushed) => {
                    digest = pushed;
                    break;
                }
                Err(e) if attempt == 9 => return Err(e),
                Err(_) => {}
            }
        }
        let manifest = server.target().fetch("/v2/space/again/manifests/v1")?;
        assert!(manifest.body == image.manifest, "round {rounds}: {}", manifest.status);
        for bytes in [&image.config, &image.layer] {
            let blob =
                server.target().fetch(format!("/v2/space/again/blobs/{}", e2e::registry::sha256(bytes)))?;
            assert!(
                blob.status == 200 && &blob.body == bytes,
                "round {rounds}: {} {}",
                blob.status,
                blob.text()
            );
        }
        let delete = Request::new("DELETE", format!("/v2/space/again/manifests/{digest}"));
        assert_eq!(server.target().send(&delete)?.status, 202);
        rounds += 1;
    }
    tools::figure(&format!(
        "collection with grace 0 beside {rounds} pushes and deletions of one image: 0 broken"
    ));
    Ok(())
}

#[test]
fn what_an_upload_sent_before_it_was_refused_gives_its_disk_back() -> Outcome {
    let environment = vec![("BONDED_LIMITS__BLOB".to_owned(), "4MiB".to_owned())];
    let server = Server::start_with(Options { environment, ..Options::default() })?;
    let target = server.target();
    target.push_blob("space/refused", b"so that the repository exists")?;
    let before = server.bytes_below("blobs");
    let bytes = noise(3, 3_000_000);
    let large = noise(4, (4 << 20) + 1);
    let put = |bytes: &[u8], chunked: bool, digest: &str| -> anyhow::Result<(u16, String)> {
        let opened = target.send(&Request::new("POST", "/v2/space/refused/blobs/uploads/"))?;
        let at = with_query(&opened.location().unwrap_or_default(), &format!("digest={digest}"));
        let body = if chunked { Body::Chunked(bytes, 65_536) } else { Body::Bytes(bytes) };
        let answer = target.send(&Request::new("PUT", at).body(body))?;
        Ok((answer.status, answer.error_code()))
    };
    let wrong = sha256(b"something else");
    assert_eq!(put(&bytes, false, &wrong)?, (400, "DIGEST_INVALID".to_owned()));
    assert_eq!(put(&bytes, true, &wrong)?, (400, "DIGEST_INVALID".to_owned()));
    // What is said to be too large may be refused before it is sent: then the client sees its line cut.
    for chunked in [true, false] {
        match put(&large, chunked, &sha256(&large)) {
            Ok(refused) => assert_eq!(refused, (413, "SIZE_INVALID".to_owned())),
            Err(error) => assert!(error.downcast_ref::<std::io::Error>().is_some(), "{error:#}"),
        }
    }
    wait::until(Duration::from_secs(20), "the return of what was refused", || {
        (server.bytes_below("blobs") == before).then_some(())
    })
}
