//! Widgets that must not be shown, and actions that must be refused.

use super::{Shop, act, act_at_once, card, press, text, widgets};
use crate::support::{Script, eventually};
use crate::{everywhere, serve_and_split};
use serde_json::{Value, json};

everywhere! {
    async fn requests_that_are_not_allowed_are_refused(setup: Setup) {
        let shop = Shop::open(setup).await;
        let (user, session, other) = (&shop.user, shop.session, shop.app.user().await);
        // Its button names a tool that only the model may call.
        let item = shop.shown(user, session, "order").await;
        let others_session = other.session().await;
        let others = shop.shown(&other, others_session, "cancel").await;
        let elsewhere = user.rpc_ok("threads.create", json!({"agent": "other"})).await;
        let elsewhere = elsewhere["thread"]["id"].as_str().unwrap().parse().unwrap();
        let asked = shop.service.requests().len();
        let id = || json!({"id": "7"});
        let message = json!({"id": user.get(&format!("/api/v1/chatkit/sessions/{session}/items?order=asc&limit=1")).await.data()[0]["id"]});
        let there_are = "there are: tasks.complete, cancel, note, slow, away.";
        for (at, body, status, code, words) in [
            (session, press(&item, "order", id()), 400, "INVALID_REQUEST", there_are),
            (session, press(&item, "Cancel", id()), 400, "INVALID_REQUEST", there_are),
            (session, press(&item, "complete_task", json!({})), 400, "INVALID_REQUEST", there_are),
            (session, press(&item, &"x".repeat(5_000), id()), 400, "INVALID_REQUEST", there_are),
            (session, press(&item, "cancel", json!({"id": 7})), 400, "INVALID_REQUEST", "payload of \"cancel\" does not fit"),
            (session, press(&item, "cancel", json!({"id": "7", "as": "root"})), 400, "INVALID_REQUEST", "does not fit"),
            (session, press(&item, "cancel", Value::Null), 400, "INVALID_REQUEST", "does not fit"),
            (session, press(&item, "cancel", json!(["7"])), 400, "INVALID_REQUEST", "must be an object"),
            (session, press(&message, "cancel", id()), 400, "INVALID_REQUEST", "name a widget"),
            (session, press(&others, "cancel", id()), 404, "ITEM_NOT_FOUND", "no such item"),
            (others_session, press(&others, "cancel", id()), 403, "FORBIDDEN", "another user"),
            (elsewhere, json!({"action": {"type": "cancel", "payload": id()}}), 400, "INVALID_REQUEST", "there are: tasks.complete."),
            (elsewhere, press(&item, "tasks.complete", id()), 404, "ITEM_NOT_FOUND", "no such item"),
        ] {
            let Err(refused) = act(user, at, &body).await else { panic!("a stream: {body}") };
            for reply in [refused, act_at_once(user, at, &body).await] {
                let message = reply.fails(status, code);
                assert!(message.contains(words) && message.len() < 500, "{body}: {message}");
            }
        }
        assert_eq!(shop.service.requests().len(), asked, "nobody is asked");
        assert_eq!((widgets(user, session).await, widgets(&other, others_session).await), (vec![item], vec![others]));
    }
}

serve_and_split! {
    async fn invalid_widgets_are_not_shown(setup: Setup) {
        let shop = Shop::open(setup).await;
        let (user, session) = (&shop.user, shop.session);
        let mut deep = json!({"type": "Text", "value": "hunter2"});
        for _ in 0..40 {
            deep = json!({"type": "Col", "children": [deep]});
        }
        let in_card = |child: Value| json!({"type": "Card", "children": [{"type": "Divider"}, child]});
        for (index, (widget, path, why)) in [
            (in_card(json!({"type": "Text", "value": "hunter2 ".repeat(9_000)})), "widget", "bytes"),
            (in_card(deep), "widget", "nested more than"),
            (in_card(json!({"type": "Button", "label": ["hunter2"]})), "widget.children[1].label", "does not fit"),
            (in_card(json!({"type": "Text", "hunter": 2})), "widget.children[1]", "missing field `value`"),
            (json!({"type": "Window", "title": "hunter2"}), "widget", "does not fit"),
            (json!("hunter2"), "widget", "does not fit"),
            (Value::Null, "widget", "does not fit"),
        ]
        .into_iter()
        .enumerate()
        {
            shop.look_up(user, session, &json!({"id": "7", "widget": widget})).await;
            assert_eq!(shop.told(), json!({"id": "7"}), "the model is not bothered");
            // A thread of its own writes the log.
            let line = eventually("the warning is in the log", || async {
                let is_warning = |line: &Value| line["level"] == "WARN" && line["tool"] == "order";
                shop.app.log().into_iter().filter(is_warning).nth(index)
            })
            .await;
            assert_eq!(line["path"], path, "{line}");
            assert!(line["reason"].as_str().unwrap().contains(why), "{line}");
        }
        assert_eq!(widgets(user, session).await, Vec::<Value>::new());
        let above_debug = |line: &&Value| line["level"] != "DEBUG";
        assert!(shop.app.log().iter().filter(above_debug).all(|line| !line.to_string().contains("hunter2")));
        // An invalid widget of an action changes nothing, and the rest of the result is used.
        let item = shop.shown(user, session, "cancel").await;
        shop.service.queue(Script::json(&json!({"widget": {"type": "Card"}})));
        let reply = act_at_once(user, session, &press(&item, "cancel", json!({"id": "7"}))).await;
        assert_eq!((reply.data(), widgets(user, session).await), (&json!({}), vec![item]));
        // The limit of a result does not include its widget.
        let wide = json!({"type": "Card", "children": [{"type": "Text", "value": "w".repeat(60_000)}]});
        for (bytes, fits) in [(30_000, true), (40_000, false)] {
            shop.look_up(user, session, &json!({"text": "x".repeat(bytes), "widget": wide})).await;
            assert_eq!(shop.told()["text"].is_string(), fits, "{bytes}");
            assert_eq!(shop.told()["error"].is_string(), !fits, "{bytes}");
        }
    }

    async fn a_tool_that_is_gone_is_not_called(setup: Setup) {
        let shop = Shop::open(setup).await;
        let (user, session) = (&shop.user, shop.session);
        let item = shop.shown(user, session, "cancel").await;
        let body = press(&item, "cancel", json!({"id": "7"}));
        let asked = shop.service.requests().len();
        let reload = async |text: String, count: u32| {
            shop.file.write(&text);
            shop.app.processes.last().unwrap().signal("HUP");
            let line = format!("threadline_agents_reloads_total{{outcome=\"ok\"}} {count}");
            eventually("the file is read again", || async { shop.app.metrics().await.contains(&line).then_some(()) }).await;
        };
        let whole = text(&shop.service);
        reload(whole.replace("\"cancel\", ", ""), 1).await;
        for _ in 0..2 {
            let Err(refused) = act(user, session, &body).await else { panic!("a stream") };
            assert!(refused.fails(400, "INVALID_REQUEST").contains("there are: tasks.complete, note, slow, away."));
        }
        act_at_once(user, session, &body).await.fails(400, "INVALID_REQUEST");
        // A reload does not allow the action any more.
        reload(whole.replace("action = true\nuser_context", "user_context"), 2).await;
        act_at_once(user, session, &body).await.fails(400, "INVALID_REQUEST");
        assert_eq!(shop.service.requests().len(), asked);
        reload(whole, 3).await;
        shop.service.queue(Script::json(&json!({"widget": card("cancelled", "note")})));
        assert_eq!(act_at_once(user, session, &body).await.data()["updated_item"]["id"], item["id"]);
    }
}
