//! Each column is read back as it was stored.

use crate::support::*;
use diesel::prelude::*;
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use threadline_schema::ErrorCode;
use threadline_schema::db::tables::{idempotency_keys, run_events};
use threadline_schema::db::text::TextList;
use threadline_schema::db::types::UtcTime;
use threadline_schema::error::Failure;
use threadline_schema::ids::{RunId, ThreadId, UserId};
use threadline_schema::page::Order;
use threadline_schema::runs::{FinishReason, RunStatus, Usage};
use threadline_schema::tasks::Priority;
use threadline_schema::threads::ThreadState;
use threadline_store::rows::TaskRow;
use threadline_store::{Charge, IdempotencyKey, ItemPage, NewThread, RunEnd};

on_both! {
    async fn users(db: &TestDb) {
        let store = db.store().await;
        let made = store.user_create(new_id(), "a@example.com".into(), "$argon2id$v=19$x".into(), now()).await.unwrap();
        assert_eq!((made.email.as_str(), made.password_hash.as_str()), ("a@example.com", "$argon2id$v=19$x"));
        assert_eq!(made.session_count, 0);
        assert_eq!(store.user_by_id(made.id).await.unwrap().as_ref(), Some(&made));
        assert_eq!(store.user_by_email("a@example.com".into()).await.unwrap().as_ref(), Some(&made));
        assert_eq!(store.user_by_email("b@example.com".into()).await.unwrap(), None);
        assert_eq!(store.user_by_id(new_id()).await.unwrap(), None);
    }

    async fn threads_items_and_runs(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await;
        let (first, new_run) = (message(), new_run());
        let (message, owner) = (first.item.clone(), new_run.owner);
        let new = NewThread { first_message: Some((first, new_run)), created_at: at(5), ..new_thread(user.id) };
        let id = new.id;
        let made = store.thread_create(new).await.unwrap();
        assert_eq!(store.thread_get(user.id, id).await.unwrap(), made.thread);
        assert_eq!(made.thread.title, "What was said first");
        assert_eq!(made.thread.status, ThreadState::Active);
        assert_eq!(made.thread.metadata, "{}");
        assert_eq!((made.thread.created_at, made.thread.message_count, made.thread.next_position), (at(5), 1, 1));

        let run = made.run.unwrap();
        assert_eq!(store.run_get(user.id, run.id).await.unwrap(), run);
        assert_eq!((run.thread_id, run.user_id, run.owner, run.epoch), (id, user.id, owner, 1));
        assert_eq!((run.status, run.lease_expires_at), (RunStatus::Running, at(1_000_000)));

        let history = store.history(id, 10).await.unwrap();
        assert_eq!(history.len(), 1);
        assert_eq!((history[0].id, history[0].run_id, history[0].position), (message.id, Some(run.id), 0));
        assert_eq!((&history[0].body, history[0].hidden), (&message.body, false));
        assert_eq!((history[0].kind, history[0].created_at), (ItemKind::UserMessage, message.created_at));

        // The store itself never locks a thread, but an operator or an integration may have set that status.
        db.sql("UPDATE threads SET status = 'locked', status_reason = 'audit', metadata = '{\"a\":1}'").await;
        let locked = store.thread_get(user.id, id).await.unwrap();
        assert_eq!((locked.status, locked.status_reason.as_deref()), (ThreadState::Locked, Some("audit")));
        assert_eq!(locked.metadata, r#"{"a":1}"#);
    }

    async fn every_end_of_a_run(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await;
        let ends = [
            (RunStatus::Completed, Some(FinishReason::Stop), None),
            (RunStatus::Completed, Some(FinishReason::Length), None),
            (RunStatus::Completed, Some(FinishReason::ContentFilter), None),
            (RunStatus::Completed, Some(FinishReason::Refusal), None),
            (
                RunStatus::Failed,
                Some(FinishReason::TurnLimit),
                Some(Failure { code: ErrorCode::UpstreamTimeout, message: "It took too long.".into() }),
            ),
            (RunStatus::Cancelled, None, None),
            (RunStatus::Interrupted, None, None),
        ];
        for (status, finish_reason, error) in ends {
            let (thread, run) = running(&store, user.id).await;
            let answer = item(ItemKind::AssistantMessage);
            let end = RunEnd {
                status,
                error: error.clone(),
                finish_reason,
                usage: Usage { prompt_tokens: 3, completion_tokens: 4 },
                charge: Charge { prompt_tokens: 3, completion_tokens: 4, cost_micros: Some(5) },
                uses: vec![],
                last_seq: 12,
                message_id: Some(answer.id),
                results: vec![],
                finished_at: at(99),
                events: vec![],
            };
            let ended = store.run_finish(run.fencing_token(), end, vec![answer.clone()]).await.unwrap();
            assert_eq!((ended.status, ended.finish_reason), (status, finish_reason));
            assert_eq!(ended.error_code.as_deref(), error.as_ref().map(|failure| failure.code.name()));
            assert_eq!(ended.error_message, error.map(|failure| failure.message));
            assert_eq!((ended.prompt_tokens, ended.completion_tokens, ended.last_seq), (3, 4, 12));
            assert_eq!(ended.cost_micros, Some(5));
            assert_eq!((ended.message_id, ended.finished_at), (Some(answer.id), Some(at(99))));
            assert_eq!(store.run_get(user.id, run.id).await.unwrap(), ended);

            let thread = store.thread_get(user.id, thread.id).await.unwrap();
            assert_eq!((thread.message_count, thread.next_position, thread.updated_at), (2, 2, at(99)));
        }
    }

    async fn tasks(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await;
        for (priority, completed) in [(Priority::Low, false), (Priority::Medium, true), (Priority::High, false)] {
            let task = TaskRow {
                id: new_id(),
                user_id: user.id,
                title: "Buy milk".into(),
                description: completed.then(|| "two litres".into()),
                priority,
                tags: TextList(vec!["home".into(), "a \"quoted\" one".into()]),
                completed,
                created_at: at(1),
                updated_at: at(2),
                completed_at: completed.then_some(at(3)),
            };
            assert_eq!(store.task_create(task.clone()).await.unwrap(), task);
            assert_eq!(store.task_get(user.id, task.id).await.unwrap(), task);
        }
    }

    async fn submissions_and_events(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await;
        let idempotency_key = IdempotencyKey { key: "k".into(), fingerprint: "f".into() };
        let new = NewThread { first_message: Some((message(), new_run())), idempotency_key: Some(idempotency_key), ..new_thread(user.id) };
        let run = store.thread_create(new).await.unwrap().run.unwrap();

        let url = db.url().to_owned();
        let (user_id, run_id, thread_id) = (user.id, run.id, run.thread_id);
        // The store has no query for these columns. diesel checks whether the tables match `tables.rs`.
        macro_rules! check {
            ($c:expr) => {{
                let c = $c;
                let kept: (UserId, String, String, ThreadId, Option<RunId>, UtcTime) = idempotency_keys::table.first(c).unwrap();
                assert_eq!((kept.0, kept.1.as_str(), kept.2.as_str()), (user_id, "k", "f"));
                assert_eq!((kept.3, kept.4), (thread_id, Some(run_id)));

                let event = (run_id, 1_i64, 4_i64, "{}".to_owned(), Some("1,2,1".to_owned()));
                diesel::insert_into(run_events::table)
                    .values((
                        run_events::run_id.eq(event.0),
                        run_events::first_seq.eq(event.1),
                        run_events::last_seq.eq(event.2),
                        run_events::event.eq(&event.3),
                        run_events::cuts.eq(&event.4),
                    ))
                    .execute(c)
                    .unwrap();
                let kept: (RunId, i64, i64, String, Option<String>) = run_events::table.first(c).unwrap();
                assert_eq!(kept, event);
            }};
        }
        if db.is_postgres() {
            let check = move || check!(&mut AsyncConnectionWrapper::<AsyncPgConnection>::establish(&url).unwrap());
            tokio::task::spawn_blocking(check).await.unwrap();
        } else {
            check!(&mut db.raw_sqlite());
        }
    }

    async fn a_value_that_cannot_be_is_an_error(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await;
        let task = TaskRow {
            id: new_id(),
            user_id: user.id,
            title: String::new(),
            description: None,
            priority: Priority::Low,
            tags: TextList::default(),
            completed: false,
            created_at: at(0),
            updated_at: at(0),
            completed_at: None,
        };
        store.task_create(task.clone()).await.unwrap();
        db.sql("UPDATE tasks SET tags = 'no json'").await;
        let error = store.task_get(user.id, task.id).await.unwrap_err();
        assert!(matches!(error, threadline_store::StoreError::Corrupt(_)), "{error}");
    }

    async fn an_empty_thread_has_an_empty_page(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await;
        let thread = thread(&store, user.id).await;
        assert_eq!(thread.title, "New Chat");
        let page = ItemPage { limit: 10, order: Order::Asc, after: None, hidden: true };
        assert_eq!(store.thread_with_items(user.id, thread.id, page).await.unwrap(), (thread, vec![], false));
    }
}
