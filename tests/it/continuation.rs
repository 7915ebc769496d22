//! Runs that continue after their process was killed.

use crate::everywhere;
use crate::support::{App, Client, PATIENCE, Script, Setup, Sse, Upstream, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Numbers per owner of a run.
const EPOCH: u64 = 1_000_000_000;

/// Waits until a run has ended, and returns it.
async fn ended(user: &Client, run: Uuid) -> Value {
    let deadline = Instant::now() + 3 * PATIENCE;
    loop {
        let now = user.run(run).await;
        if now["status"] != "running" {
            return now;
        }
        assert!(Instant::now() < deadline, "the run of a dead process goes on for ever");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn items(user: &Client, session: Uuid) -> Vec<Value> {
    let page = user.get(&format!("/api/v1/chatkit/sessions/{session}/items?order=asc&limit=100")).await;
    page.data().as_array().unwrap().clone()
}

/// The items that a reader has after these events, by their ids.
fn screen<'a>(events: impl IntoIterator<Item = &'a Value>) -> BTreeMap<String, Value> {
    let mut items = BTreeMap::new();
    let id = |item: &Value| item["id"].as_str().unwrap().to_owned();
    for event in events {
        match event["type"].as_str().unwrap() {
            "run.resync" => {
                items =
                    event["items"]["data"].as_array().unwrap().iter().map(|item| (id(item), item.clone())).collect();
            }
            "thread.item.added" | "thread.item.done" | "thread.item.replaced" => {
                items.insert(id(&event["item"]), event["item"].clone());
            }
            "thread.item.removed" => drop(items.remove(event["item_id"].as_str().unwrap())),
            _ => {}
        }
    }
    items
}

fn events(stream: &Sse) -> impl Iterator<Item = &Value> {
    stream.events.iter().map(|(_, event)| event)
}

/// Checks that a stream ends once, and that its reader has exactly the stored items.
async fn check_screen(user: &Client, session: Uuid, stream: &Sse) {
    let ends = stream.types().iter().filter(|kind| kind.starts_with("run.") && **kind != "run.resync").count();
    assert_eq!(ends, 1, "{:?}", stream.types());
    let stored: BTreeMap<_, _> =
        items(user, session).await.into_iter().map(|item| (item["id"].as_str().unwrap().to_owned(), item)).collect();
    assert_eq!(screen(events(stream)), stored);
}

/// Starts a run that is cut off after `words`, and kills the service. Returns the next one, the run and the last
/// number.
async fn cut_off(app: App, session: Uuid, user: &Client, words: &str) -> (App, Uuid, u64) {
    let mut stream = user.start(session, "Tell me").await.unwrap();
    let said = stream.until_said(words).await;
    let run = stream.run_id();
    app.database.logged(run, said).await;
    drop(stream);
    (app.crash_and_restart().await, run, said)
}

everywhere! {
    async fn an_answer_goes_on_after_its_process_was_killed(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.queue(Script::stream().words(&["Half", " an"]).hang());
        upstream.queue(Script::says(&["A", " whole", " answer"]));
        let app = setup.upstream(&upstream).with("BUDGET_TOKENS_PER_DAY", 1_000_000).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let (app, run, said) = cut_off(app, session, &user, "Half an").await;
        let user = user.at(&app);
        // The client comes back with its cursor, and one that has heard words that reached nobody's database.
        for cursor in [said, said + 7] {
            let late = user.follow(run, Some(&format!("{run}:{cursor}"))).await.unwrap().finish().await;
            assert_eq!(late.types()[0], "run.resync", "{:?}", late.types());
            assert_eq!(late.text(), "A whole answer");
            assert_eq!(late.terminal()["type"], "run.completed");
            assert!(late.seqs().iter().all(|seq| *seq > EPOCH), "{:?}", late.seqs());
            check_screen(&user, session, &late).await;
        }
        let whole = user.follow(run, None).await.unwrap().finish().await;
        check_screen(&user, session, &whole).await;
        assert_eq!(ended(&user, run).await, whole.terminal()["run"]);
        assert_eq!(user.run(run).await["id"], json!(run), "it is the same run");
        let history = user.history(session).await;
        let texts: Vec<_> = history["messages"].as_array().unwrap().iter().map(|one| &one["content"][0]["text"]).collect();
        assert_eq!(texts, ["Tell me", "A whole answer"]);
        // The model is asked the same again.
        let requests = upstream.requests();
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[0]["messages"], requests[1]["messages"]);
        // Unfinished output is paid for, as an estimate, and the reservation has ended.
        let usage = user.run(run).await["usage"].clone();
        assert_eq!(usage, json!({"prompt_tokens": 7, "completion_tokens": 3}));
        let day = user.rpc_ok("usage.get", json!({})).await;
        let day = &day["days"][0];
        assert!(day["prompt_tokens"].as_u64().unwrap() > 7 && day["completion_tokens"] == 3 + 2, "{day}");
        assert_eq!(app.database.count("SELECT COUNT(*) AS rows FROM usage_days WHERE held_tokens <> 0").await, 0);
        assert_eq!(app.database.count("SELECT COUNT(*) AS rows FROM runs WHERE request IS NOT NULL OR used IS NOT NULL").await, 0);
        let metric = r#"threadline_runs_taken_over_total{outcome="continued"} 1"#;
        assert!(app.metrics().await.contains(metric));
        assert_eq!(user.say(session, "And now?").await.terminal()["type"], "run.completed");
    }

    async fn finished_steps_are_kept_and_no_call_is_made_twice(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.queue(
            Script::stream()
                .words(&["One moment"])
                .event(json!({"tool_calls": [{"index": 0, "id": "call_1", "type": "function",
                    "function": {"name": "add_task", "arguments": "{\"title\":\"Milk\"}"}}]}), None)
                .done("tool_calls"),
        );
        upstream.queue(Script::stream().words(&["Now"]).hang());
        upstream.queue(Script::calls(&[("list_tasks", json!({}))]));
        upstream.queue(Script::says(&["It is there."]));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let (app, run, said) = cut_off(app, session, &user, "One momentNow").await;
        let user = user.at(&app);
        let late = user.follow(run, Some(&format!("{run}:{said}"))).await.unwrap().finish().await;
        assert_eq!(late.terminal()["type"], "run.completed");
        check_screen(&user, session, &late).await;
        check_screen(&user, session, &user.follow(run, None).await.unwrap().finish().await).await;
        let requests = upstream.requests();
        assert_eq!(requests.len(), 4);
        assert_eq!(requests[1]["messages"], requests[2]["messages"], "the model has the call and its result");
        assert!(requests[2]["messages"].as_array().unwrap().iter().any(|one| one["role"] == "tool"));
        assert_eq!(user.get("/api/v1/tasks").await.data().as_array().unwrap().len(), 1, "the task is there once");
        let calls = user.run(run).await["tool_calls"].clone();
        let names: Vec<_> = calls.as_array().unwrap().iter().map(|call| &call["name"]).collect();
        assert_eq!(names, ["add_task", "list_tasks"]);
        let messages = user.history(session).await["messages"].clone();
        let texts: Vec<_> = messages.as_array().unwrap().iter().map(|one| &one["content"][0]["text"]).collect();
        assert_eq!(texts, ["Tell me", "One moment", "It is there."]);
    }

    async fn an_open_call_is_made_again_only_if_its_tool_is_idempotent(setup: Setup) {
        let (upstream, service) = (Upstream::start().await, Upstream::start().await);
        let tool = |name: &str, more: &str| format!(
            "[tools.{name}]\nkind = \"http\"\nurl = \"{}/{name}\"\ndescription = \"Does it.\"\n\
             parameters = {{ type = \"object\", properties = {{ to = {{ type = \"string\" }} }} }}\n{more}\n", service.base_url());
        let file = format!(
            "[agents.a]\ntools = [\"put\", \"pay\"]\n\n{}{}",
            tool("put", "method = \"PUT\"\nidempotent = true\n"), tool("pay", ""),
        );
        let app = setup.upstream(&upstream).agents(&file).start().await;
        let user = app.user().await;
        let begin = async |app: &App, user: &Client, name: &str| {
            let before = service.requests().len();
            service.queue(Script::default().hang());
            upstream.queue(Script::calls(&[(name, json!({"to": "Ada"}))]));
            let session = user.session().await;
            let stream = user.start(session, "Do it").await.unwrap();
            let run = stream.run_id();
            eventually("the call is made", || async { (service.requests().len() == before + 1).then_some(()) }).await;
            app.database.logged(run, 3).await;
            (session, run)
        };
        let (session, run) = begin(&app, &user, "put").await;
        service.queue(Script::json(&json!({"done": true})));
        upstream.queue(Script::says(&["Done."]));
        let app = app.crash_and_restart().await;
        let user = user.at(&app);
        let late = user.follow(run, None).await.unwrap().finish().await;
        assert_eq!(late.terminal()["type"], "run.completed");
        assert_eq!(service.requests().len(), 2, "it is made again");
        assert_eq!(service.requests()[0], service.requests()[1]);
        check_screen(&user, session, &late).await;
        let workflow = items(&user, session).await.into_iter().find(|item| item["type"] == "workflow").unwrap();
        let entries = workflow["workflow"]["tasks"].as_array().unwrap();
        assert!(entries.len() == 1 && entries[0]["status_indicator"] == "complete", "{workflow}");
        let calls = user.run(run).await["tool_calls"].clone();
        assert_eq!(calls[0]["result"], r#"{"done":true}"#);

        let (session, run) = begin(&app, &user, "pay").await;
        let app = app.crash_and_restart().await;
        let user = user.at(&app);
        assert_eq!(ended(&user, run).await["status"], "interrupted");
        assert_eq!(service.requests().len(), 3, "it is not made again");
        let calls = user.run(run).await["tool_calls"].clone();
        assert!(calls[0]["result"].as_str().unwrap().contains("unknown"), "{calls}");
        check_screen(&user, session, &user.follow(run, None).await.unwrap().finish().await).await;
    }

    async fn an_answer_that_replaces_another_goes_on(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.queue(Script::says(&["Old"]));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        user.say(session, "Hello").await.terminal();
        let message = items(&user, session).await[0]["id"].clone();
        upstream.queue(Script::calls(&[("add_task", json!({"title": "Milk"}))]));
        upstream.queue(Script::stream().words(&["New"]).hang());
        upstream.queue(Script::says(&["Newer"]));
        let path = format!("/api/v1/chatkit/sessions/{session}/threads/{session}/retry");
        let request = user.request(Method::POST, &path).json(&json!({"item_id": message}));
        let mut stream = Sse::open(request).await.unwrap();
        let said = stream.until_said("New").await;
        let run = stream.run_id();
        app.database.logged(run, said).await;
        let app = app.crash_and_restart().await;
        let user = user.at(&app);
        assert_eq!(ended(&user, run).await["status"], "completed");
        let texts: Vec<String> = items(&user, session).await.iter()
            .filter_map(|item| Some(item["content"][0]["text"].as_str()?.to_owned())).collect();
        assert_eq!(texts, ["Hello", "Newer"]);
        let prompt = upstream.requests().pop().unwrap()["messages"].clone();
        let roles: Vec<_> = prompt.as_array().unwrap().iter().map(|one| one["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["system", "user", "assistant", "tool"], "{prompt}");
        assert_eq!(user.get("/api/v1/tasks").await.data().as_array().unwrap().len(), 1);
        let whole = user.follow(run, None).await.unwrap().finish().await;
        let shown = screen(events(&whole));
        let stored: BTreeMap<_, _> = items(&user, session).await.into_iter()
            .filter(|item| item["type"] != "user_message")
            .map(|item| (item["id"].as_str().unwrap().to_owned(), item)).collect();
        assert_eq!(shown, stored);
    }

    async fn a_run_that_brings_down_each_process_ends(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.answer_with(|_| Script::stream().words(&["Boom"]).hang());
        let mut app = setup.upstream(&upstream).start().await;
        let mut user = app.user().await;
        let session = user.session().await;
        let run = user.start(session, "Tell me").await.unwrap().run_id();
        for owner in 1..=4 {
            eventually("the model is asked", || async { (upstream.requests().len() == owner).then_some(()) }).await;
            // Its words are in the log.
            let mut stream = user.follow(run, None).await.unwrap();
            while !stream.events.last().is_some_and(|(cursor, event)| {
                let seq: u64 = cursor.as_ref().unwrap().rsplit(':').next().unwrap().parse().unwrap();
                event["delta"] == "Boom" && seq > (owner as u64 - 1) * EPOCH
            }) {
                stream.next().await.expect("it goes on");
            }
            let said = *stream.seqs().last().unwrap();
            app.database.logged(run, said).await;
            app = app.crash_and_restart().await;
            user = user.at(&app);
        }
        assert_eq!(ended(&user, run).await["status"], "interrupted");
        assert_eq!(upstream.requests().len(), 4, "the fourth process was the last one");
        let whole = user.follow(run, None).await.unwrap().finish().await;
        assert_eq!(whole.types().iter().filter(|kind| **kind == "run.resync").count(), 4);
        check_screen(&user, session, &whole).await;
        let messages = user.history(session).await["messages"].clone();
        assert_eq!(messages[1]["content"][0]["text"], "Boom", "once: {messages}");
        upstream.answer_with(|_| Script::says(&["Hello"]));
        assert_eq!(user.say(session, "And now?").await.terminal()["type"], "run.completed");
    }

    async fn a_run_that_is_too_old_or_whose_agent_is_gone_does_not_go_on(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.answer_with(|_| Script::stream().words(&["Word"]).hang());
        let file = |agents: &[&str]| {
            let table = |name: &&str| format!("[agents.{name}]\ntools = []\n");
            format!("default = \"a\"\n{}", agents.iter().map(table).collect::<String>())
        };
        let app = setup.upstream(&upstream).agents(&file(&["a", "b"])).with("RUN_MAX_SECONDS", 6).start().await;
        let user = app.user().await;
        let thread = user.rpc_ok("threads.create", json!({"agent": "b"})).await["thread"]["id"].clone();
        let of_b: Uuid = thread.as_str().unwrap().parse().unwrap();
        let session = user.session().await;
        let mut runs = Vec::new();
        for session in [of_b, session] {
            let mut stream = user.start(session, "Tell me").await.unwrap();
            let said = stream.until_said("Word").await;
            app.database.logged(stream.run_id(), said).await;
            runs.push(stream.run_id());
        }
        let setup = app.again().agents(&file(&["a"]));
        drop(app);
        let app = setup.start().await;
        let user = user.at(&app);
        assert_eq!(ended(&user, runs[0]).await["status"], "interrupted", "its agent is gone");
        // The other continues, and has only the rest of its time.
        let failed = ended(&user, runs[1]).await;
        assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("failed"), &json!("UPSTREAM_TIMEOUT")));
        let took = failed["finished_at"].as_str().zip(failed["created_at"].as_str());
        let took = took.map(|(end, start)| {
            let time = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap();
            (time(end) - time(start)).num_seconds()
        });
        assert!((5..=20).contains(&took.unwrap()), "{failed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_replica_goes_on_and_all_followers_have_what_is_stored() {
    let Some(setup) = Setup::postgres().await else { return };
    let upstream = Upstream::start().await;
    upstream.queue(Script::stream().words(&["Half", " an"]).hang());
    upstream.queue(Script::says(&["A", " whole", " answer"]));
    let mut one = setup.upstream(&upstream).start().await;
    let other = one.again().start().await;
    let user = one.user().await;
    let there = user.at(&other);
    let session = user.session().await;
    let mut stream = user.start(session, "Tell me").await.unwrap();
    let run = stream.run_id();
    let mut of_run = there.follow(run, None).await.unwrap();
    let mut of_thread = there.follow_session(session, "", None).await.unwrap();
    let mut socket = there.socket().await;
    let subscription = socket.subscribe(&run.to_string(), None).await;
    for follower in [&mut stream, &mut of_run, &mut of_thread] {
        follower.until_said("Half an").await;
    }
    one.core().kill();
    let killed = Instant::now();
    let of_run = of_run.finish().await;
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(4), "it went on and ended after {took:?}");
    assert_eq!(of_run.terminal()["type"], "run.completed");
    assert!(of_run.text().ends_with("A whole answer"), "{}", of_run.text());
    check_screen(&there, session, &of_run).await;
    while !of_thread.types().contains(&"run.completed") {
        of_thread.next().await.expect("the feed of the thread goes on");
    }
    check_screen(&there, session, &of_thread).await;
    let told: Vec<Value> = socket.events(&subscription).await.into_iter().map(|(_, event)| event).collect();
    let stored: BTreeMap<_, _> =
        items(&there, session).await.into_iter().map(|item| (item["id"].as_str().unwrap().to_owned(), item)).collect();
    assert_eq!(screen(&told), stored);
    // The first client comes back with what it had heard.
    let said = *stream.seqs().last().unwrap();
    let late = there.follow(run, Some(&format!("{run}:{said}"))).await.unwrap().finish().await;
    assert_eq!(late.text(), "A whole answer");
    assert_eq!(upstream.requests().len(), 2);
}
