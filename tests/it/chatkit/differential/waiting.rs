//! Turns that end with a question: for a tool of the client's, and for the user.

use super::both::{Both, calls};
use super::conversation::say;
use super::differences::OUTPUT_TOLD;
use super::front::Front;
use crate::support::Script;
use serde_json::{Value, json};

pub async fn run(both: &mut Both) {
    both.create("Where am I?", &[calls(&[("get_location", json!({"precise": true}))])]).await;
    let result = json!({"city": "Rome", "at": [41.9, null]});
    let output = |front: &Front| json!({"thread_id": front.id(), "result": result});
    both.turn("threads.add_client_tool_output", output, &[Script::says(&["In Rome"])], &[&OUTPUT_TOLD]).await;

    let questions = json!({"questions": [
        {"question": "Which day?", "options": ["Monday", "Tuesday"]},
        {"question": "Whom with?", "options": ["Ada", "Eve"], "multiple": true},
        {"question": "What for?", "description": "A few words."},
        {"question": "Anything else?"},
    ]});
    let asks = || calls(&[("ask_user", questions.clone())]);
    for input in [
        json!({"status": "answered", "answers": {
            "q1": {"values": ["Sunday"]}, "q2": {"values": ["Ada", "Eve"]}, "q3": {"values": []}, "q4": {"values": [], "skipped": true},
        }}),
        json!({"status": "skipped", "answers": {"q1": {"values": ["Monday"], "skipped": false}}}),
        json!({}),
    ] {
        both.turn("threads.add_user_message", say("Ask me"), &[asks()], &[]).await;
        both.turn("threads.add_structured_input", answered(input), &[Script::says(&["Fine"])], &[]).await;
    }
    both.read("Questions").await;
}

/// Returns the params of an answer to the newest questions.
pub fn answered(input: Value) -> impl Fn(&Front) -> Value {
    move |front| json!({"thread_id": front.id(), "item_id": front.newest("structured_input")["id"], "input": input})
}
