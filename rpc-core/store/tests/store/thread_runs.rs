//! Following a thread from run to run.

use crate::support::*;
use threadline_schema::ids::RunId;
use threadline_store::{NextRun, StoreError};

on_both! {
    async fn runs_of_a_thread_come_one_after_the_other(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (thread, first) = running(&store, user).await;
        store.run_finish(first.fencing_token(), completed(), vec![item(ItemKind::ToolCall), item(ItemKind::AssistantMessage)]).await.unwrap();
        let second = say(&store, &thread).await.unwrap().run;
        store.run_finish(second.fencing_token(), completed(), vec![]).await.unwrap();
        let third = say(&store, &thread).await.unwrap().run;
        let (elsewhere, other) = running(&store, user).await;

        let mut followed = Vec::new();
        let mut position = -1;
        while let NextRun::Started(run) = store.thread_next_run(thread.id, position).await.unwrap() {
            position = run.position;
            followed.push(run.id);
        }
        assert_eq!(followed, [first.id, second.id, third.id]);
        assert_eq!(store.thread_last_run(user, thread.id).await.unwrap().1, Some(third.clone()));
        assert_eq!(store.run_of_thread(thread.id, third.id).await.unwrap(), Some(third));
        assert_eq!(store.run_of_thread(thread.id, other.id).await.unwrap(), None);
        assert_eq!(store.run_of_thread(thread.id, new_id()).await.unwrap(), None);
        assert_eq!(store.thread_last_run(user, elsewhere.id).await.unwrap().1, Some(other));
    }

    async fn new_runs_are_found_by_their_ids(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (old, _) = running(&store, user).await;
        // Ids of the same millisecond are in no order across processes, and no caller depends on that order.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let since = new_id();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let (new, run) = running(&store, user).await;
        store.run_finish(run.fencing_token(), completed(), vec![]).await.unwrap();
        say(&store, &new).await.unwrap();
        assert_eq!(store.threads_with_runs_after(since).await.unwrap(), [new.id], "once, however many have begun");
        assert_eq!(store.threads_with_runs_after(new_id()).await.unwrap(), []);
        assert_eq!(store.threads_with_runs_after(RunId::nil()).await.unwrap().len(), 2);
        assert_ne!(old.id, new.id);
    }

    async fn a_thread_without_runs_is_none_that_is_gone(db: &TestDb) {
        let store = db.store().await;
        let (owner, stranger) = (user(&store).await.id, user(&store).await.id);
        let thread = thread(&store, owner).await;
        assert_eq!(store.thread_last_run(owner, thread.id).await.unwrap(), (thread.clone(), None));
        assert_eq!(store.thread_next_run(thread.id, -1).await.unwrap(), NextRun::NotYet(Box::new(thread.clone())));
        assert!(matches!(store.thread_last_run(stranger, thread.id).await, Err(StoreError::Forbidden(_))));
        store.thread_delete(owner, thread.id).await.unwrap();
        assert!(matches!(store.thread_last_run(owner, thread.id).await, Err(StoreError::NotFound(_))));
        assert!(matches!(store.thread_next_run(thread.id, -1).await, Err(StoreError::NotFound(_))));
    }
}
