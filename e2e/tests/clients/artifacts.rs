//! oras and helm: artifacts that are no images.

use e2e::image::noise;
use e2e::require;

use crate::{Desk, Outcome};

#[test]
fn oras_pushes_attaches_discovers_pulls_and_deletes() -> Outcome {
    require!("oras");
    let desk = Desk::new()?;
    let host = desk.host();
    let file = noise(21, 200_000);
    std::fs::write(desk.path("data.bin"), &file)?;
    std::fs::write(desk.path("sbom.json"), "{}")?;
    let artifact = format!("{host}/oras/thing:v1");
    desk.run("oras", &["login", "--plain-http", "-u", desk.user(), "-p", desk.password(), &host])?;
    let push = ["push", "--plain-http", &artifact, "--artifact-type", "application/vnd.example.thing"];
    desk.run("oras", &[&push[..], &["data.bin:application/vnd.example.data"]].concat())?;
    let attach = ["attach", "--plain-http", &artifact, "--artifact-type", "application/spdx+json"];
    desk.run("oras", &[&attach[..], &["sbom.json:application/spdx+json"]].concat())?;
    let found = desk.run("oras", &["discover", "--plain-http", &artifact])?;
    assert!(found.contains("application/spdx+json"), "{found}");
    desk.run("oras", &["pull", "--plain-http", &artifact, "-o", "pulled"])?;
    assert!(std::fs::read(desk.path("pulled/data.bin"))? == file);
    desk.run("oras", &["tag", "--plain-http", &artifact, "v2"])?;
    let tags = desk.run("oras", &["repo", "tags", "--plain-http", &format!("{host}/oras/thing")])?;
    assert_eq!(tags.lines().collect::<Vec<_>>(), ["v1", "v2"]);
    desk.run("oras", &["manifest", "delete", "--plain-http", "--force", &artifact])?;
    assert_eq!(desk.stored("oras/thing", "v2")?, None);
    Ok(())
}

#[test]
fn helm_pushes_shows_and_pulls_a_chart() -> Outcome {
    require!("helm");
    let desk = Desk::new()?;
    let host = desk.host();
    desk.run("helm", &["create", "demo"])?;
    desk.run("helm", &["package", "demo"])?;
    let login = ["registry", "login", &host, "--plain-http", "-u", desk.user(), "-p", desk.password()];
    desk.run("helm", &login)?;
    desk.run("helm", &["push", "demo-0.1.0.tgz", &format!("oci://{host}/charts"), "--plain-http"])?;
    let chart = format!("oci://{host}/charts/demo");
    let shown = desk.run("helm", &["show", "chart", &chart, "--version", "0.1.0", "--plain-http"])?;
    assert!(shown.contains("name: demo"), "{shown}");
    let into = desk.path("pulled");
    std::fs::create_dir(&into)?;
    let pull = ["pull", &chart, "--version", "0.1.0", "--plain-http", "-d", crate::text(&into)];
    desk.run("helm", &pull)?;
    assert!(std::fs::read(into.join("demo-0.1.0.tgz"))? == std::fs::read(desk.path("demo-0.1.0.tgz"))?);
    Ok(())
}
