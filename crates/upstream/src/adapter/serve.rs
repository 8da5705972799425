//! The serving side of the adapter API, without a server: what Bonded says of itself to a Harbor, and what a Harbor's
//! requests mean.

use oci::{Digest, RepoName};
use url::Url;

use super::wire::{
    self, Artifact, Capability, CapabilityKind, ErrorMessage, ErrorResponse, Metadata, SbomMediaTypes,
    ScanRequest, Scanner, essence,
};
use crate::{Client, Registry, UpstreamError, place};

/// Longest request.
pub const MAX_REQUEST_BYTES: usize = 64 << 10;
/// Manifests that are scanned. An index is none of them: a Harbor that may send one does not send its images any more, and
/// the report of one platform would pass for that of all.
const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
/// Forms in which an SBOM is given.
const SBOM_MEDIA_TYPES: [&str; 2] = ["application/spdx+json", "application/vnd.cyclonedx+json"];

/// Metadata of this scanner; `database_updated` is RFC 3339.
pub fn metadata(version: &str, database_updated: Option<&str>) -> Metadata {
    let consumes = || MANIFESTS.map(str::to_owned).to_vec();
    let capabilities = vec![
        Capability {
            kind: CapabilityKind::Vulnerability,
            consumes_mime_types: consumes(),
            produces_mime_types: vec![
                wire::VULNERABILITY_REPORT_1_0.to_owned(),
                wire::VULNERABILITY_REPORT.to_owned(),
            ],
            additional_attributes: SbomMediaTypes::default(),
        },
        Capability {
            kind: CapabilityKind::Sbom,
            consumes_mime_types: consumes(),
            produces_mime_types: vec![wire::SBOM_REPORT.to_owned()],
            additional_attributes: SbomMediaTypes {
                sbom_media_types: SBOM_MEDIA_TYPES.map(str::to_owned).to_vec(),
            },
        },
    ];
    let mut properties = std::collections::BTreeMap::from([
        (wire::SCANNER_TYPE.to_owned(), "os-package-vulnerability".to_owned()),
        // Harbor then makes the token itself, so that no password need follow a realm to another name of it.
        ("harbor.scanner-adapter/registry-authorization-type".to_owned(), "Bearer".to_owned()),
    ]);
    if let Some(time) = database_updated {
        properties.insert(wire::DATABASE_UPDATED.to_owned(), time.to_owned());
    }
    let (name, vendor) = ("Bonded".to_owned(), "Bonded".to_owned());
    Metadata { scanner: Scanner { name, vendor, version: version.to_owned() }, capabilities, properties }
}

/// Why a request is not served, as the API answers it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// HTTP status: 400, 422 or 501.
    pub status: u16,
    /// Text for the other side.
    pub message: String,
}

impl Refusal {
    fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// The answer's document ([`wire::ERROR`]).
    pub fn body(&self) -> ErrorResponse {
        ErrorResponse { error: ErrorMessage { message: self.message.clone() } }
    }
}

/// A request that can be served.
#[derive(Clone, PartialEq, Eq)]
pub struct Accepted {
    base: Url,
    repository: RepoName,
    digest: Digest,
    authorization: String,
    /// The artifact as the other side named it, for the report.
    pub artifact: Artifact,
    /// Whether vulnerabilities are wanted.
    pub vulnerabilities: bool,
    /// Forms in which an SBOM is wanted; none: no SBOM.
    pub sboms: Vec<String>,
}

impl std::fmt::Debug for Accepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accepted")
            .field("base", &self.base.as_str())
            .field("artifact", &self.artifact)
            .finish_non_exhaustive()
    }
}

