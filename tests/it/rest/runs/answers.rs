//! Responses: streamed or as one document, one at a time, and what the model gets.

use crate::everywhere;
use crate::serve_and_split;
use crate::support::client::read;
use crate::support::{Client, Gate, Script, Setup, Sse, Upstream};
use reqwest::Method;
use serde_json::{Value, json};

everywhere! {
    async fn text_arrives_when_the_model_sends_it(setup: Setup) {
        let upstream = Upstream::start().await;
        let (first, second) = (Gate::closed(), Gate::closed());
        let script = Script::stream().words(&["One"]).stop(&first).words(&[" two"]).stop(&second).words(&[" three"]);
        upstream.queue(script.done("stop"));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let mut stream = user.start(session, "Count").await.unwrap();
        for (word, gate) in [("One", &first), (" two", &second)] {
            // The model sends the next word only after this one has been read here.
            assert_eq!(stream.until("thread.item.content.part.delta").await["delta"], word);
            gate.open();
        }
        let run = stream.run_id();
        let stream = stream.finish().await;
        assert_eq!(stream.deltas(), ["One", " two", " three"]);
        let run = user.run(run).await;
        assert_eq!((&run["status"], &run["thread_id"]), (&json!("completed"), &json!(session)));
        assert_eq!(run["usage"], json!({"prompt_tokens": 7, "completion_tokens": 3}));
        assert_eq!(run["last_seq"], json!(stream.events.len()));
        assert_eq!(&run, &stream.terminal()["run"], "a run is told in one way");
    }

    async fn a_thread_answers_one_message_at_a_time(setup: Setup) {
        let upstream = Upstream::start().await;
        let gate = Gate::closed();
        upstream.queue(Script::stream().words(&["Wait"]).stop(&gate).words(&["ed"]).done("stop"));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let (session, free) = (user.session().await, user.session().await);
        let racing = (0..6).map(|index| {
            let user = user.clone();
            tokio::spawn(async move { user.start(session, &format!("Message {index}")).await })
        });
        let mut begun = Vec::new();
        for started in futures::future::join_all(racing).await {
            match started.unwrap() {
                Ok(stream) => begun.push(stream),
                Err(reply) => {
                    reply.fails(409, "THREAD_BUSY");
                }
            }
        }
        assert_eq!(begun.len(), 1);
        user.say_in_vain(session, "Hello?").await.fails(409, "THREAD_BUSY");
        assert_eq!(user.say(free, "Hello").await.terminal()["type"], "run.completed");
        gate.open();
        assert_eq!(begun.remove(0).finish().await.text(), "Waited");
        assert_eq!(
            user.history(session).await["messages"].as_array().unwrap().len(),
            2,
            "what was refused was not stored"
        );
        assert_eq!(user.say(session, "And now?").await.terminal()["type"], "run.completed");
        assert_eq!(upstream.requests().len(), 3);
    }
}

