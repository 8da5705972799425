//! VERS version ranges (the proposed Ecma standard): `vers:npm/>=1.2.3|<2.0.0`.
//!
//! [`Vers::parse_canonical`] is the standard's parser and refuses what is not canonical; [`Vers::parse`] reads ranges in
//! any order, as data written before the standard has them. A `Vers` is always sorted by its type's version order, which
//! is what makes [`Vers::contains`] one pass over the constraints.

mod native;

use crate::version::{MAX_VERSION_BYTES, Scheme, VersionError};
use std::cmp::Ordering;
use std::fmt::Write as _;

/// Longest range that is read, in bytes.
pub const MAX_VERS_BYTES: usize = 1 << 20;

/// Most constraints of one range.
pub const MAX_CONSTRAINTS: usize = 20_000;

/// Why a text is no range, or no canonical one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersError {
    /// Over [`MAX_VERS_BYTES`] or [`MAX_CONSTRAINTS`].
    #[error("version range is too long")]
    TooLong,
    /// It is not `vers:type/constraints`.
    #[error("version range is malformed: {0}")]
    Malformed(&'static str),
    /// It is a range, but not in canonical form.
    #[error("non-canonical version range: {0}")]
    NotCanonical(&'static str),
    /// Its type has no known version order.
    #[error("no version order is known for type {0:?}")]
    UnknownType(String),
    /// A version of it is none of its type's.
    #[error("version range has an unusable version")]
    Version(#[from] VersionError),
    /// A native notation that is not understood.
    #[error("{range:?} is not a native version range of {scheme}")]
    Native {
        /// Scheme asked for.
        scheme: String,
        /// The notation, shortened.
        range: String,
    },
}

/// How a constraint compares; the default is equality, which is written as nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Comparator {
    /// Nothing, or `=` in data from before the standard.
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparator {
    /// As written in a range; equality is empty.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// Reads a comparator; empty, `=` and `==` are equality.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "" | "=" | "==" => Self::Equal,
            "!=" => Self::NotEqual,
            "<" | "<<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" | ">>" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    fn is_lower(self) -> bool {
        matches!(self, Self::Greater | Self::GreaterOrEqual)
    }

    fn is_upper(self) -> bool {
        matches!(self, Self::Less | Self::LessOrEqual)
    }
}

/// A comparator and a version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Constraint {
    /// How to compare.
    pub comparator: Comparator,
    /// With what; decoded.
    pub version: String,
}

impl Constraint {
    /// A constraint of both.
    pub fn new(comparator: Comparator, version: impl Into<String>) -> Self {
        Self { comparator, version: version.into() }
    }
}

/// A version range.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Vers {
    ty: String,
    /// Sorted by version; `None` is the asterisk.
    constraints: Option<Vec<Constraint>>,
}

impl Vers {
    /// Reads a canonical range as the standard demands: no blanks, sorted, unique versions, a possible sequence of
    /// comparators, canonical percent-encoding.
    ///
    /// # Errors
    /// [`VersError`] saying what is wrong.
    pub fn parse_canonical(text: &str) -> Result<Self, VersError> {
        if text.bytes().any(|b| b.is_ascii_whitespace()) {
            return Err(VersError::NotCanonical("whitespace is not permitted"));
        }
        let parsed = Self::read(text, true)?;
        parsed.check_sequence()?;
        Ok(parsed)
    }

    /// Reads a range leniently: blanks, order, repeated constraints and a leading `=` do not matter.
    ///
    /// # Errors
    /// [`VersError`] if it is no range or a version is none of its type's.
    pub fn parse(text: &str) -> Result<Self, VersError> {
        let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        Self::read(&text, false)
    }

    /// The range of a type over constraints in any order.
    ///
    /// # Errors
    /// [`VersError`] if the type is not valid or a version is none of its type's.
    pub fn build(ty: &str, constraints: Vec<Constraint>) -> Result<Self, VersError> {
        check_type(ty)?;
        if constraints.len() > MAX_CONSTRAINTS {
            return Err(VersError::TooLong);
        }
        Self { ty: ty.to_owned(), constraints: Some(constraints) }.sorted()
    }

    /// The range of a type that holds every version.
    ///
    /// # Errors
    /// [`VersError`] if the type is not valid.
    pub fn all(ty: &str) -> Result<Self, VersError> {
        check_type(ty)?;
        Ok(Self { ty: ty.to_owned(), constraints: None })
    }

    /// The range that an ecosystem's own notation means (`^1.2.3 || 2.x` of npm, `[1.0,2.0)` of Maven and NuGet,
    /// `~> 2.0.8` of RubyGems, `>=1,<2` of PyPI and most others).
    ///
    /// # Errors
    /// [`VersError::Native`] if the notation is not understood.
    pub fn from_native(scheme: &str, range: &str) -> Result<Self, VersError> {
        native::convert(scheme, range)
    }

