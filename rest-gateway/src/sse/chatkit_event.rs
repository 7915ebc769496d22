//! Events as ChatKit's own server sends them: without an id, and without the events that this service adds.

use super::rest_event::write_on_one_line;
use super::run_error::error_of_end;
use crate::response_data::ThreadView;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use threadline_schema::chatkit::StreamErrorCode;
use threadline_schema::event::{EventKind, ThreadStreamEvent};
use threadline_schema::frame::Frame;

/// Ends a stream whose events stop before the end of the run. The front end shows its own message for `stream.error`.
pub(super) const EVENTS_LOST: &[u8] = br#"data: {"type":"error","code":"stream.error","allow_retry":true}

"#;

/// Appends an event if it is one of ChatKit's. After an error event (`after_error`), the failed end of the run is
/// not written as a second error. Returns whether the event is the last of the run.
pub(super) fn write(out: &mut Vec<u8>, frame: &Frame, after_error: bool) -> bool {
    let event = frame.event();
    let json: &str = &event.json();
    match event.kind() {
        // ChatKit's threads have fewer members than those of the service.
        EventKind::ThreadCreated => write_thread(out, r#"{"type":"thread.created","thread":"#, json),
        EventKind::ThreadUpdated => write_thread(out, r#"{"type":"thread.updated","thread":"#, json),
        // ChatKit has no event that replaces all items; each item is sent as if it had just been completed.
        EventKind::RunResync => match serde_json::from_str::<ResyncView<'_>>(json) {
            Ok(ResyncView { items }) => {
                for item in items.data {
                    write_data(out, &[r#"{"type":"thread.item.done","item":"#, item.get(), "}"]);
                }
            }
            Err(error) => tracing::error!(%error, "resync event could not be parsed"),
        },
        kind if kind.is_terminal() => {
            if let Some(error) = error_of_end(event).filter(|_| !after_error) {
                write_data(out, &[&error_event(error.message)]);
            }
            return true;
        }
        _ => write_data(out, &[json]),
    }
    false
}

/// Appends an event about a thread that begins with `start`.
fn write_thread(out: &mut Vec<u8>, start: &str, event: &str) {
    match serde_json::from_str::<ThreadEventView<'_>>(event) {
        Ok(ThreadEventView { thread }) => {
            let thread = serde_json::to_string(&thread).unwrap_or_default();
            write_data(out, &[start, &thread, "}"]);
        }
        Err(error) => tracing::error!(%error, "thread event could not be parsed"),
    }
}

/// Returns ChatKit's event for a run that failed.
fn error_event(message: String) -> String {
    let event = ThreadStreamEvent::Error { code: StreamErrorCode::Custom, message: Some(message), allow_retry: true };
    serde_json::to_string(&event).unwrap_or_default()
}

/// Appends one event whose JSON consists of these parts.
fn write_data(out: &mut Vec<u8>, parts: &[&str]) {
    out.extend_from_slice(b"data: ");
    for part in parts {
        write_on_one_line(out, part);
    }
    out.extend_from_slice(b"\n\n");
}

#[derive(Serialize, Deserialize)]
struct ThreadEventView<'a> {
    #[serde(borrow)]
    thread: ThreadView<'a>,
}

#[derive(Deserialize)]
struct ResyncView<'a> {
    #[serde(borrow)]
    items: ItemPageView<'a>,
}

#[derive(Deserialize)]
struct ItemPageView<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use threadline_schema::event::Event;
    use threadline_schema::ids::{ItemId, RunId};

    /// Returns what is written, and whether the last event ends the stream.
    fn written(events: &[&str]) -> (String, bool) {
        let mut out = Vec::new();
        let (mut is_last, mut after_error) = (false, false);
        for (seq, json) in (1..).zip(events) {
            let event = Event::from_json(*json);
            let is_error = event.kind() == EventKind::Error;
            is_last = write(&mut out, &Frame::Run { run_id: RunId::nil(), seq, event }, after_error);
            after_error = is_error;
        }
        (String::from_utf8(out).unwrap(), is_last)
    }

    #[test]
    fn only_events_of_chatkit_are_written() {
        let delta = threadline_schema::text_delta::TextDelta::new(ItemId::nil(), 0, "a\n").json();
        assert_eq!(written(&[&delta]), (format!("data: {delta}\n\n"), false));
        assert_eq!(written(&[r#"{"type":"run.completed","run":{}}"#]), (String::new(), true));
        assert_eq!(written(&[r#"{"type":"run.cancelled","run":{}}"#]), (String::new(), true));
    }

    #[test]
    fn a_failed_run_becomes_chatkits_error_event() {
        let failed = r#"{"type":"run.failed","run":{},"error":{"code":"UPSTREAM_TIMEOUT","message":"too \"slow\""}}"#;
        let error = r#"{"type":"error","code":"custom","message":"too \"slow\"","allow_retry":true}"#;
        assert_eq!(written(&[failed]), (format!("data: {error}\n\n"), true));
        assert_eq!(written(&[error, failed]), (format!("data: {error}\n\n"), true), "an error is written once");
    }

    #[test]
    fn a_resync_becomes_the_items_of_the_run() {
        let resync = r#"{"type":"run.resync","run":{},"items":{"data":[{"id":1},{"id":2}],"has_more":false}}"#;
        let done = |id| format!("data: {{\"type\":\"thread.item.done\",\"item\":{{\"id\":{id}}}}}\n\n");
        assert_eq!(written(&[resync]), (done(1) + &done(2), false));
    }
}
