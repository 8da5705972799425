//! Credentials as `docker login` and its kin keep them: `config.json` or `auth.json` with `auths` by host.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde::Deserialize;

use crate::{ImageReference, UpstreamError};

/// A name and a password or token.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Name.
    pub user: String,
    /// Password or token.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Credentials {
    /// What `Basic` carries: name and password in base64.
    pub(crate) fn of_basic(value: &str) -> Option<Self> {
        let text = String::from_utf8(BASE64.decode(value.as_bytes()).ok()?).ok()?;
        let (user, password) = text.split_once(':')?;
        Some(Self { user: user.to_owned(), password: password.to_owned() })
    }
}

/// Credentials of several registries.
#[derive(Clone, Debug, Default)]
pub struct Keychain(BTreeMap<String, Credentials>);

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

impl Keychain {
    /// Reads a file's content. Entries that only point to a helper program are passed over: nothing is run.
    ///
    /// # Errors
    /// [`UpstreamError::Credentials`] for what is no such file.
    pub fn parse(bytes: &[u8]) -> Result<Self, UpstreamError> {
        // The error's text may hold a piece of the file.
        let file: File = serde_json::from_slice(bytes).map_err(|error| {
            UpstreamError::Credentials(format!("line {}, column {}", error.line(), error.column()))
        })?;
        let mut found = BTreeMap::new();
        for (name, entry) in file.auths {
            let decoded = entry.auth.as_deref().filter(|text| !text.is_empty()).map(|text| {
                let own = Credentials::of_basic(text.trim())?;
                Some((own.user, own.password))
            });
            let pair = match decoded {
                Some(None) => {
                    return Err(UpstreamError::Credentials(format!(
                        "`auth` of {name} is not base64 of user:password"
                    )));
                }
                Some(pair) => pair,
                None => entry.username.zip(entry.password),
            };
            if let Some((user, password)) = pair {
                found.insert(key(&name), Credentials { user, password });
            }
        }
        Ok(Self(found))
    }

    /// The credentials for a repository: the longest name in front of it wins.
    pub fn of(&self, reference: &ImageReference) -> Option<&Credentials> {
        let mut name = format!("{}/{}", reference.host(), reference.repository());
        loop {
            if let Some(found) = self.0.get(&name) {
                return Some(found);
            }
            name.truncate(name.rfind('/')?);
        }
    }
}

/// `https://index.docker.io/v1/` is Docker Hub's old name.
fn key(name: &str) -> String {
    let bare = name.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let bare = bare.strip_suffix("/v1").or_else(|| bare.strip_suffix("/v2")).unwrap_or(bare);
    match bare {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_wins_and_helpers_are_passed_over() {
        let file = format!(
            r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{}"}},"r.example":{{"auth":"{}"}},
            "r.example/team":{{"username":"t","password":"p:w"}},"h.example":{{}}}},"credsStore":"desktop"}}"#,
            BASE64.encode(b"hub:x"),
            BASE64.encode(b"all:y:z")
        );
        let chain = Keychain::parse(file.as_bytes()).unwrap();
        let user =
            |text: &str| chain.of(&text.parse().unwrap()).map(|c| (c.user.clone(), c.password.clone()));
        assert_eq!(user("alpine"), Some(("hub".into(), "x".into())));
        assert_eq!(user("r.example/other/a:1"), Some(("all".into(), "y:z".into())));
        assert_eq!(user("r.example/team/a:1"), Some(("t".into(), "p:w".into())));
        assert_eq!(user("h.example/a"), None);
        assert!(Keychain::parse(br#"{"auths":{"a":{"auth":"%%"}}}"#).is_err());
        assert!(!format!("{chain:?}").contains("p:w"), "a password is shown");
    }
}
