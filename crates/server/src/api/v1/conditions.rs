//! A grant's effect, permissions and conditions on the wire.

use std::borrow::Cow;
use std::str::FromStr;

use metadata::Timestamp;
use policy::{Conditions, Effect, Permission};
use registry::Error;
use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Whether a grant gives or takes. A denial wins over every role.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Effect")]
pub(super) enum WireEffect {
    #[default]
    Allow,
    Deny,
}

impl From<WireEffect> for Effect {
    fn from(wire: WireEffect) -> Self {
        match wire {
            WireEffect::Allow => Self::Allow,
            WireEffect::Deny => Self::Deny,
        }
    }
}

impl From<Effect> for WireEffect {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::Allow => Self::Allow,
            Effect::Deny => Self::Deny,
        }
    }
}

/// A permission by name.
#[derive(Clone, Copy, Debug)]
pub(super) struct WirePermission(pub(super) Permission);

impl Serialize for WirePermission {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for WirePermission {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|error| de::Error::custom(format!("`{text}`: {error}")))
    }
}

impl JsonSchema for WirePermission {
    fn schema_name() -> Cow<'static, str> {
        "Permission".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": Permission::LIST.map(Permission::name) })
    }
}

/// When a grant counts: all that is said must hold; what is not said asks nothing.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Conditions")]
pub(super) struct WireConditions {
    /// Only repositories of the project whose name matches: `*` inside one segment, `**` over any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 256), regex(pattern = r"^[a-z0-9._/*-]+$")))]
    repositories: Vec<String>,
    /// Only tags that match: `*` is any run of characters. What no tag reaches is not given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9._*-]+$")))]
    tags: Vec<String>,
    /// Only callers from these networks, such as `10.0.0.0/8`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    networks: Vec<String>,
    /// Not before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    not_before: Option<Timestamp>,
    /// Not at this time or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    not_after: Option<Timestamp>,
}

impl WireConditions {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn parse(&self) -> Result<Conditions, Error> {
        Ok(Conditions {
            repositories: list("repositories", &self.repositories)?,
            tags: list("tags", &self.tags)?,
            networks: list("networks", &self.networks)?,
            not_before: self.not_before.map(Timestamp::micros),
            not_after: self.not_after.map(Timestamp::micros),
        })
    }
}

fn list<T: FromStr<Err: std::fmt::Display>>(name: &str, texts: &[String]) -> Result<Vec<T>, Error> {
    let one = |text: &String| {
        text.parse::<T>().map_err(|error| Error::Invalid(format!("conditions.{name}: `{text}`: {error}")))
    };
    texts.iter().map(one).collect()
}

impl From<&Conditions> for WireConditions {
    fn from(conditions: &Conditions) -> Self {
        Self {
            repositories: conditions.repositories.iter().map(|it| it.as_str().to_owned()).collect(),
            tags: conditions.tags.iter().map(|it| it.as_str().to_owned()).collect(),
            networks: conditions.networks.iter().map(ToString::to_string).collect(),
            not_before: conditions.not_before.map(Timestamp::from_micros),
            not_after: conditions.not_after.map(Timestamp::from_micros),
        }
    }
}
