//! Ours against a server made with ChatKit's own package (`tests/chatkit/server.py`): the same requests of every type,
//! and the same model behind both. What differs stands in `differences.rs` and in docs/CHATKIT.md.

mod both;
mod conversation;
mod differences;
mod files;
mod front;
mod normal;
mod refusals;
mod waiting;
mod widgets;

use both::Both;
use std::collections::BTreeSet;
use threadline_gateway::chatkit_rules::REQUESTS;

/// The request types, and the model of the package that reads our response; `None` is `{}`.
const TYPES: [(&str, Option<&str>); 16] = [
    ("threads.get_by_id", Some("thread")),
    ("threads.create", Some("event")),
    ("threads.list", Some("threads")),
    ("threads.add_user_message", Some("event")),
    ("threads.add_client_tool_output", Some("event")),
    ("threads.add_structured_input", Some("event")),
    ("threads.retry_after_item", Some("event")),
    ("threads.custom_action", Some("event")),
    ("threads.sync_custom_action", Some("sync_action")),
    ("threads.update", Some("thread")),
    ("threads.delete", None),
    ("items.list", Some("items")),
    ("items.feedback", None),
    ("attachments.create", Some("attachment")),
    ("attachments.delete", None),
    ("input.transcribe", Some("transcription")),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_servers_send_the_same() {
    let Some(mut both) = Both::start().await else { return };
    conversation::run(&mut both).await;
    widgets::run(&mut both).await;
    waiting::run(&mut both).await;
    files::run(&mut both).await;
    refusals::run(&mut both).await;
    conversation::end(&mut both).await;

    let served: BTreeSet<&str> = REQUESTS.iter().map(|rule| rule.method().unwrap().name).collect();
    let compared: BTreeSet<&str> = both.compared.iter().map(String::as_str).collect();
    assert_eq!(compared, served, "every type is asked, and answered by both");
    both.finish().await;
}

#[test]
fn the_differences_are_documented() {
    let page = include_str!("../../../../docs/CHATKIT.md");
    let (_, listed) = page.split_once("## Differences from the package's server").unwrap();
    let listed = listed.split_whitespace().collect::<Vec<_>>().join(" ");
    let says = differences::ALL.iter().map(|difference| difference.says);
    for says in says.chain(differences::BESIDES.iter().copied()) {
        assert!(listed.contains(says), "docs/CHATKIT.md does not say: {says}");
    }
}
