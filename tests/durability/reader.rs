//! A client that reads a run through any transport, and builds the items from the events as a front end does.

use crate::support::{Client, Socket, Sse};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Maximum time to read a run.
const LONGEST: Duration = Duration::from_secs(120);

/// The ways to read a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    RunSse,
    SessionSse,
    RunSocket,
    ThreadSocket,
}

/// An open transport.
pub enum Stream {
    Sse(Box<Sse>),
    Socket(Box<Socket>, Value),
}

/// The events of a run that one client has.
#[derive(Debug, Clone)]
pub struct Reader {
    pub session: Uuid,
    pub run: Uuid,
    pub events: Vec<Seen>,
}

/// An event, its sequence number, and when it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub seq: u64,
    pub event: Value,
    pub at: Instant,
}

impl Transport {
    pub const ALL: [Self; 4] = [Self::RunSse, Self::SessionSse, Self::RunSocket, Self::ThreadSocket];

    /// Opens it after an event; `None` when the server does not answer.
    pub async fn open(self, user: &Client, session: Uuid, run: Uuid, after: u64) -> Option<Stream> {
        let cursor = format!("{run}:{after}");
        let path = match self {
            Self::RunSse => format!("/api/v1/chatkit/runs/{run}/events"),
            Self::SessionSse => format!("/api/v1/chatkit/sessions/{session}/events"),
            Self::RunSocket | Self::ThreadSocket => {
                let mut socket = user.socket().await;
                let (method, params) = if self == Self::RunSocket {
                    ("runs.subscribe", json!({"run_id": run, "after": cursor}))
                } else {
                    ("threads.subscribe", json!({"thread_id": session, "after": cursor}))
                };
                let mut answer = socket.call(method, params).await;
                if answer["error"]["data"]["code"] == "SERVICE_UNAVAILABLE" {
                    return None;
                }
                assert!(answer.get("error").is_none(), "{self:?} behind {after} is refused: {answer}");
                let subscription = answer["result"].take();
                return Some(Stream::Socket(Box::new(socket), subscription));
            }
        };
        let request = user.request(reqwest::Method::GET, &path).header("last-event-id", cursor).timeout(LONGEST);
        match Sse::try_open(request).await? {
            Ok(stream) => Some(Stream::Sse(Box::new(stream))),
            Err(reply) if reply.status == 503 => None,
            Err(reply) => panic!("{self:?} behind {after} is refused: {}", reply.text),
        }
    }
}

impl Stream {
    /// Returns the next event of a run; `None` when the stream breaks.
    pub async fn next(&mut self, run: Uuid) -> Option<Seen> {
        loop {
            match self {
                Self::Sse(stream) => {
                    let event = stream.next().await?;
                    // Events that belong to no run have no id.
                    let Some(id) = &stream.events.pop().expect("it came").0 else { continue };
                    let (of, seq) = id.split_once(':').expect("a cursor");
                    if of == run.to_string() {
                        return Some(Seen {
                            seq: seq.parse().expect("a number"),
                            event: flat(event),
                            at: Instant::now(),
                        });
                    }
                }
                Self::Socket(socket, subscription) => {
                    let told = socket.told(subscription).await;
                    if told.get("run_id").is_none_or(|of| *of == json!(run)) {
                        let seq = told["seq"].as_u64().expect("a number");
                        return Some(Seen { seq, event: flat(told["event"].clone()), at: Instant::now() });
                    }
                }
            }
        }
    }
}

impl Reader {
    pub fn new(session: Uuid, run: Uuid) -> Self {
        Self { session, run, events: Vec::new() }
    }

    /// Returns the sequence number of the cursor.
    pub fn at(&self) -> u64 {
        self.events.last().map_or(0, |seen| seen.seq)
    }

    /// Returns the terminal event, if it has arrived.
    pub fn end(&self) -> Option<&Value> {
        self.events.last().map(|seen| &seen.event).filter(|event| is_end(event))
    }

