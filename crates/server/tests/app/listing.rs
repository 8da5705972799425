//! Repositories and artifacts as both APIs list them.

use http::StatusCode;
use policy::{Role, Visibility};
use serde_json::{Value, json};

use crate::test_app::{MANIFEST, TestApp};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const NESTED: &str = "/api/v2.0/projects/acme/repositories/deep%252Fapp";

/// The project `acme` with an index of two platforms, a signed image and one without a tag; `dev` reads, `out` does not.
struct Shop {
    app: TestApp,
    image: String,
    index: String,
    signature: String,
    referrer: String,
}

async fn put(app: &TestApp, repo: &str, reference: &str, media_type: &str, document: &Value) -> String {
    let path = format!("/v2/{repo}/manifests/{reference}");
    let ask = app.ask("PUT", &path).by("admin").bytes(media_type, document.to_string().into_bytes());
    ask.send().await.expect(StatusCode::CREATED).header("docker-content-digest")
}

async fn platform(app: &TestApp, repo: &str, reference: &str, architecture: &str) -> (String, usize) {
    let config = json!({
        "architecture": architecture, "os": "linux", "created": "2026-01-02T03:04:05Z", "author": "eve",
        "config": { "Cmd": ["/bin/app"] },
        "history": [{ "created": "2026-01-02T03:04:05Z", "created_by": "COPY app /bin/app" }],
    });
    let config = config.to_string().into_bytes();
    let document = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": app.push_blob("admin", repo, &config).await, "size": config.len() },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": app.push_blob("admin", repo, b"layer").await, "size": 5 }],
        "annotations": { "org.opencontainers.image.title": "app" },
    });
    (put(app, repo, reference, MANIFEST, &document).await, document.to_string().len())
}

async fn about(
    app: &TestApp,
    repo: &str,
    reference: &str,
    artifact_type: &str,
    subject: Option<&str>,
) -> String {
    let empty = app.push_blob("admin", repo, b"{}").await;
    let mut document = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": artifact_type,
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2 },
        "layers": [{ "mediaType": "text/plain", "digest": empty, "size": 2 }],
    });
    if let Some(subject) = subject {
        document["subject"] = json!({ "mediaType": MANIFEST, "digest": subject, "size": 1 });
    }
    let digest = oci::Digest::sha256(document.to_string().as_bytes()).to_string();
    let reference = if reference.is_empty() { &digest } else { reference };
    put(app, repo, reference, MANIFEST, &document).await
}

async fn shop() -> Shop {
    let app = TestApp::new().await;
    app.project("acme", Visibility::Private).await;
    for name in ["dev", "out"] {
        app.user(name).await;
    }
    app.member("acme", "dev", Role::Developer).await;
    let repo = "acme/deep/app";
    let (amd, amd_size) = platform(&app, repo, "amd", "amd64").await;
    let (arm, arm_size) = platform(&app, repo, "arm", "arm64").await;
    for tag in ["amd", "arm"] {
        let path = format!("/v2/{repo}/manifests/{tag}");
        app.ask("DELETE", &path).by("admin").send().await.expect(StatusCode::ACCEPTED);
    }
    let child = |digest: &str, size: usize, architecture: &str| {
        json!({ "mediaType": MANIFEST, "digest": digest, "size": size,
            "platform": { "os": "linux", "architecture": architecture } })
    };
    let document = json!({ "schemaVersion": 2, "mediaType": INDEX,
        "manifests": [child(&amd, amd_size, "amd64"), child(&arm, arm_size, "arm64")] });
    app.clock.advance(std::time::Duration::from_secs(1));
    let index = put(&app, repo, "multi", INDEX, &document).await;
    app.clock.advance(std::time::Duration::from_secs(1));
    let (image, _) = platform(&app, repo, "v1", "riscv64").await;
    let signature = about(&app, repo, &format!("{}.sig", image.replace(':', "-")), "x/sig", None).await;
    let referrer = about(&app, repo, "", "application/spdx+json", Some(&image)).await;
    app.registry.access().refresh(0).await.expect("access facts");
    Shop { app, image, index, signature, referrer }
}

