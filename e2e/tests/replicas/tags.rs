//! Tags under concurrent pushes through all replicas.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;

use e2e::cluster::Cluster;
use e2e::image::Image;
use e2e::registry::OCI_MANIFEST;
use e2e::tools;

use crate::Outcome;

const PUSHES: u64 = 60;

#[test]
fn sixty_tags_pushed_at_once_are_all_listed_everywhere() -> Outcome {
    let Some(cluster) = Cluster::start()? else { return Ok(()) };
    let (target, together) = (cluster.target(), Barrier::new(60));
    let outcomes: Vec<anyhow::Result<String>> = std::thread::scope(|scope| {
        let pushes: Vec<_> = (0..PUSHES)
            .map(|n| {
                let (target, together) = (&target, &together);
                scope.spawn(move || {
                    together.wait();
                    Image::new(n, 2_000).push(target, "many/app", &format!("t{n:02}"))
                })
            })
            .collect();
        pushes.into_iter().map(|push| push.join().unwrap_or_else(|_| anyhow::bail!("a panic"))).collect()
    });
    for outcome in outcomes {
        outcome?;
    }
    let expected: BTreeSet<String> = (0..PUSHES).map(|n| format!("t{n:02}")).collect();
    for n in 0..3 {
        let list = cluster.replica(n).fetch("/v2/many/app/tags/list")?.json();
        let tags = list["tags"].as_array().cloned().unwrap_or_default();
        let listed: BTreeSet<String> =
            tags.iter().filter_map(|tag| tag.as_str()).map(str::to_owned).collect();
        assert_eq!(listed, expected, "replica {n}");
    }
    Ok(())
}

#[test]
fn sixty_pushes_of_one_tag_leave_one_of_their_values_and_fail_nobody() -> Outcome {
    let Some(cluster) = Cluster::start()? else { return Ok(()) };
    let (target, together) = (cluster.target(), Barrier::new(60));
    let images: Vec<Image> = (0..PUSHES).map(|n| Image::new(n, 2_000)).collect();
    for image in &images {
        image.push_blobs(&target, "one/app")?;
    }
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    let answers: Vec<anyhow::Result<u16>> = std::thread::scope(|scope| {
        let pushes: Vec<_> = images
            .iter()
            .map(|image| {
                let (target, together) = (&target, &together);
                scope.spawn(move || {
                    together.wait();
                    let answer = target.put_manifest("one/app", "latest", OCI_MANIFEST, &image.manifest)?;
                    Ok(answer.status)
                })
            })
            .collect();
        pushes.into_iter().map(|push| push.join().unwrap_or_else(|_| anyhow::bail!("a panic"))).collect()
    });
    for answer in answers {
        *statuses.entry(answer?).or_default() += 1;
    }
    tools::figure(&format!("60 pushes of one tag through three replicas: {statuses:?}"));
    assert_eq!(statuses, BTreeMap::from([(201, images.len())]));
    let mut seen = BTreeSet::new();
    for n in 0..3 {
        let got = cluster.replica(n).fetch("/v2/one/app/manifests/latest")?;
        assert!(images.iter().any(|image| image.manifest == got.body), "replica {n}: {}", got.status);
        seen.insert(got.body);
    }
    assert_eq!(seen.len(), 1, "the replicas answer differently");
    // Every pushed manifest is there by its digest.
    for image in &images {
        let got = target.fetch(format!("/v2/one/app/manifests/{}", image.digest()))?;
        assert_eq!((got.status, got.body == image.manifest), (200, true));
    }
    Ok(())
}