    /// Adds an event. Panics if its number leaves a gap or repeats one.
    #[track_caller]
    pub fn take(&mut self, seen: Seen) {
        let at = self.at();
        assert!(self.end().is_none(), "run {}: {} after its end at {at}", self.run, seen.seq);
        // Only the process that closes the run of a dead process skips numbers. It begins with a resync event.
        let follows = seen.seq == at + 1 || (seen.seq > at && seen.event["type"] == "run.resync");
        assert!(follows, "run {}: {} after {at}: {}", self.run, seen.seq, seen.event["type"]);
        self.events.push(seen);
    }

    /// Reads through one transport to the end of the run; `false` when the stream breaks before.
    pub async fn follow(&mut self, transport: Transport, user: &Client) -> bool {
        match transport.open(user, self.session, self.run, self.at()).await {
            Some(mut stream) => self.finish(&mut stream).await,
            None => false,
        }
    }

    /// Reads a stream to the end of the run; `false` when it breaks before.
    pub async fn finish(&mut self, stream: &mut Stream) -> bool {
        while self.end().is_none() {
            match stream.next(self.run).await {
                Some(seen) => self.take(seen),
                None => return false,
            }
        }
        true
    }

    /// Returns sequence numbers and events.
    pub fn numbered(&self) -> Vec<(u64, &Value)> {
        self.events.iter().map(|seen| (seen.seq, &seen.event)).collect()
    }

    /// Returns the received text, without that of resync events.
    pub fn heard(&self) -> String {
        self.events.iter().filter_map(|seen| seen.event["delta"].as_str()).collect()
    }

    /// Returns the items as a front end shows them.
    pub fn items(&self) -> Vec<Value> {
        let mut items: Vec<Value> = Vec::new();
        for Seen { event, .. } in &self.events {
            fold(&mut items, event);
        }
        items
    }

    /// Checks that the stored items contain all items of the run, and are equal.
    #[track_caller]
    pub fn check_items(&self, stored: &[Value]) {
        for item in self.items() {
            let kept = stored.iter().find(|kept| kept["id"] == item["id"]);
            assert_eq!(kept, Some(&item), "run {}: the screen and the history differ", self.run);
        }
    }
}

fn fold(items: &mut Vec<Value>, event: &Value) {
    let place = |items: &[Value], id: &Value| items.iter().position(|item| item["id"] == *id);
    match event["type"].as_str().unwrap() {
        "thread.item.added" | "thread.item.done" => match place(items, &event["item"]["id"]) {
            Some(at) => items[at] = event["item"].clone(),
            None => items.push(event["item"].clone()),
        },
        "thread.item.removed" => items.retain(|item| item["id"] != event["item_id"]),
        "run.resync" => *items = event["items"]["data"].as_array().unwrap().clone(),
        "thread.item.content.part.delta" => {
            let at = place(items, &event["item_id"]).expect("a delta of an item that is there");
            let part = &mut items[at]["content"][usize::try_from(event["content_index"].as_u64().unwrap()).unwrap()];
            part["text"] = json!(format!("{}{}", part["text"].as_str().unwrap(), event["delta"].as_str().unwrap()));
        }
        "thread.item.updated" => {
            let at = place(items, &event["item_id"]).expect("an update of an item that is there");
            let update = &event["update"];
            let (list, index, entry) = match update.get("task_index") {
                Some(index) => (&mut items[at]["workflow"]["tasks"], index, &update["task"]),
                None => (&mut items[at]["content"], &update["content_index"], &update["content"]),
            };
            let (list, index) = (list.as_array_mut().unwrap(), usize::try_from(index.as_u64().unwrap()).unwrap());
            if index < list.len() {
                list[index] = entry.clone();
            } else {
                list.push(entry.clone());
            }
        }
        _ => {}
    }
}

/// Converts a text delta of JSON-RPC to the form of REST.
fn flat(event: Value) -> Value {
    let update = &event["update"];
    if update["type"] != "assistant_message.content_part.text_delta" {
        return event;
    }
    json!({
        "type": "thread.item.content.part.delta", "item_id": event["item_id"],
        "content_index": update["content_index"], "delta": update["delta"],
    })
}

pub fn is_end(event: &Value) -> bool {
    let kind = event["type"].as_str().unwrap();
    kind.starts_with("run.") && kind != "run.resync"
}
