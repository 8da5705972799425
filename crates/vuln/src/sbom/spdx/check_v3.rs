//! The structural rules of SPDX 3.0 JSON-LD documents that can be checked without an RDF engine: context, identity,
//! creation information, collections and relationships. (The model's SHACL shapes are not evaluated here.)

use std::collections::HashSet;

use serde_json::Value;

const MAX_VIOLATIONS: usize = 8;
const CONTEXTS: &str = "https://spdx.org/rdf/3.0.";
const RELATIONSHIPS: &[&str] = &[
    "affects",
    "amendedBy",
    "ancestorOf",
    "availableFrom",
    "configures",
    "contains",
    "coordinatedBy",
    "copiedTo",
    "delegatedTo",
    "dependsOn",
    "descendantOf",
    "describes",
    "doesNotAffect",
    "expandsTo",
    "exploitCreatedBy",
    "fixedBy",
    "fixedIn",
    "foundBy",
    "generates",
    "hasAddedFile",
    "hasAssessmentFor",
    "hasAssociatedVulnerability",
    "hasConcludedLicense",
    "hasDataFile",
    "hasDeclaredLicense",
    "hasDeletedFile",
    "hasDependencyManifest",
    "hasDistributionArtifact",
    "hasDocumentation",
    "hasDynamicLink",
    "hasEvidence",
    "hasExample",
    "hasHost",
    "hasInput",
    "hasMetadata",
    "hasOptionalComponent",
    "hasOptionalDependency",
    "hasOutput",
    "hasPrerequisite",
    "hasProvidedDependency",
    "hasRequirement",
    "hasSpecification",
    "hasStaticLink",
    "hasTest",
    "hasTestCase",
    "hasVariant",
    "invokedBy",
    "modifiedBy",
    "other",
    "packagedBy",
    "patchedBy",
    "publishedBy",
    "reportedBy",
    "republishedBy",
    "serializedInArtifact",
    "testedOn",
    "trainedOn",
    "underInvestigationFor",
    "usesTool",
];

/// The rules that a document breaks, each as `place: reason`.
pub(crate) fn check_v3(spdx: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    let context = match spdx.get("@context") {
        Some(Value::Array(list)) => list.first().and_then(Value::as_str),
        other => other.and_then(Value::as_str),
    };
    if !context.is_some_and(|context| context.starts_with(CONTEXTS)) {
        broken.push("/@context: is not the context of SPDX 3.0".to_owned());
    }
    let Some(elements) = spdx.get("@graph").and_then(Value::as_array) else {
        broken.push("/@graph: is missing".to_owned());
        return broken;
    };
    let ids: HashSet<&str> =
        elements.iter().flat_map(|e| [text(e, "spdxId"), text(e, "@id")]).flatten().collect();
    let imported: HashSet<&str> = elements
        .iter()
        .flat_map(|element| element.get("import").and_then(Value::as_array).into_iter().flatten())
        .filter_map(|entry| text(entry, "externalSpdxId"))
        .collect();
    let mut seen = HashSet::new();
    let mut documents = 0;
    for (position, element) in elements.iter().enumerate() {
        let mut add = |reason: String| broken.push(format!("/@graph/{position}: {reason}"));
        let Some(kind) = text(element, "type").or_else(|| text(element, "@type")) else {
            add("type is missing".into());
            continue;
        };
        if kind == "CreationInfo" {
            creation(element, &mut add);
            continue;
        }
        documents += usize::from(kind == "SpdxDocument");
        // Objects that are no elements have blank node ids, and need none.
        let Some(id) = text(element, "spdxId") else {
            if text(element, "@id").is_none() {
                add("spdxId is missing".into());
            }
            continue;
        };
        if !id.contains(':') {
            add(format!("spdxId `{id}` is no IRI"));
        }
        if !seen.insert(id) {
            add(format!("spdxId `{id}` is used twice"));
        }
        match element.get("creationInfo") {
            None => add("creationInfo is missing".into()),
            Some(Value::String(info)) if !ids.contains(info.as_str()) => {
                add(format!("creationInfo `{info}` names nothing"));
            }
            Some(_) => {}
        }
        if kind.ends_with("Relationship") {
            relationship(element, &ids, &imported, &mut add);
        } else if kind == "software_Package" && text(element, "name").is_none() {
            add("name is missing".into());
        } else if kind == "simplelicensing_LicenseExpression"
            && text(element, "simplelicensing_licenseExpression").is_none()
        {
            add("simplelicensing_licenseExpression is missing".into());
        }
    }
    if documents != 1 {
        broken.push(format!("/@graph: has {documents} SpdxDocument elements instead of one"));
    }
    broken.truncate(MAX_VIOLATIONS);
    broken
}

fn creation(element: &Value, add: &mut dyn FnMut(String)) {
    if !text(element, "specVersion").is_some_and(|version| version.starts_with("3.0")) {
        add("specVersion is not 3.0".into());
    }
    if !text(element, "created").is_some_and(|at| at.ends_with('Z') && at.parse::<jiff::Timestamp>().is_ok())
    {
        add("created is not a time of the form YYYY-MM-DDThh:mm:ssZ".into());
    }
    if element.get("createdBy").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        add("createdBy needs at least one agent".into());
    }
}

fn relationship(element: &Value, ids: &HashSet<&str>, imported: &HashSet<&str>, add: &mut dyn FnMut(String)) {
    match text(element, "from") {
        None => add("from is missing".into()),
        Some(id) if !ids.contains(id) && !imported.contains(id) => {
            add(format!("from `{id}` names no element"));
        }
        Some(_) => {}
    }
    let targets = element.get("to").and_then(Value::as_array);
    if targets.is_none_or(Vec::is_empty) {
        add("to needs at least one element".into());
    }
    match text(element, "relationshipType") {
        None => add("relationshipType is missing".into()),
        Some(kind) if !RELATIONSHIPS.contains(&kind) => add(format!("relationshipType `{kind}` is unknown")),
        Some(_) => {}
    }
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}
