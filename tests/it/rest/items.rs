//! `/api/v1/chatkit/sessions/{session_id}/items`: the items of a session.

use crate::everywhere;
use crate::support::Client;
use serde_json::{Value, json};
use uuid::Uuid;

async fn pages(user: &Client, session: Uuid, order: &str) -> Vec<Value> {
    let base = format!("/api/v1/chatkit/sessions/{session}/items?limit=2&order={order}");
    let mut path = base.clone();
    let mut items = Vec::new();
    loop {
        let page = user.get(&path).await;
        let rows = page.data().as_array().unwrap();
        items.extend(rows.iter().cloned());
        match page.body["meta"]["after"].as_str() {
            Some(after) => {
                assert_eq!((rows.len(), &page.body["meta"]["has_more"]), (2, &json!(true)));
                path = format!("{base}&after={after}");
            }
            None => {
                assert_eq!(page.body["meta"], json!({"has_more": false, "after": null}));
                return items;
            }
        }
    }
}

everywhere! {
    async fn items_are_read_from_both_ends(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let (session, other) = (user.session().await, user.session().await);
        let mut streamed = Vec::new();
        for text in ["Add task: Buy milk", "Hello", "Show my tasks"] {
            let answer = user.say(session, text).await;
            let whole = answer.events.iter().filter(|(_, event)| event["type"] == "thread.item.done");
            streamed.extend(whole.map(|(_, event)| event["item"].clone()));
        }
        let path = format!("/api/v1/chatkit/sessions/{session}/items");
        let oldest = pages(&user, session, "asc").await;
        let kinds: Vec<_> = oldest.iter().map(|item| item["type"].as_str().unwrap()).collect();
        assert_eq!(
            kinds,
            [
                "user_message",
                "workflow",
                "assistant_message",
                "user_message",
                "assistant_message",
                "user_message",
                "workflow",
                "widget",
                "assistant_message",
            ]
        );
        assert_eq!(oldest, streamed, "the history is what the streams said, and nothing hidden");
        let mut newest = pages(&user, session, "desc").await;
        newest.reverse();
        assert_eq!(newest, oldest);
        let first_page = user.get(&path).await;
        assert_eq!(first_page.data()[0], *oldest.last().unwrap(), "newest first when nothing is said");

        user.get(&format!("{path}?after={}", Uuid::now_v7())).await.fails(404, "ITEM_NOT_FOUND");
        user.say(other, "Hello").await.terminal();
        let foreign =
            user.get(&format!("/api/v1/chatkit/sessions/{other}/items?limit=1")).await.data()[0]["id"].clone();
        user.get(&format!("{path}?after={}", foreign.as_str().unwrap())).await.fails(404, "ITEM_NOT_FOUND");
        for (query, names) in
            [("limit=0", "limit"), ("limit=101", "limit"), ("order=up", "order"), ("after=1", "after")]
        {
            let reply = user.get(&format!("{path}?{query}")).await;
            assert!(reply.fails(400, "INVALID_REQUEST").contains(names), "{query}: {}", reply.text);
        }
    }
}
