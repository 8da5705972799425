//! Pushing, pulling and deleting manifests of every kind.

use e2e::http::{Body, Request};
use e2e::image::{self, EMPTY, Image, bytes_of, descriptor};
use e2e::registry::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, sha256, sha512};
use serde_json::json;

use crate::{Arena, Outcome, expect, refused};

#[test]
fn a_pushed_manifest_comes_back_byte_for_byte() -> Outcome {
    let arena = Arena::new("man-push")?;
    let image = Image::new(31, 1000);
    image.push_blobs(&arena.target, &arena.repo)?;
    let digest = image.digest();
    for reference in ["v1".to_owned(), digest.clone()] {
        let done = arena.target.put_manifest(&arena.repo, &reference, OCI_MANIFEST, &image.manifest)?;
        let done = expect(done, &[201])?;
        assert_eq!(done.header("docker-content-digest"), Some(digest.as_str()));
        assert!(done.location().is_some());
    }
    for reference in ["v1".to_owned(), digest.clone()] {
        let got = expect(arena.fetch(&format!("/manifests/{reference}"))?, &[200])?;
        assert!(got.body == image.manifest);
        assert_eq!(got.header("content-type"), Some(OCI_MANIFEST));
        assert_eq!(got.header("docker-content-digest"), Some(digest.as_str()));
        let head = expect(arena.head(&format!("/manifests/{reference}"))?, &[200])?;
        assert_eq!(head.header("content-length"), Some(image.manifest.len().to_string().as_str()));
        assert_eq!(head.header("content-type"), Some(OCI_MANIFEST));
        assert!(head.body.is_empty());
    }
    Ok(())
}

#[test]
fn odd_but_valid_json_is_kept_as_it_is() -> Outcome {
    let arena = Arena::new("man-verbatim")?;
    let image = Image::new(32, 100);
    image.push_blobs(&arena.target, &arena.repo)?;
    let text = String::from_utf8(image.manifest.clone())?;
    let spaced = text.replacen('{', "{\n\t \"x-unknown\" : [1, 2.50, null, \"\\u00e9\"],\r\n", 1) + "\n\n";
    let digest = arena.target.push_manifest(&arena.repo, "odd", OCI_MANIFEST, spaced.as_bytes())?;
    let got = expect(arena.fetch(&format!("/manifests/{digest}"))?, &[200])?;
    assert_eq!(got.text(), spaced);
    Ok(())
}

#[test]
fn a_manifest_may_be_pushed_by_sha512() -> Outcome {
    let arena = Arena::new("man-sha512")?;
    let image = Image::new(33, 1000);
    image.push_blobs(&arena.target, &arena.repo)?;
    let digest = sha512(&image.manifest);
    let done = arena.target.put_manifest(&arena.repo, &digest, OCI_MANIFEST, &image.manifest)?;
    assert_eq!(expect(done, &[201])?.header("docker-content-digest"), Some(digest.as_str()));
    let got = expect(arena.fetch(&format!("/manifests/{digest}"))?, &[200])?;
    assert!(got.body == image.manifest);
    assert_eq!(got.header("docker-content-digest"), Some(digest.as_str()));
    Ok(())
}

#[test]
fn tag_parameters_tag_what_is_pushed_by_digest() -> Outcome {
    let arena = Arena::new("man-tagparam")?;
    let image = Image::new(34, 1000);
    image.push_blobs(&arena.target, &arena.repo)?;
    let digest = image.digest();
    let put = Request::new("PUT", arena.path(&format!("/manifests/{digest}?tag=one&tag=two")))
        .header("Content-Type", OCI_MANIFEST)
        .body(Body::Bytes(&image.manifest));
    let done = expect(arena.send(&put)?, &[201])?;
    let told: Vec<&str> =
        done.headers.iter().filter(|(n, _)| n == "oci-tag").map(|(_, v)| v.as_str()).collect();
    let told = told.join(",");
    assert!(told.contains("one") && told.contains("two"), "{told}");
    for tag in ["one", "two"] {
        let head = expect(arena.head(&format!("/manifests/{tag}"))?, &[200])?;
        assert_eq!(head.header("docker-content-digest"), Some(digest.as_str()));
    }
    Ok(())
}

#[test]
fn a_tag_moves_and_the_old_manifest_stays() -> Outcome {
    let arena = Arena::new("man-move")?;
    let (first, second) = (Image::new(35, 100), Image::new(36, 100));
    let old = first.push(&arena.target, &arena.repo, "latest")?;
    let new = second.push(&arena.target, &arena.repo, "latest")?;
    let head = expect(arena.head("/manifests/latest")?, &[200])?;
    assert_eq!(head.header("docker-content-digest"), Some(new.as_str()));
    assert!(expect(arena.fetch(&format!("/manifests/{old}"))?, &[200])?.body == first.manifest);
    Ok(())
}

