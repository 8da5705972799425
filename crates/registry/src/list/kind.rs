//! What an artifact is, told by the types that its manifest states and by the tags that name it.

use metadata::model::artifact::ArtifactRow;
use metadata::model::tag::TagRow;
use oci::Tag;
use oci::media_type::{DOCKER_LIST, OCI_INDEX};

/// What an artifact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArtifactKind {
    /// A container image of one platform.
    Image,
    /// An index of manifests.
    Index,
    /// A Helm chart.
    Chart,
    /// A Cloud Native Application Bundle.
    Bundle,
    /// A model.
    Model,
    /// A WebAssembly module.
    Wasm,
    /// A software bill of materials.
    Sbom,
    /// A signature.
    Signature,
    /// An attestation.
    Attestation,
    /// Something else.
    Other,
}

impl ArtifactKind {
    /// Every kind.
    pub const LIST: [Self; 10] = [
        Self::Image,
        Self::Index,
        Self::Chart,
        Self::Bundle,
        Self::Model,
        Self::Wasm,
        Self::Sbom,
        Self::Signature,
        Self::Attestation,
        Self::Other,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Index => "index",
            Self::Chart => "chart",
            Self::Bundle => "bundle",
            Self::Model => "model",
            Self::Wasm => "wasm",
            Self::Sbom => "sbom",
            Self::Signature => "signature",
            Self::Attestation => "attestation",
            Self::Other => "other",
        }
    }

    /// What a manifest with these tags is. cosign's older artifacts are images by their types and known by their tags.
    pub(crate) fn of(row: &ArtifactRow, tags: &[TagRow]) -> Self {
        for tag in tags.iter().filter(|tag| tag.evidence) {
            let parsed = tag.name.parse::<Tag>().ok();
            match parsed.as_ref().and_then(|tag| tag.evidence_subject()?.1) {
                Some("sig") => return Self::Signature,
                Some("att") => return Self::Attestation,
                Some("sbom") => return Self::Sbom,
                _ => {}
            }
        }
        match row.artifact_type.as_deref() {
            Some(stated) => Self::of_type(stated),
            None if matches!(row.media_type.as_str(), OCI_INDEX | DOCKER_LIST) => Self::Index,
            None => Self::Other,
        }
    }

    fn of_type(stated: &str) -> Self {
        match stated {
            "application/vnd.oci.image.config.v1+json" | "application/vnd.docker.container.image.v1+json" => {
                Self::Image
            }
            "application/vnd.cncf.helm.config.v1+json" => Self::Chart,
            "application/vnd.cncf.notary.signature"
            | "application/vnd.dev.cosign.artifact.sig.v1+json"
            | "application/vnd.dev.cosign.simplesigning.v1+json" => Self::Signature,
            "application/vnd.in-toto+json" => Self::Attestation,
            _ if stated.starts_with("application/vnd.dev.sigstore.bundle") => Self::Signature,
            _ if stated.starts_with("application/vnd.cnab.") => Self::Bundle,
            _ if stated.starts_with("application/vnd.cncf.model.")
                || stated.starts_with("application/vnd.cnai.") =>
            {
                Self::Model
            }
            _ if stated.starts_with("application/vnd.wasm.")
                || stated.starts_with("application/vnd.module.wasm.") =>
            {
                Self::Wasm
            }
            _ if stated.contains("spdx") || stated.contains("cyclonedx") || stated.contains(".sbom") => {
                Self::Sbom
            }
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ArtifactKind;

    #[test]
    fn what_the_usual_tools_push_is_known_by_its_type() {
        for (stated, kind) in [
            ("application/vnd.oci.image.config.v1+json", ArtifactKind::Image),
            ("application/vnd.cncf.helm.config.v1+json", ArtifactKind::Chart),
            ("application/vnd.cnab.config.v1+json", ArtifactKind::Bundle),
            ("application/vnd.cncf.model.config.v1+json", ArtifactKind::Model),
            ("application/vnd.wasm.config.v0+json", ArtifactKind::Wasm),
            ("application/spdx+json", ArtifactKind::Sbom),
            ("application/vnd.cyclonedx+json", ArtifactKind::Sbom),
            ("application/vnd.goharbor.harbor.sbom.v1", ArtifactKind::Sbom),
            ("application/vnd.dev.sigstore.bundle.v0.3+json", ArtifactKind::Signature),
            ("application/vnd.in-toto+json", ArtifactKind::Attestation),
            ("application/vnd.acme.rocket.config.v1+json", ArtifactKind::Other),
        ] {
            assert_eq!(ArtifactKind::of_type(stated), kind, "{stated}");
        }
    }
}
