//! `/api/v1/chatkit/sessions/{session_id}/feedback`: feedback of users on items.

use crate::everywhere;
use crate::support::{Client, Setup};
use serde_json::{Value, json};
use uuid::Uuid;

fn path(session: Uuid) -> String {
    format!("/api/v1/chatkit/sessions/{session}/feedback")
}

/// Returns the ids of the visible items, oldest first.
async fn items(user: &Client, session: Uuid) -> Vec<Value> {
    let page = user.get(&format!("/api/v1/chatkit/sessions/{session}/items?order=asc&limit=100")).await;
    page.data().as_array().unwrap().iter().map(|item| item["id"].clone()).collect()
}

/// Returns the user's feedback: item and kind, newest item first.
async fn opinions(user: &Client, session: Uuid) -> Vec<(Value, Value)> {
    let page = user.get(&format!("{}?limit=100", path(session))).await;
    let rows = page.data().as_array().unwrap().iter();
    rows.map(|row| (row["item_id"].clone(), row["kind"].clone())).collect()
}

everywhere! {
    async fn the_last_feedback_on_an_item_counts(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let session = user.session().await;
        user.say(session, "Add task: Buy milk").await.terminal();
        let items = items(&user, session).await;
        let [message, workflow, answer] = [&items[0], &items[1], &items[2]];

        let both = json!({"item_ids": [workflow, answer, answer], "kind": "positive"});
        assert_eq!(user.post(&path(session), &both).await.data(), &json!({}));
        let first = user.get(&path(session)).await.data().clone();
        assert_eq!(opinions(&user, session).await, [(answer.clone(), json!("positive")), (workflow.clone(), json!("positive"))]);
        let given = json!({"thread_id": session, "item_ids": [answer], "kind": "negative"});
        assert_eq!(user.rpc_ok("items.feedback", given).await, json!({}));
        assert_eq!(opinions(&user, session).await, [(answer.clone(), json!("negative")), (workflow.clone(), json!("positive"))]);
        let second = user.get(&path(session)).await.data().clone();
        assert!(second[0]["created_at"].as_str() > first[0]["created_at"].as_str(), "{second}");
        assert_eq!((&second[1], &second[0]["thread_id"]), (&first[1], &json!(session)));

        user.post(&path(session), &json!({"item_ids": [message], "kind": "positive"})).await.data();
        let page = user.get(&format!("{}?limit=2", path(session))).await;
        assert_eq!((page.data().as_array().unwrap().len(), &page.body["meta"]["has_more"]), (2, &json!(true)));
        let after = page.body["meta"]["after"].as_str().unwrap();
        let rest = user.get(&format!("{}?limit=2&after={after}", path(session))).await;
        assert_eq!(rest.data()[0]["item_id"], *message);
        assert_eq!(rest.body["meta"], json!({"has_more": false, "after": null}));

        // It is deleted with the thread.
        user.delete(&format!("/api/v1/chatkit/sessions/{session}")).await.data();
        user.get(&path(session)).await.fails(404, "SESSION_NOT_FOUND");
        let again = user.post(&path(session), &json!({"item_ids": [answer], "kind": "positive"})).await;
        again.fails(404, "SESSION_NOT_FOUND");
    }

    async fn feedback_is_about_items_of_the_session_or_not_stored(setup: Setup) {
        let app = setup.start().await;
        let (user, other) = (app.user().await, app.user().await);
        let (session, elsewhere, others) = (user.session().await, user.session().await, other.session().await);
        for (who, session) in [(&user, session), (&user, elsewhere), (&other, others)] {
            who.say(session, "Add task: Buy milk").await.terminal();
        }
        let answer = items(&user, session).await.pop().unwrap();
        let (own_other, foreign) = (items(&user, elsewhere).await, items(&other, others).await);
        for stranger in [&own_other[0], &foreign[0], &json!(Uuid::now_v7()), &json!(session)] {
            let body = json!({"item_ids": [answer, stranger], "kind": "positive"});
            user.post(&path(session), &body).await.fails(404, "ITEM_NOT_FOUND");
        }
        let mine = json!({"item_ids": [foreign[0]], "kind": "negative"});
        user.post(&path(others), &mine).await.fails(403, "FORBIDDEN");
        user.get(&path(others)).await.fails(403, "FORBIDDEN");
        let many: Vec<_> = (0..101).map(|_| Uuid::now_v7()).collect();
        for bad in [
            json!({"item_ids": [], "kind": "positive"}),
            json!({"item_ids": many, "kind": "positive"}),
            json!({"item_ids": [answer], "kind": "meh"}),
            json!({"item_ids": [answer], "kind": null}),
            json!({"item_ids": answer, "kind": "positive"}),
            json!({"item_ids": ["\u{0}"], "kind": "positive"}),
            json!({"item_ids": [answer]}),
            json!({"kind": "positive"}),
        ] {
            user.post(&path(session), &bad).await.fails(400, "INVALID_REQUEST");
        }
        for query in ["limit=0", "limit=101", "after=1"] {
            user.get(&format!("{}?{query}", path(session))).await.fails(400, "INVALID_REQUEST");
        }
        assert_eq!(opinions(&user, session).await, []);
        assert_eq!(opinions(&other, others).await, []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feedback_is_counted_by_kind() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let session = user.session().await;
    user.say(session, "Add task: Buy milk").await.terminal();
    let items = items(&user, session).await;
    user.post(&path(session), &json!({"item_ids": items, "kind": "positive"})).await.data();
    user.post(&path(session), &json!({"item_ids": items[..1], "kind": "negative"})).await.data();
    let page = app.anonymous().get("/metrics").await.text;
    for (kind, count) in [("positive", items.len()), ("negative", 1)] {
        assert!(page.contains(&format!("threadline_feedback_total{{kind=\"{kind}\"}} {count}\n")), "{page}");
    }
}
