//! A question in one line.
//!
//! ```text
//! query     = statement *( "AND" statement )
//! statement = condition *( condition )            conditions on one package
//! condition = package-url / vers-range / name / comparison version / key ":" value
//! key       = name / ecosystem / license / path / cve / ghsa / vuln / sha1 / sha256 / sha512 / md5
//! ```
//!
//! A value with blanks stands in double quotes. Every error says what to write instead.

use super::{Condition, Query, Statement, VersionRange};
use vuln::PackageKind;
use vuln::advisory::scope;
use vuln::purl::MAX_PURL_BYTES;
use vuln::vers::{Comparator, Constraint};
use vuln::version::MAX_VERSION_BYTES;
use vuln::{Purl, Vers};

/// Longest question, in bytes.
pub const MAX_QUERY_BYTES: usize = 4096;
/// Most conditions of a question.
pub const MAX_CONDITIONS: usize = 32;

/// Why a text is no question, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Nothing is asked for.
    #[error("nothing is asked for: write a name, a package url or a condition such as `license:MIT`")]
    Empty,
    /// Over [`MAX_QUERY_BYTES`] or [`MAX_CONDITIONS`].
    #[error("the question is too long: at most {MAX_QUERY_BYTES} bytes and {MAX_CONDITIONS} conditions")]
    TooLong,
    /// A quote that does not end.
    #[error("a quote does not end: write `\"` at the end of the value")]
    Quote,
    /// `OR`, `NOT`.
    #[error("`{word}` is not understood: conditions are joined by AND; ask several questions instead")]
    Operator {
        /// The word.
        word: String,
    },
    /// `AND` without something on both sides.
    #[error("`AND` stands between two conditions, as in `openssl AND license:MIT`")]
    And,
    /// Two names of one package.
    #[error(
        "one package cannot be both `{first}` and `{second}`: write `{first} AND {second}` for images with both"
    )]
    TwoNames {
        /// The first.
        first: String,
        /// The second.
        second: String,
    },
    /// A comparison without a version.
    #[error("`{comparison}` needs a version after it, as in `log4j-core {comparison} 2.17.1`")]
    NoVersion {
        /// The comparison.
        comparison: String,
    },
    /// A comparison that does not exist.
    #[error("`{comparison}` is no comparison: write one of <, <=, >, >=, =, !=")]
    Comparison {
        /// What was written.
        comparison: String,
    },
    /// A version without a package.
    #[error("no package is named: write one before the version, as in `log4j-core < 2.17.1`")]
    NoPackage,
    /// A key that does not exist.
    #[error(
        "`{key}:` is not known: write one of name, ecosystem, license, path, cve, ghsa, vuln, sha1, sha256, sha512, md5"
    )]
    Key {
        /// The key.
        key: String,
    },
    /// A key without a value.
    #[error("`{key}:` needs a value without a blank between, as in `{key}:{example}`")]
    NoValue {
        /// The key.
        key: String,
        /// A value that fits.
        example: &'static str,
    },
    /// A value that does not fit its key.
    #[error("`{value}` does not fit `{key}:`; write {instead}")]
    Value {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What fits.
        instead: &'static str,
    },
    /// Not a package URL.
    #[error("`{text}` is no package url; write it as `pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1`")]
    Purl {
        /// What was written.
        text: String,
        /// Why.
        #[source]
        source: vuln::purl::PurlError,
    },
    /// Not a version range.
    #[error("`{text}` is no version range; write it as `vers:maven/>=2.0|<2.17.1` or `< 2.17.1`")]
    Vers {
        /// What was written.
        text: String,
        /// Why.
        #[source]
        source: vuln::vers::VersError,
    },
}

