//! Client hints: services, MCP servers and models get them if configured.

use super::endpoints::{KEY, claims};
use super::file::AgentsFile;
use super::python::{fixture, python};
use crate::serve_and_split;
use crate::support::{Client, Script, Sse, Upstream, eventually};
use serde_json::{Value, json};

/// Returns a request with client hints.
async fn ask(user: &Client, kind: &str, params: Value, page: &str) -> Sse {
    let body = json!({"type": kind, "params": params, "metadata": {"page": page}});
    let request =
        user.request(reqwest::Method::POST, "/chatkit").json(&body).header("accept-language", "de-CH, en;q=0.5");
    Sse::open(request).await.unwrap_or_else(|reply| panic!("{kind}: {}", reply.text)).finish().await
}

fn item<'a>(stream: &'a Sse, kind: &str) -> &'a Value {
    let mut done = stream.events.iter().filter(|(_, event)| event["type"] == "thread.item.done");
    &done.find(|(_, event)| event["item"]["type"] == kind).unwrap().1["item"]
}

/// What stands behind the instructions in this request to a model.
fn told(request: &Value) -> Option<Value> {
    let system = request["messages"][0]["content"].as_str().unwrap();
    assert!(system.starts_with("You help."), "{system}");
    Some(serde_json::from_str(system.split_once("instructions:\n")?.1).unwrap())
}

/// What the model learns from the client: it stands with the words of the user.
fn told_by_client(request: &Value) -> Option<Value> {
    let messages = request["messages"].as_array().unwrap();
    let newest = messages.iter().rfind(|message| message["role"] == "user").unwrap();
    Some(serde_json::from_str(newest["content"].as_str().unwrap().split_once("instructions:\n")?.1).unwrap())
}

serve_and_split! {
    async fn client_hints_reach_services_and_models(setup: Setup) {
        let (upstream, service) = (Upstream::start().await, Upstream::start().await);
        service.answer_with(|_| Script::json(&json!({"ok": true})));
        let file = AgentsFile::new(&format!(
            r#"
[agents.a]
instructions = "You help."
tools = ["order", "ask_user"]
tell = ["languages", "metadata", "time"]

[tools.order]
kind = "http"
url = "{}/order"
description = "An order."
user_context = {{ env = "SERVICE_KEY" }}
"#,
            service.base_url()
        ));
        let app = file.of(setup).upstream(&upstream).with("SERVICE_KEY", KEY).start().await;
        let user = app.user().await;
        upstream
            .queue(Script::calls(&[("order", json!({}))]))
            .queue(Script::calls(&[("ask_user", json!({"questions": [{"question": "Which?"}]}))]))
            .queue(Script::calls(&[("order", json!({}))]));
        let first = ask(&user, "threads.create", json!({"input": Client::chatkit_input("Hello")}), "orders").await;
        let thread = first.events[0].1["thread"]["id"].clone();
        let input = json!({"status": "answered", "answers": {"q1": {"values": ["This"], "skipped": false}}});
        let questions = item(&first, "structured_input")["id"].clone();
        let answers = json!({"thread_id": thread, "item_id": questions, "input": input});
        ask(&user, "threads.add_structured_input", answers, "answers").await;
        let message = item(&first, "user_message")["id"].clone();
        ask(&user, "threads.retry_after_item", json!({"thread_id": thread, "item_id": message}), "again").await;

        let languages = json!("de-CH, en;q=0.5");
        for (head, page) in service.heads().iter().zip(["orders", "answers"]) {
            let claims = claims(head);
            assert_eq!((&claims["languages"], &claims["metadata"]), (&languages, &json!({"page": page})));
        }
        assert_eq!(service.heads().len(), 2);
        let pages = ["orders", "orders", "answers", "answers", "again"];
        assert_eq!(upstream.requests().len(), pages.len());
        for (request, page) in upstream.requests().iter().zip(pages) {
            let told = told(request).unwrap();
            let by_client = told_by_client(request).unwrap();
            assert_eq!(by_client, json!({"client.languages": languages, "client.metadata": {"page": page}}));
            assert_eq!(told.as_object().unwrap().keys().collect::<Vec<_>>(), ["time"]);
            let time: chrono::DateTime<chrono::Utc> = told["time"].as_str().unwrap().parse().unwrap();
            assert!((chrono::Utc::now() - time).num_seconds().abs() < 120, "{told}");
            assert_eq!(request["messages"].as_array().unwrap().iter().filter(|one| one["role"] == "system").count(), 1);
        }

        // Without hints from the client there are none.
        upstream.queue(Script::calls(&[("order", json!({}))]));
        let plain = user.request(reqwest::Method::POST, &Client::runs_path(thread.as_str().unwrap().parse().unwrap()));
        Sse::open(plain.json(&Client::message("Hello"))).await.unwrap().finish().await.terminal();
        let claims = claims(&service.heads()[2]);
        assert!(claims.get("languages").is_none() && claims.get("metadata").is_none(), "{claims}");
        let request = upstream.requests().pop().unwrap();
        assert_eq!(told(&request).unwrap().as_object().unwrap().keys().collect::<Vec<_>>(), ["time"]);
        assert_eq!(told_by_client(&request), None);
    }

    async fn an_mcp_server_gets_the_user_if_configured(setup: Setup) {
        let Some(python) = python() else { return };
        let upstream = Upstream::start().await;
        let script = fixture("odd_mcp.py");
        let server = |name: &str| format!("[mcp.{name}]\ncommand = {python:?}\nargs = [{script:?}]\n");
        let agent = "[agents.a]\ninstructions = \"You help.\"\ntools = [\"mcp:told\", \"mcp:untold\"]\n";
        let file = AgentsFile::new(&format!("{agent}{}user_context = true\n{}", server("told"), server("untold")));
        let app = file.of(setup).upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let offered = || async {
            user.say(session, "Hello").await.terminal();
            let tools = upstream.requests().pop().unwrap()["tools"].to_string();
            (tools.contains("\"told_meta\"") && tools.contains("\"untold_meta\"")).then_some(())
        };
        eventually("both servers stand", offered).await;
        upstream.queue(Script::calls(&[("told_meta", json!({})), ("untold_meta", json!({}))]));
        let params = json!({"thread_id": session, "input": Client::chatkit_input("Hello")});
        let answer = ask(&user, "threads.add_user_message", params, "notes").await;

        let request = upstream.requests().pop().unwrap();
        assert_eq!((told(&request), told_by_client(&request)), (None, None), "what nobody asked for");
        let results = request["messages"].as_array().unwrap().iter().filter(|message| message["role"] == "tool");
        let results: Vec<Value> = results
            .map(|result| serde_json::from_str::<String>(result["content"].as_str().unwrap()).unwrap())
            .map(|meta| serde_json::from_str(&meta).unwrap())
            .collect();
        let expected = json!({
            "threadline/user": user.user_id, "threadline/thread": session, "threadline/run": answer.run_id(),
            "threadline/languages": "de-CH, en;q=0.5", "threadline/metadata": {"page": "notes"},
        });
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&results[0][name], value, "{name}");
        }
        assert!(!results[1].to_string().contains("threadline/"), "{}", results[1]);
    }
}
