//! The whole output of a run as one JSON response, for clients that do not want a stream.

use super::run_error::{NoAnswer, error_of_end};
use crate::response_data::{ItemView, Message, ToolCall, ToolCallView};
use crate::upstream::FrameStream;
use futures::StreamExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use threadline_schema::event::{Event, EventKind};
use threadline_schema::{ErrorCode, RpcError};

/// Waits for the end of a run, and returns `{"success":true,"data":<message>}`: the last message of the assistant, with
/// the tool calls of the run.
///
/// # Errors
/// The error of the run, even after output. A cancelled run is not an error: its output so far is returned.
pub(crate) async fn buffered_response(frames: &mut FrameStream) -> Result<Vec<u8>, NoAnswer> {
    // Only the newest event with a message of the assistant is kept.
    let mut newest: Option<Event> = None;
    while let Some(frame) = frames.next().await {
        let event = frame.event();
        match event.kind() {
            EventKind::ItemDone if has_assistant_message(&event.json()) => newest = Some(event.clone()),
            EventKind::RunResync => newest = Some(event.clone()),
            EventKind::ItemRemoved
                if newest.as_ref().is_some_and(|newest| removes_item_of(&event.json(), &newest.json())) =>
            {
                newest = None
            }
            kind if kind.is_terminal() => {
                return match error_of_end(event) {
                    Some(error) => Err(NoAnswer::RunFailed(error)),
                    None => response_body(newest.as_ref(), event).map_err(|error| {
                        tracing::error!(%error, "events of a run could not be parsed");
                        NoAnswer::RunFailed(RpcError::new(ErrorCode::InternalError, "The answer cannot be shown."))
                    }),
                };
            }
            _ => {}
        }
    }
    Err(NoAnswer::EventsLost)
}

fn has_assistant_message(event: &str) -> bool {
    let event: Option<ItemEventView<'_>> = serde_json::from_str(event).ok();
    event.and_then(|event| event.item).is_some_and(|item| item.is_assistant_message())
}

/// Returns whether a `thread.item.removed` event removes the item of another event.
fn removes_item_of(removal: &str, event: &str) -> bool {
    let removed: Option<ItemRemovedView<'_>> = serde_json::from_str(removal).ok();
    let event: Option<ItemEventView<'_>> = serde_json::from_str(event).ok();
    let item = event.and_then(|event| event.item);
    removed.zip(item).is_some_and(|(removed, item)| item.id.get() == removed.item_id.get())
}

fn response_body(newest: Option<&Event>, terminal: &Event) -> serde_json::Result<Vec<u8>> {
    let (newest, terminal) = (newest.map(Event::json), terminal.json());
    let TerminalEventView { run } = serde_json::from_str(&terminal)?;
    let calls: Vec<ToolCall<'_>> = run.tool_calls.iter().flatten().map(ToolCall::from).collect();
    let calls = (!calls.is_empty()).then_some(calls);
    let newest: Option<ItemEventView<'_>> = newest.as_deref().map(serde_json::from_str).transpose()?;
    let item = newest.as_ref().and_then(|event| {
        let page = event.items.iter().flat_map(|page| &page.data);
        page.chain(&event.item).rfind(|item| item.is_assistant_message())
    });
    let message = match item {
        Some(item) => Message::from_item(item, calls)?,
        None => Some(Message::empty(run.id, run.created_at, calls)),
    };
    let mut out = br#"{"success":true,"data":"#.to_vec();
    serde_json::to_writer(&mut out, &message)?;
    out.push(b'}');
    Ok(out)
}

#[derive(Deserialize)]
struct ItemRemovedView<'a> {
    #[serde(borrow)]
    item_id: &'a RawValue,
}

/// An event with one item, or with a page of items.
#[derive(Deserialize)]
struct ItemEventView<'a> {
    #[serde(borrow, default)]
    item: Option<ItemView<'a>>,
    #[serde(borrow, default)]
    items: Option<ItemPageView<'a>>,
}

#[derive(Deserialize)]
struct ItemPageView<'a> {
    #[serde(borrow)]
    data: Vec<ItemView<'a>>,
}

