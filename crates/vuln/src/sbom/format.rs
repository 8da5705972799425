//! Names of the written forms, as given on the command line and in the API.

use std::fmt;
use std::str::FromStr;

/// A version of CycloneDX.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CycloneDxVersion {
    /// 1.0, read only, XML only.
    V1_0,
    /// 1.1, read only, XML only.
    V1_1,
    /// 1.2, read only.
    V1_2,
    /// 1.3, read only.
    V1_3,
    /// 1.4.
    V1_4,
    /// 1.5.
    V1_5,
    /// 1.6 (ECMA-424).
    V1_6,
    /// 1.7.
    V1_7,
}

impl CycloneDxVersion {
    /// Every version, oldest first.
    pub const ALL: [Self; 8] =
        [Self::V1_0, Self::V1_1, Self::V1_2, Self::V1_3, Self::V1_4, Self::V1_5, Self::V1_6, Self::V1_7];

    /// `1.6`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
            Self::V1_4 => "1.4",
            Self::V1_5 => "1.5",
            Self::V1_6 => "1.6",
            Self::V1_7 => "1.7",
        }
    }

    /// The version of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.name() == text)
    }
}

/// A form that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// SPDX 2.3 JSON: what Harbor, cosign and GitHub consume.
    Spdx23Json,
    /// SPDX 3.0.1 JSON-LD.
    Spdx301Json,
    /// CycloneDX JSON.
    CycloneDxJson(CycloneDxVersion),
    /// CycloneDX XML.
    CycloneDxXml(CycloneDxVersion),
}

impl Format {
    /// The IANA or specified media type of the form.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Spdx23Json | Self::Spdx301Json => "application/spdx+json",
            Self::CycloneDxJson(_) => "application/vnd.cyclonedx+json",
            Self::CycloneDxXml(_) => "application/vnd.cyclonedx+xml",
        }
    }

    /// Every form that can be written.
    pub fn all() -> Vec<Self> {
        let versions = || CycloneDxVersion::ALL.into_iter().filter(|v| *v >= CycloneDxVersion::V1_4);
        let mut all = vec![Self::Spdx23Json, Self::Spdx301Json];
        all.extend(versions().map(Self::CycloneDxJson));
        all.extend(versions().map(Self::CycloneDxXml));
        all
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spdx23Json => f.write_str("spdx-json"),
            Self::Spdx301Json => f.write_str("spdx3-json"),
            Self::CycloneDxJson(version) => write!(f, "cyclonedx-json@{}", version.name()),
            Self::CycloneDxXml(version) => write!(f, "cyclonedx-xml@{}", version.name()),
        }
    }
}

/// A format name that is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no SBOM format; use spdx-json, spdx3-json, cyclonedx-json or cyclonedx-xml, the last two with @1.4, @1.5, @1.6 or @1.7"
)]
pub struct FormatError(pub String);

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let refuse = || FormatError(text.to_owned());
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        let cyclonedx = || match version {
            None => Ok(CycloneDxVersion::V1_6),
            Some(text) => {
                CycloneDxVersion::parse(text).filter(|v| *v >= CycloneDxVersion::V1_4).ok_or_else(refuse)
            }
        };
        match (name, version) {
            ("spdx-json" | "spdx", None | Some("2.3")) => Ok(Self::Spdx23Json),
            ("spdx3-json" | "spdx3", None | Some("3.0" | "3.0.1")) | ("spdx-json", Some("3.0" | "3.0.1")) => {
                Ok(Self::Spdx301Json)
            }
            ("cyclonedx-json" | "cyclonedx", _) => cyclonedx().map(Self::CycloneDxJson),
            ("cyclonedx-xml", _) => cyclonedx().map(Self::CycloneDxXml),
            _ => Err(refuse()),
        }
    }
}
