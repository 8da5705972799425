//! Documents that must not be stored (reference: the CVEs of other registries), and limits.

use e2e::http::{Body, Request};
use e2e::image::{self, Image, bytes_of, descriptor};
use e2e::registry::{OCI_INDEX, OCI_MANIFEST, sha256};
use serde_json::{Value, json};

use crate::{Arena, Outcome, expect, refused};

fn with_image(name: &str, seed: u64) -> anyhow::Result<(Arena, Image)> {
    let arena = Arena::new(name)?;
    let image = Image::new(seed, 100);
    image.push_blobs(&arena.target, &arena.repo)?;
    Ok((arena, image))
}

/// PUT under tag `bad` must be 400 and leave nothing.
fn is_refused(arena: &Arena, media_type: &str, bytes: &[u8], why: &str) -> Outcome {
    let answer = arena.target.put_manifest(&arena.repo, "bad", media_type, bytes)?;
    assert_eq!(answer.status, 400, "{why}: {}", answer.text());
    assert!(!answer.error_code().is_empty(), "{why}: no error code in {}", answer.text());
    assert_eq!(arena.head("/manifests/bad")?.status, 404, "{why}");
    Ok(())
}

#[test]
fn documents_that_two_readers_could_understand_differently_are_400() -> Outcome {
    let (arena, image) = with_image("no-ambiguous", 71)?;
    let good: Value = serde_json::from_slice(&image.manifest)?;
    let text = String::from_utf8(image.manifest.clone())?;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut value = good.clone();
        change(&mut value);
        bytes_of(&value)
    };
    let table: Vec<(&str, Vec<u8>)> = vec![
        ("layers and manifests", with(&|m| m["manifests"] = json!([]))),
        ("another mediaType", with(&|m| m["mediaType"] = json!(OCI_INDEX))),
        ("an unknown mediaType", with(&|m| m["mediaType"] = json!("application/json"))),
        ("schema version 1", with(&|m| m["schemaVersion"] = json!(1))),
        ("no schema version", with(&|m| m["schemaVersion"] = Value::Null)),
        ("members of schema 1", with(&|m| m["fsLayers"] = json!([]))),
        ("no config", with(&|m| m["config"] = Value::Null)),
        ("layers that are no list", with(&|m| m["layers"] = json!({}))),
        ("a duplicate key", text.replacen('{', "{\"schemaVersion\":2,", 1).into_bytes()),
        ("a nested duplicate key", text.replacen("\"size\":", "\"size\":1,\"size\":", 1).into_bytes()),
        ("a byte order mark", [b"\xEF\xBB\xBF", image.manifest.as_slice()].concat()),
        ("trailing garbage", [image.manifest.as_slice(), b"}"].concat()),
        ("a second document", [image.manifest.as_slice(), b"{}"].concat()),
        ("a NUL at the end", [image.manifest.as_slice(), b"\0"].concat()),
        ("invalid UTF-8", [b"{\"a\":\"\xFF\xFE\",".as_slice(), &image.manifest[1..]].concat()),
        ("an empty body", Vec::new()),
        ("no object", b"[]".to_vec()),
        ("a string", b"\"x\"".to_vec()),
        ("deep nesting", [vec![b'['; 100_000], vec![b']'; 100_000]].concat()),
    ];
    for (why, bytes) in table {
        is_refused(&arena, OCI_MANIFEST, &bytes, why)?;
    }
    let mut index: Value = serde_json::from_slice(&image::index(&[]))?;
    index["config"] = good["config"].clone();
    is_refused(&arena, OCI_INDEX, &bytes_of(&index), "config in an index")
}

#[test]
fn descriptors_that_lie_are_400() -> Outcome {
    let (arena, image) = with_image("no-lies", 72)?;
    let good: Value = serde_json::from_slice(&image.manifest)?;
    let layer = |size: Value| {
        let mut value = good.clone();
        value["layers"][0]["size"] = size;
        bytes_of(&value)
    };
    for size in [json!(-5), json!(99), json!(0), json!(1.5), json!("100"), json!(1e308), Value::Null] {
        is_refused(&arena, OCI_MANIFEST, &layer(size.clone()), &format!("size {size}"))?;
    }
    let text = String::from_utf8(layer(json!(77_777)))?;
    for huge in ["9223372036854775808", "18446744073709551616", "1e400"] {
        is_refused(&arena, OCI_MANIFEST, text.replace("77777", huge).as_bytes(), huge)?;
    }
    let mut sum = good.clone();
    let entry = json!({
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "digest": sha256(b"x"), "size": i64::MAX,
    });
    sum["layers"] = json!([entry, entry]);
    is_refused(&arena, OCI_MANIFEST, &bytes_of(&sum), "sizes that overflow")?;
    for digest in ["sha256:../../etc/passwd", "sha256:ABC", "md5:d41d8cd98f00b204e9800998ecf8427e", "", "x"] {
        let mut value = good.clone();
        value["layers"][0]["digest"] = json!(digest);
        is_refused(&arena, OCI_MANIFEST, &bytes_of(&value), &format!("digest {digest:?}"))?;
    }
    Ok(())
}

