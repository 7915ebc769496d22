//! Which agent answers a thread, and what a message may ask of it.

use super::file::AgentsFile;
use crate::support::{Client, Script, Upstream};
use crate::{everywhere, serve_and_split};
use serde_json::{Value, json};
use uuid::Uuid;

const TWO: &str = r#"
default = "helper"

[agents.helper]
instructions = "You help."

[agents.clerk]
instructions = "You are a clerk."
model = "m/clerk"
models = ["m/large"]
temperature = 0.25
max_tokens = 99
tools = ["list_tasks", "add_task"]
max_turns = 1
"#;

/// A message that asks for something.
fn asking(options: &Value) -> Value {
    json!({"content": [{"type": "input_text", "text": "Hello"}], "inference_options": options})
}

async fn session_of(user: &Client, agent: &str) -> Uuid {
    let reply = user.post("/api/v1/chatkit/sessions", &json!({"agent": agent})).await;
    reply.data()["id"].as_str().unwrap().parse().unwrap()
}

fn tools(request: &Value) -> Vec<&str> {
    request["tools"].as_array().unwrap().iter().map(|tool| tool["function"]["name"].as_str().unwrap()).collect()
}

everywhere! {
    async fn a_thread_is_answered_by_the_agent_it_was_made_with(setup: Setup) {
        let (upstream, file) = (Upstream::start().await, AgentsFile::new(TWO));
        let app = file.of(setup).upstream(&upstream).start().await;
        let user = app.user().await;
        let (usual, clerk) = (user.session().await, session_of(&user, "clerk").await);
        user.say(usual, "Hello").await.terminal();
        user.say(clerk, "Hello").await.terminal();
        let created = user.rpc_ok("threads.create", json!({"agent": "clerk", "input": asking(&json!({}))})).await;
        assert_eq!(created["thread"]["metadata"], json!({"agent": "clerk"}));
        let run = created["run"]["id"].as_str().unwrap().parse().unwrap();
        user.follow(run, None).await.unwrap().finish().await.terminal();

        let [first, second, third] = upstream.requests().try_into().unwrap();
        assert_eq!((&first["messages"][0]["content"], &first["model"]), (&json!("You help."), &json!("test-model")));
        assert!(tools(&first).len() >= 5 && first.get("temperature").is_none(), "{first}");
        for request in [&second, &third] {
            assert_eq!(request["messages"][0]["content"], "You are a clerk.");
            assert_eq!(
                (&request["model"], &request["temperature"], &request["max_tokens"]),
                (&json!("m/clerk"), &json!(0.25), &json!(99))
            );
            assert_eq!(tools(request), ["list_tasks", "add_task"]);
        }

        // Nobody by that name: told with the names there are, and nothing is made.
        let before = user.get("/api/v1/chatkit/sessions").await.body["meta"]["total"].clone();
        let reply = user.post("/api/v1/chatkit/sessions", &json!({"agent": "nobody"})).await;
        assert!(reply.fails(400, "INVALID_REQUEST").contains("clerk, helper"), "{}", reply.text);
        for wrong in [json!(7), json!(["clerk"]), json!("clerk\u{0}"), json!("c".repeat(100_000))] {
            user.post("/api/v1/chatkit/sessions", &json!({"agent": wrong})).await.fails(400, "INVALID_REQUEST");
        }
        assert_eq!(user.get("/api/v1/chatkit/sessions").await.body["meta"]["total"], before);
    }

    async fn a_key_stands_for_the_agent_too(setup: Setup) {
        let (upstream, file) = (Upstream::start().await, AgentsFile::new(TWO));
        let app = file.of(setup).upstream(&upstream).start().await;
        let user = app.user().await;
        let create = |agent: &'static str| {
            user.rpc("threads.create", json!({"agent": agent, "idempotency_key": "once"}))
        };
        let first = create("clerk").await;
        assert_eq!(create("clerk").await["result"]["thread"]["id"], first["result"]["thread"]["id"]);
        assert_eq!(create("helper").await["error"]["data"]["code"], "CONFLICT");
    }
}

