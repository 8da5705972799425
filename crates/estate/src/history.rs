//! How long vulnerabilities stay: published → first present → fix built → last affected gone.
//!
//! A *stay* begins when an image of a project becomes affected while none was, and ends when the last one is gone. Times
//! are seconds since 1970; what still lasts is measured up to the `now` that the caller gives. The caller keeps the
//! stays: one for a vulnerability in a project at a time, whatever number of images, so that they stay few.

/// A time in which a project was exposed without a break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    /// When the vulnerability was published, if that is known.
    pub published: Option<i64>,
    /// When the first image became affected.
    pub first_present: i64,
    /// When the first repaired image was built.
    pub fix_built: Option<i64>,
    /// When the last affected image was gone; none: it still is there.
    pub gone: Option<i64>,
}

impl Stay {
    /// When it could be known of: it was there and published.
    pub fn known_from(&self) -> i64 {
        self.published.map_or(self.first_present, |p| p.max(self.first_present))
    }

    /// Seconds in which it was known and there, up to `now`; none if it was gone before it was published.
    pub fn exposed(&self, now: i64) -> u64 {
        seconds(self.known_from(), self.gone.unwrap_or(now))
    }

    /// Seconds from when it could be known of to the first repaired image.
    pub fn to_fix(&self) -> Option<u64> {
        self.fix_built.map(|at| seconds(self.known_from(), at))
    }

    /// Seconds from when it could be known of to the last affected image's end.
    pub fn to_repair(&self) -> Option<u64> {
        self.gone.map(|at| seconds(self.known_from(), at))
    }
}

fn seconds(from: i64, to: i64) -> u64 {
    u64::try_from(to.saturating_sub(from)).unwrap_or(0)
}

/// Numbers over some stays; those of several groups are joined to those of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Stays.
    pub stays: u64,
    /// Those that are over.
    pub repaired: u64,
    /// Those with a repaired image.
    pub fixed: u64,
    /// Seconds to repair, all together.
    pub to_repair: u64,
    /// Seconds to the first repaired image, all together.
    pub to_fix: u64,
    /// Seconds exposed, all together.
    pub exposed: u64,
}

impl Summary {
    /// One stay.
    pub fn of(stay: &Stay, now: i64) -> Self {
        Self {
            stays: 1,
            repaired: u64::from(stay.gone.is_some()),
            fixed: u64::from(stay.fix_built.is_some()),
            to_repair: stay.to_repair().unwrap_or(0),
            to_fix: stay.to_fix().unwrap_or(0),
            exposed: stay.exposed(now),
        }
    }

    /// Adds others.
    pub fn join(&mut self, other: &Self) {
        self.stays += other.stays;
        self.repaired += other.repaired;
        self.fixed += other.fixed;
        self.to_repair = self.to_repair.saturating_add(other.to_repair);
        self.to_fix = self.to_fix.saturating_add(other.to_fix);
        self.exposed = self.exposed.saturating_add(other.exposed);
    }

    /// Stays that last.
    pub fn open(&self) -> u64 {
        self.stays.saturating_sub(self.repaired)
    }

    /// Mean seconds to repair of those that are over.
    pub fn mean_to_repair(&self) -> Option<u64> {
        self.to_repair.checked_div(self.repaired)
    }

    /// Mean seconds to the first repaired image, of those that have one.
    pub fn mean_to_fix(&self) -> Option<u64> {
        self.to_fix.checked_div(self.fixed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_counts_from_when_it_could_be_known_of() {
        let stay = Stay { published: Some(200), first_present: 100, fix_built: Some(350), gone: Some(500) };
        assert_eq!((stay.to_fix(), stay.to_repair(), stay.exposed(1000)), (Some(150), Some(300), 300));
        let open = Stay { first_present: 900, fix_built: None, gone: None, ..stay };
        assert_eq!((open.to_fix(), open.to_repair(), open.exposed(1000)), (None, None, 100));
        let early = Stay { gone: Some(150), fix_built: None, ..stay };
        assert_eq!((early.to_repair(), early.exposed(1000)), (Some(0), 0), "gone before it was published");
        let unknown = Stay { published: None, ..stay };
        assert_eq!(unknown.exposed(1000), 400);
    }

    #[test]
    fn groups_add_up_and_means_are_of_those_that_count() {
        let stay = Stay { published: None, first_present: 0, fix_built: Some(10), gone: Some(30) };
        let mut all = Summary::of(&stay, 100);
        all.join(&Summary::of(&Stay { fix_built: None, gone: Some(50), ..stay }, 100));
        all.join(&Summary::of(&Stay { fix_built: None, gone: None, ..stay }, 100));
        assert_eq!((all.stays, all.open(), all.exposed), (3, 1, 180));
        assert_eq!((all.mean_to_repair(), all.mean_to_fix()), (Some(40), Some(10)));
        assert_eq!(Summary::default().mean_to_repair(), None);
    }
}
