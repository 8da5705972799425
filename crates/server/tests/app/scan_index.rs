//! The bill of materials of an index: what all of its images contain.

use http::StatusCode;
use oci::Digest;
use policy::Visibility;
use serde_json::{Value, json};

use crate::scan::{layer, left_pad, push, put};
use crate::test_app::{MANIFEST, TestApp};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn names(bill: &Value) -> Vec<&str> {
    let packages = bill["packages"].as_array().expect("packages").iter();
    let mut names: Vec<&str> = packages.filter_map(|it| it["name"].as_str()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn an_index_has_a_bill_of_what_its_images_contain_once_all_are_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = TestApp::with(|config| {
        config.scan.on_push = true;
        config.server.data_dir = dir.path().join("data");
    })
    .await;
    app.project("team", Visibility::Private).await;
    let other = json!({ "name": "right-pad", "version": "1.0.0" }).to_string();
    let images = [left_pad("1.2.0"), layer(&[("app/node_modules/right-pad/package.json", &other)])];
    let mut children = Vec::new();
    for (image, architecture) in images.into_iter().zip(["amd64", "arm64"]) {
        let digest = push(&app, "team/app", architecture, &[image]).await;
        let size = app.get(&format!("/v2/team/app/manifests/{digest}")).await.header("content-length");
        children.push(
            json!({ "mediaType": MANIFEST, "digest": digest, "size": size.parse::<u64>().expect("a size"),
            "platform": { "os": "linux", "architecture": architecture } }),
        );
    }
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": children });
    let digest: Digest = put(&app, "team/app", "v1", INDEX, &index).await;
    let path = format!("/api/v1/projects/team/repositories/app/artifacts/{digest}/sbom");
    app.get(&path).await.expect(StatusCode::NOT_FOUND);
    app.idle().await;

    let referrers = format!("/v2/team/app/referrers/{digest}");
    let attached = app.get(&referrers).await.expect(StatusCode::OK).json()["manifests"].clone();
    assert_eq!(attached.as_array().map(Vec::len), Some(1), "one document, however many images: {attached}");
    assert_eq!(attached[0]["artifactType"], "application/spdx+json");
    let place = format!("/v2/team/app/manifests/{}", attached[0]["digest"].as_str().expect("a digest"));
    let manifest = app.get(&place).await.json();
    let blob = manifest["layers"][0]["digest"].as_str().expect("a digest").to_owned();
    let bill = app.get(&format!("/v2/team/app/blobs/{blob}")).await.expect(StatusCode::OK).json();
    assert_eq!(names(&bill), ["left-pad", "right-pad", "team/app"]);
    let made = app.get(&path).await.expect(StatusCode::OK).json();
    assert_eq!(names(&made), names(&bill));
}

#[tokio::test]
async fn a_part_of_an_index_does_not_pass_for_all_of_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = TestApp::with(|config| {
        config.scan.on_push = true;
        config.server.data_dir = dir.path().join("data");
    })
    .await;
    app.project("team", Visibility::Private).await;
    let image = push(&app, "team/app", "amd64", &[left_pad("1.2.0")]).await;
    let child = |kind: &str, digest: &Digest| json!({ "mediaType": kind, "digest": digest, "size": 1 });
    let index = |children: &[Value]| json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": children });
    let absent = child(MANIFEST, &Digest::sha256(b"absent"));
    let sparse = index(&[child(MANIFEST, &image), absent.clone()]);
    let sparse = put(&app, "team/app", "sparse", INDEX, &sparse).await;
    // What a builder attests may be left behind.
    let mut attestation = absent;
    attestation["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest" });
    let inner = index(&[child(MANIFEST, &image), attestation]);
    let inner = put(&app, "team/app", "inner", INDEX, &inner).await;
    let outer = put(&app, "team/app", "outer", INDEX, &index(&[child(INDEX, &inner)])).await;
    app.idle().await;
    let attached = async |digest: &Digest| crate::scan::referrers(&app, "team/app", digest).await.len();
    assert_eq!((attached(&sparse).await, attached(&inner).await, attached(&outer).await), (0, 1, 1));
}
