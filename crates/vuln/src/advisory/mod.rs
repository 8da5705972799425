//! Advisories in one native form: OSV (<https://ossf.github.io/osv-schema/>), with the few things that distributions
//! state and OSV has no place for (status of an unfixed package, module stream, architectures, which name is meant).
//!
//! Every importer produces [`Advisory`] values; the database stores them; nothing else is known of a feed's own form.
//! Additions to OSV are written with the prefix `bonded_`, so that a document stays valid OSV.

pub mod import;
pub mod requirement;
pub mod scope;

use crate::severity::Severity;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a source says of a package that lies in a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Affected, and a version that repairs it exists.
    Fixed,
    /// Affected, nothing further is said.
    #[default]
    Affected,
    /// Affected; the vendor will not repair it.
    WillNotFix,
    /// Affected; the vendor postponed the repair.
    FixDeferred,
    /// Affected; the release or package is no longer supported.
    EndOfLife,
    /// The vendor is still looking.
    UnderInvestigation,
    /// The vendor says that it is not affected.
    NotAffected,
}

impl Status {
    /// Every status, in the order of their codes in the database file.
    pub const ALL: [Self; 7] = [
        Self::Fixed,
        Self::Affected,
        Self::WillNotFix,
        Self::FixDeferred,
        Self::EndOfLife,
        Self::UnderInvestigation,
        Self::NotAffected,
    ];

    /// The name used in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Affected => "affected",
            Self::WillNotFix => "will_not_fix",
            Self::FixDeferred => "fix_deferred",
            Self::EndOfLife => "end_of_life",
            Self::UnderInvestigation => "under_investigation",
            Self::NotAffected => "not_affected",
        }
    }
}

/// Which of a distribution package's names an entry speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameKind {
    /// As the ecosystem does by custom (`scope::default_names`).
    #[default]
    Default,
    /// The source package.
    Source,
    /// The binary package.
    Binary,
    /// Either.
    Any,
}

/// One advisory, OSV's root object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Advisory {
    /// Identifier, unique in its feed.
    pub id: String,
    /// RFC 3339 time of the last change, empty if not stated.
    pub modified: String,
    /// RFC 3339 time of publication.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<String>,
    /// RFC 3339 time of withdrawal: the advisory then says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<String>,
    /// Other names of the same vulnerability.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub aliases: Vec<String>,
    /// Vulnerabilities that this one passes on (a distribution's advisory names its CVEs here).
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub upstream: Vec<String>,
    /// Close but different vulnerabilities; errata of some distributions name their CVEs here.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub related: Vec<String>,
    /// One line.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub summary: String,
    /// Longer text, Markdown.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub details: String,
    /// Ratings.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub severity: Vec<Rating>,
    /// What is affected.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub affected: Vec<Affected>,
    /// Further reading.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub references: Vec<Reference>,
    /// The feed's own facts.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub database_specific: Value,
    /// The feed states this advisory in several documents, each with a part of `affected`.
    #[serde(skip)]
    pub fragment: bool,
}

/// A rating: a CVSS vector (`CVSS_V2`, `CVSS_V3`, `CVSS_V4`) or a word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rating {
    /// OSV's type; `LABEL` for a word.
    #[serde(rename = "type")]
    pub kind: String,
    /// Vector or word.
    pub score: String,
    /// Who says so, if not the feed.
    #[serde(rename = "bonded_source", skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl Rating {
    /// A rating in words.
    pub fn label(word: impl Into<String>) -> Self {
        Self { kind: "LABEL".into(), score: word.into(), source: None }
    }
    /// A rating as a CVSS vector; the version is read off the vector.
    pub fn vector(vector: impl Into<String>) -> Self {
        let score = vector.into();
        let kind = if score.starts_with("CVSS:4") {
            "CVSS_V4"
        } else if score.starts_with("CVSS:3") {
            "CVSS_V3"
        } else {
            "CVSS_V2"
        };
        Self { kind: kind.into(), score, source: None }
    }
    /// The same rating, by `source`.
    #[must_use]
    pub fn by(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// A link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reference {
    /// OSV's type: `WEB`, `ADVISORY`, `FIX` …
    #[serde(rename = "type", deserialize_with = "null_default")]
    pub kind: String,
    /// Address.
    pub url: String,
}

impl Reference {
    /// A plain link.
    pub fn web(url: impl Into<String>) -> Self {
        Self { kind: "WEB".into(), url: url.into() }
    }
}

