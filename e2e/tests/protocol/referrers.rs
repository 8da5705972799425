//! Referrers: who points at a digest.

use e2e::http::Request;
use e2e::image::{self, EMPTY, Image, bytes_of, descriptor};
use e2e::registry::{OCI_INDEX, OCI_MANIFEST, sha256, sha512};
use serde_json::{Value, json};

use crate::{Arena, Outcome, expect};

const SIGNATURE: &str = "application/vnd.example.signature";
const SBOM: &str = "application/vnd.example.sbom";

/// A repository with an image, its descriptor.
fn subject(name: &str) -> anyhow::Result<(Arena, Image, Value)> {
    let arena = Arena::new(name)?;
    let image = Image::new(61, 100);
    image.push(&arena.target, &arena.repo, "v1")?;
    arena.push_blob(EMPTY)?;
    let descriptor = descriptor(OCI_MANIFEST, &image.manifest);
    Ok((arena, image, descriptor))
}

/// Digests in the answer, which must be an index.
fn listed(arena: &Arena, rest: &str) -> anyhow::Result<Vec<String>> {
    let answer = expect(arena.fetch(rest)?, &[200])?;
    assert_eq!(answer.header("content-type"), Some(OCI_INDEX));
    let body = answer.json();
    assert_eq!((&body["schemaVersion"], &body["mediaType"]), (&json!(2), &json!(OCI_INDEX)));
    let entries = body["manifests"].as_array().cloned().unwrap_or_default();
    Ok(entries.iter().filter_map(|e| e["digest"].as_str()).map(str::to_owned).collect())
}

#[test]
fn a_referrer_is_listed_with_type_and_annotations() -> Outcome {
    let (arena, image, subject) = subject("ref-list")?;
    let bytes = image::referrer(&subject, SIGNATURE, "one");
    let done = arena.target.put_manifest(&arena.repo, &sha256(&bytes), OCI_MANIFEST, &bytes)?;
    assert_eq!(expect(done, &[201])?.header("oci-subject"), Some(image.digest().as_str()));
    let body = expect(arena.fetch(&format!("/referrers/{}", image.digest()))?, &[200])?.json();
    let entry = &body["manifests"][0];
    assert_eq!(entry["digest"], json!(sha256(&bytes)));
    assert_eq!(entry["mediaType"], json!(OCI_MANIFEST));
    assert_eq!(entry["size"], json!(bytes.len()));
    assert_eq!(entry["artifactType"], json!(SIGNATURE));
    assert_eq!(entry["annotations"]["org.example.note"], json!("one"));
    Ok(())
}

#[test]
fn the_filter_is_applied_and_said() -> Outcome {
    let (arena, image, subject) = subject("ref-filter")?;
    let signature = image::referrer(&subject, SIGNATURE, "s");
    let sbom = image::referrer(&subject, SBOM, "b");
    for bytes in [&signature, &sbom] {
        arena.target.push_manifest(&arena.repo, &sha256(bytes), OCI_MANIFEST, bytes)?;
    }
    let base = format!("/referrers/{}", image.digest());
    let mut all = listed(&arena, &base)?;
    all.sort();
    let mut expected = vec![sha256(&signature), sha256(&sbom)];
    expected.sort();
    assert_eq!(all, expected);
    let answer = expect(arena.fetch(&format!("{base}?artifactType={SBOM}"))?, &[200])?;
    assert_eq!(answer.header("oci-filters-applied"), Some("artifactType"));
    assert_eq!(answer.json()["manifests"].as_array().map(Vec::len), Some(1));
    let both = format!("{base}?artifactType={SBOM}&artifactType={SIGNATURE}");
    assert_eq!(listed(&arena, &both)?, expected, "two types, in order of digest");
    assert_eq!(listed(&arena, &format!("{both}&last={}", expected[0]))?, expected[1..]);
    expect(arena.fetch(&format!("{base}?{}", "artifactType=a&".repeat(33)))?, &[400])?;
    for odd in ["100%25", "%27%22", "a%0d%0ab", "unknown%2Ftype", "%FF"] {
        let answer = expect(arena.fetch(&format!("{base}?artifactType={odd}"))?, &[200, 400])?;
        let count = answer.json()["manifests"].as_array().map_or(0, Vec::len);
        assert_eq!(count, 0, "{odd}");
    }
    Ok(())
}

#[test]
fn a_subject_that_is_not_there_has_an_empty_list_and_may_be_referred_to() -> Outcome {
    let (arena, _, _) = subject("ref-missing")?;
    let absent = Image::new(62, 100);
    let base = format!("/referrers/{}", absent.digest());
    assert!(listed(&arena, &base)?.is_empty());
    assert!(listed(&arena, &format!("/referrers/{}", sha512(b"nothing")))?.is_empty());
    let bytes = image::referrer(&descriptor(OCI_MANIFEST, &absent.manifest), SIGNATURE, "early");
    let done = arena.target.put_manifest(&arena.repo, &sha256(&bytes), OCI_MANIFEST, &bytes)?;
    assert_eq!(expect(done, &[201])?.header("oci-subject"), Some(absent.digest().as_str()));
    assert_eq!(listed(&arena, &base)?, [sha256(&bytes)]);
    Ok(())
}

