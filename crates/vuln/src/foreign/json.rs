//! JSON read lazily: an object's members are parsed when they are asked for, lists element by element, so that the
//! memory of a document of many findings is that of one finding beside its text. A value of many tiny parts needs far
//! more memory than its text: members, elements and the size of what is parsed at once are bounded.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::ForeignError;

/// Most members of an object that is read lazily.
const MAX_MEMBERS: usize = 10_000;
/// Most elements of a list.
const MAX_ELEMENTS: usize = 1_000_000;
/// Largest value that is parsed at once.
const MAX_VALUE_BYTES: usize = 1 << 20;

/// An object whose members are not parsed yet.
pub(super) struct Object<'a>(BTreeMap<String, &'a RawValue>);

struct Members;

impl<'a> Visitor<'a> for Members {
    type Value = Object<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Object<'a>, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((key, raw)) = map.next_entry::<String, &'a RawValue>()? {
            if members.len() >= MAX_MEMBERS {
                return Err(A::Error::custom("an object of too many members"));
            }
            members.insert(key, raw);
        }
        Ok(Object(members))
    }
}

impl<'a> Deserialize<'a> for Object<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

/// The elements of a list, not parsed yet.
struct Elements<'a>(Vec<&'a RawValue>);

struct EachElement;

impl<'a> Visitor<'a> for EachElement {
    type Value = Elements<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<Elements<'a>, A::Error> {
        let mut elements = Vec::new();
        while let Some(raw) = list.next_element::<&'a RawValue>()? {
            if elements.len() >= MAX_ELEMENTS {
                return Err(A::Error::custom("a list of too many elements"));
            }
            elements.push(raw);
        }
        Ok(Elements(elements))
    }
}

impl<'a> Deserialize<'a> for Elements<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(EachElement)
    }
}

fn syntax(error: &serde_json::Error) -> ForeignError {
    ForeignError::Syntax { form: "JSON", reason: error.to_string() }
}

impl<'a> Object<'a> {
    /// Reads the outline of an object.
    pub(super) fn parse(text: &'a str) -> Result<Self, ForeignError> {
        serde_json::from_str(text).map_err(|error| syntax(&error))
    }

    /// Whether there is a member that is not null.
    pub(super) fn has(&self, key: &str) -> bool {
        self.raw(key).is_some()
    }

    /// Whether there is a member, null or not.
    pub(super) fn states(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// A member's text; null is absent.
    pub(super) fn raw(&self, key: &str) -> Option<&'a str> {
        self.0.get(key).map(|raw| raw.get()).filter(|text| *text != "null")
    }

    /// A small member; null if it is absent or cannot be parsed.
    pub(super) fn value(&self, key: &str) -> Value {
        self.raw(key).and_then(|text| value(text).ok()).unwrap_or_default()
    }

    /// A text, empty if it is absent or none.
    pub(super) fn text(&self, key: &str) -> String {
        self.raw(key).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// A member that is an object.
    pub(super) fn object(&self, key: &str) -> Option<Self> {
        self.raw(key).and_then(|text| Self::parse(text).ok())
    }

    /// The elements of a member that is a list; none if it is absent.
    pub(super) fn list(&self, key: &str) -> Result<Vec<&'a str>, ForeignError> {
        self.raw(key).map_or(Ok(Vec::new()), list)
    }

    /// Keys and texts of all members.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().map(|(key, raw)| (key.as_str(), raw.get()))
    }
}

/// The elements of a list, not parsed yet.
pub(super) fn list(text: &str) -> Result<Vec<&str>, ForeignError> {
    let Elements(elements) = serde_json::from_str(text).map_err(|error| syntax(&error))?;
    Ok(elements.into_iter().map(RawValue::get).collect())
}

/// Parses a value of bounded size.
pub(super) fn value(text: &str) -> Result<Value, String> {
    if text.len() > MAX_VALUE_BYTES {
        return Err(format!("it has {} bytes, more than {MAX_VALUE_BYTES}", text.len()));
    }
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// The value at a path of keys; null if there is none.
pub(super) fn at<'v>(value: &'v Value, path: &[&str]) -> &'v Value {
    path.iter().fold(value, |value, key| value.get(key).unwrap_or(&Value::Null))
}

/// The text at a path of keys, empty if there is none.
pub(super) fn text<'v>(value: &'v Value, path: &[&str]) -> &'v str {
    at(value, path).as_str().unwrap_or_default()
}

/// The elements at a path of keys, none if there is no list.
pub(super) fn items<'v>(value: &'v Value, path: &[&str]) -> &'v [Value] {
    at(value, path).as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The texts among the elements at a path of keys.
pub(super) fn texts<'v>(value: &'v Value, path: &[&str]) -> impl Iterator<Item = &'v str> {
    items(value, path).iter().filter_map(Value::as_str)
}

/// A number, or a text that is one.
pub(super) fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|n: &f64| n.is_finite())
}
