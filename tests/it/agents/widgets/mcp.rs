//! The same of an MCP server's tools.

use super::{act, act_at_once, of_type, press, widgets};
use crate::agents::file::AgentsFile;
use crate::agents::python::{fixture, python};
use crate::serve_and_split;
use crate::support::{Script, Upstream, eventually};
use serde_json::{Value, json};

serve_and_split! {
    async fn an_mcp_server_returns_widgets_and_is_called_from_them(setup: Setup) {
        let Some(python) = python() else { return };
        let script = fixture("odd_mcp.py").display().to_string();
        let server = |name: &str, more: &str| format!("[mcp.{name}]\ncommand = {python:?}\nargs = [{script:?}]\n{more}\n");
        let file = AgentsFile::new(&format!(
            "[agents.a]\ntools = [\"mcp:shop\", \"mcp:plain\"]\n{}{}",
            server("shop", "widgets = true\nactions = [\"count\", \"die\"]"),
            server("plain", ""),
        ));
        let upstream = Upstream::start().await;
        let app = file.of(setup).upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let offered = async || {
            user.say(session, "Hello").await.terminal();
            let tools = upstream.requests().pop().unwrap()["tools"].to_string();
            (tools.contains("shop_count") && tools.contains("plain_count")).then_some(())
        };
        eventually("both servers offer their tools", offered).await;
        upstream.queue(Script::calls(&[("shop_count", json!({})), ("shop_count", json!({})), ("plain_count", json!({}))]));
        user.say(session, "Count").await.terminal();
        let request = upstream.requests().pop().unwrap();
        let told = request["messages"].as_array().unwrap().iter().filter(|message| message["role"] == "tool");
        let told: Vec<Value> = told.map(|told| serde_json::from_str(told["content"].as_str().unwrap()).unwrap()).collect();
        assert!(told[..2].iter().all(|told| told.get("widget").is_none()), "{told:?}");
        assert_eq!(told[2]["widget"]["type"], "Basic", "where widgets are not allowed a result is a result");
        // In the order of the model's calls.
        let shown = widgets(&user, session).await;
        let counts: Vec<_> = shown.iter().map(|item| &item["widget"]["children"]["value"]).collect();
        assert_eq!(counts, [&json!(told[0]["text"]), &json!(told[1]["text"])]);

        let item = &shown[0];
        let stream = act(&user, session, &press(item, "shop_count", Value::Null)).await.unwrap();
        let updates: Vec<_> = of_type(&stream, "thread.item.updated").into_iter().filter(|event| event["item_id"] == item["id"]).collect();
        let component = json!({"type": "Text", "id": "count", "value": "3 so far"});
        assert_eq!(updates[0]["update"], json!({"type": "widget.component.updated", "component_id": "count", "component": component}));
        assert_eq!(widgets(&user, session).await[0]["widget"]["children"], component);
        let reply = act_at_once(&user, session, &press(item, "shop_count", json!({}))).await;
        assert_eq!(reply.data()["updated_item"]["widget"]["children"]["value"], "4 so far");
        for other in ["plain_count", "shop_refuse", "count"] {
            let reply = act_at_once(&user, session, &press(item, other, json!({}))).await;
            assert!(reply.fails(400, "INVALID_REQUEST").contains("there are: tasks.complete, shop_die, shop_count."));
        }
        let reply = act_at_once(&user, session, &press(item, "shop_die", json!({}))).await;
        assert!(reply.fails(502, "UPSTREAM_ERROR").contains("may or may not"), "{}", reply.text);
    }
}
