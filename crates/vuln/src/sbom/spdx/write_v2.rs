//! A document as SPDX 2.3 JSON.
//!
//! Identity travels as a package URL, everything that SPDX has no field for as an annotation of the form
//! `name=value`; annotations are dated like the document, so the bytes stay a function of it.

use serde::Serialize;

use super::{expression, read_v2};
use crate::sbom::cyclonedx::hash_name;
use crate::sbom::document::{Document, Graph, SubjectKind};
use crate::sbom::{carry, identity};
use crate::{Package, PackageKind};

const SUBJECT: &str = "SPDXRef-Subject";
const SYSTEM: &str = "SPDXRef-OperatingSystem";
const UNKNOWN: &str = "NOASSERTION";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spdx {
    #[serde(rename = "spdxVersion")]
    version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: String,
    document_namespace: String,
    creation_info: CreationInfo,
    packages: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    has_extracted_licensing_infos: Vec<Extracted>,
    relationships: Vec<Relationship>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<Annotation>,
}

#[derive(Serialize)]
struct CreationInfo {
    created: String,
    creators: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    name: String,
    #[serde(rename = "SPDXID")]
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_info: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_package_purpose: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supplier: Option<String>,
    download_location: String,
    files_analyzed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_info: Option<String>,
    license_concluded: &'static str,
    license_declared: String,
    copyright_text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<ExternalRef>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<Annotation>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    algorithm: &'static str,
    checksum_value: String,
}

#[derive(Serialize)]
struct ExternalRef {
    #[serde(rename = "referenceCategory")]
    category: &'static str,
    #[serde(rename = "referenceType")]
    kind: &'static str,
    #[serde(rename = "referenceLocator")]
    locator: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Annotation {
    #[serde(rename = "annotationDate")]
    date: String,
    #[serde(rename = "annotationType")]
    kind: &'static str,
    annotator: String,
    comment: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Extracted {
    license_id: String,
    #[serde(rename = "extractedText")]
    text: String,
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    #[serde(rename = "spdxElementId")]
    from: String,
    #[serde(rename = "relationshipType")]
    kind: &'static str,
    #[serde(rename = "relatedSpdxElement")]
    to: String,
}

/// Writes pretty JSON with a final line feed.
pub(crate) fn write_v2_json(document: &Document) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(&spdx(document))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn spdx(document: &Document) -> Spdx {
    let inventory = &document.inventory;
    let graph = Graph::of(inventory);
    let ids: Vec<String> =
        inventory.packages.iter().zip(&graph.refs).map(|(p, r)| element_id(p, r)).collect();
    let mut writer = Writer { document, texts: expression::References::default() };
    let mut packages = vec![writer.subject()];
    packages.extend(writer.system());
    for (position, package) in inventory.packages.iter().enumerate() {
        packages.push(writer.package(package, &graph, position, &ids[position]));
    }
    let extracted = writer.texts.0.iter();
    let has_extracted_licensing_infos = extracted
        .map(|(id, text)| Extracted { license_id: id.clone(), text: text.clone(), name: text.clone() })
        .collect();
    let problems = inventory.problems.iter().map(carry::problem_property);
    let annotations = problems.map(|property| writer.annotation(property)).collect();
    let name = if document.subject.name.is_empty() { "unnamed" } else { &document.subject.name };
    let mut creators: Vec<String> = document.tools.iter().map(|tool| format!("Tool: {tool}")).collect();
    creators.extend(document.authors.iter().map(|author| format!("Organization: {author}")));
    if creators.is_empty() {
        creators.push("Tool: bonded".to_owned());
    }
    Spdx {
        version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: "SPDXRef-DOCUMENT",
        name: name.to_owned(),
        document_namespace: format!("urn:uuid:{}", document.uuid()),
        creation_info: CreationInfo { created: document.created_text(), creators },
        packages,
        has_extracted_licensing_infos,
        relationships: relationships(document, &graph, &ids),
        annotations,
    }
}

fn relationships(document: &Document, graph: &Graph, ids: &[String]) -> Vec<Relationship> {
    let edge = |from: &str, kind, to: &str| Relationship { from: from.to_owned(), kind, to: to.to_owned() };
    let mut out = vec![edge("SPDXRef-DOCUMENT", "DESCRIBES", SUBJECT)];
    if document.inventory.distro.is_some() {
        out.push(edge(SUBJECT, "CONTAINS", SYSTEM));
    }
    out.extend(ids.iter().map(|id| edge(SUBJECT, "CONTAINS", id)));
    for (from, targets) in graph.edges.iter().enumerate() {
        out.extend(targets.iter().map(|to| edge(&ids[from], "DEPENDS_ON", &ids[*to])));
    }
    out
}

/// A readable identifier that is unique because the reference is.
fn element_id(package: &Package, reference: &str) -> String {
    let plain = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).take(60).collect()
    };
    let hex = oci::Digest::sha256(reference.as_bytes()).hex();
    format!("SPDXRef-Package-{}-{}", plain(&package.name), &hex[..16])
}

struct Writer<'a> {
    document: &'a Document,
    texts: expression::References,
}

