//! Claims about single values: whole or not at all, types, order, expectations.

use super::{
    AMONG, Bench, Claim, DELETE_PARENT, DELETE_SOME, Expect, Found, INSERT, INSERT_PARENT, LOCK_PARENT,
    NAMES, READ, SWAP, claims, ensure,
};
use crate::error::{CommitError, ConflictReason};
use crate::params;
use crate::tx;
use crate::value::Value;

pub(super) const CLAIMS: &[Claim] = claims![
    every_statement_prepares,
    the_engine_is_healthy,
    a_value_is_kept_whole,
    an_unmet_expectation_keeps_nothing_and_names_its_step,
    constraints_are_conflicts_of_their_step,
    a_broken_check_constraint_is_a_defect_not_a_conflict,
    a_check_step_counts_the_rows_it_finds,
    every_type_comes_back_as_it_went_in,
    texts_are_ordered_by_their_bytes,
    like_tells_upper_from_lower_case,
    lists_are_parameters,
    a_bounded_delete_takes_the_first,
    a_large_value_is_kept,
    an_empty_transaction_is_kept,
    old_transactions_are_pruned,
    ids_are_never_given_twice,
];

async fn every_statement_prepares(bench: &Bench) -> Found {
    let mut broken = Vec::new();
    for statement in crate::statement::ALL.iter().copied().flatten() {
        if let Err(error) = bench.store.engine().prepare(statement).await {
            broken.push(format!("{}: {error}", statement.name));
        }
    }
    ensure!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}

async fn the_engine_is_healthy(bench: &Bench) -> Found {
    Ok(bench.store.engine().health().await?)
}

async fn a_value_is_kept_whole(bench: &Bench) -> Found {
    let mut value = bench.insert("whole/a", 1).await?;
    bench.also(&mut value, "whole/b", 2).await?;
    let id = value.id();
    bench.store.commit(value).await?;
    ensure!(bench.amount("whole/a").await? == Some(1), "a is missing");
    ensure!(bench.amount("whole/b").await? == Some(2), "b is missing");
    ensure!(bench.exists(&tx::EXISTS, id).await?, "its tx row is missing");
    Ok(())
}

async fn an_unmet_expectation_keeps_nothing_and_names_its_step(bench: &Bench) -> Found {
    bench.store.commit(bench.insert("unmet/a", 1).await?).await?;
    for (expect, tag) in
        [(Expect::Rows(1), "swap"), (Expect::AtLeast(1), "at_least"), (Expect::Rows(2), "two")]
    {
        let mut value = bench.insert("unmet/b", 1).await?;
        let id = value.id();
        let from = if tag == "two" { 1 } else { 99 };
        value.step_or(&SWAP, params!["unmet/a", from, 5], expect, tag);
        let result = bench.store.commit(value).await;
        let wanted = CommitError::Conflict { step: tag, reason: ConflictReason::Expectation };
        ensure!(result == Err(wanted), "{tag}: {result:?}");
        ensure!(bench.amount("unmet/a").await? == Some(1), "{tag}: the swap was kept");
        ensure!(bench.amount("unmet/b").await?.is_none(), "{tag}: the insert was kept");
        ensure!(!bench.exists(&tx::EXISTS, id).await?, "{tag}: the tx row was kept");
    }
    let mut value = bench.tx().await?;
    value.step(&SWAP, params!["unmet/a", 99, 5], Expect::Any);
    value.step(&SWAP, params!["unmet/a", 1, 5], Expect::AtLeast(1));
    value.step(&SWAP, params!["unmet/a", 5, 6], Expect::Rows(1));
    bench.store.commit(value).await?;
    ensure!(bench.amount("unmet/a").await? == Some(6), "met expectations were not kept");
    Ok(())
}

