//! The listener of operators.

use crate::rest::registration::command;
use crate::rpc::raw;
use crate::serve_and_split;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

serve_and_split! {
    async fn operators_have_a_listener_of_their_own(setup: Setup) {
        let app = setup.with("OPS_LISTEN", "127.0.0.1:0").start().await;
        let nobody = app.anonymous();
        for path in ["/metrics", "/health/all", "/health/db", "/health/openrouter"] {
            nobody.get(path).await.fails(404, "NOT_FOUND");
        }
        assert_eq!(nobody.get("/health").await.status, 200);
        let of_core = |path: &str| reqwest::get(format!("http://{}{path}", app.rpc));
        assert_eq!(of_core("/metrics").await.unwrap().status(), 404);
        assert_eq!(of_core("/health").await.unwrap().status(), 200);
        for process in &app.processes {
            let ops = process.ops.clone().expect("the address of the listener");
            for path in ["/metrics", "/health", "/health/all"] {
                assert_eq!(reqwest::get(format!("http://{ops}{path}")).await.unwrap().status(), 200, "{path}");
            }
            for path in ["/docs", "/chat", "/api/v1/tasks", "/rpc"] {
                assert_eq!(reqwest::get(format!("http://{ops}{path}")).await.unwrap().status(), 404, "{path}");
            }
        }
    }

    async fn json_rpc_on_the_public_port_serves_nothing_for_operators(setup: Setup) {
        let app = setup.with("OPS_LISTEN", "127.0.0.1:0").start().await;
        let user = app.user().await;
        command(&app, &["user", "give-role", &user.email, "--role", "admin"]).await;
        let call = |method: &str| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}}).to_string();
        for method in ["admin.budgets", "admin.list_processes", "system.health"] {
            let post = |address: &str| {
                let request = reqwest::Client::new().post(format!("http://{address}/rpc"));
                let request = request.bearer_auth(user.token.as_ref().unwrap());
                request.header("content-type", "application/json").body(call(method)).send()
            };
            let of_core: Value = post(&app.rpc).await.unwrap().json().await.unwrap();
            assert!(of_core["result"].is_object(), "{method}: {of_core}");
            let public = post(&app.rest).await.unwrap();
            // A gateway of its own has no JSON-RPC.
            if public.status() == 404 {
                continue;
            }
            let public: Value = public.json().await.unwrap();
            assert_eq!(public["error"]["data"]["code"], "METHOD_NOT_FOUND", "{method}: {public}");
            let mut socket = raw::upgraded(&app.rest, user.token.as_deref(), 65_536).await;
            socket.write_all(&raw::frame(raw::TEXT, call(method).as_bytes())).await.unwrap();
            let public: Value = serde_json::from_str(&raw::next_text(&mut socket).await).unwrap();
            assert_eq!(public["error"]["data"]["code"], "METHOD_NOT_FOUND", "{method}: {public}");
        }
        user.rpc_ok("auth.me", json!({})).await;
    }

    async fn a_local_listener_of_operators_answers_to_names_of_this_machine(setup: Setup) {
        let app = setup.with("OPS_LISTEN", "127.0.0.1:0").start().await;
        for process in &app.processes {
            let ops = process.ops.clone().expect("the address of the listener");
            for path in ["/metrics", "/health", "/health/all"] {
                let get = |host: &str| reqwest::Client::new().get(format!("http://{ops}{path}")).header("host", host).send();
                assert_eq!(get("evil.example").await.unwrap().status(), 403, "{path}");
                assert_eq!(get("localhost").await.unwrap().status(), 200, "{path}");
            }
        }
    }
}
