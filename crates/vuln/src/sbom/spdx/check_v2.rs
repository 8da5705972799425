//! The rules of SPDX 2.2 and 2.3 documents (specification clauses 6, 7, 10, 11; the JSON schema of 2.3).

use std::collections::HashSet;

use serde_json::Value;

use crate::sbom::cyclonedx::hash_name;

const MAX_VIOLATIONS: usize = 8;
const RELATIONSHIPS: &[&str] = &[
    "AMENDS",
    "ANCESTOR_OF",
    "BUILD_DEPENDENCY_OF",
    "BUILD_TOOL_OF",
    "CONTAINED_BY",
    "CONTAINS",
    "COPY_OF",
    "DATA_FILE_OF",
    "DEPENDENCY_MANIFEST_OF",
    "DEPENDENCY_OF",
    "DEPENDS_ON",
    "DESCENDANT_OF",
    "DESCRIBED_BY",
    "DESCRIBES",
    "DEV_DEPENDENCY_OF",
    "DEV_TOOL_OF",
    "DISTRIBUTION_ARTIFACT",
    "DOCUMENTATION_OF",
    "DYNAMIC_LINK",
    "EXAMPLE_OF",
    "EXPANDED_FROM_ARCHIVE",
    "FILE_ADDED",
    "FILE_DELETED",
    "FILE_MODIFIED",
    "GENERATED_FROM",
    "GENERATES",
    "HAS_PREREQUISITE",
    "METAFILE_OF",
    "OPTIONAL_COMPONENT_OF",
    "OPTIONAL_DEPENDENCY_OF",
    "OTHER",
    "PACKAGE_OF",
    "PATCH_APPLIED",
    "PATCH_FOR",
    "PREREQUISITE_FOR",
    "PROVIDED_DEPENDENCY_OF",
    "REQUIREMENT_DESCRIPTION_FOR",
    "RUNTIME_DEPENDENCY_OF",
    "SPECIFICATION_FOR",
    "STATIC_LINK",
    "TEST_CASE_OF",
    "TEST_DEPENDENCY_OF",
    "TEST_OF",
    "TEST_TOOL_OF",
    "VARIANT_OF",
];
const PURPOSES: &[&str] = &[
    "OTHER",
    "INSTALL",
    "ARCHIVE",
    "FIRMWARE",
    "APPLICATION",
    "FRAMEWORK",
    "LIBRARY",
    "CONTAINER",
    "SOURCE",
    "DEVICE",
    "OPERATING_SYSTEM",
    "OPERATING-SYSTEM",
    "FILE",
];

/// The rules that a document breaks, each as `place: reason`.
pub(crate) fn check_v2(spdx: &Value) -> Vec<String> {
    let mut check = Check::default();
    check.header(spdx);
    let mut ids: HashSet<&str> = HashSet::from(["SPDXRef-DOCUMENT", "NOASSERTION", "NONE"]);
    for (key, position, entry) in elements(spdx) {
        let place = format!("/{key}/{position}");
        match text(entry, "SPDXID") {
            None => check.add(&place, "SPDXID is missing"),
            Some(id) if !is_id(id, "SPDXRef-") => check.add(&place, &format!("`{id}` is no SPDX identifier")),
            Some(id) if !ids.insert(id) => check.add(&place, &format!("SPDXID `{id}` is used twice")),
            Some(_) => {}
        }
    }
    for (position, entry) in list(spdx, "packages").enumerate() {
        check.package(&format!("/packages/{position}"), entry);
    }
    for (position, edge) in list(spdx, "relationships").enumerate() {
        check.relationship(&format!("/relationships/{position}"), edge, &ids);
    }
    for (position, info) in list(spdx, "hasExtractedLicensingInfos").enumerate() {
        let place = format!("/hasExtractedLicensingInfos/{position}");
        check.require(&place, info, &["licenseId", "extractedText"]);
        if text(info, "licenseId").is_some_and(|id| !is_id(id, "LicenseRef-")) {
            check.add(&place, "licenseId is not of the form LicenseRef-…");
        }
    }
    check.broken.truncate(MAX_VIOLATIONS);
    check.broken
}

fn elements(spdx: &Value) -> impl Iterator<Item = (&'static str, usize, &Value)> {
    ["packages", "files", "snippets"]
        .into_iter()
        .flat_map(move |key| list(spdx, key).enumerate().map(move |(position, entry)| (key, position, entry)))
}

#[derive(Default)]
struct Check {
    broken: Vec<String>,
}

impl Check {
    fn add(&mut self, place: &str, reason: &str) {
        if self.broken.len() <= MAX_VIOLATIONS {
            self.broken.push(format!("{place}: {reason}"));
        }
    }

    fn require(&mut self, place: &str, entry: &Value, keys: &[&str]) {
        for key in keys {
            if text(entry, key).is_none_or(str::is_empty) {
                self.add(place, &format!("{key} is missing"));
            }
        }
    }