serve_and_split! {
    async fn a_message_asks_for_what_its_agent_allows(setup: Setup) {
        let (upstream, file) = (Upstream::start().await, AgentsFile::new(TWO));
        let app = file.of(setup).upstream(&upstream).start().await;
        let user = app.user().await;
        let (usual, clerk) = (user.session().await, session_of(&user, "clerk").await);
        let ask = async |session: Uuid, options: Value| {
            let call = json!({"thread_id": session, "input": asking(&options)});
            user.rpc("threads.add_user_message", call).await
        };
        let wrong: [(Uuid, Value, &str); 5] = [
            (clerk, json!({"model": "m/other"}), "m/clerk, m/large"),
            (clerk, json!({"model": ""}), "m/clerk, m/large"),
            (clerk, json!({"tool_choice": {"id": "delete_task"}}), "list_tasks, add_task"),
            (usual, json!({"model": "test-model"}), "lets nobody choose a model"),
            (usual, json!({"tool_choice": {"id": "\u{0}"}}), "complete_task"),
        ];
        for (session, options, words) in wrong {
            let error = ask(session, options.clone()).await["error"].clone();
            assert_eq!(error["data"]["code"], "INVALID_REQUEST", "{options}");
            assert!(error["message"].as_str().unwrap().contains(words), "{options}: {error}");
        }
        assert!(upstream.requests().is_empty());
        let stranger = app.user().await;
        let call = json!({"thread_id": clerk, "input": asking(&json!({"model": "m/large"}))});
        let error = stranger.rpc("threads.add_user_message", call).await["error"].clone();
        assert_eq!(error["data"]["code"], "FORBIDDEN", "what the agent allows is its thread's owner's to know");

        let run = ask(clerk, json!({"model": "m/large", "tool_choice": {"id": "list_tasks"}})).await["result"].clone();
        let run = run["id"].as_str().unwrap().parse().unwrap();
        user.follow(run, None).await.unwrap().finish().await.terminal();
        let request = upstream.requests().remove(0);
        assert_eq!(request["model"], "m/large");
        assert_eq!(request["tool_choice"], json!({"type": "function", "function": {"name": "list_tasks"}}));
    }

    async fn a_tool_is_forced_once(setup: Setup) {
        let (upstream, file) = (Upstream::start().await, AgentsFile::new(TWO));
        upstream.queue(Script::calls(&[("list_tasks", json!({}))]));
        let app = file.of(setup).upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let body = json!({"thread_id": session, "input": asking(&json!({"tool_choice": {"id": "list_tasks"}}))});
        let run = user.rpc_ok("threads.add_user_message", body).await["id"].as_str().unwrap().parse().unwrap();
        let answer = user.follow(run, None).await.unwrap().finish().await;
        assert_eq!(answer.terminal()["type"], "run.completed");
        let [first, second] = upstream.requests().try_into().unwrap();
        assert!(first.get("tool_choice").is_some() && second.get("tool_choice").is_none(), "{second}");
    }

    async fn an_agent_has_its_own_number_of_turns(setup: Setup) {
        let (upstream, file) = (Upstream::start().await, AgentsFile::new(TWO));
        upstream.queue(Script::calls(&[("list_tasks", json!({}))]));
        let app = file.of(setup).upstream(&upstream).start().await;
        let user = app.user().await;
        let clerk = session_of(&user, "clerk").await;
        let answer = user.say(clerk, "List").await;
        assert_eq!(answer.terminal()["type"], "run.failed");
        assert_eq!(upstream.requests().len(), 1);
    }

    async fn without_a_file_what_a_message_asks_for_is_kept_and_not_followed(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let options = json!({"model": "m/other", "tool_choice": {"id": "fly"}});
        let body = json!({"thread_id": session, "input": asking(&options)});
        let run = user.rpc_ok("threads.add_user_message", body).await["id"].as_str().unwrap().parse().unwrap();
        user.follow(run, None).await.unwrap().finish().await.terminal();
        let request = upstream.requests().remove(0);
        assert_eq!((&request["model"], request.get("tool_choice")), (&json!("test-model"), None));
        let items = user.get(&format!("/api/v1/chatkit/sessions/{session}/items")).await;
        let message = items.data().as_array().unwrap().iter().find(|item| item["type"] == "user_message");
        assert_eq!(message.unwrap()["inference_options"], options);
    }
}
