//! Reading, mounting and deleting blobs.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use e2e::http::{Request, Response};
use e2e::image::{Image, noise};
use e2e::registry::sha256;

use crate::{Arena, Outcome, expect, refused};

fn ranged(arena: &Arena, method: &str, digest: &str, range: &str) -> anyhow::Result<Response> {
    let request = Request::new(method, arena.path(&format!("/blobs/{digest}"))).header("Range", range);
    arena.send(&request)
}

#[test]
fn head_and_get_tell_length_digest_and_type() -> Outcome {
    let arena = Arena::new("blob-read")?;
    let bytes = noise(21, 5000);
    let digest = arena.push_blob(&bytes)?;
    for method in ["HEAD", "GET"] {
        let request = Request::new(method, arena.path(&format!("/blobs/{digest}")));
        let answer = expect(arena.send(&request)?, &[200])?;
        assert_eq!(answer.header("content-length"), Some("5000"));
        assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()));
        assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
        assert_eq!(answer.header("accept-ranges"), Some("bytes"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let expected: &[u8] = if method == "GET" { &bytes } else { b"" };
        assert!(answer.body == expected);
    }
    Ok(())
}

#[test]
fn one_range_is_206_with_exactly_its_bytes() -> Outcome {
    let arena = Arena::new("blob-range")?;
    let bytes = noise(22, 2048);
    let digest = arena.push_blob(&bytes)?;
    let table = [
        ("bytes=500-1499", 500, 1500),
        ("bytes=0-0", 0, 1),
        ("bytes=2047-2047", 2047, 2048),
        ("bytes=500-", 500, 2048),
        ("bytes=-500", 1548, 2048),
        ("bytes=-99999", 0, 2048),
        ("bytes=2000-5000", 2000, 2048),
        ("bytes=0-18446744073709551615", 0, 2048),
    ];
    for (range, start, end) in table {
        let answer = expect(ranged(&arena, "GET", &digest, range)?, &[206])?;
        assert!(answer.body == bytes[start..end], "{range}: {} bytes", answer.body.len());
        assert_eq!(answer.header("content-range"), Some(format!("bytes {start}-{}/2048", end - 1).as_str()));
        assert_eq!(answer.header("content-length"), Some((end - start).to_string().as_str()));
    }
    Ok(())
}

#[test]
fn a_range_outside_the_blob_is_416() -> Outcome {
    let arena = Arena::new("blob-416")?;
    let digest = arena.push_blob(&noise(23, 2048))?;
    for range in ["bytes=2048-", "bytes=5000-10000", "bytes=-0", "bytes=500-0"] {
        let answer = expect(ranged(&arena, "GET", &digest, range)?, &[416])?;
        assert_eq!(answer.header("content-range"), Some("bytes */2048"), "{range}");
    }
    Ok(())
}

#[test]
fn no_range_costs_more_than_two_copies() -> Outcome {
    let arena = Arena::new("blob-ranges")?;
    let bytes = noise(24, 4096);
    let digest = arena.push_blob(&bytes)?;
    let many = (0..2000).map(|n| format!("{n}-{n}")).collect::<Vec<_>>().join(",");
    let overlapping = ["0-4095"; 50].join(",");
    for range in
        [format!("bytes={many}"), format!("bytes={overlapping}"), "lines=1-2".into(), "bytes=abc".into()]
    {
        for method in ["GET", "HEAD"] {
            let answer = expect(ranged(&arena, method, &digest, &range)?, &[200, 206, 416, 400, 431])?;
            assert!(answer.body.len() <= 2 * bytes.len(), "{} bytes", answer.body.len());
        }
    }
    Ok(())
}

#[test]
fn an_unchanged_blob_is_304() -> Outcome {
    let arena = Arena::new("blob-304")?;
    let digest = arena.push_blob(&noise(25, 100))?;
    let path = arena.path(&format!("/blobs/{digest}"));
    let first = expect(arena.target.fetch(path.clone())?, &[200])?;
    let etag = first.header("etag").unwrap_or_default().to_owned();
    assert!(etag.contains(&digest), "{etag}");
    let again = Request::new("GET", path.clone()).header("If-None-Match", etag);
    expect(arena.send(&again)?, &[304])?;
    let other = Request::new("GET", path).header("If-None-Match", "\"sha256:0000\"");
    expect(arena.send(&other)?, &[200])?;
    Ok(())
}

