//! Property tests of the decoder: splits, random tokens, and fragments of tool calls. `fuzz/checks` adds random bytes.

use crate::quirks::decode_parts;
use crate::recordings::{RECORDINGS, body_of};
use crate::response::Response;
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use std::sync::LazyLock;
use threadline_model::ToolCall;

static BODIES: LazyLock<Vec<Bytes>> =
    LazyLock::new(|| RECORDINGS.iter().filter_map(|(name, ..)| body_of(name)).collect());

/// Tokens of the protocol. Random sequences of them come further into the parser than random bytes.
const TOKENS: &[&str] = &[
    "data: ",
    "data:",
    "event: error\n",
    ": ping\n",
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    "[DONE]",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "null",
    "0",
    "1e999",
    "\u{feff}",
    "🥛",
    "\"choices\":[",
    "\"delta\":{",
    "\"message\":{",
    "\"content\":\"a\"",
    "\"reasoning\":\"hm\"",
    "\"finish_reason\":\"stop\"",
    "\"usage\":{\"prompt_tokens\":1}",
    "\"error\":{\"code\":429}",
    "\"tool_calls\":[",
    "{\"index\":0,\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}",
    "\"annotations\":[{\"url_citation\":{\"url\":\"https://a.example\"}}]",
    "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
];

fn decode(parts: Vec<Bytes>) -> Response {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(decode_parts(parts))
}

fn split(body: &Bytes, cuts: &[Index]) -> Vec<Bytes> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
    cuts.sort_unstable();
    let mut parts = Vec::new();
    let mut start = 0;
    for cut in cuts {
        parts.push(body.slice(start..cut));
        start = cut;
    }
    parts.push(body.slice(start..));
    parts
}

/// How a server sends the fragments of tool calls.
#[derive(Debug, Clone, Copy)]
enum Style {
    /// With an index on each fragment, id and name on the first. Fragments of different calls can alternate.
    Indexed,
    /// With index, id and name on each fragment. Fragments of different calls can alternate.
    Repeated,
    /// With the id on each fragment and no index. Fragments of different calls can alternate.
    ById,
    /// With id and name on the first fragment only, one call after the other.
    Sequential,
}

/// A tool call, and the sizes of its fragments in characters.
fn tool_call() -> impl Strategy<Value = (String, Value, Vec<usize>)> {
    let arguments = vec(("[a-z]{1,3}", "\\PC{0,12}"), 0..4)
        .prop_map(|fields| fields.into_iter().map(|(name, value)| (name, Value::String(value))).collect());
    ("[a-z_]{1,8}", arguments.prop_map(Value::Object), vec(0..9_usize, 1..12))
}

/// Cuts a call into deltas of the protocol.
fn fragments(number: usize, style: Style, call: &ToolCall, sizes: &[usize]) -> Vec<Value> {
    let mut rest: Vec<char> = call.arguments.chars().collect();
    let mut pieces: Vec<String> =
        sizes.iter().map(|size| rest.drain(..(*size).min(rest.len())).collect::<String>()).collect();
    pieces.push(rest.into_iter().collect());
    let mut deltas = Vec::new();
    for (at, piece) in pieces.into_iter().enumerate() {
        let is_first = at == 0;
        let mut delta = json!({"function": {"arguments": piece}});
        if matches!(style, Style::Indexed | Style::Repeated) {
            delta["index"] = number.into();
        }
        if is_first || matches!(style, Style::Repeated | Style::ById) {
            delta["id"] = call.id.as_str().into();
        }
        if is_first || matches!(style, Style::Repeated) {
            delta["function"]["name"] = call.name.as_str().into();
        }
        deltas.push(delta);
    }
    deltas
}

proptest! {
    #[test]
    fn any_split_of_a_recording_gives_the_same_events(body in select(&BODIES[..]), cuts in vec(any::<Index>(), 0..60)) {
        let expected = decode(vec![body.clone()]).fingerprint();
        prop_assert_eq!(decode(split(&body, &cuts)).fingerprint(), expected);
    }

    #[test]
    fn any_tokens_end_with_an_event_or_an_error(tokens in vec(select(TOKENS), 0..40), cuts in vec(any::<Index>(), 0..6)) {
        let body = Bytes::from(tokens.concat());
        // `Response::collect` checks the order of the events and that there is an end.
        let expected = decode(vec![body.clone()]).fingerprint();
        prop_assert_eq!(decode(split(&body, &cuts)).fingerprint(), expected);
    }

    #[test]
    fn fragments_assemble_to_the_same_calls(
        calls in vec(tool_call(), 1..5),
        style in select(&[Style::Indexed, Style::Repeated, Style::ById, Style::Sequential][..]),
        order in vec(any::<Index>(), 64),
        chunk_sizes in vec(1..4_usize, 1..64),
    ) {
        let expected: Vec<ToolCall> = calls
            .iter()
            .enumerate()
            .map(|(number, (name, arguments, _))| ToolCall {
                id: format!("id-{number}"),
                name: name.clone(),
                arguments: arguments.to_string(),
                echo: None,
            })
            .collect();
        let mut queues: Vec<Vec<Value>> = expected
            .iter()
            .zip(&calls)
            .enumerate()
            .map(|(number, (call, (.., sizes)))| fragments(number, style, call, sizes))
            .collect();
        // The first fragments come in the order of the calls; that order is part of the result.
        let mut deltas = Vec::new();
        if matches!(style, Style::Sequential) {
            deltas.extend(queues.into_iter().flatten());
        } else {
            for queue in &mut queues {
                queue.reverse();
                deltas.extend(queue.pop());
            }
            for at in order {
                let left: Vec<usize> = (0..queues.len()).filter(|at| !queues[*at].is_empty()).collect();
                if !left.is_empty() {
                    deltas.extend(queues[*at.get(&left)].pop());
                }
            }
            deltas.extend(queues.into_iter().flat_map(|mut queue| { queue.reverse(); queue }));
        }
        let mut body = String::new();
        let mut rest = &deltas[..];
        for size in chunk_sizes.iter().cycle() {
            // Without index and id, the position in a list tells two calls apart, so each fragment gets its own chunk.
            let size = if matches!(style, Style::Sequential) { 1 } else { *size };
            let (chunk, tail) = rest.split_at(size.min(rest.len()));
            body.push_str(&format!("data: {}\n\n", json!({"choices": [{"delta": {"tool_calls": chunk}}]})));
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        body.push_str("data: [DONE]\n\n");
        let response = decode(vec![body.into()]);
        prop_assert_eq!(response.calls, expected);
    }
}
