//! Roles by name.

use std::borrow::Cow;

use policy::Role;
use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A role in a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProjectRole(pub(super) Role);

/// A role on the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SystemRole(pub(super) Role);

fn names(in_projects: bool) -> Vec<&'static str> {
    let some = Role::LIST.into_iter().filter(|role| role.is_project_role() == in_projects);
    some.map(Role::name).collect()
}

fn named<'de, D: Deserializer<'de>>(deserializer: D, in_projects: bool) -> Result<Role, D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    let role = text.parse::<Role>().ok().filter(|role| role.is_project_role() == in_projects);
    role.ok_or_else(|| de::Error::custom(format!("`{text}` is not one of {}", names(in_projects).join(", "))))
}

macro_rules! wire {
    ($name:ident, $in_projects:literal, $description:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.0.name())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                named(deserializer, $in_projects).map(Self)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "enum": names($in_projects), "description": $description })
            }
        }
    };
}

wire!(ProjectRole, true, "A role in a project.");
wire!(SystemRole, false, "A role on the whole system.");
