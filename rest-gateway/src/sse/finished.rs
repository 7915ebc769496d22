//! The finished answer of a run, for clients that take JSON instead of a stream.

use super::late::{failure, lost};
use crate::reply::{ItemView, Message, RecordView, ToolCall};
use crate::upstream::Frames;
use futures::StreamExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use threadline_schema::event::{is_terminal, type_of};
use threadline_schema::{ErrorCode, RpcError};

/// Waits for the end of a run and writes `{"success":true,"data":<message>}`: the last thing the assistant said, and
/// the tools it called.
///
/// # Errors
/// The run's own error, also when there was output before it; what a cancelled run had said is no error.
pub(crate) async fn finished(frames: &mut Frames) -> Result<Vec<u8>, RpcError> {
    // Of all events only the newest that shows an answer is kept.
    let mut answer: Option<Arc<str>> = None;
    while let Some(frame) = frames.next().await {
        let kind = type_of(&frame.event).unwrap_or_default();
        match kind {
            "thread.item.done" if shows_answer(&frame.event) => answer = Some(frame.event),
            "run.resync" => answer = Some(frame.event),
            "thread.item.removed" if answer.as_deref().is_some_and(|shown| takes_back(&frame.event, shown)) => {
                answer = None
            }
            _ if is_terminal(kind) => {
                return match failure(kind, &frame.event) {
                    Some(error) => Err(error),
                    None => write(answer.as_deref(), &frame.event).map_err(|error| {
                        tracing::error!(%error, "the events of a run do not have their shape");
                        RpcError::new(ErrorCode::InternalError, "The answer cannot be shown.")
                    }),
                };
            }
            _ => {}
        }
    }
    Err(lost())
}

fn shows_answer(event: &str) -> bool {
    serde_json::from_str::<Shown<'_>>(event).is_ok_and(|shown| shown.item.as_ref().is_some_and(ItemView::is_answer))
}

/// Whether an event removes the item that another shows.
fn takes_back(removal: &str, shown: &str) -> bool {
    let removed: Option<Removed<'_>> = serde_json::from_str(removal).ok();
    let shown: Option<Shown<'_>> = serde_json::from_str(shown).ok();
    removed
        .zip(shown)
        .is_some_and(|(removed, shown)| shown.item.is_some_and(|item| item.id.get() == removed.item_id.get()))
}

fn write(answer: Option<&str>, terminal: &str) -> serde_json::Result<Vec<u8>> {
    let ended: Ended<'_> = serde_json::from_str(terminal)?;
    let calls: Vec<ToolCall<'_>> = ended.run.tool_calls.iter().flatten().map(ToolCall::from).collect();
    let calls = (!calls.is_empty()).then_some(calls);
    let shown: Option<Shown<'_>> = answer.map(serde_json::from_str).transpose()?;
    let item = shown.as_ref().and_then(|shown| {
        let listed = shown.items.iter().flat_map(|page| &page.data);
        listed.chain(&shown.item).rfind(|item| item.is_answer())
    });
    let message = match item {
        Some(item) => Message::of(item, calls)?,
        None => Some(Message::unsaid(ended.run.id, ended.run.created_at, calls)),
    };
    let mut out = br#"{"success":true,"data":"#.to_vec();
    serde_json::to_writer(&mut out, &message)?;
    out.push(b'}');
    Ok(out)
}

#[derive(Deserialize)]
struct Removed<'a> {
    #[serde(borrow)]
    item_id: &'a RawValue,
}

/// An event with an item, or with a page of them.
#[derive(Deserialize)]
struct Shown<'a> {
    #[serde(borrow, default)]
    item: Option<ItemView<'a>>,
    #[serde(borrow, default)]
    items: Option<PageView<'a>>,
}

#[derive(Deserialize)]
struct PageView<'a> {
    #[serde(borrow)]
    data: Vec<ItemView<'a>>,
}

#[derive(Deserialize)]
struct Ended<'a> {
    #[serde(borrow)]
    run: RunView<'a>,
}

