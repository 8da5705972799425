//! Package URLs (the proposed Ecma standard and its registered type definitions).
//!
//! [`Purl::parse`] reads what other tools write: known deviations from the canonical form are normalised.
//! [`Purl::parse_strict`] is the standard's conforming parser: it also enforces what the type demands or forbids.
//! A `Purl` is always normalised for its type; its `Display` is canonical, so equal identities are equal texts.

mod package;
mod types;

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Longest package URL that is read, in bytes.
pub const MAX_PURL_BYTES: usize = 4096;

/// Most qualifiers that are read.
pub const MAX_QUALIFIERS: usize = 64;

/// Why a text or a set of parts is no package URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PurlError {
    /// Over [`MAX_PURL_BYTES`] or [`MAX_QUALIFIERS`].
    #[error("package url is too long")]
    TooLong,
    /// It does not begin with `pkg:`.
    #[error("package url has no scheme pkg")]
    Scheme,
    /// The type is missing or has other characters than letters, digits, `.` and `-`.
    #[error("package url has an invalid type")]
    Type,
    /// The name is missing.
    #[error("package url has no name")]
    Name,
    /// A `%` that begins no encoded character, or the decoded bytes are not UTF-8.
    #[error("package url is wrongly percent-encoded")]
    Encoding,
    /// A qualifier's key is not valid or is repeated.
    #[error("package url has an invalid qualifier {key:?}")]
    Qualifier {
        /// The key.
        key: String,
    },
    /// The parts break a rule of the type.
    #[error("package url breaks a rule of type {type_name}: {rule}")]
    TypeRule {
        /// The type.
        type_name: String,
        /// What it demands.
        rule: &'static str,
    },
}

/// A package URL, normalised for its type.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Purl {
    ty: String,
    namespace: Option<String>,
    name: String,
    version: Option<String>,
    qualifiers: BTreeMap<String, String>,
    subpath: Option<String>,
}

/// The parts of a package URL before normalisation; empty texts are absent parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PurlParts {
    /// The type (`deb`, `npm` …).
    pub ty: String,
    /// Segments joined by `/`.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The version.
    pub version: String,
    /// Keys and decoded values.
    pub qualifiers: Vec<(String, String)>,
    /// Segments joined by `/`.
    pub subpath: String,
}

impl PurlParts {
    /// Parts with type, name and version.
    pub fn new(ty: &str, name: &str, version: &str) -> Self {
        Self { ty: ty.to_owned(), name: name.to_owned(), version: version.to_owned(), ..Self::default() }
    }

    /// With a namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    /// With a qualifier more; an empty value adds nothing.
    #[must_use]
    pub fn qualifier(mut self, key: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.qualifiers.push((key.to_owned(), value.to_owned()));
        }
        self
    }
}

impl Purl {
    /// Reads a package URL leniently: keys of qualifiers in any case, missing or surplus namespaces, slashes after the
    /// scheme, unencoded characters and stray `%` are accepted.
    ///
    /// # Errors
    /// [`PurlError`] if there is no scheme, type or name, or a limit is exceeded.
    pub fn parse(text: &str) -> Result<Self, PurlError> {
        Self::from_parts(split(text, false)?, false)
    }

    /// Reads a package URL as a conforming parser: as [`Purl::parse`], but with lower-case qualifier keys, sound
    /// encoding and every rule of its type.
    ///
    /// # Errors
    /// [`PurlError`] if it does not conform.
    pub fn parse_strict(text: &str) -> Result<Self, PurlError> {
        Self::from_parts(split(text, true)?, true)
    }

    /// Builds one from parts, by every rule of its type.
    ///
    /// # Errors
    /// [`PurlError`] if the parts do not conform.
    pub fn build(parts: PurlParts) -> Result<Self, PurlError> {
        Self::from_parts(parts, true)
    }

    /// Builds one from parts that may lack what its type demands (a namespace that is not known, say).
    ///
    /// # Errors
    /// [`PurlError`] if type or name are missing or a qualifier's key is not valid.
    pub fn build_lenient(parts: PurlParts) -> Result<Self, PurlError> {
        Self::from_parts(parts, false)
    }

    fn from_parts(parts: PurlParts, strict: bool) -> Result<Self, PurlError> {
        if parts.qualifiers.len() > MAX_QUALIFIERS {
            return Err(PurlError::TooLong);
        }
        let ty = parts.ty.to_ascii_lowercase();
        if !is_type(&ty) {
            return Err(PurlError::Type);
        }
        let mut qualifiers = BTreeMap::new();
        for (key, value) in parts.qualifiers {
            let lower = key.to_ascii_lowercase();
            if !is_key(&lower) || (strict && lower != key) {
                return Err(PurlError::Qualifier { key });
            }
            if value.is_empty() {
                continue;
            }
            if strict && qualifiers.contains_key(&lower) {
                return Err(PurlError::Qualifier { key });
            }
            qualifiers.entry(lower).or_insert(value);
        }
        let some = |text: String| Some(text).filter(|t| !t.is_empty());
        let segments =
            |text: &str| some(text.split('/').filter(|s| !s.is_empty()).collect::<Vec<_>>().join("/"));
        let subpath = parts.subpath.split('/').filter(|s| !matches!(*s, "" | "." | "..")).collect::<Vec<_>>();
        let mut purl = Self {
            ty,
            namespace: segments(&parts.namespace),
            name: parts.name.trim_matches('/').to_owned(),
            version: some(parts.version),
            qualifiers,
            subpath: some(subpath.join("/")),
        };
        if purl.name.is_empty() {
            return Err(PurlError::Name);
        }
        types::normalize(&mut purl);
        types::check(&purl, strict)?;
        Ok(purl)
    }