    fn header(&mut self, spdx: &Value) {
        self.require("", spdx, &["spdxVersion", "dataLicense", "SPDXID", "name", "documentNamespace"]);
        if text(spdx, "dataLicense").is_some_and(|license| license != "CC0-1.0") {
            self.add("/dataLicense", "must be CC0-1.0");
        }
        if text(spdx, "SPDXID").is_some_and(|id| id != "SPDXRef-DOCUMENT") {
            self.add("/SPDXID", "must be SPDXRef-DOCUMENT");
        }
        if let Some(namespace) = text(spdx, "documentNamespace")
            && (namespace.contains('#') || url::Url::parse(namespace).is_err())
        {
            self.add("/documentNamespace", "must be an absolute URI without `#`");
        }
        let Some(info) = spdx.get("creationInfo") else {
            self.add("", "creationInfo is missing");
            return;
        };
        let created = text(info, "created").unwrap_or_default();
        let is_time =
            created.len() >= 20 && created.ends_with('Z') && created.parse::<jiff::Timestamp>().is_ok();
        if !is_time {
            self.add("/creationInfo/created", "must be a time of the form YYYY-MM-DDThh:mm:ssZ");
        }
        let creators: Vec<&str> = list(info, "creators").filter_map(Value::as_str).collect();
        if creators.is_empty() {
            self.add("/creationInfo/creators", "needs at least one creator");
        }
        for creator in creators {
            if !["Person:", "Organization:", "Tool:"].iter().any(|kind| creator.starts_with(kind)) {
                self.add(
                    "/creationInfo/creators",
                    &format!("`{creator}` is neither Person, Organization nor Tool"),
                );
            }
        }
    }

    fn package(&mut self, place: &str, entry: &Value) {
        self.require(place, entry, &["name", "downloadLocation"]);
        for key in ["licenseConcluded", "licenseDeclared"] {
            if let Some(text) = text(entry, key) {
                let special = matches!(text, "NONE" | "NOASSERTION");
                if !special && spdx::Expression::parse_mode(text, spdx::ParseMode::LAX).is_err() {
                    self.add(place, &format!("{key} `{text}` is no licence expression"));
                }
            }
        }
        for key in ["supplier", "originator"] {
            let actor = text(entry, key).unwrap_or("NOASSERTION");
            if actor != "NOASSERTION" && !actor.starts_with("Person:") && !actor.starts_with("Organization:")
            {
                self.add(place, &format!("{key} `{actor}` is neither Person, Organization nor NOASSERTION"));
            }
        }
        if let Some(purpose) = text(entry, "primaryPackagePurpose")
            && !PURPOSES.contains(&purpose)
        {
            self.add(place, &format!("`{purpose}` is no package purpose"));
        }
        for checksum in list(entry, "checksums") {
            let algorithm = text(checksum, "algorithm").unwrap_or_default();
            let value = text(checksum, "checksumValue").unwrap_or_default();
            let known = hash_name(algorithm);
            let other = matches!(algorithm, "SHA224" | "MD2" | "MD4" | "MD6" | "BLAKE3" | "ADLER32");
            if known.is_none() && !other {
                self.add(place, &format!("`{algorithm}` is no checksum algorithm"));
            }
            let length = known.map(|names| names.3);
            if !value.bytes().all(|b| b.is_ascii_hexdigit())
                || length.is_some_and(|length| length != value.len())
            {
                self.add(place, &format!("checksum `{value}` is not of the form of {algorithm}"));
            }
        }
        for reference in list(entry, "externalRefs") {
            self.require(place, reference, &["referenceCategory", "referenceType", "referenceLocator"]);
            let category = text(reference, "referenceCategory").unwrap_or_default().replace('_', "-");
            if !matches!(category.as_str(), "SECURITY" | "PACKAGE-MANAGER" | "PERSISTENT-ID" | "OTHER") {
                self.add(place, &format!("`{category}` is no category of external references"));
            }
        }
    }

    fn relationship(&mut self, place: &str, edge: &Value, ids: &HashSet<&str>) {
        self.require(place, edge, &["spdxElementId", "relatedSpdxElement", "relationshipType"]);
        if text(edge, "relationshipType").is_some_and(|kind| !RELATIONSHIPS.contains(&kind)) {
            self.add(place, "relationshipType is unknown");
        }
        for key in ["spdxElementId", "relatedSpdxElement"] {
            if let Some(id) =
                text(edge, key).filter(|id| !id.starts_with("DocumentRef-") && !ids.contains(id))
            {
                self.add(place, &format!("{key} `{id}` names no element"));
            }
        }
    }
}

fn is_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| {
        !rest.is_empty()
            && rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+' | b'_'))
    })
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}
