//! Summaries of the turns that prompts leave out.

use crate::everywhere;
use crate::support::{App, Client, Gate, Script, Setup, Upstream, eventually};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use uuid::Uuid;

const SUMMARY_MODEL: &str = "m/summary";
/// What stands before a summary in a prompt.
const SUMMARY: &str = "This is a summary of it:]\n";

/// A model server whose summaries are numbered, and a service whose model reads 2,000 tokens.
async fn start(setup: Setup, summary: impl Fn(usize) -> Script + Send + Sync + 'static) -> (App, Upstream) {
    let upstream = Upstream::start().await;
    let count = Arc::new(AtomicUsize::new(0));
    upstream.answer_with(move |request| match is_summary(request) {
        true => summary(count.fetch_add(1, Ordering::SeqCst) + 1),
        false => Script::says(&["Noted."]),
    });
    let setup = setup.upstream(&upstream).with("CONTEXT_TOKENS", 2000).with("RATE_LIMIT_REQUESTS_PER_MINUTE", 0);
    (setup.with("SUMMARY_MODEL", SUMMARY_MODEL).start().await, upstream)
}

fn numbered(number: usize) -> Script {
    Script::says(&["Summary ", &number.to_string()])
}

fn is_summary(request: &Value) -> bool {
    request["model"] == SUMMARY_MODEL
}

fn summaries(upstream: &Upstream) -> Vec<Value> {
    upstream.requests().into_iter().filter(is_summary).collect()
}

/// Returns the summary in the newest prompt.
fn summary_in_prompt(upstream: &Upstream) -> Option<String> {
    let prompt = upstream.requests().into_iter().rfind(|request| !is_summary(request)).unwrap();
    let first = prompt["messages"][1]["content"].as_str().unwrap();
    let (_, summary) = first.split_once(SUMMARY)?;
    Some(summary.split("\n[End of the summary.").next().unwrap().to_owned())
}

async fn say(user: &Client, session: Uuid, number: usize) {
    let text = format!("Message {number}. {}", "word ".repeat(48));
    assert_eq!(user.say(session, &text).await.terminal()["type"], "run.completed", "message {number}");
}

async fn until(app: &App, outcome: &str, count: usize) {
    let prefix = format!("threadline_summaries_total{{outcome=\"{outcome}\"}} ");
    eventually(&format!("{count} {outcome}"), || async {
        let metrics = app.metrics().await;
        let found = metrics.lines().find_map(|line| line.strip_prefix(&prefix)?.parse::<usize>().ok());
        (found.unwrap_or(0) >= count).then_some(())
    })
    .await;
}

