//! The handshake of a WebSocket: each way to be wrong has its status.

use super::raw;
use crate::serve_and_split;
use crate::support::Setup;
use serde_json::Value;
use tokio::io::AsyncWriteExt;

const KEY: &str = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
const VERSION: &str = "sec-websocket-version: 13";
const UPGRADE: &str = "upgrade: websocket";
const CONNECTION: &str = "connection: keep-alive, Upgrade";

/// Sends a head and returns the whole response, which ends the connection unless it is a 101.
async fn ask(address: &str, first: &str, headers: &[&str]) -> (u16, String) {
    ask_hosts(address, first, &[&["host: test"][..], headers].concat()).await
}

/// Does what [`ask`] does, with these headers alone.
async fn ask_hosts(address: &str, first: &str, headers: &[&str]) -> (u16, String) {
    let mut stream = raw::connect(address, 65_536).await;
    let head: String = [first].iter().chain(headers).map(|line| format!("{line}\r\n")).collect();
    let head = format!("{head}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(raw::byte(&mut stream).await);
    }
    let _ = stream.shutdown().await;
    answer.extend(raw::rest(&mut stream).await);
    let answer = String::from_utf8(answer).unwrap().to_lowercase();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_handshake_has_a_status_and_an_error() {
    let app = Setup::new().await.start().await;
    let get = "GET /rpc HTTP/1.1";
    let refused: [(&str, &[&str], u16, &str); 13] = [
        (get, &[CONNECTION, UPGRADE, VERSION], 400, "sec-websocket-key"),
        (get, &[CONNECTION, UPGRADE, VERSION, "sec-websocket-key: "], 400, "sec-websocket-key"),
        (get, &[CONNECTION, UPGRADE, VERSION, "sec-websocket-key: c2hvcnQ="], 400, "sec-websocket-key"),
        (get, &[CONNECTION, UPGRADE, VERSION, "sec-websocket-key: not base64!"], 400, "sec-websocket-key"),
        (get, &[CONNECTION, UPGRADE, VERSION, KEY, KEY], 400, "sec-websocket-key"),
        (get, &[UPGRADE, VERSION, KEY], 400, "connection"),
        (get, &["connection: close", UPGRADE, VERSION, KEY], 400, "connection"),
        (get, &[CONNECTION, VERSION, KEY], 400, "upgrade"),
        (get, &[CONNECTION, "upgrade: h2c", VERSION, KEY], 400, "upgrade"),
        (get, &[CONNECTION, UPGRADE, KEY], 426, "sec-websocket-version: 13"),
        (get, &[CONNECTION, UPGRADE, KEY, "sec-websocket-version: 8"], 426, "sec-websocket-version: 13"),
        (get, &[CONNECTION, UPGRADE, KEY, VERSION, "sec-websocket-version: 8"], 426, "sec-websocket-version: 13"),
        ("POST /rpc HTTP/1.1", &[CONNECTION, UPGRADE, VERSION, KEY, "content-length: 0"], 405, "allow: get"),
    ];
    for address in [&app.rpc, &app.rest] {
        for (first, headers, status, names) in refused {
            let (answered, text) = ask(address, first, headers).await;
            assert_eq!(answered, status, "{first} {headers:?}: {text}");
            assert!(text.contains(names), "{first} {headers:?}: {text}");
            let body = text.split_once("\r\n\r\n").unwrap().1;
            let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert!(body["error"]["data"]["code"].is_string() && body["id"].is_null(), "{text}");
        }
        for headers in [
            [CONNECTION, UPGRADE, VERSION, KEY],
            ["Connection: UPGRADE", "Upgrade: WebSocket", VERSION, KEY],
            ["connection: upgrade", "upgrade: h2c, websocket", VERSION, KEY],
        ] {
            let (status, text) = ask(address, get, &headers).await;
            assert_eq!(status, 101, "{headers:?}: {text}");
            // The example of RFC 6455.
            assert!(text.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{text}");
        }
        // An offer of another protocol is none of a WebSocket.
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}"#;
        let offers = ["connection: upgrade, http2-settings", "upgrade: h2c", "http2-settings: AAMAAABk"];
        let length = format!("content-length: {}", body.len());
        let mut stream = raw::connect(address, 65_536).await;
        let head = format!(
            "POST /rpc HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n{length}\r\n{}\r\n\r\n{body}",
            offers.join("\r\n")
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        for byte in &mut status {
            *byte = raw::byte(&mut stream).await;
        }
        assert_eq!(&status, b"HTTP/1.1 200");
    }
}

serve_and_split! {
    // RFC 9112, section 3.2, and RFC 6455, section 4.2.1.
    async fn a_request_without_one_valid_host_is_refused(setup: Setup) {
        let app = setup.start().await;
        for address in [&app.rest, &app.rpc] {
            let opening = ["GET /rpc HTTP/1.1", CONNECTION, UPGRADE, VERSION, KEY];
            for request in [&opening[..], &["GET /health HTTP/1.1"], &["POST /rpc HTTP/1.1", "content-length: 0"]] {
                let (first, others) = request.split_first().unwrap();
                let wrong: [&[&str]; 7] = [
                    &[],
                    &["host: test", "host: test"],
                    &["host: localhost", "host: evil.example"],
                    &["host:"],
                    &["host: a b"],
                    &["host: http://test/"],
                    &["host: test:port"],
                ];
                for hosts in wrong {
                    let (status, text) = ask_hosts(address, first, &[hosts, others].concat()).await;
                    assert!(status == 400 && text.contains("`host`"), "{first} {hosts:?}: {text}");
                    assert!(text.contains("connection: close"), "{first} {hosts:?}: {text}");
                }
            }
            for host in ["host: test", "Host: 127.0.0.1:80", "host: [::1]:80", "host: test:"] {
                assert_eq!(ask_hosts(address, "GET /health HTTP/1.1", &[host]).await.0, 200, "{host}");
            }
            // HTTP/1.0 does not know the header.
            assert_eq!(ask_hosts(address, "GET /health HTTP/1.0", &[]).await.0, 200);
            assert_eq!(ask_hosts(address, "GET /health HTTP/1.0", &["host: a", "host: b"]).await.0, 400);
        }
    }
}
