//! crane and regctl: the registry tools that look closest.

use e2e::require;

use crate::{Desk, Outcome, text};

#[test]
fn crane_pushes_validates_lists_tags_and_deletes() -> Outcome {
    require!("crane");
    let desk = Desk::new()?;
    let host = desk.host();
    let (dir, digest) = desk.layout(11)?;
    let image = format!("{host}/crane/app:v1");
    desk.run("crane", &["auth", "login", &host, "-u", desk.user(), "-p", desk.password()])?;
    desk.run("crane", &["push", "--insecure", text(&dir), &image])?;
    assert_eq!(desk.run("crane", &["digest", "--insecure", &image])?.trim(), digest);
    // Fetches everything and checks every digest and size.
    desk.run("crane", &["validate", "--insecure", "--remote", &image])?;
    desk.run("crane", &["tag", "--insecure", &image, "v2"])?;
    let tags = desk.run("crane", &["ls", "--insecure", &format!("{host}/crane/app")])?;
    assert_eq!(tags.lines().collect::<Vec<_>>(), ["v1", "v2"]);
    let catalog = desk.run("crane", &["catalog", "--insecure", &host])?;
    assert!(catalog.lines().any(|line| line == "crane/app"), "{catalog}");
    desk.run("crane", &["pull", "--insecure", &image, text(&desk.path("image.tar"))])?;
    desk.run("crane", &["copy", "--insecure", &image, &format!("{host}/crane/copy:v1")])?;
    assert_eq!(desk.stored("crane/copy", "v1")?, Some(digest.clone()));
    desk.run("crane", &["delete", "--insecure", &format!("{host}/crane/app@{digest}")])?;
    assert_eq!(desk.stored("crane/app", "v2")?, None);
    Ok(())
}

#[test]
fn regctl_copies_indexes_attaches_and_lists_referrers() -> Outcome {
    require!("regctl");
    let desk = Desk::new()?;
    let host = desk.host();
    let (dir, digest) = desk.layout(12)?;
    let image = format!("{host}/regctl/app:v1");
    desk.run("regctl", &["registry", "set", &host, "--tls", "disabled", "--skip-check"])?;
    desk.run("regctl", &["registry", "login", &host, "-u", desk.user(), "-p", desk.password()])?;
    desk.run("regctl", &["image", "copy", &format!("ocidir://{}:v1", text(&dir)), &image])?;
    assert_eq!(desk.run("regctl", &["image", "digest", &image])?.trim(), digest);

    let index = format!("{host}/regctl/app:multi");
    let child = format!("{host}/regctl/app@{digest}");
    desk.run("regctl", &["index", "create", &index, "--ref", &child, "--platform", "linux/amd64"])?;
    let listed = desk.run("regctl", &["manifest", "get", &index, "--format", "raw-body"])?;
    assert!(listed.contains(&digest), "{listed}");

    let note = desk.path("note.txt");
    std::fs::write(&note, "checked")?;
    let put = ["artifact", "put", "--artifact-type", "application/vnd.example.note", "--subject", &image];
    desk.run("regctl", &[&put[..], &["--file", text(&note)]].concat())?;
    let referrers = desk.run("regctl", &["artifact", "list", &image])?;
    assert!(referrers.contains("application/vnd.example.note"), "{referrers}");

    let copy = format!("{host}/regctl/copy:v1");
    desk.run("regctl", &["image", "copy", "--referrers", &image, &copy])?;
    let referrers = desk.run("regctl", &["artifact", "list", &copy])?;
    assert!(referrers.contains("application/vnd.example.note"), "{referrers}");
    let tags = desk.run("regctl", &["tag", "ls", &format!("{host}/regctl/app")])?;
    assert!(tags.contains("multi") && tags.contains("v1"), "{tags}");
    desk.run("regctl", &["tag", "delete", &index])?;
    assert_eq!(desk.stored("regctl/app", "multi")?, None);
    assert!(desk.stored("regctl/app", "v1")?.is_some());
    Ok(())
}
