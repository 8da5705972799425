//! A JSON check that serde's derived readers do not make: no key twice in one object, at any depth.
//!
//! A document that two readers understand differently is how one image passes a check and another runs
//! (CVE-2021-41190 and its kin), so such a document is refused before anything reads it.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// Checks that `bytes` is one JSON document without duplicate keys, byte order mark or trailing characters.
///
/// # Errors
/// What is wrong and where, as a lower-case fragment.
pub fn check(bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
    let mut reader = serde_json::Deserializer::from_str(text);
    Walk.deserialize(&mut reader).and_then(|()| reader.end()).map_err(|error| error.to_string())
}

struct Walk;

impl<'de> DeserializeSeed<'de> for Walk {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Walk)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            map.next_value_seed(Walk)?;
            if !seen.insert(key) {
                return Err(A::Error::custom("an object has the same key twice"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn ambiguous_documents_are_refused() {
        for bad in [
            &br#"{"a":1,"a":2}"#[..],
            br#"{"x":[{"a":{"b":1,"b":1}}]}"#,
            b"\xef\xbb\xbf{}",
            b"{} {}",
            b"{}x",
            b"{\"a\":\"\0\"}",
            b"{\"a\":1e999}",
            b"\xff",
            b"",
        ] {
            assert!(check(bad).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
        assert!(check(br#" {"a":[1,-2,3.5,null,true,"x"],"b":{"a":1}} "#).is_ok());
    }
}
