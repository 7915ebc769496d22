//! Consistency: table, methods, schemas, documents and responses match.

use crate::rest::registration::command as operate;
use crate::support::client::read;
use crate::support::process::command;
use crate::support::{App, Client, Reply, Script, Setup, Upstream};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use threadline_schema::{Access, Kind, rpc};

fn printed(argument: &str) -> String {
    let output = command(&[argument]).output().expect("the binary runs");
    assert!(output.status.success(), "{argument}");
    String::from_utf8(output.stdout).unwrap()
}

fn document(argument: &str) -> Value {
    serde_json::from_str(&printed(argument)).unwrap()
}

/// Verb, path and method of each route that the binary prints.
fn routes() -> Vec<(String, String, String)> {
    let routes = printed("routes");
    let rows = routes.lines().map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        (words[0].to_owned(), words[1].to_owned(), words[2].to_owned())
    });
    rows.collect()
}

#[test]
fn the_documents_describe_one_contract() {
    let (openapi, openrpc) = (document("openapi"), document("openrpc"));
    let methods: BTreeSet<&str> =
        openrpc["methods"].as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
    assert_eq!(methods, rpc::all().map(|method| method.name).collect());

    let routes = routes();
    let of_routes: BTreeSet<(String, String)> =
        routes.iter().map(|(verb, path, _)| (verb.to_lowercase(), path.clone())).collect();
    assert_eq!(of_routes.len(), routes.len(), "verb and path name one route");
    let paths = openapi["paths"].as_object().unwrap();
    let of_openapi: BTreeSet<(String, String)> = paths
        .iter()
        .flat_map(|(path, verbs)| verbs.as_object().unwrap().keys().map(|verb| (verb.clone(), path.clone())))
        .collect();
    assert_eq!(of_openapi, of_routes);

    let called: BTreeSet<&str> =
        routes.iter().map(|(_, _, method)| method.as_str()).filter(|method| *method != "-").collect();
    let without_route: Vec<_> = methods.difference(&called).copied().collect();
    assert_eq!(without_route, ["rpc.discover"], "every other method can be reached over REST");
    assert!(called.is_subset(&methods), "{called:?}");

    for (path, verbs) in paths {
        for (verb, operation) in verbs.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().unwrap();
            let told: BTreeSet<&str> =
                parameters.iter().filter(|p| p["in"] == "path").map(|p| p["name"].as_str().unwrap()).collect();
            let variables: BTreeSet<&str> =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(told, variables, "{verb} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documented_methods_and_routes_are_served() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    assert_eq!(user.rpc_ok("rpc.discover", json!({})).await, document("openrpc"));
    for method in rpc::all() {
        if matches!(method.kind, Kind::Subscription { .. }) {
            continue;
        }
        // The method exists whatever the params are, and without a token all methods return the same error.
        let code = user.rpc(method.name, json!({"no such param": 1})).await["error"]["data"]["code"].clone();
        let wanted = if method.access == Access::Admin { "FORBIDDEN" } else { "INVALID_REQUEST" };
        assert_eq!(code, wanted, "{} takes anything, or is for anybody", method.name);
        let anonymous = app.anonymous().rpc(method.name, json!({"no such param": 1})).await;
        let is_for_users = matches!(method.access, Access::User | Access::Signed | Access::Admin);
        let wanted = if is_for_users { "UNAUTHORIZED" } else { "INVALID_REQUEST" };
        assert_eq!(anonymous["error"]["data"]["code"], wanted, "{}", method.name);
    }
    assert_eq!(user.rpc("threads.nothing", json!({})).await["error"]["data"]["code"], "METHOD_NOT_FOUND");

    let id = "0199e0f0-0000-7000-8000-000000000001";
    for (verb, path, _) in routes() {
        let part = |part| match part {
            "{file}" if path.starts_with("/admin/") => "console.js",
            "{file}" if path.starts_with("/docs/api/") => "reference.js",
            "{file}" => "chat.js",
            variable if str::starts_with(variable, "{") => id,
            word => word,
        };
        let at = path.split('/').map(part).collect::<Vec<_>>().join("/");
        let reply = read(user.request(verb.parse().unwrap(), &at)).await;
        let code = reply.body["error"]["code"].as_str().unwrap_or_default();
        assert!(
            !["NOT_FOUND", "METHOD_NOT_ALLOWED", "INTERNAL_ERROR"].contains(&code),
            "{verb} {path}: {}",
            reply.text
        );
    }
}

/// Compares responses with the OpenAPI document.
struct Checked {
    user: Client,
    openapi: Value,
    seen: BTreeMap<(String, String), Vec<u16>>,
}

impl Checked {
    async fn ask(
        &mut self,
        method: Method,
        template: &str,
        ids: &[(&str, &str)],
        query: &str,
        body: Option<Value>,
    ) -> Reply {
        let mut path = template.to_owned();
        for (name, id) in ids {
            path = path.replace(&format!("{{{name}}}"), id);
        }
        let request = self.user.request(method.clone(), &format!("{path}{query}")).header("accept", "application/json");
        let reply = read(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await;
        let operation = &self.openapi["paths"][template][method.as_str().to_lowercase()];
        let mut response = &operation["responses"][reply.status.to_string()];
        assert!(
            response.is_object(),
            "{method} {template} does not say that it answers {}: {}",
            reply.status,
            reply.text
        );
        if let Some(target) = response["$ref"].as_str() {
            response = self.openapi.pointer(target.trim_start_matches('#')).unwrap();
        }
        let schema = &response["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{method} {template} {}: no schema", reply.status);
        self.fits(schema, &reply.body, &format!("{method} {template} {}", reply.status));
        if let Some(code) = reply.body["error"]["code"].as_str() {
            assert!(lists_error(&method, template, code), "docs/REST.md has no {code} at {method} {template}");
        }
        self.seen.entry((method.to_string(), template.to_owned())).or_default().push(reply.status);
        reply
    }

    fn fits(&self, schema: &Value, value: &Value, what: &str) {
        let schema = json!({"allOf": [schema], "components": self.openapi["components"]});
        let validator = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .should_validate_formats(true)
            .build(&schema)
            .unwrap();
        let problems: Vec<_> =
            validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(problems.is_empty(), "{what}: {}\n{value:#}", problems.join("\n"));
    }
}

/// Returns whether the reference of the REST API lists an error of an operation.
fn lists_error(method: &Method, template: &str, code: &str) -> bool {
    let reference = threadline_gateway::rest_markdown();
    let heading = format!("### {method} {template}\n");
    let operation = reference.split_once(&heading).unwrap_or_else(|| panic!("no {heading:?}")).1;
    let operation = operation.split("\n### ").next().unwrap();
    operation.split_once("Errors: ").is_some_and(|(_, codes)| codes.contains(&format!("`{code}`")))
}

/// Asks what operators ask, before and after the user has become one.
async fn ask_console(c: &mut Checked, app: &App, run: &[(&str, &str)], thread: &[(&str, &str)]) {
    const USERS: &str = "/api/v1/admin/users";
    c.ask(Method::GET, USERS, &[], "", None).await;
    for role in ["admin", "admin:read_content"] {
        operate(app, &["user", "give-role", &c.user.email, "--role", role]).await;
    }
    operate(app, &["key", "create", "shop", "--methods", "threads.*", "--users", "*"]).await;
    let other = app.user().await.user_id.unwrap().to_string();
    let (other, nobody) = ([("user_id", other.as_str())], [("user_id", "0199e0f0-0000-7000-8000-000000000001")]);
    for change in ["disable", "enable"] {
        let path = format!("{USERS}/{{user_id}}/{change}");
        c.ask(Method::POST, &path, &other, "", None).await;
        c.ask(Method::POST, &path, &nobody, "", None).await;
    }
    c.ask(Method::POST, "/api/v1/admin/runs/{run_id}/cancel", run, "", None).await;
    let class = format!("{USERS}/{{user_id}}/budget-class");
    for body in [json!({}), json!({"class": "gold"})] {
        c.ask(Method::PUT, &class, &other, "", Some(body)).await;
    }
    c.ask(Method::GET, &format!("{USERS}/{{user_id}}/threads"), &other, "", None).await;
    c.ask(Method::GET, "/api/v1/admin/threads/{thread_id}/items", thread, "", None).await;
    c.ask(Method::POST, "/api/v1/admin/agents-file/reload", &[], "", None).await;
    for text in ["[agents.a]\n", "nonsense"] {
        let path = "/api/v1/admin/agents-file/check";
        c.ask(Method::POST, path, &[], "", Some(json!({"text": text}))).await;
    }
    let key = json!({"name": "made", "methods": ["threads.*"], "users": ["*"]});
    let made = c.ask(Method::POST, "/api/v1/admin/keys", &[], "", Some(key.clone())).await;
    c.ask(Method::POST, "/api/v1/admin/keys", &[], "", Some(key)).await;
    let key = made.data()["key"]["id"].as_str().unwrap().to_owned();
    for id in [key.as_str(), "0199e0f0-0000-7000-8000-000000000001"] {
        c.ask(Method::POST, "/api/v1/admin/keys/{key_id}/revoke", &[("key_id", id)], "", None).await;
    }
    for (list, query) in [
        ("users", "?limit=1"),
        ("users", "?limit=0"),
        ("runs", ""),
        ("usage", ""),
        ("usage/users", ""),
        ("budgets", ""),
        ("budgets/users", ""),
        ("processes", ""),
        ("agents-file", ""),
        ("errors", ""),
        ("feedback", "?include_content=true"),
        ("keys", ""),
        ("audit-log", "?limit=1"),
        ("settings", ""),
    ] {
        c.ask(Method::GET, &format!("/api/v1/admin/{list}"), &[], query, None).await;
    }
}

/// What is refused because of the state of a conversation or of a budget.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_match_the_documents() {
    const CLIENT_TOOL: &str = "[agents.a]\n[[agents.a.client_tools]]\nname = \"look\"\ndescription = \"Look.\"\n";
    const SESSION: &str = "/api/v1/chatkit/sessions/{session_id}";
    const ITEMS: &str = "/api/v1/chatkit/sessions/{session_id}/items";
    const THREAD: &str = "/api/v1/chatkit/sessions/{session_id}/threads/{thread_id}";
    const NO_ID: &str = "0199e0f0-0000-7000-8000-000000000001";
    let upstream = Upstream::start().await;
    upstream
        .queue(Script::calls(&[("ask_user", json!({"questions": [{"question": "Which?"}]}))]))
        .queue(Script::calls(&[("look", json!({}))]));
    let app = Setup::new().await.upstream(&upstream).agents(CLIENT_TOOL).start().await;
    let user = app.user().await;
    let mut sessions = Vec::new();
    for words in ["Ask me", "Look", "Hello"] {
        let session = user.session().await;
        user.say(session, words).await.terminal();
        sessions.push(session.to_string());
    }
    // From now on nothing is left of the budget.
    let setup = app.again().with("BUDGET_TOKENS_PER_DAY", 1);
    drop(app);
    let app = setup.start().await;
    let c = &mut Checked { user: user.at(&app), openapi: document("openapi"), seen: BTreeMap::new() };
    let ids = |index: usize| [("session_id", &*sessions[index]), ("thread_id", &*sessions[index])];
    let newest = c.ask(Method::GET, ITEMS, &ids(0), "?order=desc", None).await.data()[0]["id"].clone();
    let said = c.ask(Method::GET, ITEMS, &ids(2), "?order=asc", None).await.data()[0]["id"].clone();

    let answers = json!({"item_id": newest, "input": {"answers": {"q1": {"values": ["This"]}}}});
    for (session, path, body) in [
        (0, "structured-input", answers),
        (1, "client-tool-output", json!({"result": {"seen": true}})),
        (2, "runs", Client::message("Hello")),
        (2, "retry", json!({"item_id": said})),
    ] {
        let refused = c.ask(Method::POST, &format!("{THREAD}/{path}"), &ids(session), "", Some(body)).await;
        refused.fails(429, "BUDGET_EXCEEDED");
    }
    let mut message = Client::message("Look at this");
    message["message"]["attachments"] = json!([NO_ID]);
    let refused = c.ask(Method::POST, &format!("{THREAD}/runs"), &ids(2), "", Some(message)).await;
    refused.fails(404, "ATTACHMENT_NOT_FOUND");
    let after = format!("?after={NO_ID}");
    c.ask(Method::GET, ITEMS, &ids(2), &after, None).await.fails(404, "ITEM_NOT_FOUND");
    let of_chatkit = [
        ("threads.create", json!({"input": Client::chatkit_input("Hello")})),
        ("threads.add_user_message", json!({"thread_id": sessions[2], "input": Client::chatkit_input("Hello")})),
        ("threads.retry_after_item", json!({"thread_id": sessions[2], "item_id": said})),
    ];
    for (kind, params) in of_chatkit {
        let refused = c.ask(Method::POST, "/chatkit", &[], "", Some(json!({"type": kind, "params": params}))).await;
        refused.fails(429, "BUDGET_EXCEEDED");
    }

    operate(&app, &["thread", "--id", &sessions[2], "--status", "locked"]).await;
    c.ask(Method::PATCH, SESSION, &ids(2), "", Some(json!({"title": "Groceries"}))).await.fails(409, "CONFLICT");
    let click = json!({"action": {"type": "tasks.complete", "payload": {"task_id": NO_ID}}});
    let refused = c.ask(Method::POST, &format!("{THREAD}/sync-actions"), &ids(2), "", Some(click)).await;
    refused.fails(409, "CONFLICT");
    c.ask(Method::DELETE, SESSION, &ids(2), "", None).await.fails(409, "CONFLICT");
    for (kind, title) in [("threads.update", Some("Groceries")), ("threads.delete", None)] {
        let mut params = json!({"thread_id": sessions[2]});
        if let Some(title) = title {
            params["title"] = title.into();
        }
        let refused = c.ask(Method::POST, "/chatkit", &[], "", Some(json!({"type": kind, "params": params}))).await;
        refused.fails(409, "CONFLICT");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_match_the_documents() {
    const CLIENT_TOOL: &str = "[agents.a]\n[[agents.a.client_tools]]\nname = \"look\"\ndescription = \"Look.\"\n";
    const SESSIONS: &str = "/api/v1/chatkit/sessions";
    const SESSION: &str = "/api/v1/chatkit/sessions/{session_id}";
    const RUNS: &str = "/api/v1/chatkit/sessions/{session_id}/threads/{thread_id}/runs";
    const RETRY: &str = "/api/v1/chatkit/sessions/{session_id}/threads/{thread_id}/retry";
    const ITEMS: &str = "/api/v1/chatkit/sessions/{session_id}/items";
    const THREAD: &str = "/api/v1/chatkit/sessions/{session_id}/threads/{thread_id}";
    const TASK: &str = "/api/v1/tasks/{task_id}";
    let upstream = Upstream::start().await;
    upstream
        .queue(Script::calls(&[("add_task", json!({"title": "Milk", "tags": ["a"]}))]))
        .queue(Script::says(&["Done"]));
    upstream.queue(Script::stream().words(&["Half"])).queue(Script::says(&["Done", " again"]));
    upstream
        .queue(Script::calls(&[("ask_user", json!({"questions": [{"question": "Which?"}]}))]))
        .queue(Script::calls(&[("look", json!({}))]))
        .queue(Script::says(&["Seen"]));
    let setup = Setup::new().await.upstream(&upstream).with("AGENT_MAX_ATTEMPTS", 1).agents(CLIENT_TOOL);
    let app = setup.with("TRANSCRIPTION_MODEL", "whisper").start().await;
    let user = app.user().await;
    let email = user.email.clone();
    let mut checked = Checked { user, openapi: document("openapi"), seen: BTreeMap::new() };
    let c = &mut checked;
    let credentials = |email: &str| Some(json!({"email": email, "password": crate::support::client::PASSWORD}));

    c.ask(Method::POST, "/api/v1/auth/register", &[], "", credentials("another@example.com")).await;
    c.ask(Method::POST, "/api/v1/auth/register", &[], "", credentials(&email)).await;
    c.ask(Method::POST, "/api/v1/auth/login", &[], "", credentials(&email)).await;
    c.ask(Method::POST, "/api/v1/auth/login", &[], "", credentials("nobody@example.com")).await;
    c.ask(Method::GET, "/api/v1/auth/me", &[], "", None).await;
    let session = c.ask(Method::POST, SESSIONS, &[], "", None).await.data()["id"].as_str().unwrap().to_owned();
    c.ask(Method::POST, SESSIONS, &[], "", None).await;
    let ids = [("session_id", session.as_str()), ("thread_id", session.as_str())];
    c.ask(Method::POST, "/api/v1/chatkit/sessions/{session_id}/threads", &ids, "", None).await;
    let answer = c.ask(Method::POST, RUNS, &ids, "", Some(Client::message("Milk, please"))).await;
    c.ask(Method::POST, RUNS, &ids, "", Some(Client::message("Fail now"))).await;
    c.ask(Method::POST, RUNS, &ids, "", Some(Client::message(" "))).await;
    let items = c.ask(Method::GET, "/api/v1/chatkit/sessions/{session_id}/items", &ids, "?order=asc", None).await;
    let retry = json!({"item_id": items.data()[3]["id"]});
    c.ask(Method::POST, RETRY, &ids, "", Some(retry)).await;
    c.ask(Method::POST, RETRY, &ids, "", Some(json!({"item_id": items.data()[1]["id"]}))).await;
    c.ask(Method::POST, RUNS, &ids, "", Some(Client::message("Ask me"))).await;
    let items = c.ask(Method::GET, ITEMS, &ids, "", None).await;
    let answers = json!({"item_id": items.data()[0]["id"], "input": {"answers": {"q1": {"values": ["This"]}}}});
    c.ask(Method::POST, &format!("{THREAD}/structured-input"), &ids, "", Some(answers.clone())).await;
    c.ask(Method::POST, &format!("{THREAD}/structured-input"), &ids, "", Some(answers)).await;
    c.ask(Method::GET, ITEMS, &ids, "", None).await;
    for _ in 0..2 {
        let output = json!({"result": {"seen": true}});
        c.ask(Method::POST, &format!("{THREAD}/client-tool-output"), &ids, "", Some(output)).await;
    }
    c.ask(Method::GET, SESSIONS, &[], "?limit=1", None).await;
    c.ask(Method::GET, SESSION, &ids, "", None).await;
    c.ask(Method::GET, SESSION, &ids, "?limit=2", None).await;
    c.ask(Method::GET, SESSION, &[("session_id", "x")], "", None).await;
    c.ask(Method::PATCH, SESSION, &ids, "", Some(json!({"title": "Groceries"}))).await;
    c.ask(Method::GET, "/api/v1/chatkit/sessions/{session_id}/items", &ids, "", None).await;
    let feedback = json!({"item_ids": [answer.data()["id"]], "kind": "positive"});
    c.ask(Method::POST, "/api/v1/chatkit/sessions/{session_id}/feedback", &ids, "", Some(feedback)).await;
    c.ask(Method::GET, "/api/v1/chatkit/sessions/{session_id}/feedback", &ids, "", None).await;
    let run = [("run_id", answer.header("x-run-id"))];
    c.ask(Method::GET, "/api/v1/chatkit/runs/{run_id}", &run, "", None).await;
    c.ask(Method::POST, "/api/v1/chatkit/runs/{run_id}/cancel", &run, "", None).await;
    c.ask(Method::POST, "/api/v1/tasks", &[], "", Some(json!({"title": "Bread"}))).await;
    let tasks = c.ask(Method::GET, "/api/v1/tasks", &[], "", None).await;
    let task = [("task_id", tasks.data()[0]["id"].as_str().unwrap())];
    let click = json!({"action": {"type": "tasks.complete", "payload": {"task_id": task[0].1}}});
    c.ask(Method::POST, &format!("{THREAD}/actions"), &ids, "", Some(click.clone())).await;
    c.ask(Method::POST, &format!("{THREAD}/sync-actions"), &ids, "", Some(click)).await;
    c.ask(Method::GET, TASK, &task, "", None).await;
    c.ask(Method::PUT, TASK, &task, "", Some(json!({"priority": "low", "description": "x"}))).await;
    c.ask(Method::PATCH, "/api/v1/tasks/{task_id}/complete", &task, "", None).await;
    c.ask(Method::DELETE, TASK, &task, "", None).await;
    c.ask(Method::GET, TASK, &task, "", None).await;
    c.ask(Method::GET, "/api/v1/usage", &[], "", None).await;
    c.ask(Method::GET, "/api/v1/usage", &[], "?since=tomorrow", None).await;
    c.ask(Method::GET, "/api/v1/limits", &[], "", None).await;
    ask_console(c, &app, &run, &ids).await;
    for path in ["/health", "/health/db", "/health/openrouter", "/health/all", "/openapi.json", "/"] {
        c.ask(Method::GET, path, &[], "", None).await;
    }

    // Events: the stream contains RunEvents; text has the flat form of REST.
    let events = c.user.follow(answer.header("x-run-id").parse().unwrap(), None).await.unwrap().finish().await;
    let schema = json!({"$ref": "#/components/schemas/RunEvent"});
    for (_, event) in events.events.iter().filter(|(_, event)| event["type"] != "thread.item.content.part.delta") {
        c.fits(&schema, event, "an event");
    }
    let of_session = |kind: &str| Some(json!({"type": kind, "params": {"thread_id": session}}));
    for path in ["/chatkit", "/api/v1/chatkit"] {
        c.ask(Method::POST, path, &[], "", Some(json!({"type": "threads.list", "params": {"limit": 1}}))).await;
        c.ask(Method::POST, path, &[], "", of_session("threads.get_by_id")).await;
        c.ask(Method::POST, path, &[], "", of_session("items.list")).await;
        c.ask(Method::POST, path, &[], "", Some(json!({"type": "threads.burn"}))).await;
    }
    let params = json!({"input": Client::chatkit_input("Hello")});
    let events = c.user.chatkit_stream("threads.create", params).await.unwrap().finish().await;
    let schema = json!({"$ref": "#/components/schemas/StreamEventOfChatKitThread"});
    for (_, event) in &events.events {
        c.fits(&schema, event, "an event of ChatKit's endpoint");
    }
    let followed = c.user.follow_session(session.parse().unwrap(), "?snapshot=true", Some("0")).await.unwrap();
    c.ask(Method::DELETE, SESSION, &ids, "", None).await;
    c.ask(Method::DELETE, SESSION, &ids, "", None).await;
    let followed = followed.finish().await;
    assert!(followed.types().starts_with(&["thread.snapshot"]) && followed.types().ends_with(&["thread.deleted"]));
    let schema = json!({"$ref": "#/components/schemas/ThreadEvent"});
    for (_, event) in followed.events.iter().filter(|(_, event)| event["type"] != "thread.item.content.part.delta") {
        c.fits(&schema, event, "an event of a session");
    }

    for path in
        ["/api/v1/chatkit/attachments/{attachment_id}/content", "/api/v1/chatkit/attachments/{attachment_id}/preview"]
    {
        c.ask(Method::GET, path, &[("attachment_id", "x")], "", None).await;
    }
    let file = json!({"name": "a.txt", "mime_type": "text/plain", "size": 1});
    let announced = c.ask(Method::POST, "/api/v1/chatkit/attachments", &[], "", Some(file)).await;
    c.ask(Method::POST, "/api/v1/chatkit/attachments", &[], "", Some(json!({"name": "a"}))).await;
    let attachment = [("attachment_id", announced.data()["id"].as_str().unwrap())];
    c.ask(Method::PUT, "/api/v1/chatkit/attachments/{attachment_id}/content", &attachment, "", Some(json!(1))).await;
    c.ask(Method::DELETE, "/api/v1/chatkit/attachments/{attachment_id}", &attachment, "", None).await;
    c.ask(Method::DELETE, "/api/v1/chatkit/attachments/{attachment_id}", &attachment, "", None).await;
    upstream.queue(Script::json(&json!({"text": "Buy milk"})));
    let speech = json!({"audio_base64": "AAAA", "mime_type": "audio/webm"});
    c.ask(Method::POST, "/api/v1/chatkit/transcriptions", &[], "", Some(speech)).await;

    let password = crate::support::client::PASSWORD;
    let token = c.ask(Method::POST, "/api/v1/auth/client-tokens", &[], "", Some(json!({"expires_in": 60}))).await;
    c.ask(Method::POST, "/api/v1/auth/client-tokens", &[], "", Some(json!({"expires_in": 0}))).await;
    let token = Some(json!({"client_token": token.data()["token"]}));
    c.ask(Method::POST, "/api/v1/auth/client-tokens/cancel", &[], "", token).await;
    let change = |current: &str| Some(json!({"current_password": current, "new_password": password}));
    c.ask(Method::POST, "/api/v1/auth/change-password", &[], "", change("not the password")).await;
    let changed = c.ask(Method::POST, "/api/v1/auth/change-password", &[], "", change(password)).await;
    c.user = c.user.with_token(changed.data()["token"].as_str().unwrap());
    c.ask(Method::POST, "/api/v1/auth/logout-everywhere", &[], "", None).await;
    c.ask(Method::POST, "/api/v1/auth/logout-everywhere", &[], "", None).await;
    let login = c.ask(Method::POST, "/api/v1/auth/login", &[], "", credentials(&email)).await;
    c.user = c.user.with_token(login.data()["token"].as_str().unwrap());
    c.ask(Method::POST, "/api/v1/auth/delete-account", &[], "", Some(json!({"password": "wrong password"}))).await;
    c.ask(Method::POST, "/api/v1/auth/delete-account", &[], "", Some(json!({"password": password}))).await;

    let streams = ["/api/v1/chatkit/runs/{run_id}/events", "/api/v1/chatkit/sessions/{session_id}/events"];
    let streams = streams.map(|path| ("GET".to_owned(), path.to_owned()));
    let text = [
        "/chat",
        "/chat/{file}",
        "/admin",
        "/admin/{file}",
        "/docs",
        "/docs/api",
        "/docs/api/{file}",
        "/metrics",
        "/api/v1/auth/export",
        "/api/v1/chatkit/attachments/{attachment_id}/content",
        "/api/v1/chatkit/attachments/{attachment_id}/preview",
    ]
    .map(|path| ("GET".to_owned(), path.to_owned()));
    for (verb, path, _) in routes() {
        let route = (verb, path);
        let statuses = checked.seen.get(&route).cloned().unwrap_or_default();
        let excused = streams.contains(&route) || text.contains(&route);
        assert!(
            excused || statuses.iter().any(|status| *status < 300),
            "no good answer of {route:?} was looked at: {statuses:?}"
        );
    }
}
