//! Events as the REST API sends them: with an id, which is the cursor.

use crate::rule::StreamScope;
use threadline_schema::frame::Frame;
use threadline_schema::text_delta::TextDelta;
use uuid::Uuid;

/// Returns the first bytes of a thread's stream: a comment, which shows a client that the stream is open, and an id
/// without an event. A browser keeps the id and sends it when it reconnects before the first event.
pub(super) fn thread_prelude(start_cursor: Option<&str>) -> Vec<u8> {
    let mut out = b": ok\n".to_vec();
    // A line break in it would start another SSE field. The core sends none; this does not rely on it.
    if let Some(cursor) = start_cursor.filter(|cursor| cursor.bytes().all(|byte| byte.is_ascii_graphic())) {
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(cursor.as_bytes());
        out.push(b'\n');
    }
    out.push(b'\n');
    out
}

/// Appends an event. Returns whether it is the last of the run or of the thread.
pub(crate) fn write(out: &mut Vec<u8>, frame: &Frame, scope: StreamScope) -> bool {
    let event = frame.event();
    if let Frame::Run { run_id, seq, .. } = frame {
        let mut id = Uuid::encode_buffer();
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(run_id.as_uuid().hyphenated().encode_lower(&mut id).as_bytes());
        out.push(b':');
        out.extend_from_slice(itoa::Buffer::new().format(*seq).as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    let is_last = match event.text_delta() {
        Some(TextDelta { item_id, content_index, text }) => {
            out.extend_from_slice(br#"{"type":"thread.item.content.part.delta","item_id":""#);
            let mut id = Uuid::encode_buffer();
            out.extend_from_slice(item_id.as_uuid().hyphenated().encode_lower(&mut id).as_bytes());
            out.extend_from_slice(br#"","content_index":"#);
            out.extend_from_slice(itoa::Buffer::new().format(*content_index).as_bytes());
            out.extend_from_slice(br#","delta":""#);
            out.extend_from_slice(text.as_str().as_bytes());
            out.extend_from_slice(br#""}"#);
            false
        }
        None => {
            write_on_one_line(out, &event.json());
            match scope {
                StreamScope::Run => event.kind().is_terminal(),
                StreamScope::Thread => event.kind().ends_thread(),
            }
        }
    };
    out.extend_from_slice(b"\n\n");
    is_last
}

/// Appends JSON on one line. Line breaks between tokens become spaces; inside of strings JSON escapes them.
pub(super) fn write_on_one_line(out: &mut Vec<u8>, json: &str) {
    let start = out.len();
    out.extend_from_slice(json.as_bytes());
    if memchr::memchr2(b'\n', b'\r', json.as_bytes()).is_some() {
        for byte in out.iter_mut().skip(start).filter(|byte| matches!(byte, b'\n' | b'\r')) {
            *byte = b' ';
        }
    }
}
