//! Events -> Server-Sent Events.
//!
//! Every event that is ready goes into one piece of the body, so that a burst of tokens costs one write; a stream that
//! waits holds no buffer. Silence is broken by a comment, which clients ignore and proxies take for life.
//!
//! A run's stream ends with its terminal event and `data: [DONE]`, a thread's with `thread.deleted` and the same. If the events stop without a terminal one — the
//! core is gone for good, or the caller's token has expired — the client is told so by one `error` event, the core's
//! own where it sent one, and `[DONE]` follows all the same: a client that waits for it must not wait for ever, and one that looks for the terminal event
//! sees that it is missing and comes back with its cursor.

mod chatkit;
mod finished;
mod late;
pub(crate) mod write;

pub(crate) use finished::finished;
pub(crate) use late::{Begun, begin};

use crate::observe::Observation;
use crate::rule::Scope;
use crate::upstream::Frames;
use bytes::Bytes;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use threadline_schema::call::Frame;
use threadline_schema::event::type_of;
use tokio::time::{Instant, Sleep};

/// Most bytes that go into one piece of the body before it is handed on.
const PIECE: usize = 64 * 1024;

const PING: &[u8] = b": ping\n\n";
const DONE: &[u8] = b"data: [DONE]\n\n";
/// ChatKit's `error` event; `stream.error` makes its front ends show a sentence of their own.
const LOST: &[u8] = br#"data: {"type":"error","code":"stream.error","message":"The events stopped arriving. Ask for them again, with the id of the last one as Last-Event-ID.","allow_retry":true}

"#;

/// What a stream begins with.
pub(crate) enum Begin {
    /// A run's: frames held back so far.
    Run(Vec<Frame>),
    /// A thread's: bytes as they are.
    Thread(Vec<u8>),
    /// A run's in ChatKit's own form: nothing.
    ChatKit,
}

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// As REST's clients read them.
    Rest(Scope),
    /// As ChatKit's front ends read them.
    ChatKit,
}

/// Events as the body of an answer.
pub(crate) struct Sse {
    dialect: Dialect,
    /// What goes out before anything else.
    greeting: Vec<u8>,
    held: std::vec::IntoIter<Frame>,
    /// `None` once the stream is over.
    frames: Option<Frames>,
    heartbeat: Duration,
    silence: Pin<Box<Sleep>>,
    /// Whether the last event was an error: then the client knows why the events stop.
    told: bool,
    observation: Observation,
}

impl Sse {
    /// A stream of what it begins with and then of the rest.
    pub(crate) fn new(begin: Begin, frames: Frames, heartbeat: Duration, mut observation: Observation) -> Self {
        observation.stream_begins();
        let silence = Box::pin(tokio::time::sleep(heartbeat));
        let (dialect, greeting, held) = match begin {
            Begin::Run(held) => (Dialect::Rest(Scope::Run), Vec::new(), held),
            Begin::Thread(greeting) => (Dialect::Rest(Scope::Thread), greeting, Vec::new()),
            Begin::ChatKit => (Dialect::ChatKit, Vec::new(), Vec::new()),
        };
        let held = held.into_iter();
        Self { dialect, greeting, held, frames: Some(frames), heartbeat, silence, told: false, observation }
    }

    /// Whether nothing more comes.
    pub(crate) fn is_done(&self) -> bool {
        self.frames.is_none()
    }

