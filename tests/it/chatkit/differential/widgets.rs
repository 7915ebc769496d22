//! Tool calls, widgets and actions.

use super::both::{Both, calls};
use super::conversation::say;
use super::differences::{ACTION_SHOWN, REMOVALS_TOLD};
use super::front::Front;
use crate::support::Script;
use serde_json::{Value, json};

/// Params of a click on a row of the newest list.
fn click(row: usize) -> impl Fn(&Front) -> Value {
    move |front| {
        let item = front.newest("widget");
        let action = &item["widget"]["children"][row]["onClickAction"];
        let action = json!({"type": action["type"], "payload": action["payload"]});
        json!({"thread_id": front.id(), "item_id": item["id"], "action": action})
    }
}

pub async fn run(both: &mut Both) {
    let add = |title: &str| ("add_task", json!({"title": title}));
    let list = || calls(&[("list_tasks", json!({}))]);
    both.create("Milk, please", &[calls(&[add("Milk")]), Script::says(&["Noted."])]).await;
    let scripts = [calls(&[add("Bread")]), list(), Script::says(&["There."])];
    both.turn("threads.add_user_message", say("And bread"), &scripts, &[]).await;
    let open = |front: &Front| front.newest("widget")["widget"].to_string().matches("onClickAction").count();
    assert_eq!(both.fronts.each_ref().map(open), [2, 2]);

    both.turn("threads.custom_action", click(1), &[], &[&ACTION_SHOWN]).await;
    assert_eq!(both.fronts.each_ref().map(open), [1, 1]);
    let answers = both.same("threads.sync_custom_action", click(0)).await;
    for (front, answer) in both.fronts.iter_mut().zip(&answers) {
        front.take(&json!({"type": "thread.item.replaced", "item": answer["updated_item"]}));
    }
    assert_eq!(both.fronts.each_ref().map(open), [0, 0]);

    let message = |front: &Front| json!({"thread_id": front.id(), "item_id": front.newest("user_message")["id"]});
    both.turn("threads.retry_after_item", message, &[list(), Script::says(&["All done."])], &[&REMOVALS_TOLD]).await;
    both.read("Shopping").await;
}
