//! PostgreSQL behind PgBouncer in transaction mode: each transaction can run in another session.

use crate::support::*;
use std::time::{Duration, Instant};
use threadline_store::config::{DatabaseConfig, PreparedStatements};
use threadline_store::{Listener, NotHeld, Store, StoreError, migrate};
use threadline_test_requirements::PgBouncer;

/// Sessions that all clients of the pooler share. There are more clients than sessions, so that clients change
/// sessions.
const SESSIONS: u32 = 3;

fn through(db: &TestDb, pooler: &PgBouncer) -> DatabaseConfig {
    // The pooler, a process on this machine, has no TLS.
    DatabaseConfig { url: pooler.url(db.url()).into(), ..db.config.clone() }
}

/// Lets one client read, write and run transactions for a while. Returns how many calls it has made.
async fn work(store: &Store, rounds: usize) -> Result<usize, StoreError> {
    let mut calls = 0;
    for _ in 0..rounds {
        let user = store
            .user_create(new_id(), format!("{}@example.com", uuid::Uuid::now_v7().simple()), "x".into(), now())
            .await?;
        let thread = store.thread_create(new_thread(user.id)).await?.thread;
        let started = say(store, &thread).await?;
        store.run_finish(started.run.fencing_token(), completed(), vec![item(ItemKind::AssistantMessage)]).await?;
        store.history(thread.id, 10).await?;
        store.thread_get(user.id, thread.id).await?;
        store.user_by_id(user.id).await?;
        store.leases_renew(started.run.owner, at(0)).await?;
        calls += 8;
    }
    Ok(calls)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_share_few_sessions_without_an_error() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        let Some(pooler) = PgBouncer::start(db.url(), SESSIONS) else { return };
        let config = through(db, &pooler);
        // Two processes would give their prepared statements the same names.
        let stores = [Store::open(&config).await.unwrap(), Store::open(&config).await.unwrap()];
        let clients = stores.iter().cycle().take(20).map(|store| {
            let store = store.clone();
            tokio::spawn(async move { work(&store, 12).await })
        });
        let mut calls = 0;
        for done in futures::future::join_all(clients).await {
            calls += done.unwrap().unwrap();
        }
        assert_eq!(calls, 20 * 12 * 8);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_was_not_recognised_is_found_by_the_names_it_loses() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        let Some(pooler) = PgBouncer::start(db.url(), SESSIONS) else { return };
        // This setting simulates a pooler that the store does not recognise.
        let by_name = DatabaseConfig { prepared: PreparedStatements::On, ..through(db, &pooler) };
        let store = Store::open(&by_name).await.unwrap();
        let clients = (0..20).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { work(&store, 3).await })
        });
        let failed =
            futures::future::join_all(clients).await.into_iter().filter(|done| done.as_ref().unwrap().is_err());
        assert!(failed.count() > 0, "this pooler keeps track of names, so this test shows nothing");
    })
    .await;
}

#[tokio::test]
async fn options_of_an_orm_are_taken() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        let Some(pooler) = PgBouncer::start(db.url(), SESSIONS) else { return };
        let url = format!("{}?pgbouncer=true&connection_limit=1&schema=public", pooler.url(db.url()));
        let store = Store::open(&DatabaseConfig { url: url.into(), ..db.config.clone() }).await.unwrap();
        work(&store, 1).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn migrations_leave_no_lock_behind() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        let Some(pooler) = PgBouncer::start(db.url(), SESSIONS) else { return };
        let config = through(db, &pooler);
        assert!(!migrate::up(&config).await.unwrap().is_empty());
        let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = \
                     (SELECT oid FROM pg_database WHERE datname = current_database())";
        assert_eq!(db.number(locks).await, 0);

        // A process is killed during a migration: its connection closes, and the pooler ends the session.
        migrate::revert_last(&config).await.unwrap();
        let killed = raw_postgres(&pooler.url(db.url())).await;
        killed
            .batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock({})", 0x7468_7265_6164_6c6e_i64))
            .await
            .unwrap();
        assert_eq!(db.number(locks).await, 1);
        drop(killed);
        let began = Instant::now();
        assert_eq!(migrate::up(&config).await.unwrap().len(), 1);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    })
    .await;
}

#[tokio::test]
async fn a_lock_that_another_release_left_behind_does_not_stop_a_start() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        migrate::up(&db.config).await.unwrap();
        let left = raw_postgres(db.url()).await;
        left.batch_execute(&format!("SELECT pg_advisory_lock({})", 0x7468_7265_6164_6c6e_i64)).await.unwrap();
        let began = Instant::now();
        // Nothing is pending, and comparing the schema takes no lock.
        assert_eq!(migrate::standing(&db.config).await.unwrap(), migrate::Standing::default());
        Store::open(&db.config).await.unwrap().ping().await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    })
    .await;
}

#[tokio::test]
async fn what_needs_a_session_is_not_tried_through_a_pooler() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        let Some(pooler) = PgBouncer::start(db.url(), SESSIONS) else { return };
        let config = through(db, &pooler);
        let listener = Listener::of(&config).unwrap().unwrap();
        assert!(listener.connect().await.unwrap().is_none());
        let store = Store::open(&config).await.unwrap();
        let presence = store.presence(new_id()).unwrap();
        assert_eq!(presence.acquire().await.unwrap().err(), Some(NotHeld::Pooler));

        // With a URL for direct connections, both work.
        let config = DatabaseConfig { direct_url: Some(db.url().into()), ..config };
        assert!(Listener::of(&config).unwrap().unwrap().connect().await.unwrap().is_some());
        let store = Store::open(&config).await.unwrap();
        let presence = store.presence(new_id()).unwrap();
        let held = presence.acquire().await.unwrap().ok().unwrap();
        assert_eq!(presence.acquire().await.unwrap().err(), Some(NotHeld::Taken));
        drop(held);
        crate::faults::eventually(async || presence.acquire().await.unwrap().is_ok()).await;
    })
    .await;
}
