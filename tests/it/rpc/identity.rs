//! Who is at the other end of a WebSocket, from the handshake on and as long as it is open.

use super::{input, refusal};
use crate::support::{Gate, Script, Setup, Socket, Upstream, eventually, token};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{Request, Response};
use uuid::Uuid;

/// A handshake with one header more.
fn handshake(address: &str, name: &'static str, value: &str) -> Request<()> {
    let mut request = format!("ws://{address}/").into_client_request().unwrap();
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_sent_in_the_header_or_as_a_subprotocol() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let good = user.token.as_deref().unwrap();
    for (name, value) in [
        ("authorization", format!("Bearer {good}")),
        ("authorization", format!("bearer {good}")),
        ("sec-websocket-protocol", format!("bearer, {good}")),
        ("sec-websocket-protocol", format!("bearer,{good}")),
    ] {
        let mut socket = Socket::open(handshake(&app.rpc, name, &value)).await.expect("a WebSocket");
        let confirmed = socket.headers.get("sec-websocket-protocol").map(|value| value.to_str().unwrap().to_owned());
        let expected = (name == "sec-websocket-protocol").then(|| "bearer".to_owned());
        assert_eq!(confirmed, expected, "what a browser offered is confirmed, and nothing else");
        assert_eq!(socket.ok("auth.me", json!({})).await["id"], user.user_id.unwrap().to_string());
        socket.close().await;
    }

    let mut anonymous = app.anonymous().socket().await;
    assert_eq!(anonymous.ok("system.health", json!({})).await["status"], "healthy");
    refusal(&anonymous.call("tasks.list", json!({})).await, -32001, "UNAUTHORIZED");
    anonymous.ok("tasks.list", json!({"_meta": {"auth": good}})).await;
    refusal(&anonymous.call("tasks.list", json!({})).await, -32001, "UNAUTHORIZED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_token_is_refused_before_the_upgrade() {
    let app = Setup::new().await.start().await;
    let user = app.user().await.user_id.unwrap();
    let in_a_minute = chrono::Utc::now().timestamp() + 60;
    let claims = json!({"sub": user, "exp": in_a_minute});
    use jsonwebtoken::Algorithm::{HS256, HS512};
    let secret = crate::support::process::SECRET;
    let bad = [
        "nonsense".to_owned(),
        token::mint(user, -1),
        token::sign(&claims, HS256, "another-key-that-nobody-here-knows-012345"),
        token::sign(&claims, HS512, secret),
        token::sign(&json!({"sub": user}), HS256, secret),
        token::sign(&json!({"exp": in_a_minute}), HS256, secret),
        token::sign(&json!({"sub": "ada", "exp": in_a_minute}), HS256, secret),
    ];
    for token in bad {
        for (name, value) in
            [("authorization", format!("Bearer {token}")), ("sec-websocket-protocol", format!("bearer, {token}"))]
        {
            let refused: Response<_> = match Socket::open(handshake(&app.rpc, name, &value)).await {
                Ok(_) => panic!("a WebSocket for {token}"),
                Err(refused) => refused,
            };
            assert_eq!(
                (refused.status().as_u16(), &refused.headers()["www-authenticate"]),
                (401, &"Bearer".parse().unwrap())
            );
            let body: Value = serde_json::from_slice(refused.body().as_deref().unwrap_or_default()).expect("JSON");
            refusal(&body, -32001, "UNAUTHORIZED");
        }
    }
    // A token of a user that does not exist is refused at the first call.
    let mut socket = Socket::connect(&format!("ws://{}/", app.rpc), Some(&token::mint(Uuid::now_v7(), 60))).await;
    refusal(&socket.call("tasks.list", json!({})).await, -32001, "UNAUTHORIZED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_expires_ends_calls_and_streams() {
    let (upstream, gate) = (Upstream::start().await, Gate::closed());
    upstream.queue(Script::stream().words(&["one"]).stop(&gate).words(&[" two"]).done("stop"));
    let app = Setup::new().await.upstream(&upstream).start().await;
    let user = app.user().await;
    let begun = user.rpc_ok("threads.create", json!({"input": input("Count")})).await;
    let run = begun["run"]["id"].as_str().unwrap();

    let mut lasting = user.socket().await;
    let lasting_stream = lasting.subscribe(run, None).await;
    // Long enough for the handshake and two calls, on any machine that is not on its knees.
    let mut expiring = user.with_token(token::mint(user.user_id.unwrap(), 4)).socket().await;
    let stream = expiring.subscribe(run, None).await;
    expiring.ok("auth.me", json!({})).await;
    let (seq, error) = loop {
        let (seq, event) = expiring.event(&stream).await;
        if event["type"] == "error" {
            break (seq, event);
        }
    };
    assert!(error["message"].as_str().unwrap().contains("expired"), "{error}");
    let end = expiring.receive().await.unwrap();
    assert_eq!(end["params"]["subscription"], stream, "{end}");
    assert!(end["params"]["error"].is_string(), "the end of the subscription is announced: {end}");
    refusal(&expiring.call("auth.me", json!({})).await, -32001, "UNAUTHORIZED");
    let batch = json!([{"jsonrpc": "2.0", "id": 1, "method": "auth.me"}]);
    expiring.send(&batch.to_string()).await;
    refusal(&expiring.receive().await.unwrap()[0], -32001, "UNAUTHORIZED");

    // The socket can still be used: with a new token, a subscription continues after the cursor.
    let params = json!({"run_id": run, "after": seq, "_meta": {"auth": user.token}});
    let again = expiring.ok("runs.subscribe", params).await;
    gate.open();
    let rest = expiring.events(&again).await;
    assert_eq!(rest.first().unwrap().0, seq + 1);
    assert_eq!(lasting.events(&lasting_stream).await.last(), rest.last(), "nobody else noticed");
    eventually("the run ends", || async {
        (user.rpc_ok("runs.get", json!({"run_id": run})).await["status"] == "completed").then_some(())
    })
    .await;
}
