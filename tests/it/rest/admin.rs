//! `/api/v1/admin`: the console of operators. Who may use it, over every transport, and what it says and changes.

use super::registration::command;
use crate::agents::file::AgentsFile;
use crate::support::client::{PASSWORD, read};
use crate::support::{App, Client, Gate, Script, Setup, Upstream, eventually};
use crate::{everywhere, serve_and_split};
use serde_json::{Value, json};

const USERS: &str = "/api/v1/admin/users";
const RUNS: &str = "/api/v1/admin/runs";
const LISTS: [&str; 13] = [
    "agents-file",
    "users",
    "runs",
    "usage",
    "usage/users",
    "budgets",
    "budgets/users",
    "feedback",
    "errors",
    "processes",
    "keys",
    "audit-log",
    "settings",
];
const AGENTS: &str = r#"
default = "helper"
[agents.helper]
model = "test-model"
[agents.other]
model = "dear-model"
[models.test-model]
input_per_million = 1.0
output_per_million = 1.0
[models.dear-model]
input_per_million = 10.0
output_per_million = 10.0
[budget_classes.gold]
user_budget_tokens_per_day = 100000
"#;

/// Registers a user with roles.
pub async fn with_roles(app: &App, roles: &[&str]) -> Client {
    let user = app.user().await;
    for role in roles {
        command(app, &["user", "give-role", &user.email, "--role", role]).await;
    }
    user
}

fn code(answer: &Value) -> &str {
    answer["error"]["data"]["code"].as_str().unwrap_or_default()
}

