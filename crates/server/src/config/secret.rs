//! A configured secret: readable by the code that needs it, never printable.
//!
//! Why a type: a `String` ends up in a debug print, an error or a dump of the configuration sooner or later. `Debug`
//! and `Serialize` show where the secret came from (`file:PATH`) or that there is one, never what it is; the memory is
//! wiped on drop. `file:PATH` reads the value from a file (one trailing line end is not part of it), which is how
//! container platforms mount secrets; the file is read once, when the configuration is loaded.

use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The largest secret file that is read, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// A secret value of the configuration.
#[derive(Clone)]
pub struct Secret {
    value: SecretString,
    file: Option<PathBuf>,
}

impl Secret {
    /// A secret given as such.
    pub fn new(value: impl Into<String>) -> Self {
        Self { value: SecretString::from(value.into()), file: None }
    }

    /// The value. Call it where it is used and nowhere else.
    pub fn expose(&self) -> &str {
        self.value.expose_secret()
    }

    fn shown(&self) -> Cow<'static, str> {
        match &self.file {
            Some(path) => format!("file:{}", path.display()).into(),
            None => "(hidden)".into(),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer).map_err(|_| de::Error::custom("expected text"))?;
        let Some(path) = text.strip_prefix("file:").map(PathBuf::from) else {
            return Ok(Self::new(text));
        };
        let read = || {
            let size = fs::metadata(&path)?.len();
            if size > MAX_BYTES {
                return Err(std::io::Error::other("larger than 64 KiB"));
            }
            fs::read_to_string(&path)
        };
        let mut content = read().map_err(|error| {
            de::Error::custom(format_args!("cannot read the secret from {}: {error}", path.display()))
        })?;
        if content.ends_with('\n') {
            content.pop();
            if content.ends_with('\r') {
                content.pop();
            }
        }
        if content.is_empty() {
            return Err(de::Error::custom(format_args!("the secret file {} is empty", path.display())));
        }
        Ok(Self { value: SecretString::from(content), file: Some(path) })
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true, "description": "A secret, or \"file:PATH\" to read it from a file." })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("canary-4711");
        assert_eq!(secret.expose(), "canary-4711");
        for shown in [format!("{secret:?}"), serde_json::to_string(&secret).expect("json")] {
            assert!(!shown.contains("canary"), "{shown}");
        }
    }

    #[test]
    fn a_secret_file_loses_one_line_end_and_shows_its_path() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("password");
        fs::write(&path, "canary\r\n").expect("write");
        let secret: Secret =
            serde_json::from_value(format!("file:{}", path.display()).into()).expect("secret");
        assert_eq!(secret.expose(), "canary");
        assert_eq!(format!("{secret:?}"), format!("file:{}", path.display()));

        let missing = serde_json::from_value::<Secret>("file:/nonexistent/x".into()).expect_err("missing");
        assert!(missing.to_string().contains("cannot read the secret from /nonexistent/x"), "{missing}");
    }
}
