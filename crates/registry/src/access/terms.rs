//! A grant's terms as its row holds them: the role's name, the effect, and the rest as JSON.

use metadata::Timestamp;
use metadata::model::access::GrantRow;
use policy::{Conditions, Effect, GrantFact, Permission, Permissions, Role};
use serde::{Deserialize, Serialize};

/// The JSON in a grant's row. What this version does not know makes the grant give nothing: a condition that is not
/// understood must not be taken for one that is absent.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Stored {
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    repositories: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    networks: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<Timestamp>,
}

/// The JSON of a grant.
pub(crate) fn to_json(fact: &GrantFact) -> String {
    let conditions = &fact.conditions;
    let stored = Stored {
        permissions: fact
            .only
            .map(|only| only.list().map(|permission| permission.name().to_owned()).collect()),
        repositories: conditions.repositories.iter().map(|pattern| pattern.as_str().to_owned()).collect(),
        tags: conditions.tags.iter().map(|pattern| pattern.as_str().to_owned()).collect(),
        networks: conditions.networks.iter().map(ToString::to_string).collect(),
        not_before: conditions.not_before.map(Timestamp::from_micros),
        not_after: conditions.not_after.map(Timestamp::from_micros),
    };
    serde_json::to_string(&stored).unwrap_or_else(|_| "{}".to_owned())
}

/// The name of an effect.
pub(crate) fn effect_name(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
    }
}

/// The grant of a row. One that is not understood gives nothing; a denial that is not understood denies everything.
pub(super) fn of_row(row: &GrantRow) -> Option<GrantFact> {
    let effect = match row.effect.as_str() {
        "allow" => Effect::Allow,
        "deny" => Effect::Deny,
        _ => return None,
    };
    let everything = || (effect == Effect::Deny).then(|| (Role::ProjectAdmin, None, Conditions::default()));
    let (role, only, conditions) = terms(row).or_else(everything)?;
    Some(GrantFact { role, only, effect, conditions })
}

fn terms(row: &GrantRow) -> Option<(Role, Option<Permissions>, Conditions)> {
    let stored: Stored = serde_json::from_str(&row.conditions).ok()?;
    let only = match stored.permissions {
        None => None,
        Some(names) => {
            let list: Vec<Permission> = parsed(&names)?;
            Some(Permissions::of(&list))
        }
    };
    let conditions = Conditions {
        repositories: parsed(&stored.repositories)?,
        tags: parsed(&stored.tags)?,
        networks: parsed(&stored.networks)?,
        not_before: stored.not_before.map(Timestamp::micros),
        not_after: stored.not_after.map(Timestamp::micros),
    };
    Some((row.role.parse().ok()?, only, conditions))
}

fn parsed<T: std::str::FromStr>(texts: &[String]) -> Option<Vec<T>> {
    texts.iter().map(|text| text.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(conditions: &str) -> GrantRow {
        GrantRow {
            id: 1.into(),
            principal: 2.into(),
            project: None,
            role: "developer".to_owned(),
            effect: "allow".to_owned(),
            conditions: conditions.to_owned(),
        }
    }

    #[test]
    fn terms_are_read_as_they_were_written() {
        let fact = GrantFact {
            role: Role::Developer,
            only: Some(Permissions::of(&[Permission::Push])),
            effect: Effect::Allow,
            conditions: Conditions {
                repositories: vec!["team/**".parse().unwrap()],
                tags: vec!["dev-*".parse().unwrap()],
                networks: vec!["10.0.0.0/8".parse().unwrap()],
                not_before: Some(0),
                not_after: Some(1_000_001),
            },
        };
        assert_eq!(of_row(&row(&to_json(&fact))), Some(fact));
        let plain =
            GrantFact { only: None, conditions: Conditions::default(), ..of_row(&row("{}")).unwrap() };
        assert_eq!((to_json(&plain).as_str(), of_row(&row("{}"))), ("{}", Some(plain)));
    }

    #[test]
    fn terms_that_are_not_understood_give_nothing_and_deny_everything() {
        for unknown in [
            r#"{"mfa":true}"#,
            r#"{"tags":["a/b"]}"#,
            r#"{"permissions":["fly"]}"#,
            r#"{"networks":["nowhere"]}"#,
            "",
        ] {
            assert_eq!(of_row(&row(unknown)), None, "{unknown}");
            let denial = of_row(&GrantRow { effect: "deny".to_owned(), ..row(unknown) }).unwrap();
            assert!(denial.conditions.is_empty() && denial.permissions() == Role::ProjectAdmin.permissions());
        }
    }
}
