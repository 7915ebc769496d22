//! The handshake of a WebSocket: each way to be wrong has its status.

use super::raw;
use crate::support::Setup;
use serde_json::Value;
use tokio::io::AsyncWriteExt;

const KEY: &str = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
const VERSION: &str = "sec-websocket-version: 13";
const UPGRADE: &str = "upgrade: websocket";
const CONNECTION: &str = "connection: keep-alive, Upgrade";

/// Sends a head and returns the whole response, which ends the connection unless it is a 101.
async fn ask(address: &str, first: &str, headers: &[&str]) -> (u16, String) {
    let mut stream = raw::connect(address, 65_536).await;
    let head = format!("{first}\r\nhost: test\r\n{}\r\n\r\n", headers.join("\r\n"));
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
