//! Widgets in tool results, and their actions.

mod hostile;
mod mcp;

use super::file::AgentsFile;
use crate::everywhere;
use crate::support::client::read;
use crate::support::{App, Client, Reply, Script, Setup, Sse, Upstream};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

const KEY: &str = "the-key-of-the-service-0123456789-0123456789";

/// Returns an agents file with tools of the service at this address. Users can call those with `action`.
fn text(service: &Upstream) -> String {
    let base = service.base_url();
    let tool = |name: &str, more: &str| {
        format!(
            "[tools.{name}]\nkind = \"http\"\nurl = \"{base}/{name}\"\ndescription = \"Does it.\"\nparameters = '{PARAMETERS}'\n{more}\n"
        )
    };
    [
        "default = \"shop\"\n[agents.shop]\ntools = [\"order\", \"cancel\", \"note\", \"slow\", \"away\"]\n[agents.other]\n".to_owned(),
        tool("order", "acts = false\nwidgets = true"),
        tool("cancel", "widgets = true\naction = true\nuser_context = { env = \"SERVICE_KEY\" }"),
        tool("note", "action = true"),
        tool("slow", "action = true\ntimeout_seconds = 1"),
        tool("away", "action = true").replace(&base, "http://127.0.0.1:9"),
    ]
    .concat()
}

const PARAMETERS: &str = r#"{"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}, "additionalProperties": false}"#;

/// An order as a card: its state has an id, and its button is an action.
fn card(state: &str, action: &str) -> Value {
    let click = json!({
        "type": action, "payload": {"id": "7"}, "handler": "server", "loadingBehavior": "auto", "streaming": true,
    });
    json!({"type": "Card", "size": "sm", "children": [
        {"type": "Title", "value": "Order 7"},
        {"type": "Badge", "id": "state", "label": state},
        {"type": "Button", "label": "Cancel", "onClickAction": click},
    ]})
}

struct Shop {
    app: App,
    model: Upstream,
    service: Upstream,
    file: AgentsFile,
    user: Client,
    session: Uuid,
}

impl Shop {
    async fn open(setup: Setup) -> Self {
        let (model, service) = (Upstream::start().await, Upstream::start().await);
        let file = AgentsFile::new(&text(&service));
        let app = file.of(setup).upstream(&model).with("SERVICE_KEY", KEY).with("LOG_LEVEL", "debug").start().await;
        let user = app.user().await;
        let session = user.session().await;
        Self { app, model, service, file, user, session }
    }

    /// Makes the model look up an order, with this response of the service. Returns the stream.
    async fn look_up(&self, user: &Client, session: Uuid, answer: &Value) -> Sse {
        self.service.queue(Script::json(answer));
        self.model.queue(Script::calls(&[("order", json!({"id": "7"}))]));
        let stream = user.say(session, "Where is it?").await;
        assert_eq!(stream.terminal()["type"], "run.completed");
        stream
    }

    /// The same with a widget. Returns its item.
    async fn shown(&self, user: &Client, session: Uuid, action: &str) -> Value {
        self.look_up(user, session, &json!({"widget": card("open", action)})).await;
        widgets(user, session).await.pop().expect("a widget")
    }

    fn told(&self) -> Value {
        let request = self.model.requests().pop().unwrap();
        let told = request["messages"].as_array().unwrap().iter().rfind(|message| message["role"] == "tool").unwrap();
        serde_json::from_str(told["content"].as_str().unwrap()).unwrap()
    }
}

/// What is to be done by using a widget.
fn press(widget: &Value, kind: &str, payload: Value) -> Value {
    json!({"item_id": widget["id"], "action": {"type": kind, "payload": payload}})
}

async fn act(user: &Client, session: Uuid, body: &Value) -> Result<Sse, Reply> {
    let path = format!("/api/v1/chatkit/sessions/{session}/threads/{session}/actions");
    match Sse::open(user.request(Method::POST, &path).json(body)).await {
        Ok(stream) => Ok(stream.finish().await),
        Err(reply) => Err(reply),
    }
}

async fn act_at_once(user: &Client, session: Uuid, body: &Value) -> Reply {
    let path = format!("/api/v1/chatkit/sessions/{session}/threads/{session}/sync-actions");
    read(user.request(Method::POST, &path).json(body)).await
}

/// The widgets of a session, oldest first.
async fn widgets(user: &Client, session: Uuid) -> Vec<Value> {
    let page = user.get(&format!("/api/v1/chatkit/sessions/{session}/items?order=asc&limit=100")).await;
    page.data().as_array().unwrap().iter().filter(|item| item["type"] == "widget").cloned().collect()
}

fn of_type<'a>(stream: &'a Sse, kind: &str) -> Vec<&'a Value> {
    stream.events.iter().map(|(_, event)| event).filter(|event| event["type"] == kind).collect()
}

