//! Repository names (OCI distribution specification, "Pulling manifests": `<name>`).
//!
//! The first segment is the project, the rest the repository inside it. A one-segment name is that repository in the
//! project `library`, so `alpine` and `library/alpine` are the same value everywhere: equality, hashing and access
//! rules see only the canonical form. Percent signs, dots as segments and upper case never parse, so nothing is
//! decoded twice.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// Project of one-segment names.
pub const DEFAULT_PROJECT: &str = "library";

/// Longest name in bytes, with its slashes and, for a one-segment name, the project that it lies in.
pub const MAX_NAME_BYTES: usize = 255;

/// Why a text is not a repository or project name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Longer than 255 bytes or empty.
    #[error("repository name must have 1 to 255 characters")]
    Length,
    /// A segment outside `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
    #[error(
        "repository name must be lower-case letters and digits, separated by one `.`, one or two `_` or any `-`, in segments divided by `/`"
    )]
    Segment,
}

/// Whether `segment` is `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_segment(segment: &str) -> bool {
    let alnum = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = segment.as_bytes();
    let mut at = 0;
    loop {
        let start = at;
        while at < bytes.len() && alnum(bytes[at]) {
            at += 1;
        }
        if at == start {
            return false;
        }
        if at == bytes.len() {
            return true;
        }
        let separator = at;
        while at < bytes.len() && !alnum(bytes[at]) {
            at += 1;
        }
        let run = &bytes[separator..at];
        let good = run == b"." || run == b"_" || run == b"__" || run.iter().all(|byte| *byte == b'-');
        if !good {
            return false;
        }
    }
}

/// The name of a project: one segment of a repository name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProjectName(String);

impl ProjectName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProjectName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > MAX_NAME_BYTES {
            return Err(NameError::Length);
        }
        if is_segment(text) { Ok(Self(text.to_owned())) } else { Err(NameError::Segment) }
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A repository name in canonical form, with the form that the caller wrote.
#[derive(Clone, Debug)]
pub struct RepoName {
    full: String,
    project_len: usize,
    short: bool,
}

impl RepoName {
    /// `project/repository`, canonical.
    pub fn as_str(&self) -> &str {
        &self.full
    }

    /// The name as the caller wrote it: a one-segment name stays one segment.
    pub fn asked(&self) -> &str {
        if self.short { self.repository() } else { &self.full }
    }

    /// The project's name.
    pub fn project(&self) -> &str {
        &self.full[..self.project_len]
    }

    /// The repository inside the project, of any depth.
    pub fn repository(&self) -> &str {
        &self.full[self.project_len + 1..]
    }

    /// The name of `repository` in `project`.
    pub fn of(project: &str, repository: &str) -> Result<Self, NameError> {
        format!("{project}/{repository}").parse()
    }
}

impl FromStr for RepoName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > MAX_NAME_BYTES {
            return Err(NameError::Length);
        }
        if !text.split('/').all(is_segment) {
            return Err(NameError::Segment);
        }
        if let Some(project_len) = text.find('/') {
            return Ok(Self { full: text.to_owned(), project_len, short: false });
        }
        let full = format!("{DEFAULT_PROJECT}/{text}");
        // Else the name that lists show would be none.
        if full.len() > MAX_NAME_BYTES {
            return Err(NameError::Length);
        }
        Ok(Self { full, project_len: DEFAULT_PROJECT.len(), short: true })
    }
}

impl PartialEq for RepoName {
    fn eq(&self, other: &Self) -> bool {
        self.full == other.full
    }
}

impl Eq for RepoName {}

impl Hash for RepoName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.full.hash(state);
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_grammar_parse() {
        for good in ["a", "alpine", "a/b", "a.b/c_d/e__f/g-h/i---j", "0/9", "a/b/c/d/e/f"] {
            assert!(good.parse::<RepoName>().is_ok(), "{good}");
        }
    }

    #[test]
    fn the_limit_holds_for_the_name_that_lists_show() {
        let longest = "a".repeat(MAX_NAME_BYTES - DEFAULT_PROJECT.len() - 1);
        let name: RepoName = longest.parse().unwrap();
        assert_eq!(name.as_str().parse::<RepoName>().unwrap(), name);
        assert_eq!(format!("{longest}a").parse::<RepoName>().unwrap_err(), NameError::Length);
    }

    #[test]
    fn names_outside_the_grammar_are_refused() {
        let long = "a".repeat(256);
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "A",
            "a/B",
            "a..b",
            "a___b",
            "a._b",
            "-a",
            "a-",
            ".",
            "..",
            "a/../b",
            "a/./b",
            "%61/x",
            "a%2fb",
            "a b",
            "a\u{430}",
            "a;b",
            "a\\b",
            long.as_str(),
        ] {
            assert!(bad.parse::<RepoName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn one_segment_names_belong_to_library() {
        let short: RepoName = "alpine".parse().unwrap();
        let full: RepoName = "library/alpine".parse().unwrap();
        assert_eq!(short, full);
        assert_eq!((short.project(), short.repository(), short.asked()), ("library", "alpine", "alpine"));
        assert_eq!(full.asked(), "library/alpine");
    }
}
