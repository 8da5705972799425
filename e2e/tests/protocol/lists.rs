//! Lists of tags and repositories: order, pages, limits.

use e2e::image::Image;
use e2e::registry::OCI_MANIFEST;
use serde_json::{Value, json};

use crate::{Arena, Outcome, expect};

fn tagged(name: &str, tags: &[&str]) -> anyhow::Result<Arena> {
    let arena = Arena::new(name)?;
    let image = Image::new(51, 100);
    image.push_blobs(&arena.target, &arena.repo)?;
    for tag in tags {
        arena.target.push_manifest(&arena.repo, tag, OCI_MANIFEST, &image.manifest)?;
    }
    Ok(arena)
}

/// Entries of the list at `path`, page by page over `Link`.
fn follow(arena: &Arena, path: &str, member: &str) -> anyhow::Result<Vec<String>> {
    let (mut all, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(path) = next {
        let page = expect(arena.target.fetch(path)?, &[200])?;
        let entries = page.json()[member].as_array().cloned().unwrap_or_default();
        assert!(!entries.is_empty() || page.header("link").is_none(), "an empty page with a next one");
        all.extend(entries.iter().filter_map(Value::as_str).map(str::to_owned));
        next = page.header("link").map(|link| {
            assert!(link.contains("rel=\"next\""), "{link}");
            let target = link.trim_start_matches('<').split('>').next().unwrap_or_default();
            target
                .split_once("://")
                .map_or(target, |(_, rest)| &rest[rest.find('/').unwrap_or(0)..])
                .to_owned()
        });
    }
    Ok(all)
}

#[test]
fn tags_are_listed_in_the_specifications_order() -> Outcome {
    let arena = tagged("list-order", &["b", "A", "a", "10", "2", "_x", "B", "v1.0", "v1.0-rc.1"])?;
    let list = expect(arena.fetch("/tags/list")?, &[200])?;
    let body = list.json();
    assert_eq!(body["name"], json!("list-order/repo"));
    assert_eq!(body["tags"], json!(["10", "2", "_x", "A", "a", "B", "b", "v1.0", "v1.0-rc.1"]));
    assert!(list.header("link").is_none());
    Ok(())
}

#[test]
fn pages_of_tags_are_whole_and_without_repeats() -> Outcome {
    let names: Vec<String> = (0..17).map(|n| format!("t{n:02}")).collect();
    let arena = tagged("list-pages", &names.iter().map(String::as_str).collect::<Vec<_>>())?;
    for n in [1, 2, 5, 16, 17, 18, 1000] {
        let all = follow(&arena, &arena.path(&format!("/tags/list?n={n}")), "tags")?;
        assert_eq!(all, names, "n={n}");
    }
    Ok(())
}

#[test]
fn a_page_begins_after_last_even_where_it_does_not_exist() -> Outcome {
    let arena = tagged("list-last", &["a", "c", "e"])?;
    for (last, expected) in
        [("a", json!(["c", "e"])), ("b", json!(["c", "e"])), ("e", json!([])), ("zz", json!([]))]
    {
        let list = expect(arena.fetch(&format!("/tags/list?last={last}"))?, &[200])?;
        assert_eq!(list.json()["tags"], expected, "last={last}");
        let list = expect(arena.fetch(&format!("/tags/list?n=1&last={last}"))?, &[200])?;
        assert_eq!(
            list.json()["tags"].as_array().map(Vec::len),
            Some(expected.as_array().map_or(0, |e| e.len().min(1)))
        );
    }
    Ok(())
}

#[test]
fn n_of_zero_is_an_empty_page_without_next() -> Outcome {
    let arena = tagged("list-zero", &["a", "b"])?;
    let list = expect(arena.fetch("/tags/list?n=0")?, &[200])?;
    assert_eq!(list.json()["tags"], json!([]));
    assert!(list.header("link").is_none());
    Ok(())
}

#[test]
fn absurd_pages_are_clamped_or_refused() -> Outcome {
    let arena = tagged("list-absurd", &["a"])?;
    for n in ["99999999999999", "9223372036854775808", "1000000000"] {
        let list = expect(arena.fetch(&format!("/tags/list?n={n}"))?, &[200])?;
        assert_eq!(list.json()["tags"], json!(["a"]), "n={n}");
        expect(arena.target.fetch(format!("/v2/_catalog?n={n}"))?, &[200])?;
    }
    for n in ["-1", "abc", "1e3", "0x10", "%00"] {
        expect(arena.fetch(&format!("/tags/list?n={n}"))?, &[400])?;
        expect(arena.target.fetch(format!("/v2/_catalog?n={n}"))?, &[400])?;
    }
    let long = "x".repeat(100_000);
    expect(arena.fetch(&format!("/tags/list?last={long}"))?, &[400, 414, 431])?;
    expect(arena.fetch("/tags/list?last=%0d%0aX-Injected:%20yes")?, &[200, 400])?;
    Ok(())
}

#[test]
fn a_repository_without_tags_lists_none() -> Outcome {
    let arena = Arena::new("list-none")?;
    let image = Image::new(52, 100);
    image.push_blobs(&arena.target, &arena.repo)?;
    arena.target.push_manifest(&arena.repo, &image.digest(), OCI_MANIFEST, &image.manifest)?;
    assert_eq!(expect(arena.fetch("/tags/list")?, &[200])?.json()["tags"], json!([]));
    Ok(())
}

#[test]
fn tags_of_an_unknown_repository_are_404() -> Outcome {
    let arena = Arena::new("list-unknown")?;
    let answer = arena.target.fetch("/v2/list-unknown/never/tags/list")?;
    crate::refused(answer, &[404], "NAME_UNKNOWN")
}

#[test]
fn the_catalogue_has_every_repository_once_over_pages() -> Outcome {
    let arena = Arena::new("list-catalog")?;
    let image = Image::new(53, 100);
    let mut expected: Vec<String> = (0..5).map(|n| format!("list-catalog/r{n}")).collect();
    expected.push("list-catalog/r0/deeper/still".to_owned());
    expected.sort();
    for repo in &expected {
        image.push(&arena.target, repo, "v1")?;
    }
    let mut found = follow(&arena, "/v2/_catalog?n=3", "repositories")?;
    found.retain(|name| name.starts_with("list-catalog/"));
    assert_eq!(found, expected);
    Ok(())
}
