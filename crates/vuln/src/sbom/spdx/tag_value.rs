//! SPDX 2 tag-value text into the JSON form: what an inventory is made of; files and snippets only by their place.

use serde_json::{Map, Value, json};

const MAX_ELEMENTS: usize = 1_000_000;

/// The JSON form of a tag-value document.
pub(crate) fn tag_value(text: &str) -> Result<Value, String> {
    let mut out = Reader::default();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fail = |reason: &str| format!("line {}: {reason}", number + 1);
        let (tag, value) = line.split_once(':').ok_or_else(|| fail("no `Tag: value`"))?;
        let mut value = value.trim().to_owned();
        if let Some(rest) = value.strip_prefix("<text>") {
            let mut body = rest.to_owned();
            while !body.contains("</text>") {
                let (_, next) = lines.next().ok_or_else(|| fail("<text> is not closed"))?;
                body.push('\n');
                body.push_str(next);
            }
            body.split("</text>").next().unwrap_or_default().clone_into(&mut value);
        }
        out.tag(tag.trim(), value).map_err(|reason| fail(&reason))?;
    }
    Ok(out.finish())
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Section {
    #[default]
    Document,
    Package,
    Other,
    License,
}

#[derive(Default)]
struct Reader {
    document: Map<String, Value>,
    info: Map<String, Value>,
    packages: Vec<Map<String, Value>>,
    files: Vec<Map<String, Value>>,
    licenses: Vec<Map<String, Value>>,
    relationships: Vec<Value>,
    annotations: Vec<(String, Map<String, Value>)>,
    section: Section,
}

impl Reader {
    fn tag(&mut self, tag: &str, value: String) -> Result<(), String> {
        if self.packages.len() + self.files.len() + self.relationships.len() > MAX_ELEMENTS {
            return Err(format!("more than {MAX_ELEMENTS} elements"));
        }
        match tag {
            "SPDXVersion" => self.set("spdxVersion", value),
            "DataLicense" => self.set("dataLicense", value),
            "DocumentName" => self.set("name", value),
            "DocumentNamespace" => self.set("documentNamespace", value),
            "Created" => {
                self.info.insert("created".into(), json!(value));
            }
            "Creator" => push(&mut self.info, "creators", json!(value)),
            "PackageName" => {
                self.section = Section::Package;
                let mut package = Map::new();
                package.insert("name".into(), json!(value));
                self.packages.push(package);
            }
            "FileName" | "SnippetSPDXID" => {
                self.section = Section::Other;
                let mut file = Map::new();
                if tag == "SnippetSPDXID" {
                    file.insert("SPDXID".into(), json!(value));
                }
                self.files.push(file);
            }
            "LicenseID" => {
                self.section = Section::License;
                let mut license = Map::new();
                license.insert("licenseId".into(), json!(value));
                self.licenses.push(license);
            }
            "ExtractedText" | "LicenseName" => {
                let license = self.licenses.last_mut().ok_or("licence text before LicenseID")?;
                let key = if tag == "LicenseName" { "name" } else { "extractedText" };
                license.insert(key.into(), json!(value));
            }
            "SPDXID" => self.identifier(value),
            "Relationship" => self.relationship(&value)?,
            "Annotator" => {
                let mut annotation = Map::new();
                annotation.insert("annotator".into(), json!(value));
                self.annotations.push((String::new(), annotation));
            }
            "AnnotationDate" | "AnnotationType" | "AnnotationComment" | "SPDXREF" => {
                self.annotation(tag, value);
            }
            _ if self.section == Section::Package => self.package(tag, value)?,
            _ => {}
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: String) {
        self.document.insert(key.to_owned(), json!(value));
    }

    fn identifier(&mut self, value: String) {
        let target = match self.section {
            Section::Package => self.packages.last_mut(),
            Section::Other => self.files.last_mut(),
            Section::Document | Section::License => Some(&mut self.document),
        };
        if let Some(target) = target {
            target.insert("SPDXID".into(), json!(value));
        }
    }

    fn relationship(&mut self, value: &str) -> Result<(), String> {
        let mut parts = value.split_whitespace();
        let (Some(from), Some(kind), Some(to)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("relationship is not of the form `A TYPE B`".into());
        };
        self.relationships
            .push(json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to }));
        Ok(())
    }

    fn annotation(&mut self, tag: &str, value: String) {
        let Some((target, annotation)) = self.annotations.last_mut() else { return };
        let key = match tag {
            "AnnotationDate" => "annotationDate",
            "AnnotationType" => "annotationType",
            "AnnotationComment" => "comment",
            _ => {
                *target = value;
                return;
            }
        };
        annotation.insert(key.into(), json!(value));
    }

    fn package(&mut self, tag: &str, value: String) -> Result<(), String> {
        let Some(package) = self.packages.last_mut() else { return Ok(()) };
        let key = match tag {
            "PackageVersion" => "versionInfo",
            "PackageSupplier" => "supplier",
            "PackageOriginator" => "originator",
            "PackageDownloadLocation" => "downloadLocation",
            "PackageLicenseConcluded" => "licenseConcluded",
            "PackageLicenseDeclared" => "licenseDeclared",
            "PackageCopyrightText" => "copyrightText",
            "PackageSourceInfo" => "sourceInfo",
            "PackageDescription" => "description",
            "PrimaryPackagePurpose" => "primaryPackagePurpose",
            "PackageChecksum" => {
                let (algorithm, hex) =
                    value.split_once(':').ok_or("checksum is not of the form `ALGORITHM: hex`")?;
                push(
                    package,
                    "checksums",
                    json!({ "algorithm": algorithm.trim(), "checksumValue": hex.trim() }),
                );
                return Ok(());
            }
            "ExternalRef" => {
                let mut parts = value.split_whitespace();
                let (Some(category), Some(kind), Some(locator)) = (parts.next(), parts.next(), parts.next())
                else {
                    return Err("external reference is not of the form `CATEGORY type locator`".into());
                };
                let reference = json!({ "referenceCategory": category, "referenceType": kind, "referenceLocator": locator });
                push(package, "externalRefs", reference);
                return Ok(());
            }
            _ => return Ok(()),
        };
        package.insert(key.into(), json!(value));
        Ok(())
    }

    fn finish(mut self) -> Value {
        for (target, annotation) in self.annotations {
            let id = Some(Value::String(target));
            match self.packages.iter_mut().find(|package| package.get("SPDXID") == id.as_ref()) {
                Some(package) => push(package, "annotations", Value::Object(annotation)),
                None => push(&mut self.document, "annotations", Value::Object(annotation)),
            }
        }
        let array =
            |list: Vec<Map<String, Value>>| Value::Array(list.into_iter().map(Value::Object).collect());
        self.document.insert("creationInfo".into(), Value::Object(self.info));
        self.document.insert("packages".into(), array(self.packages));
        self.document.insert("files".into(), array(self.files));
        self.document.insert("hasExtractedLicensingInfos".into(), array(self.licenses));
        self.document.insert("relationships".into(), Value::Array(self.relationships));
        Value::Object(self.document)
    }
}

fn push(target: &mut Map<String, Value>, key: &str, value: Value) {
    if let Value::Array(list) = target.entry(key.to_owned()).or_insert_with(|| json!([])) {
        list.push(value);
    }
}
