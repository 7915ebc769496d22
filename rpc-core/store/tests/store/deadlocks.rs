//! Operations that lock the same rows, in the order that once caused a deadlock or an error. PostgreSQL only: a write
//! transaction on SQLite excludes all others.

use crate::faults_postgres::until_blocked;
use crate::support::*;
use threadline_schema::ids::{AttachmentId, ThreadId, UserId};
use threadline_store::rows::{AttachmentRow, EventRow, RunRow};
use threadline_store::{Conflict, IdempotencyKey, NewMessage, NewThread, RunEnd, RunInput, Store, StoreError};
use tokio_postgres::Client;

/// A transaction of another client. It holds the row locks of its statement.
async fn hold(db: &TestDb, sql: &str) -> Client {
    let client = raw_postgres(db.url()).await;
    client.batch_execute(&format!("BEGIN; {sql}")).await.unwrap();
    client
}

fn event(run: &RunRow, seq: i64) -> EventRow {
    EventRow { run_id: run.id, first_seq: seq, last_seq: seq, event: "{}".to_owned(), cuts: None }
}

async fn attachment(store: &Store, user_id: UserId) -> AttachmentId {
    let row = AttachmentRow {
        id: new_id(),
        user_id,
        thread_id: None,
        name: "a.txt".to_owned(),
        mime_type: "text/plain".to_owned(),
        size: 1,
        ready: true,
        upload_id: None,
        received: 0,
        created_at: at(7),
    };
    store.attachment_create(row, None).await.unwrap().id
}

fn with_attachment(id: AttachmentId) -> NewMessage {
    NewMessage { attachments: vec![id], ..message() }
}

#[tokio::test]
async fn trimming_logs_and_deleting_their_thread_do_not_deadlock() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (thread, run) = running(&store, user).await;
        let end = RunEnd { finished_at: at(0), events: vec![event(&run, 1), event(&run, 2)], ..completed() };
        store.run_finish(run.fencing_token(), end, vec![]).await.unwrap();

        // The job has deleted the first event and waits for the second when the deletion begins.
        let blocker = hold(db, "SELECT 1 FROM run_events WHERE first_seq = 2 FOR UPDATE").await;
        let other = store.clone();
        let trimmed = tokio::spawn(async move { other.logs_trim(at(1), 10).await });
        until_blocked(db, 1).await;
        let other = store.clone();
        let deleted = tokio::spawn(async move { other.thread_delete(user, thread.id).await });
        until_blocked(db, 2).await;
        blocker.batch_execute("COMMIT").await.unwrap();

        assert_eq!(trimmed.await.unwrap().unwrap(), 1);
        deleted.await.unwrap().unwrap();
        assert_eq!(db.number("SELECT count(*) FROM run_events").await, 0);
    })
    .await;
}

#[tokio::test]
async fn trimming_idempotency_keys_and_deleting_their_thread_do_not_deadlock() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        let store = db.store().await;
        let user = user(&store).await.id;
        let thread = thread(&store, user).await;
        // The cascade locks "young" first, the job locks "old" first.
        for key in ["young", "old"] {
            let key = Some(IdempotencyKey { key: key.to_owned(), fingerprint: "f".to_owned() });
            let started = store.run_start(user, thread.id, RunInput::Message(message()), new_run(), key).await.unwrap();
            store.run_finish(started.run.fencing_token(), completed(), vec![]).await.unwrap();
        }
        db.sql("UPDATE submissions SET created_at = created_at - interval '1 hour' WHERE key = 'old'").await;

        let blocker = hold(db, "SELECT 1 FROM submissions WHERE key = 'old' FOR UPDATE").await;
        let other = store.clone();
        let trimmed = tokio::spawn(async move { other.idempotency_keys_trim(now(), 10).await });
        // If the job waited for the key, it would hold no lock yet. It must not wait at all.
        let trimmed = tokio::time::timeout(std::time::Duration::from_secs(3), trimmed).await;
        let other = store.clone();
        let deleted = tokio::spawn(async move { other.thread_delete(user, thread.id).await });
        until_blocked(db, 1).await;
        blocker.batch_execute("COMMIT").await.unwrap();

        deleted.await.unwrap().unwrap();
        assert_eq!(trimmed.unwrap().unwrap().unwrap(), 1);
        assert_eq!(db.number("SELECT count(*) FROM submissions").await, 0);
    })
    .await;
}

