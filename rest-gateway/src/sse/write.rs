//! One event in the form of SSE.

use crate::rule::Scope;
use std::io::Write;
use threadline_schema::call::Frame;
use threadline_schema::event::{ends_thread, is_terminal, text_delta, type_of};
use uuid::Uuid;

/// What a thread's stream begins with, so that a client sees at once that it is open. The id has no event with it: a
/// browser keeps it all the same, and comes back with it when the stream breaks before there was an event.
pub(crate) fn greeting(begins_after: Option<&str>) -> Vec<u8> {
    let mut out = b": ok\n".to_vec();
    // It is the core's own, and yet a line break in it would be a field of its own.
    if let Some(id) = begins_after.filter(|id| id.bytes().all(|byte| byte.is_ascii_graphic())) {
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(id.as_bytes());
        out.push(b'\n');
    }
    out.push(b'\n');
    out
}

/// Appends an event. Answers whether it is the last of a run or of a thread.
pub(crate) fn event(out: &mut Vec<u8>, frame: &Frame, scope: Scope) -> bool {
    let event: &str = &frame.event;
    out.reserve(event.len() + 80);
    if frame.seq > 0 {
        let mut id = Uuid::encode_buffer();
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(frame.run_id.hyphenated().encode_lower(&mut id).as_bytes());
        // Writing to a Vec cannot fail.
        let _ = writeln!(out, ":{}", frame.seq);
    }
    out.extend_from_slice(b"data: ");
    let last = match text_delta::split(event) {
        Some(delta) => {
            out.extend_from_slice(br#"{"type":"thread.item.content.part.delta","item_id":""#);
            out.extend_from_slice(delta.item_id.as_bytes());
            out.extend_from_slice(br#"","content_index":"#);
            out.extend_from_slice(delta.content_index.as_bytes());
            out.extend_from_slice(br#","delta":"#);
            one_line(out, delta.delta);
            out.push(b'}');
            false
        }
        None => {
            one_line(out, event);
            type_of(event).is_some_and(match scope {
                Scope::Run => is_terminal,
                Scope::Thread => ends_thread,
            })
        }
    };
    out.extend_from_slice(b"\n\n");
    last
}

/// Appends JSON on one line. A raw line break can only stand between its tokens, where a space means the same; inside a
/// string it is escaped.
pub(super) fn one_line(out: &mut Vec<u8>, json: &str) {
    let start = out.len();
    out.extend_from_slice(json.as_bytes());
    if memchr::memchr2(b'\n', b'\r', json.as_bytes()).is_some() {
        for byte in out.iter_mut().skip(start).filter(|byte| matches!(byte, b'\n' | b'\r')) {
            *byte = b' ';
        }
    }
}
