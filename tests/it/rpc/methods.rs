//! Every method of the contract, the same calls over every transport.

use super::{Wire, input};
use crate::support::client::PASSWORD;
use crate::support::{Setup, token};
use serde_json::{Value, json};
use uuid::Uuid;

const INVALID: (i64, &str) = (-32602, "INVALID_REQUEST");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts() {
    let app = Setup::new().await.start().await;
    for (name, mut wire) in Wire::all(&app, None).await {
        let email = format!("Ada.{}@Example.com", Uuid::new_v4().simple());
        let credentials = json!({"email": email, "password": PASSWORD});
        let user = wire.ok("auth.register", credentials.clone()).await;
        assert_eq!(user["email"], email.to_lowercase(), "{name}");
        assert_members(&user, &["created_at", "email", "id"]);
        wire.refused("auth.register", credentials.clone(), -32012, "EMAIL_TAKEN").await;
        for bad in [json!({"email": "ada", "password": PASSWORD}), json!({"email": "a@b.de", "password": "short"})] {
            wire.refused("auth.register", bad, INVALID.0, INVALID.1).await;
        }

        let login = wire.ok("auth.login", credentials).await;
        assert_members(&login, &["expires_at", "token", "user"]);
        assert_eq!(login["user"], user);
        assert!(login["expires_at"].as_str().unwrap().ends_with('Z'), "{login}");
        let wrong = json!({"email": email, "password": "not this one"});
        wire.refused("auth.login", wrong, -32002, "INVALID_CREDENTIALS").await;
        let nobody = json!({"email": "nobody@example.com", "password": "not this one"});
        wire.refused("auth.login", nobody, -32002, "INVALID_CREDENTIALS").await;

        wire.refused("auth.me", json!({}), -32001, "UNAUTHORIZED").await;
        let me = wire.ok("auth.me", json!({"_meta": {"auth": login["token"]}})).await;
        assert_eq!(me, user);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversations() {
    let app = Setup::new().await.start().await;
    let stranger = app.user().await;
    for number in 0..4 {
        // A user each, so that each list begins empty.
        let user = app.user().await;
        let (name, mut wire) = Wire::all(&app, user.token.as_deref()).await.into_iter().nth(number).unwrap();
        let empty = wire.ok("threads.create", json!({})).await;
        assert_members(&empty, &["thread"]);
        let thread = &empty["thread"];
        assert_members(
            thread,
            &["created_at", "id", "items", "message_count", "metadata", "status", "title", "updated_at", "user_id"],
        );
        assert_eq!((&thread["title"], &thread["status"]), (&json!("New Chat"), &json!({"type": "active"})), "{name}");
        assert_eq!(thread["user_id"], user.user_id.unwrap().to_string());
        assert_eq!(thread["items"], json!({"data": [], "has_more": false}));

        let begun = wire.ok("threads.create", json!({"input": input("Hello there"), "idempotency_key": "one"})).await;
        let again = wire.ok("threads.create", json!({"input": input("Hello there"), "idempotency_key": "one"})).await;
        assert_eq!((&begun["thread"]["id"], &begun["run"]["id"]), (&again["thread"]["id"], &again["run"]["id"]));
        let id = begun["thread"]["id"].clone();
        let run = ended(&mut wire, &begun["run"]["id"]).await;
        assert_eq!((&run["status"], &run["thread_id"]), (&json!("completed"), &id));
        assert_eq!(wire.ok("runs.cancel", json!({"run_id": run["id"]})).await, run, "cancelling what has ended");

        let whole = wire.ok("threads.get_by_id", json!({"thread_id": id})).await;
        let kinds: Vec<_> =
            whole["items"]["data"].as_array().unwrap().iter().map(|item| item["type"].clone()).collect();
        assert_eq!(kinds, ["user_message", "assistant_message"]);
        assert_eq!((&whole["title"], &whole["message_count"]), (&json!("Hello there"), &json!(2)));
        assert_eq!(whole["items"]["data"][1]["id"], run["message_id"]);

        let newest = wire.ok("items.list", json!({"thread_id": id, "limit": 1})).await;
        assert_eq!(newest["data"], json!([whole["items"]["data"][1]]));
        assert_eq!(newest["has_more"], true);
        let oldest = wire.ok("items.list", json!({"thread_id": id, "limit": 1, "after": newest["after"]})).await;
        assert_eq!(oldest, json!({"data": [whole["items"]["data"][0]], "has_more": false}));

        let first = wire.ok("threads.list", json!({"limit": 1})).await;
        assert_eq!((&first["data"][0]["id"], &first["total"], &first["has_more"]), (&id, &json!(2), &json!(true)));
        let second = wire.ok("threads.list", json!({"limit": 1, "after": first["after"]})).await;
        assert_eq!((&second["data"][0]["id"], &second["has_more"]), (&thread["id"], &json!(false)));
        assert!(second.get("after").is_none());

        let renamed = wire.ok("threads.update", json!({"thread_id": id, "title": " Mine "})).await;
        assert_eq!(renamed["title"], "Mine");
        let words = wire.refused("threads.update", json!({"thread_id": id, "title": " "}), INVALID.0, INVALID.1).await;
        assert!(words.contains("`title`"), "{words}");

        let said = json!({"thread_id": id, "input": input("And now?"), "idempotency_key": "two"});
        let run = wire.ok("threads.add_user_message", said.clone()).await;
        assert_eq!(wire.ok("threads.add_user_message", said).await["id"], run["id"]);
        ended(&mut wire, &run["id"]).await;
        let say = |text: &str| json!({"thread_id": id, "input": input(text)});
        wire.refused("threads.add_user_message", say(" \n"), -32010, "EMPTY_MESSAGE").await;
        let words = wire.refused("threads.add_user_message", say(&"ä".repeat(501)), -32011, "MESSAGE_TOO_LONG").await;
        assert!(words.contains("500"), "{words}");

        let mut other = Wire::Post(stranger.clone());
        for (method, params) in [
            ("threads.get_by_id", json!({"thread_id": id})),
            ("threads.update", json!({"thread_id": id, "title": "Yours"})),
            ("threads.delete", json!({"thread_id": id})),
            ("threads.add_user_message", say("Hello")),
            ("items.list", json!({"thread_id": id})),
            ("runs.get", json!({"run_id": run["id"]})),
            ("runs.cancel", json!({"run_id": run["id"]})),
        ] {
            other.refused(method, params.clone(), -32003, "FORBIDDEN").await;
            let mut missing = params;
            let (key, code) = if method.starts_with("runs") {
                ("run_id", "RUN_NOT_FOUND")
            } else {
                ("thread_id", "THREAD_NOT_FOUND")
            };
            missing[key] = json!(Uuid::now_v7());
            wire.refused(method, missing, -32004, code).await;
        }

        assert_eq!(wire.ok("threads.delete", json!({"thread_id": id})).await, json!({}));
        wire.refused("threads.get_by_id", json!({"thread_id": id}), -32004, "THREAD_NOT_FOUND").await;
        wire.refused("runs.get", json!({"run_id": run["id"]}), -32004, "RUN_NOT_FOUND").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks() {
    let app = Setup::new().await.start().await;
    let stranger = app.user().await;
    for number in 0..4 {
        let user = app.user().await;
        let (_, mut wire) = Wire::all(&app, user.token.as_deref()).await.into_iter().nth(number).unwrap();
        let task = wire
            .ok(
                "tasks.create",
                json!({"title": "Buy milk", "description": "2 l", "priority": "high", "tags": ["shop"]}),
            )
            .await;
        assert_members(
            &task,
            &[
                "completed",
                "completed_at",
                "created_at",
                "description",
                "id",
                "priority",
                "tags",
                "title",
                "updated_at",
                "user_id",
            ],
        );
        assert_eq!(
            (&task["completed"], &task["completed_at"], &task["priority"]),
            (&json!(false), &json!(null), &json!("high"))
        );
        let plain = wire.ok("tasks.create", json!({"title": "Rest"})).await;
        assert_eq!(
            (&plain["priority"], &plain["tags"], &plain["description"]),
            (&json!("medium"), &json!([]), &json!(null))
        );
        let id = json!({"task_id": task["id"]});
        assert_eq!(wire.ok("tasks.get", id.clone()).await, task);
        let changed =
            wire.ok("tasks.update", json!({"task_id": task["id"], "title": "Buy oats", "description": null})).await;
        assert_eq!(
            (&changed["title"], &changed["description"], &changed["priority"]),
            (&json!("Buy oats"), &json!(null), &json!("high"))
        );
        let done = wire.ok("tasks.complete", id.clone()).await;
        assert_eq!(done["completed"], true);
        assert_eq!(wire.ok("tasks.complete", id.clone()).await["completed_at"], done["completed_at"]);
        for (status, expected) in
            [("all", vec!["Rest", "Buy oats"]), ("pending", vec!["Rest"]), ("completed", vec!["Buy oats"])]
        {
            let page = wire.ok("tasks.list", json!({"status": status})).await;
            let titles: Vec<_> = page["data"].as_array().unwrap().iter().map(|task| task["title"].clone()).collect();
            assert_eq!(titles, expected);
        }
        let mut other = Wire::Post(stranger.clone());
        for method in ["tasks.get", "tasks.complete", "tasks.delete", "tasks.update"] {
            other.refused(method, id.clone(), -32003, "FORBIDDEN").await;
        }
        assert_eq!(wire.ok("tasks.delete", id.clone()).await, json!({}));
        for method in ["tasks.get", "tasks.complete", "tasks.delete", "tasks.update"] {
            wire.refused(method, id.clone(), -32004, "TASK_NOT_FOUND").await;
        }
        for (bad, names) in [
            (json!({"title": " "}), "title"),
            (json!({"title": "x".repeat(201)}), "`title`"),
            (json!({"title": "x", "priority": "urgent"}), "`priority`"),
        ] {
            let words = wire.refused("tasks.create", bad, INVALID.0, INVALID.1).await;
            assert!(words.contains(names), "{words}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_about_itself() {
    let app = Setup::new().await.start().await;
    for (name, mut wire) in Wire::all(&app, None).await {
        let health = wire.ok("system.health", json!({})).await;
        assert_eq!(health["status"], "healthy", "{name}");
        assert_members(&health["components"], &["attachments", "db", "openrouter"]);
        assert_eq!(health["components"]["db"]["kind"], "sqlite");
        assert_eq!(health["components"]["openrouter"]["kind"], "demo");
        let db = wire.ok("system.health", json!({"component": "db"})).await;
        assert_members(&db["components"], &["db"]);

        let document = wire.ok("rpc.discover", json!({})).await;
        assert!(document["openrpc"].as_str().unwrap().starts_with("1."), "{}", document["openrpc"]);
        let mut names: Vec<_> =
            document["methods"].as_array().unwrap().iter().map(|method| method["name"].as_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, METHODS, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_valid_token_only_public_methods_answer() {
    let app = Setup::new().await.start().await;
    let public = ["auth.login", "auth.register", "rpc.discover", "system.health", "system.limits"];
    let deleted = token::mint(Uuid::now_v7(), 60);
    let user = app.user().await;
    let expired = token::mint(user.user_id.unwrap(), -1);
    for (_, mut wire) in Wire::all(&app, None).await {
        for method in METHODS.iter().filter(|method| !public.contains(*method)) {
            for auth in [json!(null), json!("nonsense"), json!(deleted), json!(expired)] {
                wire.refused(method, json!({"_meta": {"auth": auth}}), -32001, "UNAUTHORIZED").await;
            }
        }
    }
}

const METHODS: &[&str] = &[
    "admin.agents_file",
    "admin.audit_log",
    "admin.budgets",
    "admin.cancel_run",
    "admin.check_agents_file",
    "admin.create_key",
    "admin.disable_user",
    "admin.enable_user",
    "admin.errors",
    "admin.list_feedback",
    "admin.list_items",
    "admin.list_keys",
    "admin.list_near_budget",
    "admin.list_processes",
    "admin.list_runs",
    "admin.list_threads",
    "admin.list_top_users",
    "admin.list_users",
    "admin.reload_agents_file",
    "admin.revoke_key",
    "admin.set_budget_class",
    "admin.settings",
    "admin.usage",
    "attachments.create",
    "attachments.delete",
    "attachments.read",
    "attachments.write",
    "auth.cancel_client_token",
    "auth.change_password",
    "auth.create_client_token",
    "auth.delete_account",
    "auth.export",
    "auth.login",
    "auth.logout_everywhere",
    "auth.me",
    "auth.register",
    "input.transcribe",
    "items.feedback",
    "items.list",
    "items.list_feedback",
    "rpc.discover",
    "runs.cancel",
    "runs.get",
    "runs.subscribe",
    "system.health",
    "system.limits",
    "tasks.complete",
    "tasks.create",
    "tasks.delete",
    "tasks.get",
    "tasks.list",
    "tasks.update",
    "threads.add_client_tool_output",
    "threads.add_structured_input",
    "threads.add_user_message",
    "threads.create",
    "threads.custom_action",
    "threads.delete",
    "threads.get_by_id",
    "threads.list",
    "threads.retry_after_item",
    "threads.subscribe",
    "threads.sync_custom_action",
    "threads.update",
    "usage.get",
];

/// The run once it has ended.
async fn ended(wire: &mut Wire, run_id: &Value) -> Value {
    loop {
        let run = wire.ok("runs.get", json!({"run_id": run_id})).await;
        if run.get("finished_at").is_some() {
            return run;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[track_caller]
fn assert_members(object: &Value, expected: &[&str]) {
    let mut names: Vec<_> = object.as_object().unwrap_or_else(|| panic!("not an object: {object}")).keys().collect();
    names.sort_unstable();
    assert_eq!(names, expected);
}