#[derive(Deserialize)]
struct RunView<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    created_at: &'a RawValue,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<RecordView<'a>>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use serde_json::{Value, json};
    use threadline_schema::call::Frame;
    use uuid::Uuid;

    const TIME: &str = "2026-01-01T00:00:00Z";

    fn said(id: &str, text: &str) -> Value {
        json!({"type": "assistant_message", "id": id, "thread_id": "t", "created_at": TIME,
               "content": [{"type": "output_text", "text": text, "annotations": []}]})
    }

    /// As serde writes an event: `type` first.
    fn event(kind: &str, name: &str, value: &Value) -> String {
        format!(r#"{{"type":"{kind}","{name}":{value}}}"#)
    }

    fn run(tool_calls: Option<Value>) -> Value {
        let mut run = json!({"id": "run", "thread_id": "t", "status": "completed", "created_at": TIME, "last_seq": 9});
        if let Some(calls) = tool_calls {
            run["tool_calls"] = calls;
        }
        run
    }

    async fn answer(events: &[String]) -> Result<Value, RpcError> {
        let frames: Vec<_> = events
            .iter()
            .zip(1..)
            .map(|(event, seq)| Frame { run_id: Uuid::nil(), seq, event: event.as_str().into() })
            .collect();
        let body = finished(&mut stream::iter(frames).boxed()).await?;
        Ok(serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn the_last_message_and_all_calls_are_told() {
        let call = json!({"id": "c", "name": "add_task", "arguments": "{}", "result": "{}", "run_id": "run",
                          "created_at": TIME});
        let workflow = json!({"type": "workflow", "id": "w", "thread_id": "t", "created_at": TIME, "workflow": {}});
        let told = answer(&[
            event("thread.item.done", "item", &said("a", "first")),
            event("thread.item.done", "item", &said("b", "last \"one\"")),
            event("thread.item.done", "item", &workflow),
            event("run.completed", "run", &run(Some(json!([call])))),
        ])
        .await
        .unwrap();
        let calls = json!([{"id": "c", "type": "function", "function": {"name": "add_task", "arguments": "{}"},
                            "result": "{}"}]);
        let data = json!({"id": "b", "role": "assistant", "content": [{"type": "text", "text": "last \"one\""}],
                          "tool_calls": calls, "created_at": TIME});
        assert_eq!(told, json!({"success": true, "data": data}));
    }

    #[tokio::test]
    async fn a_cancelled_run_tells_what_it_said() {
        let told =
            answer(&[event("thread.item.done", "item", &said("a", "par")), event("run.cancelled", "run", &run(None))])
                .await
                .unwrap();
        assert_eq!(told["data"]["content"][0]["text"], "par");
        assert_eq!(told["data"]["tool_calls"], Value::Null);
        let told = answer(&[event("run.cancelled", "run", &run(None))]).await.unwrap();
        assert_eq!(told["data"]["id"], "run");
        assert_eq!(told["data"]["content"], json!([]));
    }

    #[tokio::test]
    async fn what_was_taken_back_is_not_told() {
        let removed = |id: &str| event("thread.item.removed", "item_id", &json!(id));
        let cancelled = || event("run.cancelled", "run", &run(None));
        let done = || event("thread.item.done", "item", &said("a", "par"));
        let told = answer(&[done(), removed("a"), cancelled()]).await.unwrap();
        assert_eq!(told["data"]["content"], json!([]));
        let told = answer(&[done(), removed("old"), cancelled()]).await.unwrap();
        assert_eq!(told["data"]["content"][0]["text"], "par");
    }

    #[tokio::test]
    async fn a_failed_run_is_an_error_even_after_output() {
        let failed = r#"{"type":"run.failed","run":{},"error":{"code":"UPSTREAM_ERROR","message":"broke"}}"#.to_owned();
        let error = answer(&[event("thread.item.done", "item", &said("a", "par")), failed]).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::UpstreamError);
    }

    #[tokio::test]
    async fn a_resync_shows_the_answer_too() {
        let page = json!({"data": [said("a", "x"), said("b", "y")], "has_more": false});
        let resync = format!(r#"{{"type":"run.resync","run":{},"items":{page}}}"#, run(None));
        let told = answer(&[resync, event("run.completed", "run", &run(None))]).await.unwrap();
        assert_eq!(told["data"]["content"][0]["text"], "y");
    }
}
