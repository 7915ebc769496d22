//! `/health`, `/metrics` and the documents.

use crate::support::{Client, Script, Setup, Upstream, eventually};
use crate::{everywhere, serve_and_split};
use serde_json::{Value, json};

everywhere! {
    async fn a_healthy_service_is_healthy(setup: Setup) {
        let kind = if setup.database.is_postgres() { "postgresql" } else { "sqlite" };
        let app = setup.start().await;
        let anybody = app.anonymous();
        let alive = anybody.get("/health").await;
        assert_eq!((alive.status, &alive.body["status"]), (200, &json!("healthy")));
        for (path, parts) in [
            ("/health/db", vec!["db"]),
            ("/health/openrouter", vec!["openrouter"]),
            ("/health/all", vec!["attachments", "db", "openrouter"]),
        ] {
            let reply = anybody.get(path).await;
            assert_eq!((reply.status, &reply.body["status"]), (200, &json!("healthy")), "{path}: {}", reply.text);
            assert_eq!(reply.body["version"], env!("CARGO_PKG_VERSION"));
            let told: Vec<_> = reply.body["components"].as_object().unwrap().keys().cloned().collect();
            assert_eq!(told, parts);
            for part in parts {
                let component = &reply.body["components"][part];
                assert_eq!((&component["status"], component["latency_ms"].is_u64()), (&json!("healthy"), true));
                let is = match part {
                    "db" => kind,
                    "openrouter" => "demo",
                    _ => "directory",
                };
                assert_eq!(component["kind"], is);
            }
            assert_eq!(reply.header("cache-control"), "no-store");
        }
    }
}