everywhere! {
    async fn only_operators_are_answered(setup: Setup) {
        let app = setup.start().await;
        let (admin, ada) = (with_roles(&app, &["admin"]).await, app.user().await);
        let (admin_id, ada_id) = (admin.user_id.unwrap().to_string(), ada.user_id.unwrap().to_string());
        for list in LISTS {
            let path = format!("/api/v1/admin/{list}");
            assert_eq!(admin.get(&path).await.status, 200, "{list}");
            let message = ada.get(&path).await.fails(403, "FORBIDDEN").to_owned();
            assert!(message.contains("role `admin`"), "{message}");
            app.anonymous().get(&path).await.fails(401, "UNAUTHORIZED");
        }
        ada.post(&format!("{USERS}/{admin_id}/disable"), &json!({})).await.fails(403, "FORBIDDEN");

        // Each entry of a batch, and each call of a socket, by itself.
        let entry = |id: u32, method: &str, params: Value| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let disable = json!({"user_id": admin_id});
        let batch = json!([entry(1, "auth.me", json!({})), entry(2, "admin.usage", json!({})), entry(3, "admin.disable_user", disable)]);
        let answers = ada.rpc_raw(batch.to_string()).await.body;
        assert_eq!((code(&answers[0]), code(&answers[1]), code(&answers[2])), ("", "FORBIDDEN", "FORBIDDEN"), "{answers}");
        assert_eq!(code(&ada.socket().await.call("admin.settings", json!({})).await), "FORBIDDEN");
        assert!(admin.socket().await.call("admin.settings", json!({})).await["result"]["settings"].is_array());
        assert_eq!(admin.get("/api/v1/auth/me").await.status, 200, "nobody was disabled");

        // A key needs the scope and a user with the role. `*` is not the scope.
        let key = async |name: &str, methods: &str| {
            let printed = command(&app, &["key", "create", name, "--methods", methods, "--users", "*"]).await;
            app.anonymous().with_token(printed.lines().next().unwrap())
        };
        let (all, console) = (key("all", "*").await, key("console", "admin.*,auth.*").await);
        let get_for = async |client: &Client, user: &str, path: &str| {
            read(client.request(reqwest::Method::GET, path).header("x-threadline-user", user)).await
        };
        get_for(&all, &admin_id, USERS).await.fails(403, "FORBIDDEN");
        get_for(&console, &ada_id, USERS).await.fails(403, "FORBIDDEN");
        console.get(USERS).await.fails(400, "INVALID_REQUEST");
        assert_eq!(get_for(&console, &admin_id, USERS).await.status, 200);
        let token = admin.rpc_ok("auth.create_client_token", json!({"scopes": ["*"]})).await["token"].as_str().unwrap().to_owned();
        app.anonymous().with_token(token).get(USERS).await.fails(403, "FORBIDDEN");

        command(&app, &["user", "take-role", &admin.email, "--role", "admin"]).await;
        admin.get(USERS).await.fails(403, "FORBIDDEN");
    }

    async fn users_are_found_disabled_and_enabled(setup: Setup) {
        let app = setup.start().await;
        let admin = with_roles(&app, &["admin"]).await;
        let names = ["Zoe.A", "zoe.b", "zoe.c", "zof"].map(|name| format!("{name}@example.com"));
        for email in &names {
            app.anonymous().post("/api/v1/auth/register", &json!({"email": email, "password": PASSWORD})).await.data();
        }
        // Page by page: the newest first, or in the order of the addresses.
        for (query, wanted) in [
            ("", vec!["zof", "zoe.c", "zoe.b", "zoe.a"]),
            ("email_prefix=ZOE.&", vec!["zoe.a", "zoe.b", "zoe.c"]),
            ("email_prefix=zof&", vec!["zof"]),
            ("email_prefix=zoe_&", vec![]),
        ] {
            let (mut found, mut after) = (Vec::new(), String::new());
            loop {
                let page = admin.get(&format!("{USERS}?{query}limit=1{after}")).await;
                found.extend(page.data().as_array().unwrap().iter().map(|user| user["email"].as_str().unwrap().to_owned()));
                let Some(cursor) = page.body["meta"]["after"].as_str() else { break };
                after = format!("&after={cursor}");
            }
            found.retain(|email| email.starts_with("zo"));
            assert_eq!(found, wanted.iter().map(|name| format!("{name}@example.com")).collect::<Vec<_>>(), "{query}");
        }
        let ada = app.user().await;
        let id = ada.user_id.unwrap();
        ada.session().await;
        let found = admin.get(&format!("{USERS}?email_prefix={}", ada.email)).await.data()[0].clone();
        assert_eq!((&found["id"], &found["sessions"], &found["roles"]), (&json!(id), &json!(1), &json!([])));
        assert!(found.get("disabled_at").is_none(), "{found}");

        let disabled = admin.post(&format!("{USERS}/{id}/disable"), &json!({})).await;
        assert!(disabled.data()["disabled_at"].is_string(), "{}", disabled.text);
        ada.get("/api/v1/auth/me").await.fails(401, "UNAUTHORIZED");
        assert!(admin.post(&format!("{USERS}/{id}/enable"), &json!({})).await.data().get("disabled_at").is_none());
        assert_eq!(ada.get("/api/v1/auth/me").await.status, 200);
        let own = admin.user_id.unwrap();
        admin.post(&format!("{USERS}/{own}/disable"), &json!({})).await.fails(400, "INVALID_REQUEST");
        let nobody = uuid::Uuid::now_v7();
        admin.post(&format!("{USERS}/{nobody}/disable"), &json!({})).await.fails(404, "NOT_FOUND");
        for query in ["limit=0", "limit=101", "after=x", "email=a"] {
            admin.get(&format!("{USERS}?{query}")).await.fails(400, "INVALID_REQUEST");
        }

        let log = admin.get(&format!("/api/v1/admin/audit-log?user_id={id}&limit=1")).await;
        let entry = &log.data()[0];
        assert_eq!((&entry["action"], &entry["outcome"]), (&json!("admin.enable_user"), &json!("allowed")), "{entry}");
        assert_eq!(entry["actor"], format!("user:{own}"));
        let after = log.body["meta"]["after"].as_str().expect("another page");
        let older = admin.get(&format!("/api/v1/admin/audit-log?user_id={id}&after={after}")).await;
        assert_eq!(older.data()[0]["action"], "admin.disable_user");
        assert_eq!(older.data().as_array().unwrap().len(), 1);
    }

    async fn live_runs_are_listed_and_cancelled(setup: Setup) {
        let upstream = Upstream::start().await;
        let gate = Gate::closed();
        upstream.queue(Script::stream().words(&["Once"]).stop(&gate).words(&[" upon"]).done("stop"));
        let app = setup.upstream(&upstream).start().await;
        let (admin, ada) = (with_roles(&app, &["admin"]).await, app.user().await);
        assert_eq!(admin.get(RUNS).await.data(), &json!([]));
        let session = ada.session().await;
        let mut stream = ada.start(session, "A secret story").await.unwrap();
        stream.until_said("Once").await;
        let listed = admin.get(RUNS).await;
        let run = &listed.data()[0];
        assert_eq!((&run["id"], &run["thread_id"]), (&json!(stream.run_id()), &json!(session)));
        assert_eq!((&run["email"], &run["agent"], &run["status"]), (&json!(ada.email), &json!("default"), &json!("running")));
        assert!(run["age_ms"].is_u64() && run["lease_owner"].is_string(), "{run}");
        assert!(run["tokens"].as_u64().is_some_and(|tokens| tokens > 1), "the prompt and what is written so far: {run}");
        assert!(!listed.text.contains("secret"), "no content: {}", listed.text);

        let cancelled = admin.post(&format!("{RUNS}/{}/cancel", stream.run_id()), &json!({})).await;
        assert_eq!(cancelled.data(), &json!({"id": stream.run_id(), "status": "cancelled"}));
        eventually("the list is empty", || async { (admin.get(RUNS).await.data() == &json!([])).then_some(()) }).await;
        let nothing = uuid::Uuid::now_v7();
        admin.post(&format!("{RUNS}/{nothing}/cancel"), &json!({})).await.fails(404, "RUN_NOT_FOUND");
        let log = admin.get("/api/v1/admin/audit-log").await;
        assert_eq!((&log.data()[0]["action"], &log.data()[0]["user_id"]), (&json!("admin.cancel_run"), &json!(ada.user_id)));
    }

    async fn usage_and_feedback_of_all_are_told_and_content_needs_its_own_role(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.queue(Script::says(&["Hello"])).queue(Script::says(&["Hello"]));
        let app = setup.upstream(&upstream).start().await;
        let (admin, reader) = (with_roles(&app, &["admin"]).await, with_roles(&app, &["admin", "admin:read_content"]).await);
        let mut items = Vec::new();
        for kind in ["positive", "negative"] {
            let user = app.user().await;
            let session = user.session().await;
            user.say(session, "Hello").await;
            let page = user.rpc_ok("items.list", json!({"thread_id": session, "limit": 1})).await;
            let item = page["data"][0]["id"].clone();
            user.rpc_ok("items.feedback", json!({"thread_id": session, "item_ids": [item], "kind": kind})).await;
            items.push((item, user.user_id.unwrap()));
        }
        let usage = admin.get("/api/v1/admin/usage").await.data().clone();
        let total = json!({"runs": 2, "prompt_tokens": 14, "completion_tokens": 6, "cost_micros": 0, "unpriced_runs": 2});
        assert_eq!(usage["total"], total, "{usage}");
        assert_eq!(usage["days"].as_array().unwrap().iter().map(|day| day["users"].as_u64().unwrap()).max(), Some(2));
        admin.get("/api/v1/admin/usage?since=2020-01-01&until=2020-04-10").await.fails(400, "INVALID_REQUEST");

        const FEEDBACK: &str = "/api/v1/admin/feedback";
        let first = admin.get(&format!("{FEEDBACK}?limit=1")).await;
        assert_eq!((&first.data()[0]["item_id"], &first.data()[0]["kind"]), (&items[1].0, &json!("negative")));
        let after = first.body["meta"]["after"].as_str().expect("another page");
        let second = admin.get(&format!("{FEEDBACK}?limit=1&after={after}")).await;
        assert_eq!((&second.data()[0]["item_id"], &second.body["meta"]["has_more"]), (&items[0].0, &json!(false)));
        assert_eq!(admin.get(&format!("{FEEDBACK}?kind=positive")).await.data().as_array().unwrap().len(), 1);
        assert!(first.data()[0].get("item").is_none());

        let with_content = format!("{FEEDBACK}?include_content=true");
        let message = admin.get(&with_content).await.fails(403, "FORBIDDEN").to_owned();
        assert!(message.contains("admin:read_content"), "{message}");
        let read = reader.get(&with_content).await;
        assert_eq!(read.data()[0]["item"]["id"], items[1].0);
        assert!(read.text.contains("Hello"), "{}", read.text);
        reader.get(&format!("{with_content}&limit=21")).await.fails(400, "INVALID_REQUEST");
        for (_, user_id) in items {
            let log = admin.get(&format!("/api/v1/admin/audit-log?user_id={user_id}")).await;
            assert_eq!(log.data()[0]["action"], "admin.list_feedback", "{}", log.text);
        }
    }

    async fn usage_is_told_by_agent_model_and_user(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.queue(Script::says(&["Hello"])).queue(Script::says(&["Hello"]));
        let app = setup.upstream(&upstream).agents(AGENTS).start().await;
        let (admin, ada, bob) = (with_roles(&app, &["admin"]).await, app.user().await, app.user().await);
        ada.say(ada.session().await, "Hello").await;
        let thread = bob.rpc_ok("threads.create", json!({"agent": "other"})).await;
        let thread = thread["thread"]["id"].as_str().or_else(|| thread["id"].as_str()).unwrap().parse().unwrap();
        bob.say(thread, "Hello").await;

        let usage = admin.get("/api/v1/admin/usage").await.data().clone();
        let of = |runs: u64, cost: u64| json!({"runs": runs, "prompt_tokens": 7 * runs, "completion_tokens": 3 * runs, "cost_micros": cost, "unpriced_runs": 0});
        assert_eq!(usage["total"], of(2, 110));
        let named = |name: &str, mut used: Value| {
            used["name"] = json!(name);
            used
        };
        assert_eq!(usage["agents"], json!([named("helper", of(1, 10)), named("other", of(1, 100))]), "{usage}");
        assert_eq!(usage["models"], json!([named("dear-model", of(1, 100)), named("test-model", of(1, 10))]));
        let one = admin.get("/api/v1/admin/usage?agent=other").await.data().clone();
        assert_eq!((&one["total"], &one["models"]), (&of(1, 100), &json!([named("dear-model", of(1, 100))])));
        assert!(one["days"][0].get("users").is_none() && one["agents"] == usage["agents"], "{one}");

        let first = admin.get("/api/v1/admin/usage/users?limit=1").await;
        assert_eq!(first.data()[0], json!({"user_id": bob.user_id, "email": bob.email, "runs": 1, "tokens": 10, "cost_micros": 100, "unpriced_runs": 0}));
        let after = first.body["meta"]["after"].as_str().expect("another page");
        let second = admin.get(&format!("/api/v1/admin/usage/users?limit=1&after={after}")).await;
        assert_eq!((&second.data()[0]["user_id"], &second.body["meta"]["has_more"]), (&json!(ada.user_id), &json!(false)));
        assert_eq!(admin.get("/api/v1/admin/usage/users?month_of=2020-01-31").await.data(), &json!([]));
        for query in ["after=1_2", "after=1_2_x", "month_of=2020-01", "limit=101"] {
            admin.get(&format!("/api/v1/admin/usage/users?{query}")).await.fails(400, "INVALID_REQUEST");
        }
    }

    async fn budgets_are_told_and_who_is_near_them(setup: Setup) {
        let upstream = Upstream::start().await;
        for _ in 0..3 {
            upstream.queue(Script::says(&["Hello"]));
        }
        let setup = setup.upstream(&upstream).agents(AGENTS).with("BUDGET_TOKENS_PER_DAY", 20).with("BUDGET_HOLD_TOKENS", 5);
        let app = setup.with("GLOBAL_BUDGET_TOKENS_PER_DAY", 1_000).start().await;
        let (admin, ada, bob) = (with_roles(&app, &["admin"]).await, app.user().await, app.user().await);
        let bob_id = bob.user_id.unwrap();
        let class = format!("{USERS}/{bob_id}/budget-class");
        let message = admin.put(&class, &json!({"class": "silver"})).await.fails(400, "INVALID_REQUEST").to_owned();
        assert!(message.contains("there are: gold"), "{message}");
        assert_eq!(admin.put(&class, &json!({"class": "gold"})).await.data()["budget_class"], "gold");
        for user in [&ada, &ada, &bob] {
            user.say(user.session().await, "Hello").await;
        }
        let budgets = admin.get("/api/v1/admin/budgets").await.data().clone();
        let all = json!({"scope": "all", "tokens": {"limit": 1_000, "used": 30, "held": 0, "left": 970}});
        assert_eq!(budgets["shared"], json!([all]), "{budgets}");
        assert_eq!(budgets["users"], json!([{"tokens": 20}, {"class": "gold", "tokens": 100_000}]));

        let near = admin.get("/api/v1/admin/budgets/users?limit=1").await;
        assert_eq!((&near.data()[0]["user_id"], &near.data()[0]["percent"]), (&json!(ada.user_id), &json!(100)), "{}", near.text);
        assert_eq!(near.data()[0]["tokens"], json!({"limit": 20, "used": 20, "held": 0, "left": 0}));
        assert_eq!(near.data().as_array().unwrap().len(), 1, "10 of 100,000 tokens are not near");
        admin.get("/api/v1/admin/budgets/users?percent=0").await.fails(400, "INVALID_REQUEST");
        assert!(admin.put(&class, &json!({})).await.data().get("budget_class").is_none());
        let log = admin.get(&format!("/api/v1/admin/audit-log?user_id={bob_id}")).await;
        assert_eq!(log.data()[0]["action"], "admin.set_budget_class");
    }

    async fn failures_and_processes_are_told(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.queue(Script::fails(401, &json!({"error": "no"}))).queue(Script::fails(401, &json!({"error": "no"})));
        let app = setup.upstream(&upstream).start().await;
        let (admin, ada) = (with_roles(&app, &["admin"]).await, app.user().await);
        let session = ada.session().await;
        for _ in 0..2 {
            ada.say_in_vain(session, "Hello").await;
        }
        let errors = eventually("failures are written", || async {
            let errors = admin.get("/api/v1/admin/errors").await.data().clone();
            (errors["errors"][0]["count"] == 2).then_some(errors)
        })
        .await;
        let failed = &errors["errors"][0];
        assert_eq!((&failed["kind"], &failed["name"]), (&json!("model"), &json!("test-model")), "{errors}");
        assert!(failed["code"].is_string() && errors["hours"].as_array().unwrap().iter().map(|hour| hour["count"].as_u64().unwrap()).sum::<u64>() == 2);
        admin.get("/api/v1/admin/errors?hours=721").await.fails(400, "INVALID_REQUEST");

        let told = eventually("the process has reported", || async {
            let told = admin.get("/api/v1/admin/processes").await.data().clone();
            told["processes"][0]["version"].is_string().then_some(told)
        })
        .await;
        let process = &told["processes"][0];
        assert_eq!((&process["state"], &process["is_this"], &process["live_runs"]), (&json!("live"), &json!(true), &json!(0)));
        for text in ["host", "address", "started_at", "seen_at"] {
            assert!(process[text].as_str().is_some_and(|text| !text.is_empty()), "{text}: {process}");
        }
    }

    async fn the_agents_file_is_shown_checked_and_reloaded(setup: Setup) {
        const PATH: &str = "/api/v1/admin/agents-file";
        const TOOL: &str = r#"
[tools.look]
kind = "http"
url = "http://127.0.0.1:9/look"
description = "Look."
headers = { Authorization = "Bearer sk-secret" }
"#;
        let file = AgentsFile::new(&format!("# a comment\n[agents.one]\n{TOOL}"));
        let app = file.of(setup).start().await;
        let admin = with_roles(&app, &["admin"]).await;
        let shown = admin.get(PATH).await;
        assert_eq!((&shown.data()["path"], &shown.data()["agents"]), (&json!(file.name()), &json!(["one"])));
        let text = shown.data()["text"].as_str().unwrap();
        assert!(text.contains("[tools.look]") && text.contains("(hidden)") && !shown.text.contains("sk-secret"), "{text}");

        let check = async |text: &str| admin.post(&format!("{PATH}/check"), &json!({"text": text})).await.data().clone();
        assert_eq!(check("[agents.a]\n[agents.b]\n[agents]\n").await["is_valid"], false);
        assert_eq!(check("default = \"b\"\n[agents.a]\n[agents.b]\n").await, json!({"is_valid": true, "agents": ["a", "b"]}));
        let wrong = check("[agents.a]\nmax_turns = \"many\"\n").await;
        assert!(wrong["problem"].as_str().unwrap().contains(":2:"), "{wrong}");
        assert_eq!(admin.get(PATH).await.data()["agents"], json!(["one"]), "nothing changes");

        file.write("[agents.two]\n");
        let reloaded = admin.post(&format!("{PATH}/reload"), &json!({})).await;
        assert_eq!(reloaded.data()["default"], "two", "{}", reloaded.text);
        assert!(reloaded.data()["loaded_at"].as_str() > shown.data()["loaded_at"].as_str(), "{}", reloaded.text);
        file.write("[agents.two]\nnonsense = 1\n");
        let message = admin.post(&format!("{PATH}/reload"), &json!({})).await.fails(400, "INVALID_REQUEST").to_owned();
        assert!(message.contains("nonsense") && message.contains(":2:"), "{message}");
        assert_eq!(admin.get(PATH).await.data()["default"], "two");
        let log = admin.get("/api/v1/admin/audit-log").await;
        assert_eq!(log.data()[0]["action"], "admin.reload_agents_file");
    }

    async fn conversations_are_counts_unless_content_may_be_read(setup: Setup) {
        let app = setup.start().await;
        let (admin, reader) = (with_roles(&app, &["admin"]).await, with_roles(&app, &["admin", "admin:read_content"]).await);
        let ada = app.user().await;
        let (first, second) = (ada.session().await, ada.session().await);
        ada.say(first, "A secret").await;
        let id = ada.user_id.unwrap();
        let page = admin.get(&format!("{USERS}/{id}/threads?limit=1")).await;
        assert_eq!((&page.data()[0]["id"], &page.data()[0]["messages"]), (&json!(first), &json!(2)), "{}", page.text);
        assert!(!page.text.contains("secret"), "{}", page.text);
        let after = page.body["meta"]["after"].as_str().expect("another page");
        assert_eq!(admin.get(&format!("{USERS}/{id}/threads?limit=1&after={after}")).await.data()[0]["id"], json!(second));

        let items = format!("/api/v1/admin/threads/{first}/items");
        admin.get(&items).await.fails(403, "FORBIDDEN");
        assert!(reader.get(&items).await.text.contains("A secret"));
        reader.get(&format!("{items}?limit=21")).await.fails(400, "INVALID_REQUEST");
        let nothing = uuid::Uuid::now_v7();
        reader.get(&format!("/api/v1/admin/threads/{nothing}/items")).await.fails(404, "THREAD_NOT_FOUND");
        let log = admin.get(&format!("/api/v1/admin/audit-log?user_id={id}")).await;
        assert_eq!((&log.data()[0]["action"], log.data().as_array().unwrap().len()), (&json!("admin.list_items"), 1));
    }

    async fn keys_are_created_and_revoked(setup: Setup) {
        const KEYS: &str = "/api/v1/admin/keys";
        let app = setup.start().await;
        let (admin, reader) = (with_roles(&app, &["admin"]).await, with_roles(&app, &["admin", "admin:read_content"]).await);
        let ada = app.user().await;
        let ada_id = ada.user_id.unwrap().to_string();
        let new = json!({"name": "shop", "methods": ["threads.*", "auth.*"], "users": ["*"], "expires_days": 3});
        admin.post(KEYS, &new).await.fails(403, "FORBIDDEN");
        for (member, wrong) in [("methods", json!(["nothing.at_all"])), ("users", json!([])), ("expires_days", json!(0)), ("name", json!(""))] {
            let mut bad = new.clone();
            bad[member] = wrong;
            reader.post(KEYS, &bad).await.fails(400, "INVALID_REQUEST");
        }
        let made = reader.post(KEYS, &new).await.data().clone();
        reader.post(KEYS, &new).await.fails(409, "CONFLICT");
        assert!(made["key"]["expires_at"].is_string(), "{made}");
        let shop = app.anonymous().with_token(made["secret"].as_str().unwrap());
        let ask = async || read(shop.request(reqwest::Method::GET, "/api/v1/auth/me").header("x-threadline-user", &ada_id)).await;
        assert_eq!(ask().await.status, 200);

        let token = reader.rpc_ok("auth.create_client_token", json!({"scopes": ["admin.*", "admin:read_content"]})).await;
        let short = app.anonymous().with_token(token["token"].as_str().unwrap());
        short.post(KEYS, &json!({"name": "more", "methods": ["*"], "users": ["*"]})).await.fails(403, "FORBIDDEN");

        let revoke = format!("{KEYS}/{}/revoke", made["key"]["id"].as_str().unwrap());
        assert!(admin.post(&revoke, &json!({})).await.data()["revoked_at"].is_string());
        eventually("the key is refused", || async { (ask().await.status == 401).then_some(()) }).await;
        let nothing = uuid::Uuid::now_v7();
        admin.post(&format!("{KEYS}/{nothing}/revoke"), &json!({})).await.fails(404, "NOT_FOUND");
        let log = admin.get("/api/v1/admin/audit-log").await;
        let actions: Vec<_> = log.data().as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
        assert!(actions.contains(&"admin.create_key") && actions.contains(&"admin.revoke_key"), "{actions:?}");
    }

    async fn keys_and_settings_are_listed_without_secrets(setup: Setup) {
        let app = setup.with("MAX_MESSAGE_CHARS", 321).start().await;
        let admin = with_roles(&app, &["admin"]).await;
        for name in ["one", "two"] {
            command(&app, &["key", "create", name, "--methods", "threads.*", "--users", "*"]).await;
        }
        let first = admin.get("/api/v1/admin/keys?limit=1").await;
        assert_eq!((&first.data()[0]["name"], &first.data()[0]["methods"]), (&json!("two"), &json!(["threads.*"])));
        let after = first.body["meta"]["after"].as_str().expect("another page");
        assert_eq!(admin.get(&format!("/api/v1/admin/keys?after={after}")).await.data()[0]["name"], "one");
        assert!(!first.text.contains("tl_") && !first.text.contains("hash"), "{}", first.text);

        let told = admin.get("/api/v1/admin/settings").await;
        let of = |name: &str| {
            let settings = told.data()["settings"].as_array().unwrap();
            settings.iter().find(|setting| setting["name"] == name).unwrap_or_else(|| panic!("no {name}")).clone()
        };
        assert_eq!((&of("MAX_MESSAGE_CHARS")["value"], &of("MAX_MESSAGE_CHARS")["is_set"]), (&json!("321"), &json!(true)));
        let url = of("DATABASE_URL");
        assert!(url["is_secret"] == true && url["is_set"] == true && url.get("value").is_none(), "{url}");
    }
}

