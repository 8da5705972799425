//! Feeds from web servers and registries: fetched once, asked for changes after that, refused when they are not what
//! they should be.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Answer, Asked, Web, bonded, code, text};
use oci::Digest;
use vuln::db::{Db, FeedInfo};

fn feed(count: usize) -> Vec<u8> {
    let one = |n: usize| {
        format!(
            r#"{{"id":"GHSA-{n}","modified":"2024-01-01T00:00:00Z","affected":[{{"package":{{"ecosystem":"npm","name":"p{n}"}},
            "ranges":[{{"type":"SEMVER","events":[{{"introduced":"0"}},{{"fixed":"1.0.0"}}]}}]}}]}}"#
        )
        .replace('\n', " ")
    };
    (0..count).map(one).collect::<Vec<_>>().join("\n").into_bytes()
}

fn info(db: &std::path::Path) -> Vec<FeedInfo> {
    let bytes = std::fs::read(db).expect("database");
    Db::open(&bytes).expect("database").feeds().into_iter().cloned().collect()
}

fn not_found() -> Answer {
    (404, Vec::new(), Vec::new())
}

#[test]
fn a_feed_is_fetched_once_and_again_only_when_it_changed() {
    let state = Arc::new(AtomicUsize::new(60));
    let now = Arc::clone(&state);
    let web = Web::start(move |asked: &Asked| {
        let count = now.load(Ordering::SeqCst);
        let tag = format!("\"{count}\"");
        if asked.path == "/moved.jsonl" {
            return (302, vec![("location".into(), "/npm.jsonl".into())], Vec::new());
        }
        if asked.path != "/npm.jsonl" {
            return not_found();
        }
        if asked.headers.get("if-none-match") == Some(&tag) {
            return (304, vec![("etag".into(), tag)], Vec::new());
        }
        (200, vec![("etag".into(), tag)], feed(count))
    });
    let dir = tempfile::tempdir().expect("directory");
    let db = dir.path().join("db");
    let source = format!("npm=http://{}/moved.jsonl", web.address);
    let (place, file) = (source.as_str(), text(&db));
    let build = |more: &[&str]| {
        let mut all = vec!["advisories", "build", "--db", file.as_str(), place];
        all.extend_from_slice(more);
        bonded(&all)
    };
    assert_eq!(build(&[]), code(0));
    let first = info(&db);
    assert_eq!((first[0].records, first[0].state.as_str()), (60, "etag \"60\""));
    assert_eq!(build(&[]), code(0));
    let second = info(&db);
    assert_eq!((second[0].records, second[0].rows), (60, 60));
    assert!(second[0].imported_at > first[0].imported_at, "it was confirmed to be current");

    state.store(70, Ordering::SeqCst);
    assert_eq!(build(&[]), code(0));
    assert_eq!(info(&db)[0].records, 70);
    state.store(3, Ordering::SeqCst);
    assert_eq!(build(&[]), code(2), "a feed that lost nearly everything is not taken");
    assert_eq!(info(&db)[0].records, 70);
    assert_eq!(build(&["--allow-shrink"]), code(0));
    assert_eq!(info(&db)[0].records, 3);
}

#[test]
fn a_feed_that_fails_leaves_the_former_one_and_the_others() {
    let web = Web::start(|asked| match asked.path.as_str() {
        "/npm.jsonl" => (200, Vec::new(), feed(3)),
        _ => not_found(),
    });
    let dir = tempfile::tempdir().expect("directory");
    let (db, address) = (dir.path().join("db"), web.address);
    let build = |feeds: &[String]| {
        let file = text(&db);
        let mut all = vec!["advisories", "build", "--db", file.as_str()];
        all.extend(feeds.iter().map(String::as_str));
        bonded(&all)
    };
    let whole = format!("npm=http://{address}/npm.jsonl");
    let pinned = |digest: &Digest| format!("npm=http://{address}/npm.jsonl#{digest}");
    assert_eq!(build(&[pinned(&Digest::sha256(&feed(3)))]), code(0));
    assert_eq!(build(&[pinned(&Digest::sha256(b"other"))]), code(2), "other content than was pinned");
    assert_eq!(
        build(&[format!("npm=http://{address}/gone"), format!("b=http://{address}/npm.jsonl")]),
        code(2)
    );
    let names: Vec<(String, u64)> = info(&db).into_iter().map(|feed| (feed.name, feed.records)).collect();
    assert_eq!(names, [("b".to_owned(), 3), ("npm".to_owned(), 3)]);
    assert_eq!(
        build(&[whole.replace("127.0.0.1", "registry.invalid")]),
        code(2),
        "clear text to another host"
    );
    assert_eq!(build(&[format!("http://{address}/npm.jsonl")]), code(2), "a fetched feed needs a name");
}

#[test]
fn an_artifact_of_a_registry_is_a_feed() {
    let layer = feed(4);
    let digest = Digest::sha256(&layer);
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
        "config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{}","size":2}},
        "layers":[{{"mediaType":"application/json","digest":"{digest}","size":{},
        "annotations":{{"org.opencontainers.image.title":"npm.jsonl"}}}}]}}"#,
        Digest::sha256(b"{}"),
        layer.len()
    );
    let answers = (manifest.into_bytes(), layer);
    let blob = format!("/v2/feeds/npm/blobs/{digest}");
    let web = Web::start({
        let blob = blob.clone();
        move |asked| {
            let json = |kind: &str| vec![("content-type".to_owned(), kind.to_owned())];
            if asked.path == "/v2/feeds/npm/manifests/1" {
                return (200, json("application/vnd.oci.image.manifest.v1+json"), answers.0.clone());
            }
            if asked.path == blob { (200, Vec::new(), answers.1.clone()) } else { not_found() }
        }
    });
    let dir = tempfile::tempdir().expect("directory");
    let (db, place) = (dir.path().join("db"), format!("npm=oci://{}/feeds/npm:1", web.address));
    for _ in 0..2 {
        assert_eq!(bonded(&["advisories", "build", "--db", &text(&db), &place]), code(0));
    }
    assert_eq!(info(&db)[0].records, 4);
    assert_eq!(
        web.asked().iter().filter(|path| **path == blob).count(),
        1,
        "an unchanged artifact is not fetched"
    );
}
