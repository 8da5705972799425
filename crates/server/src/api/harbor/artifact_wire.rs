//! Artifacts, tags and accessories as Harbor writes them.

use metadata::model::repository::RepositoryRow;
use metadata::model::tag::TagRow;
use oci::{Descriptor, Digest};
use registry::list::{Accessory, Artifact, ArtifactKind, Details};
use serde_json::{Map, Value, json};

use super::names::{number, repository_path};

/// What Harbor says of something that never happened.
const NEVER: &str = "0001-01-01T00:00:00.000Z";

/// An artifact with all that an answer says of it.
pub(super) struct Shown<'a> {
    pub(super) repository: &'a RepositoryRow,
    pub(super) artifact: &'a Artifact,
    pub(super) details: &'a Details,
    pub(super) tags: bool,
    pub(super) accessories: Option<Vec<Accessory>>,
}

/// The kind of an artifact of one of Harbor's types.
pub(super) fn kind(name: &str) -> ArtifactKind {
    match name {
        "IMAGE" => ArtifactKind::Image,
        "CHART" => ArtifactKind::Chart,
        "CNAB" => ArtifactKind::Bundle,
        "CNAI" => ArtifactKind::Model,
        "WASM" => ArtifactKind::Wasm,
        "SBOM" => ArtifactKind::Sbom,
        _ => ArtifactKind::Other,
    }
}

/// Harbor's type: of what it does not know, the last part but `config` of the configuration's type.
pub(super) fn type_name(artifact: &Artifact) -> String {
    let known = match artifact.kind {
        ArtifactKind::Image | ArtifactKind::Index => "IMAGE",
        ArtifactKind::Chart => "CHART",
        ArtifactKind::Bundle => "CNAB",
        ArtifactKind::Model => "CNAI",
        ArtifactKind::Wasm => "WASM",
        ArtifactKind::Sbom => "SBOM",
        ArtifactKind::Signature => "SIGNATURE",
        ArtifactKind::Attestation => "ATTESTATION",
        ArtifactKind::Other => {
            let stated = artifact.row.artifact_type.as_deref().unwrap_or_default();
            return vendor_type(stated).unwrap_or_else(|| "UNKNOWN".to_owned());
        }
    };
    known.to_owned()
}

/// `application/vnd.<vendor>.<type>.config.<version>`, in capitals.
fn vendor_type(stated: &str) -> Option<String> {
    let (_, rest) = stated.strip_prefix("application/vnd.")?.split_once('.')?;
    let (name, version) = rest.rsplit_once(".config.")?;
    (!name.is_empty() && !version.contains('.')).then(|| name.to_ascii_uppercase())
}

pub(super) fn tag(repository: &RepositoryRow, digest: &Digest, row: &TagRow) -> Value {
    json!({
        "id": number(repository.id, &format!("tag/{}", row.name)),
        "repository_id": repository.id,
        "artifact_id": number(repository.id, &digest.to_string()),
        "name": row.name,
        "push_time": row.moved_at,
        "pull_time": NEVER,
        "immutable": false,
    })
}

fn child(repository: &RepositoryRow, parent: &Digest, descriptor: &Descriptor) -> Value {
    let mut platform = Map::new();
    if let Some(stated) = &descriptor.platform {
        platform.insert("architecture".to_owned(), stated.architecture.clone().into());
        platform.insert("os".to_owned(), stated.os.clone().into());
        platform.insert("os.version".to_owned(), stated.os_version.clone().unwrap_or_default().into());
        platform.insert("variant".to_owned(), stated.variant.clone().unwrap_or_default().into());
    }
    json!({
        "parent_id": number(repository.id, &parent.to_string()),
        "child_id": number(repository.id, &descriptor.digest.to_string()),
        "child_digest": descriptor.digest,
        "platform": platform,
        "annotations": descriptor.annotations,
        "urls": [],
    })
}

/// What Harbor takes out of a configuration.
fn extra(kind: ArtifactKind, config: &Value) -> Value {
    if kind != ArtifactKind::Image {
        return config.clone();
    }
    let names = ["architecture", "author", "config", "created", "os"];
    let said = names.iter().filter_map(|name| Some(((*name).to_owned(), config.get(*name)?.clone())));
    Value::Object(said.collect())
}

