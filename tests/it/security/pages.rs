//! Web pages of others, in the browser of somebody whom the server trusts.

use crate::support::{Setup, Socket};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

async fn handshake(address: &str, origin: Option<&str>, host: Option<&str>) -> u16 {
    let mut request = format!("ws://{address}/rpc").into_client_request().unwrap();
    for (name, value) in [("origin", origin), ("host", host)] {
        if let Some(value) = value {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
    }
    match Socket::open(request).await {
        Ok(_) => 101,
        Err(refused) => refused.status().as_u16(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_origin_opens_no_socket() {
    let setup = Setup::new().await.with("CORS_ORIGINS", "https://app.example");
    let app = setup.with("PUBLIC_URL", "https://chat.example").start().await;
    for address in [&app.rest, &app.rpc] {
        let own = format!("http://{address}");
        for origin in [None, Some(own.as_str()), Some("https://app.example"), Some("https://chat.example")] {
            assert_eq!(handshake(address, origin, None).await, 101, "{origin:?}");
        }
        for origin in ["https://evil.example", "http://127.0.0.1:1", "null", "https://app.example.evil"] {
            assert_eq!(handshake(address, Some(origin), None).await, 403, "{origin}");
        }
    }
    let open = Setup::new().await.with("CORS_ORIGINS", "*").start().await;
    assert_eq!(handshake(&open.rest, Some("https://evil.example"), None).await, 101);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_points_to_this_machine_does_not_reach_it() {
    let app = Setup::new().await.with("PUBLIC_URL", "https://chat.example").start().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let status = async |address: &str, path: &str, host: &str| {
        let request = http.get(format!("http://{address}{path}")).header("host", host);
        request.send().await.unwrap().status().as_u16()
    };
    for (address, path) in [(&app.rest, "/health"), (&app.rpc, "/health"), (&app.rest, "/chat")] {
        for host in ["evil.example", "evil.example:8000", "127.0.0.1.evil.example"] {
            assert_eq!(status(address, path, host).await, 403, "{host}");
        }
        for host in ["localhost:8000", "127.0.0.1:8000", "[::1]:8000", "chat.example", "threadline"] {
            assert_eq!(status(address, path, host).await, 200, "{host}");
        }
    }
    assert_eq!(handshake(&app.rpc, Some("http://evil.example"), Some("evil.example")).await, 403);
    // Behind a proxy on this machine, the names are those of the proxy.
    let behind = Setup::new().await.with("TRUSTED_PROXIES", "127.0.0.1").start().await;
    assert_eq!(status(&behind.rest, "/health", "chat.example").await, 200);
}
