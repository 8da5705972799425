//! endoflife.date: the API's list of cycles (`[{"cycle","eol"}]`) and release-data (`{"releases":{name:{…}}}`).

use super::{EndOfLife, Item, Refusal, Sink, from_json};
use serde_json::Value;

pub(super) fn read(bytes: &[u8], name: &str, sink: Sink<'_>) -> Result<(), Refusal> {
    let file = name.rsplit('/').next().unwrap_or(name);
    let product = file.split('.').next().unwrap_or(file).to_owned();
    let mut emit = |cycle: &str, entry: &Value| {
        let eol = match entry.get("eol").or_else(|| entry.get("eolFrom")).or_else(|| entry.get("isEol")) {
            Some(Value::String(day)) => day.clone(),
            Some(Value::Bool(true)) => "0001-01-01".to_owned(),
            Some(_) => String::new(),
            None => return,
        };
        sink(Item::EndOfLife(EndOfLife { product: product.clone(), cycle: cycle.to_owned(), eol }));
    };
    match from_json::<Value>(bytes)? {
        Value::Array(cycles) => {
            for entry in &cycles {
                match entry.get("cycle").or_else(|| entry.get("name")) {
                    Some(Value::String(cycle)) => emit(cycle, entry),
                    Some(Value::Number(cycle)) => emit(&cycle.to_string(), entry),
                    _ => return Err(Refusal::new("cycle without name")),
                }
            }
        }
        Value::Object(document) => match document.get("releases") {
            Some(Value::Object(releases)) => releases.iter().for_each(|(cycle, entry)| emit(cycle, entry)),
            Some(Value::Array(releases)) => {
                for entry in releases {
                    emit(entry.get("name").and_then(Value::as_str).unwrap_or_default(), entry);
                }
            }
            _ => return Ok(()),
        },
        _ => return Err(Refusal::new("neither list nor object")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_of_the_api_are_read() {
        let mut out = Vec::new();
        let text = br#"[{"cycle":"12","releaseDate":"2023-06-10","eol":"2026-06-10"},{"cycle":"10","eol":true},{"cycle":"14","eol":false}]"#;
        read(text, "debian.json", &mut |i| out.push(i)).expect("cycles");
        let eol: Vec<_> =
            out.iter().map(|i| if let Item::EndOfLife(e) = i { e.eol.as_str() } else { "?" }).collect();
        assert_eq!(eol, ["2026-06-10", "0001-01-01", ""]);
    }
}