impl Query {
    /// Reads a question.
    ///
    /// # Errors
    /// [`QueryError`], which says what to write instead.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        if text.len() > MAX_QUERY_BYTES {
            return Err(QueryError::TooLong);
        }
        let words = words(text)?;
        if words.is_empty() {
            return Err(QueryError::Empty);
        }
        if words.len() > MAX_CONDITIONS * 4 {
            return Err(QueryError::TooLong);
        }
        let groups = words.split(|word| !word.quoted && word.text.eq_ignore_ascii_case("and"));
        let statements = groups.map(statement).collect::<Result<Vec<_>, _>>()?;
        if statements.iter().map(|s| s.conditions.len()).sum::<usize>() > MAX_CONDITIONS {
            return Err(QueryError::TooLong);
        }
        Ok(Self { statements })
    }
}

/// A word; `quoted` if it began with a quote, so that it is no operator.
struct Word {
    text: String,
    quoted: bool,
}

/// Words at blanks outside quotes; a comparison at the end of a name is a word of its own.
fn words(text: &str) -> Result<Vec<Word>, QueryError> {
    let mut out: Vec<Word> = Vec::new();
    let mut chars = text.chars().peekable();
    while chars.peek().is_some() {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let quoted = chars.peek() == Some(&'"');
        let (mut word, mut inside) = (String::new(), false);
        while let Some(c) = chars.next_if(|c| inside || !c.is_whitespace()) {
            if c == '"' {
                inside = !inside;
            } else {
                word.push(c);
            }
        }
        if inside {
            return Err(QueryError::Quote);
        }
        let comparison =
            word.find(['<', '>', '=', '!']).filter(|at| *at > 0 && !quoted && !word.contains(':'));
        match comparison {
            Some(at) => {
                let rest = word.split_off(at);
                out.push(Word { text: word, quoted });
                out.push(Word { text: rest, quoted: false });
            }
            None if word.is_empty() && !quoted => {}
            None => out.push(Word { text: word, quoted }),
        }
    }
    Ok(out)
}

fn statement(words: &[Word]) -> Result<Statement, QueryError> {
    if words.is_empty() {
        return Err(QueryError::And);
    }
    let mut statement = Statement::default();
    let mut comparisons: Vec<Constraint> = Vec::new();
    let mut named: Option<String> = None;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let text = word.text.as_str();
        if !word.quoted && matches!(text.to_ascii_lowercase().as_str(), "or" | "not" | "|" | "||" | "&&") {
            return Err(QueryError::Operator { word: text.to_owned() });
        }
        if text.starts_with(['<', '>', '=', '!']) && !word.quoted {
            let end = text.find(|c| !matches!(c, '<' | '>' | '=' | '!')).unwrap_or(text.len());
            let (comparison, version) = text.split_at(end);
            let comparator = Comparator::parse(comparison)
                .ok_or_else(|| QueryError::Comparison { comparison: comparison.to_owned() })?;
            let next = if version.is_empty() { words.next().map(|w| w.text.as_str()) } else { Some(version) };
            let version = next.filter(|v| !v.is_empty() && v.len() <= MAX_VERSION_BYTES);
            let version =
                version.ok_or_else(|| QueryError::NoVersion { comparison: comparison.to_owned() })?;
            comparisons.push(Constraint::new(comparator, version));
            continue;
        }
        let condition = condition(text, word.quoted)?;
        if matches!(condition, Condition::Name(_) | Condition::Purl(_)) {
            if let Some(first) = named {
                return Err(QueryError::TwoNames { first, second: text.to_owned() });
            }
            named = Some(text.to_owned());
        }
        statement.conditions.push(condition);
    }
    if !comparisons.is_empty() {
        statement.conditions.push(Condition::Version(VersionRange::Compare(comparisons)));
    }
    if statement.conditions.iter().any(Condition::chooses) {
        Ok(statement)
    } else {
        Err(QueryError::NoPackage)
    }
}

