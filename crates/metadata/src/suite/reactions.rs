//! Claims about the outbox, schedules and named leases.

use super::{Bench, Claim, Expect, Found, SWAP, Why, claims, ensure};
use crate::error::CommitError;
use crate::outbox;
use crate::schedules::{self, Schedule};
use crate::{jobs, leases};
use futures_util::future::join_all;
use std::time::Duration;

pub(super) const CLAIMS: &[Claim] = claims![
    an_event_exists_only_with_its_state,
    an_event_causes_its_jobs_once,
    a_postponed_event_waits,
    a_schedule_fires_once_and_goes_on,
    a_declared_schedule_keeps_what_was_changed,
    a_lease_has_one_holder_and_a_growing_term,
];

async fn an_event_exists_only_with_its_state(bench: &Bench) -> Found {
    let now = bench.store.now();
    for keep in [false, true] {
        let mut tx = bench.insert("event/state", 1).await?;
        outbox::append(&mut tx, bench.store.next_id().await?, now, "happened", Some(7), r#"{"a":1}"#);
        if !keep {
            tx.step(&SWAP, crate::params!["event/none", 0, 1], Expect::Rows(1));
        }
        ensure!(bench.store.commit(tx).await.is_ok() == keep, "keep {keep}");
        let pending = outbox::pending(&bench.store, 10).await?;
        ensure!(pending.len() == usize::from(keep), "{pending:?}");
        if let Some(event) = pending.first() {
            ensure!(
                event.project == Some(7) && event.payload == r#"{"a":1}"# && event.kind == "happened",
                "{event:?}"
            );
            ensure!(outbox::backlog(&bench.store).await? == (1, Some(now)), "backlog");
            let id = event.id;
            let mut tx = bench.tx().await?;
            outbox::settle(&mut tx, id);
            bench.store.commit(tx).await?;
        }
    }
    ensure!(outbox::pending(&bench.store, 10).await?.is_empty(), "a settled event is pending");
    Ok(())
}

async fn an_event_causes_its_jobs_once(bench: &Bench) -> Found {
    for at in 0..5 {
        let mut tx = bench.tx().await?;
        let id = bench.store.next_id().await?;
        outbox::append(&mut tx, id, bench.store.now(), "once", None, &format!("{at}"));
        bench.store.commit(tx).await?;
    }
    let dispatch = || async {
        let mut settled = 0;
        for event in outbox::pending(&bench.store, 10).await? {
            let mut tx = bench.tx().await?;
            outbox::settle(&mut tx, event.id);
            let job = jobs::NewJob::new("once", event.payload, bench.store.now());
            jobs::enqueue(&mut tx, bench.store.next_id().await?, bench.store.now(), job);
            match bench.store.commit(tx).await {
                Ok(()) => settled += 1,
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(Why::from(error)),
            }
        }
        Ok(settled)
    };
    let settled = join_all((0..6).map(|_| dispatch())).await.into_iter().sum::<Result<i32, Why>>()?;
    let queued = jobs::list(&bench.store, "once", None, 100).await?.len();
    ensure!(settled == 5 && queued == 5, "{settled} settled, {queued} jobs");
    Ok(())
}

async fn a_postponed_event_waits(bench: &Bench) -> Found {
    let id = bench.store.next_id().await?;
    let mut tx = bench.tx().await?;
    outbox::append(&mut tx, id, bench.store.now(), "later", None, "{}");
    bench.store.commit(tx).await?;
    let mut tx = bench.tx().await?;
    outbox::postpone(&mut tx, id, bench.store.now().plus(Duration::from_secs(10)), "no luck");
    bench.store.commit(tx).await?;
    ensure!(outbox::pending(&bench.store, 10).await?.is_empty(), "it does not wait");
    bench.clock.advance(Duration::from_secs(10));
    let pending = outbox::pending(&bench.store, 10).await?;
    ensure!(pending.len() == 1 && pending[0].attempts == 1, "{pending:?}");
    let mut tx = bench.tx().await?;
    outbox::settle(&mut tx, id);
    bench.store.commit(tx).await?;
    Ok(())
}

impl Bench {
    fn nightly(&self, name: &str) -> Result<Schedule, Why> {
        Ok(Schedule {
            name: name.to_owned(),
            kind: "nightly".to_owned(),
            cron: "0 3 * * *".to_owned(),
            time_zone: "UTC".to_owned(),
            payload: "{}".to_owned(),
            priority: 0,
            enabled: true,
            project: None,
            next_at: schedules::next_after("0 3 * * *", "UTC", self.store.now())?,
            last_at: None,
        })
    }
}

async fn a_schedule_fires_once_and_goes_on(bench: &Bench) -> Found {
    let nightly = bench.nightly("nightly")?;
    let mut tx = bench.tx().await?;
    schedules::put(&mut tx, &nightly);
    bench.store.commit(tx).await?;
    ensure!(schedules::due(&bench.store, 10).await?.is_empty(), "it is due too early");
    bench.clock.set(nightly.next_at.plus(Duration::from_hours(72)));
    let fire = || async {
        let mut fired = 0;
        for due in schedules::due(&bench.store, 10).await? {
            let next = schedules::next_after(&due.cron, &due.time_zone, bench.store.now())?;
            let mut tx = bench.tx().await?;
            schedules::fire(&mut tx, &due, next, bench.store.now());
            fired += i32::from(bench.store.commit(tx).await.is_ok());
        }
        Ok::<_, Why>(fired)
    };
    let fired = join_all((0..6).map(|_| fire())).await.into_iter().sum::<Result<i32, Why>>()?;
    ensure!(fired == 1, "fired {fired} times");
    let after = schedules::read(&bench.store, "nightly").await?.ok_or("gone")?;
    ensure!(after.last_at == Some(bench.store.now()) && after.next_at > bench.store.now(), "{after:?}");
    Ok(())
}

async fn a_declared_schedule_keeps_what_was_changed(bench: &Bench) -> Found {
    let mut changed = bench.nightly("declared")?;
    let mut tx = bench.tx().await?;
    schedules::declare(&mut tx, &changed);
    bench.store.commit(tx).await?;
    changed.enabled = false;
    let mut tx = bench.tx().await?;
    schedules::put(&mut tx, &changed);
    bench.store.commit(tx).await?;
    let mut tx = bench.tx().await?;
    schedules::declare(&mut tx, &bench.nightly("declared")?);
    bench.store.commit(tx).await?;
    ensure!(schedules::list(&bench.store, "declare", 1).await? == [changed], "it was overwritten");
    let mut tx = bench.tx().await?;
    schedules::delete(&mut tx, "declared");
    bench.store.commit(tx).await?;
    ensure!(schedules::read(&bench.store, "declared").await?.is_none(), "not deleted");
    Ok(())
}

async fn a_lease_has_one_holder_and_a_growing_term(bench: &Bench) -> Found {
    let lease = Duration::from_secs(30);
    let taken =
        join_all(["a", "b", "c", "d"].map(|owner| leases::take(&bench.store, "seal", owner, lease))).await;
    let mut held: Vec<_> = taken.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    ensure!(held.len() == 1, "{held:?}");
    let old = held.pop().ok_or("none")?;
    bench.clock.advance(lease);
    ensure!(leases::renew(&bench.store, &old, lease).await?, "not renewed");
    ensure!(leases::take(&bench.store, "seal", "z", lease).await?.is_none(), "taken although renewed");
    bench.clock.advance(lease * 2);
    let new = leases::take(&bench.store, "seal", "z", lease).await?.ok_or("not taken over")?;
    ensure!(new.term() > old.term(), "{old:?} {new:?}");
    ensure!(!leases::renew(&bench.store, &old, lease).await?, "the former holder renews");
    let mut tx = bench.insert("lease/fenced", 1).await?;
    leases::fence(&mut tx, &old);
    let result = bench.store.commit(tx).await;
    ensure!(result.as_ref().is_err_and(|e| e.conflicts_at(leases::LEASE_HELD)), "{result:?}");
    let mut tx = bench.insert("lease/fenced", 1).await?;
    leases::fence(&mut tx, &new);
    bench.store.commit(tx).await?;
    leases::give_back(&bench.store, &new).await?;
    ensure!(leases::take(&bench.store, "seal", "y", lease).await?.is_some(), "not given back");
    Ok(())
}
