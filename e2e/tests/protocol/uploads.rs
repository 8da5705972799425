//! Every form of pushing a blob, and what may go wrong with each.

use e2e::http::{Body, Request, Response};
use e2e::image::noise;
use e2e::registry::{sha256, sha512, with_query};

use crate::{Arena, Outcome, expect, refused};

const OCTETS: &str = "application/octet-stream";

fn open(arena: &Arena) -> anyhow::Result<String> {
    let opened = expect(arena.send(&Request::new("POST", arena.path("/blobs/uploads/")))?, &[202])?;
    opened.location().ok_or_else(|| anyhow::anyhow!("202 without Location"))
}

fn patch(arena: &Arena, at: &str, range: Option<&str>, bytes: &[u8]) -> anyhow::Result<Response> {
    let request = Request::new("PATCH", at).header("Content-Type", OCTETS).body(Body::Bytes(bytes));
    arena.send(&match range {
        Some(range) => request.header("Content-Range", range),
        None => request,
    })
}

fn put(arena: &Arena, at: &str, digest: &str, bytes: &[u8]) -> anyhow::Result<Response> {
    let request = Request::new("PUT", with_query(at, &format!("digest={digest}")));
    arena.send(&request.header("Content-Type", OCTETS).body(Body::Bytes(bytes)))
}

/// The blob is there, whole, under its digest, and a 201 said where.
fn is_stored(arena: &Arena, done: Response, digest: &str, bytes: &[u8]) -> Outcome {
    let done = expect(done, &[201])?;
    assert_eq!(done.header("docker-content-digest"), Some(digest));
    let location = done.location().unwrap_or_default();
    assert!(location.ends_with(&format!("/blobs/{digest}")), "{location}");
    let got = expect(arena.target.fetch(location)?, &[200])?;
    assert!(got.body == bytes, "{} bytes of {}", got.body.len(), bytes.len());
    Ok(())
}

fn is_absent(arena: &Arena, digest: &str) -> Outcome {
    expect(arena.head(&format!("/blobs/{digest}"))?, &[404])?;
    Ok(())
}

#[test]
fn post_then_put_stores_the_blob() -> Outcome {
    for (n, length) in [0, 1, 2, 512, 300_000].into_iter().enumerate() {
        for digest_of in [sha256, sha512] {
            let arena = Arena::new("up-post-put")?;
            let bytes = noise(n as u64, length);
            let digest = digest_of(&bytes);
            let at = open(&arena)?;
            is_stored(&arena, put(&arena, &at, &digest, &bytes)?, &digest, &bytes)?;
        }
    }
    Ok(())
}

#[test]
fn a_single_post_stores_the_blob() -> Outcome {
    let arena = Arena::new("up-single")?;
    for digest_of in [sha256, sha512] {
        let bytes = noise(11, 4096);
        let digest = digest_of(&bytes);
        let post = Request::new("POST", arena.path(&format!("/blobs/uploads/?digest={digest}")));
        let done = arena.send(&post.header("Content-Type", OCTETS).body(Body::Bytes(&bytes)))?;
        is_stored(&arena, done, &digest, &bytes)?;
    }
    Ok(())
}

#[test]
fn chunks_in_order_store_the_blob() -> Outcome {
    for last_in_put in [false, true] {
        let arena = Arena::new(if last_in_put { "up-chunks-put" } else { "up-chunks" })?;
        let bytes = noise(12, 2500);
        let digest = sha256(&bytes);
        let mut at = open(&arena)?;
        let pieces: &[(usize, usize)] =
            if last_in_put { &[(0, 1000), (1000, 2000)] } else { &[(0, 1000), (1000, 2000), (2000, 2500)] };
        for &(start, end) in pieces {
            let range = format!("{start}-{}", end - 1);
            let taken = expect(patch(&arena, &at, Some(&range), &bytes[start..end])?, &[202])?;
            assert_eq!(taken.header("range"), Some(format!("0-{}", end - 1).as_str()));
            at = taken.location().unwrap_or_default();
        }
        let rest = if last_in_put { &bytes[2000..] } else { &[][..] };
        is_stored(&arena, put(&arena, &at, &digest, rest)?, &digest, &bytes)?;
    }
    Ok(())
}

#[test]
fn a_streamed_patch_without_length_stores_the_blob() -> Outcome {
    let arena = Arena::new("up-stream")?;
    let bytes = noise(13, 700_000);
    let digest = sha256(&bytes);
    let at = open(&arena)?;
    let request = Request::new("PATCH", at).header("Content-Type", OCTETS).body(Body::Chunked(&bytes, 8000));
    let taken = expect(arena.send(&request)?, &[202])?;
    assert_eq!(taken.header("range"), Some(format!("0-{}", bytes.len() - 1).as_str()));
    let at = taken.location().unwrap_or_default();
    is_stored(&arena, put(&arena, &at, &digest, b"")?, &digest, &bytes)
}

