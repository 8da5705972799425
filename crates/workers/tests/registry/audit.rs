//! The sealed audit: whatever is changed in it afterwards is found; what is only read is recorded too.

use crate::support::World;
use metadata::leases::{self, Held};
use metadata::{Expect, params};
use registry::{Note, Settings};
use std::time::Duration;
use workers::Duty as _;
use workers::audit::SealDuty;

metadata::statements! {
    CHANGE = Write "UPDATE audit SET principal = 'somebody else' WHERE position = $1";
    REMOVE = Write "DELETE FROM audit WHERE position = $1";
    MOVE = Write "UPDATE audit SET position = $2 WHERE position = $1";
    UNSIGN = Write "UPDATE audit_seal SET signature = chain WHERE position = $1";
    GAPS = Scan "SELECT details FROM audit WHERE action = 'audit.gap'";
    OF = Scan "SELECT principal, outcome, target FROM audit WHERE action = $1 ORDER BY id";
    DETAILS = Scan "SELECT target, details FROM audit WHERE action = $1 ORDER BY target";
    FORGE = Write "INSERT INTO audit (id, at, principal, action, target, outcome, position, chain) VALUES ($1, 0, 'somebody', 'manifest.put', 'x', 'done', $2, $3)";
    LIVED = Write "INSERT INTO audit_writer (id, seen_at) VALUES ('gone', $1)";
}

async fn held(world: &World) -> Held {
    leases::take(world.registry.store(), SealDuty::NAME, "test", Duration::from_hours(1))
        .await
        .unwrap()
        .unwrap()
}

/// A registry with sealed records.
async fn sealed() -> World {
    let world = World::new(Settings::default()).await;
    let held = held(&world).await;
    let duty = SealDuty(world.registry.clone());
    for tag in ["a", "b", "c", "d"] {
        world.image(tag, &[tag.as_bytes()]).await.unwrap();
        duty.round(world.registry.store(), &held).await.unwrap();
    }
    world
}

async fn tampered(change: &'static metadata::Statement, params: &[metadata::Value]) -> Vec<String> {
    let world = sealed().await;
    let store = world.registry.store();
    let mut tx = store.begin().await.unwrap();
    tx.step(change, params.to_vec(), Expect::Rows(1));
    store.commit(tx).await.unwrap();
    world.registry.verify_audit().await.unwrap().found
}

