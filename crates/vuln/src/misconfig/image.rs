//! Image configurations (OCI image specification, `config.json`) and what their history says of the build.
//!
//! What runs is decided by the final `config`; history is only evidence of the build, so its findings are those that a
//! Dockerfile check can make of reconstructed instructions.

use serde_json::Value;

use super::dockerfile::{Dockerfile, Instruction, Stage, check_parsed, parse};
use super::{Finding, rules_of};

/// The path that findings of an image configuration have.
pub const PLACE: &str = "image config";

/// Dockerfile rules that history cannot answer: squashed or inherited instructions repeat, FROM is lost.
const NOT_FROM_HISTORY: &[&str] = &[
    "latest_tag",
    "root_user",
    "multiple_entrypoint_instructions_listed",
    "multiple_cmd_instructions_listed",
    "multiple_healthcheck_instructions",
    "no_healthcheck_instruction",
    "same_alias_in_different_froms",
    "copy_from_references_current_from_alias",
    "port22",
    "leaked_secrets",
    "maintainer_is_deprecated",
];

/// Checks an image configuration.
pub fn check(config: &Value) -> Vec<Finding> {
    let mut out = Vec::new();
    for rule in rules_of("image") {
        if rule.violated(config, &[]) {
            out.push(rule.finding(PLACE, None, &rule.title));
        }
    }
    let left_out: Vec<&str> = rules_of("dockerfile")
        .iter()
        .filter(|rule| rule.check.as_deref().is_some_and(|check| NOT_FROM_HISTORY.contains(&check)))
        .map(|rule| rule.id.as_str())
        .collect();
    let from_history = check_parsed("image history", &history(config));
    out.extend(from_history.into_iter().filter(|finding| !left_out.contains(&finding.id.as_str())));
    out.sort();
    out.dedup();
    out
}

/// The instructions that the history of an image shows: `/bin/sh -c #(nop)  CMD …`, `RUN … # buildkit`.
pub fn history(config: &Value) -> Dockerfile {
    let entries = config.get("history").and_then(Value::as_array).into_iter().flatten();
    let mut text = String::from("FROM unknown:unknown\n");
    for entry in entries {
        let Some(created) = entry.get("created_by").and_then(Value::as_str) else { continue };
        let line = created.trim().trim_end_matches("# buildkit").trim_end().replace('\n', " ");
        let line = match line.split_once("#(nop)") {
            Some((_, instruction)) => instruction.trim().to_owned(),
            None => match line.strip_prefix("RUN ").unwrap_or(&line).split_once("/bin/sh -c ") {
                Some((_, command)) => format!("RUN {command}"),
                None => line,
            },
        };
        text.push_str(line.trim_end_matches('\\'));
        text.push('\n');
    }
    let mut file = parse(&text);
    let known = |entry: &Instruction| {
        matches!(
            entry.name.as_str(),
            "from"
                | "run"
                | "copy"
                | "add"
                | "env"
                | "arg"
                | "cmd"
                | "entrypoint"
                | "expose"
                | "user"
                | "workdir"
                | "healthcheck"
                | "volume"
                | "label"
                | "maintainer"
                | "shell"
                | "stopsignal"
        )
    };
    let keep = |stage: &mut Stage| stage.instructions.retain(known);
    file.stages.iter_mut().for_each(keep);
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ids(config: &Value) -> Vec<String> {
        check(config).into_iter().map(|finding| finding.id).collect()
    }

    #[test]
    fn final_configuration_decides_and_history_is_evidence() {
        let bad = json!({
            "config": { "Env": ["PATH=/bin", "DB_PASSWORD=hunter2"], "ExposedPorts": { "22/tcp": {} } },
            "history": [
                { "created_by": "/bin/sh -c #(nop) ADD file:abc in / " },
                { "created_by": "RUN /bin/sh -c apt-get update # buildkit" },
                { "created_by": "/bin/sh -c sudo make install" },
            ],
        });
        let found = ids(&bad);
        for id in ["BD-IMG-001", "BD-IMG-002", "BD-IMG-003", "BD-IMG-004", "BD-DF-017", "BD-DF-010"] {
            assert!(found.contains(&id.to_owned()), "{id} in {found:?}");
        }
        assert!(!found.contains(&"BD-DF-004".to_owned()), "the base layer is no ADD: {found:?}");
        let good = json!({ "config": { "User": "65532:65532", "Env": ["PATH=/bin"], "Healthcheck": { "Test": ["CMD", "x"] } } });
        assert_eq!(ids(&good), Vec::<String>::new());
        for root in ["", "root", "0", "0:0", "root:root"] {
            let found = ids(&json!({ "config": { "User": root } }));
            assert!(found.iter().any(|id| id == "BD-IMG-001" || id == "BD-IMG-005"), "{root}: {found:?}");
        }
    }
}
