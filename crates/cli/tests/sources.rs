//! Every kind of source gives the same packages: OCI layout, archives of it, `docker save`, an exported root file
//! system, a directory, a registry; whiteouts count, several images or platforms are chosen from.

mod common;

use std::io::Write;
use std::path::{Path, PathBuf};

use common::{Answer, Asked, Web, bonded, code, text};
use oci::Digest;

/// Files of a tree as a tar archive.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, body) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(body.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *body).expect("append");
    }
    builder.into_inner().expect("tar")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("write");
    encoder.finish().expect("finish")
}

fn lock(name: &str) -> Vec<u8> {
    format!(
        r#"{{"name":"app","version":"1.0.0","lockfileVersion":3,"packages":{{"":{{"name":"app"}},
        "node_modules/{name}":{{"version":"1.3.0"}}}}}}"#
    )
    .into_bytes()
}

fn package(name: &str) -> Vec<u8> {
    format!(r#"{{"name":"{name}","version":"1.3.0"}}"#).into_bytes()
}

/// An image of two layers: the first brings `left-pad` and `gone`, the second deletes `gone` and brings `right-pad`.
struct Image {
    layers: [Vec<u8>; 2],
    config: Vec<u8>,
    manifest: Vec<u8>,
}

const LAYER: [&str; 2] =
    ["application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar+zstd"];

impl Image {
    fn new(architecture: &str) -> Self {
        let in_modules = |name: &str| format!("app/node_modules/{name}/package.json");
        let (left, gone, right) = (in_modules("left-pad"), in_modules("gone"), in_modules("right-pad"));
        let first = tar(&[(&left, &package("left-pad")), (&gone, &package("gone"))]);
        let second = tar(&[("app/node_modules/.wh.gone", b""), (&right, &package("right-pad"))]);
        let config = format!(
            r#"{{"architecture":"{architecture}","os":"linux","config":{{}},"created":"2024-01-02T03:04:05Z",
            "rootfs":{{"type":"layers","diff_ids":["{}","{}"]}}}}"#,
            Digest::sha256(&first),
            Digest::sha256(&second)
        )
        .into_bytes();
        let layers = [gzip(&first), zstd::encode_all(second.as_slice(), 3).expect("zstd")];
        let describe = |(blob, kind): (&Vec<u8>, &str)| {
            format!(r#"{{"mediaType":"{kind}","digest":"{}","size":{}}}"#, Digest::sha256(blob), blob.len())
        };
        let stated: Vec<String> = layers.iter().zip(LAYER).map(describe).collect();
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]}}"#,
            describe((&config, "application/vnd.oci.image.config.v1+json")),
            stated.join(",")
        );
        Self { layers, config, manifest: manifest.into_bytes() }
    }

    fn blobs(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.layers.iter().chain([&self.config, &self.manifest])
    }

    fn descriptor(&self, more: &str) -> String {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":{}{more}}}"#,
            Digest::sha256(&self.manifest),
            self.manifest.len()
        )
    }
}

fn index(descriptors: &[String]) -> Vec<u8> {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{}]}}"#,
        descriptors.join(",")
    )
    .into_bytes()
}

/// The files of an OCI layout.
fn layout(images: &[&Image], descriptors: &[String]) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ("index.json".to_owned(), index(descriptors)),
    ];
    for blob in images.iter().flat_map(|image| image.blobs()) {
        files.push((format!("blobs/sha256/{}", Digest::sha256(blob).hex()), blob.clone()));
    }
    files
}

fn write(root: &Path, files: &[(String, Vec<u8>)]) {
    for (name, body) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("directory");
        std::fs::write(path, body).expect("file");
    }
}

fn packed(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let named: Vec<(&str, &[u8])> = files.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
    tar(&named)
}

