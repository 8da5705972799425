//! kill -9 in the middle of storms, again and again on the same data.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use e2e::bonded::Server;
use e2e::{environment, tools};

use crate::history::{Event, History, Verdict};
use crate::storm::{Work, Worker, resume};
use crate::{NOTHING_KEPT, Outcome};

const WORKERS: u64 = 4;

/// What a run of many cycles showed.
#[derive(Debug, Default)]
struct Run {
    cycles: usize,
    promises: usize,
    checked: usize,
    lost: Vec<String>,
    resumed: usize,
    /// What is wrong with the store after one collection, in the words of `bonded fsck`; empty if nothing is.
    left_overs: String,
}

/// Kills the server after a few acknowledgements, starts it again and holds it to its word; `cycles` times.
fn storm(work: Work, cycles: usize) -> anyhow::Result<Run> {
    let mut server = Server::start()?;
    let mut run = Run::default();
    let mut all = History::default();
    for cycle in 0..cycles {
        let mut recent = History::default();
        let events = one_cycle(&mut server, work, cycle as u64)?;
        for event in events {
            all.record(event.clone());
            recent.record(event);
        }
        server.restart()?;
        run.add(recent.check(server.target())?);
        for (location, &(seed, offset)) in &recent.uploads {
            run.lost.extend(resume(server.target(), location, seed, offset)?);
            run.resumed += 1;
        }
        run.cycles += 1;
        run.promises += recent.promises;
        if !run.lost.is_empty() {
            break;
        }
        if cycle % 100 == 99 {
            run.add(all.check(server.target())?);
            all.clear();
        }
    }
    run.add(all.check(server.target())?);
    run.left_overs = left_overs(&mut server)?;
    Ok(run)
}

/// One janitor pass and a check of the stopped server's store: rows without objects, objects of any age without rows.
fn left_overs(server: &mut Server) -> anyhow::Result<String> {
    server.stop(Duration::from_secs(30))?;
    let collected = server.maintain(&["gc"], NOTHING_KEPT)?;
    let checked = server.maintain(&["fsck", "--orphan-age", "0s"], &[])?;
    let good = collected.status.success() && checked.status.success();
    let said = [collected.stdout, collected.stderr, checked.stdout, checked.stderr].concat();
    Ok(if good { String::new() } else { said })
}

impl Run {
    fn add(&mut self, verdict: Verdict) {
        self.checked += verdict.checked;
        self.lost.extend(verdict.lost);
    }
}

/// Lets the workers storm until a number of acknowledgements that differs by cycle, then kills.
fn one_cycle(server: &mut Server, work: Work, cycle: u64) -> anyhow::Result<Vec<Event>> {
    let limit = 3 + usize::try_from(cycle * 7 % 29)?;
    let (tell, told) = mpsc::channel();
    let mut events = Vec::new();
    std::thread::scope(|scope| -> anyhow::Result<()> {
        for n in 0..WORKERS {
            let worker = Worker {
                target: server.target().clone(),
                repo: format!("storm/w{n}"),
                work,
                seed: cycle * WORKERS + n + 1,
            };
            let tell = tell.clone();
            scope.spawn(move || worker.run(10_000, &tell));
        }
        drop(tell);
        let start = Instant::now();
        let mut acknowledged = 0;
        while acknowledged < limit && start.elapsed() < Duration::from_secs(30) {
            let Ok(event) = told.recv_timeout(Duration::from_secs(30)) else { break };
            acknowledged += usize::from(!matches!(event, Event::Attempted { .. } | Event::Finishing { .. }));
            events.push(event);
        }
        server.kill()?;
        events.extend(told);
        Ok(())
    })?;
    Ok(events)
}

fn holds(work: Work) -> Outcome {
    let cycles = environment::count("BONDED_FAULT_CYCLES", 5);
    let start = Instant::now();
    let run = storm(work, cycles)?;
    tools::figure(&format!(
        "{work:?}: {} kills, {} promises, {} checks, {} uploads resumed, {} lost, {:.0} s",
        run.cycles,
        run.promises,
        run.checked,
        run.resumed,
        run.lost.len(),
        start.elapsed().as_secs_f64()
    ));
    assert!(run.lost.is_empty(), "{:#?}", run.lost);
    assert!(run.left_overs.is_empty(), "left over: {}", run.left_overs);
    assert!(run.promises > 3 * cycles, "the storm was a breeze: {} promises", run.promises);
    Ok(())
}

#[test]
fn uploads_survive_kill_9_with_every_acknowledged_byte() -> Outcome {
    holds(Work::Uploads)
}

#[test]
fn manifests_survive_kill_9() -> Outcome {
    holds(Work::Manifests)
}

#[test]
fn a_moving_tag_survives_kill_9_with_its_last_acknowledged_value() -> Outcome {
    holds(Work::Tags)
}
