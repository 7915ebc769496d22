//! Requests as ChatKit's own front end writes them.

use crate::everywhere;
use crate::support::client::read;
use crate::support::{Client, Script, Upstream};
use serde_json::{Value, json};

fn prompt(upstream: &Upstream) -> Value {
    upstream.requests().last().unwrap()["messages"].as_array().unwrap().last().unwrap()["content"].clone()
}

everywhere! {
    async fn an_empty_quote_quotes_nothing(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        for blank in [json!(""), json!("  \n\t"), json!("\u{a0}"), json!(null)] {
            let input = json!({"content": [{"type": "input_text", "text": "Hi there"}], "quoted_text": blank,
                "attachments": [], "inference_options": {}});
            let stream = user.chatkit_stream("threads.create", json!({"input": input})).await.unwrap().finish().await;
            assert_eq!(prompt(&upstream), "Hi there", "{blank}");
            let message = stream.events.iter().find(|(_, event)| event["item"]["type"] == "user_message").unwrap();
            assert!(message.1["item"]["quoted_text"].is_null(), "{}", message.1);
        }
        let input = json!({"content": [{"type": "input_text", "text": "Why?"}], "quoted_text": "It rains.",
            "attachments": [], "inference_options": {}});
        user.chatkit_stream("threads.create", json!({"input": input})).await.unwrap().finish().await;
        assert!(prompt(&upstream).as_str().unwrap().contains("> It rains."), "{}", prompt(&upstream));
    }

    async fn nulls_and_members_of_a_later_version_are_no_error(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.answer_with(|_| Script::says(&["Hello."]));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let text = json!({"type": "input_text", "text": "Hi", "later": {"a": 1}});
        for input in [
            json!({"content": [text], "attachments": [], "inference_options": {"tool_choice": null, "model": null}}),
            json!({"content": [text], "attachments": [], "quoted_text": null, "inference_options": {}, "later": 1}),
            json!({"content": [text], "attachments": [], "inference_options": {"later": true}, "quoted_text": ""}),
        ] {
            let params = json!({"input": input, "later": "x"});
            let stream = user.chatkit_stream("threads.create", params).await;
            stream.unwrap_or_else(|reply| panic!("{input}: {}", reply.text)).finish().await;
        }
        for (kind, params) in [
            ("threads.list", json!({"limit": null, "order": null, "after": null})),
            ("threads.list", json!({"limit": 9999, "order": "desc", "after": null, "later": 1})),
            ("threads.list", json!({"limit": 1e9})),
            ("threads.list", json!({"limit": 1e30})),
        ] {
            let reply = read(user.chatkit_request(kind, params.clone())).await;
            assert_eq!(reply.status, 200, "{params}: {}", reply.text);
            assert_eq!(reply.body["data"].as_array().unwrap().len(), 3);
        }
        let thread = Client::chatkit_input("x");
        let body = json!({"type": "threads.create", "params": {"input": thread}, "metadata": {}, "later": []});
        let reply = read(user.request(reqwest::Method::POST, "/chatkit").json(&body)).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
    }
}