fn digests(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|it| it["digest"].as_str().expect("a digest")).collect()
}

#[tokio::test]
async fn harbor_lists_what_stands_for_itself_newest_first_with_what_hangs_on_it() {
    let Shop { app, image, index, signature, referrer } = shop().await;
    let path = format!("{NESTED}/artifacts?with_accessory=true&with_tag=true&with_signature=true");
    let listed = app.ask("GET", &path).by("dev").send().await.expect(StatusCode::OK);
    assert_eq!(listed.header("x-total-count"), "2");
    let listed = listed.json();
    assert_eq!(digests(&listed), [&*image, &*index]);
    let (first, second) = (&listed[0], &listed[1]);
    assert_eq!((&first["type"], &first["tags"][0]["name"]), (&json!("IMAGE"), &json!("v1")));
    assert_eq!(first["extra_attrs"]["architecture"], "riscv64");
    assert_eq!(first["extra_attrs"]["config"], json!({ "Cmd": ["/bin/app"] }));
    assert_eq!(first["media_type"], "application/vnd.oci.image.config.v1+json");
    assert_eq!(first["manifest_media_type"], MANIFEST);
    let hanging: Vec<_> = digests(&first["accessories"]);
    assert_eq!(hanging, [&*referrer, &*signature]);
    assert_eq!(first["accessories"][1]["type"], "signature.cosign");
    assert_eq!(second["references"][1]["platform"]["architecture"], "arm64");
    assert_eq!((&second["type"], &second["accessories"]), (&json!("IMAGE"), &json!([])));
    let history = app.get(&format!("{NESTED}/artifacts/v1/additions/build_history")).await.json();
    assert_eq!(history[0]["created_by"], "COPY app /bin/app");
    let none = app.get(&format!("{NESTED}/artifacts/multi/additions/build_history")).await;
    assert!(none.expect(StatusCode::BAD_REQUEST).text().contains("isn't supported for IMAGE"));
    let single = app.get("/api/v2.0/projects/acme/repositories/deep%2Fapp/artifacts/v1").await;
    assert_eq!(single.expect(StatusCode::OK).json()["digest"], image.as_str());
    let accessories = app.get(&format!("{NESTED}/artifacts/{image}/accessories")).await;
    assert_eq!(accessories.header("x-total-count"), "2");
    app.idle().await;
}

#[tokio::test]
async fn artifacts_are_paged_by_number_by_link_and_past_the_end() {
    let Shop { app, image, index, .. } = shop().await;
    let first = app.get(&format!("{NESTED}/artifacts?page=1&page_size=1")).await.expect(StatusCode::OK);
    assert_eq!(digests(&first.json()), [&*image]);
    let link = first.header("link");
    let next = link.split(['<', '>']).nth(1).expect("a link").to_owned();
    assert!(link.contains("rel=\"next\"") && next.contains("deep%252Fapp"), "{link}");
    // What is pushed meanwhile does not move the page that the link names.
    app.clock.advance(std::time::Duration::from_secs(1));
    app.push_image("admin", "acme/deep/app", "v2", b"more").await;
    assert_eq!(digests(&app.get(&next).await.json()), [&*index]);
    let numbered = app.get(&format!("{NESTED}/artifacts?page=2&page_size=1")).await;
    assert_eq!(digests(&numbered.json()), [&*image]);
    let past = app.get(&format!("{NESTED}/artifacts?page=9&page_size=10")).await.expect(StatusCode::OK);
    assert_eq!((past.json(), past.header("x-total-count")), (json!([]), "3".to_owned()));
    app.get(&format!("{NESTED}/artifacts?page=200&page_size=100")).await.expect(StatusCode::BAD_REQUEST);
    app.idle().await;
}

