//! Messages, and operations on a thread.

use super::both::Both;
use super::differences::{HALF_KEPT, REMOVALS_TOLD};
use super::front::Front;
use super::normal::told_in_short;
use crate::support::{Client, Script};
use serde_json::{Value, json};

/// Returns the params of a message to the thread.
pub fn say(text: &str) -> impl Fn(&Front) -> Value {
    let input = Client::chatkit_input(text);
    move |front| json!({"thread_id": front.id(), "input": input})
}

pub fn begin(text: &str) -> impl Fn(&Front) -> Value {
    let input = Client::chatkit_input(text);
    move |_| json!({"input": input})
}

impl Both {
    /// Creates a thread with a message.
    pub async fn create(&mut self, text: &str, scripts: &[Script]) {
        self.fronts = Default::default();
        self.turn("threads.create", begin(text), scripts, &[]).await;
    }

    /// Sets a title, since our thread has one from the beginning, and reads the thread.
    pub async fn read(&mut self, title: &str) {
        self.same("threads.update", |front| json!({"thread_id": front.id(), "title": title})).await;
        self.same("threads.get_by_id", |front| json!({"thread_id": front.id()})).await;
    }
}

pub async fn run(both: &mut Both) {
    let words = || Script::says(&["Some", " words", " and", " 🥛."]);
    both.create("Hello", &[words()]).await;
    let [ours, theirs] = both.fronts.each_ref().map(|front| front.thread.clone());
    assert_eq!((ours["title"].as_str(), theirs.get("title")), (Some("Hello"), None), "ours is never without a title");

    let tag =
        json!({"type": "input_tag", "id": "t1", "text": "Ada", "data": {"x": [1]}, "group": "g", "interactive": true});
    let text = json!({"type": "input_text", "text": "And "});
    let input = json!({"content": [text, tag], "attachments": [], "quoted_text": "words", "inference_options": {}});
    both.turn("threads.add_user_message", |front| json!({"thread_id": front.id(), "input": input}), &[words()], &[])
        .await;
    let thought = |text: &str| json!({"reasoning_content": text});
    let thinks = Script::stream().event(thought("Well."), None).event(thought(&" It depends.".repeat(9)), None);
    let thinks = thinks.words(&["It", " depends."]).done("stop");
    both.turn("threads.add_user_message", say("Think"), &[thinks], &[]).await;
    let fails = Script::fails(500, &json!({"error": {"message": "no"}}));
    both.turn("threads.add_user_message", say("Fail"), &[fails], &[]).await;

    both.read("Greetings").await;
    both.same("threads.list", |_| json!({"limit": 5, "order": "desc"})).await;
    both.same("items.list", |front| json!({"thread_id": front.id(), "order": "asc"})).await;
    both.same("items.list", |front| json!({"thread_id": front.id()})).await;
    let page = both.same("items.list", |front| json!({"thread_id": front.id(), "limit": 2, "order": "desc"})).await;
    let [ours, theirs] = [0, 1].map(|side: usize| {
        json!({"thread_id": both.fronts[side].id(), "after": page[side]["after"], "limit": 2, "order": "desc"})
    });
    let answers = both.ask_each("items.list", &[ours, theirs], &[]).await;
    both.results_are_the_same("items.list", answers);

    let answer = |front: &Front| front.newest("assistant_message")["id"].clone();
    for kind in ["positive", "negative"] {
        let params = |front: &Front| json!({"thread_id": front.id(), "item_ids": [answer(front)], "kind": kind});
        both.same("items.feedback", params).await;
    }

    let first = |front: &Front| json!({"thread_id": front.id(), "item_id": front.items[0]["id"]});
    both.turn("threads.retry_after_item", first, &[Script::says(&["Better"])], &[&REMOVALS_TOLD]).await;
    assert_eq!(both.fronts[0].items.len(), 2);
    breaks_off(both).await;
}

/// The network breaks a stream. (Theirs takes one that only ends for complete.) Ours keeps the partial response; theirs
/// drops it, and may not even have sent it.
async fn breaks_off(both: &mut Both) {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99999\r\nconnection: close\r\n\r\n";
    let half = Script::default().raw(head).words(&["Half an"]);
    let answers = both.ask("threads.add_user_message", say("Break off"), &[half]).await;
    let [ours, mut theirs] = answers.each_ref().map(|answer| told_in_short(answer["events"].as_array().unwrap()));
    assert_eq!((theirs.pop(), ours.last()), (Some("error true".into()), Some(&"error true".into())));
    let ours: Vec<_> = ours.into_iter().filter(|told| !HALF_KEPT.ours_alone.contains(&told.as_str())).collect();
    assert!(ours.starts_with(&theirs), "{ours:?} {theirs:?}");

    let page = both.ask("items.list", |front| json!({"thread_id": front.id(), "limit": 1, "order": "desc"}), &[]).await;
    let newest = page.each_ref().map(|page| &page["result"]["data"][0]["content"][0]["text"]);
    assert_eq!(newest, ["Half an", "Break off"]);
}

/// Lists threads and items, and deletes a thread.
pub async fn end(both: &mut Both) {
    let page = both.same("threads.list", |_| json!({"limit": 3, "order": "desc"})).await;
    assert_eq!(page[0]["has_more"], true);
    let next = page.each_ref().map(|page| json!({"limit": 3, "order": "desc", "after": page["after"]}));
    let answers = both.ask_each("threads.list", &next, &[]).await;
    both.results_are_the_same("threads.list", answers);

    both.same("threads.delete", |front| json!({"thread_id": front.id()})).await;
    let answers = both.ask("threads.get_by_id", |front| json!({"thread_id": front.id()}), &[]).await;
    assert_eq!(answers, [json!({"error": "THREAD_NOT_FOUND"}), json!({"error": "NotFoundError"})]);
}
