//! How many findings: by severity, and those of them that a newer version repairs.

use vuln::Severity;
use vuln::matching::Counts;

/// Findings by severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tally {
    all: [u32; 6],
    fixable: [u32; 6],
}

impl Tally {
    pub(crate) fn add(&mut self, severity: Severity, fixable: bool) {
        let at = severity as usize;
        self.all[at] = self.all[at].saturating_add(1);
        self.fixable[at] = self.fixable[at].saturating_add(u32::from(fixable));
    }

    pub(crate) fn join(&mut self, other: &Self) {
        for at in 0..6 {
            self.all[at] = self.all[at].saturating_add(other.all[at]);
            self.fixable[at] = self.fixable[at].saturating_add(other.fixable[at]);
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Findings of a severity.
    pub fn of(&self, severity: Severity) -> u32 {
        self.all[severity as usize]
    }

    /// Findings of a severity that a newer version repairs.
    pub fn fixable_of(&self, severity: Severity) -> u32 {
        self.fixable[severity as usize]
    }

    /// All, as a report counts them.
    pub fn all(&self) -> Counts {
        counts(&self.all)
    }

    /// Those that a newer version repairs, as a report counts them.
    pub fn fixable(&self) -> Counts {
        counts(&self.fixable)
    }

    /// What leads from `before` to this.
    pub fn since(&self, before: &Self) -> TallyChange {
        let difference = |now: &[u32; 6], then: &[u32; 6]| {
            std::array::from_fn(|at| i64::from(now[at]) - i64::from(then[at]))
        };
        TallyChange {
            all: difference(&self.all, &before.all),
            fixable: difference(&self.fixable, &before.fixable),
        }
    }

    /// This and a change.
    #[must_use]
    pub fn changed(&self, by: &TallyChange) -> Self {
        let sum = |now: &[u32; 6], by: &[i64; 6]| {
            std::array::from_fn(|at| u32::try_from(i64::from(now[at]) + by[at]).unwrap_or_default())
        };
        Self { all: sum(&self.all, &by.all), fixable: sum(&self.fixable, &by.fixable) }
    }
}

fn counts(n: &[u32; 6]) -> Counts {
    let at = |s: Severity| u64::from(n[s as usize]);
    Counts {
        critical: at(Severity::Critical),
        high: at(Severity::High),
        medium: at(Severity::Medium),
        low: at(Severity::Low),
        negligible: at(Severity::Negligible),
        unknown: at(Severity::Unknown),
    }
}

/// A difference of two tallies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TallyChange {
    all: [i64; 6],
    fixable: [i64; 6],
}

impl TallyChange {
    pub(crate) fn join(&mut self, other: &Self) {
        for at in 0..6 {
            self.all[at] += other.all[at];
            self.fixable[at] += other.fixable[at];
        }
    }

    /// Whether nothing changes.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// By how much the findings of a severity change.
    pub fn of(&self, severity: Severity) -> i64 {
        self.all[severity as usize]
    }

    /// By how much the repairable findings of a severity change.
    pub fn fixable_of(&self, severity: Severity) -> i64 {
        self.fixable[severity as usize]
    }
}
