//! How much a licence asks of who uses it.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use spdx::expression::{ExprNode, Operator};

/// Classes of licences, least demanding first: the order is that of severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Asks nothing (public domain, CC0).
    Unencumbered,
    /// Asks next to nothing.
    Permissive,
    /// Asks for its notice to be kept (MIT, Apache, BSD).
    Notice,
    /// Asks for changes of the licensed files to be published (MPL, EPL, CDDL).
    Reciprocal,
    /// Asks for the whole work to be published when distributed (GPL, LGPL).
    Restricted,
    /// May not be used without a decision (AGPL, non-commercial, source-available).
    Forbidden,
    /// Not known; never read as harmless.
    Unknown,
}

impl Class {
    /// The name used in documents and policies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unencumbered => "unencumbered",
            Self::Permissive => "permissive",
            Self::Notice => "notice",
            Self::Reciprocal => "reciprocal",
            Self::Restricted => "restricted",
            Self::Forbidden => "forbidden",
            Self::Unknown => "unknown",
        }
    }
}

static TABLE: LazyLock<Vec<(&'static str, Class)>> = LazyLock::new(|| {
    include_str!("../../data/license/classes.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('\t'))
        .map(|(pattern, name)| {
            let class = match name {
                "unencumbered" => Class::Unencumbered,
                "permissive" => Class::Permissive,
                "notice" => Class::Notice,
                "reciprocal" => Class::Reciprocal,
                "restricted" => Class::Restricted,
                "forbidden" => Class::Forbidden,
                _ => Class::Unknown,
            };
            (pattern, class)
        })
        .collect()
});

/// The class of an expression: the best branch of an OR, the worst part of an AND; a text that is no expression is
/// `Unknown`.
pub fn class(expression: &str) -> Class {
    let Ok(parsed) = spdx::Expression::parse_mode(expression, spdx::ParseMode::LAX) else {
        return Class::Unknown;
    };
    let mut stack: Vec<Class> = Vec::new();
    for node in parsed.iter() {
        match node {
            ExprNode::Req(requirement) => stack.push(single(&requirement.req.license.to_string())),
            ExprNode::Op(operator) => {
                let (Some(right), Some(left)) = (stack.pop(), stack.pop()) else { return Class::Unknown };
                stack.push(match operator {
                    Operator::Or => left.min(right),
                    Operator::And => left.max(right),
                });
            }
        }
    }
    stack.pop().unwrap_or(Class::Unknown)
}

fn single(id: &str) -> Class {
    let id = id.trim_end_matches('+');
    TABLE
        .iter()
        .find(|(pattern, _)| match pattern.strip_suffix('*') {
            Some(prefix) => id.starts_with(prefix),
            None => id == *pattern,
        })
        .map_or(Class::Unknown, |(_, class)| *class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn or_takes_the_best_branch_and_and_the_worst() {
        for (expression, expected) in [
            ("MIT", Class::Notice),
            ("MIT OR GPL-3.0-only", Class::Notice),
            ("MIT AND GPL-3.0-only", Class::Restricted),
            ("(MIT OR AGPL-3.0-only) AND MPL-2.0", Class::Reciprocal),
            ("GPL-2.0-only WITH Classpath-exception-2.0", Class::Restricted),
            ("CC0-1.0", Class::Unencumbered),
            ("AGPL-3.0-or-later", Class::Forbidden),
            ("LicenseRef-scancode-odd", Class::Unknown),
            ("see the file", Class::Unknown),
        ] {
            assert_eq!(class(expression), expected, "{expression}");
        }
    }
}
