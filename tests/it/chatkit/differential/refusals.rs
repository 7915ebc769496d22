//! What neither does. Ours refuses with a status and a code of its own before a stream begins; the package leaves that
//! to the web framework around it.

use super::both::{Both, calls};
use super::conversation::say;
use super::front::Front;
use super::normal::normal;
use super::waiting::answered;
use crate::support::Script;
use serde_json::{Value, json};
use uuid::Uuid;

pub async fn run(both: &mut Both) {
    let asks = || calls(&[("ask_user", json!({"questions": [{"question": "Which?", "options": ["This", "That"]}]}))]);
    both.turn("threads.add_user_message", say("Ask me"), &[asks()], &[]).await;
    both.turn("threads.add_structured_input", answered(json!({"status": "skipped"})), &[Script::says(&["Fine"])], &[])
        .await;

    let raises = |name: &str| json!({"error": name});
    let answer = |front: &Front| json!({"thread_id": front.id(), "item_id": front.newest("assistant_message")["id"]});
    let acting = |front: &Front| {
        let action = json!({"type": "tasks.complete", "payload": {"task_id": Uuid::now_v7()}});
        json!({"thread_id": front.id(), "item_id": front.newest("user_message")["id"], "action": action})
    };
    let strange = |front: &Front| json!({"thread_id": front.id(), "item_id": Uuid::now_v7()});
    type Params = Box<dyn Fn(&Front) -> Value>;
    let refused: [(&str, Params, &str, Value); 8] = [
        ("threads.nonsense", Box::new(|_| json!({})), "INVALID_REQUEST", raises("ValidationError")),
        (
            "threads.get_by_id",
            Box::new(|_| json!({"thread_id": Uuid::now_v7()})),
            "THREAD_NOT_FOUND",
            raises("NotFoundError"),
        ),
        ("threads.retry_after_item", Box::new(answer), "INVALID_REQUEST", raises("ValueError")),
        ("threads.retry_after_item", Box::new(strange), "ITEM_NOT_FOUND", json!({"events": []})),
        (
            "threads.add_client_tool_output",
            Box::new(|front| json!({"thread_id": front.id(), "result": 1})),
            "CONFLICT",
            raises("ValueError"),
        ),
        ("threads.add_structured_input", Box::new(answered(json!({}))), "CONFLICT", raises("ValueError")),
        ("threads.sync_custom_action", Box::new(acting), "INVALID_REQUEST", raises("ValueError")),
        (
            "threads.custom_action",
            Box::new(acting),
            "INVALID_REQUEST",
            json!({"events": [{"type": "error", "code": "stream.error", "allow_retry": false}]}),
        ),
    ];
    for (kind, params, ours, theirs) in refused {
        assert_eq!(both.ask(kind, params, &[]).await, [json!({"error": ours}), theirs], "{kind}");
    }
    let speech = |_: &Front| json!({"audio_base64": "AAAA", "mime_type": "audio/webm"});
    let deaf = Script::fails(500, &json!({"error": {"message": "no"}}));
    let answers = both.ask("input.transcribe", speech, &[deaf]).await;
    assert_eq!(answers, [json!({"error": "UPSTREAM_ERROR"}), raises("InternalServerError")]);

    takes_what_it_can_use(both, asks).await;
}

/// The behaviour of theirs for answers that do not match the questions.
async fn takes_what_it_can_use(both: &mut Both, asks: impl Fn() -> Script) {
    let kind = "threads.add_structured_input";
    let input = |answers: &Value| answered(json!({"answers": answers}));
    let fits = json!({"q1": {"values": ["This"]}});
    for odd in [json!({"q1": {"values": ["This", "That"]}}), json!({"q1": {"values": ["This"]}, "q9": {"values": []}})]
    {
        both.turn("threads.add_user_message", say("Ask me"), &[asks()], &[]).await;
        let [ours, theirs] = both.fronts.each_ref().map(input(&odd));
        assert_eq!(both.ours(kind, &ours, &[]).await, json!({"error": "INVALID_REQUEST"}));
        let theirs = both.theirs(kind, &theirs, &[Script::says(&["Fine"])]);
        let ours = input(&fits)(&both.fronts[0]);
        let ours = both.ours(kind, &ours, &[Script::says(&["Fine"])]).await;
        assert_eq!(normal(&ours["events"][1]), normal(&theirs["events"][1]), "what is kept of {odd}");
        for (front, answer) in both.fronts.iter_mut().zip([ours, theirs]) {
            answer["events"].as_array().unwrap().iter().for_each(|event| front.take(event));
        }
    }
}