#[test]
fn an_index_with_a_subject_is_a_referrer() -> Outcome {
    let (arena, image, subject) = subject("ref-index")?;
    let bytes = bytes_of(&json!({
        "schemaVersion": 2, "mediaType": OCI_INDEX, "artifactType": SBOM,
        "manifests": [descriptor(OCI_MANIFEST, &image.manifest)], "subject": subject,
    }));
    arena.target.push_manifest(&arena.repo, "list", OCI_INDEX, &bytes)?;
    let body = expect(arena.fetch(&format!("/referrers/{}", image.digest()))?, &[200])?.json();
    assert_eq!(body["manifests"][0]["artifactType"], json!(SBOM));
    assert_eq!(body["manifests"][0]["mediaType"], json!(OCI_INDEX));
    Ok(())
}

#[test]
fn without_artifact_type_the_configurations_type_counts() -> Outcome {
    let (arena, image, subject) = subject("ref-config")?;
    let bytes = bytes_of(&json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": descriptor("application/vnd.example.old.config", EMPTY),
        "layers": [descriptor("application/vnd.example.data", EMPTY)], "subject": subject,
    }));
    arena.target.push_manifest(&arena.repo, &sha256(&bytes), OCI_MANIFEST, &bytes)?;
    let body = expect(arena.fetch(&format!("/referrers/{}", image.digest()))?, &[200])?.json();
    assert_eq!(body["manifests"][0]["artifactType"], json!("application/vnd.example.old.config"));
    Ok(())
}

#[test]
fn a_deleted_referrer_is_no_longer_listed() -> Outcome {
    let (arena, image, subject) = subject("ref-delete")?;
    let bytes = image::referrer(&subject, SIGNATURE, "gone");
    arena.target.push_manifest(&arena.repo, &sha256(&bytes), OCI_MANIFEST, &bytes)?;
    expect(arena.delete(&format!("/manifests/{}", sha256(&bytes)))?, &[202])?;
    assert!(listed(&arena, &format!("/referrers/{}", image.digest()))?.is_empty());
    Ok(())
}

#[test]
fn the_fallback_tag_is_merged() -> Outcome {
    let (arena, image, subject) = subject("ref-fallback")?;
    let direct = image::referrer(&subject, SIGNATURE, "direct");
    arena.target.push_manifest(&arena.repo, &sha256(&direct), OCI_MANIFEST, &direct)?;
    let mut entry = descriptor(OCI_MANIFEST, &direct);
    entry["artifactType"] = json!(SIGNATURE);
    let index = bytes_of(&json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] }));
    let tag = image.digest().replace(':', "-");
    arena.target.push_manifest(&arena.repo, &tag, OCI_INDEX, &index)?;
    let all = listed(&arena, &format!("/referrers/{}", image.digest()))?;
    assert_eq!(all, [sha256(&direct)], "named twice, listed once");
    Ok(())
}

#[test]
fn many_referrers_come_in_pages() -> Outcome {
    let (arena, image, subject) = subject("ref-pages")?;
    let mut expected = Vec::new();
    for n in 0..25 {
        let bytes = image::referrer(&subject, SIGNATURE, &format!("number {n}"));
        expected.push(arena.target.push_manifest(&arena.repo, &sha256(&bytes), OCI_MANIFEST, &bytes)?);
    }
    expected.sort();
    let mut next = Some(arena.path(&format!("/referrers/{}?n=10", image.digest())));
    let (mut all, mut pages) = (Vec::new(), Vec::new());
    while let Some(path) = next {
        let answer = expect(arena.target.fetch(path)?, &[200])?;
        let entries = answer.json()["manifests"].as_array().cloned().unwrap_or_default();
        all.extend(entries.iter().filter_map(|e| e["digest"].as_str()).map(str::to_owned));
        next = answer
            .header("link")
            .map(|link| link.trim_start_matches('<').split('>').next().unwrap_or_default().to_owned());
        pages.push(entries.len());
    }
    // The specification has pages, but not `n`, which is ours.
    if !Arena::is_foreign() {
        assert_eq!(pages, [10, 10, 5]);
    }
    all.sort();
    assert_eq!(all, expected);
    Ok(())
}

#[test]
fn a_malformed_subject_digest_is_400() -> Outcome {
    let (arena, _, _) = subject("ref-malformed")?;
    for digest in ["sha256:xyz", "latest", "sha256:"] {
        let answer = arena.send(&Request::new("GET", arena.path(&format!("/referrers/{digest}"))))?;
        expect(answer, &[400])?;
    }
    Ok(())
}
