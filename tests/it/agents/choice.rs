//! The agent of a thread, and the options of a message.

use super::file::AgentsFile;
use crate::support::{Client, Script, Upstream, eventually};
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

/// Returns a message with options.
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
    async fn a_thread_uses_the_agent_it_was_created_with(setup: Setup) {
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

        // An unknown agent: the error lists the agents, and nothing is created.
        let before = user.get("/api/v1/chatkit/sessions").await.body["meta"]["total"].clone();
        let reply = user.post("/api/v1/chatkit/sessions", &json!({"agent": "nobody"})).await;
        assert!(reply.fails(400, "INVALID_REQUEST").contains("clerk, helper"), "{}", reply.text);
        for wrong in [json!(7), json!(["clerk"]), json!("clerk\u{0}"), json!("c".repeat(100_000))] {
            user.post("/api/v1/chatkit/sessions", &json!({"agent": wrong})).await.fails(400, "INVALID_REQUEST");
        }
        assert_eq!(user.get("/api/v1/chatkit/sessions").await.body["meta"]["total"], before);
    }

    async fn an_idempotency_key_includes_the_agent(setup: Setup) {
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
    async fn a_message_can_request_what_its_agent_allows(setup: Setup) {
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
            (usual, json!({"model": "test-model"}), "does not let clients choose a model"),
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

    async fn a_retry_uses_the_options_of_the_message(setup: Setup) {
        let (upstream, file) = (Upstream::start().await, AgentsFile::new(TWO));
        let app = file.of(setup).upstream(&upstream).start().await;
        let user = app.user().await;
        let clerk = session_of(&user, "clerk").await;
        let call = json!({"thread_id": clerk, "input": asking(&json!({"model": "m/large"}))});
        let run = user.rpc_ok("threads.add_user_message", call).await["id"].as_str().unwrap().parse().unwrap();
        user.follow(run, None).await.unwrap().finish().await.terminal();
        let items = user.get(&format!("/api/v1/chatkit/sessions/{clerk}/items")).await;
        let items = items.data().as_array().unwrap().clone();
        let message = items.iter().find(|item| item["type"] == "user_message").unwrap();
        let again = json!({"thread_id": clerk, "item_id": message["id"]});
        let run = user.rpc_ok("threads.retry_after_item", again.clone()).await["id"].as_str().unwrap().parse().unwrap();
        user.follow(run, None).await.unwrap().finish().await.terminal();
        let models: Vec<_> = upstream.requests().iter().map(|request| request["model"].clone()).collect();
        assert_eq!(models, ["m/large", "m/large"]);
        assert_eq!(upstream.requests()[1]["messages"][0]["content"], "You are a clerk.");

        // Options that are not allowed any more are ignored, and the message is answered.
        file.write(&TWO.replace("models = [\"m/large\"]", ""));
        app.processes.last().unwrap().signal("HUP");
        let read = || async { app.metrics().await.contains("threadline_agents_reloads_total{outcome=\"ok\"} 1").then_some(()) };
        eventually("the file is read again", read).await;
        let run = user.rpc_ok("threads.retry_after_item", again).await["id"].as_str().unwrap().parse().unwrap();
        user.follow(run, None).await.unwrap().finish().await.terminal();
        assert_eq!(upstream.requests()[2]["model"], "m/clerk");
    }

    async fn a_continued_run_uses_the_model_of_the_message(setup: Setup) {
        let text = r#"
[agents.a]
model = "m/usual"
models = ["m/large"]
tools = ["ask_user"]
[[agents.a.client_tools]]
name = "where"
description = "Where the user is."
"#;
        let (upstream, file) = (Upstream::start().await, AgentsFile::new(text));
        let app = file.of(setup).upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let run = async |method: &str, call: Value| {
            let run = user.rpc_ok(method, call).await["id"].as_str().unwrap().parse().unwrap();
            user.follow(run, None).await.unwrap().finish().await
        };
        let ask_user = || Script::calls(&[("ask_user", json!({"questions": [{"question": "Which?"}]}))]);
        upstream.queue(Script::calls(&[("where", json!({}))])).queue(ask_user());
        let input = asking(&json!({"model": "m/large", "tool_choice": {"id": "where"}}));
        run("threads.add_user_message", json!({"thread_id": session, "input": input})).await.terminal();
        // Two runs later it is still the same message. Its tool has been called.
        let asked = run("threads.add_client_tool_output", json!({"thread_id": session, "result": "Bern"})).await;
        let item = asked.events.iter().rfind(|(_, event)| event["item"]["type"] == "structured_input").unwrap();
        let answers = json!({"thread_id": session, "item_id": item.1["item"]["id"], "input": {"status": "skipped", "answers": {}}});
        run("threads.add_structured_input", answers).await.terminal();
        // The next message has no options.
        upstream.queue(ask_user());
        let asked = run("threads.add_user_message", json!({"thread_id": session, "input": asking(&json!({}))})).await;
        let item = asked.events.iter().rfind(|(_, event)| event["item"]["type"] == "structured_input").unwrap();
        let answers = json!({"thread_id": session, "item_id": item.1["item"]["id"], "input": {"status": "skipped", "answers": {}}});
        run("threads.add_structured_input", answers).await.terminal();

        let models: Vec<_> = upstream.requests().iter().map(|request| request["model"].clone()).collect();
        assert_eq!(models, ["m/large", "m/large", "m/large", "m/usual", "m/usual"]);
        let forced: Vec<_> = upstream.requests().iter().map(|request| request.get("tool_choice").is_some()).collect();
        assert_eq!(forced, [true, false, false, false, false]);
    }

    async fn an_idempotency_key_works_after_the_agents_have_changed(setup: Setup) {
        let (upstream, file) = (Upstream::start().await, AgentsFile::new(TWO));
        let app = file.of(setup).upstream(&upstream).start().await;
        let user = app.user().await;
        let clerk = session_of(&user, "clerk").await;
        let submit = async |key: &str| {
            let input = asking(&json!({"model": "m/large"}));
            user.rpc("threads.add_user_message", json!({"thread_id": clerk, "input": input, "idempotency_key": key})).await
        };
        let first = submit("once").await["result"]["id"].clone();
        user.follow(first.as_str().unwrap().parse().unwrap(), None).await.unwrap().finish().await.terminal();
        file.write(&TWO.replace("models = [\"m/large\"]", ""));
        app.processes.last().unwrap().signal("HUP");
        let read = || async { app.metrics().await.contains("threadline_agents_reloads_total{outcome=\"ok\"} 1").then_some(()) };
        eventually("the file is read again", read).await;
        assert_eq!(submit("once").await["result"]["id"], first, "the same run, and not a refusal");
        assert_eq!(submit("twice").await["error"]["data"]["code"], "INVALID_REQUEST");
        assert_eq!(upstream.requests().len(), 1);
    }

    async fn client_tools_and_questions_belong_to_an_agent(setup: Setup) {
        let text = r#"
default = "a"
[agents.a]
tools = ["list_tasks"]
[[agents.a.client_tools]]
name = "where"
description = "Where the user is."
[agents.b]
tools = ["ask_user"]
"#;
        let (upstream, file) = (Upstream::start().await, AgentsFile::new(text));
        let app = file.of(setup).upstream(&upstream).start().await;
        let user = app.user().await;
        let (a, b) = (user.session().await, session_of(&user, "b").await);
        // Each calls a tool of the other agent, which is not executed.
        upstream.queue(Script::calls(&[("ask_user", json!({"questions": [{"question": "Who?"}]}))]));
        assert_eq!(user.say(a, "Go").await.terminal()["type"], "run.completed");
        upstream.queue(Script::calls(&[("where", json!({}))]));
        assert_eq!(user.say(b, "Go").await.terminal()["type"], "run.completed");
        let asked = upstream.requests();
        assert_eq!((tools(&asked[0]), tools(&asked[2])), (vec!["list_tasks", "where"], vec!["ask_user"]));
        for (request, names) in [(&asked[1], "list_tasks, where"), (&asked[3], "ask_user")] {
            let told = request["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap();
            assert!(told.contains("There is no tool called"), "{told}");
            assert!(told.contains(&format!("There are: {names}.")), "{told}");
        }
        // A name with what some models write in front of it is the name of the tool.
        upstream.queue(Script::calls(&[("functions.list_tasks", json!({}))]));
        assert_eq!(user.say(a, "Go").await.terminal()["type"], "run.completed");
        let asked = upstream.requests().pop().unwrap();
        let [.., call, told] = asked["messages"].as_array().unwrap().as_slice() else { panic!("{asked}") };
        assert_eq!(call["tool_calls"][0]["function"]["name"], "list_tasks");
        assert!(!told.to_string().contains("There is no tool"), "{told}");
        // Its own tool waits for the client, and the run continues with the output.
        upstream.queue(Script::calls(&[("where", json!({}))]));
        assert_eq!(user.say(a, "Where am I?").await.terminal()["type"], "run.completed");
        let output = json!({"thread_id": a, "result": {"city": "Bern"}});
        let run = user.rpc_ok("threads.add_client_tool_output", output).await["id"].as_str().unwrap().parse().unwrap();
        user.follow(run, None).await.unwrap().finish().await.terminal();
        assert!(upstream.requests().pop().unwrap().to_string().contains("Bern"));
    }

    async fn actions_of_a_user_work_with_every_agent(setup: Setup) {
        let file = AgentsFile::new("[agents.a]\ntools = []\n");
        let app = file.of(setup).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let task = user.post("/api/v1/tasks", &json!({"title": "Milk"})).await.data()["id"].clone();
        let action = json!({"type": "tasks.complete", "payload": {"task_id": task}});
        let run = user.rpc_ok("threads.custom_action", json!({"thread_id": session, "action": action})).await;
        user.follow(run["id"].as_str().unwrap().parse().unwrap(), None).await.unwrap().finish().await.terminal();
        assert_eq!(user.get("/api/v1/tasks").await.data()[0]["completed"], true);
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

    async fn an_agent_has_its_own_maximum_of_turns(setup: Setup) {
        let (upstream, file) = (Upstream::start().await, AgentsFile::new(TWO));
        upstream.queue(Script::calls(&[("list_tasks", json!({}))]));
        let app = file.of(setup).upstream(&upstream).start().await;
        let user = app.user().await;
        let clerk = session_of(&user, "clerk").await;
        let answer = user.say(clerk, "List").await;
        assert_eq!(answer.terminal()["type"], "run.failed");
        assert_eq!(upstream.requests().len(), 1);
    }

    async fn without_an_agents_file_options_are_stored_and_have_no_effect(setup: Setup) {
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
