//! Traces over OTLP, from a caller's `traceparent` to models and tools; error reports; slow queries and tools.

use crate::serve_and_split;
use crate::support::collector::{Collector, Span};
use crate::support::{App, Client, Script, Setup, Upstream, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const SECRET_WORDS: &str = "my-most-private-words";

/// Returns the value of the header for the trace of the tests.
fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

/// Returns a setup that exports to this collector without delay.
fn exporting(setup: Setup, collector: &Collector) -> Setup {
    setup.with("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()).with("OTEL_BSP_SCHEDULE_DELAY", "50")
}

/// Returns an agents file with the tool `look`.
fn agents(service: &Upstream) -> String {
    format!(
        "[agents.a]\ntools = [\"look\"]\n\n[tools.look]\nkind = \"http\"\nurl = \"{}/look\"\ndescription = \"Looks.\"\n\
         acts = false\nparameters = {{ type = \"object\" }}\n",
        service.base_url()
    )
}

/// Sends a message with these headers, and reads the whole answer.
async fn say(user: &Client, headers: &[(&str, String)]) {
    let session = user.session().await;
    let mut request = user.request(Method::POST, &Client::runs_path(session)).json(&Client::message(SECRET_WORDS));
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let answer = crate::support::Sse::open(request).await.expect("a stream").finish().await;
    assert_eq!(answer.terminal()["type"], "run.completed");
}

/// Has the model call the tool, and then answer.
async fn model_with_tool() -> (Upstream, Upstream) {
    let (upstream, service) = (Upstream::start().await, Upstream::start().await);
    upstream.queue(Script::calls(&[("look", json!({"what": SECRET_WORDS}))]));
    let body = json!({"found": SECRET_WORDS}).to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
    let response = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    service.queue(Script::default().wait(Duration::from_millis(20)).raw(response));
    (upstream, service)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

#[track_caller]
fn named<'s>(spans: &'s [Span], name: &str) -> Vec<&'s Span> {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert!(!found.is_empty(), "no span {name}: {:?}", spans.iter().map(|span| &span.name).collect::<Vec<_>>());
    found
}

const ROUTE: &str = "/api/v1/chatkit/sessions/{session_id}/threads/{thread_id}/runs";

/// Checks the trace of a message, from the request to the model and the tool.
fn check_trace(app: &App, spans: &[Span], upstream: &Upstream, service: &Upstream) {
    let server = named(spans, &format!("POST {ROUTE}"))[0];
    assert_eq!((server.kind.as_str(), server.parent.as_str()), ("SPAN_KIND_SERVER", PARENT));
    assert_eq!(
        (&server.attributes["http.route"], &server.attributes["http.request.method"]),
        (&json!(ROUTE), &json!("POST"))
    );
    assert_eq!(server.attributes["http.response.status_code"], 200);
    assert_eq!(server.resource["service.name"], "threadline");
    assert_eq!(server.state, "vendor=x");

    // In split mode the call has a span on both sides.
    let calls = named(spans, "threads.add_user_message");
    let call = calls.iter().find(|span| span.kind != "SPAN_KIND_CLIENT").expect("the core's side of the call");
    assert_eq!(
        (&call.attributes["rpc.system"], &call.attributes["rpc.method"]),
        (&json!("jsonrpc"), &json!("threads.add_user_message"))
    );
    if app.split {
        let client = calls.iter().find(|span| span.kind == "SPAN_KIND_CLIENT").expect("the gateway's side of the call");
        assert_eq!((&client.parent, &call.parent), (&server.id, &client.id));
        assert_ne!(client.resource["service.instance.id"], call.resource["service.instance.id"]);
    } else {
        assert_eq!(call.parent, server.id);
    }

    let run = named(spans, "invoke_agent a")[0];
    assert_eq!(run.parent, call.id);
    assert_eq!(
        (&run.attributes["gen_ai.operation.name"], &run.attributes["threadline.run.status"]),
        (&json!("invoke_agent"), &json!("completed"))
    );
    assert_eq!(run.attributes["gen_ai.usage.input_tokens"], 14);

    let chats = named(spans, "chat test-model");
    assert_eq!(chats.len(), 2);
    for (chat, (head, finish)) in chats.iter().zip(upstream.heads().iter().zip(["tool_calls", "stop"])) {
        assert_eq!((&chat.parent, chat.kind.as_str()), (&run.id, "SPAN_KIND_CLIENT"));
        assert_eq!(header(head, "traceparent"), Some(chat.traceparent().as_str()), "{head}");
        assert_eq!(header(head, "tracestate"), Some("vendor=x"));
        let attributes = &chat.attributes;
        for (name, value) in [
            ("gen_ai.operation.name", json!("chat")),
            ("gen_ai.request.model", json!("test-model")),
            ("gen_ai.response.model", json!("test-model")),
            ("gen_ai.usage.input_tokens", json!(7)),
            ("gen_ai.usage.output_tokens", json!(3)),
            ("gen_ai.response.finish_reasons", json!([finish])),
            ("server.address", json!("127.0.0.1")),
        ] {
            assert_eq!(attributes[name], value, "{name}: {attributes}");
        }
        assert_eq!(chat.events, ["gen_ai.first_token"]);
    }

    let tool = named(spans, "execute_tool look")[0];
    assert_eq!((&tool.parent, &tool.attributes["gen_ai.tool.name"]), (&run.id, &json!("look")));
    assert_eq!(header(&service.heads()[0], "traceparent"), Some(tool.traceparent().as_str()));

    let system = if app.database.is_postgres() { "postgresql" } else { "sqlite" };
    let of_database: Vec<_> = spans.iter().filter(|span| span.attributes["db.system.name"] == system).collect();
    assert!(of_database.iter().any(|span| span.parent == call.id), "no unit of work of the call");
    assert!(of_database.iter().any(|span| span.parent == run.id), "no unit of work of the run");
    assert!(of_database.iter().all(|span| span.attributes["db.operation.name"] == span.name));
    let texts = format!("{spans:?}");
    assert!(!texts.contains(SECRET_WORDS), "content of the user is in a trace");
}

serve_and_split! {
    async fn a_trace_goes_from_rest_to_the_model_and_a_tool(setup: Setup) {
        let collector = Collector::http().await;
        let (upstream, service) = model_with_tool().await;
        let app = exporting(setup, &collector).upstream(&upstream).agents(&agents(&service)).start().await;
        let user = app.user().await;
        say(&user, &[("traceparent", traceparent("01")), ("tracestate", "vendor=x".to_owned())]).await;
        let spans = collector.trace(TRACE, &[&format!("POST {ROUTE}"), "invoke_agent a", "chat test-model"]).await;
        check_trace(&app, &spans, &upstream, &service);
        assert!(collector.heads().iter().all(|(path, _)| path == "/v1/traces"));

        let ended = app.log().into_iter().find(|line| line["message"] == "run ended").expect("the end of the run");
        let run = named(&spans, "invoke_agent a")[0];
        assert_eq!((&ended["trace_id"], &ended["span_id"]), (&json!(TRACE), &json!(run.id)));
        let request = app.log().into_iter().find(|line| line["message"] == "request" && line["route"] == ROUTE);
        assert_eq!(request.expect("the request")["trace_id"], TRACE);
    }

    async fn grpc_headers_name_and_attributes_reach_the_collector(setup: Setup) {
        let collector = Collector::grpc().await;
        let (upstream, service) = model_with_tool().await;
        let app = exporting(setup, &collector)
            .with("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
            .with("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2-of-the-collector")
            .with("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test%20one")
            .with("LOG_LEVEL", "debug")
            .upstream(&upstream)
            .agents(&agents(&service))
            .start()
            .await;
        let user = app.user().await;
        say(&user, &[("traceparent", traceparent("01")), ("tracestate", "vendor=x".to_owned())]).await;
        let spans = collector.trace(TRACE, &[&format!("POST {ROUTE}"), "invoke_agent a", "chat test-model"]).await;
        check_trace(&app, &spans, &upstream, &service);
        assert_eq!(spans[0].resource["deployment.environment.name"], "test one");
        let (path, headers) = &collector.heads()[0];
        assert_eq!(path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        assert_eq!([header("api-key"), header("content-type")], ["hunter2-of-the-collector", "application/grpc"]);
        assert!(app.processes.iter().all(|process| !process.stderr().contains("hunter2")));
        let lost = app.log().into_iter().find(|line| line["target"] == "threadline::traces");
        assert!(lost.is_none(), "{lost:?}");
    }

    async fn the_last_spans_are_sent_when_the_process_stops(setup: Setup) {
        let collector = Collector::http().await;
        let mut app = setup
            .with("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
            .with("OTEL_SERVICE_NAME", "chat")
            .with("OTEL_BSP_SCHEDULE_DELAY", "3600000")
            .start()
            .await;
        let user = app.user().await;
        say(&user, &[("traceparent", traceparent("01"))]).await;
        for process in &mut app.processes {
            process.signal("TERM");
            assert_eq!(process.exit_code().await, Some(0));
        }
        let spans = collector.trace(TRACE, &[&format!("POST {ROUTE}"), "threads.add_user_message"]).await;
        assert!(spans.iter().all(|span| span.resource["service.name"] == "chat"));
    }

    async fn an_unreachable_collector_costs_nobody_anything(setup: Setup) {
        let mut app = setup
            // The port discards.
            .with("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
            .with("OTEL_BSP_SCHEDULE_DELAY", "50")
            .start()
            .await;
        let user = app.user().await;
        let lost = |app: &App| app.log().into_iter().filter(|line| line["target"] == "threadline::traces").collect::<Vec<_>>();
        say(&user, &[]).await;
        eventually("the failure is logged", || async { (!lost(&app).is_empty()).then_some(()) }).await;
        for _ in 0..3 {
            say(&user, &[]).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let lines = lost(&app);
        assert_eq!(lines.len(), app.processes.len(), "one line a minute of each process: {lines:?}");
        assert!(lines.iter().all(|line| line["level"] == "WARN"), "{lines:?}");
        let began = Instant::now();
        for process in &mut app.processes {
            process.signal("TERM");
            assert_eq!(process.exit_code().await, Some(0));
        }
        assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    }

    async fn a_trace_that_is_not_sampled_is_passed_on_and_not_exported(setup: Setup) {
        let collector = Collector::http().await;
        let (upstream, service) = model_with_tool().await;
        let app = exporting(setup, &collector).upstream(&upstream).agents(&agents(&service)).start().await;
        let user = app.user().await;
        say(&user, &[("traceparent", traceparent("00"))]).await;
        for head in [&upstream.heads()[0], &service.heads()[0]] {
            let sent = header(head, "traceparent").expect("the caller's trace");
            assert!(sent.starts_with(&format!("00-{TRACE}-")) && sent.ends_with("-00"), "{sent}");
        }
        // Another request, which begins a trace.
        user.get("/api/v1/auth/me").await.data();
        eventually("its span", || async { collector.spans().iter().any(|span| span.name == "auth.me").then_some(()) }).await;
        assert!(collector.spans().iter().all(|span| span.trace_id != TRACE));
    }

    async fn without_a_collector_there_are_no_traces(setup: Setup) {
        let (upstream, service) = model_with_tool().await;
        let app = setup.upstream(&upstream).agents(&agents(&service)).start().await;
        let user = app.user().await;
        say(&user, &[("traceparent", traceparent("01"))]).await;
        for head in [&upstream.heads()[0], &service.heads()[0]] {
            assert_eq!(header(head, "traceparent"), None);
        }
        assert!(app.log().iter().all(|line| line.get("trace_id").is_none()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_of_json_rpc_names_its_trace() {
    let collector = Collector::http().await;
    let app = exporting(Setup::new().await, &collector).start().await;
    let user = app.user().await;
    let of_call = |digit: char| digit.to_string().repeat(32);
    let meta = |digit: char| json!({"_meta": {"traceparent": format!("00-{}-{PARENT}-01", of_call(digit))}});
    let mut socket = user.socket().await;
    socket.ok("auth.me", meta('1')).await;
    socket.ok("tasks.list", meta('2')).await;
    user.rpc_ok("auth.me", meta('3')).await;
    for (digit, method) in [('1', "auth.me"), ('2', "tasks.list"), ('3', "auth.me")] {
        let spans = collector.trace(&of_call(digit), &[method]).await;
        let call = named(&spans, method)[0];
        assert_eq!((call.kind.as_str(), call.parent.as_str()), ("SPAN_KIND_SERVER", PARENT));
    }
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "auth.me", "params": {}}).to_string();
    let request = user.rpc_request(body).header("traceparent", format!("00-{}-{PARENT}-01", of_call('4')));
    assert_eq!(request.send().await.unwrap().status(), 200);
    collector.trace(&of_call('4'), &["auth.me"]).await;

    // Invalid ones are ignored: the call begins a trace of its own.
    let before = collector.spans().len();
    socket.ok("auth.me", json!({"_meta": {"traceparent": "00-xyz-01"}})).await;
    user.request(Method::GET, "/api/v1/auth/me").header("traceparent", "00-0-0-01").send().await.unwrap();
    let roots = || async {
        let spans = collector.spans().split_off(before);
        (spans.iter().filter(|span| span.parent.is_empty()).count() >= 2).then_some(())
    };
    eventually("two traces begin", roots).await;
    // What probes ask makes no trace.
    user.get("/health/db").await;
    user.get("/metrics").await;
    user.get("/api/v1/auth/me").await.data();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(collector.spans().iter().all(|span| !span.name.contains("health") && !span.name.contains("metrics")));
    socket.call("tasks.get", json!({"task_id": user.user_id, "_meta": {"traceparent": traceparent("01")}})).await;
    let spans = collector.trace(TRACE, &["tasks.get"]).await;
    let call = named(&spans, "tasks.get")[0];
    assert_eq!(call.attributes["error.type"], "TASK_NOT_FOUND");
    assert!(!call.has_failed, "it is the caller's mistake");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_queries_and_tools_are_logged_by_name() {
    let (upstream, service) = model_with_tool().await;
    let app = Setup::new()
        .await
        .with("SLOW_QUERY_MS", 100)
        .with("SLOW_TOOL_MS", 1)
        .upstream(&upstream)
        .agents(&agents(&service))
        .start()
        .await;
    let user = app.user().await;
    say(&user, &[]).await;
    app.database.dawdle(0.3).await;
    user.post("/api/v1/tasks", &json!({"title": SECRET_WORDS})).await.data();
    let line = |message: &'static str| {
        let log = app.log();
        let found = log.into_iter().find(|line| line["message"] == message && line["target"] == "threadline::slow");
        found.unwrap_or_else(|| panic!("no line {message}"))
    };
    let (query, tool) = (line("slow query"), line("slow tool"));
    assert_eq!((&query["level"], &query["operation"]), (&json!("WARN"), &json!("task_create")), "{query}");
    assert!(query["ms"].as_f64().unwrap() >= 100.0 && tool["tool"] == "look", "{query} {tool}");
    assert!(!query.to_string().contains(SECRET_WORDS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_reported_once_and_counted() {
    let relay = Upstream::start().await;
    relay.answer_with(|_| Script::json(&json!({})));
    let url = format!("{}/errors?key=hunter2", relay.base_url());
    let mut app = Setup::new().await.with("ERROR_REPORT_URL", url).start().await;
    let user = app.user().await;
    app.database.batch("DROP TABLE tasks").await;
    for _ in 0..3 {
        user.post("/api/v1/tasks", &json!({"title": SECRET_WORDS})).await;
    }
    let reports =
        || relay.requests().into_iter().filter(|report| report["message"] == "call failed").collect::<Vec<Value>>();
    eventually("the first error is reported", || async { (!reports().is_empty()).then_some(()) }).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let first = reports();
    assert_eq!(first.len(), 1, "{first:?}");
    let report = &first[0];
    assert_eq!(
        (&report["count"], &report["level"], &report["service"]),
        (&json!(1), &json!("error"), &json!("threadline"))
    );
    assert_eq!(report["fields"]["method"], "tasks.create");
    assert!(report["fields"]["error"].is_string() && report["fields"]["request_id"].is_string(), "{report}");
    app.core().signal("TERM");
    assert_eq!(app.core().exit_code().await, Some(0));
    let counts: Vec<_> = reports().iter().map(|report| report["count"].as_u64().unwrap()).collect();
    assert_eq!(counts, [1, 2], "the end of the process reports how often it came again");
    assert!(relay.bodies().iter().all(|body| !String::from_utf8_lossy(body).contains(SECRET_WORDS)));
    assert!(!app.core().stderr().contains("hunter2"));
}
