//! Usage and budgets: no user can exceed a budget, with concurrent runs and with processes that die.

use crate::support::*;
use futures::future::join_all;
use threadline_schema::ids::{HoldId, UserId};
use threadline_schema::runs::{RunStatus, Usage};
use threadline_store::rows::UsageRow;
use threadline_store::{
    AccessChange, Charge, ErasedHashes, Limit, NewHold, NewRun, Reservation, RunEnd, RunInput, SharedBudget, Store,
    StoreError, Unbooked, day_of,
};

/// A reservation of ten tokens per run.
fn reservation(limit_tokens: i64) -> Reservation {
    Reservation { tokens: 10, micros: 0, limit_tokens, limit_micros: i64::MAX, shared: Vec::new() }
}

async fn today(store: &Store, user: UserId) -> UsageRow {
    let today = day_of(now());
    store.usage(user, today - 1, today).await.unwrap().remove(0)
}

on_both! { threads:
    async fn a_run_holds_and_settles(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (one, other) = (thread(&store, user).await, thread(&store, user).await);
        let begin = |id| {
            let run = NewRun { reservation: Some(reservation(15)), ..new_run() };
            store.run_start(user, id, RunInput::Message(message()), run, None)
        };
        let run = begin(one.id).await.unwrap().run;
        assert_eq!((run.held_tokens, today(&store, user).await.held_tokens), (10, 10));
        // Ten of fifteen tokens are held, so ten more are refused. Nothing of the refused run is stored.
        assert!(matches!(begin(other.id).await, Err(StoreError::LimitReached(Limit::DailyBudget))));
        assert_eq!(store.thread_get(user, other.id).await.unwrap().message_count, 0);
        assert!(store.history(other.id, 10).await.unwrap().is_empty());

        // The run has used less than it held, so there is room for another. After that the budget is used up.
        let charge = Charge { prompt_tokens: 3, completion_tokens: 2, cost_micros: Some(7) };
        store.run_finish(run.fencing_token(), RunEnd { charge, ..completed() }, vec![]).await.unwrap();
        let row = today(&store, user).await;
        assert_eq!((row.runs, row.prompt_tokens, row.completion_tokens, row.cost_micros), (1, 3, 2, 7));
        assert_eq!((row.held_tokens, row.unpriced_runs), (0, 0));
        let run = begin(other.id).await.unwrap().run;
        store.run_finish(run.fencing_token(), completed(), vec![]).await.unwrap();
        assert!(matches!(begin(one.id).await, Err(StoreError::LimitReached(Limit::DailyBudget))));
        assert_eq!(today(&store, user).await.unpriced_runs, 1);
        // Deleting a thread gives nothing back, and an end that is reported twice is booked once.
        store.thread_delete(user, one.id).await.unwrap();
        assert!(store.run_finish(run.fencing_token(), completed(), vec![]).await.is_err());
        assert_eq!(today(&store, user).await.runs, 2);
        // A charge after the end of a run counts no run.
        let late = Charge { prompt_tokens: 4, completion_tokens: 1, cost_micros: None };
        let before = today(&store, user).await;
        store.usage_add(user, run.created_at, late, vec![], String::new()).await.unwrap();
        let row = UsageRow { prompt_tokens: before.prompt_tokens + 4, completion_tokens: before.completion_tokens + 1, ..before };
        assert_eq!(today(&store, user).await, row);
        // Another user has a separate budget.
        let (_, theirs) = running(&store, crate::support::user(&store).await.id).await;
        assert_eq!(theirs.held_tokens, 0);
    }

    async fn absurd_numbers_end_no_later_run(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let charge = Charge { prompt_tokens: i64::MAX, completion_tokens: i64::MAX, cost_micros: Some(i64::MAX) };
        let usage = Usage { prompt_tokens: u64::MAX, completion_tokens: i64::MAX as u64 };
        for round in 0..3 {
            let thread = thread(&store, user).await;
            let new = NewRun { reservation: Some(reservation(i64::MAX)), ..new_run() };
            let run = store.run_start(user, thread.id, RunInput::Message(message()), new, None).await.unwrap().run;
            store.run_finish(run.fencing_token(), RunEnd { charge, usage, ..completed() }, vec![]).await.unwrap();
            store.usage_add(user, run.created_at, charge, vec![], String::new()).await.unwrap();
            let row = today(&store, user).await;
            assert_eq!((row.runs, row.held_tokens), (round + 1, 0));
            assert!(row.prompt_tokens > i64::MAX / 5 && row.cost_micros > i64::MAX / 5, "{row:?}");
        }
        // An older release has stored the largest possible number.
        db.sql(&format!("UPDATE usage_days SET prompt_tokens = {0}, completion_tokens = {0}, cost_micros = {0}", i64::MAX))
            .await;
        let thread = thread(&store, user).await;
        let new = NewRun { reservation: Some(reservation(i64::MAX)), ..new_run() };
        let run = store.run_start(user, thread.id, RunInput::Message(message()), new, None).await.unwrap().run;
        store.run_finish(run.fencing_token(), completed(), vec![]).await.unwrap();
        // With a budget, that counts as used up.
        let new = NewRun { reservation: Some(reservation(1_000_000)), ..new_run() };
        let refused = store.run_start(user, thread.id, RunInput::Message(message()), new, None).await;
        assert!(matches!(refused, Err(StoreError::LimitReached(Limit::DailyBudget))), "{refused:?}");
    }

    async fn many_at_once_hold_no_more_than_there_is(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let mut threads = Vec::new();
        for _ in 0..20 {
            threads.push(thread(&store, user).await.id);
        }
        let begins = threads.into_iter().map(|id| {
            let store = store.clone();
            let run = NewRun { reservation: Some(reservation(50)), ..new_run() };
            tokio::spawn(async move { store.run_start(user, id, RunInput::Message(message()), run, None).await })
        });
        let results: Vec<_> = join_all(begins).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5);
        assert_eq!(results.iter().filter(|result| matches!(result, Err(StoreError::LimitReached(Limit::DailyBudget)))).count(), 15);
        let ends = results.into_iter().flatten().map(|started| {
            let store = store.clone();
            tokio::spawn(async move { store.run_finish(started.run.fencing_token(), completed(), vec![]).await })
        });
        assert!(join_all(ends).await.into_iter().all(|end| end.unwrap().is_ok()));
        let row = today(&store, user).await;
        assert_eq!((row.held_tokens, row.runs, row.prompt_tokens), (0, 5, 50));
    }

    async fn whoever_ends_a_run_gives_back_what_it_held(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let thread = thread(&store, user).await;
        let reservation = Some(Reservation { tokens: 1, micros: 5, limit_tokens: 9, limit_micros: 9, shared: Vec::new() });
        let new = NewRun { reservation, ..new_run() };
        let run = store.run_start(user, thread.id, RunInput::Message(message()), new, None).await.unwrap().run;
        let taken = store.run_take_over(&run, new_id(), at(9_000_000)).await.unwrap();
        let end = RunEnd { status: RunStatus::Interrupted, charge: Charge::default(), ..completed() };
        store.run_finish(taken.fencing_token(), end, vec![]).await.unwrap();
        let row = today(&store, user).await;
        assert_eq!((row.held_tokens, row.held_micros, row.runs, row.unpriced_runs), (0, 0, 1, 0));
    }

    async fn a_budget_that_is_no_more_releases_what_a_run_has_held_of_it(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let thread = thread(&store, user).await;
        let shared = |scope: &str| SharedBudget { scope: scope.into(), limit_tokens: 100, limit_micros: i64::MAX };
        let both = Reservation { shared: vec![shared("all"), shared("class:free")], ..reservation(i64::MAX) };
        let new = NewRun { reservation: Some(both), ..new_run() };
        let run = store.run_start(user, thread.id, RunInput::Message(message()), new, None).await.unwrap().run;
        // The agents file has the class no more.
        let more = Reservation { tokens: 60, shared: vec![shared("all")], ..reservation(i64::MAX) };
        let held = store.budget_top_up(run.fencing_token(), more).await.unwrap();
        assert_eq!((held.tokens, held.scopes.as_str()), (60, "all\nclass:free"));
        let of_day = async || {
            let rows = store.shared_budgets(day_of(run.created_at)).await.unwrap();
            rows.into_iter().map(|row| (row.scope, row.tokens, row.held_tokens)).collect::<Vec<_>>()
        };
        let sorted = |mut rows: Vec<(String, i64, i64)>| {
            rows.sort();
            rows
        };
        assert_eq!(sorted(of_day().await), [("all".into(), 0, 60), ("class:free".into(), 0, 60)]);
        store.run_finish(run.fencing_token(), completed(), vec![]).await.unwrap();
        assert_eq!(sorted(of_day().await), [("all".into(), 30, 0), ("class:free".into(), 30, 0)]);
    }

    async fn what_a_deleted_run_has_used_is_booked_once(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let start = async || {
            let thread = thread(&store, user).await;
            let all = SharedBudget { scope: "all".into(), limit_tokens: 100, limit_micros: i64::MAX };
            let new = NewRun { reservation: Some(Reservation { shared: vec![all], ..reservation(100) }), ..new_run() };
            store.run_start(user, thread.id, RunInput::Message(message()), new, None).await.unwrap().run
        };
        let of_all = async || {
            let rows = store.shared_budgets(day_of(now())).await.unwrap();
            rows.into_iter().map(|row| (row.tokens, row.held_tokens)).collect::<Vec<_>>()
        };
        let charge = Charge { prompt_tokens: 3, completion_tokens: 2, cost_micros: None };

        let run = start().await;
        store.thread_delete(user, run.thread_id).await.unwrap();
        assert!(matches!(store.run_finish(run.fencing_token(), completed(), vec![]).await, Err(StoreError::NotFound(_))));
        assert_eq!((of_all().await, today(&store, user).await.held_tokens), (vec![(0, 10)], 10), "it goes on");
        let settle = |owner| store.budget_hold_settle(run.id.into(), owner, charge, vec![]);
        assert!(!settle(new_id()).await.unwrap(), "the work of another process");
        assert!(settle(run.owner).await.unwrap());
        assert!(!settle(run.owner).await.unwrap(), "it is booked");
        let row = today(&store, user).await;
        assert_eq!((of_all().await, row.held_tokens, row.runs, row.prompt_tokens), (vec![(5, 0)], 0, 1, 3));

        // Its process dies: another finds it when the lease has expired, or when the process is known to be gone.
        let run = start().await;
        store.thread_delete(user, run.thread_id).await.unwrap();
        let unbooked = async |whose| {
            let rows = store.budget_holds_unbooked(whose, 10).await.unwrap();
            rows.into_iter().map(|row| (row.id, row.prompt_tokens)).collect::<Vec<_>>()
        };
        let expected = [(HoldId::from(run.id), 10)];
        assert_eq!(unbooked(Unbooked::Expired { me: new_id(), now: now() }).await, expected);
        assert_eq!(unbooked(Unbooked::Of(vec![run.owner])).await, expected);
        assert_eq!(unbooked(Unbooked::All).await, expected);
        assert!(unbooked(Unbooked::Expired { me: run.owner, now: now() }).await.is_empty());
        store.budget_holds_renew(run.owner, (now().utc() + std::time::Duration::from_secs(60)).into()).await.unwrap();
        assert!(unbooked(Unbooked::Expired { me: new_id(), now: now() }).await.is_empty());

        // The user is erased before it ends.
        store.erase_account(user, ErasedHashes::default(), AccessChange { id: new_id(), at: now() }).await.unwrap();
        assert!(store.budget_hold_settle(run.id.into(), run.owner, charge, vec![]).await.unwrap());
        assert_eq!(of_all().await, [(10, 0)]);
        assert_eq!(db.number("SELECT CAST(sum(prompt_tokens) AS bigint) FROM anonymous_usage").await, 6);
        assert_eq!(db.number("SELECT CAST(sum(runs) AS bigint) FROM anonymous_usage").await, 2);
        store.usage_add(user, now(), charge, vec![], "all".into()).await.unwrap();
        assert_eq!(of_all().await, [(15, 0)]);
    }

    async fn work_that_is_no_run_holds_and_settles(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let charge = Charge { prompt_tokens: 8, completion_tokens: 0, cost_micros: Some(3) };
        let hold = || NewHold { id: new_id(), user_id: user, owner: new_id(), lease_expires_at: at(5), at: now(), charge };
        let work = hold();
        store.budget_hold(work, Some(reservation(15))).await.unwrap();
        assert_eq!(today(&store, user).await.held_tokens, 10);
        let refused = store.budget_hold(hold(), Some(reservation(15))).await;
        assert!(matches!(refused, Err(StoreError::LimitReached(Limit::DailyBudget))));
        assert!(store.budget_hold_settle(work.id, work.owner, charge, vec![]).await.unwrap());
        let row = today(&store, user).await;
        assert_eq!((row.held_tokens, row.prompt_tokens, row.runs), (0, 8, 0));
        // Without a budget nothing is held, and it is charged all the same.
        let free = hold();
        store.budget_hold(free, None).await.unwrap();
        assert!(store.budget_hold_settle(free.id, free.owner, charge, vec![]).await.unwrap());
        assert_eq!(today(&store, user).await.prompt_tokens, 16);
    }
}
