//! Presigned redirects: by setting, only for who may pull, and as real clients follow them.

use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use e2e::cluster::{Cluster, Plan, Stores};
use e2e::http::{Connection, Request};
use e2e::image::Image;
use e2e::registry::sha256;
use e2e::{process, tools};

use crate::Outcome;

fn redirecting() -> anyhow::Result<Option<Cluster>> {
    let Some(stores) = Stores::start()? else { return Ok(None) };
    let plan = Plan::default().with("BONDED_STORAGE__S3__REDIRECT", "true");
    Cluster::on(stores, 2, &plan).map(Some)
}

#[test]
fn a_pull_is_sent_to_the_bucket_only_for_who_may_pull() -> Outcome {
    let Some(cluster) = redirecting()? else { return Ok(()) };
    let target = cluster.target();
    let image = Image::new(1, 300_000);
    image.push(&target, "far/app", "v1")?;
    let path = format!("/v2/far/app/blobs/{}", sha256(&image.layer));
    let answer = target.fetch(path.clone())?;
    assert_eq!((answer.status, answer.body_bytes), (307, 0), "{}", answer.text());
    assert_eq!(answer.header("docker-content-digest"), Some(sha256(&image.layer).as_str()));
    assert_eq!(answer.header("cache-control"), Some("no-store"), "an address that is a key is not kept");
    let location = answer.header("location").context("a Location")?.to_owned();
    let bucket = cluster.stores.s3.addr();
    let rest = location.strip_prefix(&format!("http://{bucket}")).with_context(|| location.clone())?;
    let object = rest.split('?').next().unwrap_or_default();
    assert!(!object.contains("far") && !object.contains("app"), "the address tells the name: {object}");
    // No credentials of ours go to the bucket: the address alone opens it.
    let got = Connection::new(bucket, None).send(&Request::new("GET", rest))?;
    assert!(got.status == 200 && got.body == image.layer, "{} {}", got.status, got.text());
    assert_eq!(got.header("content-type"), Some("application/octet-stream"));
    let part = Connection::new(bucket, None).send(&Request::new("GET", rest).header("Range", "bytes=5-9"))?;
    assert_eq!((part.status, part.body.as_slice()), (206, &image.layer[5..10]));
    // It opens this object, for reading, and nothing else.
    let delete = Connection::new(bucket, None).send(&Request::new("DELETE", rest))?;
    if cluster.stores.s3.kind() == "versitygw" {
        assert_eq!(delete.status, 403, "{}", delete.text());
        crate::is_there_at(bucket, rest, &image.layer)?;
    }
    // HEAD and manifests stay here; who may not pull gets no address.
    assert_eq!(target.send(&Request::new("HEAD", path.clone()))?.status, 200);
    assert_eq!(target.fetch("/v2/far/app/manifests/v1")?.status, 200);
    let refused = target.anonymous().fetch(path.clone())?;
    assert_eq!((refused.status, refused.header("location")), (401, None));
    let elsewhere = target.fetch(format!("/v2/other/app/blobs/{}", sha256(&image.layer)))?;
    assert_eq!((elsewhere.status, elsewhere.header("location")), (404, None));
    Ok(())
}

#[test]
fn without_the_setting_no_pull_leaves_the_registry() -> Outcome {
    let Some(stores) = Stores::start()? else { return Ok(()) };
    let cluster = Cluster::on(stores, 1, &Plan::default())?;
    let image = Image::new(1, 300_000);
    image.push(&cluster.target(), "near/app", "v1")?;
    crate::is_there(&cluster.target(), "near/app", &image.layer)
}

#[test]
fn crane_pulls_through_redirects() -> Outcome {
    e2e::require!("crane");
    let Some(cluster) = redirecting()? else { return Ok(()) };
    let image = Image::new(2, 1_000_000);
    image.push(&cluster.target(), "far/app", "v1")?;
    let home = cluster.servers[0].scratch().join("crane");
    std::fs::create_dir_all(&home)?;
    let (user, password) = cluster.target().credentials.unwrap_or_default();
    let host = cluster.target().addr.to_string();
    let crane = |arguments: &[&str]| {
        let mut command = Command::new(tools::find("crane").context("crane")?);
        command.args(arguments).env("HOME", &home).env("DOCKER_CONFIG", &home);
        process::succeed(&mut command, Duration::from_mins(2))
    };
    crane(&["auth", "login", &host, "-u", &user, "-p", &password])?;
    let layout = home.join("layout");
    crane(&[
        "pull",
        "--format=oci",
        "--insecure",
        &format!("{host}/far/app:v1"),
        &layout.display().to_string(),
    ])?;
    let name = sha256(&image.layer).replace(':', "/");
    assert!(std::fs::read(layout.join("blobs").join(name))? == image.layer);
    Ok(())
}