/// Exit code, and the names of the npm packages in the SBOM that was made.
fn names(source: &str, more: &[&str]) -> (String, Vec<String>) {
    let dir = tempfile::tempdir().expect("directory");
    let out = text(&dir.path().join("sbom"));
    let mut all = vec!["sbom", source, "-o", "cyclonedx-json", "--output", out.as_str()];
    all.extend_from_slice(more);
    let code = bonded(&all);
    let Ok(bytes) = std::fs::read(&out) else { return (code, Vec::new()) };
    let bom: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    let purls = bom["components"].as_array().into_iter().flatten().filter_map(|c| c["purl"].as_str());
    let mut names: Vec<String> = purls
        .filter_map(|purl| purl.strip_prefix("pkg:npm/")?.split('@').next().map(str::to_owned))
        .collect();
    names.sort();
    (code, names)
}

fn both() -> (String, Vec<String>) {
    (code(0), vec!["left-pad".into(), "right-pad".into()])
}

#[test]
fn layouts_and_archives_of_an_image_hold_the_same() {
    let dir = tempfile::tempdir().expect("directory");
    let image = Image::new("amd64");
    let files = layout(&[&image], &[image.descriptor("")]);
    let place = |name: &str| -> PathBuf { dir.path().join(name) };
    write(&place("layout"), &files);
    std::fs::write(place("layout.tar"), packed(&files)).expect("file");
    std::fs::write(place("layout.tar.gz"), gzip(&packed(&files))).expect("file");
    for source in ["layout", "layout.tar", "layout.tar.gz"] {
        assert_eq!(names(&text(&place(source)), &[]), both(), "{source}");
        assert_eq!(names(&format!("oci:{}", text(&place(source))), &[]), both(), "{source}");
    }
}

#[test]
fn an_archive_of_docker_save_and_an_exported_root_are_read() {
    let dir = tempfile::tempdir().expect("directory");
    let image = Image::new("amd64");
    let saved = r#"[{"Config":"config.json","RepoTags":["example.org/app:1"],"Layers":["a/layer.tar","b/layer.tar"]}]"#;
    let files = [
        ("manifest.json".to_owned(), saved.as_bytes().to_vec()),
        ("config.json".to_owned(), image.config.clone()),
        ("a/layer.tar".to_owned(), image.layers[0].clone()),
        ("b/layer.tar".to_owned(), image.layers[1].clone()),
    ];
    let archive = dir.path().join("saved.tar");
    std::fs::write(&archive, packed(&files)).expect("file");
    assert_eq!(names(&text(&archive), &[]), both());
    assert_eq!(names(&text(&archive), &["--image", "example.org/app:1"]), both());
    assert_eq!(names(&text(&archive), &["--image", "example.org/app:2"]).0, code(2), "no such image");

    let root = dir.path().join("root.tar");
    let modules = "usr/lib/node_modules/left-pad/package.json";
    std::fs::write(&root, tar(&[(modules, &package("left-pad")), ("etc/passwd", b"")])).expect("file");
    assert_eq!(names(&text(&root), &[]), (code(0), vec!["left-pad".to_owned()]));
}

#[test]
fn a_directory_is_a_source_tree_and_a_lock_file_counts() {
    let dir = tempfile::tempdir().expect("directory");
    let tree = dir.path().join("tree");
    write(&tree, &[("package-lock.json".to_owned(), lock("left-pad"))]);
    write(&tree, &[(".git/package-lock.json".to_owned(), lock("history"))]);
    assert_eq!(names(&text(&tree), &[]), (code(0), vec!["left-pad".to_owned()]));
    assert_eq!(names(&text(&dir.path().join("nothing")), &[]).0, code(2));
}

