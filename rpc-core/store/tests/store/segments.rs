//! Segments of the log: who may write them, and where their events are read from.

use crate::support::*;
use std::collections::{BTreeMap, BTreeSet};
use threadline_schema::ids::{ItemId, ProcessId, RunId};
use threadline_store::rows::{LoggedBody, LoggedEvents, RunRow};
use threadline_store::{JournalTerms, SegmentWriter, Store};

const ITEM: ItemId = ItemId::nil();

fn text(run: &RunRow, first_seq: i64, deltas: &[&str]) -> LoggedEvents {
    let cuts = deltas.iter().map(|delta| u32::try_from(delta.len()).unwrap()).collect();
    let body = LoggedBody::Text { item_id: ITEM, content_index: 0, text: deltas.concat(), cuts };
    LoggedEvents { run_id: run.id, first_seq, body }
}

/// A segment with deltas of one character each.
fn segment(events: &[(&RunRow, u64, &str)]) -> Vec<u8> {
    let mut segment = SegmentWriter::default();
    for (run, first_seq, text) in events {
        segment.text(run.id, *first_seq, ITEM, 0, std::iter::repeat_n(1, text.len()), text);
    }
    segment.into_bytes()
}

async fn ranges(store: &Store, run: RunId) -> Vec<(i64, i64)> {
    let rows = store.events_after(run, 0, 10).await.unwrap();
    rows.iter().map(|row| (row.first_seq, row.last_seq)).collect()
}

/// Two active runs of one process, and the fence of the process.
async fn two_runs(db: &TestDb, store: &Store) -> (RunRow, RunRow, i64) {
    let user = user(store).await.id;
    let (_, one) = running(store, user).await;
    let (_, two) = running(store, user).await;
    db.sql(&format!("UPDATE runs SET owner = {}", db.literal(one.owner))).await;
    let two = store.run_get(user, two.id).await.unwrap();
    let terms = store.journal_terms(one.owner, now()).await.unwrap();
    let JournalTerms { fence, has_segments, owned } = terms;
    assert!(has_segments);
    assert_eq!(owned, BTreeSet::from([one.id, two.id]));
    (one, two, fence)
}

