//! The whole of a message counts, and not its text alone.

use crate::support::Setup;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_and_parts_count() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let part = |text: &str| json!({"type": "input_text", "text": text});
    let say = async |content: Vec<Value>, options: Value| {
        let input = json!({"content": content, "attachments": [], "inference_options": options});
        let answer = user.rpc("threads.create", json!({"input": input})).await;
        answer["error"]["data"]["code"].as_str().map(str::to_owned)
    };
    let too_long = Some("MESSAGE_TOO_LONG".to_owned());
    assert_eq!(say(vec![part("x")], json!({"model": "m".repeat(100_000)})).await, too_long);
    assert_eq!(say(vec![part("x")], json!({"tool_choice": {"id": "t".repeat(100_000)}})).await, too_long);
    let mut many = vec![part("x")];
    many.extend(vec![part(""); 600]);
    assert_eq!(say(many, json!({})).await, too_long);
    assert_eq!(say(vec![part(&"x".repeat(500))], json!({"model": "m"})).await, None);

    let unlimited = Setup::new().await.with("MAX_MESSAGE_CHARS", 0).start().await;
    let user = unlimited.user().await;
    let input = json!({"content": vec![part("x"); 1001], "attachments": [], "inference_options": {}});
    let refused = user.rpc("threads.create", json!({"input": input})).await;
    assert_eq!(refused["error"]["data"]["code"], "MESSAGE_TOO_LONG", "{refused}");
}
