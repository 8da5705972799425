//! Which versions are meant.

use vuln::PackageKind;
use vuln::vers::{Comparator, Constraint, Vers};
use vuln::version::{Scheme, VersionKey};

/// A set of versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionRange {
    /// All comparisons hold, each in the package's own order.
    Compare(Vec<Constraint>),
    /// A VERS range; packages of other orders are not in it.
    Vers(Vers),
}

/// A range with its versions read once for each order.
pub(super) struct Compared<'r> {
    range: &'r VersionRange,
    known: Vec<(Scheme, Vec<Bound>)>,
}

/// A bound as the order reads it, and as the generic order does.
struct Bound {
    comparator: Comparator,
    key: Option<VersionKey>,
    generic: Option<VersionKey>,
}

impl<'r> Compared<'r> {
    pub(super) fn new(range: &'r VersionRange) -> Self {
        Self { range, known: Vec::new() }
    }

    /// Whether a version lies in the range. What the ecosystem's tool refuses is compared by the generic order, as
    /// matching does; what is no number at all is in no range.
    pub(super) fn contains(&mut self, kind: PackageKind, version: &str) -> bool {
        let scheme = Scheme::of(kind);
        let list = match self.range {
            VersionRange::Vers(vers) => {
                return Scheme::by_name(vers.ty()) == Some(scheme) && vers.contains(version).unwrap_or(false);
            }
            VersionRange::Compare(list) => list,
        };
        let place = self.known.iter().position(|(s, _)| *s == scheme).unwrap_or_else(|| {
            let bound = |c: &Constraint| Bound {
                comparator: c.comparator,
                key: scheme.parse(&c.version).ok(),
                generic: Scheme::Generic.parse(&c.version).ok(),
            };
            self.known.push((scheme, list.iter().map(bound).collect()));
            self.known.len() - 1
        });
        let own = scheme.parse(version).ok();
        if own.is_none() && !version.starts_with(|c: char| c.is_ascii_digit() || c == 'v') {
            return false;
        }
        let holds = |bound: &Bound| {
            let order = match (&own, &bound.key) {
                (Some(own), Some(key)) => Some(own.compare(key)),
                _ => {
                    Scheme::Generic.parse(version).ok().zip(bound.generic.as_ref()).map(|(v, b)| v.compare(b))
                }
            };
            order.is_some_and(|order| match bound.comparator {
                Comparator::Equal => order.is_eq(),
                Comparator::NotEqual => order.is_ne(),
                Comparator::Less => order.is_lt(),
                Comparator::LessOrEqual => order.is_le(),
                Comparator::Greater => order.is_gt(),
                Comparator::GreaterOrEqual => order.is_ge(),
            })
        };
        self.known[place].1.iter().all(holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_stand_in_their_own_order() {
        let below = |v: &str| VersionRange::Compare(vec![Constraint::new(Comparator::Less, v)]);
        for (kind, bound, version, expected) in [
            (PackageKind::Maven, "2.17.1", "2.17.1-rc1", true),
            (PackageKind::Maven, "2.17.1", "2.3", true),
            (PackageKind::Deb, "1.0", "1.0~rc1", true),
            (PackageKind::Deb, "1.0", "1:0.1", false),
            (PackageKind::Pypi, "1.0", "1.0.dev1", true),
            (PackageKind::Golang, "v1.2.0", "(devel)", false),
        ] {
            let range = below(bound);
            assert_eq!(Compared::new(&range).contains(kind, version), expected, "{kind:?} {version}");
        }
        let vers = VersionRange::Vers(Vers::parse("vers:maven/>=2.0|<2.17.1").unwrap());
        assert!(Compared::new(&vers).contains(PackageKind::Maven, "2.14.1"));
        assert!(!Compared::new(&vers).contains(PackageKind::Npm, "2.14.1"));
    }
}
