//! Helm charts: the images that `values.yaml` names.
//!
//! `image: name:tag`, `image: {registry, repository, tag, digest}` and lists of them. A missing tag means the chart's
//! `appVersion`; `Chart.yaml` is another file, so [`crate::merge`] fills it in and drops values files without a chart.

use serde_json::Value;

use super::text::{str_of, yaml};
use super::{Extractor, Found, Parse, Scope};
use crate::package::{Package, PackageKind};

/// Stands for the chart's `appVersion`.
pub(crate) const APP_VERSION: &str = "{appVersion}";
pub(crate) const CHART: &str = "helm-chart";
pub(crate) const VALUES: &str = "helm-values";

pub(super) const CHART_FILE: Extractor = Extractor {
    name: CHART,
    scope: Scope::Both,
    required: |info| info.name == "Chart.yaml",
    parse: Parse::Document(|_, bytes, found| {
        let document = yaml(bytes)?;
        found.text = Some(scalar(document.get("appVersion")));
        // artifacthub.io/images is a YAML list inside a string.
        let listed = document.pointer("/annotations/artifacthub.io~1images").and_then(Value::as_str);
        let images = listed.and_then(|listed| yaml(listed.as_bytes()).ok());
        for image in images.iter().filter_map(Value::as_array).flatten() {
            reference(str_of(image, "image"), found);
        }
        Ok(())
    }),
};

pub(super) const VALUES_FILE: Extractor = Extractor {
    name: VALUES,
    scope: Scope::Both,
    required: |info| matches!(info.name, "values.yaml" | "values.yml"),
    parse: Parse::Document(|_, bytes, found| {
        // Values files of other tools share the name; what is no YAML is not a chart's.
        if let Ok(document) = yaml(bytes) {
            let registry = document.pointer("/global/imageRegistry").and_then(Value::as_str).unwrap_or("");
            images(&document, registry, found);
        }
        Ok(())
    }),
};

/// The YAML reader bounds the nesting.
fn images(value: &Value, registry: &str, found: &mut Found) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| images(item, registry, found)),
        Value::Object(members) => {
            for (key, member) in members {
                let names_image = key == "image" || key.ends_with("Image");
                match member {
                    Value::String(text) if names_image && !members.contains_key("repository") => {
                        reference(text, found);
                    }
                    _ => images(member, registry, found),
                }
            }
            let repository = ["repository", "image"].iter().find_map(|key| members.get(*key)?.as_str());
            let has_tag = ["tag", "digest"].iter().any(|key| members.contains_key(*key));
            if let Some(repository) = repository.filter(|_| has_tag) {
                described(value, repository, registry, found);
            }
        }
        _ => {}
    }
}

fn described(value: &Value, repository: &str, global: &str, found: &mut Found) {
    let registry =
        [global, str_of(value, "registry")].into_iter().find(|registry| !registry.is_empty()).unwrap_or("");
    let name = if registry.is_empty() { repository.to_owned() } else { format!("{registry}/{repository}") };
    let digest = str_of(value, "digest");
    let tag = scalar(value.get("tag"));
    let version = [digest, tag.as_str(), APP_VERSION]
        .into_iter()
        .find(|version| !version.is_empty())
        .unwrap_or(APP_VERSION);
    add(&name, version, found);
}

/// `name[:tag][@digest]`.
fn reference(text: &str, found: &mut Found) {
    let (name, digest) = text.trim().split_once('@').unwrap_or((text.trim(), ""));
    let colon = name.rfind(':').filter(|at| !name.get(*at..).unwrap_or("").contains('/'));
    let (name, tag) =
        colon.map_or((name, ""), |at| (name.get(..at).unwrap_or(""), name.get(at + 1..).unwrap_or("")));
    let version = [digest, tag].into_iter().find(|version| !version.is_empty());
    if let Some(version) = version {
        add(name, version, found);
    }
}

fn add(name: &str, version: &str, found: &mut Found) {
    let is_name =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/:".contains(&byte));
    if is_name {
        found.package(Package::new(PackageKind::Oci, name, version));
    }
}

/// A tag may be written as a number.
fn scalar(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}