#[test]
fn a_range_of_a_changed_blob_is_the_whole() -> Outcome {
    let arena = Arena::new("blob-ifrange")?;
    let bytes = noise(26, 1000);
    let digest = arena.push_blob(&bytes)?;
    let path = arena.path(&format!("/blobs/{digest}"));
    let etag =
        expect(arena.target.fetch(path.clone())?, &[200])?.header("etag").unwrap_or_default().to_owned();
    let same = Request::new("GET", path.clone()).header("Range", "bytes=0-9").header("If-Range", etag);
    expect(arena.send(&same)?, &[206])?;
    let changed = Request::new("GET", path).header("Range", "bytes=0-9").header("If-Range", "\"other\"");
    assert_eq!(expect(arena.send(&changed)?, &[200])?.body.len(), 1000);
    Ok(())
}

#[test]
fn an_unknown_blob_is_404() -> Outcome {
    let arena = Arena::new("blob-unknown")?;
    arena.push_blob(b"so that the repository exists")?;
    let digest = sha256(b"nobody pushed this");
    refused(arena.fetch(&format!("/blobs/{digest}"))?, &[404], "BLOB_UNKNOWN")?;
    expect(arena.head(&format!("/blobs/{digest}"))?, &[404])?;
    expect(arena.delete(&format!("/blobs/{digest}"))?, &[404])?;
    Ok(())
}

#[test]
fn a_blob_of_another_repository_is_404_until_mounted() -> Outcome {
    let arena = Arena::new("blob-mount")?;
    let bytes = noise(27, 3000);
    let digest = arena.push_blob(&bytes)?;
    let other = "/v2/blob-mount/other";
    expect(arena.send(&Request::new("HEAD", format!("{other}/blobs/{digest}")))?, &[404])?;

    let mount = format!("{other}/blobs/uploads/?mount={digest}&from=blob-mount/repo");
    let done = expect(arena.send(&Request::new("POST", mount))?, &[201])?;
    assert_eq!(done.header("docker-content-digest"), Some(digest.as_str()));
    let got = expect(arena.target.fetch(done.location().unwrap_or_default())?, &[200])?;
    assert!(got.body == bytes);
    Ok(())
}

#[test]
fn a_mount_without_source_finds_what_the_caller_may_read() -> Outcome {
    let arena = Arena::new("blob-mount-any")?;
    let digest = arena.push_blob(&noise(28, 3000))?;
    let mount = format!("/v2/blob-mount-any/other/blobs/uploads/?mount={digest}");
    expect(arena.send(&Request::new("POST", mount))?, &[201])?;
    expect(arena.send(&Request::new("HEAD", format!("/v2/blob-mount-any/other/blobs/{digest}")))?, &[200])?;
    Ok(())
}

#[test]
fn a_mount_of_what_is_not_there_opens_an_upload() -> Outcome {
    let arena = Arena::new("blob-mount-none")?;
    arena.push_blob(b"so that the repository exists")?;
    let absent = sha256(b"nobody pushed this either");
    for query in [
        format!("mount={absent}&from=blob-mount-none/repo"),
        format!("mount={absent}&from=no-such/thing"),
        format!("mount={absent}&from=../etc"),
        format!("mount={absent}"),
    ] {
        let request = Request::new("POST", format!("/v2/blob-mount-none/other/blobs/uploads/?{query}"));
        let answer = expect(arena.send(&request)?, &[202])?;
        assert!(answer.location().is_some(), "{query}");
    }
    Ok(())
}