fn condition(text: &str, quoted: bool) -> Result<Condition, QueryError> {
    if quoted {
        return Ok(Condition::Name(text.to_owned()));
    }
    if text.to_ascii_lowercase().starts_with("pkg:") {
        return match Purl::parse(text) {
            Ok(purl) if text.len() <= MAX_PURL_BYTES => Ok(Condition::Purl(purl)),
            Ok(_) => Err(QueryError::TooLong),
            Err(source) => Err(QueryError::Purl { text: text.to_owned(), source }),
        };
    }
    if text.starts_with("vers:") {
        let vers = Vers::parse(text).map_err(|source| QueryError::Vers { text: text.to_owned(), source })?;
        return Ok(Condition::Version(VersionRange::Vers(vers)));
    }
    let upper = text.to_ascii_uppercase();
    if upper.starts_with("CVE-") || upper.starts_with("GHSA-") {
        return Ok(Condition::Vulnerability(vulnerability(text)));
    }
    match text.split_once(':') {
        // `group:artifact` and `host:port/path` have a dot or slash before the colon; keys have not.
        Some((key, value)) if key.bytes().all(|b| b.is_ascii_alphanumeric()) => keyed(key, value),
        _ => Ok(Condition::Name(text.to_owned())),
    }
}

/// CVE and GHSA names have one spelling.
fn vulnerability(text: &str) -> String {
    match text.get(..5).map(str::to_ascii_uppercase).as_deref() {
        Some("GHSA-") => format!("GHSA-{}", text.get(5..).unwrap_or_default().to_ascii_lowercase()),
        Some(start) if start.starts_with("CVE-") => text.to_ascii_uppercase(),
        _ => text.to_owned(),
    }
}

fn keyed(key: &str, value: &str) -> Result<Condition, QueryError> {
    let lower = key.to_ascii_lowercase();
    let example = match lower.as_str() {
        "name" => "log4j-core",
        "ecosystem" => "npm",
        "license" | "licence" => "GPL-3.0-only",
        "path" => "**/log4j-core-*.jar",
        "cve" | "vuln" => "CVE-2021-44228",
        "ghsa" => "GHSA-jfh8-c2jp-5v3q",
        "md5" | "sha1" | "sha256" | "sha512" => "0123…",
        _ => return Err(QueryError::Key { key: key.to_owned() }),
    };
    if value.is_empty() {
        return Err(QueryError::NoValue { key: lower, example });
    }
    let refused =
        |instead: &'static str| QueryError::Value { key: lower.clone(), value: value.to_owned(), instead };
    Ok(match lower.as_str() {
        "name" => Condition::Name(value.to_owned()),
        "ecosystem" => {
            let known = ecosystem(value);
            known.ok_or_else(|| {
                refused("a package url type (npm, deb), a distribution (debian) or a release (Debian:12)")
            })?
        }
        "path" => Condition::Path(value.to_owned()),
        "cve" | "ghsa" | "vuln" => {
            let name = vulnerability(value);
            let fits = match lower.as_str() {
                "cve" => name.starts_with("CVE-"),
                "ghsa" => name.starts_with("GHSA-"),
                _ => true,
            };
            if !fits {
                return Err(refused(
                    "the whole name, as in `cve:CVE-2021-44228`; other names follow `vuln:`",
                ));
            }
            Condition::Vulnerability(name)
        }
        "md5" | "sha1" | "sha256" | "sha512" => {
            let digits = match lower.as_str() {
                "md5" => 32,
                "sha1" => 40,
                "sha256" => 64,
                _ => 128,
            };
            if value.len() != digits || !value.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(refused(
                    "all hexadecimal digits of the hash (md5 32, sha1 40, sha256 64, sha512 128)",
                ));
            }
            Condition::Hash(format!("{lower}:{}", value.to_ascii_lowercase()))
        }
        _ => Condition::License(value.to_owned()),
    })
}