#[test]
fn every_kind_of_manifest_is_stored_under_its_type() -> Outcome {
    let arena = Arena::new("man-kinds")?;
    let image = Image::new(37, 500);
    image.push(&arena.target, &arena.repo, "oci")?;
    arena.push_blob(EMPTY)?;
    let docker = bytes_of(&json!({
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": descriptor("application/vnd.docker.container.image.v1+json", &image.config),
        "layers": [descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", &image.layer)],
    }));
    arena.target.push_manifest(&arena.repo, "docker", DOCKER_MANIFEST, &docker)?;
    let mut child = descriptor(DOCKER_MANIFEST, &docker);
    child["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    let list = bytes_of(&json!({ "schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [child] }));
    let index = image::index(&[&image.manifest]);
    let nested = bytes_of(
        &json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(OCI_INDEX, &index)] }),
    );
    let bare = bytes_of(&json!({
        "schemaVersion": 2,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &image.config),
        "layers": [],
    }));
    let foreign = bytes_of(&json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &image.config),
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            "digest": sha256(b"never pushed"), "size": 12, "urls": ["http://127.0.0.1:1/never-asked"],
        }],
    }));
    let artifact = bytes_of(&json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": "application/vnd.example.thing",
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": sha256(EMPTY), "size": 2, "data": "e30=" },
        "layers": [descriptor("application/vnd.example.data", EMPTY)],
    }));
    let kinds: [(&str, &str, &[u8]); 6] = [
        ("list", DOCKER_LIST, &list),
        ("index", OCI_INDEX, &index),
        ("nested", OCI_INDEX, &nested),
        ("bare", OCI_MANIFEST, &bare),
        ("foreign", OCI_MANIFEST, &foreign),
        ("artifact", OCI_MANIFEST, &artifact),
    ];
    for (tag, media_type, bytes) in kinds {
        arena.target.push_manifest(&arena.repo, tag, media_type, bytes)?;
        let got = expect(arena.fetch(&format!("/manifests/{tag}"))?, &[200])?;
        assert_eq!(got.header("content-type"), Some(media_type), "{tag}");
        assert!(got.body == bytes, "{tag}");
    }
    Ok(())
}

#[test]
fn a_sparse_index_is_accepted() -> Outcome {
    let arena = Arena::new("man-sparse")?;
    let (there, absent) = (Image::new(38, 100), Image::new(39, 100));
    there.push(&arena.target, &arena.repo, "there")?;
    let index = image::index(&[&there.manifest, &absent.manifest]);
    arena.target.push_manifest(&arena.repo, "sparse", OCI_INDEX, &index)?;
    assert!(expect(arena.fetch("/manifests/sparse")?, &[200])?.body == index);
    expect(arena.fetch(&format!("/manifests/{}", absent.digest()))?, &[404])?;
    absent.push(&arena.target, &arena.repo, "now")?;
    expect(arena.fetch(&format!("/manifests/{}", absent.digest()))?, &[200])?;
    Ok(())
}

#[test]
fn a_manifest_whose_blob_is_missing_is_refused() -> Outcome {
    let arena = Arena::new("man-missing")?;
    let image = Image::new(40, 100);
    arena.push_blob(&image.config)?;
    let put = arena.target.put_manifest(&arena.repo, "v1", OCI_MANIFEST, &image.manifest)?;
    refused(put, &[400, 404], "MANIFEST_BLOB_UNKNOWN")?;
    expect(arena.fetch("/manifests/v1")?, &[404])?;
    Ok(())
}

#[test]
fn a_blob_of_another_repository_is_missing_here() -> Outcome {
    let arena = Arena::new("man-elsewhere")?;
    let image = Image::new(41, 100);
    image.push_blobs(&arena.target, "man-elsewhere/other")?;
    let put = arena.target.put_manifest(&arena.repo, "v1", OCI_MANIFEST, &image.manifest)?;
    refused(put, &[400, 404], "MANIFEST_BLOB_UNKNOWN")
}

