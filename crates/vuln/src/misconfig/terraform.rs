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
    let mut out = Vec::new();
    let resources = body.get("resource").and_then(Value::as_object).into_iter().flatten();
    for (kind, named) in resources {
        for (name, resource) in named.as_object().into_iter().flatten() {
            let lines = line_of(text, kind, name).map(|line| (line, line));
            for rule in rules_of("terraform") {
                if rule.on.iter().any(|entry| entry == kind) && rule.violated(resource, &[("file", &body)]) {
                    out.push(rule.finding(path, lines, &format!("resource `{kind}.{name}`")));
                }
            }
        }
    }
    out
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
    fn deep_nesting_is_not_followed() {
        assert_eq!(check("x.tf", &"{".repeat(100_000)), Vec::new());
    }
}
