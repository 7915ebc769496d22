//! Batches that are refused: they take no memory, and they are counted.

use crate::support::Setup;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_huge_batch_is_counted_and_not_taken_apart() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let batch = format!("[{}1]", "1,".repeat(500_000));
    let since = Instant::now();
    let refused = user.rpc_raw(batch).await;
    assert!(refused.text.contains("at most 50") && refused.text.contains("500001"), "{}", refused.text);
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_batch_counts_against_its_sender() {
    let app = Setup::new().await.with("RATE_LIMIT_REQUESTS_PER_MINUTE", 3).start().await;
    let batch = format!("[{}1]", "1,".repeat(60));
    for sender in [app.anonymous(), app.user().await] {
        for _ in 0..3 {
            let refused: Value = sender.rpc_raw(batch.clone()).await.body;
            assert_eq!(refused["error"]["data"]["code"], "INVALID_REQUEST", "{refused}");
        }
        let refused: Value = sender.rpc_raw(batch.clone()).await.body;
        assert_eq!(refused["error"]["data"]["code"], "RATE_LIMITED", "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_in_a_batch_are_calls() {
    let app = Setup::new().await.with("RATE_LIMIT_REQUESTS_PER_MINUTE", 3).start().await;
    let probe = |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "system.health"});
    let answers = app.anonymous().rpc_raw(json!((0..10).map(probe).collect::<Vec<_>>()).to_string()).await.body;
    let answered = answers.as_array().unwrap().iter().filter(|answer| answer.get("result").is_some()).count();
    assert_eq!(answered, 3, "{answers}");
    // One by itself is monitoring.
    assert!(app.anonymous().rpc("system.health", json!({})).await.get("result").is_some());
}