/// A packaging system by its package URL type or its name in OSV, or a distribution.
fn ecosystem(text: &str) -> Option<Condition> {
    let by_type = Purl::parse(&format!("pkg:{text}/a")).ok().map(|p| p.to_package().kind);
    match by_type {
        Some(PackageKind::Generic) | None => {}
        Some(kind) => return Some(Condition::Kind(kind)),
    }
    if text.eq_ignore_ascii_case("generic") {
        return Some(Condition::Kind(PackageKind::Generic));
    }
    let by_name = crate::package::KINDS
        .into_iter()
        .find(|k| scope::language(*k).is_some_and(|name| name.eq_ignore_ascii_case(text)));
    if let Some(kind) = by_name {
        return Some(Condition::Kind(kind));
    }
    let word = |c: char| c.is_alphanumeric() || matches!(c, '-' | ':' | '.' | ' ' | '_');
    text.chars().all(word).then(|| Condition::Distribution(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Vec<Condition> {
        let mut query = Query::parse(text).unwrap();
        assert_eq!(query.statements.len(), 1, "{text}");
        query.statements.remove(0).conditions
    }

    #[test]
    fn questions_are_read() {
        let below =
            Condition::Version(VersionRange::Compare(vec![Constraint::new(Comparator::Less, "2.17.1")]));
        let name = Condition::Name("log4j-core".into());
        for text in
            ["log4j-core < 2.17.1", "log4j-core<2.17.1", "log4j-core <2.17.1", "name:log4j-core < \"2.17.1\""]
        {
            assert_eq!(one(text), [name.clone(), below.clone()], "{text}");
        }
        let range = Condition::Version(VersionRange::Vers(Vers::parse("vers:maven/>=2.0|<2.17.1").unwrap()));
        assert_eq!(one("log4j-core vers:maven/>=2.0|<2.17.1"), [name, range]);
        for (text, expected) in [
            ("license:GPL-3.0-only", Condition::License("GPL-3.0-only".into())),
            ("cve:cve-2021-44228", Condition::Vulnerability("CVE-2021-44228".into())),
            ("GHSA-jfh8-c2jp-5v3q", Condition::Vulnerability("GHSA-jfh8-c2jp-5v3q".into())),
            ("vuln:DSA-5000-1", Condition::Vulnerability("DSA-5000-1".into())),
            ("path:**/log4j-core-*.jar", Condition::Path("**/log4j-core-*.jar".into())),
            ("path:\"a b/*\"", Condition::Path("a b/*".into())),
            ("org.apache:log4j", Condition::Name("org.apache:log4j".into())),
            ("@babel/core", Condition::Name("@babel/core".into())),
            ("ecosystem:PyPI", Condition::Kind(PackageKind::Pypi)),
            ("ecosystem:golang", Condition::Kind(PackageKind::Golang)),
            ("ecosystem:Debian:12", Condition::Distribution("Debian:12".into())),
            ("\"and\"", Condition::Name("and".into())),
        ] {
            assert_eq!(one(text), [expected], "{text}");
        }
        let sha = format!("SHA256:{}", "A".repeat(64));
        assert_eq!(one(&sha), [Condition::Hash(format!("sha256:{}", "a".repeat(64)))]);
        let purl = one("pkg:maven/org.apache.logging.log4j/log4j-core");
        assert!(matches!(&purl[..], [Condition::Purl(p)] if p.name() == "log4j-core"));
        assert_eq!(Query::parse("openssl AND license:MIT path:*.so and curl").unwrap().statements.len(), 3);
    }

    #[test]
    fn errors_say_what_to_write_instead() {
        for (text, said) in [
            ("", "nothing is asked for"),
            ("a AND", "stands between two conditions"),
            ("a OR b", "joined by AND"),
            ("a b", "write `a AND b`"),
            ("a <", "needs a version after it"),
            ("a <> 1", "write one of <, <=, >, >=, =, !="),
            ("< 1", "no package is named"),
            ("vers:npm/<1.0.0", "no package is named"),
            ("colour:red", "write one of name, ecosystem"),
            ("license: MIT", "`license:GPL-3.0-only`"),
            ("sha256:12", "all hexadecimal digits"),
            ("cve:44228", "`cve:CVE-2021-44228`"),
            ("pkg:maven", "write it as `pkg:maven/"),
            ("a vers:x", "write it as `vers:maven/"),
            ("ecosystem:a/b", "a package url type"),
            ("path:\"a", "write `\"`"),
        ] {
            let error = Query::parse(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        assert_eq!(Query::parse(&"a".repeat(5000)), Err(QueryError::TooLong));
        assert_eq!(Query::parse(&"license:MIT ".repeat(40)), Err(QueryError::TooLong));
    }
}