#[tokio::test]
async fn renewing_leases_and_taking_runs_over_do_not_deadlock() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        // With plans that use an index, the takeover locks the runs in the order of their ids, and the renewal in the
        // order of their leases.
        let name = db.url().rsplit_once('/').unwrap().1;
        db.sql(&format!(
            "ALTER DATABASE {name} SET enable_seqscan = off; ALTER DATABASE {name} SET enable_bitmapscan = off"
        ))
        .await;
        let store = db.store().await;
        let user = user(&store).await.id;
        let (_, late) = running(&store, user).await;
        let (_, early) = running(&store, user).await;
        assert!(late.id < early.id);
        let owner = late.owner;
        for (run, lease) in [(&late, 2), (&early, 1)] {
            db.sql(&format!(
                "UPDATE runs SET owner = '{owner}', lease_expires_at = timestamptz '2020-01-01' + interval '{lease} s' \
                 WHERE id = '{}'",
                run.id
            ))
            .await;
        }
        db.sql("DROP INDEX runs_active; DROP INDEX runs_of_thread; ANALYZE").await;

        let blocker = hold(db, &format!("SELECT 1 FROM runs WHERE id = '{}' FOR UPDATE", late.id)).await;
        let other = store.clone();
        let taken = tokio::spawn(async move { other.runs_take_expired(new_id(), at(0), now(), 10).await });
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let other = store.clone();
        let renewed = tokio::spawn(async move { other.leases_renew(owner, now()).await });
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        blocker.batch_execute("COMMIT").await.unwrap();

        let (taken, renewed) = (taken.await.unwrap().unwrap(), renewed.await.unwrap().unwrap());
        assert_eq!(taken.iter().map(|run| run.id).collect::<Vec<_>>(), [early.id], "the locked run is left out");
        assert_eq!(renewed, 1, "and its owner keeps it");
    })
    .await;
}

#[tokio::test]
async fn a_thread_that_is_deleted_meanwhile_leaves_the_events_of_others() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        let store = db.store().await;
        let user = user(&store).await.id;
        let ((thread, gone), (_, kept)) = (running(&store, user).await, running(&store, user).await);
        db.sql(&format!("UPDATE runs SET owner = '{}'", kept.owner)).await;

        // The deletion has deleted the run and waits for the user when the events are appended.
        let blocker = hold(db, "SELECT 1 FROM users FOR UPDATE").await;
        let other = store.clone();
        let deleted = tokio::spawn(async move { other.thread_delete(user, thread.id).await });
        until_blocked(db, 1).await;
        let other = store.clone();
        let rows = vec![event(&gone, 1), event(&kept, 1), event(&kept, 2)];
        let written = tokio::spawn(async move { other.events_append(kept.owner, rows).await });
        until_blocked(db, 2).await;
        blocker.batch_execute("COMMIT").await.unwrap();

        deleted.await.unwrap().unwrap();
        assert_eq!(written.await.unwrap().unwrap().into_iter().collect::<Vec<_>>(), [kept.id]);
        assert_eq!(db.number("SELECT count(*) FROM run_events").await, 2);
    })
    .await;
}

/// Sends a message with an attachment while the user deletes the attachment. Both wait for the row of the user; the
/// message is first in the queue.
async fn send_while_deleting(db: &TestDb, store: &Store, user: UserId, thread: Option<ThreadId>) {
    let id = attachment(store, user).await;
    let blocker = hold(db, "SELECT 1 FROM users FOR UPDATE").await;
    let other = store.clone();
    let sent = tokio::spawn(async move {
        match thread {
            Some(thread) => {
                let input = RunInput::Message(with_attachment(id));
                other.run_start(user, thread, input, new_run(), None).await.map(drop)
            }
            None => {
                let first_message = Some((with_attachment(id), new_run()));
                other.thread_create(NewThread { first_message, ..new_thread(user) }).await.map(drop)
            }
        }
    });
    until_blocked(db, 1).await;
    let other = store.clone();
    let deleted = tokio::spawn(async move { other.attachment_delete(user, id).await });
    until_blocked(db, 2).await;
    blocker.batch_execute("COMMIT").await.unwrap();

    sent.await.unwrap().unwrap();
    let deleted = deleted.await.unwrap();
    assert!(matches!(deleted, Err(StoreError::Conflict(Conflict::AttachmentUsed))), "{deleted:?}");
}

#[tokio::test]
async fn messages_and_the_deletion_of_their_attachments_do_not_deadlock() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        let store = db.store().await;
        let user = user(&store).await.id;
        send_while_deleting(db, &store, user, None).await;
        // A message in an archived thread changes the user too.
        let archived = thread_at(&store, user, at(0)).await;
        store.threads_archive_idle(at(1), 10).await.unwrap();
        send_while_deleting(db, &store, user, Some(archived.id)).await;
    })
    .await;
}