serve_and_split! {
    async fn a_response_can_be_one_json_document(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream
            .queue(Script::calls(&[("add_task", json!({"title": "Buy milk"}))]))
            .queue(Script::says(&["All", " done"]));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let ask = |accept: &str, text: &str| {
            let request = user.request(Method::POST, &Client::runs_path(session)).json(&Client::message(text));
            request.header("accept", accept)
        };
        let reply = read(ask("application/json", "Add task: Buy milk")).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, "application/json"));
        assert_eq!(reply.data()["finish_reason"], "stop", "{}", reply.text);
        let history = user.history(session).await;
        assert_eq!(reply.data(), &history["messages"][1], "the message as the history has it");
        assert_eq!(reply.data()["content"], json!([{"type": "text", "text": "All done"}]));
        assert_eq!(reply.data()["tool_calls"][0]["function"]["name"], "add_task");
        let run = user.run(reply.header("x-run-id").parse().unwrap()).await;
        assert_eq!((&run["status"], &run["message_id"]), (&json!("completed"), &reply.data()["id"]));
        // A client that accepts streams gets one.
        for accept in ["text/event-stream", "*/*", "application/json, text/event-stream"] {
            assert!(Sse::open(ask(accept, "Hello")).await.unwrap().finish().await.done, "{accept}");
        }
    }

    async fn the_model_gets_what_it_needs_and_nothing_else(setup: Setup) {
        let upstream = Upstream::start().await;
        let setup = setup
            .upstream(&upstream)
            .with("OPENROUTER_SITE_URL", "https://site.example")
            .with("OPENROUTER_APP_NAME", "Tests");
        let app = setup.start().await;
        let user = app.user().await;
        let session = user.session().await;
        let request = user.request(Method::POST, &Client::runs_path(session)).json(&Client::message("Hello"));
        Sse::open(request.header("x-request-id", "traced-through")).await.unwrap().finish().await.terminal();
        user.say(session, "Again").await.terminal();

        let head = &upstream.heads()[0].to_lowercase();
        assert!(head.starts_with("post /v1/chat/completions "), "{head}");
        for line in [
            "authorization: bearer sk-test-key",
            "x-request-id: traced-through",
            "http-referer: https://site.example",
            "x-title: tests",
        ] {
            assert!(head.lines().any(|told| told.trim_end_matches('/') == line), "no {line} in {head}");
        }
        let [first, second] = upstream.requests().try_into().unwrap();
        assert_eq!((&first["model"], &first["stream"]), (&json!("test-model"), &json!(true)));
        let roles = |body: &Value| {
            body["messages"]
                .as_array()
                .unwrap()
                .iter()
                .map(|m| m["role"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(roles(&first), ["system", "user"]);
        assert_eq!(first["messages"][1]["content"], "Hello");
        assert_eq!(roles(&second), ["system", "user", "assistant", "user"]);
        assert_eq!(second["messages"][2]["content"], "Hello from upstream.");
        let mut tools: Vec<_> =
            first["tools"].as_array().unwrap().iter().map(|tool| tool["function"]["name"].as_str().unwrap()).collect();
        tools.sort_unstable();
        assert_eq!(tools, ["add_task", "complete_task", "delete_task", "list_tasks", "update_task"]);
        let told = first.to_string();
        assert!(!told.contains(&user.email) && !told.contains(&user.user_id.unwrap().to_string()), "{told}");
    }

    async fn the_model_gets_the_newest_complete_messages(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = setup.upstream(&upstream).with("AGENT_HISTORY_ITEMS", 4).start().await;
        let user = app.user().await;
        let session = user.session().await;
        for text in ["one", "two", "three", "four"] {
            user.say(session, text).await.terminal();
        }
        let last = upstream.requests().pop().unwrap();
        let told: Vec<_> = last["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
        assert_eq!(
            told,
            ["system", "user", "assistant", "user"],
            "four items begin with half a turn, which is left out"
        );
        assert_eq!(last["messages"][1]["content"], "three");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_cannot_break_out_of_its_event() {
    let upstream = Upstream::start().await;
    let words = [
        "line\nline",
        "\r\n\r\n",
        "data: [DONE]\n\n",
        "id: 7\n",
        "\"}}",
        "\u{2028}\u{0}\u{1f95b}",
        "</script>",
        "\\u0000",
    ];
    upstream.queue(Script::says(&words));
    let app = Setup::new().await.upstream(&upstream).start().await;
    let user = app.user().await;
    let session = user.session().await;
    let asked = "Robert'); DROP TABLE users;--\n\ndata: [DONE]\n\nevent: x\r\n";
    let answer = user.say(session, asked).await;
    assert_eq!(answer.terminal()["type"], "run.completed");
    assert_eq!(answer.seqs(), (1..=answer.events.len() as u64).collect::<Vec<_>>());
    let history = user.history(session).await;
    assert_eq!(history["messages"][0]["content"][0]["text"], asked);
    let kept = history["messages"][1]["content"][0]["text"].as_str().unwrap();
    assert_eq!(kept, answer.text());
    // PostgreSQL cannot store a NUL; everything else is unchanged.
    assert_eq!(kept.replace(['\0', '\u{fffd}'], ""), words.concat().replace('\0', ""));
}
