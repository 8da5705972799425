//! Kubernetes manifests and rendered Helm charts, by the rules of `data/misconfig/kubernetes.toml`.
//!
//! A template of a chart is checked by what it renders to ([`super::charts`]), and here only if it is YAML as it stands.

use serde::Deserialize;
use serde_json::Value;

use super::{Finding, rules_of};

/// Largest file and most documents that are looked at.
const MAX_BYTES: usize = 4 << 20;
const MAX_DOCUMENTS: usize = 1_000;

/// Checks every Kubernetes object of a YAML or JSON file; `None` when it has none.
pub fn check(path: &str, text: &str) -> Option<Vec<Finding>> {
    if text.len() > MAX_BYTES || !text.contains("apiVersion") || !text.contains("kind") {
        return None;
    }
    let mut out = Vec::new();
    let mut any = false;
    let mut first_line = 1;
    for document in documents(text).take(MAX_DOCUMENTS) {
        let lines = document.lines().count();
        if let Some(value) = parse(document) {
            let mut objects = Vec::new();
            flatten(&value, &mut objects);
            for object in objects {
                any = true;
                check_object(path, object, (first_line, first_line + lines.saturating_sub(1)), &mut out);
            }
        }
        first_line += lines + 1;
    }
    any.then_some(out)
}

fn parse(document: &str) -> Option<Value> {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Any(Value);
    if document.trim_start().starts_with('{') && !document.trim_start().starts_with("{{") {
        return serde_json::from_str(document).ok();
    }
    serde_saphyr::from_str::<Any>(document).ok().map(|any| any.0)
}

/// Documents of a YAML stream.
fn documents(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut offset = 0;
        for line in text.split_inclusive('\n') {
            if offset > 0 && (line.trim_end() == "---" || line.starts_with("--- ")) {
                rest = Some(&text[offset + line.len()..]);
                return Some(&text[..offset]);
            }
            offset += line.len();
        }
        rest = None;
        Some(text)
    })
}

/// The objects of a document: itself, or the items of a List.
fn flatten<'a>(value: &'a Value, out: &mut Vec<&'a Value>) {
    let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match value.get("items").and_then(Value::as_array).filter(|_| is_list) {
        Some(items) => items.iter().for_each(|item| flatten(item, out)),
        None if value.get("kind").is_some() && value.get("apiVersion").is_some() => out.push(value),
        None => {}
    }
}

/// The pod specification inside an object of any workload kind.
fn pod_spec(object: &Value) -> Option<&Value> {
    let pointer = match object.get("kind")?.as_str()? {
        "Pod" => "/spec",
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "ReplicationController" | "Job" => {
            "/spec/template/spec"
        }
        _ => return None,
    };
    object.pointer(pointer)
}

/// The pod's own metadata, where its annotations are.
fn pod_metadata(object: &Value) -> Option<&Value> {
    match object.get("kind")?.as_str()? {
        "Pod" => object.get("metadata"),
        "CronJob" => object.pointer("/spec/jobTemplate/spec/template/metadata"),
        _ => object.pointer("/spec/template/metadata"),
    }
}

fn check_object(path: &str, object: &Value, lines: (usize, usize), out: &mut Vec<Finding>) {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("unnamed");
    let pod = pod_spec(object);
    let null = Value::Null;
    let scopes = [
        ("object", object),
        ("pod", pod.unwrap_or(&null)),
        ("template", pod_metadata(object).unwrap_or(&null)),
    ];
    for rule in rules_of("kubernetes") {
        if !rule.kinds.is_empty() && !rule.kinds.iter().any(|entry| entry == kind) {
            continue;
        }
        let mut report = |message: String| out.push(rule.finding(path, Some(lines), &message));
        match rule.on.first().map(String::as_str) {
            Some("container") => {
                let lists = ["containers", "initContainers", "ephemeralContainers"];
                let all = lists.iter().filter_map(|key| pod?.get(key)?.as_array()).flatten();
                for container in all.filter(|container| rule.violated(container, &scopes)) {
                    let part = container.get("name").and_then(Value::as_str).unwrap_or("unnamed");
                    report(format!("container `{part}` of {kind} `{name}`"));
                }
            }
            Some("pod") => {
                if pod.is_some_and(|pod| rule.violated(pod, &scopes)) {
                    report(format!("{kind} `{name}`"));
                }
            }
            _ => {
                if rule.violated(object, &scopes) {
                    report(format!("{kind} `{name}`"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  hostNetwork: true\n  securityContext:\n    \
        runAsNonRoot: true\n  containers:\n    - name: c\n      image: nginx\n      securityContext:\n        privileged: true\n";

    fn ids(text: &str) -> Vec<String> {
        check("pod.yaml", text).expect("an object").into_iter().map(|finding| finding.id).collect()
    }

    #[test]
    fn containers_inherit_from_their_pod() {
        let found = ids(POD);
        assert!(found.contains(&"BD-K8S-001".to_owned()), "privileged: {found:?}");
        assert!(found.contains(&"BD-K8S-003".to_owned()), "host network: {found:?}");
        assert!(!found.contains(&"BD-K8S-006".to_owned()), "runAsNonRoot of the pod counts: {found:?}");
    }

    #[test]
    fn each_document_and_list_item_is_checked() {
        let text = format!(
            "---\n{POD}---\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  spec: {{hostPID: true}}\n"
        );
        let found = ids(&text);
        assert_eq!(found.iter().filter(|id| *id == "BD-K8S-003").count(), 1);
        assert_eq!(found.iter().filter(|id| *id == "BD-K8S-004").count(), 1);
    }

    #[test]
    fn other_yaml_is_not_judged() {
        assert_eq!(check("values.yaml", "a: 1\n"), None);
    }
}
