//! A model server that takes only what the strictest ones take.

mod rules;

use super::attachments::{attach, picture, say_with};
use crate::agents::file::AgentsFile;
use crate::everywhere;
use crate::support::{Client, Script, Sse, Upstream};
use rules::violation;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use uuid::Uuid;

const AGENTS: &str = r#"
[agents.a]
instructions = "You help."
temperature = 0.5
max_tokens = 100
[[agents.a.client_tools]]
name = "where_am_i"
description = "Where the user is."
"#;

/// A server that checks each request, and answers those that it accepts in order.
#[derive(Clone)]
struct StrictServer {
    upstream: Upstream,
    answers: Arc<Mutex<VecDeque<Script>>>,
    refusals: Arc<Mutex<Vec<String>>>,
}

impl StrictServer {
    async fn start(check: fn(&Value) -> Option<String>) -> Self {
        let (answers, refusals) = (Arc::<Mutex<VecDeque<Script>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let upstream = Upstream::start().await;
        let this = Self { upstream, answers: answers.clone(), refusals: refusals.clone() };
        this.upstream.answer_with(move |request| match check(request) {
            Some(problem) => {
                refusals.lock().unwrap().push(problem.clone());
                Script::fails(400, &json!({"error": {"message": problem, "type": "invalid_request_error"}}))
            }
            None => answers.lock().unwrap().pop_front().unwrap_or_else(|| Script::says(&["Fine"])),
        });
        this
    }

    fn next(&self, answer: Script) -> &Self {
        self.answers.lock().unwrap().push_back(answer);
        self
    }

    fn refusals(&self) -> Vec<String> {
        self.refusals.lock().unwrap().clone()
    }
}

/// A call with arguments as text.
fn call(name: &str, arguments: &str) -> Script {
    let call = json!({"index": 0, "id": "f:0", "type": "function", "function": {"name": name, "arguments": arguments}});
    Script::stream().event(json!({"tool_calls": [call]}), None).done("tool_calls")
}

async fn completed(user: &Client, session: Uuid, text: &str) -> Sse {
    let stream = user.say(session, text).await;
    assert_eq!(stream.terminal()["type"], "run.completed", "{text}: {}", stream.terminal());
    stream
}

/// Returns the text of a stream of ChatKit's protocol.
fn said(stream: &Sse) -> String {
    stream.events.iter().filter_map(|(_, event)| event["update"]["delta"].as_str()).collect()
}

async fn newest(user: &Client, session: Uuid, kind: &str) -> Value {
    let page = user.get(&format!("/api/v1/chatkit/sessions/{session}/items?order=desc&limit=100")).await;
    page.data()
        .as_array()
        .unwrap()
        .iter()
        .find(|item| item["type"] == kind)
        .unwrap_or_else(|| panic!("no {kind}"))
        .clone()
}

everywhere! {
    async fn nothing_of_a_conversation_is_refused(setup: Setup) {
        let server = StrictServer::start(violation).await;
        let file = AgentsFile::new(AGENTS);
        let app = file.of(setup).upstream(&server.upstream).with("AGENT_MAX_ATTEMPTS", 1).start().await;
        let user = app.user().await;
        let session = user.session().await;

        // Arguments that are not JSON, two objects, nothing, and a name that no server takes.
        for (name, arguments) in [
            ("add_task", r#"{"title": "x"#),
            ("add_task", r#"{"title":"x"}{"title":"x"}"#),
            ("list_tasks", "null"),
            ("assistant<|channel|>analysis", "{}"),
        ] {
            server.next(call(name, arguments)).next(Script::says(&["Done"]));
            completed(&user, session, "Do it").await;
        }
        let told = server.upstream.requests().remove(1)["messages"].to_string();
        assert!(told.contains("JSON"), "the model reads what was wrong: {told}");

        // A client tool, and questions to the user.
        server.next(call("where_am_i", "{}")).next(Script::says(&["In Rome"]));
        completed(&user, session, "Where am I?").await;
        let output = json!({"thread_id": session, "result": {"city": "Rome"}});
        let stream = user.chatkit_stream("threads.add_client_tool_output", output).await.unwrap().finish().await;
        assert_eq!(said(&stream), "In Rome");
        server.next(call("ask_user", r#"{"questions":[{"question":"Which?"}]}"#)).next(Script::says(&["That one"]));
        completed(&user, session, "Ask me").await;
        let questions = newest(&user, session, "structured_input").await;
        let input = json!({"status": "answered", "answers": {"q1": {"values": ["This"], "skipped": false}}});
        let answers = json!({"thread_id": session, "item_id": questions["id"], "input": input});
        let stream = user.chatkit_stream("threads.add_structured_input", answers).await.unwrap().finish().await;
        assert_eq!(said(&stream), "That one");

        // A call that nobody answers, then a message in its place; and a run that breaks after its calls.
        server.next(call("where_am_i", "{}")).next(Script::says(&["Never mind"]));
        completed(&user, session, "And now?").await;
        completed(&user, session, "Never mind").await;
        server.next(call("list_tasks", "{}")).next(Script::fails(401, &json!({"error": "key"})));
        assert_eq!(user.say(session, "List them").await.terminal()["type"], "run.failed");
        completed(&user, session, "Once more").await;

        // An answer again, and an image.
        let message = newest(&user, session, "user_message").await;
        let retry = json!({"thread_id": session, "item_id": message["id"]});
        let stream = user.chatkit_stream("threads.retry_after_item", retry).await.unwrap().finish().await;
        assert_eq!(said(&stream), "Fine");
        let image = attach(&user, "a.png", "image/png", &picture(image::ImageFormat::Png, 8, 8)).await;
        assert_eq!(say_with(&user, session, "Look", &[&image]).await.status, 200);
        completed(&user, session, "Goodbye").await;
        assert_eq!(server.refusals(), Vec::<String>::new());
    }

    async fn what_a_server_refuses_is_left_out_and_remembered(setup: Setup) {
        let server = StrictServer::start(|request| rules::refuses_everything(request).or_else(|| violation(request))).await;
        let file = AgentsFile::new(AGENTS);
        let app = file.of(setup).upstream(&server.upstream).with("AGENT_MAX_ATTEMPTS", 1).start().await;
        let user = app.user().await;
        let session = user.session().await;
        server.next(call("list_tasks", "{}")).next(Script::says(&["None"]));
        assert_eq!(completed(&user, session, "Hello").await.text(), "None");
        let image = attach(&user, "a.png", "image/png", &picture(image::ImageFormat::Png, 8, 8)).await;
        assert_eq!(say_with(&user, session, "Look", &[&image]).await.status, 200);
        let refusals = server.refusals();
        assert!((6..=10).contains(&refusals.len()), "{refusals:?}");
        // The process remembers it, for other conversations too.
        completed(&user, user.session().await, "Hello").await;
        assert_eq!(server.refusals(), refusals);
        let metrics = app.metrics().await;
        for setting in ["stream_options", "system", "omit", "max_tokens", "empty_content", "images", "schema"] {
            let line = format!("threadline_model_dialect_adjustments_total{{setting=\"{setting}\"}}");
            assert!(metrics.contains(&line), "{line} is missing");
        }
        let logged = app.log().iter().filter(|line| line.to_string().contains("setting of its dialect")).count();
        assert!((7..=refusals.len()).contains(&logged), "{logged} lines");
    }

    async fn an_operator_sets_the_dialect(setup: Setup) {
        let server = StrictServer::start(|request| rules::refuses_everything(request).or_else(|| violation(request))).await;
        let file = AgentsFile::new(&format!(
            "{AGENTS}\n[models.\"test-model\".dialect]\nsystem = \"user\"\nstream_options = false\nempty_content = \"empty\"\n\
             schema = \"gemini\"\nmax_tokens = \"max_completion_tokens\"\nomit = [\"temperature\"]\nimages = false\n"
        ));
        let app = file.of(setup).upstream(&server.upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        server.next(call("list_tasks", "{}")).next(Script::says(&["None"]));
        assert_eq!(completed(&user, session, "Hello").await.text(), "None");
        assert_eq!(server.refusals(), Vec::<String>::new());
        assert_eq!(server.upstream.requests()[0]["max_completion_tokens"], 100);
    }
    async fn what_the_server_wants_back_survives_a_pause_and_a_crash(setup: Setup) {
        // Like Gemini and DeepSeek: calls of the current turn come back with what was sent with them.
        let server = StrictServer::start(|request| {
            let messages = request["messages"].as_array()?;
            let turn = messages.iter().rposition(|message| message["role"] == "user").unwrap_or(0);
            let calls = messages.iter().enumerate().filter(|(_, message)| message.get("tool_calls").is_some());
            for (index, message) in calls {
                if message["tool_calls"][0]["extra_content"]["google"]["thought_signature"] != "QUJD" {
                    return Some("a thought signature is not what it was".to_owned());
                }
                if (index > turn) != (message["reasoning_content"] == "Hm, where?") {
                    return Some("the reasoning of this turn is missing, or an older one is there".to_owned());
                }
            }
            violation(request)
        })
        .await;
        let file = AgentsFile::new(AGENTS);
        let app = file.of(setup).upstream(&server.upstream).with("AGENT_MAX_ATTEMPTS", 1).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let call = json!({
            "index": 0, "id": "x", "type": "function", "function": {"name": "where_am_i", "arguments": "{}"},
            "extra_content": {"google": {"thought_signature": "QUJD"}},
        });
        let thinks = |text: &str| json!({"reasoning_content": text});
        let asks = Script::stream().event(thinks("Hm, "), None).event(thinks("where?"), None);
        server.next(asks.event(json!({"tool_calls": [call]}), None).done("tool_calls")).next(Script::says(&["In Rome"]));
        let mut seen = completed(&user, session, "Where am I?").await.events;
        let app = app.crash_and_restart().await;
        let user = user.at(&app);
        let output = json!({"thread_id": session, "result": {"city": "Rome"}});
        let stream = user.chatkit_stream("threads.add_client_tool_output", output).await.unwrap().finish().await;
        assert_eq!(said(&stream), "In Rome");
        seen.extend(stream.events);
        seen.extend(completed(&user, session, "Thanks").await.events);
        assert_eq!(server.refusals(), Vec::<String>::new());
        let history = user.history(session).await.to_string();
        let items = user.get(&format!("/api/v1/chatkit/sessions/{session}/items?order=asc&limit=100")).await.text;
        for shown in seen.iter().map(|(_, event)| event.to_string()).chain([history, items]) {
            assert!(!shown.contains("QUJD") && !shown.contains("\"echo\""), "clients do not see it: {shown}");
        }
    }
}
