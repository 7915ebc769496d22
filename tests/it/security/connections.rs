//! One address does not hold all connections.

use crate::rpc::raw;
use crate::support::{Setup, eventually};
use tokio::io::AsyncWriteExt;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_three_quarters_of_the_connections_unless_it_is_a_proxy() {
    let app = Setup::new().await.with("MAX_CONNECTIONS", 20).start().await;
    let mut held = Vec::new();
    for _ in 0..15 {
        held.push(raw::upgraded(&app.rest, None, 4096).await);
    }
    let mut refused = raw::connect(&app.rest, 4096).await;
    refused.write_all(b"GET /health HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    let answer = String::from_utf8(raw::rest(&mut refused).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    // On Linux, each address of this network is this machine.
    let other = reqwest::Client::builder().local_address("127.0.0.2".parse::<std::net::IpAddr>().unwrap()).no_proxy();
    let other = other.build().unwrap().get(format!("http://{}/metrics", app.rest)).send().await.unwrap();
    let metrics = other.text().await.unwrap();
    let counted = "threadline_connections_refused_total{listener=\"rest\",limit=\"address\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    drop(held);
    eventually("the places are free", || async {
        let mut socket = raw::connect(&app.rest, 4096).await;
        socket.write_all(b"GET /health HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await.ok()?;
        let answer = String::from_utf8(raw::rest(&mut socket).await).unwrap();
        answer.starts_with("HTTP/1.1 200").then_some(())
    })
    .await;

    let proxied = Setup::new().await.with("MAX_CONNECTIONS", 20).with("TRUSTED_PROXIES", "127.0.0.1").start().await;
    for _ in 0..18 {
        held_open(&proxied.rest).await;
    }
}

async fn held_open(address: &str) {
    let socket = raw::upgraded(address, None, 4096).await;
    // Until the end of the test.
    std::mem::forget(socket);
}
