//! Tools: calls of the model act for the user of the run, and the model gets the results.

use crate::everywhere;
use crate::serve_and_split;
use crate::support::{Script, Upstream};
use serde_json::{Value, json};

fn messages(body: &Value) -> &[Value] {
    body["messages"].as_array().unwrap()
}

/// Returns the results that the model got, in order: id and result.
fn results(body: &Value) -> Vec<(String, Value)> {
    let told = messages(body).iter().filter(|message| message["role"] == "tool");
    told.map(|message| {
        let result = serde_json::from_str(message["content"].as_str().unwrap()).expect("a result is JSON");
        (message["tool_call_id"].as_str().unwrap().to_owned(), result)
    })
    .collect()
}

everywhere! {
    async fn calls_are_made_and_their_results_go_back(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream
            .queue(Script::calls(&[("add_task", json!({"title": "Milk", "priority": "high"})), ("add_task", json!({"title": "Bread"})), ("list_tasks", json!({"status": "completed"}))]))
            .queue(Script::stream().words(&["Let", " me"]).event(json!({"tool_calls": [{"index": 0, "id": "call_9", "type": "function", "function": {"name": "list_tasks", "arguments": "{}"}}]}), None).done("tool_calls"))
            .queue(Script::says(&["You", " have", " two"]));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let answer = user.say(session, "Milk and bread, please").await;
        assert_eq!(answer.terminal()["type"], "run.completed");
        assert_eq!(answer.text(), "Let meYou have two");
        assert_eq!(answer.terminal()["run"]["usage"], json!({"prompt_tokens": 21, "completion_tokens": 9}));

        let [_, second, third] = upstream.requests().try_into().unwrap();
        let told = messages(&second);
        assert_eq!(
            told.iter().map(|message| &message["role"]).collect::<Vec<_>>(),
            ["system", "user", "assistant", "tool", "tool", "tool"]
        );
        let calls: Vec<_> =
            told[2]["tool_calls"].as_array().unwrap().iter().map(|call| call["id"].as_str().unwrap()).collect();
        assert_eq!(calls, ["c00000000", "c00000001", "c00000002"], "ids of our own, which every server accepts");
        let back = results(&second);
        assert_eq!(back.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), calls);
        assert_eq!((&back[0].1["task"]["title"], &back[1].1["task"]["title"]), (&json!("Milk"), &json!("Bread")));
        assert_eq!(back[2].1["tasks"], json!([]));
        assert_eq!(messages(&third)[6]["content"], "Let me");
        assert_eq!(results(&third)[3].1["tasks"].as_array().unwrap().len(), 2);

        // Each call is a task of a workflow, and is stored as it was made.
        let workflows = answer
            .events
            .iter()
            .filter(|(_, event)| event["type"] == "thread.item.done" && event["item"]["type"] == "workflow");
        let steps: Vec<_> =
            workflows.map(|(_, event)| event["item"]["workflow"]["tasks"].as_array().unwrap().len()).collect();
        assert_eq!(steps.iter().sum::<usize>(), 4, "{steps:?}");
        let history = user.history(session).await;
        let kept: Vec<_> = history["messages"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|message| message["tool_calls"].as_array())
            .flatten()
            .collect();
        let names: Vec<_> = kept.iter().map(|call| call["function"]["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["add_task", "add_task", "list_tasks", "list_tasks"]);
        let titles: Vec<_> = user
            .get("/api/v1/tasks")
            .await
            .data()
            .as_array()
            .unwrap()
            .iter()
            .map(|task| task["title"].clone())
            .collect();
        assert!(titles.len() == 2 && titles.contains(&json!("Milk")) && titles.contains(&json!("Bread")), "{titles:?}");

        // The next prompt has the calls and their results in their places.
        user.say(session, "Thanks").await.terminal();
        let fourth = upstream.requests().pop().unwrap();
        let roles: Vec<_> = messages(&fourth).iter().map(|message| message["role"].as_str().unwrap()).collect();
        assert_eq!(
            roles,
            ["system", "user", "assistant", "tool", "tool", "tool", "assistant", "tool", "assistant", "user"]
        );
        assert_eq!(results(&fourth), results(&third));
    }

    async fn a_tool_acts_only_for_the_user_of_the_run(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = setup.upstream(&upstream).start().await;
        let (ada, eve) = (app.user().await, app.user().await);
        let task = ada.post("/api/v1/tasks", &json!({"title": "Ada's own"})).await.data().clone();
        let id = task["id"].clone();
        upstream.queue(Script::calls(&[
            ("complete_task", json!({"task_id": id})),
            ("delete_task", json!({"task_id": id})),
            ("update_task", json!({"task_id": id, "title": "Eve's now"})),
            ("list_tasks", json!({"user_id": ada.user_id})),
            ("add_task", json!({"title": "Planted", "user_id": ada.user_id})),
        ]));
        let session = eve.session().await;
        assert_eq!(eve.say(session, "Take over").await.terminal()["type"], "run.completed");
        let back = results(&upstream.requests()[1]);
        for (_, result) in &back[..3] {
            assert!(result["error"].is_string() && !result.to_string().contains("Ada's own"), "{result}");
        }
        assert!(!back[3].1.to_string().contains("Ada's own"), "{}", back[3].1);
        assert_eq!(ada.get("/api/v1/tasks").await.data(), &json!([task]), "nothing happened to her list");
        for planted in eve.get("/api/v1/tasks").await.data().as_array().unwrap() {
            assert_eq!(planted["user_id"], json!(eve.user_id));
        }
    }
}

serve_and_split! {
    async fn the_model_gets_the_error_of_a_call(setup: Setup) {
        let upstream = Upstream::start().await;
        let call = |index: usize, name: &str, arguments: &str| {
            json!({
                "index": index, "id": format!("c{index}"), "type": "function", "function": {"name": name, "arguments": arguments},
            })
        };
        let bad = [
            ("no_such_tool", "{}"),
            ("add_task", "{\"title\": "),
            ("add_task", "[]"),
            ("add_task", "{}"),
            ("add_task", "{\"title\": \"\"}"),
            ("add_task", "{\"title\": 7}"),
            ("complete_task", "{\"task_id\": \"1\"}"),
            ("complete_task", "{\"task_id\": \"0199e0f0-0000-7000-8000-000000000001\"}"),
            ("list_tasks", ""),
        ];
        let calls: Vec<_> =
            bad.iter().enumerate().map(|(index, (name, arguments))| call(index, name, arguments)).collect();
        upstream.queue(Script::stream().event(json!({"tool_calls": calls}), None).done("tool_calls"));
        upstream.queue(Script::says(&["I", " could", " not"]));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let answer = user.say(session, "Do it").await;
        assert_eq!((&answer.terminal()["type"], answer.text().as_str()), (&json!("run.completed"), "I could not"));
        let back = results(&upstream.requests()[1]);
        assert_eq!(back.len(), bad.len());
        for ((name, arguments), (_, result)) in bad.iter().zip(&back).take(bad.len() - 1) {
            assert!(result["error"].is_string(), "{name}({arguments}): {result}");
        }
        assert!(back[0].1["error"].as_str().unwrap().contains("no_such_tool"));
        assert_eq!(back.last().unwrap().1["tasks"], json!([]), "no arguments are none");
        assert!(!answer.types().contains(&"error"), "a failed tool is not an error of the run");
        assert_eq!(user.get("/api/v1/tasks").await.data(), &json!([]));
        assert_eq!(
            user.say(session, "Hello").await.terminal()["type"],
            "run.completed",
            "the history is still one a model takes"
        );
    }

    async fn a_model_that_calls_tools_endlessly_is_stopped(setup: Setup) {
        let upstream = Upstream::start().await;
        for _ in 0..3 {
            upstream.queue(Script::calls(&[("list_tasks", json!({}))]));
        }
        let app = setup.upstream(&upstream).with("AGENT_MAX_TURNS", 3).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let answer = user.say(session, "List").await;
        assert_eq!(answer.terminal()["type"], "run.failed");
        assert_eq!(answer.terminal()["error"]["code"], "UPSTREAM_ERROR");
        assert!(answer.terminal()["error"]["message"].as_str().unwrap().contains('3'), "{}", answer.terminal());
        assert_eq!(upstream.requests().len(), 3);
        assert_eq!(user.say(session, "Hello").await.text(), "Hello from upstream.");
    }

    async fn a_tool_at_work_is_output(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.queue(Script::calls(&[("add_task", json!({"title": "Milk"}))])).queue(Script::fails(500, &json!({})));
        let app = setup.upstream(&upstream).with("AGENT_MAX_ATTEMPTS", 1).start().await;
        let user = app.user().await;
        let session = user.session().await;
        // The task exists, so this response cannot be refused as a whole.
        let answer = user.say(session, "Milk").await;
        assert_eq!(answer.terminal()["type"], "run.failed");
        assert_eq!(user.get("/api/v1/tasks").await.data()[0]["title"], "Milk");
        let asked = user.history(session).await;
        let calls: Vec<_> = asked["messages"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|message| message["tool_calls"].as_array())
            .flatten()
            .collect();
        assert_eq!(calls.len(), 1, "{asked}");
    }
}
