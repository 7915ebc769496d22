//! Runs that end with an open call: of a client tool, or a question to the user.

use crate::everywhere;
use crate::support::{Client, PATIENCE, Reply, Script, Setup, Sse, Upstream, WITH_CLIENT_TOOL};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

/// Starts a service whose assistant has the client tool `get_location`.
async fn with_client_tool(setup: Setup, upstream: &Upstream) -> crate::support::process::App {
    setup.upstream(upstream).agents(WITH_CLIENT_TOOL).start().await
}

fn answer(user: &Client, session: Uuid, what: &str, body: &Value) -> RequestBuilder {
    user.request(Method::POST, &format!("/api/v1/chatkit/sessions/{session}/threads/{session}/{what}")).json(body)
}

fn output(user: &Client, session: Uuid, result: &Value) -> RequestBuilder {
    answer(user, session, "client-tool-output", &json!({"result": result}))
}

fn input(user: &Client, session: Uuid, item: &Value, input: &Value) -> RequestBuilder {
    answer(user, session, "structured-input", &json!({"item_id": item, "input": input}))
}

async fn refused(request: RequestBuilder) -> Reply {
    match Sse::open(request).await {
        Ok(stream) => panic!("a stream: {:?}", stream.finish().await.types()),
        Err(reply) => reply,
    }
}

async fn items(user: &Client, session: Uuid) -> Vec<Value> {
    let page = user.get(&format!("/api/v1/chatkit/sessions/{session}/items?order=asc&limit=100")).await;
    page.data().as_array().unwrap().clone()
}

/// Returns the messages of the last request without the system message. Checks that each call has one result.
fn asked(upstream: &Upstream) -> Vec<Value> {
    let messages = upstream.requests().pop().unwrap()["messages"].as_array().unwrap()[1..].to_vec();
    let calls: Vec<&Value> =
        messages.iter().filter_map(|one| one["tool_calls"].as_array()).flatten().map(|call| &call["id"]).collect();
    let results: Vec<&Value> =
        messages.iter().filter(|one| one["role"] == "tool").map(|one| &one["tool_call_id"]).collect();
    assert_eq!(calls, results);
    messages
}

fn event<'a>(stream: &'a Sse, kind: &str) -> &'a Value {
    &stream
        .events
        .iter()
        .rfind(|(_, event)| event["type"] == kind)
        .unwrap_or_else(|| panic!("no {kind}: {:?}", stream.types()))
        .1
}

