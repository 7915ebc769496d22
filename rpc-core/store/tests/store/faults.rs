//! Dropped requests, and databases that become unavailable and available again.

use crate::support::*;
use std::time::{Duration, Instant};
use threadline_schema::ids::ThreadId;
use threadline_store::config::DatabaseConfig;
use threadline_store::timing::timed;
use threadline_store::{PoolStatus, Store, StoreError};

/// Locks a row (PostgreSQL) or the file (SQLite), so that the next write of the store waits until this is dropped.
pub(crate) enum Lock {
    File(diesel::SqliteConnection),
    Row(tokio_postgres::Client),
}

pub(crate) async fn lock(db: &TestDb, thread: ThreadId) -> Lock {
    if db.is_postgres() {
        let client = raw_postgres(db.url()).await;
        let sql = format!("BEGIN; SELECT 1 FROM threads WHERE id = '{thread}' FOR UPDATE");
        client.batch_execute(&sql).await.unwrap();
        Lock::Row(client)
    } else {
        let mut connection = db.raw_sqlite();
        diesel::connection::SimpleConnection::batch_execute(&mut connection, "BEGIN IMMEDIATE").unwrap();
        Lock::File(connection)
    }
}

impl Lock {
    pub(crate) async fn release(self) {
        match self {
            Self::File(connection) => drop(connection),
            Self::Row(client) => client.batch_execute("COMMIT").await.unwrap(),
        }
    }
}

/// Repeats a check until it returns true.
pub(crate) async fn eventually(mut question: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !question().await {
        assert!(began.elapsed() < Duration::from_secs(10), "it did not come to that");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

on_both! {
    async fn a_dropped_request_neither_blocks_nor_halves_its_transaction(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let thread = thread(&store, user).await;
        let held = lock(db, thread.id).await;

        // The unit waits at its first write.
        let dropped = tokio::time::timeout(Duration::from_millis(300), say(&store, &thread)).await;
        assert!(dropped.is_err(), "it did not wait: {dropped:?}");
        let began = Instant::now();
        tokio::time::timeout(Duration::from_millis(20), say(&store, &thread)).await.unwrap_err();
        assert!(began.elapsed() < Duration::from_millis(200), "dropping took {:?}", began.elapsed());
        assert!(store.pool_status().in_use >= 1, "the work goes on without its caller");

        held.release().await;
        eventually(async || store.active_run(thread.id).await.unwrap().is_some()).await;
        let after = store.thread_get(user, thread.id).await.unwrap();
        let history = store.history(thread.id, 10).await.unwrap();
        assert_eq!((after.next_position, after.message_count, history.len()), (1, 1, 1));
        eventually(async || store.pool_status().in_use == 0).await;
    }

    async fn requests_dropped_at_any_moment_leave_whole_threads(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        for n in 0..60_u64 {
            let new = threadline_store::NewThread { first_message: Some((message(), new_run())), ..new_thread(user) };
            let _ = tokio::time::timeout(Duration::from_micros(n * 50), store.thread_create(new)).await;
        }
        eventually(async || store.pool_status().in_use == 0).await;
        let made = db.number("SELECT count(*) FROM threads").await;
        assert!(made > 0);
        assert_eq!(db.number("SELECT count(*) FROM runs").await, made);
        assert_eq!(db.number("SELECT count(*) FROM items").await, made);
        assert_eq!(db.number("SELECT session_count FROM users").await, made);
    }

    async fn time_in_the_store_is_measured(db: &TestDb) {
        let store = db.store().await;
        let (result, spent) = timed(store.ping()).await;
        result.unwrap();
        assert!(spent > Duration::ZERO);
        let ((), spent) = timed(tokio::time::sleep(Duration::from_millis(5))).await;
        assert_eq!(spent, Duration::ZERO);
    }

    async fn the_pool_is_counted(db: &TestDb) {
        let store = db.store().await;
        assert_eq!(store.pool_status(), PoolStatus { size: 0, in_use: 0, waiting: 0 });
        store.ping().await.unwrap();
        assert_eq!(store.pool_status(), PoolStatus { size: 1, in_use: 0, waiting: 0 });
        assert_eq!(store.kind(), if db.is_postgres() { "postgresql" } else { "sqlite" });
        assert!(!format!("{store:?} {:?}", db.config).contains("example"));
    }
}

#[tokio::test]
async fn a_writer_that_holds_the_file_is_waited_for_and_then_told() {
    run(Some(TestDb::sqlite()), async |db: &TestDb| {
        let config = DatabaseConfig { pool_timeout: Duration::from_millis(300), ..db.config.clone() };
        let store = Store::open(&config).await.unwrap();
        let user = user(&store).await.id;
        let thread = thread(&store, user).await;
        let held = lock(db, thread.id).await;
        let refused = say(&store, &thread).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        store.thread_get(user, thread.id).await.expect("readers are not held up");
        held.release().await;
        say(&store, &thread).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn writers_queue_for_the_one_connection() {
    run(Some(TestDb::sqlite()), async |db: &TestDb| {
        let store = db.store().await;
        let user = user(&store).await.id;
        let thread = thread(&store, user).await;
        let held = lock(db, thread.id).await;
        let second = tokio::spawn({
            let store = store.clone();
            async move {
                tokio::join!(
                    store.thread_rename(user, thread.id, "a".into(), now()),
                    store.thread_delete(user, thread.id)
                )
            }
        });
        eventually(async || store.pool_status().waiting == 1).await;
        held.release().await;
        let (renamed, deleted) = second.await.unwrap();
        renamed.unwrap();
        deleted.unwrap();
    })
    .await;
}