#[tokio::test]
async fn sealed_records_are_numbered_without_gaps_and_verify() {
    let world = sealed().await;
    world.image("later", &[b"later"]).await.unwrap();
    let verdict = world.registry.verify_audit().await.unwrap();
    assert_eq!(verdict.found, Vec::<String>::new());
    assert!(verdict.records >= 4 && verdict.signatures == 4 && verdict.unsealed == 1, "{verdict:?}");
    let listed = world.registry.audit_after(&world.caller(), 0, 1000).await.unwrap();
    let positions: Vec<i64> = listed.iter().map(|row| row.position).collect();
    assert_eq!(positions, (1..=verdict.position).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_changed_removed_reordered_or_unsigned_record_is_found() {
    let found = tampered(&CHANGE, &params![2]).await;
    assert!(found.len() == 1 && found[0].starts_with("record 2 "), "{found:?}");
    let found = tampered(&REMOVE, &params![2]).await;
    assert!(found.iter().any(|fault| fault == "records 2 to 2 are missing"), "{found:?}");
    let found = tampered(&MOVE, &params![2, 3]).await;
    assert!(!found.is_empty());
    let world = sealed().await;
    let last = world.registry.verify_audit().await.unwrap().position;
    let found = tampered(&REMOVE, &params![last]).await;
    assert!(found.iter().any(|fault| fault.contains("missing at the end")), "{found:?}");
    let found = tampered(&UNSIGN, &params![last]).await;
    assert!(found.iter().any(|fault| fault.contains("signature")), "{found:?}");
}

#[tokio::test]
async fn a_forged_record_is_found_wherever_it_is_put() {
    let world = World::new(Settings::default()).await;
    let (store, notes) = (world.registry.store(), world.registry.notes());
    for at in 0..2100 {
        let target = format!("library/app:t{at}");
        let note = Note { action: "manifest.get", project: None, target: &target, outcome: "done" };
        notes.note(&world.caller(), note).await.unwrap();
    }
    notes.flush().await.unwrap();
    let held = held(&world).await;
    SealDuty(world.registry.clone()).round(store, &held).await.unwrap();
    let verdict = world.registry.verify_audit().await.unwrap();
    assert!(verdict.faults == 0 && verdict.records > 2100, "{verdict:?}");
    let mut faults = 0;
    let positions = [999, 1000, 1001, 2000, verdict.position, 0, -1, i64::MIN];
    for (n, position) in positions.into_iter().enumerate() {
        // Behind and before the record whose position it takes.
        let id = if n % 2 == 0 {
            i64::MAX - 9 + i64::try_from(n).unwrap()
        } else {
            i64::MIN + i64::try_from(n).unwrap()
        };
        let mut tx = store.begin().await.unwrap();
        tx.step(&FORGE, params![id, position, vec![0_u8; 32]], Expect::Rows(1));
        store.commit(tx).await.unwrap();
        let found = world.registry.verify_audit().await.unwrap();
        assert!(found.faults > faults, "a record with position {position} and id {id} is not seen");
        faults = found.faults;
    }
}

#[tokio::test]
async fn logins_and_what_is_only_read_are_recorded_together() {
    let world = World::new(Settings::default()).await;
    let notes = world.registry.notes();
    let wrong = world.registry.authenticator().verify_password("nobody", "wrong", "192.0.2.1").await;
    assert!(wrong.is_err());
    for at in 0..3000 {
        let target = format!("library/app:t{at}");
        let note = Note { action: "manifest.get", project: None, target: &target, outcome: "done" };
        notes.note(&world.caller(), note).await.unwrap();
    }
    let of = |action: &'static str| {
        let store = world.registry.store().clone();
        async move { store.rows(&OF, &params![action]).await.unwrap() }
    };
    assert!(of("manifest.get").await.is_empty(), "written on the reading path");
    notes.flush().await.unwrap();
    let pulls = of("manifest.get").await;
    assert_eq!((pulls.len(), pulls[2999].text(2).unwrap()), (3000, "library/app:t2999"));
    let login = of("login").await;
    assert_eq!((login[0].text(0).unwrap(), login[0].text(1).unwrap()), ("nobody", "denied"));
}

#[tokio::test]
async fn equal_records_of_one_moment_are_one_that_counts() {
    let world = World::new(Settings::default()).await;
    let (store, notes) = (world.registry.store(), world.registry.notes());
    for target in ["x", "x", "y", "x"] {
        let note = Note { action: "manifest.get", project: None, target, outcome: "done" };
        notes.note(&world.caller(), note).await.unwrap();
    }
    notes.flush().await.unwrap();
    let rows = store.rows(&DETAILS, &params!["manifest.get"]).await.unwrap();
    let said: Vec<_> = rows.iter().map(|row| (row.text(0).unwrap(), row.text(1).unwrap())).collect();
    assert_eq!(said, [("x", r#"{"times":3}"#), ("y", "{}")]);
}

#[tokio::test]
async fn what_does_not_fit_and_a_process_that_died_leave_a_recorded_gap() {
    let world = World::new(Settings::default()).await;
    let (store, notes) = (world.registry.store(), world.registry.notes());
    for at in 0..20_007 {
        let target = at.to_string();
        let note = Note { action: "manifest.get", project: None, target: &target, outcome: "done" };
        notes.note(&world.caller(), note).await.unwrap();
    }
    notes.flush().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    tx.step(&LIVED, params![store.now().minus(Duration::from_mins(3))], Expect::Rows(1));
    store.commit(tx).await.unwrap();
    let gaps = || async { store.rows(&GAPS, &[]).await.unwrap() };
    assert_eq!(gaps().await[0].text(0).unwrap(), r#"{"lost":7}"#);
    tokio::select! {
        ended = notes.keep(std::future::pending()) => panic!("{ended:?}"),
        () = async { while gaps().await.len() < 2 { tokio::task::yield_now().await; } } => {}
    }
    assert!(gaps().await[1].text(0).unwrap().contains("process_ended_after"));
}

#[tokio::test]
async fn a_strict_record_is_there_before_its_answer() {
    let world = World::new(Settings { audit_strict: true, ..Settings::default() }).await;
    let note = Note { action: "manifest.get", project: None, target: "x", outcome: "done" };
    world.registry.notes().note(&world.caller(), note).await.unwrap();
    assert_eq!(world.registry.store().rows(&OF, &params!["manifest.get"]).await.unwrap().len(), 1);
}
