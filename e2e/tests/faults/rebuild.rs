//! The database is lost; the blobs and their checkpoints are not.

use std::time::Duration;

use e2e::bonded::Server;
use e2e::image::Image;
use e2e::tools;

use crate::Outcome;

#[test]
fn rebuild_brings_back_tags_and_images_after_the_database_is_lost() -> Outcome {
    let mut server = Server::start()?;
    let images: Vec<Image> = (0..5).map(|n| Image::new(100 + n, 10_000)).collect();
    for (n, image) in images.iter().enumerate() {
        image.push(server.target(), "lost/app", &format!("t{n}"))?;
    }
    // A polite end writes the last checkpoint.
    assert!(server.stop(Duration::from_secs(30))?);
    let mut removed = 0;
    for entry in std::fs::read_dir(server.data())? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("bonded.db") {
            std::fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    assert!(removed > 0, "no database to lose");
    let rebuilt = server.maintain(&["rebuild"], &[])?;
    if rebuilt.stderr.contains("is not in this version") {
        println!("skipped: bonded rebuild: checkpoints are not in this version");
        return Ok(());
    }
    assert!(rebuilt.status.success(), "{}{}", rebuilt.stdout, rebuilt.stderr);
    server.restart()?;
    for (n, image) in images.iter().enumerate() {
        let got = server.target().fetch(format!("/v2/lost/app/manifests/t{n}"))?;
        assert!(got.status == 200 && got.body == image.manifest, "t{n}: {} {}", got.status, got.text());
        let layer =
            server.target().fetch(format!("/v2/lost/app/blobs/{}", e2e::registry::sha256(&image.layer)))?;
        assert!(layer.body == image.layer, "t{n}: {}", layer.status);
    }
    tools::figure(&format!("rebuild: {} of {} tags back", images.len(), images.len()));
    Ok(())
}
