//! One event as ChatKit's own server sends it: without an id, and without what is this service's own.

use super::late;
use super::write::one_line;
use crate::reply::ThreadView;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use threadline_schema::call::Frame;
use threadline_schema::chatkit::{StreamErrorCode, ThreadStreamEvent};
use threadline_schema::event::{is_terminal, type_of};

/// What is told when the events stop before the run has ended; the front end shows a sentence of its own.
pub(super) const LOST: &[u8] = br#"data: {"type":"error","code":"stream.error","allow_retry":true}

"#;

/// Appends an event, if the front end is to see it; `told` says whether the one before it was an error. Answers whether
/// it is the last.
pub(super) fn event(out: &mut Vec<u8>, frame: &Frame, told: bool) -> bool {
    let event: &str = &frame.event;
    let kind = type_of(event).unwrap_or_default();
    match kind {
        "thread.created" | "thread.updated" => match serde_json::from_str::<OfThread<'_>>(event) {
            Ok(OfThread { thread }) => {
                let start = format!(r#"{{"type":"{kind}","thread":"#);
                let thread = serde_json::to_string(&thread).unwrap_or_default();
                data(out, &[&start, &thread, "}"]);
            }
            Err(error) => tracing::error!(%error, "an event with a thread cannot be read"),
        },
        "run.resync" => match serde_json::from_str::<Resync<'_>>(event) {
            Ok(Resync { items }) => {
                for item in items.data {
                    data(out, &[r#"{"type":"thread.item.done","item":"#, item.get(), "}"]);
                }
            }
            Err(error) => tracing::error!(%error, "the items of a run cannot be read"),
        },
        _ if is_terminal(kind) => {
            if let Some(error) = late::failure(kind, event).filter(|_| !told) {
                data(out, &[&error_event(error.message)]);
            }
            return true;
        }
        _ => data(out, &[event]),
    }
    false
}

/// The protocol's word for a run that failed.
fn error_event(message: String) -> String {
    let event = ThreadStreamEvent::Error { code: StreamErrorCode::Custom, message: Some(message), allow_retry: true };
    serde_json::to_string(&event).unwrap_or_default()
}

fn data(out: &mut Vec<u8>, parts: &[&str]) {
    out.extend_from_slice(b"data: ");
    for part in parts {
        one_line(out, part);
    }
    out.extend_from_slice(b"\n\n");
}

#[derive(Serialize, Deserialize)]
struct OfThread<'a> {
    #[serde(borrow)]
    thread: ThreadView<'a>,
}

#[derive(Deserialize)]
struct Resync<'a> {
    #[serde(borrow)]
    items: Items<'a>,
}

#[derive(Deserialize)]
struct Items<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn told(events: &[&str]) -> (String, bool) {
        let mut out = Vec::new();
        let (mut last, mut told) = (false, false);
        for (seq, json) in (1..).zip(events) {
            last = event(&mut out, &Frame { run_id: Uuid::nil(), seq, event: (*json).into() }, told);
            told = type_of(json) == Some("error");
        }
        (String::from_utf8(out).unwrap(), last)
    }

    #[test]
    fn events_of_chatkit_pass_and_those_of_the_run_do_not() {
        let delta = threadline_schema::event::text_delta::write(Uuid::nil(), 0, "a\n").unwrap();
        assert_eq!(told(&[&delta]), (format!("data: {delta}\n\n"), false));
        assert_eq!(told(&[r#"{"type":"run.completed","run":{}}"#]), (String::new(), true));
        assert_eq!(told(&[r#"{"type":"run.cancelled","run":{}}"#]), (String::new(), true));
    }

    #[test]
    fn a_failure_becomes_the_protocols_error() {
        let failed = r#"{"type":"run.failed","run":{},"error":{"code":"UPSTREAM_TIMEOUT","message":"too \"slow\""}}"#;
        let error = r#"{"type":"error","code":"custom","message":"too \"slow\"","allow_retry":true}"#;
        assert_eq!(told(&[failed]), (format!("data: {error}\n\n"), true));
        assert_eq!(told(&[error, failed]), (format!("data: {error}\n\n"), true), "one error is told once");
    }

    #[test]
    fn a_run_that_can_only_be_shown_as_it_stands_is_told_by_its_items() {
        let resync = r#"{"type":"run.resync","run":{},"items":{"data":[{"id":1},{"id":2}],"has_more":false}}"#;
        let done = |id| format!("data: {{\"type\":\"thread.item.done\",\"item\":{{\"id\":{id}}}}}\n\n");
        assert_eq!(told(&[resync]), (done(1) + &done(2), false));
    }
}
