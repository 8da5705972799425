//! Names, digests and paths: one spelling each, and nothing else.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use e2e::http::Request;
use e2e::image::Image;
use e2e::registry::{OCI_MANIFEST, sha256};

use crate::{Arena, Outcome, expect, refused};

#[test]
fn the_base_answers() -> Outcome {
    let arena = Arena::new("name-base")?;
    for path in ["/v2/", "/v2"] {
        expect(arena.target.fetch(path)?, &[200, 301, 307, 308])?;
    }
    let answer = expect(arena.target.fetch("/v2/")?, &[200])?;
    assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"));
    Ok(())
}

#[test]
fn digests_outside_the_grammar_are_400() -> Outcome {
    let arena = Arena::new("name-digest")?;
    arena.push_blob(b"so that the repository exists")?;
    let hex = "0".repeat(64);
    let long = format!("sha256:{}", "0".repeat(10_000));
    for digest in [
        format!("sha256:{}", &hex[1..]),
        format!("sha256:{hex}0"),
        format!("sha256:{}", "A".repeat(64)),
        format!("md5:{}", &hex[..32]),
        format!("sha256+b64:{hex}"),
        format!("SHA256:{hex}"),
        "sha256:..".to_owned(),
        "sha256:%2e%2e".to_owned(),
        long,
    ] {
        let answer = arena.fetch(&format!("/blobs/{digest}"))?;
        refused(answer, &[400], "DIGEST_INVALID")?;
    }
    let answer = arena.fetch("/blobs/sha256:..%2f..%2fetc%2fpasswd")?;
    expect(answer, &[400, 404])?;
    Ok(())
}

#[test]
fn tags_and_names_outside_the_grammar_are_refused() -> Outcome {
    let arena = Arena::new("name-grammar")?;
    let image = Image::new(81, 100);
    image.push_blobs(&arena.target, &arena.repo)?;
    for tag in ["-a", ".a", "a%20b", &"a".repeat(129), "a:b", "%00", "é"] {
        let answer = arena.target.put_manifest(&arena.repo, tag, OCI_MANIFEST, &image.manifest)?;
        assert!(matches!(answer.status, 400 | 404), "{tag}: {}", answer.status);
    }
    let long = "a".repeat(300);
    for repo in ["Upper/case", "a/..", "a/./b", "a//b", "_a/b", "a-/b", "a/b%2fc", long.as_str()] {
        let answer = arena.send(&Request::new("POST", format!("/v2/{repo}/blobs/uploads/")))?;
        assert!(matches!(answer.status, 400 | 404), "{repo}: {}", answer.status);
    }
    Ok(())
}

#[test]
fn deep_and_long_names_within_the_grammar_work() -> Outcome {
    let arena = Arena::new("name-deep")?;
    let deep = format!("name-deep/{}", ["d"; 31].join("/"));
    let odd = "name-deep/a.b_c__d-e---f/0";
    let image = Image::new(82, 100);
    for repo in [deep.as_str(), odd] {
        image.push(&arena.target, repo, &"t".repeat(128))?;
    }
    Ok(())
}

#[test]
fn repositories_whose_names_look_like_routes_work() -> Outcome {
    let arena = Arena::new("name-routes")?;
    let image = Image::new(83, 100);
    for repo in
        ["name-routes/blobs", "name-routes/manifests/x", "name-routes/tags/list", "name-routes/blobs/uploads"]
    {
        image.push(&arena.target, repo, "v1")?;
        let answer = expect(arena.target.fetch(format!("/v2/{repo}/manifests/v1"))?, &[200])?;
        assert!(answer.body == image.manifest, "{repo}");
    }
    Ok(())
}