pub(super) fn accessory(repository: &RepositoryRow, subject: &Digest, accessory: &Accessory) -> Value {
    let row = &accessory.row;
    let stated = row.artifact_type.as_deref().unwrap_or_default();
    let kind = match accessory.kind {
        ArtifactKind::Signature if stated == "application/vnd.cncf.notary.signature" => "signature.notation",
        ArtifactKind::Signature => "signature.cosign",
        ArtifactKind::Sbom if stated == "application/vnd.goharbor.harbor.sbom.v1" => "sbom.harbor",
        _ if stated.starts_with("application/vnd.nydus.") => "accelerator.nydus",
        _ => "subject.accessory",
    };
    json!({
        "id": number(repository.id, &format!("accessory/{}", row.digest)),
        "artifact_id": number(repository.id, &row.digest.to_string()),
        "subject_artifact_id": number(repository.id, &subject.to_string()),
        "subject_artifact_digest": subject,
        "subject_artifact_repo": repository.full_name,
        "size": row.size_bytes.saturating_add(row.content_bytes),
        "digest": row.digest,
        "type": kind,
        "icon": "",
        "creation_time": row.pushed_at,
    })
}

pub(super) fn artifact(shown: &Shown<'_>) -> Value {
    let Shown { repository, artifact, details, .. } = shown;
    let row = &artifact.row;
    let config_type = details.config_type.as_deref().unwrap_or(&row.media_type);
    let annotations: Value = serde_json::from_str(&row.annotations).unwrap_or_default();
    let references: Vec<Value> =
        details.children.iter().map(|entry| child(repository, &row.digest, entry)).collect();
    let mut document = json!({
        "id": number(repository.id, &row.digest.to_string()),
        "type": type_name(artifact),
        "media_type": config_type,
        "manifest_media_type": row.media_type,
        "artifact_type": row.artifact_type.as_deref().unwrap_or(&row.media_type),
        "project_id": repository.project,
        "repository_id": repository.id,
        "repository_name": repository.full_name,
        "digest": row.digest,
        "size": row.size_bytes.saturating_add(row.content_bytes),
        "icon": "",
        "push_time": row.pushed_at,
        "pull_time": NEVER,
        "extra_attrs": details.config.as_ref().map_or(Value::Object(Map::new()), |it| extra(artifact.kind, it)),
        "annotations": annotations,
        "references": references,
        "labels": null,
        "tags": null,
        "accessories": null,
        "addition_links": additions(repository, artifact),
    });
    if shown.tags {
        let tags: Vec<Value> =
            artifact.tags.iter().map(|row_of| tag(repository, &row.digest, row_of)).collect();
        document["tags"] = Value::Array(tags);
    }
    if let Some(known) = &shown.accessories {
        document["accessories"] = known.iter().map(|it| accessory(repository, &row.digest, it)).collect();
    }
    document
}

/// Where more about an artifact is.
fn additions(repository: &RepositoryRow, artifact: &Artifact) -> Value {
    let names: &[&str] = match artifact.kind {
        ArtifactKind::Image => &["build_history", "vulnerabilities", "sbom"],
        ArtifactKind::Index | ArtifactKind::Chart => &["vulnerabilities"],
        _ => &[],
    };
    let path = repository_path(&repository.full_name);
    let link = |name: &&str| {
        let href = format!("/api/v2.0{path}/artifacts/{}/additions/{name}", artifact.row.digest);
        ((*name).to_owned(), json!({ "absolute": false, "href": href }))
    };
    Value::Object(names.iter().map(link).collect())
}

#[cfg(test)]
mod tests {
    use super::vendor_type;

    #[test]
    fn a_vendor_s_type_is_read_from_its_configuration() {
        assert_eq!(vendor_type("application/vnd.acme.rocket.config.v1+json").as_deref(), Some("ROCKET"));
        assert_eq!(vendor_type("application/vnd.acme.config.v1+json"), None);
        assert_eq!(vendor_type("text/plain"), None);
    }
}
