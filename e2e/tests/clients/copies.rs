//! Multi-architecture images, copies between two servers, pushes over a bad line.

use std::process::Stdio;

use e2e::bonded::Server;
use e2e::image::{self, Image};
use e2e::peer::Peer;
use e2e::proxy::CuttingProxy;
use e2e::registry::OCI_INDEX;
use e2e::{require, tools};

use crate::{Desk, Outcome, digest_at, text};

/// An index over two images, pushed to the desk's server; its digest.
fn push_index(desk: &Desk, repo: &str) -> anyhow::Result<String> {
    let (one, two) = (Image::new(31, 50_000), Image::new(32, 50_000));
    for image in [&one, &two] {
        image.push(desk.server.target(), repo, &image.digest().replace(':', "-")[..20])?;
    }
    let index = image::index(&[&one.manifest, &two.manifest]);
    desk.server.target().push_manifest(repo, "multi", OCI_INDEX, &index)
}

#[test]
fn a_multi_arch_image_is_copied_whole_between_two_servers() -> Outcome {
    require!("skopeo", "crane", "regctl", "oras");
    let desk = Desk::new()?;
    let other = Server::start()?;
    let digest = push_index(&desk, "multi/app")?;
    let (from, to) = (format!("{}/multi/app:multi", desk.host()), other.host());
    let password = other.target().credentials.clone().map(|(_, p)| p).unwrap_or_default();
    for (host, password) in [(desk.host(), desk.password().to_owned()), (to.clone(), password)] {
        desk.run("skopeo", &["login", "--tls-verify=false", "-u", "admin", "-p", &password, &host])?;
        desk.run("crane", &["auth", "login", &host, "-u", "admin", "-p", &password])?;
        desk.run("regctl", &["registry", "set", &host, "--tls", "disabled", "--skip-check"])?;
        desk.run("regctl", &["registry", "login", &host, "-u", "admin", "-p", &password])?;
        desk.run("oras", &["login", "--plain-http", "-u", "admin", "-p", &password, &host])?;
    }
    let (source, sink) = (format!("docker://{from}"), format!("docker://{to}/multi/skopeo:multi"));
    let skopeo = ["copy", "--all", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false"];
    desk.run("skopeo", &[&skopeo[..], &[&source, &sink]].concat())?;
    desk.run("crane", &["copy", "--insecure", &from, &format!("{to}/multi/crane:multi")])?;
    desk.run("regctl", &["image", "copy", &from, &format!("{to}/multi/regctl:multi")])?;
    let oras = ["cp", "--from-plain-http", "--to-plain-http", "-r", &from];
    desk.run("oras", &[&oras[..], &[&format!("{to}/multi/oras:multi")]].concat())?;
    for tool in ["skopeo", "crane", "regctl", "oras"] {
        let stored = digest_at(other.target(), &format!("multi/{tool}"), "multi")?;
        assert_eq!(stored.as_ref(), Some(&digest), "{tool}");
    }
    Ok(())
}

#[test]
fn images_go_to_another_kind_of_registry_and_back_unchanged() -> Outcome {
    require!("crane");
    let Some(peer) = Peer::start()? else {
        tools::skipped("registry: not installed");
        return Ok(());
    };
    let desk = Desk::new()?;
    let digest = push_index(&desk, "peer/app")?;
    desk.run("crane", &["auth", "login", &desk.host(), "-u", desk.user(), "-p", desk.password()])?;
    let (ours, theirs) =
        (format!("{}/peer/app:multi", desk.host()), format!("{}/peer/app:multi", peer.host()));
    desk.run("crane", &["copy", "--insecure", &ours, &theirs])?;
    assert_eq!(digest_at(peer.target(), "peer/app", "multi")?, Some(digest.clone()));
    desk.run("crane", &["copy", "--insecure", &theirs, &format!("{}/peer/back:multi", desk.host())])?;
    assert_eq!(desk.stored("peer/back", "multi")?, Some(digest));
    Ok(())
}

#[test]
fn a_push_over_a_line_that_is_cut_ends_well() -> Outcome {
    require!("skopeo", "crane");
    let desk = Desk::new()?;
    let (dir, digest) = desk.layout_of("cut", 33, 6_000_000)?;
    let proxy = CuttingProxy::start(desk.server.target().addr, 2_000_000, 2)?;
    let host = proxy.host();
    desk.run("crane", &["auth", "login", &host, "-u", desk.user(), "-p", desk.password()])?;
    let image = format!("{host}/cut/app:v1");
    // crane tries again by itself; if it gives up, the same command once more must do.
    let mut done = false;
    for _ in 0..4 {
        done = desk.attempt("crane", &["push", "--insecure", text(&dir), &image])?.0;
        if done {
            break;
        }
    }
    assert!(done, "the push never succeeded");
    assert!(proxy.cuts() > 0, "no connection was cut: the test proves nothing");
    assert_eq!(desk.stored("cut/app", "v1")?, Some(digest));
    desk.run("crane", &["validate", "--insecure", "--remote", &image])?;
    Ok(())
}

#[test]
fn a_push_that_the_server_did_not_survive_is_done_by_pushing_again() -> Outcome {
    require!("skopeo");
    let desk = Desk::new()?;
    let mut server = Server::start()?;
    let (dir, digest) = desk.layout_of("restart", 34, 40_000_000)?;
    let password = server.target().credentials.clone().map(|(_, p)| p).unwrap_or_default();
    let host = server.host();
    desk.run("skopeo", &["login", "--tls-verify=false", "-u", "admin", "-p", &password, &host])?;
    let (source, sink) = (format!("oci:{}:v1", text(&dir)), format!("docker://{host}/restart/app:v1"));
    let args = ["copy", "--dest-tls-verify=false", &source, &sink];
    let before = server.bytes_below("");
    let mut child = desk.command("skopeo")?.args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    // Killed as soon as the upload's bytes arrive.
    e2e::wait::until(std::time::Duration::from_secs(30), "the first bytes of the upload", || {
        (server.bytes_below("") > before + 1_000_000 || child.try_wait().ok().flatten().is_some())
            .then_some(())
    })?;
    server.kill()?;
    let first = child.wait()?;
    server.restart()?;
    desk.run("skopeo", &args)?;
    tools::figure(&format!("first push while the server was killed: {first}; second: done"));
    assert_eq!(digest_at(server.target(), "restart/app", "v1")?, Some(digest));
    Ok(())
}