/// Asks for the health of the database until it has this status. A check is reused for a second.
#[cfg(unix)]
async fn until_database_is(anybody: &Client, status: u16) {
    eventually("health says so", || async { (anybody.get("/health/db").await.status == status).then_some(()) }).await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_sqlite_that_is_moved_away_is_unhealthy() {
    let app = Setup::new().await.start().await;
    let (anybody, file) = (app.anonymous(), app.database.url().strip_prefix("sqlite://").unwrap().to_owned());
    let elsewhere = format!("{file}.moved");
    until_database_is(&anybody, 200).await;
    std::fs::rename(&file, &elsewhere).unwrap();
    until_database_is(&anybody, 503).await;
    std::fs::copy(&elsewhere, &file).unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    until_database_is(&anybody, 503).await;
    std::fs::rename(&elsewhere, &file).unwrap();
    until_database_is(&anybody, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_model_degrades_the_health() {
    let upstream = Upstream::start().await;
    let well = Setup::new().await.upstream(&upstream).start().await;
    let reply = well.anonymous().get("/health/openrouter").await;
    assert_eq!((reply.status, &reply.body["components"]["openrouter"]["kind"]), (200, &json!("openai-compatible")));

    // Nothing listens on port 9 of this machine.
    let away =
        Setup::new().await.upstream(&upstream).with("OPENROUTER_BASE_URL", "http://127.0.0.1:9/v1").start().await;
    let reply = away.anonymous().get("/health/openrouter").await;
    assert_eq!((reply.status, &reply.body["status"]), (503, &json!("unhealthy")));
    assert!(!reply.text.contains("127.0.0.1"), "where the model is, is nobody's business: {}", reply.text);
    let whole = away.anonymous().get("/health/all").await;
    assert_eq!((whole.status, &whole.body["status"]), (200, &json!("degraded")));
    assert_eq!(whole.body["components"]["db"]["status"], "healthy");

    let unknown = Setup::new().await.upstream(&upstream).with("OPENROUTER_MODEL", "another-model").start().await;
    let reply = unknown.anonymous().get("/health/openrouter").await;
    assert_eq!((reply.status, &reply.body["status"]), (503, &json!("unhealthy")), "{}", reply.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_its_core_is_alive_and_unhealthy() {
    let mut app = Setup::new().await.split().start().await;
    let user = app.user().await;
    app.core().kill();
    let anybody = app.anonymous();
    assert_eq!(anybody.get("/health").await.status, 200);
    for path in ["/health/db", "/health/all", "/health/openrouter"] {
        let reply = anybody.get(path).await;
        assert_eq!((reply.status, &reply.body["status"]), (503, &json!("unhealthy")), "{path}: {}", reply.text);
    }
    let reply = user.get("/api/v1/auth/me").await;
    reply.fails(503, "SERVICE_UNAVAILABLE");
    assert!(reply.header("retry-after").parse::<u64>().unwrap() > 0);
}

serve_and_split! {
    async fn metrics_count_what_was_done(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream
            .queue(Script::calls(&[("add_task", json!({"title": "Buy milk"}))]))
            .queue(Script::says(&["Done", "."]));
        upstream.queue(Script::fails(500, &json!({})));
        let app = setup.upstream(&upstream).with("AGENT_MAX_ATTEMPTS", 1).start().await;
        let user = app.user().await;
        let session = user.session().await;
        user.say(session, "Add task: Buy milk").await.terminal();
        user.say_in_vain(session, "Hello").await.fails(502, "UPSTREAM_ERROR");
        user.get("/api/v1/tasks/1").await.fails(400, "INVALID_REQUEST");
        user.get(&format!("/api/v1/tasks/{session}")).await.fails(404, "TASK_NOT_FOUND");
        user.get("/nowhere/at/all").await.fails(404, "NOT_FOUND");

        // Gateway and core each have their own metrics.
        let mut page = user.get("/metrics").await.text;
        if app.split {
            page.push_str(&reqwest::get(format!("http://{}/metrics", app.rpc)).await.unwrap().text().await.unwrap());
        }
        let runs = "/api/v1/chatkit/sessions/{session_id}/threads/{thread_id}/runs";
        for line in [
            format!(r#"threadline_http_request_seconds_count{{method="POST",route="{runs}",status="200"}} 1"#),
            format!(r#"threadline_http_request_seconds_count{{method="POST",route="{runs}",status="502"}} 1"#),
            r#"threadline_http_request_seconds_count{method="GET",route="/api/v1/tasks/{task_id}",status="400"} 1"#
                .to_owned(),
            "threadline_sse_events_per_stream_count 1".to_owned(),
            "threadline_sse_streams 0".to_owned(),
            r#"threadline_rpc_request_seconds_count{method="threads.add_user_message",code="0"} 2"#.to_owned(),
            r#"threadline_rpc_request_seconds_count{method="tasks.get",code="TASK_NOT_FOUND"} 1"#.to_owned(),
            r#"threadline_runs_total{status="completed"} 1"#.to_owned(),
            r#"threadline_runs_total{status="failed"} 1"#.to_owned(),
            "threadline_runs_active 0".to_owned(),
            r#"threadline_tool_calls_total{tool="add_task",outcome="ok"} 1"#.to_owned(),
            r#"threadline_model_tokens_total{direction="prompt"} 14"#.to_owned(),
            r#"threadline_model_tokens_total{direction="completion"} 6"#.to_owned(),
            "threadline_upstream_first_token_seconds_count 2".to_owned(),
        ] {
            assert!(page.lines().any(|told| told == line), "no line {line}\n{page}");
        }
        for name in [
            "threadline_upstream_seconds_bucket",
            "threadline_run_seconds_bucket",
            "threadline_run_events_bucket",
            "process_resident_memory_bytes",
        ] {
            assert!(page.lines().any(|line| line.starts_with(name)), "no {name}\n{page}");
        }
        // The number of labels does not grow with the input.
        assert!(!page.contains("nowhere") && !page.contains(&session.to_string()), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_are_served() {
    let app = Setup::new().await.start().await;
    let anybody = app.anonymous();
    let openapi = anybody.get("/openapi.json").await;
    assert_eq!((openapi.status, openapi.header("content-type")), (200, "application/json"));
    assert_eq!(openapi.body, threadline_gateway::openapi());
    let docs = anybody.get("/docs").await;
    assert!(docs.header("content-type").starts_with("text/html") && docs.text.contains("/openapi.json"));
    let viewer = anybody.get("/docs/api").await;
    assert!(viewer.header("content-type").starts_with("text/html") && viewer.text.contains("api/reference.js"));
    let script = anybody.get("/docs/api/explorer.js").await;
    assert!(script.header("content-type").starts_with("text/javascript"));
    assert!(script.headers.get_all("vary").iter().any(|value| value == "accept-encoding"), "{:?}", script.headers);
    assert!(script.text.contains("openapi-explorer"), "who does not accept gzip gets the text");
    assert_eq!(anybody.get("/docs/api/index.html").await.status, 404);
    let root = anybody.get("/").await;
    let links: Vec<&Value> = ["docs", "openapi", "chat"].iter().map(|name| &root.body[name]).collect();
    assert_eq!(links, ["/docs", "/openapi.json", "/chat"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chat_page_is_served_unless_it_is_turned_off() {
    let app = Setup::new().await.start().await;
    let anybody = app.anonymous();
    let page = anybody.get("/chat").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert_eq!(page.header("cache-control"), "public, max-age=300");
    let policy = page.header("content-security-policy");
    assert!(policy.contains("script-src 'self';") && policy.contains("trusted-types 'none'"), "{policy}");
    let style = anybody.get("/chat/base.css").await;
    assert_eq!((style.status, style.header("content-type")), (200, "text/css; charset=utf-8"));
    anybody.get("/chat/index.html").await.fails(404, "NOT_FOUND");

    let app = Setup::new().await.with("CHAT_PAGE", false).start().await;
    let anybody = app.anonymous();
    for path in ["/chat", "/chat/chat.js"] {
        anybody.get(path).await.fails(404, "NOT_FOUND");
    }
    assert_eq!(anybody.get("/").await.body.get("chat"), None);
}