impl Accepted {
    /// Reads a request.
    ///
    /// # Errors
    /// [`Refusal`]: 400 for what is no request, 422 for a field that cannot be, 501 for what is not scanned.
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        if body.len() > MAX_REQUEST_BYTES {
            return Err(Refusal::new(400, "the request is too long"));
        }
        // The error's text may hold a piece of the credentials.
        let request: ScanRequest = serde_json::from_slice(body).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            Refusal::new(400, format!("the body is no scan request ({place})"))
        })?;
        let field = |name: &str, what: &str| Refusal::new(422, format!("`{name}` is {what}"));
        let base = Url::parse(&request.registry.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| field("registry.url", "no http(s) address"))?;
        if !base.username().is_empty() || base.password().is_some() {
            return Err(field("registry.url", "an address with credentials; give them as `authorization`"));
        }
        let artifact = request.artifact;
        let repository =
            artifact.repository.parse().map_err(|_| field("artifact.repository", "no repository name"))?;
        let digest = artifact.digest.parse().map_err(|_| field("artifact.digest", "no digest"))?;
        let known = MANIFESTS.iter().any(|own| essence(own) == essence(&artifact.mime_type));
        if !artifact.mime_type.is_empty() && !known {
            return Err(Refusal::new(
                501,
                format!("artifacts of type `{}` are not scanned", artifact.mime_type),
            ));
        }
        let all = request.enabled_capabilities.is_empty();
        let (mut vulnerabilities, mut sboms) = (all, Vec::new());
        for enabled in request.enabled_capabilities {
            match enabled.kind {
                CapabilityKind::Vulnerability => vulnerabilities = true,
                CapabilityKind::Sbom => {
                    let wanted = enabled.parameters.unwrap_or_default().sbom_media_types;
                    let known = wanted.into_iter().filter(|form| SBOM_MEDIA_TYPES.contains(&form.as_str()));
                    sboms.extend(known);
                    if sboms.is_empty() {
                        sboms.push(SBOM_MEDIA_TYPES[0].to_owned());
                    }
                }
                CapabilityKind::Other => {}
            }
        }
        if all {
            sboms = SBOM_MEDIA_TYPES.map(str::to_owned).to_vec();
        }
        if !vulnerabilities && sboms.is_empty() {
            return Err(Refusal::new(501, "none of the enabled capabilities is known here"));
        }
        let authorization = request.registry.authorization;
        Ok(Self { base, repository, digest, authorization, artifact, vulnerabilities, sboms })
    }

    /// What is to be scanned, for records and messages.
    pub fn place(&self) -> String {
        format!("{}/{}@{}", place(&self.base).trim_end_matches('/'), self.repository, self.digest)
    }

    /// Digest of the manifest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Name of the repository.
    pub fn repository(&self) -> &RepoName {
        &self.repository
    }

    /// The repository to pull from, with what the other side gave us for it.
    ///
    /// # Errors
    /// [`UpstreamError::Authorization`] for credentials of another kind.
    pub fn registry(&self, client: Client) -> Result<Registry, UpstreamError> {
        Registry::authorized(client, &self.base, &self.repository, self.digest, &self.authorization)
    }
}

/// The report that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Vulnerabilities, under this media type.
    Vulnerabilities(&'static str),
    /// An SBOM in this form.
    Sbom(&'static str),
}

/// What the `Accept` header and the query of a report's request mean.
///
/// # Errors
/// [`Refusal`]: 400 for an SBOM without its form, 501 for other media types.
pub fn asked(accept: &str, sbom_media_type: Option<&str>) -> Result<Asked, Refusal> {
    for wanted in accept.split(',').map(essence) {
        for own in [wire::VULNERABILITY_REPORT, wire::VULNERABILITY_REPORT_1_0] {
            if wanted == essence(own) {
                return Ok(Asked::Vulnerabilities(own));
            }
        }
        if wanted == essence(wire::SBOM_REPORT) {
            let form = SBOM_MEDIA_TYPES.into_iter().find(|own| Some(*own) == sbom_media_type);
            let missing = || {
                let forms = SBOM_MEDIA_TYPES.join(" or ");
                Refusal::new(400, format!("an SBOM needs `?sbom_media_type=` with {forms}"))
            };
            return form.map(Asked::Sbom).ok_or_else(missing);
        }
        if matches!(wanted, "" | "*/*" | "application/*" | "application/json") {
            return Ok(Asked::Vulnerabilities(wire::VULNERABILITY_REPORT));
        }
    }
    Err(Refusal::new(
        501,
        format!("reports of type `{}` are not made here", accept.chars().take(200).collect::<String>()),
    ))
}
