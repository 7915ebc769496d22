//! Tool calls that are made only if the user approves them.

use super::mcp::until_offered;
use super::python::{example, python};
use crate::everywhere;
use crate::serve_and_split;
use crate::support::process::App;
use crate::support::{Client, Gate, PATIENCE, Reply, Script, Setup, Sse, Upstream, eventually};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

const ADDING: &str = "[agents.a]\ntools = [\"built-in\"]\napproval = { add_task = \"always\" }\n";

/// A service whose agents file has this text, with a user and a conversation.
async fn stand(setup: Setup, file: &str, upstream: &Upstream) -> (App, Client, Uuid) {
    let app = setup.upstream(upstream).agents(file).start().await;
    let user = app.user().await;
    let session = user.session().await;
    (app, user, session)
}

fn asks_to_add(upstream: &Upstream, title: &str) {
    upstream.queue(Script::calls(&[("add_task", json!({"title": title}))]));
}

async fn items(user: &Client, session: Uuid) -> Vec<Value> {
    let page = user.get(&format!("/api/v1/chatkit/sessions/{session}/items?order=asc&limit=100")).await;
    page.data().as_array().unwrap().clone()
}

/// Sends a message to which the model answers with a call that waits. Returns the item that waits.
async fn until_asked(user: &Client, session: Uuid) -> Value {
    assert_eq!(user.say(session, "Do it").await.terminal()["type"], "run.completed");
    let item = items(user, session).await.pop().unwrap();
    assert_eq!((&item["type"], &item["status"]), (&json!("structured_input"), &json!("pending")), "{item}");
    item
}

fn decision(values: &[(&str, &str)]) -> Value {
    let answers = values.iter().map(|(id, value)| ((*id).to_owned(), json!({"values": [value]})));
    json!({"status": "answered", "answers": answers.collect::<serde_json::Map<_, _>>()})
}

fn input(user: &Client, session: Uuid, item: &Value, input: &Value) -> RequestBuilder {
    let path = format!("/api/v1/chatkit/sessions/{session}/threads/{session}/structured-input");
    user.request(Method::POST, &path).json(&json!({"item_id": item["id"], "input": input}))
}

async fn decide(user: &Client, session: Uuid, item: &Value, values: &[(&str, &str)]) -> Sse {
    let stream = Sse::open(input(user, session, item, &decision(values))).await;
    let stream = stream.unwrap_or_else(|reply| panic!("{}", reply.text)).finish().await;
    assert_eq!(stream.terminal()["type"], "run.completed");
    stream
}

async fn refused(request: RequestBuilder) -> Reply {
    match Sse::open(request).await {
        Ok(stream) => panic!("a stream: {:?}", stream.finish().await.types()),
        Err(reply) => reply,
    }
}

async fn titles(user: &Client) -> Vec<String> {
    let tasks = user.get("/api/v1/tasks").await;
    tasks.data().as_array().unwrap().iter().map(|task| task["title"].as_str().unwrap().to_owned()).collect()
}

/// Returns the results of calls in the last request, in their order. Each follows its call.
fn results(upstream: &Upstream) -> Vec<String> {
    let messages = upstream.requests().pop().unwrap()["messages"].as_array().unwrap().clone();
    let calls = messages.iter().filter_map(|one| one["tool_calls"].as_array()).flatten().map(|call| &call["id"]);
    let told: Vec<&Value> = messages.iter().filter(|one| one["role"] == "tool").collect();
    assert_eq!(calls.collect::<Vec<_>>(), told.iter().map(|one| &one["tool_call_id"]).collect::<Vec<_>>());
    told.iter().map(|one| one["content"].as_str().unwrap().to_owned()).collect()
}