everywhere! {
    async fn a_client_tool_is_called_and_its_output_used(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream
            .queue(Script::calls(&[("add_task", json!({"title": "Milk"})), ("get_location", json!({"precise": true})), ("get_location", json!({}))]))
            .queue(Script::says(&["In", " Rome"]));
        let app = with_client_tool(setup, &upstream).await;
        let user = app.user().await;
        let session = user.session().await;
        let first = user.say(session, "Where am I?").await;
        assert_eq!(first.terminal()["type"], "run.completed");
        let tools = upstream.requests()[0]["tools"].clone();
        let offered: Vec<_> = tools.as_array().unwrap().iter().map(|tool| tool["function"]["name"].as_str().unwrap()).collect();
        assert!(offered.contains(&"get_location") && offered.contains(&"add_task"), "{offered:?}");
        let call = items(&user, session).await.pop().unwrap();
        assert_eq!(*event(&first, "thread.item.done"), json!({"type": "thread.item.done", "item": call}));
        assert_eq!(
            (&call["type"], &call["status"], &call["name"], &call["call_id"], &call["arguments"], &call["output"]),
            (&json!("client_tool_call"), &json!("pending"), &json!("get_location"), &json!("call_1"), &json!({"precise": true}), &Value::Null)
        );
        assert_eq!(user.get("/api/v1/tasks").await.data()[0]["title"], "Milk", "calls beside it are made");

        let stream = Sse::open(output(&user, session, &json!({"city": "Rome"}))).await.unwrap().finish().await;
        assert_eq!((stream.text().as_str(), &stream.terminal()["type"]), ("In Rome", &json!("run.completed")));
        let told = asked(&upstream);
        assert_eq!(told.len(), 5, "{told:?}");
        assert_eq!(told[3]["content"], r#"{"city":"Rome"}"#);
        assert!(told[4]["content"].as_str().unwrap().contains("answered first"), "one waits at a time: {told:?}");
        let done = items(&user, session).await.into_iter().find(|item| item["id"] == call["id"]).unwrap();
        assert_eq!((&done["status"], &done["output"]), (&json!("completed"), &json!({"city": "Rome"})));
        assert_eq!(event(&stream, "thread.item.replaced")["item"], done);
        refused(output(&user, session, &json!("again"))).await.fails(409, "CONFLICT");
        // The same output with the place in the stream that it has started continues it; another output does not.
        let cursor = format!("{}:1", stream.run_id());
        let again = output(&user, session, &json!({"city": "Rome"})).header("last-event-id", &cursor);
        let again = Sse::open(again).await.unwrap().finish().await;
        assert_eq!((again.run_id(), &again.events[..]), (stream.run_id(), &stream.events[1..]));
        for (result, run) in [(json!({"city": "Oslo"}), stream.run_id()), (json!({"city": "Rome"}), first.run_id())] {
            let other = output(&user, session, &result).header("last-event-id", format!("{run}:1"));
            refused(other).await.fails(409, "CONFLICT");
        }
        let calls = user.run(first.run_id()).await["tool_calls"].clone();
        assert_eq!(calls[1]["result"], r#"{"city":"Rome"}"#);
    }

    async fn the_question_is_read_however_many_items_the_answer_has(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream
            .queue(Script::calls(&[("add_task", json!({"title": "Milk"})), ("get_location", json!({}))]))
            .queue(Script::says(&["In Rome"]));
        let app = with_client_tool(setup.with("AGENT_HISTORY_ITEMS", 4), &upstream).await;
        let user = app.user().await;
        let session = user.session().await;
        user.say(session, "Where am I?").await.terminal();
        let count = app.database.count("SELECT count(*) AS rows FROM items").await;
        assert!(count > 4, "{count} items");
        Sse::open(output(&user, session, &json!("Rome"))).await.unwrap().finish().await;
        let told = asked(&upstream);
        assert_eq!((&told[0]["role"], &told[0]["content"]), (&json!("user"), &json!("Where am I?")));
        assert_eq!(told.last().unwrap()["content"], "\"Rome\"");
    }

    async fn what_waits_is_the_newest_item(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream
            .queue(Script::calls(&[("list_tasks", json!({})), ("get_location", json!({}))]))
            .queue(Script::says(&["Rome"]));
        let app = with_client_tool(setup, &upstream).await;
        let user = app.user().await;
        let session = user.session().await;
        user.post("/api/v1/tasks", &json!({"title": "Milk"})).await.data();
        user.say(session, "Where am I?").await.terminal();
        let kinds: Vec<_> = items(&user, session).await.iter().map(|item| item["type"].clone()).collect();
        assert_eq!(kinds, ["user_message", "workflow", "widget", "client_tool_call"]);
        let stream = Sse::open(output(&user, session, &json!("Rome"))).await.unwrap().finish().await;
        assert_eq!((stream.text().as_str(), &stream.terminal()["type"]), ("Rome", &json!("run.completed")));
    }

    async fn an_output_without_an_open_call_is_refused(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = with_client_tool(setup, &upstream).await;
        let (user, other) = (app.user().await, app.user().await);
        let session = user.session().await;
        refused(output(&user, session, &json!(1))).await.fails(409, "CONFLICT");
        user.say(session, "Hello").await.terminal();
        refused(output(&user, session, &json!(1))).await.fails(409, "CONFLICT");
        refused(output(&other, session, &json!(1))).await.fails(403, "FORBIDDEN");
        refused(output(&user, Uuid::now_v7(), &json!(1))).await.fails(404, "SESSION_NOT_FOUND");
        upstream.queue(Script::calls(&[("get_location", json!({}))])).queue(Script::says(&["Null"]));
        user.say(session, "Where am I?").await.terminal();
        refused(output(&user, session, &json!("x".repeat(40_000)))).await.fails(413, "PAYLOAD_TOO_LARGE");
        // A repeated request is executed once, whatever the thread waits for by then. NUL and null are valid output.
        let keyed = || output(&user, session, &json!({"\u{0}": null})).header("idempotency-key", "out");
        let stream = Sse::open(keyed()).await.unwrap().finish().await;
        assert_eq!(stream.text(), "Null");
        assert_eq!(asked(&upstream).last().unwrap()["content"], r#"{"\u0000":null}"#);
        assert_eq!(Sse::open(keyed()).await.unwrap().finish().await.events, stream.events);
        let other_body = output(&user, session, &json!(2)).header("idempotency-key", "out");
        refused(other_body).await.fails(409, "CONFLICT");
        assert_eq!(upstream.requests().len(), 3);
    }

    async fn a_message_instead_of_an_answer_is_an_answer(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream
            .queue(Script::calls(&[("get_location", json!({}))]))
            .queue(Script::says(&["Never mind"]))
            .queue(Script::calls(&[("ask_user", json!({"questions": [{"question": "Where?"}]}))]))
            .queue(Script::says(&["As you like"]));
        let app = with_client_tool(setup, &upstream).await;
        let user = app.user().await;
        let session = user.session().await;
        user.say(session, "Where am I?").await.terminal();
        let stream = user.say(session, "I do not want to know").await;
        assert!(asked(&upstream)[2]["content"].as_str().unwrap().contains("not_done"));
        let call = items(&user, session).await[1].clone();
        assert_eq!((&call["status"], &call["output"]["status"]), (&json!("completed"), &json!("not_done")));
        assert_eq!(event(&stream, "thread.item.replaced")["item"], call);
        refused(output(&user, session, &json!(1))).await.fails(409, "CONFLICT");

        user.say(session, "Ask me").await.terminal();
        let questions = items(&user, session).await.pop().unwrap();
        user.say(session, "No, wait").await.terminal();
        let skipped = items(&user, session).await.into_iter().find(|item| item["id"] == questions["id"]).unwrap();
        assert_eq!((&skipped["status"], &skipped["inputs"][0]["answer"]["skipped"]), (&json!("skipped"), &json!(true)));
        refused(input(&user, session, &questions["id"], &json!({"status": "skipped"}))).await.fails(409, "CONFLICT");
    }

    async fn a_crash_keeps_open_calls_and_blocks_nothing(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream
            .queue(Script::calls(&[("get_location", json!({}))]))
            .queue(Script::stream().words(&["In"]).hang());
        let app = with_client_tool(setup, &upstream).await;
        let user = app.user().await;
        let session = user.session().await;
        user.say(session, "Where am I?").await.terminal();
        let app = app.crash_and_restart().await;
        let user = user.at(&app);
        let mut stream = Sse::open(output(&user, session, &json!("Rome"))).await.unwrap();
        stream.until_said("In").await;
        let run = stream.run_id();
        // The output is acknowledged, so it is stored whatever happens to the run, which continues it.
        upstream.queue(Script::says(&["In Rome"]));
        let app = app.crash_and_restart().await;
        let user = user.at(&app);
        let deadline = std::time::Instant::now() + 3 * PATIENCE;
        while user.run(run).await["status"] == "running" {
            assert!(std::time::Instant::now() < deadline, "the run of a dead process goes on for ever");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert_eq!(user.run(run).await["status"], "completed");
        assert_eq!(asked(&upstream)[2]["content"], r#""Rome""#);
        let items = items(&user, session).await;
        assert_eq!(items[1]["output"], "Rome");
        assert_eq!(items[2]["content"][0]["text"], "In Rome");
        assert_eq!(items.len(), 3, "{items:?}");
        user.say(session, "And?").await.terminal();
        assert_eq!(asked(&upstream)[2]["content"], r#""Rome""#);
    }

    async fn the_user_answers_questions(setup: Setup) {
        let upstream = Upstream::start().await;
        let questions = json!({"questions": [
            {"question": "Which day?", "options": ["Monday", "Tuesday"]},
            {"question": "Whom with?", "options": ["Ada", "Eve"], "multiple": true},
            {"question": "What for?", "description": "A few words."},
            {"question": "Anything else?"},
        ]});
        upstream.queue(Script::calls(&[("ask_user", questions)])).queue(Script::says(&["Fine"]));
        let app = setup.upstream(&upstream).start().await;
        let (user, other) = (app.user().await, app.user().await);
        let session = user.session().await;
        let first = user.say(session, "Plan something").await;
        assert_eq!(first.terminal()["type"], "run.completed");
        let item = items(&user, session).await.pop().unwrap();
        assert_eq!((&item["type"], &item["status"]), (&json!("structured_input"), &json!("pending")));
        assert_eq!(
            item["inputs"],
            json!([
                {"type": "multiple_choice", "id": "q1", "question": "Which day?", "options": [{"value": "Monday"}, {"value": "Tuesday"}], "multiple": false},
                {"type": "multiple_choice", "id": "q2", "question": "Whom with?", "options": [{"value": "Ada"}, {"value": "Eve"}], "multiple": true},
                {"type": "freeform", "id": "q3", "question": "What for?", "description": "A few words."},
                {"type": "freeform", "id": "q4", "question": "Anything else?"},
            ])
        );

        let answers = |answers: Value| json!({"status": "answered", "answers": answers});
        for bad in [
            answers(json!({"q1": {"values": ["Monday", "Tuesday"]}})),
            answers(json!({"q9": {"values": ["x"]}})),
            answers(json!({"q3": {"values": ["\u{0}"]}})),
            answers(json!({"q3": {"values": ["x".repeat(2_001)]}})),
            answers(json!({"q3": {"values": "x"}})),
            json!({"status": "pending"}),
            json!("skipped"),
        ] {
            refused(input(&user, session, &item["id"], &bad)).await.fails(400, "INVALID_REQUEST");
        }
        let good = answers(json!({"q1": {"values": ["Sunday"]}, "q2": {"values": ["Ada", "Eve"]}, "q3": {"values": ["Tea"]}, "q4": {"skipped": true}}));
        let message = &items(&user, session).await[0]["id"];
        refused(input(&user, session, message, &good)).await.fails(400, "INVALID_REQUEST");
        refused(input(&user, session, &json!(Uuid::now_v7()), &good)).await.fails(404, "ITEM_NOT_FOUND");
        refused(input(&other, session, &item["id"], &good)).await.fails(403, "FORBIDDEN");

        let keyed = || input(&user, session, &item["id"], &good).header("idempotency-key", "in");
        let stream = Sse::open(keyed()).await.unwrap().finish().await;
        assert_eq!((stream.text().as_str(), &stream.terminal()["type"]), ("Fine", &json!("run.completed")));
        let result: Value = serde_json::from_str(asked(&upstream)[2]["content"].as_str().unwrap()).unwrap();
        assert_eq!(
            result,
            json!({"status": "answered", "answers": [
                {"question": "Which day?", "answers": ["Sunday"]}, {"question": "Whom with?", "answers": ["Ada", "Eve"]},
                {"question": "What for?", "answers": ["Tea"]}, {"question": "Anything else?", "skipped": true},
            ]})
        );
        let answered = items(&user, session).await[1].clone();
        assert_eq!((&answered["status"], &answered["inputs"][1]["answer"]), (&json!("answered"), &json!({"values": ["Ada", "Eve"], "skipped": false})));
        assert_eq!(event(&stream, "thread.item.replaced")["item"], answered);
        assert_eq!(Sse::open(keyed()).await.unwrap().finish().await.events, stream.events);
        refused(input(&user, session, &item["id"], &good)).await.fails(409, "CONFLICT");
        // The same answers with the place in the stream that they have started continue it; others do not.
        let cursor = format!("{}:1", stream.run_id());
        let again = input(&user, session, &item["id"], &good).header("last-event-id", &cursor);
        let again = Sse::open(again).await.unwrap().finish().await;
        assert_eq!((again.run_id(), again.seqs()[0]), (stream.run_id(), 2));
        let others = answers(json!({"q1": {"values": ["Monday"]}}));
        let others = input(&user, session, &item["id"], &others).header("last-event-id", &cursor);
        refused(others).await.fails(409, "CONFLICT");
        let before = input(&user, session, &item["id"], &good).header("last-event-id", format!("{}:1", first.run_id()));
        refused(before).await.fails(409, "CONFLICT");
    }

    async fn the_demo_asks_and_listens(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let session = user.session().await;
        user.say(session, "Ask me about lunch").await.terminal();
        let item = items(&user, session).await.pop().unwrap();
        assert_eq!(item["inputs"][0]["question"], "What should I know about lunch?");
        let answers = json!({"answers": {"q1": {"values": ["No onions"]}, "q2": {"values": ["high"]}}});
        let stream = Sse::open(input(&user, session, &item["id"], &answers)).await.unwrap().finish().await;
        assert!(stream.text().contains("No onions") && stream.text().contains("high"), "{}", stream.text());
        user.say(session, "Ask me").await.terminal();
        let item = items(&user, session).await.pop().unwrap();
        let skipped = json!({"status": "skipped"});
        let stream = Sse::open(input(&user, session, &item["id"], &skipped)).await.unwrap().finish().await;
        assert!(stream.text().contains("rather not"), "{}", stream.text());
    }
}
