//! Side events of a thread: none is lost by a reader that stops waiting, or by a database that fails.

use crate::support::{Answer, TestEngine};
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use futures::FutureExt;
use std::time::Duration;
use threadline_engine::ThreadFeed;
use threadline_schema::event::EventKind;
use threadline_schema::frame::Frame;
use threadline_schema::ids::ThreadId;
use threadline_schema::threads::ThreadsSubscribeParams;

async fn next_side_event(feed: &mut ThreadFeed, limit: Duration) -> Option<EventKind> {
    tokio::time::timeout(limit, async {
        loop {
            if let Frame::Side(event) = feed.next().await.expect("the feed goes on") {
                return event.kind();
            }
        }
    })
    .await
    .ok()
}

async fn idle_feed(test: &TestEngine) -> (ThreadFeed, ThreadId) {
    let started = test.create_thread(Answer("Hi.")).await;
    let thread_id = started.thread.id;
    let run_id = started.run.unwrap().id;
    while !test.engine.run(test.user_id, run_id).await.unwrap().status.is_final() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let params = ThreadsSubscribeParams { thread_id, after: None, snapshot: false };
    let (feed, _) = test.engine.subscribe_thread(test.user_id, params, Duration::from_secs(600)).await.unwrap();
    (feed, thread_id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_waiting_at_any_moment_misses_no_change() {
    let test = TestEngine::start().await;
    let (mut feed, thread_id) = idle_feed(&test).await;
    for round in 0..200u64 {
        let title = format!("Title {round}");
        test.store.thread_rename(test.user_id, thread_id, title, test.clock.now()).await.unwrap();
        test.engine.thread_changed(thread_id);
        // Drops the future after so many polls: in the middle of its queries, sooner or later.
        for _ in 0..round % 7 {
            if let Some(frame) = feed.next().now_or_never() {
                assert!(frame.is_some());
            }
            tokio::task::yield_now().await;
            if round % 3 == 0 {
                tokio::time::sleep(Duration::from_micros(round * 3)).await;
            }
        }
    }
    test.store.thread_rename(test.user_id, thread_id, "The last one".to_owned(), test.clock.now()).await.unwrap();
    test.engine.thread_changed(thread_id);
    let mut last = String::new();
    while let Ok(Some(frame)) = tokio::time::timeout(Duration::from_secs(3), feed.next()).await {
        last = frame.event().json().into_owned();
        if last.contains("The last one") {
            return;
        }
    }
    panic!("the last change was missed; the reader knows {last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_an_item_outlives_a_database_that_fails() {
    let test = TestEngine::start().await;
    let (mut feed, thread_id) = idle_feed(&test).await;
    let run_id = test.store.thread_last_run(test.user_id, thread_id).await.unwrap().1.unwrap().id;
    let item_id = test.store.run_items(run_id).await.unwrap()[0].id;
    let mut other = SqliteConnection::establish(&test.path.display().to_string()).unwrap();
    other.batch_execute("PRAGMA busy_timeout = 5000; ALTER TABLE items RENAME TO items_away").unwrap();

    test.engine.item_changed(thread_id, item_id);
    assert_eq!(next_side_event(&mut feed, Duration::from_secs(2)).await, None, "it cannot be read yet");
    other.batch_execute("ALTER TABLE items_away RENAME TO items").unwrap();
    assert_eq!(next_side_event(&mut feed, Duration::from_secs(5)).await, Some(EventKind::ItemReplaced));
}