/// Sends a message, and waits until the job that begins after the answer has probably ended: the next message would
/// interrupt it.
async fn say_and_wait(user: &Client, upstream: &Upstream, session: Uuid, number: usize) {
    let before = summaries(upstream).len();
    say(user, session, number).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    if summaries(upstream).len() > before {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Sends messages until a number of summaries is stored. Returns the number of the next message.
async fn until_summarized(
    (app, upstream): (&App, &Upstream),
    user: &Client,
    session: Uuid,
    mut next: usize,
    count: usize,
) -> usize {
    let is_stored =
        |metrics: &str| metrics.contains(&format!("threadline_summaries_total{{outcome=\"stored\"}} {count}\n"));
    while !is_stored(&app.metrics().await) {
        assert!(next < 60, "no summary {count} after {next} messages");
        say_and_wait(user, upstream, session, next).await;
        next += 1;
    }
    next
}

everywhere! {
    async fn what_is_left_out_is_summarised(setup: Setup) {
        let (app, upstream) = start(setup, numbered).await;
        let user = app.user().await;
        let session = user.session().await;
        let next = until_summarized((&app, &upstream), &user, session, 0, 1).await;
        let [request] = summaries(&upstream).try_into().unwrap();
        let asked = request["messages"][1]["content"].as_str().unwrap().to_owned();
        assert!(asked.contains("User: Message 0. ") && asked.contains("Assistant: Noted."), "{asked}");
        assert!(request.get("tools").is_none() && request["max_tokens"].as_u64().unwrap() <= 500, "{request}");

        // Later prompts have it in place of the turns, and turns that were not left out are in none of the two.
        say(&user, session, next).await;
        assert_eq!(summary_in_prompt(&upstream).as_deref(), Some("Summary 1"));
        let prompt = upstream.requests().into_iter().rfind(|request| !is_summary(request)).unwrap().to_string();
        let is_in = |text: &str, number: usize| text.contains(&format!("Message {number}. "));
        for number in 0..=next {
            assert!(is_in(&asked, number) != is_in(&prompt, number), "message {number}");
        }

        // The next one extends it.
        let next = until_summarized((&app, &upstream), &user, session, next + 1, 2).await;
        let request = summaries(&upstream).pop().unwrap();
        let asked = request["messages"][1]["content"].as_str().unwrap().to_owned();
        assert!(asked.starts_with("Summary so far:\nSummary 1\n") && !is_in(&asked, 0), "{asked}");

        // It survives a crash.
        let app = app.crash_and_restart().await;
        let user = user.at(&app);
        say(&user, session, next).await;
        assert_eq!(summary_in_prompt(&upstream).as_deref(), Some("Summary 2"));
        // The new process does not know yet how the server counts tokens, so it can want a longer summary.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let written = summaries(&upstream).len();
        let newest = format!("Summary {written}");

        // Clients see it if they ask.
        let path = format!("/api/v1/chatkit/sessions/{session}/items?limit=100&order=asc");
        let plain = user.get(&path).await;
        assert!(!plain.text.contains(&newest) && plain.body["meta"].get("summary").is_none(), "{}", plain.text);
        let asked_for = user.get(&format!("{path}&include_summary=true")).await;
        assert_eq!(asked_for.data(), plain.data());
        let summary = &asked_for.body["meta"]["summary"];
        assert_eq!((summary["text"].as_str(), summary["updated_at"].is_string()), (Some(newest.as_str()), true));
        let items = plain.data().as_array().unwrap();
        let end = items.iter().find(|item| item["id"] == summary["through_item_id"]).expect("a visible item");
        assert_eq!(end["type"], "assistant_message");
        let page = user.rpc_ok("items.list", json!({"thread_id": session, "include_summary": true})).await;
        assert_eq!(&page["summary"], summary);
        let page = user.chatkit("items.list", json!({"thread_id": session})).await;
        assert!(page.body.get("summary").is_none() && !page.text.contains(&newest));
        assert!(!user.history(session).await.to_string().contains(&newest));

        // It is booked like titles, and is not a run.
        let (runs, written) = (u64::try_from(next + 1).unwrap(), u64::try_from(written).unwrap());
        let total = user.get("/api/v1/usage").await.data()["total"].clone();
        assert_eq!((&total["runs"], &total["prompt_tokens"]), (&json!(runs), &json!(7 * (runs + written))));

        // It goes with the conversation.
        assert_eq!(app.database.count("SELECT count(*) AS rows FROM thread_summaries").await, 1);
        user.delete(&format!("/api/v1/chatkit/sessions/{session}")).await.data();
        assert_eq!(app.database.count("SELECT count(*) AS rows FROM thread_summaries").await, 0);
    }

    async fn a_changed_history_has_no_old_summary(setup: Setup) {
        let (app, upstream) = start(setup, numbered).await;
        let user = app.user().await;
        let session = user.session().await;
        let next = until_summarized((&app, &upstream), &user, session, 0, 1).await;
        say(&user, session, next).await;
        assert_eq!(summary_in_prompt(&upstream).as_deref(), Some("Summary 1"));
        // The second message is answered again: everything after it goes.
        let items = user.get(&format!("/api/v1/chatkit/sessions/{session}/items?limit=100&order=asc")).await;
        let second = items.data().as_array().unwrap().iter().filter(|item| item["type"] == "user_message").nth(1).unwrap().clone();
        let retry = json!({"thread_id": session, "item_id": second["id"]});
        let retried = user.chatkit_stream("threads.retry_after_item", retry).await.unwrap().finish().await;
        assert_eq!(user.run(retried.run_id()).await["status"], "completed");
        assert_eq!(summary_in_prompt(&upstream), None);
        assert_eq!(app.database.count("SELECT count(*) AS rows FROM thread_summaries").await, 0);
        // The conversation grows again, and so does a summary.
        until_summarized((&app, &upstream), &user, session, 2, 2).await;
        let request = summaries(&upstream).pop().unwrap();
        let asked = request["messages"][1]["content"].as_str().unwrap();
        assert!(asked.contains("Message 0. ") && !asked.contains("Summary so far"), "{asked}");
    }

    async fn a_summary_that_its_model_cannot_read_is_replaced(setup: Setup) {
        let long = "word ".repeat(1_600);
        let (app, upstream) = start(setup, move |_| Script::says(&[&long])).await;
        let user = app.user().await;
        let session = user.session().await;
        until_summarized((&app, &upstream), &user, session, 0, 2).await;
        let request = summaries(&upstream).pop().unwrap();
        let asked = request["messages"][1]["content"].as_str().unwrap();
        assert!(asked.starts_with("Summary so far:\nword word") && asked.contains("User: Message"), "{asked}");
        // 2,000 tokens, of four bytes at most.
        assert!(asked.len() < 7_500, "{}", asked.len());
    }

    async fn a_failing_summary_model_disturbs_nothing(setup: Setup) {
        let (app, upstream) = start(setup, |_| Script::fails(400, &json!({"error": {"message": "No such model"}}))).await;
        let user = app.user().await;
        let session = user.session().await;
        for number in 0..16 {
            say_and_wait(&user, &upstream, session, number).await;
        }
        until(&app, "failed", 1).await;
        assert_eq!(summaries(&upstream).len(), 1, "the model is not asked again at once");
        assert_eq!(summary_in_prompt(&upstream), None);
        assert!(app.log().iter().any(|line| line["level"] == "WARN" && line["message"].to_string().contains("summary failed")));
        assert!(user.rpc_ok("items.list", json!({"thread_id": session, "include_summary": true})).await.get("summary").is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_summary_and_one_is_written_at_a_time() {
    let Some(setup) = Setup::postgres().await else { return };
    let gate = Gate::closed();
    let script = gate.clone();
    let (mut app, upstream) =
        start(setup.with("DRAIN_SECONDS", 3600), move |_| Script::stream().words(&["Sum"]).stop(&script).done("stop"))
            .await;
    let other = app.again().start().await;
    let user = app.user().await;
    let session = user.session().await;
    let mut number = 0;
    while summaries(&upstream).is_empty() {
        assert!(number < 40, "no summary after {number} messages");
        say(&user, session, number).await;
        number += 1;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    // The model does not answer, and now both processes want a summary. A run interrupts the job of its own process.
    for round in 1..=2 {
        say(&user.at(&other), session, number).await;
        until(&other, "skipped", round).await;
        assert_eq!(summaries(&upstream).len(), round);
        say(&user, session, number + 1).await;
        until(&app, "interrupted", round).await;
        let is_asked = || async { (summaries(&upstream).len() == round + 1).then_some(()) };
        eventually("the next job asks again", is_asked).await;
        number += 2;
    }
    app.core().signal("TERM");
    assert_eq!(app.core().exit_code().await, Some(0));
    eventually("the requests have ended", || async { (upstream.aborted() == 3).then_some(()) }).await;
    // The claim of the process that has ended is free.
    gate.open();
    say(&user.at(&other), session, number).await;
    until(&other, "stored", 1).await;
    assert_eq!(summaries(&upstream).len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_summary_is_paid_for() {
    let agents = |summary: &str| {
        format!(
            "[agents.a]\nmodel = \"m/answer\"\nsummary_model = \"{summary}\"\n[models.\"m/answer\"]\ncontext_tokens = 2500\n\
             input_per_million = 1\noutput_per_million = 1\n[models.\"{SUMMARY_MODEL}\"]\ninput_per_million = 100\n\
             output_per_million = 100\n"
        )
    };
    for (model, asked) in [(SUMMARY_MODEL, true), ("m/unpriced", false)] {
        let setup = Setup::new().await.agents(&agents(model)).with("BUDGET_COST_PER_DAY", "1");
        let upstream = Upstream::start().await;
        upstream.answer_with(|_| Script::says(&["Noted."]));
        let app = setup.upstream(&upstream).with("RATE_LIMIT_REQUESTS_PER_MINUTE", 0).start().await;
        let user = app.user().await;
        let session = user.session().await;
        for number in 0..16 {
            say_and_wait(&user, &upstream, session, number).await;
        }
        if asked {
            until(&app, "stored", 1).await;
        }
        let count = summaries(&upstream).len();
        assert_eq!(count > 0, asked);
        // Ten tokens of each.
        let expected = 16 * 10 + count * 1_000;
        eventually("what it used is booked", || async {
            let used = user.get("/api/v1/usage").await.data()["budget"]["cost_micros"]["used"].clone();
            (used == json!(expected)).then_some(())
        })
        .await;
    }
}