impl Writer<'_> {
    fn annotation(&self, (name, value): (String, String)) -> Annotation {
        let tool = self.document.tools.first().map_or("bonded", String::as_str);
        Annotation {
            date: self.document.created_text(),
            kind: "OTHER",
            annotator: format!("Tool: {tool}"),
            comment: format!("{name}={value}"),
        }
    }

    fn subject(&self) -> Entry {
        let subject = &self.document.subject;
        let purpose = match subject.kind {
            SubjectKind::Container => "CONTAINER",
            SubjectKind::File => "FILE",
            SubjectKind::Application => "APPLICATION",
        };
        let name = if subject.name.is_empty() { "unnamed" } else { &subject.name };
        let checksum = subject.digest.as_ref().and_then(|digest| {
            let (_, _, algorithm, _) = hash_name(digest.algorithm().name())?;
            Some(Checksum { algorithm, checksum_value: digest.hex() })
        });
        Entry {
            version_info: subject.version.clone(),
            primary_package_purpose: Some(purpose),
            checksums: checksum.into_iter().collect(),
            external_refs: subject.purl().map(|purl| package_url(&purl)).into_iter().collect(),
            ..entry(name, SUBJECT)
        }
    }

    fn system(&self) -> Option<Entry> {
        let distro = self.document.inventory.distro.as_ref()?;
        let properties = carry::distro_properties(distro).into_iter();
        Some(Entry {
            version_info: Some(distro.version_id.clone()).filter(|version| !version.is_empty()),
            primary_package_purpose: Some("OPERATING_SYSTEM"),
            description: distro.pretty_name.clone(),
            annotations: properties.map(|property| self.annotation(property)).collect(),
            ..entry(&distro.id, SYSTEM)
        })
    }

    fn package(&mut self, package: &Package, graph: &Graph, position: usize, id: &str) -> Entry {
        let own = |key: &str| package.properties.get(key).filter(|text| !text.is_empty()).cloned();
        let purl = identity::purl(package, self.document.inventory.distro.as_ref());
        let mut external_refs = vec![package_url(&purl)];
        if let Some(cpe) =
            own(carry::CPE).filter(|cpe| cpe.starts_with("cpe:2.3:") && cpe.matches(':').count() == 12)
        {
            external_refs.push(ExternalRef { category: "SECURITY", kind: "cpe23Type", locator: cpe });
        }
        let tag = own(carry::SWID).and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
        if let Some(tag_id) = tag.as_ref().and_then(|tag| tag.get("tagId")?.as_str())
            && !tag_id.contains(char::is_whitespace)
        {
            external_refs.push(ExternalRef {
                category: "SECURITY",
                kind: "swid",
                locator: format!("swid:{tag_id}"),
            });
        }
        let mut places: Vec<&str> = package.evidence.iter().map(|evidence| evidence.path.as_str()).collect();
        places.dedup();
        let mut out = Entry {
            version_info: Some(package.version.clone()),
            primary_package_purpose: Some(purpose(package)),
            supplier: package.supplier.as_ref().map(|name| format!("Organization: {name}")),
            checksums: checksums(package),
            source_info: (!places.is_empty()).then(|| format!("found in: {}", places.join(", "))),
            license_declared: self.texts.expression(&package.licenses),
            copyright_text: own(carry::COPYRIGHT).unwrap_or_else(|| UNKNOWN.to_owned()),
            description: own(carry::DESCRIPTION),
            download_location: own(carry::DOWNLOAD)
                .filter(|url| url.starts_with("https://") || url.starts_with("http://"))
                .filter(|url| url::Url::parse(url).is_ok_and(|parsed| parsed.as_str() == url))
                .unwrap_or_else(|| UNKNOWN.to_owned()),
            external_refs,
            ..entry(&package.name, id)
        };
        let seen = serde_json::to_value(&out).unwrap_or_default();
        let mut native = read_v2::package(&seen, &self.texts.0)
            .map_or_else(|| Package::new(PackageKind::Generic, "", ""), |p| p.0);
        let mut names: Vec<String> = graph.edges[position]
            .iter()
            .map(|edge| self.document.inventory.packages[*edge].name.clone())
            .collect();
        names.sort();
        names.dedup();
        native.depends_on = names;
        let properties = carry::difference(package, &native).into_iter();
        out.annotations = properties.map(|property| self.annotation(property)).collect();
        out
    }
}

fn purpose(package: &Package) -> &'static str {
    match package.properties.get(carry::TYPE).map(String::as_str) {
        Some("application") => "APPLICATION",
        Some("framework") => "FRAMEWORK",
        Some("container") => "CONTAINER",
        Some("device") => "DEVICE",
        Some("firmware") => "FIRMWARE",
        _ => "LIBRARY",
    }
}

fn entry(name: &str, id: &str) -> Entry {
    Entry {
        name: name.to_owned(),
        id: id.to_owned(),
        version_info: None,
        primary_package_purpose: None,
        supplier: None,
        download_location: UNKNOWN.to_owned(),
        files_analyzed: false,
        checksums: Vec::new(),
        source_info: None,
        license_concluded: UNKNOWN,
        license_declared: UNKNOWN.to_owned(),
        copyright_text: UNKNOWN.to_owned(),
        description: None,
        external_refs: Vec::new(),
        annotations: Vec::new(),
    }
}

fn package_url(purl: &str) -> ExternalRef {
    ExternalRef { category: "PACKAGE-MANAGER", kind: "purl", locator: purl.to_owned() }
}

fn checksums(package: &Package) -> Vec<Checksum> {
    let split = package.hashes.iter().filter_map(|hash| hash.split_once(':'));
    split
        .filter_map(|(name, hex)| {
            let (_, _, algorithm, length) = hash_name(name)?;
            let valid =
                hex.len() == length && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            valid.then(|| Checksum { algorithm, checksum_value: hex.to_owned() })
        })
        .collect()
}
