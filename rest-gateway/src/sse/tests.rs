use super::*;
use futures::StreamExt;
use futures::stream;
use serde_json::Value;
use std::sync::Arc;
use threadline_schema::event::{Event, ThreadStreamEvent};
use threadline_schema::ids::{ItemId, RunId};
use threadline_schema::text_delta::TextDelta;
use threadline_trace::Span;
use tokio::sync::mpsc;
use uuid::Uuid;

const TERMINAL: &str = r#"{"type":"run.completed","run":{}}"#;
const RUN: RunId = RunId::from_uuid(Uuid::from_u128(1));

fn frame(seq: u64, event: &str) -> Frame {
    Frame::from_wire(Some(RUN), seq, Event::from_json(event))
}

fn observation() -> Observation {
    Observation::start(Arc::from("test"), [192, 0, 2, 1].into(), &http::Method::GET, Span::default())
}

fn sse(buffered: Vec<Frame>, frames: FrameStream) -> SseStream {
    SseStream::new(SseSource::run(buffered, frames), Duration::from_secs(15), observation())
}

async fn next(sse: &mut SseStream) -> Option<String> {
    let bytes = std::future::poll_fn(|cx| sse.poll_chunk(cx)).await?;
    Some(String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn events_that_are_ready_go_out_in_one_chunk() {
    let (run, item) = (RUN, ItemId::random());
    let delta = TextDelta::new(item, 0, "a\n\"b\"").json();
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
async fn the_stream_of_a_thread_continues_after_a_run() {
    let deleted = r#"{"type":"thread.deleted","thread_id":"x"}"#;
    let (sender, receiver) = mpsc::unbounded_channel();
    let frames = stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
    let source = SseSource::thread(Some("a:1"), frames.boxed());
    let mut sse = SseStream::new(source, Duration::from_secs(15), observation());
    assert_eq!(next(&mut sse).await.unwrap(), ": ok\nid: a:1\n\n", "sent before there is any event");
    sender.send(frame(1, TERMINAL)).unwrap();
    assert_eq!(next(&mut sse).await.unwrap(), format!("id: {RUN}:1\ndata: {TERMINAL}\n\n"));
    sender.send(frame(0, deleted)).unwrap();
    assert_eq!(next(&mut sse).await.unwrap(), format!("data: {deleted}\n\ndata: [DONE]\n\n"));
    assert_eq!(next(&mut sse).await, None);
}

#[tokio::test]
async fn a_burst_is_cut_into_chunks_and_nothing_is_lost() {
    let big = format!(r#"{{"type":"x","pad":"{}"}}"#, "y".repeat(10_000));
    let frames: Vec<_> = (1..=20).map(|seq| frame(seq, &big)).chain([frame(21, TERMINAL)]).collect();
    let mut sse = sse(Vec::new(), Box::pin(stream::iter(frames)));
    let mut chunks = Vec::new();
    while let Some(chunk) = next(&mut sse).await {
        assert!(chunk.len() < CHUNK_BYTES + big.len() + 100, "a chunk has {} bytes", chunk.len());
        chunks.push(chunk);
    }
    assert!(chunks.len() >= 3);
    let all = chunks.concat();
    let seqs: Vec<_> = all.lines().filter_map(|line| line.strip_prefix("id: ")?.split(':').nth(1)).collect();
    assert_eq!(seqs, (1..=21).map(|seq| seq.to_string()).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_comment_is_sent_after_each_heartbeat_without_events() {
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
    assert_eq!(start.elapsed().as_secs(), 55, "an event restarts the heartbeat");
}

#[tokio::test]
async fn events_that_stop_end_in_an_error_event() {
    let frames = stream::iter([frame(1, r#"{"type":"thread.item.added"}"#)]);
    let mut sse = sse(Vec::new(), Box::pin(frames));
    let chunk = next(&mut sse).await.unwrap();
    let mut lines = chunk.split("\n\n").skip(1);
    let error = lines.next().unwrap().strip_prefix("data: ").expect("no id: the cursor stays where it was");
    let event: ThreadStreamEvent = serde_json::from_str(error).unwrap();
    assert!(matches!(event, ThreadStreamEvent::Error { allow_retry: true, .. }));
    assert_eq!(lines.next(), Some("data: [DONE]"));
    assert_eq!(next(&mut sse).await, None);
}

#[test]
fn a_waiting_stream_is_small() {
    let own = size_of::<SseStream>() + size_of::<Sleep>();
    assert!(own <= 1024, "a waiting stream holds {own} bytes in addition to its frames");
}

#[tokio::test]
async fn line_breaks_between_tokens_do_not_break_the_framing() {
    let pretty = "{\n  \"type\": \"x\",\r\n  \"text\": \"a\\nb\"\n}";
    let frames = stream::iter([frame(1, pretty), frame(2, TERMINAL)]);
    let mut sse = sse(Vec::new(), Box::pin(frames));
    let chunk = next(&mut sse).await.unwrap();
    let data = chunk.lines().nth(1).unwrap().strip_prefix("data: ").unwrap();
    let (sent, received): (Value, Value) = (serde_json::from_str(pretty).unwrap(), serde_json::from_str(data).unwrap());
    assert_eq!(sent, received);
}
