//! Ends of runs, leases, and which process may write.

use crate::support::*;
use threadline_schema::ids::ProcessId;
use threadline_schema::runs::RunStatus;
use threadline_store::rows::{EventRow, ItemRow};
use threadline_store::{Conflict, ItemRewrite, NewRun, RunContinuation, RunEnd, RunInput, StoreError, StoreResult};

fn superseded<T: std::fmt::Debug>(result: StoreResult<T>) {
    assert!(matches!(result, Err(StoreError::Conflict(Conflict::RunSuperseded))), "{result:?}");
}

on_both! {
    async fn an_old_epoch_writes_nothing(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (thread, run) = running(&store, user).await;
        let taken = store.run_take_over(&run, new_id(), at(9)).await.unwrap();
        assert_eq!((taken.epoch, taken.lease_expires_at, taken.status), (2, at(9), RunStatus::Running));
        let before = store.thread_get(user, thread.id).await.unwrap();

        superseded(store.items_append(run.fencing_token(), vec![item(ItemKind::AssistantMessage)], None).await);
        superseded(store.run_finish(run.fencing_token(), completed(), vec![item(ItemKind::AssistantMessage)]).await);
        superseded(store.run_take_over(&run, new_id(), at(9)).await);
        assert_eq!(store.leases_renew(run.owner, at(50)).await.unwrap(), 0);
        assert_eq!(store.thread_get(user, thread.id).await.unwrap(), before, "not even the counters moved");
        assert_eq!(store.history(thread.id, 10).await.unwrap().len(), 1);

        store.run_finish(taken.fencing_token(), completed(), vec![item(ItemKind::AssistantMessage)]).await.unwrap();
        assert_eq!(store.history(thread.id, 10).await.unwrap().len(), 2);
    }

    async fn a_claim_on_another_thread_is_none(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (_, run) = running(&store, user).await;
        let (elsewhere, _) = running(&store, user).await;
        let mut token = run.fencing_token();
        token.thread_id = elsewhere.id;
        superseded(store.items_append(token, vec![item(ItemKind::AssistantMessage)], None).await);
        superseded(store.run_finish(token, completed(), vec![]).await);
        assert_eq!(store.history(elsewhere.id, 10).await.unwrap().len(), 1);
    }

    async fn a_run_ends_once_and_frees_its_thread(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (thread, run) = running(&store, user).await;
        assert_eq!(store.active_run(thread.id).await.unwrap().as_ref(), Some(&run));
        assert!(matches!(say(&store, &thread).await, Err(StoreError::Busy)));

        store.run_finish(run.fencing_token(), completed(), vec![item(ItemKind::AssistantMessage)]).await.unwrap();
        assert_eq!(store.active_run(thread.id).await.unwrap(), None);
        superseded(store.run_finish(run.fencing_token(), completed(), vec![]).await);
        superseded(store.items_append(run.fencing_token(), vec![item(ItemKind::AssistantMessage)], None).await);
        superseded(store.run_take_over(&run, new_id(), at(9)).await);
        say(&store, &thread).await.unwrap();
    }

    async fn an_end_is_whole_or_nothing(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (thread, run) = running(&store, user).await;
        // The second item cannot be stored: its id is taken.
        let mut clash = item(ItemKind::AssistantMessage);
        clash.id = store.history(thread.id, 1).await.unwrap()[0].id;
        let result = store.run_finish(run.fencing_token(), completed(), vec![item(ItemKind::AssistantMessage), clash]).await;
        assert!(matches!(result, Err(StoreError::Query(_))), "{result:?}");
        assert_eq!(store.run_get(user, run.id).await.unwrap(), run);
        assert_eq!(store.thread_get(user, thread.id).await.unwrap(), thread);
        assert_eq!(store.history(thread.id, 10).await.unwrap().len(), 1);
        store.run_finish(run.fencing_token(), completed(), vec![item(ItemKind::AssistantMessage)]).await.unwrap();
    }

    async fn an_end_must_be_one(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (_, run) = running(&store, user).await;
        let end = RunEnd { status: RunStatus::Running, ..completed() };
        let result = store.run_finish(run.fencing_token(), end, vec![]).await;
        assert!(matches!(result, Err(StoreError::Query(_))), "{result:?}");
        assert_eq!(store.run_get(user, run.id).await.unwrap(), run);
    }

    async fn a_call_is_completed_by_who_holds_the_run(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (thread, run) = running(&store, user).await;
        let (_, other) = running(&store, user).await;
        let (call, answer) = (item(ItemKind::ToolCall), item(ItemKind::AssistantMessage));
        let appended = store.items_append(run.fencing_token(), vec![call.clone(), answer.clone()], None).await.unwrap();
        let body = |of: &str| format!(r#"{{"result":"{of}"}}"#);

        store.item_complete(run.fencing_token(), call.id, body("one")).await.unwrap();
        let stored = store.run_items(run.id).await.unwrap();
        assert_eq!(stored[1].body, body("one"));
        assert_eq!((&stored[1].kind, stored[1].position), (&appended[0].kind, appended[0].position));
        assert_eq!(stored[2], appended[1], "nothing else has changed");

        // Only a call of the same run can be completed.
        for (token, id) in [(run.fencing_token(), answer.id), (run.fencing_token(), new_id()), (other.fencing_token(), call.id)] {
            let result = store.item_complete(token, id, body("other")).await;
            assert!(matches!(result, Err(StoreError::NotFound(_))), "{result:?}");
        }
        let taken = store.run_take_over(&run, new_id(), at(9)).await.unwrap();
        superseded(store.item_complete(run.fencing_token(), call.id, body("late")).await);
        let late = RunEnd { results: vec![(call.id, body("late"))], ..completed() };
        superseded(store.run_finish(run.fencing_token(), late, vec![]).await);
        assert_eq!(store.run_items(run.id).await.unwrap(), stored);

        let end = RunEnd { results: vec![(call.id, body("two")), (answer.id, body("no"))], ..completed() };
        store.run_finish(taken.fencing_token(), end, vec![]).await.unwrap();
        let ended = store.run_items(run.id).await.unwrap();
        assert_eq!((&ended[1].body, &ended[2]), (&body("two"), &stored[2]));
        superseded(store.item_complete(taken.fencing_token(), call.id, body("after the end")).await);
        assert_eq!(store.history(thread.id, 10).await.unwrap(), ended);
    }

    async fn a_run_continues_with_its_new_owner_only(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (thread, _) = running(&store, user).await;
        let end = store.active_run(thread.id).await.unwrap().unwrap();
        store.run_finish(end.fencing_token(), completed(), vec![]).await.unwrap();
        let request = Some(r#"{"id":"r"}"#.to_owned());
        let new = NewRun { request: request.clone(), ..new_run() };
        let run = store.run_start(user, thread.id, RunInput::Action, new, None).await.unwrap().run;
        assert_eq!((&run.request, &run.used), (&request, &None));
        let used = |tokens: u32| Some(format!("{tokens}"));
        let call = item(ItemKind::ToolCall);
        store.items_append(run.fencing_token(), vec![call.clone()], used(7)).await.unwrap();
        store.items_append(run.fencing_token(), vec![item(ItemKind::Workflow)], None).await.unwrap();
        let taken = store.run_take_over(&run, new_id(), at(9)).await.unwrap();
        assert_eq!((&taken.request, &taken.used), (&request, &used(7)));

        let workflow = item(ItemKind::Workflow);
        let first = EventRow { run_id: run.id, first_seq: 101, last_seq: 101, event: "{}".to_owned(), cuts: None };
        let continuation = RunContinuation {
            append: vec![workflow.clone()],
            results: vec![(call.id, "{\"result\":\"not made\"}".to_owned())],
            events: vec![first.clone()],
            now: at(50),
        };
        superseded(store.run_continue(run.fencing_token(), continuation.clone()).await);
        assert_eq!(store.events_after(run.id, 0, 10).await.unwrap(), []);
        assert_eq!(store.run_items(run.id).await.unwrap().len(), 2);
        store.run_continue(taken.fencing_token(), continuation).await.unwrap();
        assert_eq!(store.events_after(run.id, 0, 10).await.unwrap(), [first]);
        let items = store.run_items(run.id).await.unwrap();
        assert_eq!((items.len(), items[2].id), (3, workflow.id));
        assert!(items[0].body.contains("not made"));
        assert_eq!(store.run_get(user, run.id).await.unwrap(), taken, "it is still active");
        store.items_append(taken.fencing_token(), vec![item(ItemKind::AssistantMessage)], used(9)).await.unwrap();
        let ended = store.run_finish(taken.fencing_token(), completed(), vec![]).await.unwrap();
        assert_eq!((ended.request, ended.used), (None, None));
    }

    async fn leases_expire_unless_renewed(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (_, quiet) = running(&store, user).await;
        let (_, alive) = running(&store, user).await;
        let (_, ended) = running(&store, user).await;
        store.run_finish(ended.fencing_token(), completed(), vec![]).await.unwrap();

        assert_eq!(store.leases_renew(alive.owner, at(3_000_000)).await.unwrap(), 1);
        assert_eq!(store.leases_renew(ended.owner, at(3_000_000)).await.unwrap(), 0);
        let active: Vec<_> = store.runs_active(10).await.unwrap().iter().map(|run| run.id).collect();
        assert_eq!(active, [quiet.id, alive.id]);
        assert_eq!(store.runs_active(1).await.unwrap().len(), 1);

        store.leases_renew(quiet.owner, at(4_000_000)).await.unwrap();

        let heir: ProcessId = new_id();
        let take = async |owner, now| store.runs_take_expired(owner, at(now), at(9_000_000), 10).await.unwrap();
        assert_eq!(take(heir, 3_000_000).await, vec![]);
        assert_eq!(take(alive.owner, 3_500_000).await, vec![], "nobody takes over from himself");
        let taken = take(heir, 3_500_000).await;
        assert_eq!(taken.iter().map(|run| (run.id, run.owner, run.epoch)).collect::<Vec<_>>(), [(alive.id, heir, 2)]);
        superseded(store.run_finish(alive.fencing_token(), completed(), vec![]).await);
        assert_eq!(take(heir, 5_000_000).await.len(), 1);
    }

    async fn a_process_takes_its_own_run_back_while_it_renews_its_leases(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (_, run) = running(&store, user).await;
        // It renews its leases at the same moment as it reads the runs that it has lost.
        store.leases_renew(run.owner, at(4_000_000)).await.unwrap();
        let taken = store.run_take_over(&run, run.owner, at(9_000_000)).await.unwrap();
        assert_eq!((taken.owner, taken.epoch), (run.owner, 2));
        superseded(store.run_finish(run.fencing_token(), completed(), vec![]).await);
        store.run_finish(taken.fencing_token(), completed(), vec![]).await.unwrap();
    }

    async fn an_approved_call_belongs_to_the_run_that_makes_it(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (thread, asked) = running(&store, user).await;
        let new = vec![item(ItemKind::ToolCall), item(ItemKind::StructuredInput)];
        let rows = store.items_append(asked.fencing_token(), new, None).await.unwrap();
        store.run_finish(asked.fencing_token(), completed(), vec![]).await.unwrap();
        let rewrite = |row: &ItemRow| ItemRewrite { id: row.id, old: row.body.clone(), new: r#"{"new":1}"#.into() };
        let answer = |tool: &str| RunInput::Answer {
            item: rewrite(&rows[1]),
            call: rewrite(&rows[0]),
            makes_call: true,
            approved_tool: Some(tool.into()),
        };
        let started = store.run_start(user, thread.id, answer("pay"), new_run(), None).await.unwrap().run;
        assert_eq!(store.approved_tools(thread.id).await.unwrap(), ["pay".to_owned()].into());
        let ids = |rows: &[ItemRow]| rows.iter().map(|row| row.id).collect::<Vec<_>>();
        assert_eq!(ids(&store.run_items(started.id).await.unwrap()), ids(&rows));
        store.item_complete(started.fencing_token(), rows[0].id, r#"{"result":1}"#.into()).await.unwrap();
        store.run_finish(started.fencing_token(), completed(), vec![]).await.unwrap();

        // A second answer stores nothing, and the approvals are deleted with the thread.
        let second = store.run_start(user, thread.id, answer("other"), new_run(), None).await;
        assert!(matches!(second, Err(StoreError::Conflict(Conflict::AnsweredAlready))), "{second:?}");
        assert_eq!(store.approved_tools(thread.id).await.unwrap(), ["pay".to_owned()].into());
        store.thread_delete(user, thread.id).await.unwrap();
        assert!(store.approved_tools(thread.id).await.unwrap().is_empty());
    }
}
