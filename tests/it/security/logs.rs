//! The log: it says who called, and does not stop the service.

use crate::support::process::STUCK_LOG;
use crate::support::{Setup, eventually};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_stops_nothing() {
    let app = Setup::new().await.with(STUCK_LOG, 1).start().await;
    let nobody = app.anonymous();
    let since = Instant::now();
    // More lines than a pipe and the buffer hold.
    let batch = serde_json::json!(vec![serde_json::json!({"jsonrpc": "2.0", "method": "no.such"}); 50]).to_string();
    for _ in 0..500 {
        assert_eq!(nobody.rpc_raw(batch.clone()).await.status, 204);
    }
    assert_eq!(nobody.get("/health").await.status, 200);
    assert!(since.elapsed() < Duration::from_secs(60), "{:?}", since.elapsed());
    eventually("lost lines are counted", || async {
        let metrics = app.metrics().await;
        let line = metrics.lines().find_map(|line| line.strip_prefix("threadline_log_lines_dropped_total "));
        line.and_then(|count| count.parse::<u64>().ok()).filter(|count| *count > 0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_requests_have_the_address() {
    let app = Setup::new().await.with("TRUSTED_PROXIES", "127.0.0.1").start().await;
    let request = app.anonymous().request(reqwest::Method::GET, "/api/v1/auth/me");
    crate::support::client::read(request.header("x-forwarded-for", "198.51.100.7")).await;
    app.anonymous().rpc("no.such", serde_json::json!({})).await;
    eventually("the lines are there", || async {
        let log = app.log();
        let has = |target: &str, ip: &str| log.iter().any(|line| line["target"] == target && line["ip"] == ip);
        (has("threadline::http", "198.51.100.7") && has("threadline::rpc", "127.0.0.1")).then_some(())
    })
    .await;
}
