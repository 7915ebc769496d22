//! Writes that share a transaction of SQLite.

use crate::faults::{eventually, lock};
use crate::support::*;
use futures::future::join_all;
use std::time::Duration;
use threadline_schema::ids::AttachmentId;
use threadline_store::config::DatabaseConfig;
use threadline_store::{Conflict, NewMessage, NewThread, RunInput, Store, StoreError};

#[tokio::test]
async fn a_unit_that_fails_takes_back_its_own_changes_only() {
    run(Some(TestDb::sqlite()), async |db: &TestDb| {
        let store = db.store().await;
        let user = user(&store).await.id;
        let threads = join_all((0..6).map(|_| thread(&store, user))).await;
        let held = lock(db, threads[0].id).await;

        // While the file is locked they all queue, so they are in one group.
        let said = tokio::spawn({
            let (store, threads) = (store.clone(), threads.clone());
            async move {
                let said = threads.iter().enumerate().map(|(index, thread)| {
                    let attachments = if index % 2 == 0 { vec![] } else { vec![new_id::<AttachmentId>()] };
                    let input = RunInput::Message(NewMessage { attachments, ..message() });
                    store.run_start(user, thread.id, input, new_run(), None)
                });
                let refused = NewThread { max_sessions: Some(1), ..new_thread(user) };
                tokio::join!(join_all(said), store.thread_create(refused))
            }
        });
        eventually(async || store.pool_status().waiting == 6).await;
        held.release().await;
        let (said, refused) = said.await.unwrap();
        assert!(matches!(refused, Err(StoreError::LimitReached(_))), "{refused:?}");
        for (index, (started, thread)) in said.iter().zip(&threads).enumerate() {
            let items = store.history(thread.id, 10).await.unwrap().len();
            let after = store.thread_get(user, thread.id).await.unwrap();
            if index % 2 == 0 {
                assert_eq!(store.active_run(thread.id).await.unwrap().unwrap().id, started.as_ref().unwrap().run.id);
                assert_eq!((after.next_position, after.message_count, items), (1, 1, 1));
            } else {
                // It had inserted its run and its message before it failed.
                assert!(matches!(started, Err(StoreError::Conflict(Conflict::AttachmentUsed))), "{started:?}");
                assert_eq!(store.active_run(thread.id).await.unwrap(), None);
                assert_eq!((after.next_position, after.message_count, items), (0, 0, 0));
            }
        }
        assert_eq!(db.number("SELECT session_count FROM users").await, 6);
    })
    .await;
}

#[tokio::test]
async fn a_group_whose_transaction_fails_fails_as_a_whole() {
    run(Some(TestDb::sqlite()), async |db: &TestDb| {
        let config = DatabaseConfig { pool_timeout: Duration::from_millis(300), ..db.config.clone() };
        let store = Store::open(&config).await.unwrap();
        let user = user(&store).await.id;
        let thread = thread(&store, user).await;
        let held = lock(db, thread.id).await;
        for result in join_all((0..5).map(|_| store.thread_create(new_thread(user)))).await {
            assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
        }
        held.release().await;
        assert_eq!(db.number("SELECT count(*) FROM threads").await, 1);
        store.thread_create(new_thread(user)).await.expect("the writer works on");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_write_that_was_acknowledged_is_there() {
    for sqlite_full_sync in [false, true] {
        run(Some(TestDb::sqlite()), async |db: &TestDb| {
            let config = DatabaseConfig { sqlite_full_sync, ..db.config.clone() };
            let store = Store::open(&config).await.unwrap();
            let user = user(&store).await.id;
            let workers = (0..32).map(|worker| {
                let store = store.clone();
                tokio::spawn(async move {
                    for _ in 0..20 {
                        let made = thread(&store, user).await;
                        // Another connection sees it: it is committed.
                        assert_eq!(store.thread_get(user, made.id).await.unwrap().id, made.id);
                        if worker % 2 == 0 {
                            assert!(store.thread_delete_idle(user, made.id).await.unwrap());
                        }
                    }
                })
            });
            join_all(workers).await.into_iter().for_each(Result::unwrap);
            assert_eq!(db.number("SELECT count(*) FROM threads").await, 320);
            assert_eq!(db.number("SELECT session_count FROM users").await, 320);
        })
        .await;
    }
}

#[tokio::test]
async fn a_request_that_leaves_the_queue_does_nothing() {
    run(Some(TestDb::sqlite()), async |db: &TestDb| {
        let store = db.store().await;
        let user = user(&store).await.id;
        let thread = thread(&store, user).await;
        let held = lock(db, thread.id).await;
        let first = tokio::spawn({
            let store = store.clone();
            async move { store.thread_create(new_thread(user)).await }
        });
        eventually(async || store.pool_status().in_use == 1).await;
        // The first waits for the file, so this one waits for its turn.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let left = tokio::time::timeout(Duration::from_millis(50), store.thread_create(new_thread(user))).await;
        left.unwrap_err();
        held.release().await;
        first.await.unwrap().unwrap();
        store.thread_create(new_thread(user)).await.unwrap();
        assert_eq!(db.number("SELECT count(*) FROM threads").await, 3);
    })
    .await;
}