    fn read(text: &str, canonical: bool) -> Result<Self, VersError> {
        if text.len() > MAX_VERS_BYTES {
            return Err(VersError::TooLong);
        }
        if !text.is_ascii() {
            return Err(VersError::Malformed("only ASCII characters are permitted"));
        }
        let rest = text.strip_prefix("vers:").ok_or(VersError::Malformed("the scheme is vers"))?;
        let (ty, list) = rest.split_once('/').ok_or(VersError::Malformed("constraints are missing"))?;
        let ty = if canonical { ty.to_owned() } else { ty.to_ascii_lowercase() };
        check_type(&ty)?;
        if list == "*" {
            return Ok(Self { ty, constraints: None });
        }
        if list.is_empty() || matches!(ty.as_str(), "all" | "none") {
            return Err(VersError::Malformed("constraints are not those of the type"));
        }
        if canonical {
            check_pipes(list)?;
        }
        let mut constraints = Vec::new();
        for part in list.split('|').filter(|part| !part.is_empty()) {
            if constraints.len() >= MAX_CONSTRAINTS {
                return Err(VersError::TooLong);
            }
            constraints.push(constraint(&ty, part, canonical)?);
        }
        if constraints.is_empty() {
            return Err(VersError::Malformed("constraints are missing"));
        }
        let written = Self { ty, constraints: Some(constraints) };
        let sorted = written.clone().sorted()?;
        if canonical && sorted != written {
            return Err(VersError::NotCanonical("constraints are not sorted by version or repeat one"));
        }
        Ok(sorted)
    }

    fn scheme(&self) -> Option<Scheme> {
        Scheme::by_name(&self.ty)
    }

    /// Sorts by version (stable) and drops repeated constraints; a type without a known order stays as written.
    fn sorted(mut self) -> Result<Self, VersError> {
        let Some(scheme) = self.scheme() else { return Ok(self) };
        let Some(constraints) = self.constraints.take() else { return Ok(self) };
        let mut keyed = Vec::with_capacity(constraints.len());
        for constraint in constraints {
            keyed.push((scheme.parse(&constraint.version)?, constraint));
        }
        // where one interval ends and the next begins at one version, the end comes first
        keyed.sort_by(|a, b| {
            a.0.cmp(&b.0).then_with(|| a.1.comparator.is_lower().cmp(&b.1.comparator.is_lower()))
        });
        let mut sorted: Vec<Constraint> = keyed.into_iter().map(|(_, c)| c).collect();
        sorted.dedup();
        self.constraints = Some(sorted);
        Ok(self)
    }

    /// Unique versions and comparators that can follow each other (clause 5.4).
    fn check_sequence(&self) -> Result<(), VersError> {
        let list = self.constraints.as_deref().unwrap_or_default();
        if let Some(scheme) = self.scheme() {
            for pair in list.windows(2) {
                if crate::version::compare(scheme, &pair[0].version, &pair[1].version)?.is_eq() {
                    return Err(VersError::NotCanonical("a version occurs twice"));
                }
            }
        } else {
            let mut seen: Vec<&str> = list.iter().map(|c| c.version.as_str()).collect();
            seen.sort_unstable();
            if seen.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(VersError::NotCanonical("a version occurs twice"));
            }
            return Ok(());
        }
        let comparators: Vec<Comparator> =
            list.iter().map(|c| c.comparator).filter(|c| *c != Comparator::NotEqual).collect();
        let redundant = |pair: &[Comparator]| {
            (pair[0].is_lower() && !pair[1].is_upper()) || (!pair[0].is_lower() && pair[1].is_upper())
        };
        if comparators.windows(2).any(redundant) {
            return Err(VersError::NotCanonical("the sequence of comparators is redundant or empty"));
        }
        Ok(())
    }

    /// The type: the versioning scheme.
    pub fn ty(&self) -> &str {
        &self.ty
    }

    /// The constraints, sorted; `None` for the asterisk.
    pub fn constraints(&self) -> Option<&[Constraint]> {
        self.constraints.as_deref()
    }

    /// Whether a version lies in the range.
    ///
    /// # Errors
    /// [`VersError`] if the type has no known order or a version is none of its type's.
    pub fn contains(&self, version: &str) -> Result<bool, VersError> {
        match (self.ty.as_str(), &self.constraints) {
            ("none", _) => Ok(false),
            (_, None) => Ok(true),
            (_, Some(list)) => self.contains_among(list, version),
        }
    }

    fn contains_among(&self, list: &[Constraint], version: &str) -> Result<bool, VersError> {
        let scheme = self.scheme().ok_or_else(|| VersError::UnknownType(self.ty.clone()))?;
        let tested = scheme.parse(version)?;
        // in the order of versions: where the tested version stands against each
        let mut below = None;
        let mut above = None;
        for constraint in list {
            let order = tested.compare(&scheme.parse(&constraint.version)?);
            match (constraint.comparator, order) {
                (Comparator::NotEqual, Ordering::Equal) => return Ok(false),
                (
                    Comparator::Equal | Comparator::LessOrEqual | Comparator::GreaterOrEqual,
                    Ordering::Equal,
                ) => {
                    return Ok(true);
                }
                (Comparator::Equal | Comparator::NotEqual, _) => {}
                // an open bound is on the far side of its own version
                (comparator @ Comparator::Greater, Ordering::Equal) | (comparator, Ordering::Less) => {
                    above = above.or(Some(comparator));
                }
                (comparator, Ordering::Equal | Ordering::Greater) => below = Some(comparator),
            }
        }
        let excluded_only = list.iter().all(|c| c.comparator == Comparator::NotEqual);
        Ok(match (below, above) {
            (Some(below), Some(above)) => below.is_lower() && above.is_upper(),
            (Some(below), None) => below.is_lower(),
            (None, Some(above)) => above.is_upper(),
            (None, None) => excluded_only,
        })
    }
}

