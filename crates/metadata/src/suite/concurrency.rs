//! Claims about values that run beside each other, and about callers that go away.

use super::{ADD, Bench, Claim, Expect, Found, SWAP, Why, claims, ensure};
use crate::error::CommitError;
use crate::params;
use futures_util::future::join_all;

pub(super) const CLAIMS: &[Claim] = claims![
    of_many_swaps_from_one_state_one_wins,
    values_that_conflict_do_not_disturb_their_neighbours,
    increments_are_never_lost,
    a_commit_runs_to_its_end_when_its_caller_goes_away,
    an_answered_commit_is_seen_by_every_later_read,
    relaxed_values_are_seen_too,
    replanning_ends_in_success,
];

async fn of_many_swaps_from_one_state_one_wins(bench: &Bench) -> Found {
    bench.store.commit(bench.insert("cas/a", 0).await?).await?;
    for round in 0..5_i64 {
        let mut values = Vec::new();
        for _ in 0..24 {
            let mut value = bench.tx().await?;
            value.step_or(&SWAP, params!["cas/a", round, round + 1], Expect::Rows(1), "cas");
            values.push(bench.store.commit(value));
        }
        let results = join_all(values).await;
        let won = results.iter().filter(|result| result.is_ok()).count();
        let lost = results.iter().filter(|r| r.as_ref().is_err_and(|e| e.conflicts_at("cas"))).count();
        ensure!((won, lost) == (1, 23), "round {round}: {won} won, {lost} lost: {results:?}");
    }
    Ok(())
}

async fn values_that_conflict_do_not_disturb_their_neighbours(bench: &Bench) -> Found {
    bench.store.commit(bench.insert("neighbour/taken", 0).await?).await?;
    let mut values = Vec::new();
    for at in 0..40 {
        let name = format!("neighbour/{at}");
        let mut value = bench.insert(&name, at).await?;
        match at % 4 {
            1 => bench.also(&mut value, "neighbour/taken", 0).await?,
            2 => drop(value.step_or(&SWAP, params!["neighbour/none", 0, 1], Expect::Rows(1), "none")),
            3 => bench.also(&mut value, &format!("neighbour/defect/{at}"), 2_000_000).await?,
            _ => {}
        }
        values.push(bench.store.commit(value));
    }
    for (at, result) in join_all(values).await.into_iter().enumerate() {
        let good = match at % 4 {
            0 => result.is_ok(),
            3 => matches!(result, Err(CommitError::Inconsistent { .. })),
            _ => matches!(result, Err(CommitError::Conflict { .. })),
        };
        ensure!(good, "value {at}: {result:?}");
        let kept = bench.amount(&format!("neighbour/{at}")).await?.is_some();
        ensure!(kept == (at % 4 == 0), "value {at}: kept is {kept}");
    }
    Ok(())
}

async fn increments_are_never_lost(bench: &Bench) -> Found {
    bench.store.commit(bench.insert("add/a", 0).await?).await?;
    let mut values = Vec::new();
    for _ in 0..100 {
        let mut value = bench.tx().await?;
        value.step(&ADD, params!["add/a", 1], Expect::Rows(1));
        values.push(bench.store.commit(value));
    }
    let kept = join_all(values).await.iter().filter(|result| result.is_ok()).count();
    let amount = bench.amount("add/a").await?.unwrap_or(-1);
    ensure!(amount == i64::try_from(kept)? && kept == 100, "{kept} acknowledged, {amount} counted");
    Ok(())
}

async fn a_commit_runs_to_its_end_when_its_caller_goes_away(bench: &Bench) -> Found {
    for at in 0..10 {
        let mut commit = bench.store.commit(bench.insert(&format!("gone/{at}"), at).await?);
        if at % 2 == 0 {
            // Polled once, as a request that is cut while it waits.
            let waker = futures_util::task::noop_waker();
            let _ = commit.as_mut().poll(&mut std::task::Context::from_waker(&waker));
        }
        drop(commit);
    }
    // The engine has no order between callers, so look until they are there, within a bound.
    for _ in 0..500 {
        if bench.count("gone/%").await? == 10 {
            return Ok(());
        }
        bench.store.commit(bench.tx().await?).await?;
    }
    Err(format!("{} of 10 were kept", bench.count("gone/%").await?).into())
}

async fn an_answered_commit_is_seen_by_every_later_read(bench: &Bench) -> Found {
    for at in 0..50 {
        let name = format!("seen/{at}");
        bench.store.commit(bench.insert(&name, at).await?).await?;
        ensure!(bench.amount(&name).await? == Some(at), "{name} is not seen");
    }
    Ok(())
}

async fn relaxed_values_are_seen_too(bench: &Bench) -> Found {
    for at in 0..20 {
        let name = format!("relaxed/{at}");
        let mut value = bench.insert(&name, at).await?;
        if at % 3 != 0 {
            value.relaxed();
        }
        bench.store.commit(value).await?;
        ensure!(bench.amount(&name).await? == Some(at), "{name} is not seen");
    }
    Ok(())
}

async fn replanning_ends_in_success(bench: &Bench) -> Found {
    bench.store.commit(bench.insert("replan/a", 0).await?).await?;
    let add_one = || async {
        bench
            .store
            .replan::<_, Why, _>(200, || async {
                let now = bench.amount("replan/a").await?.ok_or("missing")?;
                let mut value = bench.tx().await?;
                value.step(&SWAP, params!["replan/a", now, now + 1], Expect::Rows(1));
                Ok((Some(value), now + 1))
            })
            .await
    };
    for result in join_all((0..16).map(|_| add_one())).await {
        result?;
    }
    ensure!(bench.amount("replan/a").await? == Some(16), "{:?}", bench.amount("replan/a").await?);
    Ok(())
}