#[test]
fn a_deleted_blob_is_gone_here_and_only_here() -> Outcome {
    let arena = Arena::new("blob-delete")?;
    let digest = arena.push_blob(&noise(29, 1000))?;
    arena.target.push_blob("blob-delete/other", &noise(29, 1000))?;
    expect(arena.delete(&format!("/blobs/{digest}"))?, &[202])?;
    expect(arena.head(&format!("/blobs/{digest}"))?, &[404])?;
    refused(arena.fetch(&format!("/blobs/{digest}"))?, &[404], "BLOB_UNKNOWN")?;
    expect(arena.send(&Request::new("HEAD", format!("/v2/blob-delete/other/blobs/{digest}")))?, &[200])?;
    arena.push_blob(&noise(29, 1000))?;
    expect(arena.head(&format!("/blobs/{digest}"))?, &[200])?;
    Ok(())
}

#[test]
fn a_blob_that_a_live_manifest_needs_cannot_be_deleted() -> Outcome {
    let arena = Arena::new("blob-needed")?;
    let image = Image::new(30, 2000);
    let digest = image.push(&arena.target, &arena.repo, "v1")?;
    let layer = sha256(&image.layer);
    expect(arena.delete(&format!("/blobs/{layer}"))?, &[405, 409])?;
    assert!(expect(arena.fetch(&format!("/blobs/{layer}"))?, &[200])?.body == image.layer);
    expect(arena.delete(&format!("/manifests/{digest}"))?, &[202])?;
    expect(arena.delete(&format!("/blobs/{layer}"))?, &[202])?;
    expect(arena.head(&format!("/blobs/{layer}"))?, &[404])?;
    Ok(())
}

/// Large blobs take another way out than small ones once their checksums were compared: the kernel sends the file.
/// Requests that wait behind each other on one connection, large, small and cut out, must not be mixed up by it.
#[test]
fn pipelined_requests_for_large_blobs_are_answered_in_order_with_exact_bytes() -> Outcome {
    let arena = Arena::new("blob-pipeline")?;
    let blobs = [noise(31, 6_500_000), noise(32, 700_000), noise(33, 2000)];
    let mut digests = Vec::new();
    for bytes in &blobs {
        digests.push(arena.push_blob(bytes)?);
    }
    for digest in &digests {
        expect(arena.fetch(&format!("/blobs/{digest}"))?, &[200])?;
    }
    let plan = [
        (0, 0, 6_500_000),
        (2, 0, 2000),
        (1, 0, 700_000),
        (0, 1, 5_000_001),
        (0, 4_300_000, 6_500_000),
        (1, 4097, 699_999),
        (2, 5, 6),
        (0, 0, 6_500_000),
    ];
    let authorization = arena.target.basic().unwrap_or_default();
    let requests: String = plan
        .iter()
        .map(|(blob, start, end)| {
            let path = arena.path(&format!("/blobs/{}", digests[*blob]));
            let range = format!("bytes={start}-{}", end - 1);
            format!(
                "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nRange: {range}\r\n\r\n"
            )
        })
        .collect();
    let mut socket = TcpStream::connect(arena.target.addr)?;
    socket.write_all(requests.as_bytes())?;
    let mut answers = BufReader::new(socket);
    for (blob, start, end) in plan {
        let mut line = String::new();
        answers.read_line(&mut line)?;
        assert!(line.starts_with("HTTP/1.1 206 "), "{line}");
        while line != "\r\n" {
            line.clear();
            answers.read_line(&mut line)?;
        }
        let mut body = vec![0; end - start];
        answers.read_exact(&mut body)?;
        assert!(body == blobs[blob][start..end], "bytes {start} to {end} of blob {blob} are wrong");
    }
    Ok(())
}

#[test]
fn a_reader_that_leaves_in_the_middle_of_a_large_blob_harms_nobody() -> Outcome {
    let arena = Arena::new("blob-leave")?;
    let bytes = noise(34, 9_000_000);
    let digest = arena.push_blob(&bytes)?;
    let path = format!("/blobs/{digest}");
    for _ in 0..20 {
        let mut socket = TcpStream::connect(arena.target.addr)?;
        let head = format!(
            "GET {} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\r\n",
            arena.path(&path),
            arena.target.basic().unwrap_or_default()
        );
        socket.write_all(head.as_bytes())?;
        let mut first = vec![0; 100_000];
        socket.read_exact(&mut first)?;
        drop(socket);
        let whole = expect(arena.fetch(&path)?, &[200])?;
        assert!(whole.body == bytes);
    }
    Ok(())
}