#[test]
fn no_other_spelling_reaches_a_repository() -> Outcome {
    let arena = Arena::new("name-spelling")?;
    Image::new(84, 100).push(&arena.target, &arena.repo, "v1")?;
    for path in [
        "/v2/%6eame-spelling/repo/manifests/v1",
        "/v2/name-spelling%2Frepo/manifests/v1",
        "/v2/name-spelling//repo/manifests/v1",
        "/v2/name-spelling/./repo/manifests/v1",
        "/v2/name-spelling/x/../repo/manifests/v1",
        "/v2/name-spelling/repo;v=1/manifests/v1",
        "/v2/name-spelling/repo/manifests/v1/",
        "/V2/name-spelling/repo/manifests/v1",
        "/v2//name-spelling/repo/manifests/v1",
        "/v2/Name-Spelling/repo/manifests/v1",
    ] {
        let answer = arena.target.fetch(path)?;
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
    }
    Ok(())
}

#[test]
fn a_one_segment_name_lies_in_the_library() -> Outcome {
    let arena = Arena::new("name-library")?;
    let image = Image::new(85, 100);
    image.push(&arena.target, "name-in-library", "v1")?;
    let answer = expect(arena.target.fetch("/v2/library/name-in-library/manifests/v1")?, &[200])?;
    assert!(answer.body == image.manifest);
    Ok(())
}

#[test]
fn a_foreign_host_header_never_comes_back() -> Outcome {
    let arena = Arena::new("name-host")?;
    for header in ["X-Forwarded-Host", "Forwarded", "X-Forwarded-Proto", "X-Original-URL"] {
        let value = if header == "Forwarded" { "host=evil.example;proto=gopher" } else { "evil.example" };
        let post = Request::new("POST", arena.path("/blobs/uploads/")).header(header, value);
        let answer = expect(arena.send(&post)?, &[202])?;
        let location = answer.header("location").unwrap_or_default();
        assert!(location.starts_with("/v2/"), "{header}: {location}");
        let anonymous = arena.target.anonymous().send(&Request::new("GET", "/v2/").header(header, value))?;
        let challenge = anonymous.header("www-authenticate").unwrap_or_default();
        assert!(!challenge.contains("evil"), "{header}: {challenge}");
    }
    for host in ["evil.example\"", "a b", "x/y", "évil", "a@b", ""] {
        let request = Request::new("GET", "/v2/").header("Host", host);
        if let Ok(answer) = arena.target.anonymous().send(&request) {
            let challenge = answer.header("www-authenticate").unwrap_or_default();
            let (bad, text) = (challenge.contains("evil"), answer.text());
            assert!(answer.status == 400 || !bad, "{host}: {} {challenge} {text}", answer.status);
        }
    }
    Ok(())
}

#[test]
fn other_methods_are_405_with_what_is_allowed() -> Outcome {
    let arena = Arena::new("name-method")?;
    arena.push_blob(b"x")?;
    for (method, rest) in [
        ("POST", "/manifests/v1".to_owned()),
        ("PATCH", "/manifests/v1".to_owned()),
        ("PUT", format!("/blobs/{}", sha256(b"x"))),
        ("DELETE", "/tags/list".to_owned()),
        ("PUT", "/blobs/uploads/".to_owned()),
    ] {
        let answer = arena.send(&Request::new(method, arena.path(&rest)))?;
        let answer = expect(answer, &[404, 405])?;
        assert!(answer.status == 404 || answer.header("allow").is_some(), "{method} {rest}");
    }
    Ok(())
}

#[test]
fn garbage_on_the_socket_is_answered_or_closed_and_the_server_goes_on() -> Outcome {
    let arena = Arena::new("name-garbage")?;
    let long = format!("GET /v2/{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(200_000));
    let inputs: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /v2/ HTTP/9.9\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /v2/a/b/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /v2/a/b/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello",
        long.as_bytes(),
    ];
    for input in inputs {
        let mut stream = TcpStream::connect(arena.target.addr)?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(30)))?;
        // It may be closed while we still write: that is an answer too.
        let _ = stream.write_all(input);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.take(4096).read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        assert!(!text.starts_with("HTTP/1.1 2") && !text.starts_with("HTTP/1.1 500"), "{text}");
    }
    expect(arena.target.fetch("/v2/")?, &[200])?;
    Ok(())
}
