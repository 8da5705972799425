//! Values of templates: what YAML has, shared instead of copied, maps changeable in place as `set` needs it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;

use serde_json::Value as Json;

/// Deepest nesting that is written out; a map that holds itself ends here.
const MAX_DEPTH: usize = 60;

/// A map; all who hold it see a change.
pub(super) type Map = Rc<RefCell<BTreeMap<String, Value>>>;

/// A value.
#[derive(Clone, Debug, Default)]
pub(super) enum Value {
    #[default]
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    List(Rc<Vec<Value>>),
    Map(Map),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<Vec<Value>> for Value {
    fn from(list: Vec<Value>) -> Self {
        Self::List(Rc::new(list))
    }
}

impl FromIterator<(String, Value)> for Value {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(members: I) -> Self {
        Self::Map(Rc::new(RefCell::new(members.into_iter().collect())))
    }
}

impl From<&Json> for Value {
    fn from(json: &Json) -> Self {
        match json {
            Json::Null => Self::Nil,
            Json::Bool(truth) => Self::Bool(*truth),
            Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Self::Int(whole),
                (None, Some(part)) => Self::Float(part),
                (None, None) => Self::Nil,
            },
            Json::String(text) => text.as_str().into(),
            Json::Array(items) => items.iter().map(Self::from).collect::<Vec<_>>().into(),
            Json::Object(members) => {
                members.iter().map(|(key, value)| (key.clone(), Self::from(value))).collect()
            }
        }
    }
}

impl Value {
    /// Go's truth: everything but nothing, zero and what is empty.
    pub(super) fn truth(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(truth) => *truth,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Map(members) => !members.borrow().is_empty(),
        }
    }

    /// A member; nothing if there is none.
    pub(super) fn get(&self, key: &str) -> Self {
        match self {
            Self::Map(members) => members.borrow().get(key).cloned().unwrap_or_default(),
            _ => Self::Nil,
        }
    }

    /// A member below a member, `a.b.c`.
    pub(super) fn path(&self, path: &str) -> Self {
        path.split('.').fold(self.clone(), |value, key| value.get(key))
    }

    /// As it is printed.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Nil => String::new(),
            Self::Bool(truth) => truth.to_string(),
            Self::Int(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Text(text) => text.to_string(),
            Self::List(items) => {
                format!("[{}]", items.iter().map(Self::text).collect::<Vec<_>>().join(" "))
            }
            // Nobody means a map to be printed.
            Self::Map(_) => "map[]".to_owned(),
        }
    }

    /// Go's name of the kind.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "invalid",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int64",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::List(_) => "slice",
            Self::Map(_) => "map",
        }
    }

    /// A whole number out of what looks like one; else zero.
    #[expect(clippy::cast_possible_truncation, reason = "templates ask for just that")]
    pub(super) fn int(&self) -> i64 {
        match self {
            Self::Int(number) => *number,
            Self::Float(number) => *number as i64,
            Self::Text(text) => text
                .parse()
                .ok()
                .or_else(|| text.parse::<f64>().ok().map(|number| number as i64))
                .unwrap_or(0),
            Self::Bool(truth) => i64::from(*truth),
            _ => 0,
        }
    }

    /// A number out of what looks like one; else zero.
    #[expect(clippy::cast_precision_loss, reason = "templates ask for just that")]
    pub(super) fn float(&self) -> f64 {
        match self {
            Self::Float(number) => *number,
            Self::Text(text) => text.parse().unwrap_or(0.0),
            other => other.int() as f64,
        }
    }

    /// How many parts it has.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::List(items) => items.len(),
            Self::Map(members) => members.borrow().len(),
            _ => 0,
        }
    }

    /// The items of a list; of anything else none.
    pub(super) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// A copy that shares no map.
    pub(super) fn deep_copy(&self, depth: usize) -> Self {
        match self {
            _ if depth > MAX_DEPTH => Self::Nil,
            Self::List(items) => {
                items.iter().map(|item| item.deep_copy(depth + 1)).collect::<Vec<_>>().into()
            }
            Self::Map(members) => members
                .borrow()
                .iter()
                .map(|(key, value)| (key.clone(), value.deep_copy(depth + 1)))
                .collect(),
            other => other.clone(),
        }
    }

    /// What `over` states, and of `self` what it does not; a null takes a member away.
    pub(super) fn merged(&self, over: &Self, depth: usize) -> Self {
        let (Self::Map(base), Self::Map(own)) = (self, over) else { return over.clone() };
        if depth > MAX_DEPTH {
            return over.clone();
        }
        let mut out = base.borrow().clone();
        for (key, value) in own.borrow().iter() {
            match (out.get(key), value) {
                (_, Self::Nil) => drop(out.remove(key)),
                (Some(old), value) => {
                    let value = old.merged(value, depth + 1);
                    out.insert(key.clone(), value);
                }
                (None, value) => drop(out.insert(key.clone(), value.clone())),
            }
        }
        out.into_iter().collect()
    }

    /// JSON.
    pub(super) fn json(&self, depth: usize) -> Result<Json, String> {
        if depth > MAX_DEPTH {
            return Err(format!("a value is nested deeper than {MAX_DEPTH}"));
        }
        Ok(match self {
            Self::Nil => Json::Null,
            Self::Bool(truth) => Json::Bool(*truth),
            Self::Int(number) => Json::from(*number),
            Self::Float(number) => Json::from(*number),
            Self::Text(text) => Json::from(&**text),
            Self::List(items) => {
                Json::Array(items.iter().map(|item| item.json(depth + 1)).collect::<Result<_, _>>()?)
            }
            Self::Map(members) => {
                let one = |(key, value): (&String, &Self)| Ok((key.clone(), value.json(depth + 1)?));
                Json::Object(members.borrow().iter().map(one).collect::<Result<_, String>>()?)
            }
        })
    }

    /// YAML in blocks, as `toYaml` writes it: no final line feed.
    pub(super) fn yaml(&self) -> Result<String, String> {
        let mut out = String::new();
        self.block(0, &mut out, 0)?;
        Ok(out.trim_end_matches('\n').to_owned())
    }

    /// Writes the value as a block at an indentation, a line feed at its end.
    fn block(&self, indent: usize, out: &mut String, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("a value is nested deeper than {MAX_DEPTH}"));
        }
        match self {
            Self::Map(members) if !members.borrow().is_empty() => {
                for (key, value) in members.borrow().iter() {
                    let _ = write!(out, "{:indent$}{}:", "", scalar(key));
                    match value {
                        Self::Map(inner) if !inner.borrow().is_empty() => {
                            out.push('\n');
                            value.block(indent + 2, out, depth + 1)?;
                        }
                        // Items stand below their key, as Go's writer has it.
                        Self::List(items) if !items.is_empty() => {
                            out.push('\n');
                            value.block(indent, out, depth + 1)?;
                        }
                        plain => {
                            out.push(' ');
                            plain.block(0, out, depth + 1)?;
                        }
                    }
                }
            }
            Self::List(items) if !items.is_empty() => {
                for item in items.iter() {
                    let mut inner = String::new();
                    item.block(indent + 2, &mut inner, depth + 1)?;
                    let _ = write!(out, "{:indent$}- {}", "", inner.trim_start_matches(' '));
                }
            }
            Self::Map(_) => out.push_str("{}\n"),
            Self::List(_) => out.push_str("[]\n"),
            Self::Nil => out.push_str("null\n"),
            Self::Text(text) => {
                out.push_str(&scalar(text));
                out.push('\n');
            }
            other => {
                out.push_str(&other.text());
                out.push('\n');
            }
        }
        Ok(())
    }
}