#[test]
fn deleting_a_tag_leaves_the_manifest() -> Outcome {
    let arena = Arena::new("man-untag")?;
    let image = Image::new(42, 100);
    let digest = image.push(&arena.target, &arena.repo, "one")?;
    image.push(&arena.target, &arena.repo, "two")?;
    expect(arena.delete("/manifests/one")?, &[202])?;
    refused(arena.fetch("/manifests/one")?, &[404], "MANIFEST_UNKNOWN")?;
    expect(arena.head("/manifests/two")?, &[200])?;
    expect(arena.head(&format!("/manifests/{digest}"))?, &[200])?;
    expect(arena.delete("/manifests/one")?, &[404])?;
    Ok(())
}

#[test]
fn deleting_a_manifest_takes_its_tags() -> Outcome {
    let arena = Arena::new("man-delete")?;
    let (image, other) = (Image::new(43, 100), Image::new(44, 100));
    let digest = image.push(&arena.target, &arena.repo, "one")?;
    image.push(&arena.target, &arena.repo, "two")?;
    other.push(&arena.target, &arena.repo, "other")?;
    expect(arena.delete(&format!("/manifests/{digest}"))?, &[202])?;
    for reference in ["one", "two", digest.as_str()] {
        refused(arena.fetch(&format!("/manifests/{reference}"))?, &[404], "MANIFEST_UNKNOWN")?;
    }
    let tags = expect(arena.fetch("/tags/list")?, &[200])?.json();
    assert_eq!(tags["tags"], json!(["other"]));
    image.push(&arena.target, &arena.repo, "one")?;
    expect(arena.head("/manifests/one")?, &[200])?;
    Ok(())
}

#[test]
fn an_unchanged_manifest_is_304() -> Outcome {
    let arena = Arena::new("man-304")?;
    let image = Image::new(45, 100);
    image.push(&arena.target, &arena.repo, "v1")?;
    let first = expect(arena.fetch("/manifests/v1")?, &[200])?;
    let etag = first.header("etag").unwrap_or_default().to_owned();
    assert!(!etag.is_empty(), "no ETag");
    let again = Request::new("GET", arena.path("/manifests/v1")).header("If-None-Match", etag);
    expect(arena.send(&again)?, &[304])?;
    Ok(())
}

#[test]
fn an_unknown_reference_is_404() -> Outcome {
    let arena = Arena::new("man-unknown")?;
    arena.push_blob(b"so that the repository exists")?;
    for reference in ["nothing".to_owned(), sha256(b"nothing")] {
        refused(arena.fetch(&format!("/manifests/{reference}"))?, &[404], "MANIFEST_UNKNOWN")?;
        expect(arena.head(&format!("/manifests/{reference}"))?, &[404])?;
        expect(arena.delete(&format!("/manifests/{reference}"))?, &[404])?;
    }
    Ok(())
}

#[test]
fn sixty_tags_pushed_at_once_are_all_there() -> Outcome {
    let arena = Arena::new("man-storm")?;
    let image = Image::new(46, 100);
    image.push_blobs(&arena.target, &arena.repo)?;
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let put = |n: usize| {
            let (arena, image) = (&arena, &image);
            scope.spawn(move || {
                arena.target.put_manifest(&arena.repo, &format!("t{n:02}"), OCI_MANIFEST, &image.manifest)
            })
        };
        let tasks: Vec<_> = (0..60).map(put).collect();
        tasks.into_iter().filter_map(|t| t.join().ok()?.ok()).map(|r| r.status).collect()
    });
    assert_eq!(statuses, [201; 60]);
    let tags = expect(arena.fetch("/tags/list")?, &[200])?.json();
    assert_eq!(tags["tags"].as_array().map(Vec::len), Some(60));
    Ok(())
}

#[test]
fn one_tag_pushed_by_many_at_once_is_one_of_theirs() -> Outcome {
    let arena = Arena::new("man-contended")?;
    let images: Vec<Image> = (0..12).map(|n| Image::new(4700 + n, 50)).collect();
    for image in &images {
        image.push_blobs(&arena.target, &arena.repo)?;
    }
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let put = |image| {
            let arena = &arena;
            scope.spawn(move || {
                let image: &Image = image;
                arena.target.put_manifest(&arena.repo, "latest", OCI_MANIFEST, &image.manifest)
            })
        };
        let tasks: Vec<_> = images.iter().map(put).collect();
        tasks.into_iter().filter_map(|t| t.join().ok()?.ok()).map(|r| r.status).collect()
    });
    assert_eq!(statuses, [201; 12]);
    let got = expect(arena.fetch("/manifests/latest")?, &[200])?;
    assert!(images.iter().any(|image| image.manifest == got.body));
    for image in &images {
        expect(arena.head(&format!("/manifests/{}", image.digest()))?, &[200])?;
    }
    Ok(())
}