fn check_type(ty: &str) -> Result<(), VersError> {
    let valid = ty.starts_with(|c: char| c.is_ascii_lowercase())
        && ty.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-'));
    match ty {
        "invalid" => Err(VersError::Malformed("the type invalid is reserved")),
        _ if !valid => Err(VersError::Malformed("the type is not valid")),
        _ => Ok(()),
    }
}

fn check_pipes(list: &str) -> Result<(), VersError> {
    Err(VersError::NotCanonical(if list.starts_with('|') {
        "leading pipe is not permitted"
    } else if list.ends_with('|') {
        "trailing pipe is not permitted"
    } else if list.contains("||") {
        "consecutive pipes are not permitted"
    } else {
        return Ok(());
    }))
}

/// Reads one constraint.
fn constraint(ty: &str, text: &str, canonical: bool) -> Result<Constraint, VersError> {
    let at = text.find(|c| !matches!(c, '<' | '>' | '=' | '!')).unwrap_or(text.len());
    let (comparator, raw) = text.split_at(at);
    if canonical && comparator.starts_with('=') {
        return Err(VersError::NotCanonical("equality is written without a comparator"));
    }
    let comparator = match (comparator, canonical) {
        ("<<" | ">>", true) => None,
        _ => Comparator::parse(comparator),
    };
    let comparator = comparator.ok_or(VersError::Malformed("unknown comparator"))?;
    if raw.is_empty() || raw.contains(['*', '<', '>', '=', '!']) || raw.len() > 3 * MAX_VERSION_BYTES {
        return Err(VersError::Malformed("a version is missing or not encoded"));
    }
    let version = decode(raw, canonical)?;
    if canonical && ty == "datetime" {
        check_datetime(raw, &version)?;
    }
    Ok(Constraint { comparator, version })
}

fn check_datetime(raw: &str, version: &str) -> Result<(), VersError> {
    if raw.contains("%3A") {
        return Err(VersError::NotCanonical("datetime time colons must be unencoded"));
    }
    if version.contains(['t', 'z']) {
        return Err(VersError::NotCanonical("datetime must use uppercase T and Z"));
    }
    Ok(())
}

/// Percent-decodes once. Canonically, digits are upper case and letters, digits, `-._~` are never encoded.
fn decode(text: &str, canonical: bool) -> Result<String, VersError> {
    const INVALID: VersError = VersError::NotCanonical("invalid percent-encoding in version");
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut hex = || bytes.next().and_then(|b| char::from(b).to_digit(16).map(|d| (b, d)));
        let (Some((a, high)), Some((b, low))) = (hex(), hex()) else { return Err(INVALID) };
        let decoded = u8::try_from(high * 16 + low).map_err(|_| INVALID)?;
        let unreserved = decoded.is_ascii_alphanumeric() || b"-._~".contains(&decoded);
        if canonical && (a.is_ascii_lowercase() || b.is_ascii_lowercase() || unreserved) {
            return Err(VersError::NotCanonical("percent-encoding in version is not canonical"));
        }
        if canonical && (decoded.is_ascii_control() || !decoded.is_ascii()) {
            return Err(VersError::NotCanonical("a version is printable ASCII"));
        }
        out.push(decoded);
    }
    String::from_utf8(out).map_err(|_| INVALID)
}

impl std::fmt::Display for Vers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "vers:{}/", self.ty)?;
        let Some(constraints) = &self.constraints else { return f.write_str("*") };
        for (i, constraint) in constraints.iter().enumerate() {
            if i > 0 {
                f.write_char('|')?;
            }
            f.write_str(constraint.comparator.as_str())?;
            for c in constraint.version.chars() {
                if matches!(c, '>' | '<' | '=' | '!' | '*' | '|' | '%')
                    || c.is_ascii_whitespace()
                    || !c.is_ascii()
                {
                    let mut buffer = [0; 4];
                    c.encode_utf8(&mut buffer).bytes().try_for_each(|b| write!(f, "%{b:02X}"))?;
                } else {
                    f.write_char(c)?;
                }
            }
        }
        Ok(())
    }
}

impl std::str::FromStr for Vers {
    type Err = VersError;

    fn from_str(text: &str) -> Result<Self, VersError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests;