/// Returns the user context of the last request to the service.
fn claims(service: &Upstream) -> Value {
    let head = service.heads().pop().unwrap();
    let token = head.lines().find_map(|line| line.strip_prefix("x-threadline-context: ")).expect("a token");
    let (key, validation) = (DecodingKey::from_secret(KEY.as_bytes()), Validation::new(Algorithm::HS256));
    jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap().claims
}

everywhere! {
    async fn a_widget_is_shown_and_used(setup: Setup) {
        let shop = Shop::open(setup).await;
        let (user, session) = (&shop.user, shop.session);
        let answer = json!({"id": "7", "state": "open", "widget": card("open", "cancel"), "copy_text": "Order 7: open"});
        let stream = shop.look_up(user, session, &answer).await;
        assert_eq!(shop.told(), json!({"id": "7", "state": "open"}), "the model reads the rest");
        let item = widgets(user, session).await.pop().unwrap();
        assert_eq!((&item["widget"], &item["copy_text"]), (&card("open", "cancel"), &json!("Order 7: open")));
        let done: Vec<_> = of_type(&stream, "thread.item.done").into_iter().map(|event| &event["item"]).collect();
        let kinds: Vec<_> = done.iter().map(|item| item["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["user_message", "workflow", "widget", "assistant_message"]);
        assert_eq!(done[2], &item);

        // In a run: the service gets the user, and the change is sent.
        shop.service.queue(Script::json(&json!({"state": "cancelled", "widget": card("cancelled", "note")})));
        let stream = act(user, session, &press(&item, "cancel", json!({"id": "7"}))).await.unwrap();
        assert_eq!(stream.terminal()["type"], "run.completed");
        assert_eq!(stream.terminal()["run"]["tool_calls"][0]["name"], "cancel");
        let claims_of_run = claims(&shop.service);
        assert_eq!(
            (&claims_of_run["sub"], &claims_of_run["thread"], &claims_of_run["run"], &claims_of_run["tool"]),
            (&json!(user.user_id), &json!(session), &json!(stream.run_id()), &json!("cancel"))
        );
        assert_eq!(shop.service.requests().pop().unwrap(), json!({"id": "7"}));
        let after = widgets(user, session).await;
        assert_eq!((after.len(), &after[0]["id"], &after[0]["copy_text"]), (1, &item["id"], &Value::Null));
        assert_eq!(after[0]["widget"], card("cancelled", "note"));
        assert_eq!(of_type(&stream, "thread.item.replaced")[0]["item"], after[0]);
        let updates = of_type(&stream, "thread.item.updated").into_iter().filter(|event| event["item_id"] == item["id"]);
        let updates: Vec<_> = updates.map(|event| &event["update"]).collect();
        assert_eq!(updates, [&json!({"type": "widget.root.updated", "widget": card("cancelled", "note")})]);

        // At once, in no run.
        shop.service.queue(Script::json(&json!({"state": "closed", "widget": card("closed", "note")})));
        let reply = act_at_once(user, session, &press(&item, "cancel", json!({"id": "7"}))).await;
        assert_eq!(reply.data()["updated_item"]["widget"], card("closed", "note"));
        assert_eq!(reply.data()["updated_item"], widgets(user, session).await[0]);
        let claims_at_once = claims(&shop.service);
        assert_eq!((&claims_at_once["sub"], claims_at_once.get("run")), (&json!(user.user_id), None));

        // Where one component with an id is all that changes, it is all that is sent.
        shop.service.queue(Script::json(&json!({"widget": card("archived", "note")})));
        let stream = act(user, session, &press(&item, "cancel", json!({"id": "7"}))).await.unwrap();
        let badge = json!({"type": "Badge", "id": "state", "label": "archived"});
        let update = of_type(&stream, "thread.item.updated").into_iter().find(|event| event["item_id"] == item["id"]).unwrap();
        assert_eq!(update["update"], json!({"type": "widget.component.updated", "component_id": "state", "component": badge}));
        assert_eq!(of_type(&stream, "thread.item.replaced")[0]["item"], widgets(user, session).await[0]);

        // A result without a widget changes none; neither does one of a tool that may not show any.
        let before = widgets(user, session).await;
        for answer in [json!({"ok": true}), json!({"widget": card("x", "note")})] {
            shop.service.queue(Script::json(&answer));
            let reply = act_at_once(user, session, &press(&item, "note", json!({"id": "7"}))).await;
            assert_eq!(reply.data(), &json!({}));
        }
        shop.service.queue(Script::json(&json!({"widget": card("x", "note")})));
        let stream = act(user, session, &press(&item, "note", json!({"id": "7"}))).await.unwrap();
        assert!(of_type(&stream, "thread.item.replaced").is_empty());
        assert_eq!(widgets(user, session).await, before);
        // An action of the page, not of a widget: it shows a new widget.
        shop.service.queue(Script::json(&json!({"widget": card("new", "note")})));
        act(user, session, &json!({"action": {"type": "cancel", "payload": {"id": "7"}}})).await.unwrap();
        let now = widgets(user, session).await;
        assert_eq!((&now[0], &now[1]["widget"], now.len()), (&before[0], &card("new", "note"), 2));
        // The model gets what was done in a run, without the widgets.
        assert_eq!(user.say(session, "And now?").await.terminal()["type"], "run.completed");
        let prompt = shop.model.requests().pop().unwrap()["messages"].to_string();
        assert!(prompt.contains("cancelled") && !prompt.contains("archived"), "{prompt}");
    }

    async fn a_lost_response_is_reported_as_unknown(setup: Setup) {
        let shop = Shop::open(setup).await;
        let (user, session) = (&shop.user, shop.session);
        let item = shop.shown(user, session, "slow").await;
        let asked = shop.service.requests().len();
        let notice = |stream: &Sse| {
            assert_eq!(stream.terminal()["type"], "run.completed");
            of_type(stream, "notice")[0]["message"].as_str().unwrap().to_owned()
        };
        let breaks = || Script::default().raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"half\"");
        for (tool, script) in [("slow", Script::default().hang()), ("note", breaks()), ("note", Script::fails(500, &json!(1)))] {
            shop.service.queue(script.clone()).queue(script);
            let body = press(&item, tool, json!({"id": "7"}));
            let stream = act(user, session, &body).await.unwrap();
            assert!(notice(&stream).contains("may or may not"), "{tool}");
            assert!(stream.terminal()["run"]["tool_calls"][0]["result"].to_string().contains("unknown"));
            let reply = act_at_once(user, session, &body).await;
            assert!(reply.fails(502, "UPSTREAM_ERROR").contains("may or may not"), "{tool}");
        }
        assert_eq!(shop.service.requests().len(), asked + 6, "nothing is asked twice");
        for (tool, script, words) in [("note", Some(Script::fails(409, &json!("it is shipped"))), "it is shipped"), ("away", None, "Nothing was done")] {
            let body = press(&item, tool, json!({"id": "7"}));
            let queue = || script.clone().map(|script| shop.service.queue(script));
            queue();
            let stream = act(user, session, &body).await.unwrap();
            assert!(notice(&stream).contains(words), "{tool}");
            queue();
            let reply = act_at_once(user, session, &body).await;
            assert!(reply.fails(502, "UPSTREAM_ERROR").contains(words), "{tool}");
        }
        assert_eq!(widgets(user, session).await, [item]);
    }

    async fn two_concurrent_actions_both_get_the_result(setup: Setup) {
        let shop = Shop::open(setup).await;
        let (one, other) = (shop.user.clone(), shop.app.user().await);
        let (here, there) = (shop.session, other.session().await);
        let (item, others) = (shop.shown(&one, here, "cancel").await, shop.shown(&other, there, "cancel").await);
        // The service refuses the second call.
        shop.service.queue(Script::json(&json!({"widget": card("cancelled", "note")}))).queue(Script::fails(409, &json!("it is cancelled")));
        let (body, others_body) = (press(&item, "cancel", json!({"id": "7"})), press(&others, "cancel", json!({"id": "7"})));
        let (mine, theirs) = tokio::join!(act_at_once(&one, here, &body), act_at_once(&other, there, &others_body));
        let won = mine.status == 200;
        let (winner, loser) = if won { (&mine, &theirs) } else { (&theirs, &mine) };
        assert_eq!(winner.data()["updated_item"]["widget"], card("cancelled", "note"));
        assert!(loser.fails(502, "UPSTREAM_ERROR").contains("it is cancelled"));
        let state = async |user: &Client, session: Uuid| widgets(user, session).await[0]["widget"]["children"][1]["label"].clone();
        let states = (state(&one, here).await, state(&other, there).await);
        assert_eq!(states, if won { (json!("cancelled"), json!("open")) } else { (json!("open"), json!("cancelled")) });

        // Of one widget that is used by many at once no press is lost.
        for n in 0..6 {
            one.post("/api/v1/tasks", &json!({"title": format!("Task {n}")})).await.data();
        }
        shop.model.queue(Script::calls(&[("list_tasks", json!({}))]));
        let session = one.rpc_ok("threads.create", json!({"agent": "other"})).await["thread"]["id"].as_str().unwrap().parse().unwrap();
        one.say(session, "Tasks").await.terminal();
        let list = widgets(&one, session).await.remove(0);
        let rows = list["widget"]["children"].as_array().unwrap();
        let presses: Vec<Value> = rows.iter().map(|row| press(&list, "tasks.complete", json!({"task_id": row["key"]}))).collect();
        let replies = futures::future::join_all(presses.iter().map(|body| act_at_once(&one, session, body))).await;
        assert!(replies.iter().all(|reply| reply.data()["updated_item"]["id"] == list["id"]));
        let after = widgets(&one, session).await.remove(0);
        let open = after["widget"]["children"].as_array().unwrap().iter().filter(|row| row.get("onClickAction").is_some());
        assert_eq!((rows.len(), open.count()), (6, 0));
    }
}
