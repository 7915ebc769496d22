//! The frames of a WebSocket to the letter of RFC 6455: what is allowed works, and what is not closes the socket with
//! the code and the reason.

use super::raw::{self, TEXT, closed, frame, next_frame, next_text};
use super::{nobody_panicked, refusal};
use crate::support::{App, Client, Gate, Script, Setup, Upstream};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const FIRST: u8 = 0x01;
const MORE: u8 = 0x00;
const LAST: u8 = 0x80;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// A message over the limit: twice `MAX_BODY_BYTES` and some room for the envelope.
const TOO_LARGE: usize = 2_200_000;

async fn open(app: &App, user: &Client) -> TcpStream {
    raw::upgraded(&app.rpc, user.token.as_deref(), 65_536).await
}

fn me(id: u64) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": "auth.me"}).to_string()
}

async fn send(socket: &mut TcpStream, frames: &[Vec<u8>]) {
    socket.write_all(&frames.concat()).await.unwrap();
}

async fn answer(socket: &mut TcpStream) -> Value {
    serde_json::from_str(&next_text(socket).await).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_frames_may_come_between_fragments() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let mut socket = open(&app, &user).await;
    for (id, control) in [(1, frame(PONG, b"")), (2, frame(PONG, &[7; 125])), (3, frame(PING, b"x"))] {
        let message = me(id);
        let (head, tail) = message.as_bytes().split_at(message.len() / 2);
        let frames = [frame(FIRST, head), control.clone(), frame(MORE, b""), control, frame(LAST, tail)];
        send(&mut socket, &frames).await;
        assert_eq!(answer(&mut socket).await["id"], id);
    }
    // A ping is answered with its own payload, of at most 125 bytes.
    for payload in [b"".as_slice(), b"alive?", &[0xff; 125]] {
        send(&mut socket, &[frame(PING, payload)]).await;
        let (opcode, pong) = next_frame(&mut socket).await.unwrap();
        assert_eq!((opcode, pong.as_slice()), (10, payload));
    }
    // A mask that masks something, and the longer forms of a length.
    let text = me(4);
    let mut masked = vec![TEXT, 0x80 | 126, 0, u8::try_from(text.len()).unwrap(), 1, 2, 3, 4];
    masked.extend(text.bytes().zip([1, 2, 3, 4].into_iter().cycle()).map(|(byte, mask)| byte ^ mask));
    send(&mut socket, &[masked]).await;
    assert_eq!(answer(&mut socket).await["id"], 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_over_the_limit_is_answered_and_closes_the_socket() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let piece = vec![b' '; TOO_LARGE / 4];
    let fragments = vec![frame(FIRST, &piece), frame(MORE, &piece), frame(MORE, &piece), frame(LAST, &piece)];
    for frames in [vec![frame(TEXT, &vec![b' '; TOO_LARGE])], fragments] {
        let mut socket = open(&app, &user).await;
        send(&mut socket, &[frame(TEXT, me(1).as_bytes())]).await;
        assert_eq!(answer(&mut socket).await["id"], 1);
        send(&mut socket, &frames).await;
        // What follows is not answered, so nobody waits for it in vain: the socket is closed.
        let _ = socket.write_all(&frame(TEXT, me(2).as_bytes())).await;
        let refused = answer(&mut socket).await;
        assert_eq!(refused["id"], json!(null));
        refusal(&refused, -32013, "PAYLOAD_TOO_LARGE");
        let (code, reason) = closed(&mut socket).await;
        assert!(code == 1009 && reason.contains("bytes"), "{code} {reason}");
        assert_eq!(raw::rest(&mut socket).await, b"", "nothing comes after the close frame");
    }
    nobody_panicked(&app);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_protocol_forbids_closes_the_socket_with_a_reason() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let unmasked = vec![TEXT, 2, b'{', b'}'];
    let forbidden: [(&str, Vec<Vec<u8>>, u16); 14] = [
        ("binary", vec![frame(0x82, b"{}")], 1003),
        ("binary in fragments", vec![frame(0x02, b"{"), frame(LAST, b"}")], 1003),
        ("not UTF-8", vec![frame(TEXT, b"\xff\xfe")], 1007),
        ("not UTF-8 over fragments", vec![frame(FIRST, b"\xe2\x82"), frame(LAST, b"(")], 1007),
        ("half a surrogate pair in UTF-8", vec![frame(TEXT, b"\xed\xa0\x80")], 1007),
        ("no mask", vec![unmasked], 1002),
        ("a reserved bit", vec![frame(0xc1, b"{}")], 1002),
        ("a reserved opcode", vec![frame(0x83, b"")], 1002),
        ("a reserved control opcode", vec![frame(0x8b, b"")], 1002),
        ("a ping in pieces", vec![frame(0x09, b"x")], 1002),
        ("a long ping", vec![frame(PING, &[0; 126])], 1002),
        ("the end of nothing", vec![frame(LAST, b"x")], 1002),
        ("a message within a message", vec![frame(FIRST, b"{"), frame(TEXT, b"{}")], 1002),
        ("a close frame of one byte", vec![frame(CLOSE, b"x")], 1002),
    ];
    for (what, frames, expected) in forbidden {
        let mut socket = open(&app, &user).await;
        send(&mut socket, &frames).await;
        let (code, reason) = closed(&mut socket).await;
        assert_eq!(code, expected, "{what}: {reason}");
        assert!(!reason.is_empty(), "{what}");
        assert_eq!(raw::rest(&mut socket).await, b"", "{what}: nothing comes after the close frame");
    }
    nobody_panicked(&app);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_frame_is_confirmed() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let with = |code: u16, reason: &str| [&code.to_be_bytes(), reason.as_bytes()].concat();
    for (sent, confirmed) in [
        (with(1000, "bye"), Some(1000)),
        (with(1001, ""), Some(1001)),
        (with(3000, "mine"), Some(3000)),
        (with(4999, ""), Some(4999)),
        (Vec::new(), None),
        // Codes that nobody may send.
        (with(0, ""), Some(1002)),
        (with(1004, ""), Some(1002)),
        (with(1005, ""), Some(1002)),
        (with(1006, ""), Some(1002)),
        (with(2999, ""), Some(1002)),
        (with(5000, ""), Some(1002)),
        (with(65_535, ""), Some(1002)),
        // A reason is text.
        ([&1000_u16.to_be_bytes(), b"\xff".as_slice()].concat(), Some(1007)),
    ] {
        let mut socket = open(&app, &user).await;
        send(&mut socket, &[frame(CLOSE, &sent)]).await;
        let (opcode, payload) = next_frame(&mut socket).await.unwrap();
        let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
        assert_eq!((opcode, code), (8, confirmed), "{sent:?}");
        assert_eq!(raw::rest(&mut socket).await, b"", "{sent:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_was_begun_is_answered_before_the_socket_is_closed() {
    let (upstream, gate) = (Upstream::start().await, Gate::closed());
    upstream.queue(Script::stream().stop(&gate).words(&["late"]).done("stop"));
    let app = Setup::new().await.upstream(&upstream).start().await;
    let user = app.user().await;
    let mut socket = open(&app, &user).await;
    let message =
        json!({"jsonrpc": "2.0", "id": 1, "method": "threads.create", "params": {"input": super::input("Hi")}});
    send(&mut socket, &[frame(TEXT, message.to_string().as_bytes()), frame(0x82, b"{}")]).await;
    let created = answer(&mut socket).await;
    assert!(created["result"]["run"]["id"].is_string(), "{created}");
    assert_eq!(closed(&mut socket).await.0, 1003);
    gate.open();
}

/// What came before a close frame is carried out and answered, also if all comes at once; what comes after it is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_before_a_close_frame_are_answered_before_it_is_confirmed() {
    const CALLS: u64 = 20;
    let app = Setup::new().await.start().await;
    let create = |id: u64| {
        let params = json!({"title": id.to_string()});
        frame(
            TEXT,
            json!({"jsonrpc": "2.0", "id": id, "method": "tasks.create", "params": params}).to_string().as_bytes(),
        )
    };
    let close = frame(CLOSE, &[&1000_u16.to_be_bytes(), b"bye".as_slice()].concat());
    for is_cut in [false, false, false, true] {
        let user = app.user().await;
        let mut socket = open(&app, &user).await;
        let mut frames: Vec<_> = (0..CALLS).map(create).chain([close.clone()]).collect();
        if is_cut {
            raw::trickle(&mut socket, &frames.concat()).await;
        } else {
            frames.push(create(CALLS));
            send(&mut socket, &frames).await;
        }
        let mut answered = Vec::new();
        let (opcode, payload) = loop {
            let (opcode, payload) = next_frame(&mut socket).await.expect("a close frame before the end");
            if opcode != 1 {
                break (opcode, payload);
            }
            let answer: Value = serde_json::from_slice(&payload).unwrap();
            assert!(answer["result"].is_object(), "{answer}");
            answered.push(answer["id"].as_u64().unwrap());
        };
        answered.sort_unstable();
        assert_eq!(answered, (0..CALLS).collect::<Vec<_>>());
        assert_eq!((opcode, payload.first_chunk()), (8, Some(&1000_u16.to_be_bytes())));
        assert_eq!(raw::rest(&mut socket).await, b"", "nothing comes after the close frame");
        let stored = user.rpc_ok("tasks.list", json!({"limit": 100})).await;
        assert_eq!(stored["data"].as_array().unwrap().len(), answered.len());
    }
    nobody_panicked(&app);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stops_says_so() {
    let mut app = Setup::new().await.start().await;
    let user = app.user().await;
    let mut socket = open(&app, &user).await;
    send(&mut socket, &[frame(TEXT, me(1).as_bytes())]).await;
    assert_eq!(answer(&mut socket).await["id"], 1);
    app.core().signal("TERM");
    let (code, reason) = closed(&mut socket).await;
    assert!(code == 1001 && reason.contains("stopping"), "{code} {reason}");
}
