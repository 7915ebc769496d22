//! Titles from a model, during the first run.

use crate::everywhere;
use crate::support::{App, Client, Gate, Script, Setup, Sse, Upstream, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

const TITLE_MODEL: &str = "m/title";
const FIRST: &str = "Please help me with the groceries";

/// Starts a model server with one script for titles and another one for everything else.
async fn upstream(
    title: impl Fn() -> Script + Send + Sync + 'static,
    answer: impl Fn() -> Script + Send + Sync + 'static,
) -> Upstream {
    let upstream = Upstream::start().await;
    upstream.answer_with(move |request| if request["model"] == TITLE_MODEL { title() } else { answer() });
    upstream
}

fn asked(upstream: &Upstream) -> Vec<Value> {
    upstream.requests().into_iter().filter(|request| request["model"] == TITLE_MODEL).collect()
}

/// Creates a thread with its first message, like a front end.
async fn begin(user: &Client) -> (Uuid, Sse) {
    let mut stream =
        user.chatkit_stream("threads.create", json!({"input": Client::chatkit_input(FIRST)})).await.unwrap();
    let created = stream.next().await.unwrap();
    (created["thread"]["id"].as_str().unwrap().parse().unwrap(), stream)
}

async fn title(user: &Client, thread: Uuid) -> Value {
    user.history(thread).await["title"].clone()
}

fn place(stream: &Sse, kind: &str) -> usize {
    stream.types().iter().position(|found| *found == kind).unwrap_or_else(|| panic!("no {kind}: {:?}", stream.types()))
}

/// Waits until a number of titles has this outcome.
async fn until(app: &App, outcome: &str, count: u32) {
    let line = format!("threadline_titles_total{{outcome=\"{outcome}\"}} {count}\n");
    eventually(&line, || async { app.metrics().await.contains(&line).then_some(()) }).await;
}

everywhere! {
    async fn a_title_is_improved_during_the_run(setup: Setup) {
        let gate = Gate::closed();
        let upstream = upstream(|| Script::says(&["\"Help with", " groceries.\"\n"]), {
            let gate = gate.clone();
            move || Script::stream().words(&["Of"]).stop(&gate).words(&[" course."]).done("stop")
        })
        .await;
        let app = setup.upstream(&upstream).with("TITLE_MODEL", TITLE_MODEL).start().await;
        let user = app.user().await;
        let (thread, mut stream) = begin(&user).await;
        stream.until("thread.updated").await;
        assert_eq!(title(&user, thread).await, "Help with groceries");
        gate.open();
        let stream = stream.finish().await;
        let (updated, done) = (place(&stream, "thread.updated"), stream.types().len() - 1);
        assert_eq!(stream.events[0].1["thread"]["title"], FIRST);
        assert_eq!(stream.events[updated].1["thread"]["title"], "Help with groceries");
        assert!(place(&stream, "thread.created") < updated && updated < done, "{:?}", stream.types());
        // Both calls belong to the run, and its events can be read again unchanged.
        let run = user.run(stream.run_id()).await;
        assert_eq!((&run["status"], &run["usage"]), (&json!("completed"), &json!({"prompt_tokens": 14, "completion_tokens": 6})));
        let again = user.follow(stream.run_id(), None).await.unwrap().finish().await;
        assert_eq!(again.types().iter().filter(|kind| **kind == "thread.updated").count(), 1);
        assert_eq!(again.terminal()["run"]["last_seq"], json!(again.seqs().last()));
        let total = user.get("/api/v1/usage").await.data()["total"].clone();
        assert_eq!((&total["runs"], &total["prompt_tokens"], &total["completion_tokens"]), (&json!(1), &json!(14), &json!(6)));

        let [request] = asked(&upstream).try_into().unwrap();
        let messages = request["messages"].as_array().unwrap();
        assert_eq!((messages.len(), &messages[1]["content"], &request["max_tokens"]), (2, &json!(FIRST), &json!(64)));
        assert!(request.get("tools").is_none());
        // A title is requested once: not with the next message, and not for a retry.
        user.say(thread, "And then?").await.terminal();
        let message = user.get(&format!("/api/v1/chatkit/sessions/{thread}/items?order=asc")).await.data()[0]["id"].clone();
        let retry = json!({"thread_id": thread, "item_id": message});
        user.chatkit_stream("threads.retry_after_item", retry).await.unwrap().finish().await;
        assert_eq!(asked(&upstream).len(), 1);
        until(&app, "stored", 1).await;
    }

    async fn a_title_that_arrives_after_the_run_is_stored(setup: Setup) {
        let gate = Gate::closed();
        let upstream = upstream(
            { let gate = gate.clone(); move || Script::stream().words(&["Groceries"]).stop(&gate).done("stop") },
            || Script::says(&["Sure."]),
        )
        .await;
        let app = setup.upstream(&upstream).with("TITLE_MODEL", TITLE_MODEL).start().await;
        let user = app.user().await;
        // The first message of an existing session.
        let thread = user.session().await;
        let used = user.get(&format!("/api/v1/chatkit/sessions/{thread}")).await.data()["updated_at"].clone();
        let answer = user.say(thread, FIRST).await;
        assert_eq!(answer.terminal()["type"], "run.completed");
        let last_used = user.history(thread).await["updated_at"].clone();
        assert_ne!(last_used, used);
        let usage = async || user.get("/api/v1/usage").await.data()["total"].clone();
        assert_eq!(usage().await["prompt_tokens"], 7);
        let mut follower = user.follow_session(thread, "", None).await.unwrap();
        gate.open();
        assert_eq!(follower.until("thread.updated").await["thread"]["title"], "Groceries");
        until(&app, "stored", 1).await;
        let thread_now = user.history(thread).await;
        assert_eq!((&thread_now["title"], &thread_now["updated_at"]), (&json!("Groceries"), &last_used));
        // It is charged once, and is not a run.
        let booked = || async { (usage().await["prompt_tokens"] == 14).then_some(()) };
        eventually("what it used is booked", booked).await;
        let total = usage().await;
        assert_eq!((&total["runs"], &total["unpriced_runs"], &total["completion_tokens"]), (&json!(1), &json!(1), &json!(6)));
        assert_eq!(user.run(answer.run_id()).await["usage"]["prompt_tokens"], 7);
    }

    async fn what_the_user_chose_stays(setup: Setup) {
        let gate = Gate::closed();
        let upstream = upstream(
            { let gate = gate.clone(); move || Script::stream().words(&["Groceries"]).stop(&gate).done("stop") },
            || Script::says(&["Sure."]),
        )
        .await;
        let app = setup.upstream(&upstream).with("TITLE_MODEL", TITLE_MODEL).start().await;
        let user = app.user().await;
        let (renamed, stream) = begin(&user).await;
        stream.finish().await;
        // Even if they chose the same words.
        user.patch(&format!("/api/v1/chatkit/sessions/{renamed}"), &json!({"title": FIRST})).await.data();
        let (deleted, stream) = begin(&user).await;
        stream.finish().await;
        user.delete(&format!("/api/v1/chatkit/sessions/{deleted}")).await;
        eventually("both are asked for", || async { (asked(&upstream).len() == 2).then_some(()) }).await;
        gate.open();
        until(&app, "kept", 2).await;
        assert_eq!(title(&user, renamed).await, FIRST);

        // A session with a title before its first message gets none.
        let named = user.session().await;
        user.patch(&format!("/api/v1/chatkit/sessions/{named}"), &json!({"title": "Mine"})).await.data();
        user.say(named, FIRST).await.terminal();
        assert_eq!((title(&user, named).await, asked(&upstream).len()), (json!("Mine"), 2));
    }

    async fn a_failing_title_model_disturbs_nothing(setup: Setup) {
        let upstream = upstream(|| Script::fails(400, &json!({"error": {"message": "No such model"}})), || Script::says(&["Sure."])).await;
        let app = setup.upstream(&upstream).with("TITLE_MODEL", TITLE_MODEL).start().await;
        let user = app.user().await;
        let (thread, stream) = begin(&user).await;
        let stream = stream.finish().await;
        until(&app, "failed", 1).await;
        let answer = user.follow(stream.run_id(), None).await.unwrap().finish().await;
        assert_eq!((answer.text().as_str(), &answer.terminal()["type"]), ("Sure.", &json!("run.completed")));
        assert_eq!(title(&user, thread).await, FIRST);
        assert!(app.log().iter().any(|line| line["level"] == "WARN" && line["error"].to_string().contains("400")));
        assert_eq!(user.get("/api/v1/usage").await.data()["total"]["prompt_tokens"], 7);
    }

    async fn an_agent_decides_on_the_first_title(setup: Setup) {
        let agents = r#"
default = "plain"
[agents.plain]
[agents.quiet]
starter_title = "none"
[agents.named]
starter_title = "none"
title_model = "m/title"
"#;
        let upstream = upstream(|| Script::says(&["Groceries"]), || Script::says(&["Sure."])).await;
        let app = setup.upstream(&upstream).agents(agents).start().await;
        let user = app.user().await;
        for (agent, expected) in [("plain", FIRST), ("quiet", "New Chat"), ("named", "Groceries")] {
            let reply = user.post("/api/v1/chatkit/sessions", &json!({"agent": agent})).await;
            let session = reply.data()["id"].as_str().unwrap().parse().unwrap();
            let answer = user.say(session, FIRST).await;
            let created = user.rpc_ok("threads.create", json!({"agent": agent, "input": Client::chatkit_input(FIRST)})).await;
            let thread = created["thread"]["id"].as_str().unwrap().parse().unwrap();
            if agent != "named" {
                assert_eq!(answer.types().contains(&"thread.updated"), agent == "plain", "{agent}");
            }
            let called = || async {
                (title(&user, session).await == expected && title(&user, thread).await == expected).then_some(())
            };
            eventually(&format!("threads of {agent} are called {expected}"), called).await;
        }
        assert_eq!(asked(&upstream).len(), 2);
        // A second message is not a title either.
        let session = user.post("/api/v1/chatkit/sessions", &json!({"agent": "quiet"})).await.data()["id"].as_str().unwrap().parse().unwrap();
        user.say(session, "One").await.terminal();
        user.say(session, "Two").await.terminal();
        assert_eq!(title(&user, session).await, "New Chat");
    }

    async fn titles_count_against_the_budget(setup: Setup) {
        let agents = r#"
[agents.a]
model = "m/answer"
title_model = "m/title"
[agents.unpriced]
model = "m/answer"
title_model = "m/unpriced"
[models."m/answer"]
input_per_million = 1
output_per_million = 1
[models."m/title"]
input_per_million = 100
output_per_million = 100
"#;
        let gate = Gate::closed();
        let upstream = upstream(
            || Script::says(&["Groceries"]),
            { let gate = gate.clone(); move || Script::stream().words(&["Sure."]).stop(&gate).done("stop") },
        )
        .await;
        let agents = format!("default = \"a\"\n{agents}");
        let setup = setup.upstream(&upstream).agents(&agents).with("BUDGET_COST_PER_DAY", "0.0015").with("BUDGET_HOLD_TOKENS", 10);
        let app = setup.start().await;
        let user = app.user().await;
        let (thread, mut stream) = begin(&user).await;
        // Reserved at the highest price of the possible models.
        let budget = user.get("/api/v1/usage").await.data()["budget"]["cost_micros"].clone();
        assert_eq!((&budget["held"], &budget["left"]), (&json!(1000), &json!(500)));
        stream.until("thread.updated").await;
        gate.open();
        let stream = stream.finish().await;
        assert_eq!(title(&user, thread).await, "Groceries");
        // Ten tokens of each.
        assert_eq!(user.run(stream.run_id()).await["cost_micros"], 1010);
        let budget = user.get("/api/v1/usage").await.data()["budget"]["cost_micros"].clone();
        assert_eq!(budget, json!({"limit": 1500, "used": 1010, "held": 0, "left": 490}));
        // No title is requested for a user whose budget is used up.
        let refused = user.chatkit("threads.create", json!({"input": Client::chatkit_input(FIRST)})).await;
        assert_eq!(refused.status, 429, "{}", refused.text);
        assert_eq!((upstream.requests().len(), asked(&upstream).len()), (2, 1));
        // Nor of a model without a price; the response is not affected.
        let other = app.user().await;
        let session = other.post("/api/v1/chatkit/sessions", &json!({"agent": "unpriced"})).await.data()["id"].clone();
        let answer = other.say(session.as_str().unwrap().parse().unwrap(), FIRST).await;
        assert_eq!(answer.terminal()["type"], "run.completed");
        assert_eq!(upstream.requests().len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_title() {
    let upstream = upstream(|| Script::stream().words(&["Groce"]).hang(), || Script::says(&["Sure."])).await;
    let mut app = Setup::new()
        .await
        .upstream(&upstream)
        .with("TITLE_MODEL", TITLE_MODEL)
        .with("DRAIN_SECONDS", 3600)
        .start()
        .await;
    let user = app.user().await;
    let thread = user.session().await;
    assert_eq!(user.say(thread, FIRST).await.terminal()["type"], "run.completed");
    eventually("the title is asked for", || async { (asked(&upstream).len() == 1).then_some(()) }).await;
    app.core().signal("TERM");
    assert_eq!(app.core().exit_code().await, Some(0));
    assert_eq!(upstream.aborted(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_model_gives_no_titles() {
    let app = Setup::new().await.with("TITLE_MODEL", TITLE_MODEL).start().await;
    let user = app.user().await;
    let thread = user.session().await;
    user.say(thread, FIRST).await.terminal();
    assert_eq!(title(&user, thread).await, FIRST);
    assert!(!app.metrics().await.contains("threadline_titles_total{"));
}
