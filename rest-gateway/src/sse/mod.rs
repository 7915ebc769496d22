//! Events -> Server-Sent Events.
//!
//! All events that are ready go into one chunk of the body, so a burst of tokens costs one write. A waiting stream
//! holds no buffer. After a time without events it sends a comment: clients ignore it, and proxies keep the connection.
//!
//! The stream of a run ends with its terminal event, that of a thread with `thread.deleted`; then `data: [DONE]`
//! follows. The events can also stop without such an end: the core is gone, or the caller's token has expired. Then the
//! stream ends with one `error` event (the core's own, if it sent one) and `[DONE]`. A client that waits for `[DONE]`
//! does not wait for ever, and a client that looks for the terminal event sees that it is missing and resumes from its
//! cursor.

mod buffered_response;
mod chatkit_event;
mod first_output;
pub(crate) mod rest_event;
mod run_error;

pub(crate) use buffered_response::buffered_response;
pub(crate) use first_output::await_first_output;
pub(crate) use run_error::NoAnswer;

use crate::http::Observation;
use crate::rule::StreamScope;
use crate::upstream::FrameStream;
use bytes::Bytes;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use threadline_schema::event::EventKind;
use threadline_schema::frame::Frame;
use tokio::time::{Instant, Sleep};

/// Bytes after which a chunk of the body is sent, although more events are ready.
const CHUNK_BYTES: usize = 64 * 1024;

const HEARTBEAT: &[u8] = b": ping\n\n";
const DONE: &[u8] = b"data: [DONE]\n\n";
/// ChatKit's `error` event. Its code `stream.error` makes ChatKit's front ends show their own message.
const EVENTS_LOST: &[u8] = concat!(
    r#"data: {"type":"error","code":"stream.error","message":"The events stopped arriving. Ask for them again, with "#,
    r#"the id of the last one as Last-Event-ID.","allow_retry":true}"#,
    "\n\n"
)
.as_bytes();

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SseFormat {
    /// For clients of the REST API.
    Rest(StreamScope),
    /// For ChatKit's front ends.
    ChatKit,
}

/// The events of a response that has not started yet.
pub(crate) struct SseSource {
    format: SseFormat,
    /// Bytes before the first event.
    prelude: Vec<u8>,
    /// Frames that were read already.
    buffered: Vec<Frame>,
    frames: FrameStream,
}

impl SseSource {
    /// Streams a run: the frames that were read already, then the others.
    pub(crate) fn run(buffered: Vec<Frame>, frames: FrameStream) -> Self {
        Self { format: SseFormat::Rest(StreamScope::Run), prelude: Vec::new(), buffered, frames }
    }

    /// Streams a thread. It can take long until the first event, so the prelude has the cursor to resume from.
    pub(crate) fn thread(start_cursor: Option<&str>, frames: FrameStream) -> Self {
        let prelude = rest_event::thread_prelude(start_cursor);
        Self { format: SseFormat::Rest(StreamScope::Thread), prelude, buffered: Vec::new(), frames }
    }

    /// Streams a run as ChatKit's own server does.
    pub(crate) fn chatkit(frames: FrameStream) -> Self {
        Self { format: SseFormat::ChatKit, prelude: Vec::new(), buffered: Vec::new(), frames }
    }
}

/// The body of an event stream.
pub(crate) struct SseStream {
    format: SseFormat,
    /// Bytes that go out before the first event.
    prelude: Vec<u8>,
    buffered: std::vec::IntoIter<Frame>,
    /// `None` after the end of the stream.
    frames: Option<FrameStream>,
    heartbeat: Duration,
    /// Runs out after `heartbeat` without a chunk. Reset only when it fires: resetting it for each chunk would cost
    /// more than writing a token.
    idle: Pin<Box<Sleep>>,
    last_chunk_at: Instant,
    /// Whether the last event was an error. Then the client knows why the events stop.
    after_error: bool,
    observation: Observation,
}

impl SseStream {
    /// Starts a stream that sends a comment after each `heartbeat` without events.
    pub(crate) fn new(source: SseSource, heartbeat: Duration, mut observation: Observation) -> Self {
        observation.start_event_stream();
        let SseSource { format, prelude, buffered, frames } = source;
        Self {
            format,
            prelude,
            buffered: buffered.into_iter(),
            frames: Some(frames),
            heartbeat,
            idle: Box::pin(tokio::time::sleep(heartbeat)),
            last_chunk_at: Instant::now(),
            after_error: false,
            observation,
        }
    }

    /// Returns whether the stream has ended.
    pub(crate) fn is_done(&self) -> bool {
        self.frames.is_none()
    }

    /// Polls for the next chunk of the body.
    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.is_done() {
            return Poll::Ready(None);
        }
        let mut out = std::mem::take(&mut self.prelude);
        while out.len() < CHUNK_BYTES {
            match self.poll_frame(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(frame)) => {
                    if self.write(&mut out, &frame) {
                        self.end(&mut out);
                        break;
                    }
                }
                Poll::Ready(None) => {
                    if !self.after_error {
                        out.extend_from_slice(match self.format {
                            SseFormat::Rest(_) => EVENTS_LOST,
                            SseFormat::ChatKit => chatkit_event::EVENTS_LOST,
                        });
                    }
                    self.end(&mut out);
                    break;
                }
            }
        }
        if out.is_empty() && self.is_done() {
            return Poll::Ready(None);
        }
        if out.is_empty() {
            std::task::ready!(self.poll_idle(cx));
            out.extend_from_slice(HEARTBEAT);
        }
        self.last_chunk_at = Instant::now();
        Poll::Ready(Some(out.into()))
    }

    /// Waits until there was no chunk for a heartbeat.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            std::task::ready!(self.idle.as_mut().poll(cx));
            let due = self.last_chunk_at + self.heartbeat;
            if due <= Instant::now() {
                // The next one begins now.
                self.idle.as_mut().reset(Instant::now() + self.heartbeat);
                return Poll::Ready(());
            }
            self.idle.as_mut().reset(due);
        }
    }

    /// Writes one event. Returns whether it is the last of the stream.
    fn write(&mut self, out: &mut Vec<u8>, frame: &Frame) -> bool {
        self.observation.count_event();
        let after_error = std::mem::replace(&mut self.after_error, frame.event().kind() == EventKind::Error);
        match self.format {
            SseFormat::Rest(scope) => rest_event::write(out, frame, scope),
            SseFormat::ChatKit => chatkit_event::write(out, frame, after_error),
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if let SseFormat::Rest(_) = self.format {
            out.extend_from_slice(DONE);
        }
        self.frames = None;
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        if let Some(frame) = self.buffered.next() {
            return Poll::Ready(Some(frame));
        }
        match &mut self.frames {
            Some(frames) => frames.as_mut().poll_next(cx),
            None => Poll::Ready(None),
        }
    }
}

impl std::fmt::Debug for SseStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SseStream").field("done", &self.is_done()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
