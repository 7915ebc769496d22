//! Conversations that are longer than the context window of the model.

use crate::agents::file::AgentsFile;
use crate::everywhere;
use crate::support::{App, Script, Setup, Upstream};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

/// Bytes of all texts of a prompt that the strict server reads.
const MAX_PROMPT: usize = 4_000;

fn texts(request: &Value) -> usize {
    let messages = request["messages"].as_array().unwrap().iter();
    messages.map(|message| message["content"].as_str().unwrap_or_default().len()).sum()
}

/// Answers, or refuses a prompt that is too long, in the words of this kind of server.
fn strict(refusal: impl Fn() -> Script + Send + Sync + 'static) -> impl Fn(&Value) -> Script + Send + Sync + 'static {
    move |request| if texts(request) > MAX_PROMPT { refusal() } else { Script::says(&["Noted."]) }
}

fn by_code() -> Script {
    let message = "This model's maximum context length is exceeded. Please reduce the length of the messages.";
    Script::fails(400, &json!({"error": {"message": message, "code": "context_length_exceeded"}}))
}

/// llama.cpp, with a number of tokens.
fn by_number() -> Script {
    let message =
        "the request exceeds the available context size. try increasing the context size or enable context shift";
    let error = json!({"code": 400, "message": message, "type": "exceed_context_size_error", "n_prompt_tokens": 5000, "n_ctx": 4096});
    Script::fails(400, &json!({"error": error}))
}

fn message(number: usize) -> String {
    format!("Message {number}. {}", "word ".repeat(48))
}

everywhere! {
    async fn a_conversation_outgrows_the_model_and_goes_on(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = setup.upstream(&upstream).with("RATE_LIMIT_REQUESTS_PER_MINUTE", 0).start().await;
        let user = app.user().await;
        let refusals: [fn() -> Script; 2] = [by_code, by_number];
        for refusal in refusals {
            upstream.answer_with(strict(refusal));
            let session = user.session().await;
            let before = upstream.requests().len();
            for number in 0..30 {
                let run = user.say(session, &message(number)).await;
                assert_eq!(run.terminal()["type"], "run.completed", "message {number}");
            }
            let requests = upstream.requests().split_off(before);
            let refused = requests.iter().filter(|request| texts(request) > MAX_PROMPT).count();
            assert!(refused <= 3, "learned from few refusals: {refused}");
            let last = requests.last().unwrap()["messages"].as_array().unwrap();
            assert_eq!(last.last().unwrap()["content"], message(29));
            assert!(texts(requests.last().unwrap()) > MAX_PROMPT / 3, "not shorter than needed");
            let instructions = last[0]["content"].as_str().unwrap();
            assert!(instructions.contains("beginning of this conversation is left out"), "{instructions}");
        }
    }

    async fn the_configured_window_is_respected_without_a_refusal(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.answer_with(|_| Script::says(&["Noted."]));
        let app = setup.upstream(&upstream).with("CONTEXT_TOKENS", 2000).start().await;
        let user = app.user().await;
        let session = user.session().await;
        for number in 0..20 {
            user.say(session, &message(number)).await.terminal();
        }
        let longest = upstream.requests().iter().map(texts).max().unwrap();
        // Tools and answer have their share of the 2,000 tokens, of four bytes at most.
        assert!(longest < 8_000, "{longest}");
        assert!(upstream.requests().last().unwrap()["messages"].as_array().unwrap().len() < 40);
    }
}

everywhere! {
    async fn a_message_is_whole_however_long_the_tools_are(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.answer_with(|_| Script::says(&["Noted."]));
        // The tools of the example have more tokens than this.
        let app = setup.upstream(&upstream).with("CONTEXT_TOKENS", 512).start().await;
        let user = app.user().await;
        let session = user.session().await;
        for number in 0..3 {
            user.say(session, &message(number)).await.terminal();
        }
        let asked = upstream.requests().pop().unwrap();
        assert!(asked["tools"].to_string().len() > 1_600, "{asked}");
        assert_eq!(asked["messages"].as_array().unwrap().last().unwrap()["content"], message(2));
        // A refusal shows that it must be cut.
        upstream.queue(by_code());
        user.say(session, &message(3)).await.terminal();
        let sent = upstream.requests().pop().unwrap();
        assert!(sent["messages"].to_string().contains("bytes left out"), "{sent}");
    }

    async fn an_answer_and_its_prompt_fit_into_the_window_together(setup: Setup) {
        let upstream = Upstream::start().await;
        // As vLLM does: what the answer may need counts, not what it has.
        upstream.answer_with(|request| {
            let (asked, input) = (request["max_tokens"].as_u64().unwrap(), texts(request) as u64 / 5);
            let message = format!(
                "'max_tokens' or 'max_completion_tokens' is too large: {asked}. This model's maximum context length is \
                 4096 tokens and your request has {input} input tokens"
            );
            match asked + input > 4_096 {
                true => Script::fails(400, &json!({"object": "error", "message": message, "code": 400})),
                false => Script::says(&["Noted."]),
            }
        });
        let file = AgentsFile::new("[agents.a]\nmax_tokens = 4000\ntools = []\n");
        let app = file.of(setup).upstream(&upstream).with("CONTEXT_TOKENS", 4096).start().await;
        let user = app.user().await;
        let session = user.session().await;
        for number in 0..8 {
            let run = user.say(session, &message(number)).await;
            assert_eq!(run.terminal()["type"], "run.completed", "message {number}");
        }
        let requests = upstream.requests();
        assert_eq!(requests.len(), 8, "none is refused");
        assert!(requests[7].to_string().contains(&message(0)), "nothing is left out for a limit of the answer");
    }
}

/// Items of a very long conversation.
const MANY: i64 = 100_000;

/// Gives a conversation many items, of which the first is at position 0.
async fn fill(app: &App, session: Uuid) {
    let body = |kind: &str, part: &str| {
        format!(
            "json_build_object('type', '{kind}', 'id', id, 'thread_id', '{session}', 'created_at', '2026-01-02T03:04:05Z', \
             'attachments', json_build_array(), 'inference_options', json_build_object(), 'content', \
             json_build_array(json_build_object('type', '{part}', 'annotations', json_build_array(), 'text', 'Words ' || n)))"
        )
    };
    let (user, assistant) = (body("user_message", "input_text"), body("assistant_message", "output_text"));
    app.database
        .batch(&format!(
            "INSERT INTO items (id, thread_id, position, kind, hidden, body, created_at)
             SELECT id, '{session}', n, CASE n % 2 WHEN 0 THEN 'user_message' ELSE 'assistant_message' END, false,
                    CASE n % 2 WHEN 0 THEN {user} ELSE {assistant} END, now()
             FROM (SELECT gen_random_uuid() AS id, n FROM generate_series(0, {MANY} - 1) AS n) AS numbers;
             UPDATE threads SET next_position = {MANY}, message_count = {MANY} WHERE id = '{session}';
             ANALYZE"
        ))
        .await;
}

/// Returns how many rows all sessions have read so far. They report about once a second.
async fn rows_read(app: &App) -> i64 {
    tokio::time::sleep(Duration::from_secs(3)).await;
    let sql =
        "SELECT sum(coalesce(idx_tup_fetch, 0) + coalesce(seq_tup_read, 0))::bigint AS rows FROM pg_stat_user_tables";
    app.database.count(sql).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_costs_the_same_however_long_the_conversation_is() {
    let Some(setup) = Setup::postgres().await else { return };
    let upstream = Upstream::start().await;
    upstream.answer_with(|_| Script::says(&["Noted."]));
    let setup = setup.upstream(&upstream).with("RATE_LIMIT_REQUESTS_PER_MINUTE", 0).with("CONTEXT_TOKENS", 3000);
    let app = setup.with("SUMMARY_MODEL", "m/summary").start().await;
    let user = app.user().await;
    let mut read = Vec::new();
    for is_long in [false, true] {
        let session = user.session().await;
        if is_long {
            fill(&app, session).await;
        }
        let before = rows_read(&app).await;
        // A message, a retry of it, and what front ends read.
        assert_eq!(user.say(session, "Hello").await.terminal()["type"], "run.completed");
        let items = user.get(&format!("/api/v1/chatkit/sessions/{session}/items?limit=2&include_summary=true")).await;
        let message =
            items.data().as_array().unwrap().iter().find(|item| item["type"] == "user_message").unwrap().clone();
        let retry = json!({"thread_id": session, "item_id": message["id"]});
        let retried = user.chatkit_stream("threads.retry_after_item", retry).await.unwrap().finish().await;
        assert_eq!(user.run(retried.run_id()).await["status"], "completed");
        let thread = user.chatkit("threads.get_by_id", json!({"thread_id": session})).await;
        assert_eq!(thread.status, 200, "{}", thread.text);
        user.chatkit("threads.list", json!({"limit": 10})).await;
        let run = user.start(session, "Again").await.unwrap().finish().await;
        user.follow(run.run_id(), None).await.unwrap().finish().await;
        let list: Vec<Value> = user.rpc_ok("items.list", json!({"thread_id": session, "order": "asc"})).await["data"]
            .as_array()
            .unwrap()
            .clone();
        assert!(!list.is_empty());
        read.push(rows_read(&app).await - before);
    }
    // The newest 100 items for each prompt, and 400 for a summary.
    assert!(read[1] - read[0] < 2_000, "rows of a short and of a long conversation: {read:?}");
    let longest =
        upstream.requests().iter().map(|request| request["messages"].as_array().unwrap().len()).max().unwrap();
    assert!(longest <= 102, "{longest} messages");
}