#[test]
fn a_manifest_under_a_digest_not_its_own_is_400() -> Outcome {
    let (arena, image) = with_image("no-digest", 73)?;
    let other = sha256(b"other");
    let put = arena.target.put_manifest(&arena.repo, &other, OCI_MANIFEST, &image.manifest)?;
    refused(put, &[400], "DIGEST_INVALID")?;
    expect(arena.head(&format!("/manifests/{other}"))?, &[404])?;
    expect(arena.head(&format!("/manifests/{}", image.digest()))?, &[404])?;
    Ok(())
}

#[test]
fn a_media_type_that_is_no_manifests_is_refused() -> Outcome {
    let (arena, image) = with_image("no-type", 74)?;
    for media_type in
        ["application/octet-stream", "text/html", "application/vnd.docker.distribution.manifest.v1+prettyjws"]
    {
        let answer = arena.target.put_manifest(&arena.repo, "bad", media_type, &image.manifest)?;
        expect(answer, &[400, 415])?;
        expect(arena.head("/manifests/bad")?, &[404])?;
    }
    Ok(())
}

#[test]
fn schema_1_is_refused_in_clear_words() -> Outcome {
    let (arena, _) = with_image("no-schema1", 75)?;
    let bytes = bytes_of(&json!({
        "schemaVersion": 1, "name": "x", "tag": "y", "architecture": "amd64", "fsLayers": [], "history": [],
    }));
    let media_type = "application/vnd.docker.distribution.manifest.v1+json";
    let answer = expect(arena.target.put_manifest(&arena.repo, "bad", media_type, &bytes)?, &[400, 415])?;
    assert!(answer.text().contains("schema 1"), "{}", answer.text());
    Ok(())
}

#[test]
fn a_manifest_over_the_limit_is_413_and_one_at_the_limit_is_stored() -> Outcome {
    const LIMIT: usize = 4 * 1024 * 1024;
    let (arena, image) = with_image("no-large", 76)?;
    let text = String::from_utf8(image.manifest.clone())?;
    let padded = |length: usize| format!("{text}{}", " ".repeat(length - text.len())).into_bytes();
    let put = arena.target.put_manifest(&arena.repo, "large", OCI_MANIFEST, &padded(LIMIT + 1))?;
    expect(put, &[413])?;
    arena.target.push_manifest(&arena.repo, "fits", OCI_MANIFEST, &padded(LIMIT))?;
    let claimed = Request::new("PUT", arena.path("/manifests/large"))
        .header("Content-Type", OCI_MANIFEST)
        .header("Expect", "100-continue")
        .body(Body::Repeat(b" ", 0));
    let claimed = claimed.header("Content-Length", "1000000000000000");
    // Two lengths, or one absurd one: an answer or a closed connection, but at once and no 2xx.
    if let Ok(answer) = arena.send(&claimed) {
        assert!(answer.status >= 400, "{}", answer.status);
    }
    let piece = vec![b' '; 65_536];
    let endless = Request::new("PUT", arena.path("/manifests/large"))
        .header("Content-Type", OCI_MANIFEST)
        .body(Body::Repeat(&piece, 64 * 1024 * 1024));
    if let Ok(answer) = arena.send(&endless) {
        assert_eq!(answer.status, 413);
    }
    Ok(())
}

#[test]
fn a_layers_digest_is_no_manifest() -> Outcome {
    let (arena, image) = with_image("no-layer", 77)?;
    for digest in [sha256(&image.layer), sha256(&image.config)] {
        refused(arena.fetch(&format!("/manifests/{digest}"))?, &[404], "MANIFEST_UNKNOWN")?;
    }
    Ok(())
}

#[test]
fn an_index_of_many_paths_costs_its_objects_not_its_paths() -> Outcome {
    let (arena, image) = with_image("no-explosion", 78)?;
    let start = std::time::Instant::now();
    let mut below = image.manifest.clone();
    let mut media_type = OCI_MANIFEST;
    arena.target.push_manifest(&arena.repo, &sha256(&below), media_type, &below)?;
    for depth in 0..40 {
        let (mut a, mut b) = (descriptor(media_type, &below), descriptor(media_type, &below));
        a["annotations"] = json!({ "edge": "a" });
        b["annotations"] = json!({ "edge": "b" });
        below = bytes_of(&json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [a, b] }));
        media_type = OCI_INDEX;
        let put = arena.target.put_manifest(&arena.repo, &sha256(&below), OCI_INDEX, &below)?;
        if expect(put, &[201, 400])?.status == 400 {
            assert!(depth >= 8, "depth {depth} is refused");
            break;
        }
    }
    let deleted = arena.delete(&format!("/manifests/{}", sha256(&below)))?;
    assert!(deleted.status == 202 || deleted.status == 404, "{}", deleted.status);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    Ok(())
}
