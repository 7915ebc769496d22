//! Ours against a server made with ChatKit's own package: the same requests, and the same model behind both.

use super::python::{self, Script as Python};
use crate::support::{Client, Script, Setup, Upstream};
use serde_json::{Value, json};

/// The two servers, asked the same.
struct Both {
    user: Client,
    python: Option<Python>,
    /// Ids of the thread they are talking in.
    threads: [String; 2],
}

impl Both {
    /// What ours and theirs answer; a request about a thread is about the one of each.
    async fn ask(&mut self, kind: &str, params: Value) -> [Value; 2] {
        let of = |index: usize| {
            let mut params = params.clone();
            if let Some(thread) = params.get_mut("thread_id") {
                *thread = json!(self.threads[index]);
            }
            params
        };
        let (ours, theirs) = (of(0), of(1));
        let ours = match self.user.chatkit_stream(kind, ours).await {
            Ok(stream) => {
                let events: Vec<_> = stream.finish().await.events.into_iter().map(|(_, event)| event).collect();
                json!({"events": events})
            }
            Err(reply) if reply.status == 200 => json!({"result": reply.body}),
            Err(reply) => json!({"error": reply.body["error"]["code"]}),
        };
        let request = json!({"type": kind, "params": theirs, "metadata": {}}).to_string();
        let (python, theirs) = self.python.take().unwrap().ask(request).await;
        self.python = Some(python);
        [ours, serde_json::from_str(&theirs).unwrap()]
    }
}

/// What an event says, without what differs by nature: ids, times, and how a text was cut into deltas.
fn told(event: &Value) -> Vec<String> {
    let kind = event["type"].as_str().unwrap();
    match kind {
        "thread.item.updated" => vec![event["update"]["type"].as_str().unwrap().to_owned()],
        "thread.item.added" | "thread.item.done" => vec![format!("{kind} {}", event["item"]["type"])],
        "stream_options" => vec![event["stream_options"].to_string()],
        // Ours has words of its own, theirs leaves them to the front end.
        "error" => vec![format!("error {}", event["allow_retry"])],
        kind => vec![kind.to_owned()],
    }
}

/// What is told by ours and not by theirs: the package says that a part is whole only where the model's server does,
/// which one that speaks of chat completions never does.
const OURS_ALONE: &str = "assistant_message.content_part.done";

fn all_told(answer: &Value) -> Vec<String> {
    let mut told: Vec<String> = answer["events"].as_array().unwrap().iter().flat_map(told).collect();
    told.retain(|told| told != OURS_ALONE);
    told.dedup_by(|next, kind| next == kind && kind.ends_with("text_delta"));
    told
}

/// An item without its ids and times.
fn shown(item: &Value) -> Value {
    let mut item = item.clone();
    for name in ["id", "thread_id", "created_at"] {
        assert!(item.as_object_mut().unwrap().remove(name).is_some(), "{name}: {item}");
    }
    item
}

fn items(page: &Value) -> Vec<Value> {
    page["data"].as_array().unwrap().iter().map(shown).collect()
}

fn members(value: &Value) -> Vec<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_servers_tell_the_same() {
    let upstream = Upstream::start().await;
    let Some(python) = python::script("server.py", &[&upstream.base_url()]) else { return };
    // By what is asked, so that it does not matter who asks first.
    upstream.answer_with(|request| {
        let asked = request["messages"].as_array().unwrap().last().unwrap()["content"].to_string();
        if asked.contains("Fail") {
            Script::fails(500, &json!({"error": {"message": "no"}}))
        } else if asked.contains("Break off") {
            Script::stream().words(&["Half an"])
        } else {
            Script::says(&["Some", " words", " and", " 🥛."])
        }
    });
    let app = Setup::new().await.upstream(&upstream).with("AGENT_MAX_ATTEMPTS", 1).start().await;
    let mut both = Both { user: app.user().await, python: Some(python), threads: Default::default() };

    let created = both.ask("threads.create", json!({"input": Client::chatkit_input("Hello")})).await;
    let [ours, theirs] = created.each_ref().map(all_told);
    assert_eq!(ours, theirs);
    assert_eq!(ours.len(), 7, "{ours:?}");
    both.threads = created.each_ref().map(|answer| answer["events"][0]["thread"]["id"].as_str().unwrap().to_owned());

    let say = |text: &str| json!({"thread_id": null, "input": Client::chatkit_input(text)});
    let [ours, theirs] = both.ask("threads.add_user_message", say("And again")).await;
    assert_eq!(all_told(&ours), all_told(&theirs));
    let [ours, theirs] = both.ask("threads.add_user_message", say("Fail")).await;
    assert_eq!(all_told(&ours), all_told(&theirs));

    for (kind, params) in [
        ("items.list", json!({"thread_id": null, "limit": 2, "order": "desc"})),
        ("items.list", json!({"thread_id": null, "order": "asc"})),
        ("items.list", json!({"thread_id": null})),
    ] {
        let [ours, theirs] = both.ask(kind, params).await;
        let (ours, theirs) = (&ours["result"], &theirs["result"]);
        assert_eq!((items(ours), members(ours)), (items(theirs), members(theirs)), "{kind}");
    }

    let renamed = both.ask("threads.update", json!({"thread_id": null, "title": "Greetings"})).await;
    let read = both.ask("threads.get_by_id", json!({"thread_id": null})).await;
    let listed = both.ask("threads.list", json!({"limit": 5, "order": "desc"})).await;
    let listed = listed.map(|answer| json!({"result": answer["result"]["data"][0]}));
    for [ours, theirs] in [renamed, read, listed] {
        let (ours, theirs) = (&ours["result"], &theirs["result"]);
        assert_eq!(members(ours), members(theirs));
        for name in ["title", "status", "metadata"] {
            assert_eq!(ours[name], theirs[name]);
        }
        assert_eq!(items(&ours["items"]), items(&theirs["items"]));
    }

    let [ours, theirs] = both.ask("threads.delete", json!({"thread_id": null})).await;
    assert_eq!((&ours, &ours), (&theirs, &json!({"result": {}})));
    let [ours, theirs] = both.ask("threads.get_by_id", json!({"thread_id": null})).await;
    assert_eq!((&ours["error"], &theirs["error"]), (&json!("THREAD_NOT_FOUND"), &json!("NotFoundError")));
    both.python.unwrap().finish().await;
}
