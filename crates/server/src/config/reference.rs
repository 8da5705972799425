//! Writes the reference of all keys as Markdown, from the JSON Schema.
//!
//! `docs/configuration.md` holds its output between two markers; a test keeps them equal.

use std::fmt::Write as _;

use serde_json::Value;

use super::Config;

/// The tables of all sections.
pub fn markdown() -> String {
    let mut out = String::new();
    section(&mut out, &Config::schema(), "");
    out
}

fn section(out: &mut String, schema: &Value, path: &str) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let is_section = |value: &&Value| value.get("properties").is_some();
    let rows: Vec<_> = properties.iter().filter(|(_, value)| !is_section(value)).collect();
    if !rows.is_empty() {
        let about = text(schema, "description");
        let _ = write!(out, "### `[{path}]`\n\n{about}\n\n| key | default | meaning |\n|---|---|---|\n");
        let mut rows = rows;
        rows.sort_by_key(|(key, _)| *key);
        for (key, value) in rows {
            let _ = writeln!(out, "| `{key}` | {} | {} |", default(schema, key, value), meaning(value));
        }
        out.push('\n');
    }
    for (key, value) in properties.iter().filter(|(_, value)| is_section(value)) {
        let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        section(out, value, &below);
    }
}

fn text(schema: &Value, key: &str) -> String {
    schema.get(key).and_then(Value::as_str).unwrap_or_default().replace('\n', " ").replace('|', "\\|")
}

fn default(section: &Value, key: &str, schema: &Value) -> String {
    let of_section = || section.get("default").and_then(|all| all.get(key));
    match schema.get("default").or_else(of_section) {
        None | Some(Value::Null) => "–".to_owned(),
        Some(value) => format!("`{value}`"),
    }
}

fn meaning(schema: &Value) -> String {
    let mut out = text(schema, "description");
    let items = schema.get("items").unwrap_or(schema);
    let choices: Vec<String> = items
        .get("oneOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|one| {
            Some(format!(
                "`{}` ({})",
                one.get("const")?.as_str()?,
                text(one, "description").trim_end_matches('.')
            ))
        })
        .collect();
    if !choices.is_empty() {
        let _ = write!(out, " One of: {}.", choices.join(", "));
    }
    out
}
