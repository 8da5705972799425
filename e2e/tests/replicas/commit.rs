//! A connection to the database lost exactly at COMMIT, in front of a whole server: a client gets success or an error
//! that it may retry, a retry changes nothing twice, and nothing acknowledged is lost.

use e2e::cluster::{Cluster, Plan, Stores};
use e2e::http::{Body, Request};
use e2e::image::Image;
use e2e::proxy::{CommitCutter, Cut};
use e2e::registry::{OCI_MANIFEST, sha256};
use e2e::{Target, tools};
use serde_json::json;

use crate::{Outcome, is_retriable, is_there, push};

const IMAGES: u64 = 6;

/// Does something until it is answered with one of these, each time with the next commit cut; how often it was refused.
fn until_done(
    cutter: &CommitCutter,
    statuses: &[u16],
    mut act: impl FnMut() -> anyhow::Result<e2e::http::Response>,
) -> anyhow::Result<usize> {
    for refused in 0..10 {
        cutter.cut_next(1);
        let answer = act()?;
        if statuses.contains(&answer.status) {
            return Ok(refused);
        }
        is_retriable(&answer)?;
    }
    anyhow::bail!("refused ten times")
}

fn put_manifest(target: &Target, tag: &str, image: &Image) -> anyhow::Result<e2e::http::Response> {
    target.put_manifest("cut/app", tag, OCI_MANIFEST, &image.manifest)
}

fn every_commit_cut(cut: Cut) -> Outcome {
    let Some(stores) = Stores::start()? else { return Ok(()) };
    let cutter = CommitCutter::start(stores.postgres.addr(), cut)?;
    let plan = Plan { database_port: Some(cutter.port()), ..Plan::default() };
    let cluster = Cluster::on(stores, 1, &plan)?;
    let target = cluster.replica(0);
    let mut refused = 0;
    let project = json!({ "name": "cut" }).to_string();
    refused += until_done(&cutter, &[201, 409], || {
        let post = Request::new("POST", "/api/v1/projects").header("Content-Type", "application/json");
        target.send(&post.body(Body::Bytes(project.as_bytes())))
    })?;
    let images: Vec<Image> = (0..IMAGES).map(|n| Image::new(n, 3_000)).collect();
    for (n, image) in images.iter().enumerate() {
        for bytes in [&image.config, &image.layer] {
            refused += until_done(&cutter, &[201], || push(&target, "cut/app", bytes))?;
        }
        // A tag of its own, and one that moves.
        for tag in [format!("t{n}"), "moving".to_owned()] {
            refused += until_done(&cutter, &[201], || put_manifest(&target, &tag, image))?;
        }
    }
    // One that goes again; a retry after an unknown outcome may find it gone.
    let gone = Request::new("DELETE", format!("/v2/cut/app/manifests/{}", images[0].digest()));
    refused += until_done(&cutter, &[202, 404], || target.send(&gone))?;
    cutter.cut_next(0);
    for (n, image) in images.iter().enumerate().skip(1) {
        let got = target.fetch(format!("/v2/cut/app/manifests/t{n}"))?;
        assert!(got.body == image.manifest, "t{n}: {}", got.status);
        for bytes in [&image.config, &image.layer] {
            is_there(&target, "cut/app", bytes)?;
        }
        assert!(got.header("docker-content-digest") == Some(&sha256(&image.manifest)));
    }
    let counted = cluster.stores.postgres.sql(
        "bonded",
        "SELECT (SELECT count(*) FROM tag) || ' ' || tag_count || ' ' || (SELECT count(*) FROM manifest) || ' ' || \
         manifest_count || ' ' || (SELECT count(*) FROM project WHERE name = 'cut') || ' ' || \
         (SELECT count(*) FROM audit WHERE action = 'manifest.put') FROM repository WHERE full_name = 'cut/app'",
    )?;
    tools::figure(&format!(
        "{cut:?}: {} commits cut, {refused} answers to retry; tags, counter, manifests, counter, projects, audited pushes: {}",
        cutter.cuts(),
        counted.trim()
    ));
    assert!(cutter.cuts() as u64 > 4 * IMAGES, "too few commits were cut: {}", cutter.cuts());
    // Tags: one each and the moving one, less that of the deleted manifest. Pushes: two for each image.
    let (left, pushes) = (IMAGES - 1, 2 * IMAGES);
    let expected = format!("{} {} {left} {left} 1 {pushes}", left + 1, left + 1);
    assert_eq!(counted.trim(), expected);
    Ok(())
}

#[test]
fn a_connection_cut_before_commit_loses_and_doubles_nothing() -> Outcome {
    every_commit_cut(Cut::BeforeCommit)
}

#[test]
fn a_connection_cut_after_commit_loses_and_doubles_nothing() -> Outcome {
    every_commit_cut(Cut::AfterCommit)
}

#[test]
fn a_connection_cut_within_the_answers_loses_and_doubles_nothing() -> Outcome {
    every_commit_cut(Cut::WithinAnswers)
}
