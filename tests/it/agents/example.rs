//! `examples/agents.toml`, with its MCP server and its internal service, as it is handed out.

use super::file::AgentsFile;
use super::python::{Listening, example, python};
use crate::support::{Script, Upstream, eventually};
use crate::{everywhere, serve_and_split};
use serde_json::{Value, json};

const KEY: &str = "the-key-of-the-orders-0123456789-0123456789";

fn results(request: &Value) -> Vec<Value> {
    let told = request["messages"].as_array().unwrap().iter().filter(|message| message["role"] == "tool");
    told.map(|message| serde_json::from_str(message["content"].as_str().unwrap()).unwrap()).collect()
}

fn offered(request: &Value) -> Vec<&str> {
    let tools = request["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap()).collect()
}

everywhere! {
    async fn the_example_does_what_it_says(setup: Setup) {
        let Some(python) = python() else { return };
        let orders = Listening::start(&python, &example("orders_service.py"), &["--port", "0"], &[("ORDERS_CONTEXT_KEY", KEY)]);
        let text = std::fs::read_to_string(example("agents.toml")).unwrap();
        let scripts = format!("{}/", example("").display()).replace("//", "/");
        let text = text
            .replace("http://127.0.0.1:9000", &orders.url)
            .replace("\"python3\"", &format!("{python:?}"))
            .replace("\"examples/", &format!("\"{scripts}"));
        let (upstream, file) = (Upstream::start().await, AgentsFile::new(&text));
        let app = file.of(setup).upstream(&upstream).with("ORDERS_CONTEXT_KEY", KEY).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let has_notes = async || {
            user.say(session, "Hello").await.terminal();
            let asked = upstream.requests();
            offered(asked.last().unwrap()).contains(&"notes_add").then_some(())
        };
        eventually("the MCP server offers its tools", has_notes).await;

        let before = upstream.requests().len();
        upstream
            .queue(Script::calls(&[("notes_add", json!({"text": "Milk"})), ("notes_add", json!({}))]))
            .queue(Script::calls(&[("notes_list", json!({}))]));
        let answer = user.say(session, "Note: milk").await;
        assert_eq!(answer.terminal()["type"], "run.completed");
        let told = results(&upstream.requests()[before + 2]);
        let [kept, refused, notes] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((kept, notes), (&json!({"kept": 1}), &json!({"notes": ["Milk"]})));
        assert!(refused["error"].as_str().is_some_and(|error| error.contains("`text` is missing")), "{refused}");
        let shown = answer.events.iter().any(|(_, event)| event.to_string().contains("Keeping a note"));
        assert!(shown, "{:?}", answer.events);

        let before = upstream.requests().len();
        upstream.queue(Script::calls(&[
            ("look_up_order", json!({"order_id": "1001"})),
            ("look_up_order", json!({"order_id": "../rpc"})),
            ("cancel_order", json!({"order_id": "1002"})),
            ("cancel_order", json!({"order_id": "1001"})),
            ("add_task", json!({"title": "not this agent's"})),
        ]));
        let made = user.rpc_ok("threads.create", json!({"agent": "orders"})).await;
        let session = made["thread"]["id"].as_str().unwrap().parse().unwrap();
        assert_eq!(user.say(session, "Orders").await.terminal()["type"], "run.completed");
        let asked = upstream.requests();
        assert_eq!(offered(&asked[before]), ["look_up_order", "cancel_order", "notes_list"]);
        let told = results(&asked[before + 1]);
        assert_eq!(told[0], json!({"id": "1001", "status": "shipped", "asked_by": user.user_id}));
        assert!(told[1]["error"].as_str().unwrap().starts_with("Bad arguments"), "{}", told[1]);
        assert_eq!(told[2], json!({"id": "1002", "status": "cancelled", "cancelled_by": user.user_id}));
        assert!(told[3]["error"].as_str().unwrap().contains("the order is shipped"), "{}", told[3]);
        assert!(told[4]["error"].as_str().unwrap().contains("no tool"), "{}", told[4]);

        // The order that is still open is cancelled by the user, on its card.
        upstream.queue(Script::calls(&[("look_up_order", json!({"order_id": "1003"}))]));
        user.say(session, "And 1003?").await.terminal();
        let card = async || {
            let items = user.get(&format!("/api/v1/chatkit/sessions/{session}/items?limit=100")).await;
            items.data().as_array().unwrap().iter().find(|item| item["type"] == "widget").unwrap().clone()
        };
        let shown = card().await;
        let button = &shown["widget"]["children"][1]["children"][1];
        assert_eq!(button["label"], "Cancel", "{shown}");
        let click = json!({"type": button["onClickAction"]["type"], "payload": button["onClickAction"]["payload"]});
        let params = json!({"thread_id": session, "item_id": shown["id"], "action": click});
        let acted = user.chatkit_stream("threads.custom_action", params.clone()).await.unwrap().finish().await;
        let update = acted.events.iter().find(|(_, event)| event["item_id"] == shown["id"]).unwrap().1["update"].clone();
        let cancelled = json!({"type": "Row", "id": "state", "children": [{"type": "Badge", "label": "cancelled"}]});
        assert_eq!(update, json!({"type": "widget.component.updated", "component_id": "state", "component": cancelled}));
        assert_eq!(card().await["widget"]["children"][1], cancelled);
        let again = user.chatkit("threads.sync_custom_action", params).await;
        assert!(again.fails(502, "UPSTREAM_ERROR").contains("the order is cancelled"), "{}", again.text);
    }
}

serve_and_split! {
    async fn the_mcp_server_is_reached_over_http_too(setup: Setup) {
        let Some(python) = python() else { return };
        let notes = Listening::start(&python, &example("notes_mcp.py"), &["--http", "0"], &[("NOTES_TOKEN", "hunter2-of-notes")]);
        let file = AgentsFile::new(&format!(
            "[agents.a]\ntools = [\"mcp:notes\"]\n[mcp.notes]\nurl = {:?}\nheaders = {{ Authorization = {{ env = \"NOTES\", prefix = \"Bearer \" }} }}\n",
            notes.url
        ));
        let upstream = Upstream::start().await;
        let app = file.of(setup).upstream(&upstream).with("NOTES", "hunter2-of-notes").with("LOG_LEVEL", "trace").start().await;
        let user = app.user().await;
        let session = user.session().await;
        let has_notes = async || {
            user.say(session, "Hello").await.terminal();
            (offered(upstream.requests().last().unwrap()) == ["notes_add", "notes_list"]).then_some(())
        };
        eventually("the MCP server offers its tools", has_notes).await;
        upstream.queue(Script::calls(&[("notes_add", json!({"text": "Milk"})), ("notes_add", json!({"text": "Bread"}))]));
        user.say(session, "Note").await.terminal();
        let mut told = results(upstream.requests().last().unwrap());
        told.sort_by_key(|result| result["kept"].as_u64());
        assert_eq!(told, [json!({"kept": 1}), json!({"kept": 2})]);
        assert!(app.processes.iter().all(|process| !process.stderr().contains("hunter2")));

        // It ends, and starts again on the same port.
        let list = async || {
            upstream.queue(Script::calls(&[("notes_list", json!({}))]));
            assert_eq!(user.say(session, "List").await.terminal()["type"], "run.completed");
            results(upstream.requests().last().unwrap()).pop().unwrap()
        };
        let port = notes.url.rsplit(':').next().unwrap().split('/').next().unwrap().to_owned();
        drop(notes);
        let told = list().await;
        assert!(told["error"].is_string(), "{told}");
        let again = ["--http", port.as_str()];
        let notes = Listening::start(&python, &example("notes_mcp.py"), &again, &[("NOTES_TOKEN", "hunter2-of-notes")]);
        let back = async || (list().await == json!({"notes": []})).then_some(());
        eventually("the MCP server is found again", back).await;
        drop(notes);
    }
}
