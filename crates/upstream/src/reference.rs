//! Images as people name them: `HOST/NAME:TAG`, `HOST/NAME@DIGEST`, and Docker Hub's short names.

use std::fmt;
use std::str::FromStr;

use oci::{Digest, RepoName, Tag};

use crate::UpstreamError;

/// Docker Hub's name, and the host that answers for it.
const HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// A repository of a registry with a tag or digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageReference {
    host: String,
    repository: String,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

impl ImageReference {
    /// A manifest of a repository of a host, which may be a name without a dot.
    ///
    /// # Errors
    /// [`UpstreamError::Reference`] for text that is no host.
    pub fn at(host: &str, repository: &RepoName, digest: Digest) -> Result<Self, UpstreamError> {
        if host.is_empty() || host.contains(is_odd) {
            return Err(UpstreamError::Reference(format!("{host}/{}", repository.asked())));
        }
        let repository = repository.asked().to_owned();
        Ok(Self { host: host.to_owned(), repository, tag: None, digest: Some(digest) })
    }

    /// Host, with its port if one is written.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host that is asked.
    pub(crate) fn api_host(&self) -> &str {
        if self.host == HUB.0 { HUB.1 } else { &self.host }
    }

    /// Repository.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// What is asked for: the digest if there is one, else the tag.
    pub fn wanted(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.as_str().to_owned(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// The digest, if one is written.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Whether a text names a host, so that it cannot be a file's or a short name.
    pub fn names_host(text: &str) -> bool {
        text.split_once('/').is_some_and(|(first, _)| is_host(first))
    }
}

/// A character that no host has.
fn is_odd(c: char) -> bool {
    !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']'))
}

fn is_host(first: &str) -> bool {
    (first.contains(['.', ':']) || first == "localhost") && !first.starts_with('.')
}

impl FromStr for ImageReference {
    type Err = UpstreamError;

    fn from_str(text: &str) -> Result<Self, UpstreamError> {
        let refuse = || UpstreamError::Reference(text.to_owned());
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest.parse::<Digest>().map_err(|_| refuse())?)),
            None => (text, None),
        };
        let (host, rest) = match named.split_once('/') {
            Some((first, rest)) if is_host(first) => (first.to_owned(), rest.to_owned()),
            Some(_) => (HUB.0.to_owned(), named.to_owned()),
            None => (HUB.0.to_owned(), format!("library/{named}")),
        };
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag.parse::<Tag>().map_err(|_| refuse())?)),
            None => (rest.as_str(), None),
        };
        let repository = repository.parse::<RepoName>().map_err(|_| refuse())?.asked().to_owned();
        if host.contains(is_odd) {
            return Err(refuse());
        }
        Ok(Self { host, repository, tag, digest })
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{}", tag.as_str())?;
        }
        self.digest.map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_docker_reads_them() {
        let digest = Digest::sha256(b"x");
        for (text, host, repository, wanted) in [
            ("alpine", "docker.io", "library/alpine", "latest".to_owned()),
            ("alpine:3.20", "docker.io", "library/alpine", "3.20".into()),
            ("grafana/grafana", "docker.io", "grafana/grafana", "latest".into()),
            ("ghcr.io/a/b:1", "ghcr.io", "a/b", "1".into()),
            ("localhost/a", "localhost", "a", "latest".into()),
            ("127.0.0.1:5000/a/b/c:x", "127.0.0.1:5000", "a/b/c", "x".into()),
            (&format!("r.example/a:1@{digest}"), "r.example", "a", digest.to_string()),
        ] {
            let read: ImageReference = text.parse().unwrap();
            assert_eq!((read.host(), read.repository(), read.wanted()), (host, repository, wanted), "{text}");
        }
        for bad in ["", "A", "r.example/", "r.example/a:", "r.example/a@sha256:1", "r.ex ample/a", "a:b:c"] {
            assert!(bad.parse::<ImageReference>().is_err(), "{bad}");
        }
        assert!(ImageReference::names_host("r.example/a") && !ImageReference::names_host("./a"));
        assert!(!ImageReference::names_host("a/b") && !ImageReference::names_host("../a.tar"));
    }
}
