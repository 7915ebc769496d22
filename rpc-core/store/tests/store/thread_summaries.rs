//! Summaries of threads, and the jobs that write them.

use crate::support::*;
use threadline_schema::ids::SummaryJobId;
use threadline_schema::runs::RunStatus;
use threadline_store::{RunInput, StoreError};

on_both! {
    async fn a_summary_comes_back_as_it_was(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await;
        let (thread, run) = running(&store, user.id).await;
        store.run_finish(run.fencing_token(), completed(), vec![item(ItemKind::AssistantMessage)]).await.unwrap();
        assert_eq!(store.thread_summary(thread.id).await.unwrap(), None);

        let (job, other): (SummaryJobId, SummaryJobId) = (new_id(), new_id());
        let begun = store.summary_begin(thread.id, job, at(10), at(100)).await.unwrap().unwrap();
        assert_eq!((begun.thread_id, begun.through_position, begun.text.as_str()), (thread.id, -1, ""));
        assert_eq!((begun.job_id, begun.next_job_at), (Some(job), at(100)));
        assert_eq!(store.thread_summary(thread.id).await.unwrap(), None, "there is none yet");
        // One at a time.
        assert_eq!(store.summary_begin(thread.id, other, at(99), at(200)).await.unwrap(), None);
        assert!(!store.summary_replace(thread.id, other, 1, "other".into(), at(200), at(20)).await.unwrap());

        let items = store.items_between(thread.id, begun.through_position, 2, 10).await.unwrap();
        assert_eq!(items.iter().map(|item| item.position).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(store.items_between(thread.id, -1, 2, 1).await.unwrap()[0].position, 1, "the newest ones");
        assert!(store.summary_replace(thread.id, job, 1, "They met.".into(), at(300), at(20)).await.unwrap());
        let (stored, end) = store.thread_summary_with_end(thread.id).await.unwrap().unwrap();
        assert_eq!((stored.through_position, stored.text.as_str(), stored.updated_at), (1, "They met.", at(20)));
        assert_eq!((stored.next_job_at, end), (at(300), Some(items[1].id)));

        store.summary_end(thread.id, other, at(0)).await.unwrap();
        assert_eq!(store.summary_begin(thread.id, other, at(299), at(400)).await.unwrap(), None);
        store.summary_end(thread.id, job, at(30)).await.unwrap();
        let next = store.summary_begin(thread.id, other, at(30), at(400)).await.unwrap().unwrap();
        assert_eq!((next.through_position, next.text.as_str(), next.job_id), (1, "They met.", Some(other)));
        // A job that does not end is followed by another.
        assert!(store.summary_begin(thread.id, job, at(400), at(500)).await.unwrap().is_some());

        store.thread_delete(user.id, thread.id).await.unwrap();
        assert_eq!(db.number("SELECT count(*) FROM thread_summaries").await, 0);
        let gone = store.summary_begin(thread.id, job, at(600), at(700)).await;
        assert!(matches!(gone, Err(StoreError::NotFound(_))), "{gone:?}");
        assert!(!store.summary_replace(thread.id, job, 1, "late".into(), at(700), at(600)).await.unwrap());
    }

    async fn a_summary_of_items_that_go_is_forgotten(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await;
        // Through the message, through its answer, and a job at work.
        for (through, at_work, stays) in [(0, false, true), (1, false, false), (0, true, false)] {
            let (thread, run) = running(&store, user.id).await;
            store.run_finish(run.fencing_token(), completed(), vec![item(ItemKind::AssistantMessage)]).await.unwrap();
            let message = store.history(thread.id, 10).await.unwrap()[0].id;
            let job: SummaryJobId = new_id();
            store.summary_begin(thread.id, job, at(10), at(100)).await.unwrap().unwrap();
            assert!(store.summary_replace(thread.id, job, through, "They met.".into(), at(100), at(20)).await.unwrap());
            if !at_work {
                store.summary_end(thread.id, job, at(20)).await.unwrap();
            }
            let started = store.run_start(user.id, thread.id, RunInput::Retry(message), new_run(), None).await.unwrap();
            let mut answer = item(ItemKind::AssistantMessage);
            answer.hidden = true;
            store.run_finish(started.run.fencing_token(), completed(), vec![answer]).await.unwrap();
            assert_eq!(store.thread_summary(thread.id).await.unwrap().is_some(), stays, "{through} {at_work}");
            let late = store.summary_replace(thread.id, job, 1, "late".into(), at(100), at(30)).await.unwrap();
            assert!(!late, "the items are others");
        }
        // A retry that fails changes nothing.
        let (thread, run) = running(&store, user.id).await;
        store.run_finish(run.fencing_token(), completed(), vec![item(ItemKind::AssistantMessage)]).await.unwrap();
        let message = store.history(thread.id, 10).await.unwrap()[0].id;
        let job: SummaryJobId = new_id();
        store.summary_begin(thread.id, job, at(10), at(100)).await.unwrap().unwrap();
        assert!(store.summary_replace(thread.id, job, 1, "They met.".into(), at(100), at(20)).await.unwrap());
        let started = store.run_start(user.id, thread.id, RunInput::Retry(message), new_run(), None).await.unwrap();
        let failed = threadline_store::RunEnd { status: RunStatus::Cancelled, ..completed() };
        store.run_finish(started.run.fencing_token(), failed, vec![]).await.unwrap();
        assert!(store.thread_summary(thread.id).await.unwrap().is_some());
    }
}