async fn constraints_are_conflicts_of_their_step(bench: &Bench) -> Found {
    bench.store.commit(bench.insert("constraint/a", 1).await?).await?;
    let mut value = bench.tx().await?;
    let row = |parent: Option<i64>, name: &str, id| params![id, parent, name, 1, None::<Vec<u8>>];
    let id = bench.store.ids().next().await?;
    value.step_or(&INSERT, row(None, "constraint/a", id), Expect::Rows(1), "taken");
    let result = bench.store.commit(value).await;
    ensure!(
        result == Err(CommitError::Conflict { step: "taken", reason: ConflictReason::Unique }),
        "unique: {result:?}"
    );
    let mut value = bench.tx().await?;
    value.step_or(&INSERT, row(Some(-7), "constraint/b", id), Expect::Rows(1), "orphan");
    let result = bench.store.commit(value).await;
    ensure!(
        result == Err(CommitError::Conflict { step: "orphan", reason: ConflictReason::ForeignKey }),
        "foreign key: {result:?}"
    );
    let parent = bench.store.ids().next().await?;
    let mut value = bench.tx().await?;
    value.step(&INSERT_PARENT, params![parent], Expect::Rows(1));
    value.step(&INSERT, row(Some(parent), "constraint/c", id), Expect::Rows(1));
    bench.store.commit(value).await?;
    let mut value = bench.tx().await?;
    value.step_or(&DELETE_PARENT, params![parent], Expect::Rows(1), "in_use");
    let result = bench.store.commit(value).await;
    ensure!(
        result == Err(CommitError::Conflict { step: "in_use", reason: ConflictReason::ForeignKey }),
        "delete: {result:?}"
    );
    Ok(())
}

async fn a_broken_check_constraint_is_a_defect_not_a_conflict(bench: &Bench) -> Found {
    let result = bench.store.commit(bench.insert("defect/a", 1_000_000).await?).await;
    ensure!(matches!(result, Err(CommitError::Inconsistent { .. })), "{result:?}");
    ensure!(bench.amount("defect/a").await?.is_none(), "it was kept");
    Ok(())
}

async fn a_check_step_counts_the_rows_it_finds(bench: &Bench) -> Found {
    let parent = bench.store.ids().next().await?;
    let mut value = bench.tx().await?;
    value.step(&INSERT_PARENT, params![parent], Expect::Rows(1));
    bench.store.commit(value).await?;
    let mut value = bench.tx().await?;
    value.step_or(&LOCK_PARENT, params![parent], Expect::Rows(1), "parent");
    bench.store.commit(value).await?;
    let mut value = bench.tx().await?;
    value.step_or(&LOCK_PARENT, params![-8], Expect::Rows(1), "parent");
    let result = bench.store.commit(value).await;
    ensure!(
        result == Err(CommitError::Conflict { step: "parent", reason: ConflictReason::Expectation }),
        "{result:?}"
    );
    Ok(())
}

async fn every_type_comes_back_as_it_went_in(bench: &Bench) -> Found {
    let contents = [None, Some(vec![]), Some(vec![0, 255, 10]), Some(vec![7; 100_000])];
    let names = ["type/", "type/\u{e4}\u{1f600}", "type/'\"\\%$1", "type/\n"];
    for (at, (name, content)) in names.into_iter().zip(contents).enumerate() {
        let amount = [i64::MIN, -1, 0, 999_999][at];
        let id = bench.store.ids().next().await?;
        let mut value = bench.tx().await?;
        value.step(&INSERT, params![id, None::<i64>, name, amount, content.clone()], Expect::Rows(1));
        bench.store.commit(value).await?;
        let row = bench.store.row(&READ, &params![name]).await?.ok_or("missing")?;
        ensure!(row.int(0)? == id && row.opt_int(1)?.is_none() && row.int(3)? == amount, "{row:?}");
        ensure!(row.text(2)? == name, "{name:?} came back as {:?}", row.text(2)?);
        ensure!(row.opt_bytes(4)?.map(|bytes| bytes.to_vec()) == content, "content of {name:?}");
    }
    Ok(())
}

async fn texts_are_ordered_by_their_bytes(bench: &Bench) -> Found {
    let mut names =
        ["order/b", "order/A", "order/a", "order/\u{e4}", "order/-", "order/a-", "order/a/", "order/B"];
    for name in names {
        bench.store.commit(bench.insert(name, 0).await?).await?;
    }
    names.sort_unstable();
    let rows = bench.store.rows(&NAMES, &params!["order/%"]).await?;
    let found = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
    ensure!(found == names, "{found:?}");
    Ok(())
}

