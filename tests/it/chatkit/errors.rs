//! Errors and their texts.

use crate::everywhere;
use crate::serve_and_split;
use crate::support::Client;
use crate::support::client::read;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

everywhere! {
    async fn only_the_owner_reaches_a_thread(setup: Setup) {
        let app = setup.start().await;
        let (ada, eve) = (app.user().await, app.user().await);
        let thread = ada.session().await;
        let input = Client::chatkit_input("Hello");
        for (kind, params) in [
            ("threads.get_by_id", json!({"thread_id": thread})),
            ("threads.add_user_message", json!({"thread_id": thread, "input": input})),
            ("threads.update", json!({"thread_id": thread, "title": "Mine"})),
            ("threads.delete", json!({"thread_id": thread})),
            ("items.list", json!({"thread_id": thread})),
        ] {
            eve.chatkit(kind, params.clone()).await.fails(403, "FORBIDDEN");
            let mut missing = params;
            missing["thread_id"] = json!(Uuid::now_v7());
            eve.chatkit(kind, missing).await.fails(404, "THREAD_NOT_FOUND");
        }
        assert_eq!(eve.chatkit("threads.list", json!({})).await.body, json!({"data": [], "has_more": false}));
        assert_eq!(ada.chatkit("threads.get_by_id", json!({"thread_id": thread})).await.status, 200);
    }
}

serve_and_split! {
    async fn unreadable_bodies_are_refused_with_a_reason(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let thread = user.session().await;
        let text = |text: &str| json!({"thread_id": thread, "input": Client::chatkit_input(text)});
        for (kind, params, status, code) in [
            ("threads.burn", json!({}), 400, "INVALID_REQUEST"),
            ("auth.login", json!({}), 400, "INVALID_REQUEST"),
            ("", json!({}), 400, "INVALID_REQUEST"),
            ("threads.list", json!([]), 400, "INVALID_REQUEST"),
            ("threads.list", json!({"limit": -1}), 400, "INVALID_REQUEST"),
            ("threads.list", json!({"order": "sideways"}), 400, "INVALID_REQUEST"),
            ("threads.list", json!({"after": "\u{0}"}), 400, "INVALID_REQUEST"),
            ("threads.get_by_id", json!({}), 400, "INVALID_REQUEST"),
            ("threads.get_by_id", json!({"thread_id": "x"}), 400, "INVALID_REQUEST"),
            ("threads.create", json!({}), 400, "INVALID_REQUEST"),
            ("threads.create", json!({"input": "Hello"}), 400, "INVALID_REQUEST"),
            ("threads.create", json!({"input": null}), 400, "INVALID_REQUEST"),
            ("threads.add_user_message", text(" "), 400, "EMPTY_MESSAGE"),
            ("threads.add_user_message", text("a\u{0}"), 400, "INVALID_REQUEST"),
            ("threads.add_user_message", text(&"x".repeat(501)), 400, "MESSAGE_TOO_LONG"),
            ("threads.update", json!({"thread_id": thread, "title": " "}), 400, "INVALID_REQUEST"),
        ] {
            let reply = user.chatkit(kind, params.clone()).await;
            assert_eq!(reply.status, status, "{kind} {params}: {}", reply.text);
            // The error of the protocol is next to that of this service.
            let event = ["type", "code", "message", "allow_retry"].map(|name| &reply.body[name]);
            let expected = [&json!("error"), &json!("custom"), &reply.body["error"]["message"], &json!(false)];
            assert_eq!(event, expected, "{kind} {params}: {}", reply.text);
            reply.fails(status, code);
        }
        let smuggled = json!({"content": [{"type": "input_text", "text": "Hi", "pad": "x".repeat(600)}]});
        let params = json!({"thread_id": thread, "input": smuggled});
        user.chatkit("threads.add_user_message", params).await.fails(400, "MESSAGE_TOO_LONG");

        for metadata in [json!([]), json!("x"), json!({"x": "y".repeat(5000)})] {
            let body = json!({"type": "threads.list", "metadata": metadata});
            let said = read(user.request(Method::POST, "/chatkit").json(&body)).await;
            assert!(said.fails(400, "INVALID_REQUEST").contains("`metadata`"), "{}", said.text);
        }
        let hinted = user.request(Method::POST, "/chatkit").header("accept-language", "de-CH, de;q=0.9");
        let body = json!({"type": "threads.list", "metadata": {"page": "cart \"1\""}});
        assert_eq!(read(hinted.json(&body)).await.status, 200);

        let post = |body: &'static str| user.request(Method::POST, "/chatkit").body(body);
        let json = ("content-type", "application/json");
        for body in ["", "{", "\u{feff}{}", r#"{"type":"threads.list"} x"#] {
            read(post(body).header(json.0, json.1)).await.fails(400, "INVALID_JSON");
        }
        for body in ["[]", "7", "null", r#"{"params":{}}"#, r#"{"type":["threads.list"]}"#] {
            read(post(body).header(json.0, json.1)).await.fails(400, "INVALID_REQUEST");
        }
        read(post("{}").header("content-type", "text/plain")).await.fails(415, "UNSUPPORTED_MEDIA_TYPE");
        let nobody = Client::new(&user.rest, &user.rpc, None);
        let refused = nobody.chatkit("threads.list", json!({})).await;
        refused.fails(401, "UNAUTHORIZED");
        assert_eq!(refused.header("www-authenticate"), "Bearer");
        user.with_token("nonsense").chatkit("threads.burn", json!({})).await.fails(401, "UNAUTHORIZED");
    }
}
