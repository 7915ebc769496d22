//! Concurrent calls: what must happen once happens once.

use crate::support::*;
use futures::future::join_all;
use std::collections::HashSet;
use threadline_schema::ids::{RunId, ThreadId};
use threadline_store::{Conflict, IdempotencyKey, Limit, NewThread, RunInput, StoreError};

on_both! { threads:
    async fn the_limit_holds(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let creates = (0..50).map(|_| {
            let store = store.clone();
            let new = NewThread { max_sessions: Some(10), ..new_thread(user) };
            tokio::spawn(async move { store.thread_create(new).await })
        });
        let results: Vec<_> = join_all(creates).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 10);
        assert_eq!(results.iter().filter(|result| matches!(result, Err(StoreError::LimitReached(Limit::Threads)))).count(), 40);
        assert_eq!(store.user_by_id(user).await.unwrap().unwrap().session_count, 10);
        assert_eq!(db.number("SELECT count(*) FROM threads").await, 10);
    }

    async fn one_turn_at_a_time(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let thread = thread(&store, user).await;
        let turns = (0..20).map(|_| {
            let (store, thread) = (store.clone(), thread.clone());
            tokio::spawn(async move { say(&store, &thread).await })
        });
        let results: Vec<_> = join_all(turns).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        assert_eq!(results.iter().filter(|result| matches!(result, Err(StoreError::Busy))).count(), 19);
        let thread = store.thread_get(user, thread.id).await.unwrap();
        assert_eq!((thread.next_position, thread.message_count), (1, 1));
        assert_eq!(store.history(thread.id, 10).await.unwrap().len(), 1);
    }

    async fn one_submission_starts_one_turn(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let thread = thread(&store, user).await;
        let idempotency_key = IdempotencyKey { key: "once".into(), fingerprint: "a".into() };
        let turns = (0..12).map(|_| {
            let (store, id, idempotency_key) = (store.clone(), thread.id, idempotency_key.clone());
            tokio::spawn(async move { store.run_start(user, id, RunInput::Message(message()), new_run(), Some(idempotency_key)).await.unwrap() })
        });
        let results: Vec<_> = join_all(turns).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(results.iter().filter(|started| !started.replayed).count(), 1);
        let runs: HashSet<RunId> = results.iter().map(|started| started.run.id).collect();
        assert_eq!(runs.len(), 1);
        assert_eq!(store.history(thread.id, 10).await.unwrap().len(), 1);

        // A replay returns the current state of the run. The same key with another body is refused.
        store.run_finish(results[0].run.fencing_token(), completed(), vec![]).await.unwrap();
        let late = store.run_start(user, thread.id, RunInput::Message(message()), new_run(), Some(idempotency_key)).await.unwrap();
        assert!(late.replayed && late.run.finished_at.is_some());
        let other = IdempotencyKey { key: "once".into(), fingerprint: "b".into() };
        let refused = store.run_start(user, thread.id, RunInput::Message(message()), new_run(), Some(other)).await;
        assert!(matches!(refused, Err(StoreError::Conflict(Conflict::KeyReused))), "{refused:?}");
        assert_eq!(store.history(thread.id, 10).await.unwrap().len(), 1);
    }

    async fn one_submission_makes_one_thread(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let idempotency_key = IdempotencyKey { key: "once".into(), fingerprint: "a".into() };
        let creates = (0..12).map(|_| {
            let store = store.clone();
            let new = NewThread {
                max_sessions: Some(1),
                first_message: Some((message(), new_run())),
                idempotency_key: Some(idempotency_key.clone()),
                ..new_thread(user)
            };
            tokio::spawn(async move { store.thread_create(new).await.unwrap() })
        });
        let results: Vec<_> = join_all(creates).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(results.iter().filter(|made| !made.replayed).count(), 1);
        let threads: HashSet<ThreadId> = results.iter().map(|made| made.thread.id).collect();
        assert_eq!(threads.len(), 1);
        assert!(results.iter().all(|made| made.run.as_ref().unwrap().thread_id == made.thread.id));
        assert_eq!(db.number("SELECT count(*) FROM threads").await, 1);
        assert_eq!(db.number("SELECT session_count FROM users").await, 1);
    }

    async fn a_submission_that_failed_may_come_again(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (busy, run) = running(&store, user).await;
        let idempotency_key = IdempotencyKey { key: "again".into(), fingerprint: "a".into() };
        let refused = store.run_start(user, busy.id, RunInput::Message(message()), new_run(), Some(idempotency_key.clone())).await;
        assert!(matches!(refused, Err(StoreError::Busy)), "{refused:?}");
        store.run_finish(run.fencing_token(), completed(), vec![]).await.unwrap();
        assert!(!store.run_start(user, busy.id, RunInput::Message(message()), new_run(), Some(idempotency_key)).await.unwrap().replayed);
    }

    async fn positions_have_no_gaps(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (thread, run) = running(&store, user).await;
        let appends = (0..20).map(|n| {
            let (store, token) = (store.clone(), run.fencing_token());
            let new = (0..=n % 3).map(|_| item(ItemKind::AssistantMessage)).collect();
            tokio::spawn(async move { store.items_append(token, new, None).await.unwrap() })
        });
        // Some of these calls fail half-way, and must release their places.
        let clashes = (0..5).map(|_| {
            let (store, token, twice) = (store.clone(), run.fencing_token(), item(ItemKind::AssistantMessage));
            tokio::spawn(async move { store.items_append(token, vec![twice.clone(), twice], None).await.unwrap_err() })
        });
        let (appended, failed) = tokio::join!(join_all(appends), join_all(clashes));
        assert_eq!(failed.len(), 5);
        let mut positions: Vec<i64> =
            appended.into_iter().flat_map(Result::unwrap).map(|item| item.position).collect();
        positions.sort_unstable();
        assert_eq!(positions, (1..=39).collect::<Vec<i64>>());
        let thread = store.thread_get(user, thread.id).await.unwrap();
        assert_eq!((thread.next_position, thread.message_count), (40, 40));
    }

    async fn an_end_and_the_next_turn_do_not_block_each_other(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (thread, mut run) = running(&store, user).await;
        for _ in 0..20 {
            let next = tokio::spawn({
                let (store, thread) = (store.clone(), thread.clone());
                async move {
                    loop {
                        match say(&store, &thread).await {
                            Err(StoreError::Busy) => {}
                            started => return started.unwrap().run,
                        }
                    }
                }
            });
            store.run_finish(run.fencing_token(), completed(), vec![item(ItemKind::AssistantMessage)]).await.unwrap();
            run = next.await.unwrap();
        }
        let thread = store.thread_get(user, thread.id).await.unwrap();
        assert_eq!((thread.next_position, thread.message_count), (41, 41));
    }

    async fn sweeps_at_once_count_once(db: &TestDb) {
        let store = db.store().await;
        let mut users = Vec::new();
        for _ in 0..4 {
            let user = user(&store).await.id;
            for n in 0..5 {
                thread_at(&store, user, at(n)).await;
            }
            users.push(user);
        }
        let sweeps = (0..4).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.threads_archive_idle(at(100), 100).await.unwrap() })
        });
        let archived: usize = join_all(sweeps).await.into_iter().map(Result::unwrap).sum();
        assert_eq!(archived, 20);
        for user in users {
            assert_eq!(store.user_by_id(user).await.unwrap().unwrap().session_count, 0);
        }
    }
}