    /// The next piece of the body.
    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.is_done() {
            return Poll::Ready(None);
        }
        let mut out = std::mem::take(&mut self.greeting);
        while out.len() < PIECE {
            match self.poll_frame(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(frame)) => {
                    self.observation.event();
                    let told = std::mem::replace(&mut self.told, type_of(&frame.event) == Some("error"));
                    let is_last = match self.dialect {
                        Dialect::Rest(scope) => write::event(&mut out, &frame, scope),
                        Dialect::ChatKit => chatkit::event(&mut out, &frame, told),
                    };
                    if is_last {
                        self.end(&mut out);
                        break;
                    }
                }
                Poll::Ready(None) => {
                    if !self.told {
                        out.extend_from_slice(match self.dialect {
                            Dialect::Rest(_) => LOST,
                            Dialect::ChatKit => chatkit::LOST,
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
            std::task::ready!(self.silence.as_mut().poll(cx));
            out.extend_from_slice(PING);
        }
        self.silence.as_mut().reset(Instant::now() + self.heartbeat);
        Poll::Ready(Some(out.into()))
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if let Dialect::Rest(_) = self.dialect {
            out.extend_from_slice(DONE);
        }
        self.frames = None;
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        if let Some(frame) = self.held.next() {
            return Poll::Ready(Some(frame));
        }
        match &mut self.frames {
            Some(frames) => frames.as_mut().poll_next(cx),
            None => Poll::Ready(None),
        }
    }
}

impl std::fmt::Debug for Sse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sse").field("done", &self.is_done()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;
    use futures::stream;
    use serde_json::Value;
    use std::sync::Arc;
    use threadline_schema::chatkit::ThreadStreamEvent;
    use threadline_schema::event::text_delta;
    use tokio::sync::mpsc;
    use uuid::Uuid;

    const TERMINAL: &str = r#"{"type":"run.completed","run":{}}"#;
    const RUN: Uuid = Uuid::from_u128(1);

    fn frame(seq: u64, event: &str) -> Frame {
        Frame { run_id: RUN, seq, event: event.into() }
    }

    fn observation() -> Observation {
        Observation::begin(Arc::from("test"), &http::Method::GET)
    }

    fn sse(held: Vec<Frame>, frames: Frames) -> Sse {
        Sse::new(Begin::Run(held), frames, Duration::from_secs(15), observation())
    }

    async fn next(sse: &mut Sse) -> Option<String> {
        let bytes = std::future::poll_fn(|cx| sse.poll_bytes(cx)).await?;
        Some(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn events_that_are_ready_go_out_in_one_piece() {
        let (run, item) = (RUN, Uuid::now_v7());
        let delta = text_delta::write(item, 0, "a\n\"b\"").unwrap();
        let added = r#"{"type":"thread.item.added","item":{"id":1}}"#;
        let rest = stream::iter([frame(2, &delta), frame(3, TERMINAL), frame(4, "never")]);
        let mut sse = sse(vec![frame(1, added)], Box::pin(rest));
        let expected = format!(
            "id: {run}:1\ndata: {added}\n\n\
             id: {run}:2\ndata: {{\"type\":\"thread.item.content.part.delta\",\"item_id\":\"{item}\",\
             \"content_index\":0,\"delta\":\"a\\n\\\"b\\\"\"}}\n\n\
             id: {run}:3\ndata: {TERMINAL}\n\n\
             data: [DONE]\n\n"
        );
        assert_eq!(next(&mut sse).await.unwrap(), expected);
        assert!(sse.is_done());
        assert_eq!(next(&mut sse).await, None);
    }

    #[tokio::test]
    async fn a_thread_goes_on_after_a_run() {
        let deleted = r#"{"type":"thread.deleted","thread_id":"x"}"#;
        let begin = Begin::Thread(write::greeting(Some("a:1")));
        let (sender, receiver) = mpsc::unbounded_channel();
        let frames = stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
        let mut sse = Sse::new(begin, frames.boxed(), Duration::from_secs(15), observation());
        assert_eq!(next(&mut sse).await.unwrap(), ": ok\nid: a:1\n\n", "seen before there is any event");
        sender.send(frame(1, TERMINAL)).unwrap();
        assert_eq!(next(&mut sse).await.unwrap(), format!("id: {RUN}:1\ndata: {TERMINAL}\n\n"));
        sender.send(frame(0, deleted)).unwrap();
        assert_eq!(next(&mut sse).await.unwrap(), format!("data: {deleted}\n\ndata: [DONE]\n\n"));
        assert_eq!(next(&mut sse).await, None);
    }

    #[tokio::test]
    async fn a_burst_is_cut_into_pieces_and_nothing_is_lost() {
        let big = format!(r#"{{"type":"x","pad":"{}"}}"#, "y".repeat(10_000));
        let frames: Vec<_> = (1..=20).map(|seq| frame(seq, &big)).chain([frame(21, TERMINAL)]).collect();
        let mut sse = sse(Vec::new(), Box::pin(stream::iter(frames)));
        let mut pieces = Vec::new();
        while let Some(piece) = next(&mut sse).await {
            assert!(piece.len() < PIECE + big.len() + 100, "a piece has {} bytes", piece.len());
            pieces.push(piece);
        }
        assert!(pieces.len() >= 3);
        let all = pieces.concat();
        let seqs: Vec<_> = all.lines().filter_map(|line| line.strip_prefix("id: ")?.split(':').nth(1)).collect();
        assert_eq!(seqs, (1..=21).map(|seq| seq.to_string()).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_broken_every_heartbeat_and_only_then() {
        let (sender, receiver) = mpsc::unbounded_channel();
        let frames = stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
        let mut sse = sse(Vec::new(), frames.boxed());
        let start = Instant::now();
        assert_eq!(next(&mut sse).await.unwrap(), ": ping\n\n");
        assert_eq!(start.elapsed().as_secs(), 15);
        assert_eq!(next(&mut sse).await.unwrap(), ": ping\n\n");
        assert_eq!(start.elapsed().as_secs(), 30);
        tokio::time::sleep(Duration::from_secs(10)).await;
        sender.send(frame(1, r#"{"type":"x"}"#)).unwrap();
        assert!(next(&mut sse).await.unwrap().contains(r#"data: {"type":"x"}"#));
        assert_eq!(next(&mut sse).await.unwrap(), ": ping\n\n");
        assert_eq!(start.elapsed().as_secs(), 55, "an event begins the silence anew");
    }

    #[tokio::test]
    async fn events_that_stop_are_told_as_an_error() {
        let frames = stream::iter([frame(1, r#"{"type":"thread.item.added"}"#)]);
        let mut sse = sse(Vec::new(), Box::pin(frames));
        let told = next(&mut sse).await.unwrap();
        let mut lines = told.split("\n\n").skip(1);
        let error = lines.next().unwrap().strip_prefix("data: ").expect("no id: the cursor stays where it was");
        let event: ThreadStreamEvent = serde_json::from_str(error).unwrap();
        assert!(matches!(event, ThreadStreamEvent::Error { allow_retry: true, .. }));
        assert_eq!(lines.next(), Some("data: [DONE]"));
        assert_eq!(next(&mut sse).await, None);
    }

    #[test]
    fn a_stream_that_waits_is_small() {
        let own = size_of::<Sse>() + size_of::<Sleep>();
        assert!(own <= 1024, "a waiting stream holds {own} bytes beside its frames");
    }

    #[tokio::test]
    async fn line_breaks_between_tokens_do_not_break_the_framing() {
        let pretty = "{\n  \"type\": \"x\",\r\n  \"text\": \"a\\nb\"\n}";
        let frames = stream::iter([frame(1, pretty), frame(2, TERMINAL)]);
        let mut sse = sse(Vec::new(), Box::pin(frames));
        let told = next(&mut sse).await.unwrap();
        let data = told.lines().nth(1).unwrap().strip_prefix("data: ").unwrap();
        let (sent, shown): (Value, Value) =
            (serde_json::from_str(pretty).unwrap(), serde_json::from_str(data).unwrap());
        assert_eq!(sent, shown);
    }
}