/// One package of one ecosystem with its affected versions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Affected {
    /// The package; absent for what is only known by commits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<AffectedPackage>,
    /// Ratings for this package.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub severity: Vec<Rating>,
    /// Affected ranges.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub ranges: Vec<Range>,
    /// Affected versions, listed.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub versions: Vec<String>,
    /// The ecosystem's own facts.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub ecosystem_specific: Value,
    /// The feed's own facts.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub database_specific: Value,
    /// What the source says of versions in the ranges; none: `fixed` or `affected` as the ranges have it.
    #[serde(rename = "bonded_status", skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Which name is meant.
    #[serde(rename = "bonded_names")]
    pub names: NameKind,
    /// Module stream (`nodejs:18`) that the entry is restricted to.
    #[serde(rename = "bonded_module", skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Architectures that the entry is restricted to; empty: all.
    #[serde(rename = "bonded_arches", skip_serializing_if = "Vec::is_empty")]
    pub arches: Vec<String>,
    /// Versions that repair, where the ranges do not end in them.
    #[serde(rename = "bonded_fixed", skip_serializing_if = "Vec::is_empty")]
    pub fixed: Vec<String>,
}

impl Affected {
    /// `name` in `ecosystem`, nothing said of versions yet.
    pub fn new(ecosystem: impl Into<String>, name: impl Into<String>) -> Self {
        let package = AffectedPackage { ecosystem: ecosystem.into(), name: name.into(), purl: None };
        Self { package: Some(package), ..Self::default() }
    }
    /// With one range from the beginning to `fixed` (exclusive), or without end.
    #[must_use]
    pub fn until(mut self, fixed: Option<&str>) -> Self {
        let mut events = vec![Event::Introduced("0".into())];
        events.extend(fixed.map(|v| Event::Fixed(v.to_owned())));
        self.ranges.push(Range::new(events));
        self
    }
    /// With a status.
    #[must_use]
    pub fn with_status(mut self, status: Status) -> Self {
        self.status = Some(status);
        self
    }
}

/// A package's name in an ecosystem.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AffectedPackage {
    /// OSV ecosystem string (`Debian:12`, `PyPI`).
    #[serde(deserialize_with = "null_default")]
    pub ecosystem: String,
    /// Name.
    #[serde(deserialize_with = "null_default")]
    pub name: String,
    /// Package URL without version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
}

/// How the events of a range are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RangeKind {
    /// By the ecosystem's version order.
    #[default]
    Ecosystem,
    /// By Semantic Versioning.
    Semver,
    /// By commit ancestry: only the exact commits named can be decided without the repository.
    Git,
}

/// A timeline of versions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Range {
    /// Order of the events.
    #[serde(rename = "type")]
    pub kind: RangeKind,
    /// Repository, for `Git`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// Events, any order.
    #[serde(deserialize_with = "events")]
    pub events: Vec<Event>,
    /// The feed's own facts.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub database_specific: Value,
}

impl Range {
    /// A range in the ecosystem's order.
    pub fn new(events: Vec<Event>) -> Self {
        Self { events, ..Self::default() }
    }
}

/// One point of a range's timeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// First affected version; `0` is before every version.
    Introduced(String),
    /// Versions above (not this one) are affected.
    #[serde(rename = "bonded_introduced_after")]
    IntroducedAfter(String),
    /// First version that is no longer affected.
    Fixed(String),
    /// Last affected version.
    LastAffected(String),
    /// Versions from here on are not spoken of; `*` is no limit.
    Limit(String),
}

impl Event {
    /// The version that the event names.
    pub fn version(&self) -> &str {
        match self {
            Self::Introduced(v)
            | Self::IntroducedAfter(v)
            | Self::Fixed(v)
            | Self::LastAffected(v)
            | Self::Limit(v) => v,
        }
    }
}

fn null_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(
    d: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

/// An event object may hold several members; OSV forbids it, some feeds do it.
#[derive(Deserialize)]
struct RawEvent {
    introduced: Option<String>,
    bonded_introduced_after: Option<String>,
    fixed: Option<String>,
    last_affected: Option<String>,
    limit: Option<String>,
}

fn events<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<Event>, D::Error> {
    let raw = Option::<Vec<RawEvent>>::deserialize(d)?.unwrap_or_default();
    let mut out = Vec::with_capacity(raw.len());
    for event in raw {
        out.extend(event.introduced.map(Event::Introduced));
        out.extend(event.bonded_introduced_after.map(Event::IntroducedAfter));
        out.extend(event.fixed.map(Event::Fixed));
        out.extend(event.last_affected.map(Event::LastAffected));
        out.extend(event.limit.map(Event::Limit));
    }
    Ok(out)
}

/// The severity that a vendor's word means; `None` for a text that is no such word.
pub(crate) fn known_word(word: &str) -> Option<Severity> {
    let plain = word.trim().trim_end_matches('*').to_ascii_lowercase();
    match plain.as_str() {
        "unknown" | "untriaged" | "not yet assigned" | "undefined" | "n/a" => Some(Severity::Unknown),
        "med" => Some(Severity::Medium),
        "minor" => Some(Severity::Low),
        "end-of-life" => Some(Severity::Negligible),
        other => Some(Severity::from_word(other)).filter(|s| *s != Severity::Unknown),
    }
}