/// A text that YAML reads back as that text: plain where that is safe, else as JSON writes it.
fn scalar(text: &str) -> String {
    let mut chars = text.chars();
    let starts = match chars.next() {
        Some(first) if first.is_ascii_digit() => {
            // Not a number, a time or anything that a reader of YAML 1.1 takes for one.
            let based = first == '0' && chars.next().is_some_and(|second| second.is_ascii_alphabetic());
            let wordy = text.chars().any(|c| c.is_ascii_alphabetic() && !"eEtTzZ".contains(c));
            wordy && !based && !text.contains(':')
        }
        Some(first) => first.is_ascii_alphabetic() || "/_$(".contains(first),
        None => false,
    };
    let inside = |c: char| c.is_ascii_alphanumeric() || " /_-.$(),=+;@%~'\"<>|*&!?^[]{}:".contains(c);
    let ambiguous = text.contains(": ") || text.ends_with([' ', ':']) || !text.chars().all(inside);
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if starts && !ambiguous && !words.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    Json::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_is_read_back_as_it_was() {
        let json = serde_json::json!({
            "a": {"b": [1, "2", {"c": null, "d": [true, [], {}]}, [3, 4]], "true": "yes", "x: y": "multi\nline"},
            "empty": "", "float": 1.5, "time": "5s", "number": "12", "hex": "0x1F", "day": "2024-01-01", "exponent": "1e3",
            "clock": "12:30", "words": "a plain text, with [brackets] and 'quotes'", "colon:": "a:b", "hash": "a #b", "list": [{"name": "n", "value": "# no comment"}],
        });
        let text = Value::from(&json).yaml().expect("YAML");
        assert_eq!(serde_saphyr::from_str::<Json>(&text).expect("YAML"), json, "{text}");
    }

    #[test]
    fn a_map_that_holds_itself_is_an_error_and_not_an_endless_loop() {
        let map: Value = [("a".to_owned(), Value::Nil)].into_iter().collect();
        let Value::Map(members) = &map else { panic!("a map") };
        members.borrow_mut().insert("self".into(), map.clone());
        assert!(map.yaml().is_err() && map.json(0).is_err());
        members.borrow_mut().clear();
    }
}