#[derive(Deserialize)]
struct TerminalEventView<'a> {
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
    tool_calls: Option<Vec<ToolCallView<'a>>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use serde_json::{Value, json};
    use threadline_schema::frame::Frame;
    use threadline_schema::ids::RunId;

    const TIME: &str = "2026-01-01T00:00:00Z";

    fn assistant_message(id: &str, text: &str) -> Value {
        json!({"type": "assistant_message", "id": id, "thread_id": "t", "created_at": TIME,
               "content": [{"type": "output_text", "text": text, "annotations": []}]})
    }

    /// An event as serde writes it: `type` is the first member.
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

    async fn response(events: &[String]) -> Result<Value, RpcError> {
        let frames: Vec<_> = events
            .iter()
            .zip(1..)
            .map(|(event, seq)| Frame::Run { run_id: RunId::nil(), seq, event: Event::from_json(event.as_str()) })
            .collect();
        let body = buffered_response(&mut stream::iter(frames).boxed()).await.map_err(RpcError::from)?;
        Ok(serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn the_last_message_and_all_tool_calls_are_returned() {
        let call = json!({"id": "c", "name": "add_task", "arguments": "{}", "result": "{}", "run_id": "run",
                          "created_at": TIME});
        let mut last = assistant_message("b", "last \"one\"");
        last["finish_reason"] = json!("length");
        let workflow = json!({"type": "workflow", "id": "w", "thread_id": "t", "created_at": TIME, "workflow": {}});
        let body = response(&[
            event("thread.item.done", "item", &assistant_message("a", "first")),
            event("thread.item.done", "item", &last),
            event("thread.item.done", "item", &workflow),
            event("run.completed", "run", &run(Some(json!([call])))),
        ])
        .await
        .unwrap();
        let calls = json!([{"id": "c", "type": "function", "function": {"name": "add_task", "arguments": "{}"},
                            "result": "{}"}]);
        let data = json!({"id": "b", "role": "assistant", "content": [{"type": "text", "text": "last \"one\""}],
                          "tool_calls": calls, "created_at": TIME, "finish_reason": "length"});
        assert_eq!(body, json!({"success": true, "data": data}));
    }

    #[tokio::test]
    async fn a_cancelled_run_returns_its_output() {
        let body = response(&[
            event("thread.item.done", "item", &assistant_message("a", "par")),
            event("run.cancelled", "run", &run(None)),
        ])
        .await
        .unwrap();
        assert_eq!(body["data"]["content"][0]["text"], "par");
        assert_eq!(body["data"]["tool_calls"], Value::Null);
        let body = response(&[event("run.cancelled", "run", &run(None))]).await.unwrap();
        assert_eq!(body["data"]["id"], "run");
        assert_eq!(body["data"]["content"], json!([]));
    }

    #[tokio::test]
    async fn a_removed_item_is_not_returned() {
        let removed = |id: &str| event("thread.item.removed", "item_id", &json!(id));
        let cancelled = || event("run.cancelled", "run", &run(None));
        let done = || event("thread.item.done", "item", &assistant_message("a", "par"));
        let body = response(&[done(), removed("a"), cancelled()]).await.unwrap();
        assert_eq!(body["data"]["content"], json!([]));
        let body = response(&[done(), removed("old"), cancelled()]).await.unwrap();
        assert_eq!(body["data"]["content"][0]["text"], "par");
    }

    #[tokio::test]
    async fn a_failed_run_is_an_error_even_after_output() {
        let failed = r#"{"type":"run.failed","run":{},"error":{"code":"UPSTREAM_ERROR","message":"broke"}}"#.to_owned();
        let error =
            response(&[event("thread.item.done", "item", &assistant_message("a", "par")), failed]).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::UpstreamError);
    }

    #[tokio::test]
    async fn the_message_can_come_from_a_resync() {
        let page = json!({"data": [assistant_message("a", "x"), assistant_message("b", "y")], "has_more": false});
        let resync = format!(r#"{{"type":"run.resync","run":{},"items":{page}}}"#, run(None));
        let body = response(&[resync, event("run.completed", "run", &run(None))]).await.unwrap();
        assert_eq!(body["data"]["content"][0]["text"], "y");
    }
}
