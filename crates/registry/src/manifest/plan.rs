//! The plan of a push: what a manifest refers to, and whether that is so. Pure: state in, decision out.

use std::collections::{BTreeMap, BTreeSet};

use oci::{Digest, Manifest, ManifestError};

use crate::error::{Error, MissingReference};

/// Deepest nesting of indexes.
pub(super) const MAX_HEIGHT: u32 = 16;

/// What must be in the repository before a manifest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Require {
    /// Configuration and layers.
    pub blobs: bool,
    /// Manifests of an index.
    pub children: bool,
}

/// What the repository holds of a manifest's references.
#[derive(Clone, Debug, Default)]
pub(super) struct Holdings {
    /// Blobs with their sizes.
    pub blobs: BTreeMap<Digest, u64>,
    /// Manifests with their heights.
    pub manifests: BTreeMap<Digest, u32>,
    /// Indexes, one in the other, that hold the manifest itself already: it may come after them.
    pub above: u32,
    /// Blobs that are there, but that this pusher may not use.
    pub closed: BTreeSet<Digest>,
}

/// How much of what an accepted manifest refers to its repository does not hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lacking {
    /// Configuration and layers, but for layers that need not be distributed.
    pub blobs: usize,
    /// Manifests of an index.
    pub children: usize,
}

/// What a push will write about a manifest's references.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct References {
    /// Blobs to hold.
    pub blobs: Vec<Digest>,
    /// Blobs that are not there and need not be.
    pub gaps: Vec<Digest>,
    /// Children, present or not.
    pub children: Vec<Digest>,
    /// Height of the manifest.
    pub height: u32,
    /// Bytes that it refers to.
    pub content_bytes: u64,
    /// What is not there.
    pub lacking: Lacking,
}