fn metric(metrics: &str, outcome: &str) -> u64 {
    let prefix = format!("threadline_tool_approvals_total{{outcome=\"{outcome}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&prefix)).map_or(0, |count| count.parse().unwrap())
}

everywhere! {
    async fn a_call_is_made_after_its_approval_and_once(setup: Setup) {
        let upstream = Upstream::start().await;
        asks_to_add(&upstream, "Milk");
        let (app, user, session) = stand(setup, ADDING, &upstream).await;
        let other = app.user().await;
        let item = until_asked(&user, session).await;
        let approval = &item["approval"];
        assert_eq!(
            (&approval["tool"], &approval["call_id"], &approval["arguments"], &approval["outcome"]),
            (&json!("add_task"), &json!("call_0"), &json!({"title": "Milk"}), &Value::Null)
        );
        let expires: chrono::DateTime<chrono::Utc> = approval["expires_at"].as_str().unwrap().parse().unwrap();
        let minutes = (expires - chrono::Utc::now()).num_minutes();
        assert!((23 * 60..=24 * 60).contains(&minutes), "{minutes}");
        let options: Vec<_> = item["inputs"][0]["options"].as_array().unwrap().iter().map(|o| o["value"].clone()).collect();
        assert_eq!(options, ["approve", "approve_always", "edit", "refuse"]);
        assert!(item["inputs"][0]["question"].as_str().unwrap().contains("\"Milk\""));
        assert!(titles(&user).await.is_empty());
        assert_eq!(upstream.requests().len(), 1);

        let approve = decision(&[("decision", "approve")]);
        refused(input(&other, session, &item, &approve)).await.fails(403, "FORBIDDEN");
        let unknown = decision(&[("decision", "approve"), ("more", "x")]);
        refused(input(&user, session, &item, &unknown)).await.fails(400, "INVALID_REQUEST");
        assert!(titles(&user).await.is_empty());

        upstream.queue(Script::says(&["Added"]));
        let keyed = || input(&user, session, &item, &approve).header("idempotency-key", "yes");
        let stream = Sse::open(keyed()).await.unwrap().finish().await;
        assert_eq!((stream.text().as_str(), &stream.terminal()["type"]), ("Added", &json!("run.completed")));
        assert_eq!(titles(&user).await, ["Milk"]);
        let told = results(&upstream);
        assert!(told.len() == 1 && told[0].contains("Milk"), "{told:?}");
        let kinds: Vec<_> = items(&user, session).await.iter().map(|item| item["type"].clone()).collect();
        assert_eq!(kinds, ["user_message", "structured_input", "workflow", "assistant_message"]);
        let shown = items(&user, session).await[1].clone();
        assert_eq!((&shown["status"], &shown["approval"]["outcome"]), (&json!("answered"), &json!("approved")));
        let replaced = stream.events.iter().find(|(_, event)| event["type"] == "thread.item.replaced").unwrap();
        assert_eq!(replaced.1["item"], shown);
        let calls = user.run(stream.run_id()).await["tool_calls"].clone();
        assert_eq!((&calls[0]["name"], calls.as_array().unwrap().len()), (&json!("add_task"), 1));

        // The same request again is the same run; another answer comes too late.
        assert_eq!(Sse::open(keyed()).await.unwrap().finish().await.events, stream.events);
        refused(input(&user, session, &item, &approve)).await.fails(409, "CONFLICT");
        let after = |answer: &Value| {
            input(&user, session, &item, answer).header("last-event-id", format!("{}:1", stream.run_id()))
        };
        let again = Sse::open(after(&approve)).await.unwrap().finish().await;
        assert_eq!((again.run_id(), &again.events[..]), (stream.run_id(), &stream.events[1..]));
        refused(after(&decision(&[("decision", "refuse")]))).await.fails(409, "CONFLICT");
        assert_eq!(titles(&user).await, ["Milk"]);
        assert_eq!(metric(&app.metrics().await, "approved"), 1);
        let log = app.log();
        let line = log.iter().map(Value::to_string).find(|line| line.contains("decision about a tool call")).unwrap();
        let id = user.user_id.unwrap().to_string();
        assert!(["add_task", "call_0", "approved", id.as_str()].iter().all(|word| line.contains(word)), "{line}");

        // "always" asks again.
        asks_to_add(&upstream, "Eggs");
        until_asked(&user, session).await;
    }

    async fn a_call_is_refused_unless_it_is_clearly_approved(setup: Setup) {
        let upstream = Upstream::start().await;
        let (app, user, session) = stand(setup, ADDING, &upstream).await;
        let submissions = [
            decision(&[("decision", "refuse"), ("reason", "Not today")]),
            decision(&[("decision", "yes")]),
            decision(&[]),
            json!({"status": "skipped"}),
            json!({"status": "skipped", "answers": {"decision": {"values": ["approve"]}}}),
            json!({"answers": {"decision": {"values": ["approve"], "skipped": true}}}),
        ];
        for (index, submission) in submissions.iter().enumerate() {
            asks_to_add(&upstream, "Milk");
            let item = until_asked(&user, session).await;
            upstream.queue(Script::says(&["As you like"]));
            let stream = Sse::open(input(&user, session, &item, submission)).await.unwrap().finish().await;
            assert_eq!((stream.text().as_str(), &stream.terminal()["type"]), ("As you like", &json!("run.completed")));
            let told = results(&upstream);
            assert!(told.len() == index + 1 && told[index].contains("The user refused this call"), "{told:?}");
            refused(input(&user, session, &item, &decision(&[("decision", "approve")]))).await.fails(409, "CONFLICT");
        }
        assert!(results(&upstream)[0].contains("Not today"));
        assert!(titles(&user).await.is_empty());
        assert_eq!(metric(&app.metrics().await, "refused"), 6);

        // So has who says something else.
        asks_to_add(&upstream, "Milk");
        let item = until_asked(&user, session).await;
        user.say(session, "Never mind").await.terminal();
        assert!(results(&upstream)[6].contains("went on without approving"), "{:?}", results(&upstream));
        let shown = items(&user, session).await.into_iter().find(|one| one["id"] == item["id"]).unwrap();
        assert_eq!((&shown["status"], &shown["approval"]["outcome"]), (&json!("skipped"), &json!("abandoned")));
        refused(input(&user, session, &item, &decision(&[("decision", "approve")]))).await.fails(409, "CONFLICT");
        assert!(titles(&user).await.is_empty());
        assert_eq!(metric(&app.metrics().await, "abandoned"), 1);
    }

    async fn arguments_are_edited(setup: Setup) {
        let upstream = Upstream::start().await;
        asks_to_add(&upstream, "Milk");
        let (_app, user, session) = stand(setup, ADDING, &upstream).await;
        let item = until_asked(&user, session).await;
        for bad in ["", "[]", "{", "{}", r#"{"title": 7}"#, r#"{"title": "Tea", "priority": "huge"}"#] {
            let edit = decision(&[("decision", "edit"), ("arguments", bad)]);
            refused(input(&user, session, &item, &edit)).await.fails(400, "INVALID_REQUEST");
        }
        refused(input(&user, session, &item, &decision(&[("decision", "edit")]))).await.fails(400, "INVALID_REQUEST");
        assert!(titles(&user).await.is_empty());
        let edit = [("decision", "edit"), ("arguments", r#"{"title": "Tea"}"#)];
        decide(&user, session, &item, &edit).await;
        assert_eq!(titles(&user).await, ["Tea"]);
        assert!(results(&upstream)[0].contains("Tea"));
        let messages = upstream.requests().pop().unwrap()["messages"].to_string();
        assert!(!messages.contains("Milk"), "the model reads the call that was made: {messages}");
        let approval = items(&user, session).await[1]["approval"].clone();
        assert_eq!(
            (&approval["outcome"], &approval["arguments"], &approval["edited_arguments"]),
            (&json!("edited"), &json!({"title": "Milk"}), &json!({"title": "Tea"}))
        );
    }

    async fn only_the_same_decision_is_the_same_request(setup: Setup) {
        let upstream = Upstream::start().await;
        let (_app, user, session) = stand(setup, ADDING, &upstream).await;
        let edit = |title: &str| {
            decision(&[("decision", "edit"), ("arguments", json!({"title": title}).to_string().as_str())])
        };
        let refuse = |reason: &str| decision(&[("decision", "refuse"), ("reason", reason)]);
        let pairs = [
            (edit("Tea"), edit("Coffee")),
            (refuse("Too dear"), refuse("Too late")),
            (refuse("Too dear"), decision(&[("decision", "refuse")])),
            (decision(&[("decision", "approve")]), decision(&[("decision", "approve_always")])),
        ];
        for (made, other) in &pairs {
            asks_to_add(&upstream, "Milk");
            let item = until_asked(&user, session).await;
            let stream = Sse::open(input(&user, session, &item, made)).await.unwrap().finish().await;
            let after = |answer: &Value| {
                input(&user, session, &item, answer).header("last-event-id", format!("{}:1", stream.run_id()))
            };
            let again = Sse::open(after(made)).await.unwrap().finish().await;
            assert_eq!((again.run_id(), &again.events[..]), (stream.run_id(), &stream.events[1..]), "{made}");
            refused(after(other)).await.fails(409, "CONFLICT");
        }
        assert_eq!(titles(&user).await.len(), 2);
    }

    async fn of_many_answers_one_counts(setup: Setup) {
        let upstream = Upstream::start().await;
        asks_to_add(&upstream, "Milk");
        let (_app, user, session) = stand(setup, ADDING, &upstream).await;
        let item = until_asked(&user, session).await;
        let gate = Gate::closed();
        upstream.queue(Script::stream().words(&["Do"]).stop(&gate).words(&["ne"]).done("stop"));
        let racing = (0..6).map(|index| {
            let values = [("decision", if index % 2 == 0 { "approve" } else { "refuse" })];
            Sse::open(input(&user, session, &item, &decision(&values)))
        });
        let mut streams = Vec::new();
        for answer in futures::future::join_all(racing).await {
            match answer {
                Ok(stream) => streams.push(stream),
                Err(reply) => assert!(reply.status == 409, "{}", reply.text),
            }
        }
        gate.open();
        assert_eq!(streams.len(), 1);
        assert_eq!(streams.remove(0).finish().await.terminal()["type"], "run.completed");
        let approved = items(&user, session).await[1]["approval"]["outcome"] == "approved";
        assert_eq!(titles(&user).await.len(), usize::from(approved));
    }

    async fn a_call_waits_over_a_restart_and_expires(setup: Setup) {
        let upstream = Upstream::start().await;
        asks_to_add(&upstream, "Milk");
        let (app, user, session) = stand(setup, ADDING, &upstream).await;
        let item = until_asked(&user, session).await;
        let app = app.crash_and_restart().await;
        let user = user.at(&app);
        decide(&user, session, &item, &[("decision", "approve")]).await;
        assert_eq!(titles(&user).await, ["Milk"]);

        let short = format!("approval_expires_seconds = 1\n{ADDING}");
        let setup = app.again().agents(&short);
        drop(app);
        let app = setup.start().await;
        let user = user.at(&app);
        asks_to_add(&upstream, "Eggs");
        let item = until_asked(&user, session).await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        decide(&user, session, &item, &[("decision", "approve")]).await;
        assert!(results(&upstream)[1].contains("did not approve this call in time"), "{:?}", results(&upstream));
        assert_eq!(titles(&user).await, ["Milk"]);
        let shown = items(&user, session).await.into_iter().find(|one| one["id"] == item["id"]).unwrap();
        assert_eq!((&shown["status"], &shown["approval"]["outcome"]), (&json!("skipped"), &json!("expired")));
        assert_eq!(metric(&app.metrics().await, "expired"), 1);
    }

    async fn an_approved_call_that_is_interrupted_is_not_repeated(setup: Setup) {
        let (upstream, service) = (Upstream::start().await, Upstream::start().await);
        let file = format!(
            "[agents.a]\ntools = [\"pay\"]\n\n[tools.pay]\nkind = \"http\"\nurl = \"{}/pay\"\ndescription = \"Pays.\"\n\
             approval = \"always\"\nparameters = {{ type = \"object\" }}\n",
            service.base_url()
        );
        service.queue(Script::default().hang());
        upstream.queue(Script::calls(&[("pay", json!({"to": "Ada"}))]));
        let (app, user, session) = stand(setup, &file, &upstream).await;
        let item = until_asked(&user, session).await;
        let keyed = |user: &Client| {
            input(user, session, &item, &decision(&[("decision", "approve")])).header("idempotency-key", "pay")
        };
        let stream = Sse::open(keyed(&user)).await.unwrap();
        eventually("the call is made", || async { (service.requests().len() == 1).then_some(()) }).await;
        drop(stream);
        let app = app.crash_and_restart().await;
        let user = user.at(&app);
        let again = Sse::open(keyed(&user)).await.unwrap();
        let again = tokio::time::timeout(3 * PATIENCE, again.finish()).await.unwrap();
        let run = again.run_id();
        assert_eq!(user.run(run).await["status"], "interrupted");
        let calls = user.run(run).await["tool_calls"].clone();
        assert!(calls[0]["result"].as_str().unwrap().contains("unknown"), "{calls}");
        refused(input(&user, session, &item, &decision(&[("decision", "approve")]))).await.fails(409, "CONFLICT");
        user.say(session, "And?").await.terminal();
        assert!(results(&upstream)[0].contains("interrupted"), "{:?}", results(&upstream));
        assert_eq!(service.requests().len(), 1);
    }

    async fn what_is_approved_is_remembered_for_the_conversation(setup: Setup) {
        let upstream = Upstream::start().await;
        let file = "[agents.a]\ntools = [\"built-in\"]\n\
                    approval = { built-in = \"first\", complete_task = \"always\", list_tasks = \"never\" }\n";
        let (app, user, session) = stand(setup, file, &upstream).await;
        upstream.queue(Script::calls(&[("list_tasks", json!({}))]));
        assert_eq!(user.say(session, "List").await.text(), "Hello from upstream.");

        // "first": what the user refuses or edits is asked again, what the user approves is not.
        for values in [&[("decision", "refuse")] as &[_], &[("decision", "edit"), ("arguments", "{\"title\": \"Tea\"}")]] {
            asks_to_add(&upstream, "Milk");
            let item = until_asked(&user, session).await;
            decide(&user, session, &item, values).await;
        }
        asks_to_add(&upstream, "Milk");
        let item = until_asked(&user, session).await;
        decide(&user, session, &item, &[("decision", "approve")]).await;
        asks_to_add(&upstream, "Eggs");
        user.say(session, "Add").await.terminal();
        assert_eq!(titles(&user).await.len(), 3);
        // Another tool, and another conversation, ask for themselves.
        let id = user.get("/api/v1/tasks").await.data()[0]["id"].clone();
        upstream.queue(Script::calls(&[("complete_task", json!({"task_id": id}))]));
        let other = user.session().await;
        let item = until_asked(&user, session).await;
        asks_to_add(&upstream, "Bread");
        until_asked(&user, other).await;

        // "always": once the user approves all, none is asked, also after a restart.
        decide(&user, session, &item, &[("decision", "approve_always")]).await;
        let app = app.crash_and_restart().await;
        let user = user.at(&app);
        upstream.queue(Script::calls(&[("complete_task", json!({"task_id": id})), ("add_task", json!({"title": "Salt"}))]));
        user.say(session, "Both").await.terminal();
        assert_eq!(titles(&user).await.len(), 4);
        assert_eq!(items(&user, session).await.last().unwrap()["type"], "assistant_message");
        // Nothing that a client can write is an approval.
        let metadata = json!({"metadata": {"approved_tools": ["complete_task"], "tool_approvals": ["complete_task"]}});
        user.patch(&format!("/api/v1/chatkit/sessions/{other}"), &metadata).await;
        upstream.queue(Script::calls(&[("complete_task", json!({"task_id": id}))]));
        until_asked(&user, other).await;
    }

    async fn no_number_is_rounded(setup: Setup) {
        let (upstream, service) = (Upstream::start().await, Upstream::start().await);
        let tool = |name: &str, approval: &str| {
            format!(
                "\n[tools.{name}]\nkind = \"http\"\nurl = \"{}/{name}\"\ndescription = \"Acts.\"\n\
                 approval = \"{approval}\"\nparameters = {{ type = \"object\", properties = {{ id = {{}} }} }}\n",
                service.base_url()
            )
        };
        let (pay, look) = (tool("pay", "always"), tool("look", "never"));
        let file = format!("[agents.a]\ntools = [\"pay\", \"look\"]\n{pay}{look}");
        let (_app, user, session) = stand(setup, &file, &upstream).await;
        let call = |name: &str, id: &str| {
            let function = json!({"name": name, "arguments": format!("{{\"id\": {id}}}")});
            let call = json!({"index": 0, "id": "call_0", "type": "function", "function": function});
            upstream.queue(Script::stream().event(json!({"tool_calls": [call]}), None).done("tool_calls"));
        };
        // The model is told, whether the call needs an approval or not, and the user is not asked.
        for name in ["pay", "look"] {
            call(name, "12345678901234567890123");
            user.say(session, "Do it").await.terminal();
            let told = results(&upstream).pop().unwrap();
            assert!(told.contains("12345678901234567890123") && told.contains("`id`"), "{told}");
        }
        assert!(service.requests().is_empty());
        service.queue(Script::json(&json!({}))).queue(Script::json(&json!({})));
        call("look", "18446744073709551615");
        user.say(session, "Do it").await.terminal();
        assert_eq!(service.requests()[0]["id"], json!(u64::MAX));
        // So is the user who edits.
        call("pay", "1");
        let item = until_asked(&user, session).await;
        let edit = |id: &str| decision(&[("decision", "edit"), ("arguments", format!("{{\"id\": {id}}}").as_str())]);
        let reply = refused(input(&user, session, &item, &edit("12345678901234567890123"))).await;
        assert!(reply.fails(400, "INVALID_REQUEST").contains("`id`"), "{}", reply.text);
        Sse::open(input(&user, session, &item, &edit("\"12345678901234567890123\""))).await.unwrap().finish().await;
        assert_eq!(service.requests()[1]["id"], "12345678901234567890123");
    }

    async fn of_several_calls_the_others_are_made_and_one_waits(setup: Setup) {
        let upstream = Upstream::start().await;
        let (_app, user, session) = stand(setup, ADDING, &upstream).await;
        upstream.queue(Script::calls(&[
            ("add_task", json!({"title": 7})),
            ("add_task", json!({"title": "Milk"})),
            ("list_tasks", json!({})),
            ("add_task", json!({"title": "Eggs"})),
        ]));
        let item = until_asked(&user, session).await;
        assert_eq!(item["approval"]["arguments"], json!({"title": "Milk"}));
        assert!(titles(&user).await.is_empty());
        decide(&user, session, &item, &[("decision", "approve")]).await;
        assert_eq!(titles(&user).await, ["Milk"]);
        let told = results(&upstream).join("\n");
        assert!(told.contains("Bad arguments") && told.contains("answered first") && told.contains("Milk"), "{told}");
    }
}

serve_and_split! {
    async fn decisions_over_chatkit_and_rpc_and_tools_of_mcp_servers(setup: Setup) {
        let Some(python) = python() else { return };
        let upstream = Upstream::start().await;
        let script = example("notes_mcp.py");
        let file = format!(
            "[agents.a]\ntools = [\"mcp:notes\"]\n\n[mcp.notes]\ncommand = {python:?}\nargs = [{script:?}]\n\
             approval = {{ \"*\" = \"never\", add = \"always\" }}\n"
        );
        let (_app, user, session) = stand(setup, &file, &upstream).await;
        until_offered(&user, session, &upstream, "notes_add").await;
        let ask = || upstream.queue(Script::calls(&[("notes_add", json!({"text": "Milk"}))]));
        ask();
        let item = until_asked(&user, session).await;
        let params = json!({"thread_id": session, "item_id": item["id"], "input": decision(&[("decision", "approve")])});
        let stream = user.chatkit_stream("threads.add_structured_input", params).await.unwrap().finish().await;
        let done = stream.events.iter().map(|(_, event)| &event["item"]["content"][0]["text"]);
        assert!(done.filter(|text| *text == "Hello from upstream.").count() >= 1, "{:?}", stream.types());
        assert!(results(&upstream).last().unwrap().contains("\"kept\":1"), "{:?}", results(&upstream));
        ask();
        let item = until_asked(&user, session).await;
        let params = json!({"thread_id": session, "item_id": item["id"], "input": decision(&[("decision", "approve")])});
        let run = user.rpc_ok("threads.add_structured_input", params.clone()).await;
        let run: Uuid = run["id"].as_str().unwrap().parse().unwrap();
        eventually("the run ends", || async { (user.run(run).await["status"] == "completed").then_some(()) }).await;
        assert!(results(&upstream).last().unwrap().contains("\"kept\":2"), "{:?}", results(&upstream));
        assert_eq!(user.rpc("threads.add_structured_input", params).await["error"]["data"]["code"], "CONFLICT");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_replica_makes_the_call() {
    let Some(setup) = Setup::postgres().await else { return };
    let upstream = Upstream::start().await;
    asks_to_add(&upstream, "Milk");
    let (one, user, session) = stand(setup, ADDING, &upstream).await;
    let other = one.again().start().await;
    let item = until_asked(&user, session).await;
    let at_other = user.at(&other);
    let approve = decision(&[("decision", "approve")]);
    let (first, second) = tokio::join!(
        Sse::open(input(&at_other, session, &item, &approve)),
        Sse::open(input(&user, session, &item, &approve))
    );
    let (won, lost): (Vec<_>, Vec<_>) = [first, second].into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 1));
    for stream in won.into_iter().flatten() {
        assert_eq!(stream.finish().await.terminal()["type"], "run.completed");
    }
    assert_eq!(titles(&at_other).await, ["Milk"]);
}
