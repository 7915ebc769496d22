//! Citations from the model's server.

use crate::everywhere;
use crate::support::{Client, ENDS_WITH_ITS_PROCESS, Gate, Script, Sse, Upstream};
use serde_json::{Value, json};

/// An annotation as servers send it that speak chat completions.
pub(super) fn citation(url: &str, title: &str, end: u64) -> Value {
    json!({"type": "url_citation", "url_citation": {"url": url, "title": title, "start_index": 0, "end_index": end}})
}

fn shown(url: &str, title: &str, index: u64) -> Value {
    json!({"type": "annotation", "source": {"type": "url", "url": url, "title": title}, "index": index})
}

/// The annotations that were added one by one.
fn added(stream: &Sse) -> Vec<Value> {
    let updates = stream.events.iter().map(|(_, event)| &event["update"]);
    let added = updates.filter(|update| update["type"] == "assistant_message.content_part.annotation_added");
    added
        .enumerate()
        .map(|(place, update)| {
            assert_eq!((&update["content_index"], &update["annotation_index"]), (&json!(0), &json!(place)));
            update["annotation"].clone()
        })
        .collect()
}

/// Returns the annotations of the stored response.
async fn kept(user: &Client, thread: &Value) -> Value {
    let items = user.chatkit("items.list", json!({"thread_id": thread, "order": "desc"})).await.body;
    let mut items = items["data"].as_array().unwrap().iter();
    items.find(|item| item["type"] == "assistant_message").unwrap()["content"][0]["annotations"].clone()
}

everywhere! {
    async fn citations_are_shown_and_stored(setup: Setup) {
        let (upstream, gate) = (Upstream::start().await, Gate::closed());
        upstream
            .queue(
                Script::stream()
                    .words(&["Milk", " is white"])
                    .event(json!({"annotations": [citation("https://milk.example/", "Milk", 4)]}), None)
                    .words(&["."])
                    .event(json!({"annotations": [citation("https://milk.example/", "Milk", 4), citation("https://white.example/", "White", 99)]}), None)
                    .done("stop"),
            )
            .queue(
                Script::stream()
                    .words(&["Half"])
                    .event(json!({"annotations": [citation("https://half.example/", "Half", 4)]}), None)
                    .stop(&gate),
            );
        let app = setup.upstream(&upstream).agents(ENDS_WITH_ITS_PROCESS).start().await;
        let user = app.user().await;
        let input = Client::chatkit_input("What is milk?");
        let answer = user.chatkit_stream("threads.create", json!({"input": input})).await.unwrap().finish().await;
        let thread = answer.events[0].1["thread"]["id"].clone();
        let expected = [shown("https://milk.example/", "Milk", 4), shown("https://white.example/", "White", 14)];
        assert_eq!(added(&answer), expected);
        let done = answer.events.iter().find(|(_, event)| event["update"]["type"] == "assistant_message.content_part.done");
        assert_eq!(done.unwrap().1["update"]["content"]["annotations"], json!(expected));
        assert_eq!(kept(&user, &thread).await, json!(expected));
        let session = thread.as_str().unwrap().parse().unwrap();
        let history = user.history(session).await;
        assert_eq!(history["messages"][1]["content"][0]["text"], "Milk is white.");

        // A process that dies in the middle: the sent annotations are kept with the text.
        let mut stream = user.start(session, "And more?").await.unwrap();
        while added(&stream).is_empty() {
            stream.next().await.unwrap();
        }
        app.database.logged(stream.run_id(), *stream.seqs().last().unwrap()).await;
        let app = app.crash_and_restart().await;
        let user = user.at(&app);
        user.follow(stream.run_id(), None).await.unwrap().finish().await;
        assert_eq!(kept(&user, &thread).await, json!([shown("https://half.example/", "Half", 4)]));
    }
}