/// Decides whether the references of `manifest` can be followed.
pub(super) fn references(
    manifest: &Manifest,
    held: &Holdings,
    require: Require,
) -> Result<References, Error> {
    let mut missing = Vec::new();
    let mut blobs = BTreeSet::new();
    let mut gaps = BTreeSet::new();
    let mut undistributed = BTreeSet::new();
    for blob in manifest.blobs() {
        match held.blobs.get(&blob.digest) {
            Some(size) if *size == blob.size_bytes => {
                blobs.insert(blob.digest);
            }
            Some(size) => {
                let problem = format!("its size is {size}, not {}", blob.size_bytes);
                missing.push(MissingReference { digest: blob.digest, problem });
            }
            None if (!require.blobs || blob.media_type.is_nondistributable())
                && !held.closed.contains(&blob.digest) =>
            {
                gaps.insert(blob.digest);
                if blob.media_type.is_nondistributable() {
                    undistributed.insert(blob.digest);
                }
            }
            None => missing.push(MissingReference { digest: blob.digest, problem: "unknown".to_owned() }),
        }
    }
    let children: BTreeSet<Digest> = manifest.children.iter().map(|child| child.digest).collect();
    let absent = || children.iter().filter(|child| !held.manifests.contains_key(child));
    if require.children {
        missing
            .extend(absent().map(|child| MissingReference { digest: *child, problem: "unknown".to_owned() }));
    }
    if !missing.is_empty() {
        let wrong_size = missing.iter().all(|reference| reference.problem != "unknown");
        return Err(if wrong_size {
            ManifestError::Content("a descriptor's size is not the size of the blob that it names").into()
        } else {
            Error::ManifestReferences(missing)
        });
    }
    let height = match children.iter().filter_map(|child| held.manifests.get(child)).max() {
        Some(highest) => highest + 1,
        None => u32::from(!children.is_empty()),
    };
    if height.saturating_add(held.above) > MAX_HEIGHT {
        return Err(ManifestError::Content("indexes are nested more than 16 deep").into());
    }
    let content_bytes = manifest.blobs().chain(&manifest.children).map(|item| item.size_bytes).sum();
    let lacking = Lacking { blobs: gaps.len() - undistributed.len(), children: absent().count() };
    Ok(References {
        lacking,
        blobs: blobs.into_iter().collect(),
        gaps: gaps.into_iter().collect(),
        children: children.into_iter().collect(),
        height,
        content_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::media_type::{OCI_INDEX, OCI_MANIFEST};

    const LAX: Require = Require { blobs: true, children: false };
    const STRICT: Require = Require { blobs: true, children: true };

    fn descriptor(media_type: &str, content: &[u8], size: usize) -> String {
        let digest = Digest::sha256(content);
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
    }

    fn image(layer: &str) -> Manifest {
        let config = descriptor("application/vnd.oci.image.config.v1+json", b"{}", 2);
        let body = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]}}"#);
        Manifest::parse(&OCI_MANIFEST.parse().unwrap(), body.as_bytes()).unwrap()
    }

    fn index(child: &[u8]) -> Manifest {
        let body = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, descriptor(OCI_MANIFEST, child, 9));
        Manifest::parse(&OCI_INDEX.parse().unwrap(), body.as_bytes()).unwrap()
    }

    fn holding(contents: &[&[u8]]) -> Holdings {
        let blobs = contents.iter().map(|content| (Digest::sha256(content), content.len() as u64)).collect();
        Holdings { blobs, ..Holdings::default() }
    }

    #[test]
    fn unknown_blobs_are_all_named() {
        let manifest = image(&descriptor("application/x", b"layer", 5));
        match references(&manifest, &holding(&[b"{}"]), LAX) {
            Err(Error::ManifestReferences(missing)) => {
                assert_eq!(missing[0].digest, Digest::sha256(b"layer"));
            }
            other => panic!("{other:?}"),
        }
        let plan = references(&manifest, &holding(&[b"{}", b"layer"]), LAX).unwrap();
        assert_eq!((plan.blobs.len(), plan.height, plan.content_bytes), (2, 0, 7));
    }

    #[test]
    fn a_wrong_size_of_a_known_blob_makes_the_manifest_invalid() {
        let manifest = image(&descriptor("application/x", b"layer", 6));
        let answer = references(&manifest, &holding(&[b"{}", b"layer"]), LAX);
        assert!(matches!(answer, Err(Error::ManifestInvalid(_))), "{answer:?}");
    }

    #[test]
    fn layers_that_need_not_be_distributed_may_be_absent() {
        let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
        let manifest = image(&descriptor(foreign, b"layer", 5));
        let plan = references(&manifest, &holding(&[b"{}"]), LAX).unwrap();
        assert_eq!((plan.blobs.len(), plan.gaps.len(), plan.lacking), (1, 1, Lacking::default()));
    }

    #[test]
    fn a_sparse_image_is_refused_unless_blobs_are_not_required() {
        let manifest = image(&descriptor("application/x", b"layer", 5));
        let plan =
            references(&manifest, &holding(&[b"{}"]), Require { blobs: false, children: false }).unwrap();
        assert_eq!((plan.blobs.len(), plan.gaps), (1, vec![Digest::sha256(b"layer")]));
        assert_eq!(plan.lacking, Lacking { blobs: 1, children: 0 });
    }

    #[test]
    fn a_sparse_index_is_accepted_unless_children_are_required() {
        let manifest = index(b"child");
        let plan = references(&manifest, &Holdings::default(), LAX).unwrap();
        assert_eq!((plan.height, plan.lacking), (1, Lacking { blobs: 0, children: 1 }));
        assert!(references(&manifest, &Holdings::default(), STRICT).is_err());
    }

    #[test]
    fn nesting_ends_at_sixteen() {
        let manifest = index(b"child");
        let held = |height| Holdings {
            manifests: BTreeMap::from([(Digest::sha256(b"child"), height)]),
            ..Holdings::default()
        };
        assert_eq!(references(&manifest, &held(15), STRICT).unwrap().height, 16);
        assert!(references(&manifest, &held(16), STRICT).is_err());
        let below = |above| Holdings { above, ..held(3) };
        assert_eq!(references(&manifest, &below(12), STRICT).unwrap().height, 4);
        assert!(references(&manifest, &below(13), STRICT).is_err());
    }
}
