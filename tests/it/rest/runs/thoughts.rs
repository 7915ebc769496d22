//! Thoughts of the model.

use crate::everywhere;
use crate::support::{Script, Sse, Upstream};
use serde_json::{Value, json};

fn thinks(script: Script, name: &str, thoughts: &[&str]) -> Script {
    thoughts.iter().fold(script, |script, thought| script.event(json!({name: thought}), None))
}

/// Returns the workflows of thoughts in a stream, in their final state.
fn workflows(stream: &Sse) -> Vec<Value> {
    let done = stream.events.iter().filter(|(_, event)| event["type"] == "thread.item.done");
    let items = done.map(|(_, event)| event["item"].clone());
    items.filter(|item| item["workflow"]["type"] == "reasoning").collect()
}

fn updates<'a>(stream: &'a Sse, item: &Value) -> Vec<&'a Value> {
    let of_item = stream.events.iter().filter(|(_, event)| event["item_id"] == item["id"]);
    of_item.map(|(_, event)| &event["update"]).collect()
}

everywhere! {
    async fn thoughts_are_shown_until_text_or_calls_begin(setup: Setup) {
        let upstream = Upstream::start().await;
        let script = thinks(Script::stream(), "reasoning_content", &["They want", " milk. ", ""]);
        let call = json!({"tool_calls": [{"index": 0, "id": "call_9", "type": "function", "function": {"name": "add_task", "arguments": "{\"title\":\"Milk\"}"}}]});
        upstream.queue(script.event(call, None).done("tool_calls"));
        upstream.queue(thinks(Script::stream(), "reasoning", &["Say so."]).words(&["Do", "ne"]).done("stop")).queue(Script::says(&["Bye"]));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let stream = user.say(session, "Milk, please").await;
        assert_eq!((stream.text().as_str(), &stream.terminal()["type"]), ("Done", &json!("run.completed")));
        let thoughts = workflows(&stream);
        let said: Vec<_> = thoughts.iter().map(|item| &item["workflow"]["tasks"]).collect();
        let thought = |content: &str| json!([{"type": "thought", "status_indicator": "none", "content": content}]);
        assert_eq!(said, [&thought("They want milk. "), &thought("Say so.")]);
        assert!(thoughts.iter().all(|item| item["workflow"]["summary"]["duration"].is_u64()), "{thoughts:?}");
        assert_eq!(updates(&stream, &thoughts[0])[0]["type"], "workflow.task.added");
        assert_eq!(updates(&stream, &thoughts[0])[0]["task"]["content"], "They want");

        let items = user.get(&format!("/api/v1/chatkit/sessions/{session}/items?order=asc&limit=100")).await.data().clone();
        let kinds: Vec<_> = items.as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["user_message", "workflow", "workflow", "workflow", "assistant_message"]);
        assert_eq!((&items[1], &items[3]), (&thoughts[0], &thoughts[1]));
        // The model does not get them.
        user.say(session, "Thanks").await.terminal();
        assert!(!upstream.requests().pop().unwrap().to_string().contains("Say so"));
    }

    async fn long_thoughts_are_bounded(setup: Setup) {
        let upstream = Upstream::start().await;
        let long = "hm, äöü ".repeat(40);
        let script = thinks(Script::stream(), "reasoning", &vec![long.as_str(); 200]);
        upstream.queue(script.words(&["So"]).done("stop"));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let stream = user.say(session, "Think").await;
        assert_eq!(stream.text(), "So");
        let thought = workflows(&stream).pop().unwrap();
        let kept = thought["workflow"]["tasks"][0]["content"].as_str().unwrap();
        assert!((32_000..=32 * 1024).contains(&kept.len()) && long.repeat(200).starts_with(kept), "{}", kept.len());
        let updates = updates(&stream, &thought);
        assert!((2..100).contains(&updates.len()), "{} updates", updates.len());
        assert!(updates[1..].iter().all(|update| update["type"] == "workflow.task.updated"));
        let bytes: usize = updates.iter().map(|update| update["task"]["content"].as_str().unwrap().len()).sum();
        assert!(bytes < 12 * kept.len(), "{bytes} bytes of updates");
    }

    async fn thoughts_alone_are_a_failure(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.queue(thinks(Script::stream(), "reasoning", &["Hm."]).done("stop")).queue(Script::says(&["Here"]));
        let app = setup.upstream(&upstream).with("AGENT_MAX_ATTEMPTS", 1).start().await;
        let user = app.user().await;
        let session = user.session().await;
        // They are output, so the failure is an event of the stream.
        let stream = user.say(session, "Think").await;
        assert_eq!((&stream.terminal()["type"], stream.text().as_str()), (&json!("run.failed"), ""));
        assert_eq!(workflows(&stream)[0]["workflow"]["tasks"][0]["content"], "Hm.");
        assert_eq!(user.say(session, "Speak").await.text(), "Here");
    }
}
