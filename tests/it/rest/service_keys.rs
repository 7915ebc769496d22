//! Service keys: what they may call, whom they may act for, what is recorded of it, and the client tokens that they
//! create.

use super::registration::command;
use crate::support::{App, Client, eventually};
use crate::{everywhere, serve_and_split};
use futures::StreamExt;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use uuid::Uuid;

const ME: &str = "/api/v1/auth/me";
const CLIENT_TOKENS: &str = "/api/v1/auth/client-tokens";
const USER: &str = "x-threadline-user";

/// Creates a key. Returns a client that uses it.
async fn key(app: &App, name: &str, arguments: &[&str]) -> Client {
    let printed = command(app, &[&["key", "create", name], arguments].concat()).await;
    let key = printed.lines().next().unwrap();
    assert!(key.starts_with("tl_") && key.len() == 46, "{printed}");
    app.anonymous().with_token(key)
}

/// Requests a path for a user.
async fn get_for(client: &Client, user: &str, path: &str) -> crate::support::Reply {
    crate::support::client::read(client.request(reqwest::Method::GET, path).header(USER, user)).await
}

/// Calls a method for a user.
async fn call_for(client: &Client, user: &str, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({"user": user});
    client.rpc(method, params).await
}

fn code(answer: &Value) -> &str {
    answer["error"]["data"]["code"].as_str().unwrap_or_default()
}