async fn like_tells_upper_from_lower_case(bench: &Bench) -> Found {
    bench.store.commit(bench.insert("case/Upper", 0).await?).await?;
    ensure!(bench.count("case/upper%").await? == 0, "LIKE ignores case");
    ensure!(bench.count("case/Upper%").await? == 1, "LIKE finds nothing");
    Ok(())
}

async fn lists_are_parameters(bench: &Bench) -> Found {
    for (name, amount) in [("list/a", 1), ("list/\"b\"", 2), ("list/c", 3)] {
        bench.store.commit(bench.insert(name, amount).await?).await?;
    }
    let wanted = ["list/a", "list/\"b\"", "list/c", "list/none"];
    let rows = bench.store.rows(&AMONG, &[Value::texts(wanted), Value::ints([1, 2])]).await?;
    let found = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
    ensure!(found == ["list/\"b\"", "list/a"], "{found:?}");
    let none = bench.store.rows(&AMONG, &[Value::texts([""; 0]), Value::ints([])]).await?;
    ensure!(none.is_empty(), "an empty list finds {none:?}");
    Ok(())
}

async fn a_bounded_delete_takes_the_first(bench: &Bench) -> Found {
    for name in ["some/a", "some/b", "some/c"] {
        bench.store.commit(bench.insert(name, 0).await?).await?;
    }
    let mut value = bench.tx().await?;
    value.step(&DELETE_SOME, params!["some/%", 2], Expect::Rows(2));
    bench.store.commit(value).await?;
    ensure!(bench.amount("some/c").await?.is_some() && bench.count("some/%").await? == 1, "the wrong ones");
    Ok(())
}

async fn a_large_value_is_kept(bench: &Bench) -> Found {
    let mut value = bench.tx().await?;
    for at in 0..300 {
        bench.also(&mut value, &format!("large/{at:03}"), at).await?;
    }
    let content = vec![42; 4 << 20];
    let id = bench.store.ids().next().await?;
    value.step(&INSERT, params![id, None::<i64>, "large/content", 0, content.clone()], Expect::Rows(1));
    bench.store.commit(value).await?;
    ensure!(bench.count("large/%").await? == 301, "rows are missing");
    let row = bench.store.row(&READ, &params!["large/content"]).await?.ok_or("missing")?;
    ensure!(row.bytes(4)? == content, "content differs");
    Ok(())
}

async fn an_empty_transaction_is_kept(bench: &Bench) -> Found {
    let value = bench.tx().await?;
    let id = value.id();
    ensure!(value.is_empty(), "it has steps");
    bench.store.commit(value).await?;
    ensure!(bench.exists(&tx::EXISTS, id).await?, "its tx row is missing");
    Ok(())
}

async fn old_transactions_are_pruned(bench: &Bench) -> Found {
    let old = bench.tx().await?;
    let id = old.id();
    bench.store.commit(old).await?;
    let mut value = bench.tx().await?;
    tx::prune(&mut value, bench.store.now(), 10_000);
    bench.store.commit(value).await?;
    ensure!(bench.exists(&tx::EXISTS, id).await?, "pruned too early");
    bench.clock.advance(std::time::Duration::from_secs(1));
    let mut value = bench.tx().await?;
    tx::prune(&mut value, bench.store.now(), 10_000);
    bench.store.commit(value).await?;
    ensure!(!bench.exists(&tx::EXISTS, id).await?, "not pruned");
    Ok(())
}

async fn ids_are_never_given_twice(bench: &Bench) -> Found {
    let other = Bench::new(bench.store.engine().clone());
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        for store in [&bench.store, &other.store] {
            for id in store.ids().many(2000).await? {
                ensure!(seen.insert(id), "{id} was given twice");
            }
        }
    }
    ensure!(seen.len() == 12_000 && seen.first().is_some_and(|first| *first > 0), "{} ids", seen.len());
    Ok(())
}
