//! Access to data of other users: each route with an id, with ids of another user, unknown ids, and invalid ids.

use crate::everywhere;
use crate::support::Client;
use crate::support::client::read;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Returns the routes with an id, as the binary lists them: verb and path.
fn routes() -> Vec<(Method, String)> {
    let routes: Vec<_> = threadline_gateway::routes_text()
        .lines()
        .map(|line| {
            let mut words = line.split_whitespace();
            (words.next().unwrap().parse().unwrap(), words.next().unwrap().to_owned())
        })
        // Files of pages are public. `rest::admin` tests who may call the methods of operators.
        .filter(|(_, path): &(Method, String)| path.contains('{') && path.starts_with("/api/"))
        .filter(|(_, path)| !path.starts_with("/api/v1/admin/"))
        .collect();
    assert!(routes.len() >= 12, "{routes:?}");
    routes
}

/// Returns a valid body for each route.
fn body(method: &Method, path: &str) -> Option<Value> {
    match (method.as_str(), path) {
        ("POST", path) if path.ends_with("/runs") => Some(Client::message("Hello")),
        ("POST", path) if path.ends_with("/client-tool-output") => Some(json!({"result": "mine"})),
        ("POST", path) if path.ends_with("/structured-input") => {
            Some(json!({"item_id": Uuid::now_v7(), "input": {"status": "skipped"}}))
        }
        ("POST", path) if path.ends_with("actions") => {
            Some(json!({"action": {"type": "tasks.complete", "payload": {"task_id": Uuid::now_v7()}}}))
        }
        ("POST", path) if path.ends_with("/retry") => Some(json!({"item_id": Uuid::now_v7()})),
        ("POST", path) if path.ends_with("/feedback") => {
            Some(json!({"item_ids": [Uuid::now_v7()], "kind": "positive"}))
        }
        ("PATCH" | "PUT", path) if !path.ends_with("/complete") => Some(json!({"title": "mine now"})),
        _ => None,
    }
}

async fn ask(user: &Client, method: &Method, template: &str, ids: &BTreeMap<&str, String>) -> crate::support::Reply {
    let mut path = template.to_owned();
    for (variable, id) in ids {
        path = path.replace(&format!("{{{variable}}}"), id);
    }
    let request = user.request(method.clone(), &path);
    read(match body(method, template) {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}

fn all(id: impl ToString) -> BTreeMap<&'static str, String> {
    ["session_id", "thread_id", "run_id", "task_id", "attachment_id"].map(|variable| (variable, id.to_string())).into()
}

everywhere! {
    async fn no_user_reaches_data_of_another(setup: Setup) {
        let app = setup.start().await;
        let (ada, eve) = (app.user().await, app.user().await);
        let session = ada.session().await;
        let run = ada.say(session, "Add task: Buy milk").await.run_id();
        let tasks = ada.get("/api/v1/tasks").await.data().clone();
        let before = (ada.history(session).await, tasks.clone(), ada.run(run).await);
        let announced = json!({"name": "a.png", "mime_type": "image/png", "size": 1});
        let attachment = ada.post("/api/v1/chatkit/attachments", &announced).await.data()["id"].as_str().unwrap().to_owned();
        let task = tasks[0]["id"].as_str().unwrap().to_owned();
        let hers: BTreeMap<_, _> = [
            ("session_id", session.to_string()),
            ("thread_id", session.to_string()),
            ("run_id", run.to_string()),
            ("task_id", task),
            ("attachment_id", attachment),
        ]
        .into();

        for (method, path) in routes() {
            let reply = ask(&eve, &method, &path, &hers).await;
            assert_eq!(
                (reply.status, &reply.body["error"]["code"]),
                (403, &json!("FORBIDDEN")),
                "{method} {path}: {}",
                reply.text
            );

            let reply = ask(&eve, &method, &path, &all(Uuid::now_v7())).await;
            let missing = [
                ("{run_id}", "RUN_NOT_FOUND"),
                ("{task_id}", "TASK_NOT_FOUND"),
                ("{session_id}", "SESSION_NOT_FOUND"),
                ("{attachment_id}", "ATTACHMENT_NOT_FOUND"),
            ];
            let code = missing.iter().find(|(variable, _)| path.contains(variable)).unwrap().1;
            assert_eq!(
                (reply.status, &reply.body["error"]["code"]),
                (404, &json!(code)),
                "{method} {path}: {}",
                reply.text
            );

            for bad in ["1", "not-a-uuid", "%00", "0199e0f0-0000-7000-8000-00000000000", "%FF", "..%2F.."] {
                let reply = ask(&eve, &method, &path, &all(bad)).await;
                assert_eq!(
                    (reply.status, &reply.body["error"]["code"]),
                    (400, &json!("INVALID_REQUEST")),
                    "{method} {path} {bad}: {}",
                    reply.text
                );
            }

            let reply = ask(&app.anonymous(), &method, &path, &hers).await;
            assert_eq!((reply.status, &reply.body["error"]["code"]), (401, &json!("UNAUTHORIZED")), "{method} {path}");
        }

        // Cursors are ids too.
        let item = ada.history(session).await["messages"][0]["id"].as_str().unwrap().to_owned();
        let own = eve.session().await;
        eve.get(&format!("/api/v1/chatkit/sessions/{own}/items?after={item}")).await.fails(404, "ITEM_NOT_FOUND");
        eve.get(&format!("/api/v1/chatkit/sessions?after={session}")).await.fails(400, "INVALID_REQUEST");
        assert_eq!(eve.get(&format!("/api/v1/tasks?after={}", hers["task_id"])).await.data(), &json!([]));
        assert_eq!(eve.get("/api/v1/chatkit/sessions").await.body["meta"]["total"], 1);
        assert_eq!(eve.get("/api/v1/tasks").await.data(), &json!([]));
        assert_eq!(
            (ada.history(session).await, ada.get("/api/v1/tasks").await.data().clone(), ada.run(run).await),
            before
        );
    }
}
