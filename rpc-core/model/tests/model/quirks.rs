//! What servers are seen to send, one row each: the body, and what it adds up to.

use crate::answers::{Answer, is_made};
use crate::server::{Server, ok, prompt};
use bytes::Bytes;
use futures::stream;
use std::convert::Infallible;
use std::time::Duration;
use threadline_model::Model;
use threadline_model::openai::decode;

/// Name, body, what it adds up to.
const QUIRKS: &[(&str, &str, &str)] = &[
    // Framing.
    ("crlf", "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\r\n\r\ndata: [DONE]\r\n\r\n", r#""a" Stop"#),
    ("lone cr", "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\r\rdata: [DONE]\r\r", r#""a" Stop"#),
    (
        "byte order mark",
        "\u{feff}data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n",
        r#""a" Stop"#,
    ),
    (
        "no space after the colon",
        "data:{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata:[DONE]\n\n",
        r#""a" Stop"#,
    ),
    (
        "pings as comments",
        ": OPENROUTER PROCESSING\n\n:\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n: ping\n\ndata: [DONE]\n\n",
        r#""a" Stop"#,
    ),
    (
        "pings as empty events",
        "data:\n\nevent: ping\ndata: {}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n",
        r#""a" Stop"#,
    ),
    (
        "fields beside data",
        "id: 1\nevent: message\nretry: 5\nx: y\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n",
        r#""a" Stop"#,
    ),
    (
        "a chunk over several data lines",
        "data: {\"choices\":[\ndata: {\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n",
        r#""a" Stop"#,
    ),
    (
        "end of body right behind [DONE]",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]",
        r#""a" Stop"#,
    ),
    // Ends.
    (
        "finish_reason without [DONE]",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\n",
        r#""a" Stop"#,
    ),
    (
        "finish_reason at the very end",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}",
        r#""a" Stop"#,
    ),
    ("neither finish_reason nor [DONE]", "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n", r#""a" broken"#),
    (
        "cut in the middle of a chunk",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"del",
        r#""a" broken"#,
    ),
    (
        "cut in the usage after finish_reason",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\ndata: {\"choices\":[],\"usa",
        r#""a" Stop"#,
    ),
    ("an empty body", "", r#""" broken"#),
    ("a body of pings", ": ping\n\n: ping\n\n", r#""" broken"#),
    ("nothing but [DONE]", "data: [DONE]\n\n", r#""" broken"#),
    ("not an event stream", "<html><body>Welcome to the hotel</body></html>", r#""" broken"#),
    (
        "a line that is no JSON",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: oops\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"b\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
        r#""a" broken"#,
    ),
    (
        "events after [DONE]",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\ndata: oops\n\n",
        r#""a" Stop"#,
    ),
    (
        "cut by length",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"length\"}]}\n\n",
        r#""a" Length"#,
    ),
    (
        "cut by a filter",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"content_filter\"}]}\n\n",
        r#""a" ContentFilter"#,
    ),
    (
        "a reason nobody knows",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"eos\"}]}\n\n",
        r#""a" Stop"#,
    ),
    (
        "the reason `error`",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}]}\n\n",
        r#""a" refused 200"#,
    ),
    (
        "a reason in each chunk, null or empty delta",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\ndata: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n",
        r#""a" Stop"#,
    ),
    // Text.
    (
        "nulls and empty choices",
        "data: {\"choices\":[]}\n\ndata: {\"choices\":null}\n\ndata: {\"choices\":[{\"delta\":{\"role\":null,\"content\":null,\"tool_calls\":null,\"function_call\":null,\"refusal\":null},\"finish_reason\":null}],\"usage\":null,\"error\":null}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n",
        r#""a" Stop"#,
    ),
    (
        "escapes and surrogates",
        "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"\\n\\ud83e\\udd5b\"}}]}\n\ndata: [DONE]\n\n",
        r#""\"\n🥛" Stop"#,
    ),
    (
        "content as parts",
        "data: {\"choices\":[{\"delta\":{\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]}}]}\n\ndata: [DONE]\n\n",
        r#""ab" Stop"#,
    ),
    (
        "thoughts are not text",
        "data: {\"choices\":[{\"delta\":{\"content\":\"\",\"reasoning_content\":\"hm\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":null,\"reasoning\":\"hm\",\"reasoning_details\":[{}]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n",
        r#""a" Stop"#,
    ),
    (
        "a refusal is text",
        "data: {\"choices\":[{\"delta\":{\"content\":null,\"refusal\":\"No.\"}}]}\n\ndata: [DONE]\n\n",
        r#""No." Stop"#,
    ),
    ("an answer without words", "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n", r#""" Stop"#),
    // Usage.
    (
        "usage in a last chunk",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1,\"cost\":0.1}}\n\ndata: [DONE]\n\n",
        r#""a" 3+1 Stop"#,
    ),
    (
        "usage in every chunk",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"b\"}}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
        r#""ab" 3+2 Stop"#,
    ),
    (
        "usage that cannot be read",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":\"three\"}}\n\ndata: [DONE]\n\n",
        r#""a" Stop"#,
    ),
    // Tool calls.
    (
        "id and name on every fragment",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":\"}}]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":\"1}\"}}]},\"finish_reason\":\"tool_calls\"}]}\n\n",
        r#""" f({"a":1}) ToolCalls"#,
    ),
    (
        "interleaved calls",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\"\"}},{\"index\":1,\"id\":\"y\",\"function\":{\"name\":\"g\",\"arguments\":\"{\"}}]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\"}\"}},{\"index\":0,\"function\":{\"arguments\":\":1}\"}}]}}]}\n\ndata: [DONE]\n\n",
        r#""" f({"a":1}) g({}) ToolCalls"#,
    ),
    (
        "no index, found by id",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"id\":\"y\",\"function\":{\"name\":\"g\",\"arguments\":\"{\"}}]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"id\":\"x\",\"function\":{\"arguments\":\"}\"}}]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"id\":\"y\",\"function\":{\"arguments\":\"}\"}}]}}]}\n\ndata: [DONE]\n\n",
        r#""" f({}) g({}) ToolCalls"#,
    ),
    (
        "no index and no id: the last",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"arguments\":\"}\"}}]}}]}\n\ndata: [DONE]\n\n",
        r#""" f({}) ToolCalls"#,
    ),
    (
        "calls without index or id in one list",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"\"}},{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}\n\ndata: [DONE]\n\n",
        r#""" f({}) f({}) ToolCalls"#,
    ),
    (
        "whole calls without index or id, one a chunk",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}\n\ndata: [DONE]\n\n",
        r#""" f({}) f({}) ToolCalls"#,
    ),
    (
        "every parallel call numbered 0",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"y\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}\n\ndata: [DONE]\n\n",
        r#""" f({}) f({}) ToolCalls"#,
    ),
    (
        "a new id on every fragment",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"id\":\"y\",\"function\":{\"name\":\"\",\"arguments\":\"}\"}}]}}]}\n\ndata: [DONE]\n\n",
        r#""" f({}) ToolCalls"#,
    ),
    (
        "arguments as an object",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}}]}}]}\n\ndata: [DONE]\n\n",
        r#""" f({"a":1}) ToolCalls"#,
    ),
    (
        "legacy function_call",
        "data: {\"choices\":[{\"delta\":{\"function_call\":{\"name\":\"f\",\"arguments\":\"{\"}}}]}\n\ndata: {\"choices\":[{\"delta\":{\"function_call\":{\"arguments\":\"}\"}},\"finish_reason\":\"function_call\"}]}\n\n",
        r#""" f({}) ToolCalls"#,
    ),
    (
        "legacy function_call beside tool_calls",
        "data: {\"choices\":[{\"delta\":{\"function_call\":{\"name\":\"f\",\"arguments\":\"{}\"},\"tool_calls\":[{\"index\":0,\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}\n\ndata: [DONE]\n\n",
        r#""" f({}) ToolCalls"#,
    ),
    (
        "`stop` beside calls",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"stop\"}]}\n\n",
        r#""" f({}) ToolCalls"#,
    ),
    (
        "`tool_calls` without any",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"tool_calls\"}]}\n\n",
        r#""a" Stop"#,
    ),
    (
        "a call cut by length",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\"}}]},\"finish_reason\":\"length\"}]}\n\n",
        r#""" Length"#,
    ),
    (
        "a call that names no tool",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"x\",\"function\":{\"arguments\":\"{}\"}}]}}]}\n\ndata: [DONE]\n\n",
        r#""" broken"#,
    ),
    (
        "a call that is no call, with finish_reason",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[7]},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n",
        r#""" broken"#,
    ),
    // Errors under a 200.
    ("an error before tokens", "data: {\"error\":{\"message\":\"no\",\"code\":\"x\"}}\n\n", r#""" refused 200"#),
    (
        "an error after tokens",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"error\":{\"message\":\"no\",\"code\":502}}\n\ndata: [DONE]\n\n",
        r#""a" refused 502"#,
    ),
    ("an error that is a string", "data: {\"error\":\"no\"}\n\n", r#""" refused 200"#),
    (
        "an error that says 429",
        "data: {\"error\":{\"code\":429,\"message\":\"slow down\"}}\n\n",
        r#""" overloaded 429"#,
    ),
    ("an event named error", "event: error\ndata: {\"message\":\"no\"}\n\n", r#""" refused 200"#),
    ("an event named error, no JSON", "event: error\ndata: no\n\n", r#""" refused 200"#),
    // Sources.
    (
        "annotations beside the words and by themselves",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a b\",\"annotations\":[{\"type\":\"url_citation\",\"url_citation\":{\"url\":\"https://a.example/x?y=1\",\"title\":\" On\\nA \",\"start_index\":0,\"end_index\":1,\"content\":\"...\"}}]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"annotations\":[{\"type\":\"url_citation\",\"url_citation\":{\"url\":\"http://b.example\",\"start_index\":0,\"end_index\":0}}]},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
        r#""a b" <https://a.example/x?y=1 On A@1> <http://b.example/ b.example@> Stop"#,
    ),
    (
        "annotations again, and one source in two places",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a b\",\"annotations\":[{\"url_citation\":{\"url\":\"https://a.example/\",\"title\":\"A\",\"end_index\":1}},{\"url_citation\":{\"url\":\"https://a.example\",\"title\":\"A\",\"end_index\":1}},{\"url_citation\":{\"url\":\"https://a.example\",\"title\":\"A\",\"end_index\":3}},{\"url_citation\":{\"url\":\"https://a.example\"}}]}}]}\n\ndata: [DONE]\n\n",
        r#""a b" <https://a.example/ A@1> <https://a.example/ A@3> Stop"#,
    ),
    (
        "annotations that are none",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\",\"annotations\":null}}]}\n\ndata: {\"choices\":[{\"delta\":{\"annotations\":[]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"annotations\":{\"url\":1}}}]}\n\ndata: {\"choices\":[{\"delta\":{\"annotations\":[7,{\"type\":\"file\",\"file\":{}},{\"url_citation\":{\"title\":\"T\"}},{\"url_citation\":{\"url\":\"javascript:alert(1)\"}},{\"url_citation\":{\"url\":\"nowhere\"}},{\"url_citation\":{\"url\":\"file:///etc/passwd\"}}]}}]}\n\ndata: [DONE]\n\n",
        r#""a" Stop"#,
    ),
    (
        "addresses with every chunk",
        "data: {\"citations\":[\"https://a.example/\",\"https://b.example/\"],\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"citations\":[\"https://a.example/\",\"https://b.example/\"],\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\ndata: {\"citations\":[\"https://a.example/\",7,\"https://c.example/\"],\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
        r#""ab" <https://a.example/ a.example@> <https://b.example/ b.example@> <https://c.example/ c.example@> Stop"#,
    ),
    (
        "annotations that are not streamed, with a call",
        "{\"choices\":[{\"message\":{\"content\":\"a\",\"annotations\":[{\"type\":\"url_citation\",\"url_citation\":{\"url\":\"https://a.example/\",\"title\":\"A\",\"start_index\":0,\"end_index\":1}}],\"tool_calls\":[{\"id\":\"x\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}",
        r#""a" <https://a.example/ A@1> f({}) ToolCalls"#,
    ),
    // JSON in place of a stream.
    (
        "an answer that is not streamed",
        "\n{\n \"choices\": [\n  {\"message\": {\"role\": \"assistant\", \"content\": \"a\\nb\"}, \"finish_reason\": \"stop\"}\n ],\r\n \"usage\": {\"prompt_tokens\": 1, \"completion_tokens\": 2}\n}\n",
        r#""a\nb" 1+2 Stop"#,
    ),
    (
        "calls that are not streamed",
        "{\"choices\":[{\"message\":{\"content\":null,\"tool_calls\":[{\"id\":\"x\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},{\"id\":\"y\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}",
        r#""" f({}) f({}) ToolCalls"#,
    ),
    ("an error object", "{\"error\":{\"message\":\"no\",\"code\":400}}", r#""" refused 400"#),
    ("an answer that is not streamed, cut", "{\"choices\":[{\"message\":{\"content\":\"a", r#""" broken"#),
    ("an object that is no answer", "{\"hello\":1}", r#""" broken"#),
];

#[tokio::test]
async fn quirks_whole_and_cut_at_every_byte() {
    for (name, body, expected) in QUIRKS {
        let body = Bytes::from_static(body.as_bytes());
        for cut in 0..=body.len() {
            let answer = read(vec![body.slice(..cut), body.slice(cut..)]).await;
            assert_eq!(answer.line(), *expected, "{name}, cut at {cut}: {:?}", answer.error);
        }
    }
}

#[tokio::test]
async fn calls_without_an_id_of_their_own_get_one() {
    let call = |id: &str| format!("{{{id}\"function\":{{\"name\":\"f\",\"arguments\":\"{{}}\"}}}}");
    for ids in [["", ""], ["\"id\":\"\",", "\"id\":null,"], ["\"index\":0,\"id\":\"x\",", "\"index\":1,\"id\":\"x\","]]
    {
        let calls = ids.map(call).join(",");
        let body = format!("data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{calls}]}}}}]}}\n\ndata: [DONE]\n\n");
        let answer = read(vec![body.into()]).await;
        assert_eq!(answer.calls.len(), 2, "{ids:?}");
        assert!(is_made(&answer.calls[1].id), "{ids:?}");
        assert_ne!(answer.calls[0].id, answer.calls[1].id);
    }
}

#[tokio::test]
async fn citations_are_bounded() {
    let cite = |name: &str| {
        let title = "T".repeat(10_000);
        format!("{{\"url_citation\":{{\"url\":\"https://{name}.example/\",\"title\":\"{title}\"}}}}")
    };
    let mut all: Vec<String> = vec![cite(&"x".repeat(3_000))];
    all.extend((0..100).map(|number| cite(&format!("s{number}"))));
    let body =
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"a\",\"annotations\":[{}]}}}}]}}\n\n", all.join(","));
    let answer = read(vec![body.into(), "data: [DONE]\n\n".into()]).await;
    assert_eq!((answer.text().as_str(), answer.citations.len()), ("a", 64));
    assert_eq!(answer.citations[0].url, "https://s0.example/", "an address that is too long is left out");
    assert_eq!(answer.citations[0].title.len(), 300);
}

#[tokio::test]
async fn bytes_that_are_no_utf8_break_the_answer() {
    let body = b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"\xff\"}}]}\n\n";
    assert_eq!(read(vec![Bytes::from_static(body)]).await.line(), r#""a" broken"#);
}

#[tokio::test]
async fn a_table_row_over_http_is_the_same() {
    for (name, body, expected) in QUIRKS {
        let server = Server::plays(ok(body)).await;
        assert_eq!(Answer::of(server.model().stream(prompt())).await.line(), *expected, "{name}");
    }
}

/// The answer in a body that comes in `parts`.
pub(crate) async fn read(parts: Vec<Bytes>) -> Answer {
    Answer::of(decode(stream::iter(parts.into_iter().map(Ok::<_, Infallible>)), Duration::from_secs(20))).await
}
