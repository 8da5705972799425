//! Counts per set and group (ecosystem, type, case), and the rows that failed.

use std::collections::BTreeMap;

/// Failed rows that are shown per set unless all are wanted.
const SHOWN: usize = 10;

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: BTreeMap<String, usize>,
}

/// The outcome of a run.
pub(super) struct Report {
    sets: BTreeMap<String, BTreeMap<String, Tally>>,
    failures: BTreeMap<String, Vec<String>>,
    notes: Vec<String>,
    all: bool,
}

impl Report {
    pub(super) fn new(all: bool) -> Self {
        Self { sets: BTreeMap::new(), failures: BTreeMap::new(), notes: Vec::new(), all }
    }

    fn tally(&mut self, set: &str, group: &str) -> &mut Tally {
        self.sets.entry(set.to_owned()).or_default().entry(group.to_owned()).or_default()
    }

    pub(super) fn pass(&mut self, set: &str, group: &str) {
        self.tally(set, group).passed += 1;
    }

    pub(super) fn fail(&mut self, set: &str, group: &str, why: &str) {
        self.tally(set, group).failed += 1;
        self.failures.entry(set.to_owned()).or_default().push(format!("{group}: {why}"));
    }

    /// Passes or fails by `outcome`.
    pub(super) fn check(&mut self, set: &str, group: &str, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.pass(set, group),
            Err(why) => self.fail(set, group, &why),
        }
    }

    pub(super) fn skip(&mut self, set: &str, group: &str, count: usize, why: &str) {
        *self.tally(set, group).skipped.entry(why.to_owned()).or_default() += count;
    }

    /// Says something beside the counts.
    pub(super) fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// Prints everything, the totals last, and says how many rows failed.
    #[expect(clippy::print_stdout, reason = "this is the task's output")]
    pub(super) fn print(&self) -> usize {
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        for (set, failures) in &self.failures {
            for failure in failures.iter().take(if self.all { usize::MAX } else { SHOWN }) {
                println!("FAILED {set} {failure}");
            }
            if !self.all && failures.len() > SHOWN {
                println!("FAILED {set}: {} more (--all)", failures.len() - SHOWN);
            }
        }
        for (set, groups) in &self.sets {
            for (group, tally) in groups {
                let name = format!("{set} {group}");
                if tally.passed + tally.failed > 0 {
                    println!("{name:<40} {:>6} passed {:>5} failed", tally.passed, tally.failed);
                }
                for (why, count) in &tally.skipped {
                    println!("{name:<40} {count:>6} skipped: {why}");
                    skipped += count;
                }
                passed += tally.passed;
                failed += tally.failed;
            }
        }
        for note in &self.notes {
            println!("{note}");
        }
        println!("{skipped} skipped");
        println!("{passed} passed, {failed} failed");
        failed
    }
}