on_both! {
    async fn events_are_read_from_segments_and_rows_alike(db: &TestDb) {
        let store = db.store().await;
        let (one, two, fence) = two_runs(db, &store).await;
        let owner = one.owner;
        assert_eq!(store.segments_last(owner).await.unwrap(), 0);
        assert!(store.segment_append(owner, fence, 1, segment(&[(&one, 1, "ab"), (&two, 1, "x")])).await.unwrap());
        // Whether the first was written was not known.
        assert!(store.segment_append(owner, fence, 2, segment(&[(&one, 1, "abc")])).await.unwrap());
        assert_eq!(store.segments_last(owner).await.unwrap(), 2);

        let live = store.live_events_after(one.id, 0).await.unwrap();
        assert_eq!((live.rows.len(), live.last_seq()), (0, Some(3)));
        assert_eq!(live.segments, [text(&one, 1, &["a", "b", "c"])]);
        let segments = store.segments_after(owner, 0, 10, BTreeSet::from([two.id])).await.unwrap();
        assert_eq!(segments[0].events, [text(&two, 1, &["x"])]);
        assert_eq!((segments.len(), segments[1].number, segments[1].events.len()), (2, 2, 0));

        store.segments_settle(owner, BTreeMap::from([(one.id, 1)])).await.unwrap();
        store.segments_settle(owner, BTreeMap::from([(one.id, 1)])).await.unwrap();
        assert_eq!(ranges(&store, one.id).await, [(1, 3)]);
        assert_eq!(ranges(&store, two.id).await, []);
        assert!(store.segment_append(owner, fence, 3, segment(&[(&one, 4, "d")])).await.unwrap());
        let live = store.live_events_after(one.id, 1).await.unwrap();
        assert_eq!((live.rows.len(), live.segments), (1, vec![text(&one, 4, &["d"])]));

        assert_eq!(store.segments_trim(owner, 3).await.unwrap(), 2);
        assert_eq!(store.segments_trim_gone(owner).await.unwrap(), 0);
        assert_eq!(store.segments_trim_gone(new_id()).await.unwrap(), 0, "its process has active runs");
        for run in [&one, &two] {
            let token = store.run_get(run.user_id, run.id).await.unwrap().fencing_token();
            store.run_finish(token, completed(), vec![]).await.unwrap();
        }
        assert_eq!(store.live_events_after(two.id, 0).await.unwrap().last_seq(), None, "it has ended");
        assert_eq!(store.segments_trim_gone(new_id()).await.unwrap(), 1);
    }

    async fn a_takeover_ends_the_segments_of_the_former_owner(db: &TestDb) {
        let store = db.store().await;
        let (one, two, fence) = two_runs(db, &store).await;
        let (owner, heir) = (one.owner, new_id::<ProcessId>());
        store.segment_append(owner, fence, 1, segment(&[(&one, 1, "ab"), (&two, 1, "x")])).await.unwrap();
        db.sql(&format!("UPDATE runs SET lease_expires_at = {} WHERE id = {}", later(db), db.literal(two.id))).await;

        let taken = store.runs_take_expired(heir, at(2_000_000), at(9_000_000), 10).await.unwrap();
        assert_eq!(taken.iter().map(|run| run.id).collect::<Vec<_>>(), [one.id]);
        assert_eq!(ranges(&store, one.id).await, [(1, 2)]);
        assert_eq!(ranges(&store, two.id).await, []);
        assert!(!store.segment_append(owner, fence, 2, segment(&[(&one, 3, "c")])).await.unwrap());

        let terms = store.journal_terms(owner, now()).await.unwrap();
        assert_eq!((terms.fence, terms.owned), (fence + 1, BTreeSet::from([two.id])));
        assert!(store.segment_append(owner, fence + 1, 2, segment(&[(&two, 2, "y")])).await.unwrap());
        // What the heir writes is numbered from the next epoch on.
        let fence = store.journal_terms(heir, now()).await.unwrap().fence;
        let first = 1_000_000_001;
        assert!(store.segment_append(heir, fence, 1, segment(&[(&one, first, "new")])).await.unwrap());
        let live = store.live_events_after(one.id, 0).await.unwrap();
        assert_eq!((live.rows.len(), live.segments), (1, vec![text(&taken[0], 1_000_000_001, &["n", "e", "w"])]));

        let taken = store.runs_take_from(vec![owner], heir, now(), at(9_000_000), 10).await.unwrap();
        assert_eq!(taken.iter().map(|run| run.id).collect::<Vec<_>>(), [two.id]);
        assert_eq!(ranges(&store, two.id).await, [(1, 2)]);
        assert_eq!(store.run_owner(two.id).await.unwrap(), Some((heir, 2)));
    }

    async fn nobody_writes_segments_while_a_process_does_not_read_them(db: &TestDb) {
        let store = db.store().await;
        let (one, _, fence) = two_runs(db, &store).await;
        let seen_at = later(db);
        // As a process of an earlier version does.
        db.sql(&format!(
            "INSERT INTO processes (id, holds_lock, seen_at) VALUES ({}, {}, {seen_at})",
            db.literal(ProcessId::random()),
            if db.is_postgres() { "false" } else { "0" },
        ))
        .await;
        // On SQLite there is one process, and the row is of an earlier one.
        assert_eq!(store.journal_terms(one.owner, now()).await.unwrap().has_segments, !db.is_postgres());
        if db.is_postgres() {
            assert!(!store.segment_append(one.owner, fence, 1, segment(&[(&one, 1, "a")])).await.unwrap());
        }
    }
}

/// A time after the lease of the runs, as SQL.
fn later(db: &TestDb) -> &'static str {
    if db.is_postgres() { "timestamptz '2030-01-01'" } else { "1900000000000000" }
}
