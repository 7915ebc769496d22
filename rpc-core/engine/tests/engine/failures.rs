//! A fault of ours ends one run, and never keeps its thread busy.

use crate::support::{PanicAfterAnswer, TestEngine};
use std::time::Duration;
use threadline_engine::RunDriver;
use threadline_schema::event::EventKind;
use threadline_schema::runs::RunStatus;

/// Recovery looks for lost runs every 5 s.
const WITHIN: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_after_the_answer_frees_the_thread_and_keeps_the_text() {
    let test = TestEngine::start().await;
    let started = test.create_thread(PanicAfterAnswer).await;
    let run = started.run.unwrap();
    let feed = test.engine.subscribe_run(test.user_id, run.id, None, Duration::from_secs(60)).await;
    let mut feed = feed.unwrap();
    let mut kinds = Vec::new();
    let reading = async {
        while let Some(frame) = feed.next().await {
            kinds.push(frame.event().kind());
        }
    };
    tokio::time::timeout(WITHIN, reading).await.expect("a subscriber hears the end of the run");
    assert_eq!(kinds.last(), Some(&EventKind::RunInterrupted), "{kinds:?}");

    test.send_when_free(started.thread.id, WITHIN).await;
    let ended = test.engine.run(test.user_id, run.id).await.unwrap();
    assert_eq!(ended.status, RunStatus::Interrupted);
    let items = test.store.run_items(run.id).await.unwrap();
    assert!(items.iter().any(|item| item.body.contains("This is all that is heard")), "{items:?}");
    assert_eq!(test.supervisor.failure(), None, "one bad run does not stop the service");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_between_storing_and_executing_a_run_frees_the_thread() {
    let test = TestEngine::start().await;
    let started = test.create_thread(crate::support::Answer("Hi.")).await;
    let thread_id = started.thread.id;
    test.send_when_free(thread_id, WITHIN).await;

    let failed = loop {
        let sent = test.send(thread_id, |_| -> Box<dyn RunDriver> { panic!("no driver") }).await;
        match sent {
            // Busy with the run before.
            Err(threadline_engine::EngineError::Store(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
            other => break other,
        }
    };
    assert!(failed.is_err(), "the caller is told");
    test.send_when_free(thread_id, WITHIN).await;
}