#[test]
fn a_chunk_out_of_order_is_416_and_leaves_the_upload_as_it_was() -> Outcome {
    let arena = Arena::new("up-order")?;
    let bytes = noise(14, 3000);
    let digest = sha256(&bytes);
    let at = open(&arena)?;
    for (range, piece) in [("1000-1999", &bytes[1000..2000]), ("2000-2999", &bytes[2000..])] {
        expect(patch(&arena, &at, Some(range), piece)?, &[416])?;
    }
    let taken = expect(patch(&arena, &at, Some("0-999"), &bytes[..1000])?, &[202])?;
    let at = taken.location().unwrap_or_default();
    for range in ["0-999", "2000-2999", "999-1998", "1001-2000"] {
        let answer = expect(patch(&arena, &at, Some(range), &bytes[..1000])?, &[416])?;
        // The specification demands neither of others.
        if !Arena::is_foreign() {
            assert_eq!(answer.header("range"), Some("0-999"), "the true range");
            assert_eq!(answer.location().as_deref(), Some(at.as_str()));
        }
        let status = expect(arena.target.fetch(at.clone())?, &[204])?;
        assert_eq!(status.header("range"), Some("0-999"));
    }
    expect(
        arena.send(
            &Request::new("PUT", with_query(&at, &format!("digest={digest}")))
                .header("Content-Range", "2000-2999")
                .header("Content-Type", OCTETS)
                .body(Body::Bytes(&bytes[2000..])),
        )?,
        &[416],
    )?;
    let taken = expect(patch(&arena, &at, Some("1000-2999"), &bytes[1000..])?, &[202])?;
    let at = taken.location().unwrap_or_default();
    is_stored(&arena, put(&arena, &at, &digest, b"")?, &digest, &bytes)
}

#[test]
fn a_chunk_whose_length_contradicts_its_range_is_refused() -> Outcome {
    let arena = Arena::new("up-length")?;
    for range in ["0-10", "0-8", "5", "a-b", "9-0", "-1-9", "0-99999999999999999999"] {
        let at = open(&arena)?;
        expect(patch(&arena, &at, Some(range), &[7; 10])?, &[400, 416])?;
        let status = expect(arena.target.fetch(at)?, &[204])?;
        let told = status.header("range").unwrap_or_default();
        assert!(matches!(told, "0-0" | "0--1" | ""), "{range}: nothing was taken, but {told}");
    }
    Ok(())
}

#[test]
fn an_upload_goes_on_after_a_lost_connection() -> Outcome {
    let arena = Arena::new("up-lost")?;
    let bytes = noise(15, 1_500_000);
    let digest = sha256(&bytes);
    let at = open(&arena)?;
    let cut = Request::new("PATCH", at.clone())
        .header("Content-Type", OCTETS)
        .body(Body::Cut(bytes.len() as u64, &bytes[..1_000_000]));
    assert!(arena.send(&cut).is_err());
    // What counts is what the server says it has. It may still be taking what was sent before the line was cut: then
    // it says 416 with where it is now, and the client goes on from there.
    let from_range = |r: &Response| {
        let last = r.header("range").and_then(|range| range.strip_prefix("0-")?.parse::<usize>().ok());
        last.filter(|&last| last > 0).map_or(0, |last| last + 1)
    };
    let mut offset = from_range(&expect(arena.target.fetch(at.clone())?, &[204])?);
    let taken = e2e::wait::until(std::time::Duration::from_secs(20), "the rest of the upload", || {
        assert!(offset <= 1_000_000, "{offset}");
        let range = format!("{offset}-{}", bytes.len() - 1);
        let answer = patch(&arena, &at, Some(&range), &bytes[offset..]).ok()?;
        offset = from_range(&answer);
        (answer.status == 202).then_some(answer)
    })?;
    let at = taken.location().unwrap_or_default();
    is_stored(&arena, put(&arena, &at, &digest, b"")?, &digest, &bytes)
}

#[test]
fn a_cancelled_upload_is_gone() -> Outcome {
    let arena = Arena::new("up-cancel")?;
    let at = open(&arena)?;
    let taken = expect(patch(&arena, &at, None, b"some bytes")?, &[202])?;
    let at = taken.location().unwrap_or_default();
    expect(arena.send(&Request::new("DELETE", at.clone()))?, &[204])?;
    refused(arena.target.fetch(at.clone())?, &[404], "BLOB_UPLOAD_UNKNOWN")?;
    refused(put(&arena, &at, &sha256(b"some bytes"), b"")?, &[404], "BLOB_UPLOAD_UNKNOWN")?;
    is_absent(&arena, &sha256(b"some bytes"))
}