    /// The type, lower case.
    pub fn ty(&self) -> &str {
        &self.ty
    }

    /// The namespace, its segments joined by `/`.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The value of a qualifier.
    pub fn qualifier(&self, key: &str) -> Option<&str> {
        self.qualifiers.get(key).map(String::as_str)
    }

    /// All qualifiers, by key.
    pub fn qualifiers(&self) -> &BTreeMap<String, String> {
        &self.qualifiers
    }

    /// The subpath, its segments joined by `/`.
    pub fn subpath(&self) -> Option<&str> {
        self.subpath.as_deref()
    }

    /// The same package without version, qualifiers and subpath: what VEX and allow-lists compare.
    #[must_use]
    pub fn without_version(&self) -> Self {
        let (version, subpath) = (None, None);
        Self { version, subpath, qualifiers: BTreeMap::new(), ..self.clone() }
    }
}

fn is_type(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
}

fn is_key(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_'))
}

/// Takes a text apart from right to left, decoding each part.
fn split(text: &str, strict: bool) -> Result<PurlParts, PurlError> {
    if text.len() > MAX_PURL_BYTES {
        return Err(PurlError::TooLong);
    }
    let decoded = |part: &str| decode(part, strict);
    let segments = |part: &str| -> Result<String, PurlError> {
        let segments: Vec<String> = part.split('/').map(decoded).collect::<Result<_, _>>()?;
        if strict && segments.iter().any(|s| s.contains('/')) {
            return Err(PurlError::Encoding);
        }
        Ok(segments.join("/"))
    };
    let (rest, subpath) = text.trim().rsplit_once('#').unwrap_or((text.trim(), ""));
    let (rest, query) = rest.rsplit_once('?').unwrap_or((rest, ""));
    let (scheme, rest) = rest.split_once(':').ok_or(PurlError::Scheme)?;
    if !scheme.eq_ignore_ascii_case("pkg") {
        return Err(PurlError::Scheme);
    }
    let (ty, rest) = rest.trim_start_matches('/').split_once('/').ok_or(PurlError::Name)?;
    // an `@` that begins a segment belongs to a namespace that was not encoded (npm scopes)
    let (rest, version) = match rest.rsplit_once('@') {
        Some((before, _)) if strict && (before.is_empty() || before.ends_with('/')) => {
            return Err(PurlError::Name);
        }
        Some((before, version)) if !before.is_empty() && !before.ends_with('/') => (before, version),
        Some((before, version)) if !version.contains('/') => (before, version),
        _ => (rest, ""),
    };
    let rest = rest.trim_matches('/');
    let (namespace, name) = rest.rsplit_once('/').unwrap_or(("", rest));
    let mut qualifiers = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if qualifiers.len() > MAX_QUALIFIERS {
            return Err(PurlError::TooLong);
        }
        qualifiers.push((key.to_owned(), decoded(value)?));
    }
    Ok(PurlParts {
        ty: ty.to_owned(),
        namespace: segments(namespace)?,
        name: decoded(name)?,
        version: decoded(version)?,
        qualifiers,
        subpath: segments(subpath)?,
    })
}

/// Percent-decodes once; leniently, what is no encoding stays as it is.
fn decode(text: &str, strict: bool) -> Result<String, PurlError> {
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let hex = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while let Some(&byte) = bytes.get(i) {
        match (byte, hex(bytes.get(i + 1)), hex(bytes.get(i + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push(high * 16 + low);
                i += 3;
            }
            (b'%', ..) if strict => return Err(PurlError::Encoding),
            _ => {
                out.push(byte);
                i += 1;
            }
        }
    }
    String::from_utf8(out).or_else(|_| if strict { Err(PurlError::Encoding) } else { Ok(text.to_owned()) })
}

/// Percent-encodes all but letters, digits, `.`, `-`, `_`, `~` and `:`; `/` too unless it separates segments.
fn encode(out: &mut String, text: &str, keep_slash: bool) {
    for byte in text.bytes() {
        match byte {
            b'/' if keep_slash => out.push('/'),
            b if b.is_ascii_alphanumeric() || b".-_~:".contains(&b) => out.push(char::from(b)),
            b => {
                out.push('%');
                for digit in [b >> 4, b & 15] {
                    out.extend(char::from_digit(u32::from(digit), 16).map(|d| d.to_ascii_uppercase()));
                }
            }
        }
    }
}

impl std::fmt::Display for Purl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = format!("pkg:{}/", self.ty);
        if let Some(namespace) = &self.namespace {
            encode(&mut out, namespace, true);
            out.push('/');
        }
        encode(&mut out, &self.name, types::name_is_path(&self.ty));
        if let Some(version) = &self.version {
            out.push('@');
            encode(&mut out, version, false);
        }
        for (i, (key, value)) in self.qualifiers.iter().enumerate() {
            write!(out, "{}{key}=", if i == 0 { '?' } else { '&' })?;
            encode(&mut out, value, false);
        }
        if let Some(subpath) = &self.subpath {
            out.push('#');
            encode(&mut out, subpath, true);
        }
        f.write_str(&out)
    }
}

impl std::str::FromStr for Purl {
    type Err = PurlError;

    fn from_str(text: &str) -> Result<Self, PurlError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests;
