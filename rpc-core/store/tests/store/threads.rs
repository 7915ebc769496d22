//! Titles, the limit of threads, deletion and archiving.

use crate::support::*;
use threadline_schema::page::Order;
use threadline_schema::threads::ThreadState;
use threadline_store::rows::ThreadRow;
use threadline_store::{
    Expiry, Limit, NewMessage, NewRun, NewThread, RunEnd, RunInput, StoreError, ThreadPage, UnusedDeletion,
    UnusedThread,
};

on_both! {
    async fn only_an_idle_thread_of_the_user_is_deleted_at_once(db: &TestDb) {
        let store = db.store().await;
        let (owner, other) = (user(&store).await.id, user(&store).await.id);
        let (busy, run) = running(&store, owner).await;
        assert!(!store.thread_delete_idle(owner, busy.id).await.unwrap(), "it has an active run");
        store.run_finish(run.fencing_token(), completed(), vec![item(ItemKind::AssistantMessage)]).await.unwrap();
        assert!(!store.thread_delete_idle(other, busy.id).await.unwrap(), "it is another user's");
        assert!(store.thread_delete_idle(owner, busy.id).await.unwrap());
        assert!(!store.thread_delete_idle(owner, busy.id).await.unwrap(), "it is gone");
        for table in ["threads", "items", "runs", "run_events"] {
            assert_eq!(db.number(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
        }
        assert_eq!(db.number("SELECT CAST(sum(session_count) AS bigint) FROM users").await, 0);
    }

    async fn what_a_write_returns_is_what_is_stored(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let made = thread(&store, user).await;
        assert_eq!(store.thread_get(user, made.id).await.unwrap(), made);
        let run = NewRun { request: Some(r#"{"request_id":"r"}"#.to_owned()), ..new_run() };
        let started = store.run_start(user, made.id, RunInput::Message(message()), run, None).await.unwrap();
        assert!(started.is_first_message);
        assert_eq!(store.thread_get(user, made.id).await.unwrap(), started.thread);
        assert_eq!(store.run_get(user, started.run.id).await.unwrap(), started.run);
        assert_eq!(started.thread.title, "What was said first");
        assert_eq!(store.run_items(started.run.id).await.unwrap()[0].position, started.run.position);
    }

    async fn an_email_has_one_account(db: &TestDb) {
        let store = db.store().await;
        store.user_create(new_id(), "a@example.com".into(), "x".into(), now()).await.unwrap();
        let second = store.user_create(new_id(), "a@example.com".into(), "y".into(), now()).await;
        assert!(matches!(second, Err(StoreError::EmailTaken)), "{second:?}");
        assert_eq!(store.user_by_email("a@example.com".into()).await.unwrap().unwrap().password_hash, "x");
    }

    async fn the_first_message_is_the_title_unless_the_user_set_one(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;

        let plain = thread(&store, user).await;
        let first = say(&store, &plain).await.unwrap();
        assert!(first.is_first_message);
        assert_eq!(first.thread.title, "What was said first");
        store.run_finish(first.run.fencing_token(), completed(), vec![]).await.unwrap();
        let second = NewMessage { title: Some("What was said second".into()), ..message() };
        let second = store.run_start(user, plain.id, RunInput::Message(second), new_run(), None).await.unwrap();
        assert!(!second.is_first_message);
        assert_eq!(second.thread.title, "What was said first");

        let named = thread(&store, user).await;
        let renamed = store.thread_rename(user, named.id, "Mine".into(), now()).await.unwrap();
        assert!(renamed.title_is_set && renamed.updated_at > named.updated_at);
        let first = say(&store, &named).await.unwrap();
        assert!(!first.is_first_message);
        assert_eq!(first.thread.title, "Mine");

        // A message without a title does not change the title of the thread.
        let untitled = || NewMessage { title: None, ..message() };
        let old = thread(&store, user).await.id;
        let left = store.run_start(user, old, RunInput::Message(untitled()), new_run(), None).await.unwrap();
        assert_eq!((left.is_first_message, left.thread.title.as_str()), (true, "New Chat"));
        let made = store.thread_create(NewThread { first_message: Some((untitled(), new_run())), ..new_thread(user) }).await.unwrap();
        assert_eq!(made.thread.title, "New Chat");
    }

    async fn a_title_is_improved_while_it_is_the_first(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (thread, _) = running(&store, user).await;
        let retitle = async |first: &str, title: &str| {
            store.thread_retitle(thread.id, first.to_owned(), title.to_owned()).await.unwrap()
        };
        assert!(retitle("Something else", "Better").await.is_none());
        let before = store.thread_get(user, thread.id).await.unwrap();
        let better = retitle(&before.title, "Better").await.unwrap();
        assert_eq!(better, ThreadRow { title: "Better".into(), ..before });
        assert_eq!(store.thread_get(user, thread.id).await.unwrap(), better);
        // A title that the user has chosen stays, even if it equals the generated one.
        store.thread_rename(user, thread.id, "Better".into(), now()).await.unwrap();
        assert!(retitle("Better", "Best").await.is_none());
        store.thread_delete(user, thread.id).await.unwrap();
        assert!(retitle("Better", "Best").await.is_none());
    }

    async fn the_limit_counts_what_is_not_archived(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let limited = || NewThread { max_sessions: Some(2), created_at: at(0), ..new_thread(user) };
        let count = async || store.user_by_id(user).await.unwrap().unwrap().session_count;

        let first = store.thread_create(limited()).await.unwrap().thread;
        let second = store.thread_create(limited()).await.unwrap().thread;
        let third = store.thread_create(limited()).await;
        assert!(matches!(third, Err(StoreError::LimitReached(Limit::Threads))), "{third:?}");
        assert_eq!(count().await, 2);

        store.thread_delete(user, first.id).await.unwrap();
        assert_eq!(count().await, 1);
        store.thread_create(limited()).await.unwrap();

        assert_eq!(store.threads_archive_idle(at(1), 100).await.unwrap(), 2);
        assert_eq!(count().await, 0);
        assert_eq!(store.threads_archive_idle(at(1), 100).await.unwrap(), 0);
        store.thread_delete(user, second.id).await.unwrap();
        assert_eq!(count().await, 0, "an archived thread was counted out already");

        let stranger = NewThread { max_sessions: Some(2), ..new_thread(new_id()) };
        let nobody = store.thread_create(stranger).await;
        assert!(matches!(nobody, Err(StoreError::NotFound(_))), "{nobody:?}");
    }

    async fn archiving_takes_the_longest_idle_and_leaves_the_busy(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let old = thread_at(&store, user, at(1)).await;
        let older = thread_at(&store, user, at(0)).await;
        let fresh = thread_at(&store, user, at(500)).await;
        let new = NewThread { first_message: Some((message(), new_run())), created_at: at(0), ..new_thread(user) };
        let busy = store.thread_create(new).await.unwrap().thread;

        assert_eq!(store.threads_archive_idle(at(100), 1).await.unwrap(), 1);
        assert!(store.thread_get(user, older.id).await.unwrap().archived);
        assert!(!store.thread_get(user, old.id).await.unwrap().archived);
        assert_eq!(store.threads_archive_idle(at(100), 10).await.unwrap(), 1);
        for (id, archived) in [(old.id, true), (fresh.id, false), (busy.id, false)] {
            assert_eq!(store.thread_get(user, id).await.unwrap().archived, archived);
        }
    }

    async fn unused_threads_are_found_in_order_and_deleted_once(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (old, older, fresh) =
            (thread_at(&store, user, at(10)).await, thread_at(&store, user, at(0)).await, thread_at(&store, user, now()).await);
        let locked = thread_at(&store, user, at(0)).await;
        store.thread_set_status(locked.id, ThreadState::Locked, None).await.unwrap();
        let new = NewThread { first_message: Some((message(), new_run())), created_at: at(0), ..new_thread(user) };
        let busy = store.thread_create(new).await.unwrap();
        // All of these were created before this time, in milliseconds, but one was used since.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let before = now();
        store.thread_rename(user, fresh.id, "Used".into(), now()).await.unwrap();
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = store.threads_unused_since(before, after, 2).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() <= 2);
            after = Some(last.id);
            found.extend(page.into_iter().map(|thread| thread.id));
        }
        assert!(found.is_sorted());
        let mut expected = vec![old.id, older.id, busy.thread.id];
        expected.sort_unstable();
        assert_eq!(found, expected);
        assert!(store.threads_unused_since(at(0), None, 10).await.unwrap().is_empty());

        let deleted = async |id| store.thread_delete_unused(user, id, before, Expiry::Retention).await.unwrap();
        assert_eq!(deleted(old.id).await, UnusedDeletion::Deleted);
        for kept in [old.id, fresh.id, locked.id, busy.thread.id] {
            assert_eq!(deleted(kept).await, UnusedDeletion::Kept);
        }
        assert_eq!(store.thread_delete_unused(new_id(), older.id, before, Expiry::Retention).await.unwrap(), UnusedDeletion::Kept);
        assert_eq!(store.user_by_id(user).await.unwrap().unwrap().session_count, 4);
        let run = busy.run.unwrap();
        store.run_finish(run.fencing_token(), RunEnd { finished_at: at(20), ..completed() }, vec![]).await.unwrap();
        assert_eq!(deleted(busy.thread.id).await, UnusedDeletion::Deleted);
        assert_eq!(db.number("SELECT COUNT(*) AS rows FROM runs").await + db.number("SELECT COUNT(*) AS rows FROM items").await, 0);
        store.threads_archive_idle(at(5), 10).await.unwrap();
        assert_eq!(deleted(older.id).await, UnusedDeletion::Deleted, "also an archived one");
        assert_eq!(store.user_by_id(user).await.unwrap().unwrap().session_count, 1, "the locked one was archived");
    }

    async fn temporary_threads_are_neither_listed_nor_counted(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let temporary = |micros| NewThread { temporary: true, max_sessions: Some(0), created_at: at(micros), ..new_thread(user) };
        let old = store.thread_create(temporary(0)).await.unwrap().thread;
        let new = NewThread { first_message: Some((message(), new_run())), ..temporary(5) };
        let busy = store.thread_create(new).await.unwrap();
        let fresh = store.thread_create(temporary(100)).await.unwrap().thread;
        assert!(old.temporary && old.archived && store.thread_get(user, old.id).await.unwrap() == old);
        let page = ThreadPage { limit: 10, order: Order::Desc, after: None };
        assert_eq!(store.threads_page(user, page).await.unwrap(), (vec![], false, 0));
        let ids = |page: Vec<UnusedThread>| page.into_iter().map(|thread| thread.id).collect::<Vec<_>>();
        assert_eq!(ids(store.temporary_threads_unused_since(at(50), None, 10).await.unwrap()), [old.id, busy.thread.id]);
        assert_eq!(ids(store.temporary_threads_unused_since(at(50), Some(old.id), 10).await.unwrap()), [busy.thread.id]);
        assert_eq!(store.temporary_threads_beyond(user, 1, 10).await.unwrap(), [busy.thread.id, old.id]);
        assert_eq!(store.temporary_threads_beyond(user, 1, 1).await.unwrap(), [busy.thread.id]);
        assert_eq!(store.thread_delete_unused(user, busy.thread.id, at(50), Expiry::Temporary).await.unwrap(), UnusedDeletion::Kept);
        assert_eq!(store.thread_delete_unused(user, old.id, at(50), Expiry::Temporary).await.unwrap(), UnusedDeletion::Deleted);
        assert!(say(&store, &fresh).await.unwrap().thread.archived, "a message does not bring it into the list");
        assert_eq!(store.user_by_id(user).await.unwrap().unwrap().session_count, 0);
        let nobody = store.thread_create(NewThread { user_id: new_id(), ..temporary(0) }).await;
        assert!(matches!(nobody, Err(StoreError::NotFound(_))), "{nobody:?}");
    }

    async fn a_message_brings_an_archived_thread_back(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let idle = thread_at(&store, user, at(0)).await;
        store.threads_archive_idle(at(1), 10).await.unwrap();
        let started = say(&store, &idle).await.unwrap();
        assert!(!started.thread.archived);
        assert_eq!(store.thread_get(user, idle.id).await.unwrap(), started.thread);
        assert_eq!(store.user_by_id(user).await.unwrap().unwrap().session_count, 1);
    }

    async fn a_closed_thread_takes_no_message(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let closed = thread(&store, user).await;
        for (status, reason) in [(ThreadState::Locked, Some("Under review")), (ThreadState::Closed, None)] {
            let reason = reason.map(ToOwned::to_owned);
            let set = store.thread_set_status(closed.id, status, reason.clone()).await.unwrap();
            assert_eq!((set.status, &set.status_reason), (status, &reason));
            match say(&store, &closed).await {
                Err(StoreError::Closed { locked, reason: told }) => {
                    assert_eq!((locked, told), (status == ThreadState::Locked, reason));
                }
                other => panic!("{other:?}"),
            }
        }
        store.thread_set_status(closed.id, ThreadState::Active, None).await.unwrap();
        say(&store, &closed).await.unwrap();
        let missing = store.thread_set_status(new_id(), ThreadState::Active, None).await;
        assert!(matches!(missing, Err(StoreError::NotFound(_))), "{missing:?}");
    }

    async fn deleting_takes_everything_along(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (thread, run) = running(&store, user).await;
        db.sql(&format!("INSERT INTO run_events VALUES ({}, 1, 2, '{{}}', NULL)", db.literal(run.id))).await;
        store.thread_delete(user, thread.id).await.unwrap();
        for table in ["threads", "items", "runs", "run_events", "submissions"] {
            assert_eq!(db.number(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
        }
        let gone = store.run_finish(run.fencing_token(), completed(), vec![item(ItemKind::AssistantMessage)]).await;
        assert!(matches!(gone, Err(StoreError::NotFound(_))), "{gone:?}");
        let gone = store.items_append(run.fencing_token(), vec![item(ItemKind::ToolCall)], None).await;
        assert!(matches!(gone, Err(StoreError::NotFound(_))), "{gone:?}");
    }
}