#[test]
fn of_several_images_and_platforms_one_is_chosen() {
    let dir = tempfile::tempdir().expect("directory");
    let (amd, arm) = (Image::new("amd64"), Image::new("arm64"));
    let platform = |a: &str| format!(r#","platform":{{"os":"linux","architecture":"{a}"}}"#);
    let multi =
        layout(&[&amd, &arm], &[amd.descriptor(&platform("amd64")), arm.descriptor(&platform("arm64"))]);
    let place = dir.path().join("multi");
    write(&place, &multi);
    for chosen in ["linux/amd64", "linux/arm64"] {
        assert_eq!(names(&text(&place), &["--platform", chosen]), both(), "{chosen}");
    }
    assert_eq!(names(&text(&place), &["--platform", "linux/s390x"]).0, code(2));

    let called = |name: &str| format!(r#","annotations":{{"org.opencontainers.image.ref.name":"{name}"}}"#);
    let several = layout(&[&amd, &arm], &[amd.descriptor(&called("one")), arm.descriptor(&called("two"))]);
    let place = dir.path().join("several");
    write(&place, &several);
    assert_eq!(names(&text(&place), &[]).0, code(2), "which of the two is not said");
    assert_eq!(names(&text(&place), &["--image", "two"]), both());
}

#[test]
fn a_layer_that_is_not_what_its_image_says_is_refused() {
    let dir = tempfile::tempdir().expect("directory");
    let image = Image::new("amd64");
    let mut files = layout(&[&image], &[image.descriptor("")]);
    let layer = format!("blobs/sha256/{}", Digest::sha256(&image.layers[0]).hex());
    for (name, body) in &mut files {
        if *name == layer {
            *body = gzip(&tar(&[("app/node_modules/x/package.json", &package("x"))]));
        }
    }
    write(&dir.path().join("wrong"), &files);
    assert_eq!(names(&text(&dir.path().join("wrong")), &[]), (code(2), Vec::new()));
}

/// A registry that wants a token, which it gives to `robot` alone.
fn registry(image: Image) -> Web {
    const ROBOT: &str = "Basic cm9ib3Q6c2VjcmV0";
    let index = index(&[image.descriptor(r#","platform":{"os":"linux","architecture":"amd64"}"#)]);
    Web::start(move |asked: &Asked| -> Answer {
        let authorization = asked.headers.get("authorization").map(String::as_str);
        if asked.path.starts_with("/token?") {
            let granted =
                authorization == Some(ROBOT) && asked.path.contains("scope=repository%3Ateam%2Fapp%3Apull");
            let body = br#"{"token":"t0"}"#.to_vec();
            return if granted { (200, Vec::new(), body) } else { (401, Vec::new(), Vec::new()) };
        }
        if authorization != Some("Bearer t0") {
            let host = asked.headers.get("host").map_or("", String::as_str);
            let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"test\"");
            return (401, vec![("www-authenticate".into(), challenge)], Vec::new());
        }
        let json = |kind: &str| vec![("content-type".to_owned(), kind.to_owned())];
        match asked.path.strip_prefix("/v2/team/app/") {
            Some("manifests/1") => (200, json("application/vnd.oci.image.index.v1+json"), index.clone()),
            Some(path) if path == format!("manifests/{}", Digest::sha256(&image.manifest)) => {
                (200, json("application/vnd.oci.image.manifest.v1+json"), image.manifest.clone())
            }
            Some(path) => {
                let blob = image.blobs().find(|blob| path == format!("blobs/{}", Digest::sha256(blob)));
                blob.map_or((404, Vec::new(), Vec::new()), |blob| (200, Vec::new(), blob.clone()))
            }
            None => (404, Vec::new(), Vec::new()),
        }
    })
}

#[test]
fn an_image_of_a_registry_is_fetched_with_a_token() {
    let dir = tempfile::tempdir().expect("directory");
    let web = registry(Image::new("amd64"));
    let auth = dir.path().join("auth.json");
    let login = format!(r#"{{"auths":{{"{}":{{"auth":"cm9ib3Q6c2VjcmV0"}}}}}}"#, web.address);
    std::fs::write(&auth, login).expect("file");
    let image = format!("{}/team/app:1", web.address);
    assert_eq!(names(&image, &["--auth-file", &text(&auth)]), both());
    let layers = web.asked().iter().filter(|path| path.contains("/blobs/")).count();
    assert_eq!(layers, 3, "each blob once: {:?}", web.asked());
    assert_eq!(
        web.asked().iter().filter(|path| path.starts_with("/token")).count(),
        1,
        "one token serves all"
    );

    let nobody = dir.path().join("nobody.json");
    std::fs::write(&nobody, "{}").expect("file");
    assert_eq!(names(&image, &["--auth-file", &text(&nobody)]).0, code(2));
    let missing = format!("registry:{}/team/app:2", web.address);
    assert_eq!(names(&missing, &["--auth-file", &text(&auth)]).0, code(2));
    assert_eq!(names("registry:UPPER/case", &[]).0, code(2));
}
