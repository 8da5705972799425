//! Manifests: whatever is taken is one JSON value for every parser, within the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::manifest::MAX_DESCRIPTORS;
use oci::media_type::{DOCKER_LIST, DOCKER_MANIFEST, DOCKER_V1, OCI_ARTIFACT, OCI_INDEX, OCI_MANIFEST};
use oci::{Manifest, MediaType};

const TYPES: [&str; 6] = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST, OCI_ARTIFACT, DOCKER_V1];

fuzz_target!(|input: &[u8]| {
    let _ = oci::strict_json::check(input);
    for name in TYPES {
        let media_type: MediaType = name.parse().expect("a media type");
        let Ok(manifest) = Manifest::parse(&media_type, input) else { continue };
        assert!(oci::strict_json::check(input).is_ok());
        assert!(serde_json::from_slice::<serde_json::Value>(input).is_ok_and(|value| value.is_object()));
        assert_eq!(manifest.media_type, media_type);
        let sizes: Vec<u64> = manifest.blobs().chain(&manifest.children).map(|one| one.size_bytes).collect();
        let total = sizes.iter().try_fold(0_i64, |sum, size| sum.checked_add_unsigned(*size));
        assert!(total.is_some() && sizes.len() <= MAX_DESCRIPTORS);
        let _ = (manifest.effective_artifact_type(), manifest.has_empty_config());
    }
});
