//! Tags and references (OCI distribution specification, "Pulling manifests": `<reference>`).

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

/// Why a text is not a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tag must have 1 to 128 letters, digits, `_`, `.` or `-`, beginning with a letter, a digit or `_`")]
pub struct TagError;

impl Tag {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The subject of a tag of the referrers tag schema or of a cosign suffix tag: `sha256-<hex>[.suffix]`.
    pub fn evidence_subject(&self) -> Option<(Digest, Option<&str>)> {
        let (algorithm, rest) = self.0.split_once('-')?;
        let (hex, suffix) = match rest.split_once('.') {
            Some((hex, suffix)) => (hex, Some(suffix)),
            None => (rest, None),
        };
        let digest = format!("{algorithm}:{hex}").parse().ok()?;
        Some((digest, suffix))
    }

    /// The tag under which clients without the referrers API list the referrers of `subject`. The specification cuts
    /// the digest to 64 characters: a whole SHA-512 would be no tag.
    pub fn referrers_fallback(subject: &Digest) -> Self {
        Self(format!("{}-{:.64}", subject.algorithm().name(), subject.hex()))
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let good = match text.as_bytes() {
            [first, rest @ ..] => {
                word(*first)
                    && rest.len() <= 127
                    && rest.iter().all(|byte| word(*byte) || *byte == b'.' || *byte == b'-')
            }
            [] => false,
        };
        if good { Ok(Self(text.to_owned())) } else { Err(TagError) }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What names a manifest inside a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// By a tag, which may move.
    Tag(Tag),
    /// By the digest of its bytes.
    Digest(Digest),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fallback_and_cosign_tags_name_their_subject() {
        let subject = Digest::sha256(b"x");
        let fallback = Tag::referrers_fallback(&subject);
        assert_eq!(fallback.evidence_subject(), Some((subject, None)));
        let signature: Tag = format!("{fallback}.sig").parse().unwrap();
        assert_eq!(signature.evidence_subject(), Some((subject, Some("sig"))));
        assert_eq!("sha256-abc".parse::<Tag>().unwrap().evidence_subject(), None);
    }

    #[test]
    fn the_fallback_tag_of_a_long_digest_is_a_tag() {
        let subject = Digest::of(crate::Algorithm::Sha512, b"x");
        let fallback = Tag::referrers_fallback(&subject);
        assert_eq!(fallback.as_str().parse(), Ok(fallback.clone()));
        assert_eq!(fallback.as_str(), format!("sha512-{}", &subject.hex()[..64]));
    }

    #[test]
    fn tags_outside_the_grammar_are_refused() {
        let long = "a".repeat(129);
        for bad in ["", ".a", "-a", "a b", "a/b", "a:b", "ä", long.as_str()] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
        assert!("a".repeat(128).parse::<Tag>().is_ok());
        assert!("_A.b-c_9".parse::<Tag>().is_ok());
    }
}
