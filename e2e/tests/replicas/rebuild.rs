//! `PostgreSQL` is lost, the bucket is not: the checkpoint in it makes the database again.

use std::time::Duration;

use e2e::cluster::{Cluster, DATABASE};
use e2e::image::Image;
use e2e::tools;

use crate::Outcome;

#[test]
fn rebuild_brings_back_a_lost_postgresql_from_the_bucket() -> Outcome {
    let Some(mut cluster) = Cluster::start()? else { return Ok(()) };
    let images: Vec<Image> = (0..5).map(|n| Image::new(900 + n, 10_000)).collect();
    for (n, image) in images.iter().enumerate() {
        image.push(&cluster.target(), "lost/app", &format!("t{n}"))?;
        let pulled = cluster.target().fetch(format!("/v2/lost/app/manifests/t{n}"))?;
        assert_eq!(pulled.status, 200);
    }
    // A polite end writes the last records of the audit, seals it, and writes the checkpoint.
    for server in &mut cluster.servers {
        assert!(server.stop(Duration::from_secs(60))?);
    }
    let sealed = cluster.servers[0].maintain(&["audit", "verify"], &[])?;
    assert!(sealed.status.success(), "{}{}", sealed.stdout, sealed.stderr);
    let pulls = "SELECT count(*) FROM audit WHERE action = 'manifest.get' AND position IS NOT NULL";
    assert_eq!(cluster.stores.postgres.sql(DATABASE, pulls)?.trim(), "5");

    cluster.stores.postgres.sql("postgres", &format!("DROP DATABASE {DATABASE}"))?;
    cluster.stores.postgres.database(DATABASE)?;
    let rebuilt = cluster.servers[0].maintain(&["rebuild"], &[])?;
    assert!(rebuilt.status.success(), "{}{}", rebuilt.stdout, rebuilt.stderr);
    for server in &mut cluster.servers {
        server.restart()?;
    }
    for (n, image) in images.iter().enumerate() {
        let got = cluster.target().fetch(format!("/v2/lost/app/manifests/t{n}"))?;
        assert!(got.status == 200 && got.body == image.manifest, "t{n}: {} {}", got.status, got.text());
        let digest = e2e::registry::sha256(&image.layer);
        let layer = cluster.target().fetch(format!("/v2/lost/app/blobs/{digest}"))?;
        assert!(layer.status == 200 && layer.body == image.layer, "t{n}: {}", layer.status);
    }
    tools::figure(&format!("rebuild on PostgreSQL and S3: {} of {} tags back", images.len(), images.len()));
    Ok(())
}