#[test]
fn a_wrong_digest_is_400_in_every_form_and_nothing_is_visible() -> Outcome {
    let arena = Arena::new("up-digest")?;
    let bytes = noise(16, 2000);
    let wrong = sha256(b"something else");

    let at = open(&arena)?;
    refused(put(&arena, &at, &wrong, &bytes)?, &[400], "DIGEST_INVALID")?;
    let again = at;

    let post = Request::new("POST", arena.path(&format!("/blobs/uploads/?digest={wrong}")));
    let single = post.header("Content-Type", OCTETS).body(Body::Bytes(&bytes));
    refused(arena.send(&single)?, &[400], "DIGEST_INVALID")?;

    let at = open(&arena)?;
    let taken = expect(patch(&arena, &at, Some("0-1999"), &bytes)?, &[202])?;
    refused(put(&arena, &taken.location().unwrap_or_default(), &wrong, b"")?, &[400], "DIGEST_INVALID")?;

    let at = open(&arena)?;
    let taken = expect(patch(&arena, &at, None, &bytes[..1000])?, &[202])?;
    let last = put(&arena, &taken.location().unwrap_or_default(), &wrong, &bytes[1000..])?;
    refused(last, &[400], "DIGEST_INVALID")?;

    is_absent(&arena, &wrong)?;
    is_absent(&arena, &sha256(&bytes))?;
    // The same session takes the right one; the specification leaves that to the registry.
    if Arena::is_foreign() {
        return Ok(());
    }
    is_stored(&arena, put(&arena, &again, &sha256(&bytes), &bytes)?, &sha256(&bytes), &bytes)
}

#[test]
fn an_upload_belongs_to_its_repository() -> Outcome {
    let arena = Arena::new("up-foreign")?;
    let at = open(&arena)?;
    let taken = expect(patch(&arena, &at, None, b"mine")?, &[202])?;
    let at = taken.location().unwrap_or_default();
    let other = at.replace("/up-foreign/repo/", "/up-foreign/other/");
    assert_ne!(at, other);
    for method in ["GET", "PATCH", "PUT", "DELETE"] {
        let target = if method == "PUT" {
            with_query(&other, &format!("digest={}", sha256(b"mine")))
        } else {
            other.clone()
        };
        let answer = arena.send(&Request::new(method, target))?;
        assert_eq!(answer.status, 404, "{method}: {}", answer.text());
    }
    is_stored(&arena, put(&arena, &at, &sha256(b"mine"), b"")?, &sha256(b"mine"), b"mine")
}

#[test]
fn an_unknown_upload_is_404() -> Outcome {
    let arena = Arena::new("up-unknown")?;
    arena.push_blob(b"so that the repository exists")?;
    for id in ["01ARZ3NDEKTSV4RRFFQ69G5FAV", "0b5f2a5e-6a3c-4d0c-8a53-5a1d3f6f9a11", "no-such-upload"] {
        let at = arena.path(&format!("/blobs/uploads/{id}"));
        refused(arena.target.fetch(at.clone())?, &[404], "BLOB_UPLOAD_UNKNOWN")?;
        refused(patch(&arena, &at, None, b"x")?, &[404], "BLOB_UPLOAD_UNKNOWN")?;
    }
    Ok(())
}

#[test]
fn pushing_the_same_blob_again_is_201() -> Outcome {
    let arena = Arena::new("up-again")?;
    let bytes = noise(17, 1000);
    for _ in 0..3 {
        arena.push_blob(&bytes)?;
    }
    Ok(())
}

#[test]
fn two_patches_at_one_offset_are_one_202_and_one_416() -> Outcome {
    let arena = Arena::new("up-race")?;
    let bytes = noise(18, 200_000);
    let at = open(&arena)?;
    let mut statuses = std::thread::scope(|scope| {
        let tasks: Vec<_> =
            (0..2).map(|_| scope.spawn(|| patch(&arena, &at, Some("0-199999"), &bytes))).collect();
        tasks.into_iter().filter_map(|t| t.join().ok()?.ok()).map(|r| r.status).collect::<Vec<_>>()
    });
    statuses.sort_unstable();
    assert!(matches!(statuses[..], [202, 409 | 416]), "{statuses:?}");
    let done = put(&arena, &at, &sha256(&bytes), b"")?;
    is_stored(&arena, done, &sha256(&bytes), &bytes)
}
