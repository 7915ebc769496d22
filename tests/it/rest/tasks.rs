//! `/api/v1/tasks`: the to-do list.

use crate::everywhere;
use crate::support::Setup;
use serde_json::{Value, json};

fn titles(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|task| task["title"].as_str().unwrap()).collect()
}

everywhere! {
    async fn a_task_lives(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let created =
            user.post("/api/v1/tasks", &json!({"title": "Buy milk", "priority": "high", "tags": ["home", "🥛"]})).await;
        assert_eq!(created.status, 201);
        let task = created.data().clone();
        assert_eq!(task["user_id"], json!(user.user_id));
        assert_eq!(
            (&task["title"], &task["priority"], &task["tags"]),
            (&json!("Buy milk"), &json!("high"), &json!(["home", "🥛"]))
        );
        assert_eq!(
            (&task["completed"], &task["description"], &task["completed_at"]),
            (&json!(false), &Value::Null, &Value::Null)
        );
        let path = format!("/api/v1/tasks/{}", task["id"].as_str().unwrap());
        assert_eq!(user.get(&path).await.data(), &task);

        // A missing member does not change, null removes.
        let changed = user.put(&path, &json!({"title": "Buy oat milk", "description": "1 l"})).await.data().clone();
        assert_eq!((&changed["title"], &changed["description"]), (&json!("Buy oat milk"), &json!("1 l")));
        assert_eq!((&changed["priority"], &changed["tags"]), (&task["priority"], &task["tags"]));
        assert_eq!(user.put(&path, &json!({"description": null})).await.data()["description"], Value::Null);
        assert_eq!(user.put(&path, &json!({})).await.data()["title"], "Buy oat milk");

        let done = user.patch(&format!("{path}/complete"), &json!({})).await.data().clone();
        assert_eq!(done["completed"], true);
        assert!(done["completed_at"].is_string());
        let again = user.patch(&format!("{path}/complete"), &json!({})).await.data().clone();
        assert_eq!(again, done, "doing it twice changes nothing");
        let undone = user.put(&path, &json!({"completed": false})).await.data().clone();
        assert_eq!((&undone["completed"], &undone["completed_at"]), (&json!(false), &Value::Null));

        let deleted = user.delete(&path).await;
        assert_eq!((deleted.status, &deleted.data()["deleted"]), (200, &json!(true)));
        user.get(&path).await.fails(404, "TASK_NOT_FOUND");
        user.delete(&path).await.fails(404, "TASK_NOT_FOUND");
        user.patch(&format!("{path}/complete"), &json!({})).await.fails(404, "TASK_NOT_FOUND");
        assert_eq!(user.get("/api/v1/tasks").await.data(), &json!([]));
    }

    async fn tasks_are_listed_newest_first_page_by_page(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        for title in ["one", "two", "three", "four", "five"] {
            let task = user.post("/api/v1/tasks", &json!({"title": title})).await.data().clone();
            if ["two", "four"].contains(&title) {
                let path = format!("/api/v1/tasks/{}/complete", task["id"].as_str().unwrap());
                user.patch(&path, &json!({})).await.data();
            }
        }
        assert_eq!(titles(user.get("/api/v1/tasks").await.data()), ["five", "four", "three", "two", "one"]);
        assert_eq!(titles(user.get("/api/v1/tasks?status=completed").await.data()), ["four", "two"]);
        assert_eq!(titles(user.get("/api/v1/tasks?status=pending").await.data()), ["five", "three", "one"]);

        let mut seen = Vec::new();
        let mut path = "/api/v1/tasks?limit=2".to_owned();
        loop {
            let page = user.get(&path).await;
            seen.extend(titles(page.data()).into_iter().map(str::to_owned));
            let meta = &page.body["meta"];
            if meta["has_more"] == false {
                assert_eq!(meta["after"], Value::Null);
                break;
            }
            assert_eq!(page.data().as_array().unwrap().len(), 2);
            path = format!("/api/v1/tasks?limit=2&after={}", meta["after"].as_str().unwrap());
        }
        assert_eq!(seen, ["five", "four", "three", "two", "one"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_task_is_refused_with_the_member() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    for (body, names) in [
        (json!({}), "title"),
        (json!({"title": ""}), "title"),
        (json!({"title": "   "}), "title"),
        (json!({"title": 7}), "title"),
        (json!({"title": null}), "title"),
        (json!({"title": "x".repeat(201)}), "200"),
        (json!({"title": "a\0b"}), "title"),
        (json!({"title": "x", "description": "x".repeat(2001)}), "2000"),
        (json!({"title": "x", "priority": "urgent"}), "priority"),
        (json!({"title": "x", "tags": "home"}), "tags"),
        (json!({"title": "x", "tags": ["y".repeat(51)]}), "tag"),
        (json!({"title": "x", "tags": vec!["y"; 21]}), "20"),
        (json!({"title": "x", "user_id": "0199e0f0-0000-7000-8000-000000000001"}), "user_id"),
    ] {
        let reply = user.post("/api/v1/tasks", &body).await;
        let message = reply.fails(400, "INVALID_REQUEST");
        assert!(message.contains(names), "{body}: {message}");
    }
    for (query, names) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("status=open", "status"),
        ("after=x", "after"),
        ("page=2", "page"),
        ("limit=1&limit=2", "limit"),
        ("status=%ff", "UTF-8"),
    ] {
        let reply = user.get(&format!("/api/v1/tasks?{query}")).await;
        let message = reply.fails(400, "INVALID_REQUEST");
        assert!(message.contains(names), "{query}: {message}");
    }
    assert_eq!(user.get("/api/v1/tasks").await.data(), &json!([]), "nothing of it was stored");
}
