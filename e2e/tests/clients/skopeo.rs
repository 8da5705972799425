//! skopeo: copies in both directions, lists, inspects, deletes.

use e2e::require;

use crate::{Desk, Outcome, text};

#[test]
fn skopeo_logs_in_pushes_pulls_lists_and_deletes() -> Outcome {
    require!("skopeo");
    let desk = Desk::new()?;
    let host = desk.host();
    let (dir, digest) = desk.layout(1)?;
    let source = format!("oci:{}:v1", text(&dir));
    let image = format!("docker://{host}/skopeo/app:v1");

    let (refused, said) = desk.attempt("skopeo", &["copy", "--dest-tls-verify=false", &source, &image])?;
    assert!(!refused, "a push without login: {said}");
    let (wrong, said) =
        desk.attempt("skopeo", &["login", "--tls-verify=false", "-u", "admin", "-p", "wrong", &host])?;
    assert!(!wrong, "a login with a wrong password: {said}");
    desk.run("skopeo", &["login", "--tls-verify=false", "-u", desk.user(), "-p", desk.password(), &host])?;
    desk.run("skopeo", &["copy", "--dest-tls-verify=false", &source, &image])?;
    assert_eq!(desk.stored("skopeo/app", "v1")?, Some(digest.clone()));

    let back = desk.path("back");
    desk.run("skopeo", &["copy", "--src-tls-verify=false", &image, &format!("oci:{}:v1", text(&back))])?;
    assert!(back.join("blobs/sha256").join(digest.trim_start_matches("sha256:")).is_file());
    let inspected = desk.run("skopeo", &["inspect", "--tls-verify=false", &image])?;
    assert!(inspected.contains(&digest), "{inspected}");
    let tags =
        desk.run("skopeo", &["list-tags", "--tls-verify=false", &format!("docker://{host}/skopeo/app")])?;
    assert!(tags.contains("\"v1\""), "{tags}");

    let schema2 = format!("docker://{host}/skopeo/docker:v2");
    desk.run("skopeo", &["copy", "--format", "v2s2", "--dest-tls-verify=false", &source, &schema2])?;
    desk.run("skopeo", &["inspect", "--raw", "--tls-verify=false", &schema2])?;

    desk.run("skopeo", &["delete", "--tls-verify=false", &image])?;
    assert_eq!(desk.stored("skopeo/app", "v1")?, None);
    Ok(())
}
