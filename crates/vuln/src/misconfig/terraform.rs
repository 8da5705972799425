//! Terraform configurations, by the rules of `data/misconfig/terraform.toml`.
//!
//! A value that is an expression (a variable, a reference) is not known and never called wrong, except where a rule
//! asks for the attribute to be present at all.

use serde_json::Value;

use super::{Finding, rules_of};

/// Largest file that is looked at.
const MAX_BYTES: usize = 4 << 20;
/// Deepest nesting of brackets: the parser descends recursively.
const MAX_DEPTH: usize = 64;

/// Checks the resources of one file. A file that is no HCL has none.
pub fn check(path: &str, text: &str) -> Vec<Finding> {
    if text.len() > MAX_BYTES || depth(text) > MAX_DEPTH {
        return Vec::new();
    }
    let Ok(body) = hcl::from_str::<Value>(text) else { return Vec::new() };
    resources(path, &body, |kind, name| line_of(text, kind, name))
}

/// Checks the resources of a file in Terraform's JSON syntax. A file that is no JSON has none.
pub fn check_json(path: &str, text: &str) -> Vec<Finding> {
    if text.len() > MAX_BYTES || depth(text) > MAX_DEPTH {
        return Vec::new();
    }
    let Ok(body) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    resources(path, &body, |kind, name| {
        let mut lines = text.lines().enumerate();
        let (kind, name) = (format!("\"{kind}\""), format!("\"{name}\""));
        lines.find(|(_, line)| line.contains(&kind)).filter(|(_, line)| !line.contains(&name)).map_or_else(
            || text.lines().position(|line| line.contains(&kind) && line.contains(&name)).map(|at| at + 1),
            |_| lines.find(|(_, line)| line.contains(&name)).map(|(at, _)| at + 1),
        )
    })
}

fn resources(path: &str, body: &Value, line: impl Fn(&str, &str) -> Option<usize>) -> Vec<Finding> {
    let mut out = Vec::new();
    for (kind, named) in labelled(body.get("resource")) {
        for (name, bodies) in labelled(Some(named)) {
            let lines = line(kind, name).map(|line| (line, line));
            let several = bodies.as_array().map_or(std::slice::from_ref(bodies), Vec::as_slice);
            for rule in rules_of("terraform").iter().filter(|rule| rule.on.iter().any(|entry| entry == kind))
            {
                if several.iter().any(|resource| rule.violated(resource, &[("file", body)])) {
                    out.push(rule.finding(path, lines, &format!("resource `{kind}.{name}`")));
                }
            }
        }
    }
    out
}

/// What is below a label: members of an object, or of each object of a list (JSON allows both).
fn labelled(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    let objects = value.map_or(&[][..], |value| match value {
        Value::Array(several) => several.as_slice(),
        one => std::slice::from_ref(one),
    });
    objects.iter().filter_map(Value::as_object).flatten()
}

/// Deepest nesting of brackets outside quoted texts, roughly: an upper bound is enough.
fn depth(text: &str) -> usize {
    let mut deepest: usize = 0;
    let mut now: usize = 0;
    for byte in text.bytes() {
        match byte {
            b'{' | b'[' | b'(' => {
                now += 1;
                deepest = deepest.max(now);
            }
            b'}' | b']' | b')' => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn line_of(text: &str, kind: &str, name: &str) -> Option<usize> {
    let (kind, name) = (format!("\"{kind}\""), format!("\"{name}\""));
    let is_head = |line: &str| {
        line.trim_start().starts_with("resource") && line.contains(&kind) && line.contains(&name)
    };
    text.lines().position(is_head).map(|position| position + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_resources_are_found_and_unknown_values_are_not_judged() {
        let text = "resource \"aws_security_group_rule\" \"a\" {\n  type = \"ingress\"\n  cidr_blocks = [\"0.0.0.0/0\"]\n  \
            from_port = 22\n  to_port = 22\n}\nresource \"aws_security_group_rule\" \"b\" {\n  type = \"ingress\"\n  \
            cidr_blocks = var.allowed\n}\nresource \"aws_db_instance\" \"d\" {\n  publicly_accessible = true\n  storage_encrypted = var.x\n}\n";
        let found = check("main.tf", text);
        let ids: Vec<(&str, Option<(usize, usize)>)> =
            found.iter().map(|finding| (finding.id.as_str(), finding.lines)).collect();
        assert!(ids.contains(&("BD-TF-001", Some((1, 1)))), "{ids:?}");
        assert_eq!(ids.iter().filter(|(id, _)| *id == "BD-TF-001").count(), 1, "{ids:?}");
        assert!(ids.contains(&("BD-TF-004", Some((11, 11)))), "{ids:?}");
    }

    #[test]
    fn the_json_syntax_says_the_same() {
        let text = "{\n \"resource\": {\n  \"aws_db_instance\": {\n   \"d\": {\n    \"publicly_accessible\": true,\n    \
            \"storage_encrypted\": \"${var.x}\"\n   }\n  },\n  \"aws_s3_bucket\": [{\"b\": [{\"acl\": \"public-read\"}]}]\n }\n}\n";
        let found = super::super::check_file("infra/main.tf.json", text.as_bytes()).expect("Terraform");
        let ids: Vec<(&str, Option<(usize, usize)>)> =
            found.iter().map(|finding| (finding.id.as_str(), finding.lines)).collect();
        assert!(ids.contains(&("BD-TF-004", Some((4, 4)))), "{ids:?}");
        assert!(ids.contains(&("BD-TF-003", Some((9, 9)))), "{ids:?}");
        assert!(!ids.iter().any(|(id, _)| *id == "BD-TF-005"), "an unknown value is not judged: {ids:?}");
    }

    #[test]
    fn deep_nesting_is_not_followed() {
        assert_eq!(check("x.tf", &"{".repeat(100_000)), Vec::new());
    }
}
