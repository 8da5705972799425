//! Patterns over repository names inside a project: `*` is any run inside one segment, `**` any run of segments.
//!
//! Matching is linear in pattern times name; there is no backtracking over user input.

use std::str::FromStr;

/// Longest pattern in bytes.
pub const MAX_PATTERN_BYTES: usize = 256;

/// A pattern such as `team/**` or `*-cache`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryPattern(String);

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Not one over repositories.
    #[error("repository pattern must have 1 to 256 characters of repository names, `*` and `**`")]
    Repository,
    /// Not one over tags.
    #[error("tag pattern must have 1 to 128 characters of tags and `*`")]
    Tag,
}

impl FromStr for RepositoryPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/*".contains(&byte);
        if text.is_empty() || text.len() > MAX_PATTERN_BYTES || !text.bytes().all(good) {
            return Err(PatternError::Repository);
        }
        Ok(Self(text.to_owned()))
    }
}

impl RepositoryPattern {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern covers `repository`, the name inside its project.
    pub fn covers(&self, repository: &str) -> bool {
        let pattern: Vec<&str> = self.0.split('/').collect();
        let name: Vec<&str> = repository.split('/').collect();
        // reach[j]: the pattern read so far covers the first j segments.
        let mut reach = vec![false; name.len() + 1];
        reach[0] = true;
        for part in pattern {
            let mut next = vec![false; name.len() + 1];
            if part == "**" {
                let mut any = false;
                for (target, was) in next.iter_mut().zip(&reach) {
                    any |= *was;
                    *target = any;
                }
            } else {
                for (index, segment) in name.iter().enumerate() {
                    next[index + 1] = reach[index] && segment_matches(part.as_bytes(), segment.as_bytes());
                }
            }
            reach = next;
        }
        reach[name.len()]
    }
}

/// Whether `text` matches `pattern`, in which `*` is any run.
pub(crate) fn segment_matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p + 1, t));
            p += 1;
        } else if p < pattern.len() && pattern[p] == text[t] {
            p += 1;
            t += 1;
        } else if let Some((after, from)) = star {
            star = Some((after, from + 1));
            p = after;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stay_inside_a_segment_and_double_stars_do_not() {
        for (pattern, name, expected) in [
            ("**", "a", true),
            ("**", "a/b/c", true),
            ("*", "a", true),
            ("*", "a/b", false),
            ("team/**", "team/a/b", true),
            ("team/**", "team", true),
            ("team/**", "teams/a", false),
            ("*-cache", "go-cache", true),
            ("*-cache", "go-cache2", false),
            ("a/**/z", "a/z", true),
            ("a/**/z", "a/b/c/z", true),
            ("a*b*c", "axbyd", false),
            ("a*b*c", "axbyc", true),
        ] {
            assert_eq!(
                pattern.parse::<RepositoryPattern>().map(|p| p.covers(name)),
                pattern.parse().map(|_: RepositoryPattern| expected),
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn hostile_patterns_end_at_once() {
        let pattern: RepositoryPattern = "*a".repeat(128).parse().unwrap();
        assert!(!pattern.covers(&"ab".repeat(127)));
        assert!("(a+)+$".parse::<RepositoryPattern>().is_err());
    }
}