serve_and_split! {
    async fn the_console_is_where_operators_are(setup: Setup) {
        let app = setup.with("OPS_LISTEN", "127.0.0.1:0").start().await;
        let admin = with_roles(&app, &["admin"]).await;
        for path in ["/admin", "/admin/console.js", USERS] {
            admin.get(path).await.fails(404, "NOT_FOUND");
        }
        for process in &app.processes {
            let ops = process.ops.clone().expect("the address of the listener");
            let there = Client::new(&ops.to_string(), &app.rpc, admin.token.clone());
            assert_eq!(there.get(USERS).await.status, 200);
            let page = there.get("/admin").await;
            assert!(page.header("content-security-policy").contains("trusted-types 'none'"), "{:?}", page.headers);
            assert_eq!(there.get("/admin/console.js").await.status, 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_listener_has_no_console() {
    let app = Setup::new().await.with("REST_LISTEN", "0.0.0.0:0").with("REGISTRATION", "open").start().await;
    let port = app.rest.rsplit(':').next().unwrap().to_owned();
    let at = |path: &str| reqwest::get(format!("http://127.0.0.1:{port}{path}"));
    assert_eq!(at("/health").await.unwrap().status(), 200);
    assert_eq!(at("/admin").await.unwrap().status(), 404);
    assert_eq!(at(USERS).await.unwrap().status(), 404);
}
