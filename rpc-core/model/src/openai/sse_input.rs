//! Prepares a response body for the SSE parser.
//!
//! `sse-stream` handles all line endings, comments, and events that are split at any byte. [`SseInput`] adds what it
//! does not do: it terminates an event that the body ends in the middle of, it limits the size of an event, it replaces
//! bytes that are not UTF-8, and it turns JSON that is sent in place of events into events: one document, one document
//! per line, or a list of them.

use super::error;
use super::error_body::html_title;
use super::utf8_input::Utf8Input;
use crate::ModelError;
use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

/// Largest event, and largest response that is not streamed. Large events carry a whole tool call, a few kilobytes.
const MAX_EVENT_BYTES: usize = 1 << 20;
/// Bytes of an HTML page that are read for its title.
const MAX_HTML_BYTES: usize = 16 << 10;

/// The bytes of a response body.
pub(super) type ResponseBody = BoxStream<'static, Result<Bytes, ModelError>>;

/// A response body as a valid and bounded event stream.
pub(super) struct SseInput {
    body: ResponseBody,
    utf8: Utf8Input,
    /// `None` after the body has ended, and everything was passed on.
    position: Option<Position>,
    /// Whether a line of the body is not JSON: then it is an event stream.
    has_lines: bool,
    html: Vec<u8>,
    unparsed: Arc<UnparsedBytes>,
}

/// Number of bytes since the last complete event. Shared with the reader of the events, because the SSE parser owns its
/// input.
#[derive(Default)]
pub(super) struct UnparsedBytes(AtomicUsize);

impl UnparsedBytes {
    /// To be called for each complete event.
    pub(super) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn add(&self, count: usize) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn exceeds_limit(&self) -> bool {
        self.0.load(Ordering::Relaxed) > MAX_EVENT_BYTES
    }
}

/// Where in the body the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Only white space so far.
    Start,
    /// At the start of a line. No line of an event stream begins with a brace or a bracket.
    LineStart,
    /// Inside a line that is not JSON.
    Line,
    /// After a bracket at the start of a line: a list of documents, or `[DONE]`.
    Bracket,
    /// Inside a document.
    Json { depth: u32, is_in_string: bool, is_escaped: bool },
    /// Inside an HTML page.
    Html,
}

const DOCUMENT: Position = Position::Json { depth: 1, is_in_string: false, is_escaped: false };

impl SseInput {
    pub(super) fn new(body: ResponseBody) -> Self {
        Self {
            body,
            utf8: Utf8Input::default(),
            position: Some(Position::Start),
            has_lines: false,
            html: Vec::new(),
            unparsed: Arc::default(),
        }
    }

    pub(super) fn unparsed_bytes(&self) -> Arc<UnparsedBytes> {
        Arc::clone(&self.unparsed)
    }

    /// Returns what the parser must read after the last byte of the body.
    fn end(&mut self) -> Result<Bytes, ModelError> {
        let position = self.position.take();
        if position == Some(Position::Html) {
            let page = String::from_utf8_lossy(&self.html);
            return Err(error::from_html(&html_title(&page).unwrap_or_else(|| "no title".to_owned())));
        }
        // Some servers close right after `data: [DONE]`. The blank line terminates whatever was left open. If that is
        // half a chunk, it is then refused as invalid and not silently dropped.
        let mut rest = BytesMut::from(&self.utf8.finish()[..]);
        rest.extend_from_slice(b"\n\n");
        Ok(rest.freeze())
    }