everywhere! {
    async fn a_service_acts_for_the_users_of_its_key_and_each_call_is_recorded(setup: Setup) {
        let app = setup.start().await;
        let (ada, bob) = (app.user().await, app.user().await);
        let [ada_id, bob_id] = [&ada, &bob].map(|user| user.user_id.unwrap().to_string());
        let users = format!("{ada_id},https://idp.example|*");
        let service = key(&app, "shop", &["--methods", "threads.*,auth.me,items.*", "--users", &users]).await;

        // REST, RPC over HTTP, a batch, and a socket that many users share.
        assert_eq!(get_for(&service, &ada_id, ME).await.data()["id"], json!(ada.user_id));
        assert_eq!(call_for(&service, &ada_id, "auth.me", json!({})).await["result"]["id"], json!(ada.user_id));
        let created = call_for(&service, &ada_id, "threads.create", json!({})).await;
        let session = created["result"]["thread"]["id"].as_str().unwrap_or_else(|| panic!("{created}")).to_owned();
        assert_eq!(ada.get(&format!("/api/v1/chatkit/sessions/{session}")).await.status, 200);
        let entry = |user: &str| json!({"jsonrpc": "2.0", "id": 1, "method": "auth.me", "params": {"_meta": {"user": user}}});
        let batch = service.rpc_raw(json!([entry(&ada_id), entry(&bob_id)]).to_string()).await.body;
        assert_eq!(batch[0]["result"]["id"], json!(ada.user_id), "{batch}");
        assert_eq!(code(&batch[1]), "FORBIDDEN", "{batch}");
        let mut socket = service.socket().await;
        let foreign = "https://idp.example|user|7 ü";
        let me = socket.call("auth.me", json!({"_meta": {"user": foreign}})).await;
        let foreign_id: Uuid = me["result"]["id"].as_str().unwrap_or_else(|| panic!("{me}")).parse().unwrap();
        assert_eq!(get_for(&service, foreign, ME).await.data()["id"], json!(foreign_id), "made once");
        assert_eq!(get_for(&service, &foreign_id.to_string(), ME).await.status, 200, "by id, as one of the provider");

        // Not for others, not more than its scope, and not without a user.
        get_for(&service, &bob_id, ME).await.fails(403, "FORBIDDEN");
        get_for(&service, &Uuid::now_v7().to_string(), ME).await.fails(403, "FORBIDDEN");
        get_for(&service, "https://other.example|x", ME).await.fails(403, "FORBIDDEN");
        get_for(&service, "nobody", ME).await.fails(400, "INVALID_REQUEST");
        let message = get_for(&service, &ada_id, "/api/v1/tasks").await.fails(403, "FORBIDDEN").to_owned();
        assert!(message.contains("tasks.list"), "{message}");
        let message = service.get(ME).await.fails(400, "INVALID_REQUEST").to_owned();
        assert!(message.contains("X-Threadline-User"), "{message}");
        // A user cannot act for another, and an unknown key is nothing.
        get_for(&ada, &bob_id, ME).await.fails(403, "FORBIDDEN");
        assert_eq!(get_for(&ada, &ada_id, ME).await.status, 200);
        assert_eq!(code(&call_for(&ada, &bob_id, "auth.me", json!({})).await), "FORBIDDEN");
        let unknown = app.anonymous().with_token("tl_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        get_for(&unknown, &ada_id, ME).await.fails(401, "UNAUTHORIZED");

        let database = &app.database;
        let of_user = |id: &str| if database.is_postgres() { format!("'{id}'") } else { format!("X'{}'", id.replace('-', "")) };
        let count = |filter: String| async move {
            database.count(&format!("SELECT COUNT(*) AS rows FROM audit_log WHERE {filter}")).await
        };
        let for_ada = format!("user_id = {} AND actor = 'key:shop'", of_user(&ada_id));
        assert_eq!(count(format!("{for_ada} AND action = 'auth.me' AND outcome = 'allowed'")).await, 3);
        assert_eq!(count(format!("{for_ada} AND action = 'threads.create' AND outcome = 'allowed'")).await, 1);
        assert_eq!(count(format!("{for_ada} AND action = 'tasks.list' AND outcome = 'FORBIDDEN'")).await, 1);
        // It is known for whom a refused call was; the id of a user that does not exist is not kept.
        let for_bob = format!("user_id = {} AND actor = 'key:shop'", of_user(&bob_id));
        assert_eq!(count(format!("{for_bob} AND action = 'auth.me' AND outcome = 'FORBIDDEN'")).await, 2);
        assert_eq!(count("outcome = 'FORBIDDEN' AND user_id IS NULL".to_owned()).await, 2);
        let log = command(&app, &["key", "audit"]).await;
        assert!(log.contains("key:shop") && log.contains("threads.create") && !log.contains("tl_"), "{log}");
        let listed = command(&app, &["key", "list"]).await;
        assert!(listed.contains("\"shop\"") && listed.contains(" used ") && !listed.contains("tl_"), "{listed}");
    }

    async fn a_call_that_is_refused_makes_no_account(setup: Setup) {
        let app = setup.start().await;
        let users = || app.database.count("SELECT COUNT(*) AS rows FROM users");
        let scope = ["--methods", "threads.*,admin.*", "--users", "https://a.example|*"];
        let service = key(&app, "shop", &[&scope[..], &["--requests-per-minute", "5"]].concat()).await;
        // Outside of the scope, by a method that does not exist, by one that needs no user, and by one for operators.
        get_for(&service, "https://a.example|1", "/api/v1/tasks").await.fails(403, "FORBIDDEN");
        assert_eq!(code(&call_for(&service, "https://a.example|2", "no.such", json!({})).await), "METHOD_NOT_FOUND");
        let login = json!({"email": "ada@example.com", "password": "not the password"});
        assert_eq!(code(&call_for(&service, "https://a.example|3", "auth.login", login).await), "INVALID_CREDENTIALS");
        assert_eq!(code(&call_for(&service, "https://a.example|4", "admin.list_users", json!({})).await), "FORBIDDEN");
        assert_eq!(users().await, 0);
        assert!(call_for(&service, "https://a.example|5", "threads.list", json!({})).await["result"].is_object());
        assert_eq!(users().await, 1);
        // Beyond the rate of the key.
        for number in 6..20 {
            let answer = call_for(&service, &format!("https://a.example|{number}"), "threads.list", json!({})).await;
            assert!(["", "RATE_LIMITED"].contains(&code(&answer)), "{answer}");
        }
        assert!(users().await <= 3, "{} accounts", users().await);
    }

    async fn the_names_of_an_issuer_and_a_subject_have_a_length(setup: Setup) {
        let app = setup.start().await;
        let service = key(&app, "shop", &["--methods", "auth.me", "--users", "*"]).await;
        // Not the same letter again and again: PostgreSQL packs that.
        let name = |bytes: usize| -> String {
            let text: String = (0..=bytes / 32).map(|_| Uuid::new_v4().simple().to_string()).collect();
            text[..bytes].to_owned()
        };
        let longest = format!("https://{}|{}", name(992), name(255));
        assert_eq!(get_for(&service, &longest, ME).await.status, 200);
        let issuers = [993, 3_000].map(|bytes| format!("https://{}|x", name(bytes)));
        for too_long in issuers.into_iter().chain([format!("https://i.example|{}", name(256))]) {
            get_for(&service, &too_long, ME).await.fails(400, "INVALID_REQUEST");
        }
    }

    async fn a_revoked_key_ends_its_calls_its_tokens_and_their_streams(setup: Setup) {
        let app = setup.start().await;
        let ada = app.user().await;
        let ada_id = ada.user_id.unwrap().to_string();
        let service = key(&app, "shop", &["--methods", "*", "--users", "*"]).await;
        let created = service.post(CLIENT_TOKENS, &json!({"user": ada_id, "expires_in": 60})).await;
        let page = app.anonymous().with_token(created.data()["token"].as_str().unwrap());
        let session = page.session().await;
        let of_page = page.follow_session(session, "", None).await.expect("a stream");
        let request = service.request(reqwest::Method::GET, &format!("/api/v1/chatkit/sessions/{session}/events"));
        let of_service = crate::support::Sse::open(request.header(USER, &ada_id)).await.expect("a stream");

        command(&app, &["key", "revoke", "shop"]).await;
        let revoked = Instant::now();
        for stream in [of_page, of_service] {
            let stream = stream.finish().await;
            assert_eq!(stream.events.last().unwrap().1["type"], "error", "{:?}", stream.types());
        }
        assert!(revoked.elapsed() < Duration::from_secs(2), "{:?}", revoked.elapsed());
        page.get(ME).await.fails(401, "UNAUTHORIZED");
        get_for(&service, &ada_id, ME).await.fails(401, "UNAUTHORIZED");
        assert_eq!(ada.get(ME).await.status, 200, "the user's own tokens are not of the key");
    }

    async fn a_client_token_has_a_part_of_the_rights_and_can_be_cancelled(setup: Setup) {
        let app = setup.start().await;
        let (ada, bob) = (app.user().await, app.user().await);
        let ada_id = ada.user_id.unwrap().to_string();
        let service = key(&app, "shop", &["--methods", "threads.*,auth.*,items.*", "--users", &ada_id]).await;
        let create = |params: Value| {
            let service = service.clone();
            async move { service.post(CLIENT_TOKENS, &params).await }
        };
        create(json!({"user": bob.user_id, "scopes": ["auth.me"]})).await.fails(403, "FORBIDDEN");
        create(json!({"scopes": ["auth.me"]})).await.fails(400, "INVALID_REQUEST");
        create(json!({"user": ada_id, "scopes": ["tasks.*"]})).await.fails(403, "FORBIDDEN");
        create(json!({"user": ada_id, "scopes": ["no.such"]})).await.fails(400, "INVALID_REQUEST");
        create(json!({"user": ada_id, "scopes": ["auth.me"], "expires_in": 3601})).await.fails(400, "INVALID_REQUEST");
        create(json!({"user": ada_id, "scopes": ["auth.me"], "agent": "nobody"})).await.fails(400, "INVALID_REQUEST");

        let scopes = json!(["threads.*", "items.*", "auth.me", "auth.cancel_client_token", "auth.create_client_token"]);
        let created = create(json!({"user": ada_id, "scopes": scopes, "agent": "default"})).await;
        assert_eq!((created.status, &created.data()["user_id"], &created.data()["scopes"]), (201, &json!(ada_id), &scopes));
        let token = created.data()["token"].as_str().unwrap().to_owned();
        let page = app.anonymous().with_token(token.as_str());
        assert_eq!(page.get(ME).await.data()["id"], json!(ada.user_id));
        page.get("/api/v1/tasks").await.fails(403, "FORBIDDEN");
        assert_eq!(code(&page.rpc("tasks.list", json!({})).await), "FORBIDDEN");
        page.post("/api/v1/auth/change-password", &json!({"current_password": "x", "new_password": "y"})).await.fails(403, "FORBIDDEN");
        page.post(CLIENT_TOKENS, &json!({"scopes": ["auth.me"]})).await.fails(403, "FORBIDDEN");
        assert_eq!(page.post("/api/v1/chatkit/sessions", &json!({"agent": "default"})).await.status, 200);
        page.post("/api/v1/chatkit/sessions", &json!({"agent": "other"})).await.fails(403, "FORBIDDEN");

        // Without `scopes` it has what a page needs, as far as the key has it.
        let created = create(json!({"user": ada_id})).await;
        assert_eq!(created.data()["scopes"], json!(["threads.*", "items.*", "auth.me", "auth.cancel_client_token"]));
        for (name, methods, wanted) in [
            ("all", "*", json!(["threads.*", "items.*", "runs.*", "attachments.*", "input.*", "auth.me", "auth.cancel_client_token"])),
            ("some", "threads.create,runs.*,auth.create_client_token", json!(["threads.create", "runs.*"])),
        ] {
            let created = key(&app, name, &["--methods", methods, "--users", "*"]).await.post(CLIENT_TOKENS, &json!({"user": ada_id})).await;
            assert_eq!((created.status, &created.data()["scopes"]), (201, &wanted), "{methods}");
        }
        let tasks = key(&app, "tasks", &["--methods", "tasks.*,auth.create_client_token", "--users", "*"]).await;
        let refused = tasks.post(CLIENT_TOKENS, &json!({"user": ada_id})).await;
        assert!(refused.fails(403, "FORBIDDEN").contains("Send `scopes`"), "{}", refused.text);

        // A user makes one for a page of its own, and cancels both.
        let own = ada.post(CLIENT_TOKENS, &json!({"scopes": ["auth.me", "auth.cancel_client_token"]})).await;
        let own = app.anonymous().with_token(own.data()["token"].as_str().unwrap());
        assert_eq!(own.get(ME).await.status, 200);
        bob.post("/api/v1/auth/client-tokens/cancel", &json!({"client_token": token})).await.fails(400, "INVALID_REQUEST");
        ada.post("/api/v1/auth/client-tokens/cancel", &json!({})).await.fails(400, "INVALID_REQUEST");
        assert_eq!(ada.post("/api/v1/auth/client-tokens/cancel", &json!({"client_token": token})).await.status, 200);
        assert_eq!(own.post("/api/v1/auth/client-tokens/cancel", &json!({})).await.status, 200);
        for client in [&page, &own] {
            client.get(ME).await.fails(401, "UNAUTHORIZED");
        }
        assert_eq!(ada.get(ME).await.status, 200);

        // After a restart it is still cancelled.
        let app = app.crash_and_restart().await;
        page.at(&app).get(ME).await.fails(401, "UNAUTHORIZED");
    }
}

serve_and_split! {
    async fn a_key_has_a_limit_and_an_end_of_its_own(setup: Setup) {
        let app = setup.start().await;
        let ada = app.user().await;
        let ada_id = ada.user_id.unwrap().to_string();
        let arguments = ["--methods", "auth.me", "--users", "*", "--requests-per-minute", "2", "--expires-days", "1"];
        let service = key(&app, "slow", &arguments).await;
        for _ in 0..2 {
            assert_eq!(get_for(&service, &ada_id, ME).await.status, 200);
        }
        let refused = get_for(&service, &ada_id, ME).await;
        assert!(refused.fails(429, "RATE_LIMITED").contains("this key"), "{}", refused.text);
        assert_eq!(ada.get(ME).await.status, 200);

        let other = key(&app, "other", &["--methods", "auth.me", "--users", "*"]).await;
        assert_eq!(get_for(&other, &ada_id, ME).await.status, 200);
        app.database.batch("UPDATE service_keys SET expires_at = 1 WHERE name = 'other'").await;
        // Whoever changes a key records it; this test does not, so the key may be remembered for a minute.
        let subject = "INSERT INTO access_changes SELECT id, id, created_at + 600000000 FROM service_keys WHERE name = 'other'";
        app.database.batch(subject).await;
        eventually("the key has expired", || async {
            (get_for(&other, &ada_id, ME).await.status == 401).then_some(())
        })
        .await;
    }

    async fn invented_keys_of_one_address_lock_nobody_else_out(setup: Setup) {
        let app = setup.with("TRUSTED_PROXIES", "127.0.0.0/8").start().await;
        let ada_id = app.user().await.user_id.unwrap().to_string();
        let service = key(&app, "shop", &["--methods", "auth.me", "--users", "*"]).await;
        let anybody = app.anonymous();
        let invent = |number: usize| {
            let request = anybody.with_token(format!("tl_{number:043}")).request(reqwest::Method::GET, ME);
            crate::support::client::read(request.header("x-forwarded-for", "203.0.113.7"))
        };
        let refused = futures::stream::iter(0..1_000).map(invent).buffer_unordered(50);
        let refused = refused.filter(|reply| std::future::ready(reply.status == 429)).take(20);
        let refused: Vec<_> = refused.collect().await;
        assert!(refused.len() == 20 && refused[0].text.contains("unknown keys"), "{} refusals", refused.len());
        // The key of a service at another address was never used, so it must be looked up.
        let first = |_| {
            let request = service.request(reqwest::Method::GET, ME).header(USER, &ada_id);
            crate::support::client::read(request.header("x-forwarded-for", "203.0.113.8"))
        };
        for reply in futures::future::join_all((0..20).map(first)).await {
            assert_eq!(reply.status, 200, "{}", reply.text);
        }
    }

    async fn a_key_that_expires_ends_its_streams_and_its_client_tokens(setup: Setup) {
        let app = setup.start().await;
        let ada_id = app.user().await.user_id.unwrap().to_string();
        let service = key(&app, "short", &["--methods", "*", "--users", "*", "--expires-days", "1"]).await;
        let valid = Duration::from_secs(8);
        let expires_at = (chrono::Utc::now() + valid).timestamp_micros();
        let began = Instant::now();
        app.database.batch(&format!("UPDATE service_keys SET expires_at = {expires_at} WHERE name = 'short'")).await;

        let created = service.post(CLIENT_TOKENS, &json!({"user": ada_id, "expires_in": 600})).await;
        let ends: chrono::DateTime<chrono::Utc> = created.data()["expires_at"].as_str().unwrap().parse().unwrap();
        assert!(ends.timestamp_micros() <= expires_at, "a client token outlives its key: {ends}");
        let page = app.anonymous().with_token(created.data()["token"].as_str().unwrap());
        let session = page.session().await;
        let of_page = page.follow_session(session, "", None).await.expect("a stream");
        let request = service.request(reqwest::Method::GET, &format!("/api/v1/chatkit/sessions/{session}/events"));
        let of_service = crate::support::Sse::open(request.header(USER, &ada_id)).await.expect("a stream");
        let mut socket = service.socket().await;
        let thread = json!({"thread_id": session, "_meta": {"user": ada_id}});
        socket.ok("threads.subscribe", thread).await;

        for stream in [of_page, of_service] {
            let stream = stream.finish().await;
            assert_eq!(stream.events.last().unwrap().1["type"], "error", "{:?}", stream.types());
        }
        loop {
            let message = socket.receive().await.expect("the socket itself stays open");
            if message["params"].get("error").is_some() {
                break;
            }
        }
        assert!(began.elapsed() < valid + Duration::from_secs(2), "{:?}", began.elapsed());
        page.get(ME).await.fails(401, "UNAUTHORIZED");
        get_for(&service, &ada_id, ME).await.fails(401, "UNAUTHORIZED");
    }
}