#[tokio::test]
async fn artifacts_are_found_by_tag_digest_and_type() {
    let Shop { app, image, index, signature, .. } = shop().await;
    let found = async |query: &str| {
        let answer = app.get(&format!("{NESTED}/artifacts?q={query}")).await.expect(StatusCode::OK);
        let list = answer.json();
        digests(&list).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(found("tags=v1").await, std::slice::from_ref(&image));
    assert_eq!(found("tags=~ult").await, std::slice::from_ref(&index));
    assert_eq!(found("tags=nope").await, [""; 0]);
    assert_eq!(found(&format!("digest={signature}")).await, [signature]);
    assert_eq!(found("type=CHART").await, [""; 0]);
    assert_eq!(found("tags=*").await, [image.clone(), index]);
    let untagged = format!("{NESTED}/artifacts/{image}/tags/v1");
    app.ask("DELETE", &untagged).by("admin").send().await.expect(StatusCode::OK);
    assert_eq!(found("tags=nil").await, [image]);
    app.idle().await;
}

#[tokio::test]
async fn a_tag_is_added_once_and_an_artifact_goes_with_all_its_tags() {
    let Shop { app, image, .. } = shop().await;
    let tags = format!("{NESTED}/artifacts/v1/tags");
    let add = || app.ask("POST", &tags).by("dev").json(&json!({ "name": "stable" })).send();
    let made = add().await.expect(StatusCode::CREATED);
    assert_eq!(made.location(), format!("{NESTED}/artifacts/v1/tags/stable"));
    add().await.expect(StatusCode::CONFLICT);
    let listed = app.get(&tags).await.json();
    let names: Vec<_> = listed.as_array().expect("tags").iter().map(|tag| tag["name"].clone()).collect();
    assert_eq!(names, ["stable", "v1"]);
    let pulled = app.ask("GET", "/v2/acme/deep/app/manifests/stable").by("dev").send().await;
    assert_eq!(pulled.expect(StatusCode::OK).header("docker-content-digest"), image);
    let one = format!("{NESTED}/artifacts/stable");
    app.ask("DELETE", &one).by("dev").send().await.expect(StatusCode::FORBIDDEN);
    app.ask("DELETE", &one).by("admin").send().await.expect(StatusCode::OK);
    for tag in ["v1", "stable"] {
        let path = format!("/v2/acme/deep/app/manifests/{tag}");
        app.ask("GET", &path).by("dev").send().await.expect(StatusCode::NOT_FOUND);
    }
    app.idle().await;
}

#[tokio::test]
async fn repositories_are_listed_searched_sorted_described_and_deleted() {
    let Shop { app, .. } = shop().await;
    for name in ["acme/a", "acme/b", "acme/a_b"] {
        app.clock.advance(std::time::Duration::from_secs(1));
        app.push_image("admin", name, "v1", b"layer").await;
    }
    app.registry.access().refresh(0).await.expect("access facts");
    let names = async |query: &str| {
        let path = format!("/api/v2.0/projects/acme/repositories?{query}");
        let answer = app.ask("GET", &path).by("dev").send().await.expect(StatusCode::OK);
        let list = answer.json();
        let list = list.as_array().expect("a list").iter();
        let names: Vec<_> = list.map(|it| it["name"].as_str().expect("a name").to_owned()).collect();
        (names.join(" "), answer.header("x-total-count"))
    };
    let counted = |names: &str, total: usize| (names.to_owned(), total.to_string());
    assert_eq!(names("").await, counted("acme/a acme/a_b acme/b acme/deep/app", 4));
    assert_eq!(names("page=2&page_size=3").await, counted("acme/deep/app", 4));
    assert_eq!(names("q=name=~a_b").await, counted("acme/a_b", 1));
    assert_eq!(names("q=name=acme/b").await, counted("acme/b", 1));
    assert_eq!(names("sort=-update_time&page_size=2").await, counted("acme/a_b acme/b", 4));
    assert_eq!(names("sort=-name&page_size=1").await, counted("acme/deep/app", 4));
    let blob = oci::Digest::sha256(b"layer");
    assert_eq!(names(&format!("q=blob_digest={blob}&page_size=1")).await, counted("acme/a", 4));
    let text = json!({ "description": "what it is" });
    app.ask("PUT", NESTED).by("dev").json(&text).send().await.expect(StatusCode::OK);
    assert_eq!(app.get(NESTED).await.json()["description"], "what it is");
    let native = "/api/v1/projects/acme/repositories/deep%2Fapp";
    assert_eq!(app.get(native).await.json()["description"], "what it is");
    app.ask("DELETE", NESTED).by("admin").send().await.expect(StatusCode::OK);
    app.get(NESTED).await.expect(StatusCode::NOT_FOUND);
    app.idle().await;
}

#[tokio::test]
async fn what_a_caller_may_not_see_is_in_no_list_and_no_total() {
    let Shop { app, image, .. } = shop().await;
    for (path, hidden) in [
        ("/api/v2.0/projects/{}/repositories", "acme"),
        ("/api/v2.0/projects/{}/repositories/deep%252Fapp", "acme"),
        ("/api/v2.0/projects/{}/repositories/deep%252Fapp/artifacts", "acme"),
        ("/api/v1/projects/{}/repositories", "acme"),
        ("/api/v1/projects/{}/repositories/deep%2Fapp/artifacts/v1", "acme"),
    ] {
        let known = app.ask("GET", &path.replace("{}", hidden)).by("out").send().await;
        let absent = app.ask("GET", &path.replace("{}", "absent")).by("out").send().await;
        assert_eq!((known.status, known.text()), (StatusCode::NOT_FOUND, absent.text()), "{path}");
    }
    let all = app.ask("GET", "/api/v2.0/repositories").by("out").send().await.expect(StatusCode::OK);
    assert_eq!((all.json(), all.header("x-total-count")), (json!([]), "0".to_owned()));
    // Who may pull only some tags sees only their artifacts, and of their tags those.
    let member = json!({ "user": "out", "role": "guest", "conditions": { "tags": ["v*"] } });
    let given = app.ask("POST", "/api/v1/projects/acme/members").by("admin").json(&member).send().await;
    given.expect(StatusCode::CREATED);
    let add = app.ask("POST", &format!("{NESTED}/artifacts/v1/tags")).by("admin");
    add.json(&json!({ "name": "other" })).send().await.expect(StatusCode::CREATED);
    let listed = app.ask("GET", &format!("{NESTED}/artifacts")).by("out").send().await.expect(StatusCode::OK);
    assert_eq!((digests(&listed.json()), listed.header("x-total-count")), (vec![&*image], "1".to_owned()));
    assert_eq!(listed.json()[0]["tags"].as_array().expect("tags").len(), 1);
    let other = app.ask("GET", &format!("{NESTED}/artifacts/multi")).by("out").send().await;
    other.expect(StatusCode::NOT_FOUND);
    app.idle().await;
}

#[tokio::test]
async fn the_native_list_goes_on_by_its_cursor_and_shows_an_artifact_whole() {
    let Shop { app, image, index, signature, referrer } = shop().await;
    let path = "/api/v1/projects/acme/repositories/deep%2Fapp/artifacts";
    let mut seen = Vec::new();
    let mut next = format!("{path}?limit=2");
    while !next.is_empty() {
        let page = app.ask("GET", &next).by("dev").send().await.expect(StatusCode::OK);
        assert_eq!(page.header("x-total-count"), "6");
        seen.extend(digests(&page.json()).into_iter().map(str::to_owned));
        next = page.header("link").split(['<', '>']).nth(1).unwrap_or_default().to_owned();
    }
    assert_eq!(seen.len(), 6);
    assert!([&image, &index, &signature, &referrer].iter().all(|it| seen.contains(it)));
    let top = app.get(&format!("{path}?on_top=true&kind=image")).await.json();
    assert_eq!(digests(&top), [&*image]);
    assert_eq!(top[0]["platform"], json!({ "os": "linux", "architecture": "riscv64" }));
    let whole = app.get(&format!("{path}/{image}")).await.expect(StatusCode::OK).json();
    assert_eq!(whole["accessories"][0]["kind"], "sbom");
    assert_eq!(whole["accessories"][1]["kind"], "signature");
    assert_eq!(whole["config"]["author"], "eve");
    let listed = app.get(&format!("{path}/multi")).await.json();
    assert_eq!(listed["children"][0]["platform"]["architecture"], "amd64");
    app.get(&format!("{path}?after=nonsense")).await.expect(StatusCode::BAD_REQUEST);
    app.idle().await;
}