    /// Turns documents into events. Lines of events pass unchanged, and usually without being copied.
    fn convert(&mut self, bytes: Bytes) -> Bytes {
        let Some(mut position) = self.position else { return Bytes::new() };
        let mut out = BytesMut::new();
        // Bytes up to here are in `out`.
        let mut done = 0;
        let mut at = 0;
        while let Some(byte) = bytes.get(at).copied() {
            let mut copy_to = |out: &mut BytesMut, end: usize, next: usize| {
                out.extend_from_slice(bytes.get(done..end).unwrap_or_default());
                done = next;
            };
            match position {
                Position::Html => {
                    let room = MAX_HTML_BYTES.saturating_sub(self.html.len());
                    self.html.extend(bytes.iter().skip(at).take(room));
                    copy_to(&mut out, at, bytes.len());
                    at = bytes.len();
                    continue;
                }
                Position::Line => {
                    let rest = bytes.get(at..).unwrap_or_default();
                    match memchr::memchr2(b'\n', b'\r', rest) {
                        Some(end) => {
                            at += end;
                            position = Position::LineStart;
                        }
                        None => {
                            at = bytes.len();
                            continue;
                        }
                    }
                }
                Position::Start if byte == b'<' => {
                    position = Position::Html;
                    continue;
                }
                Position::Start | Position::LineStart | Position::Bracket => match byte {
                    b'{' => {
                        copy_to(&mut out, at, at);
                        out.extend_from_slice(b"\ndata:");
                        position = DOCUMENT;
                    }
                    b'[' => {
                        copy_to(&mut out, at, at + 1);
                        position = Position::Bracket;
                    }
                    b'D' if position == Position::Bracket => {
                        copy_to(&mut out, at, at);
                        out.extend_from_slice(b"data:[");
                        position = Position::Line;
                    }
                    // Between the documents of a list. A byte order mark is dropped in front of a document only.
                    b',' | b']' if !self.has_lines => copy_to(&mut out, at, at + 1),
                    b'\n' | b'\r' => {
                        if position != Position::Start {
                            position = Position::LineStart;
                        }
                    }
                    byte if byte.is_ascii_whitespace() && !self.has_lines => copy_to(&mut out, at, at + 1),
                    _ => {
                        self.has_lines = true;
                        position = Position::Line;
                    }
                },
                Position::Json { depth, is_in_string, is_escaped } => {
                    position = match byte {
                        _ if is_escaped => Position::Json { depth, is_in_string, is_escaped: false },
                        b'\\' if is_in_string => Position::Json { depth, is_in_string, is_escaped: true },
                        b'"' => Position::Json { depth, is_in_string: !is_in_string, is_escaped },
                        _ if is_in_string => position,
                        b'{' | b'[' => Position::Json { depth: depth.saturating_add(1), is_in_string, is_escaped },
                        b'}' | b']' if depth == 1 => {
                            copy_to(&mut out, at + 1, at + 1);
                            out.extend_from_slice(b"\n\n");
                            Position::LineStart
                        }
                        b'}' | b']' => Position::Json { depth: depth - 1, is_in_string, is_escaped },
                        // Line breaks occur only between the tokens of a JSON document: inside strings they are
                        // escaped.
                        b'\n' | b'\r' => {
                            copy_to(&mut out, at, at + 1);
                            out.extend_from_slice(b" ");
                            position
                        }
                        _ => position,
                    };
                }
            }
            at += 1;
        }
        self.position = Some(position);
        if done == 0 && out.is_empty() {
            return bytes;
        }
        out.extend_from_slice(bytes.get(done..).unwrap_or_default());
        out.freeze()
    }
}

impl Stream for SseInput {
    type Item = Result<Bytes, ModelError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if this.position.is_none() {
                return Poll::Ready(None);
            }
            // The parser asks for more only when the bytes so far contain no further complete event.
            if this.unparsed.exceeds_limit() {
                let message = format!("an event is longer than {MAX_EVENT_BYTES} bytes");
                return Poll::Ready(Some(Err(ModelError::invalid_response(message))));
            }
            let bytes = match ready!(this.body.poll_next_unpin(cx)) {
                Some(Ok(bytes)) => bytes,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(Some(this.end())),
            };
            this.unparsed.add(bytes.len());
            let bytes = this.utf8.push(bytes);
            let bytes = this.convert(bytes);
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(bytes)));
            }
        }
    }
}
