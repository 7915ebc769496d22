//! The durable log: which process may write it, how it is read, and when its rows are deleted.

use crate::support::*;
use threadline_schema::ids::ProcessId;
use threadline_store::rows::{EventRow, RunRow};
use threadline_store::{RunEnd, Store};

fn row(run: &RunRow, first: i64, last: i64) -> EventRow {
    let cuts = (first < last).then(|| "1,1".to_owned());
    EventRow { run_id: run.id, first_seq: first, last_seq: last, event: format!("{{\"{first}\":{last}}}"), cuts }
}

async fn ranges(store: &Store, run: &RunRow, after: i64) -> Vec<(i64, i64)> {
    let rows = store.events_after(run.id, after, 10).await.unwrap();
    rows.iter().map(|row| (row.first_seq, row.last_seq)).collect()
}

on_both! {
    async fn only_the_owner_of_an_active_run_writes(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (_, one) = running(&store, user).await;
        let (_, taken) = running(&store, user).await;
        let (_, ended) = running(&store, user).await;
        let (_, foreign) = running(&store, user).await;
        db.sql(&format!("UPDATE runs SET owner = {}", db.literal(one.owner))).await;
        store.run_finish(ended.fencing_token(), completed(), vec![]).await.unwrap();
        db.sql(&format!("UPDATE runs SET owner = {} WHERE id = {}", db.literal(ProcessId::random()), db.literal(taken.id))).await;
        db.sql(&format!("UPDATE runs SET owner = {} WHERE id = {}", db.literal(ProcessId::random()), db.literal(foreign.id))).await;

        let rows = [&one, &taken, &ended, &foreign].map(|run| row(run, 1, 1)).to_vec();
        let written = store.events_append(one.owner, rows).await.unwrap();
        assert_eq!(written.into_iter().collect::<Vec<_>>(), [one.id]);
        assert_eq!(db.number("SELECT count(*) FROM run_events").await, 1);
        assert!(store.events_append(one.owner, vec![]).await.unwrap().is_empty());
    }

    async fn a_write_that_comes_again_is_the_same_or_longer(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (_, run) = running(&store, user).await;
        for rows in [vec![row(&run, 1, 1), row(&run, 2, 3)], vec![row(&run, 1, 1), row(&run, 2, 9), row(&run, 10, 10)]] {
            store.events_append(run.owner, rows).await.unwrap();
        }
        // The first attempt was delayed, and arrives last.
        store.events_append(run.owner, vec![row(&run, 1, 1), row(&run, 2, 3)]).await.unwrap();
        assert_eq!(ranges(&store, &run, 0).await, [(1, 1), (2, 9), (10, 10)]);
        let end = RunEnd { events: vec![row(&run, 10, 12), row(&run, 13, 13)], ..completed() };
        store.run_finish(run.fencing_token(), end, vec![]).await.unwrap();
        assert_eq!(ranges(&store, &run, 0).await, [(1, 1), (2, 9), (10, 12), (13, 13)]);
        for (after, first) in [(1, 2), (2, 2), (8, 2), (9, 10), (12, 13)] {
            assert_eq!(ranges(&store, &run, after).await[0].0, first, "after {after}");
        }
        assert_eq!(ranges(&store, &run, 13).await, []);
        assert_eq!(store.events_last(run.id).await.unwrap(), 13);
        assert_eq!(store.events_last(new_id()).await.unwrap(), 0);
        assert_eq!(store.events_after(run.id, 0, 2).await.unwrap().len(), 2);
    }

    async fn text_of_any_kind_comes_back_as_it_was(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (_, run) = running(&store, user).await;
        let event = r#"{"delta":"a \\ \" \u0000 {x,y} NULL \n ä 🥛 '; DROP TABLE runs"}"#;
        let odd = EventRow { event: event.to_owned(), ..row(&run, 1, 2) };
        store.events_append(run.owner, vec![odd.clone()]).await.unwrap();
        assert_eq!(store.events_after(run.id, 0, 2).await.unwrap(), [odd]);
    }

    async fn logs_of_ended_runs_go_when_their_time_has_come(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (_, active) = running(&store, user).await;
        let (_, old) = running(&store, user).await;
        let (_, young) = running(&store, user).await;
        for (run, at) in [(&old, at(10)), (&young, at(30))] {
            let end = RunEnd { events: vec![row(run, 1, 1)], finished_at: at, ..completed() };
            store.run_finish(run.fencing_token(), end, vec![]).await.unwrap();
        }
        store.events_append(active.owner, vec![row(&active, 1, 1)]).await.unwrap();
        assert_eq!(store.logs_trim(at(20), 10).await.unwrap(), 1);
        assert_eq!(store.logs_trim(at(20), 10).await.unwrap(), 0);
        assert_eq!(ranges(&store, &old, 0).await, []);
        assert_eq!(ranges(&store, &young, 0).await, [(1, 1)]);
        assert_eq!(ranges(&store, &active, 0).await, [(1, 1)]);
        let kept = async |run: &RunRow| store.run_get(user, run.id).await.unwrap().log_kept;
        assert_eq!((kept(&old).await, kept(&young).await, kept(&active).await), (false, true, true));
    }

    async fn the_clock_is_the_databases(db: &TestDb) {
        let store = db.store().await;
        let (before, now, after) = (now(), store.now().await.unwrap(), now());
        let slack = 5_000_000;
        assert!(before.micros() - slack < now.micros() && now.micros() < after.micros() + slack);
    }
}
