//! Deviations from the protocol that servers send, one row each: the body and the resulting response.

use crate::response::{Response, is_generated_id};
use crate::server::{Server, ok, prompt};
use bytes::Bytes;
use futures::stream;
use std::convert::Infallible;
use std::time::Duration;
use threadline_model::Model;
use threadline_model::openai::decode;

/// Name, body, summary of the response.
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
    ("only pings", ": ping\n\n: ping\n\n", r#""" broken"#),
    ("only [DONE]", "data: [DONE]\n\n", r#""" broken"#),
    ("not an event stream", "<html><body>Welcome to the hotel</body></html>", r#""" broken"#),
    (
        "invalid JSON in the middle",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: oops\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"b\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
        r#""a" broken"#,
    ),
    (
        "events after [DONE]",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\ndata: oops\n\n",
        r#""a" Stop"#,
    ),
    (
        "truncated by length",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"length\"}]}\n\n",
        r#""a" Length"#,
    ),
    (
        "truncated by a content filter",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"content_filter\"}]}\n\n",
        r#""a" ContentFilter"#,
    ),
    (
        "an unknown finish_reason",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"eos\"}]}\n\n",
        r#""a" Stop"#,
    ),
    (
        "finish_reason `error`",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}]}\n\n",
        r#""a" refused 200"#,
    ),
    (
        "finish_reason null, and a choice without delta",
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
        "reasoning is not text",
        "data: {\"choices\":[{\"delta\":{\"content\":\"\",\"reasoning_content\":\"hm\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":null,\"reasoning\":\"hm\",\"reasoning_details\":[{}]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n",
        r#""a" Stop"#,
    ),
    (
        "a refusal is text",
        "data: {\"choices\":[{\"delta\":{\"content\":null,\"refusal\":\"No.\"}}]}\n\ndata: [DONE]\n\n",
        r#""No." Stop"#,
    ),
    ("a response without text", "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n", r#""" Stop"#),
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
        "invalid usage",
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
        "calls without index and id in one list",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"\"}},{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}\n\ndata: [DONE]\n\n",
        r#""" f({}) f({}) ToolCalls"#,
    ),
    (
        "complete calls without index and id, one per chunk",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}\n\ndata: [DONE]\n\n",
        r#""" f({}) f({}) ToolCalls"#,
    ),
    (
        "index 0 for every parallel call",
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
        "finish_reason `stop` beside calls",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"stop\"}]}\n\n",
        r#""" f({}) ToolCalls"#,
    ),
    (
        "finish_reason `tool_calls` without calls",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"tool_calls\"}]}\n\n",
        r#""a" Stop"#,
    ),
    (
        "a call truncated by length",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\"}}]},\"finish_reason\":\"length\"}]}\n\n",
        r#""" Length"#,
    ),
    (
        "a call without a name",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"x\",\"function\":{\"arguments\":\"{}\"}}]}}]}\n\ndata: [DONE]\n\n",
        r#""" broken"#,
    ),
    (
        "an invalid call, with finish_reason",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[7]},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n",
        r#""" broken"#,
    ),
    // Errors with status 200.
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
    ("an event of type error", "event: error\ndata: {\"message\":\"no\"}\n\n", r#""" refused 200"#),
    ("an event of type error, no JSON", "event: error\ndata: no\n\n", r#""" refused 200"#),
    // Citations.
    (
        "annotations beside the text and alone",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a b\",\"annotations\":[{\"type\":\"url_citation\",\"url_citation\":{\"url\":\"https://a.example/x?y=1\",\"title\":\" On\\nA \",\"start_index\":0,\"end_index\":1,\"content\":\"...\"}}]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"annotations\":[{\"type\":\"url_citation\",\"url_citation\":{\"url\":\"http://b.example\",\"start_index\":0,\"end_index\":0}}]},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
        r#""a b" <https://a.example/x?y=1 On A@1> <http://b.example/ b.example@> Stop"#,
    ),
    (
        "repeated annotations, and one source for two passages",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a b\",\"annotations\":[{\"url_citation\":{\"url\":\"https://a.example/\",\"title\":\"A\",\"end_index\":1}},{\"url_citation\":{\"url\":\"https://a.example\",\"title\":\"A\",\"end_index\":1}},{\"url_citation\":{\"url\":\"https://a.example\",\"title\":\"A\",\"end_index\":3}},{\"url_citation\":{\"url\":\"https://a.example\"}}]}}]}\n\ndata: [DONE]\n\n",
        r#""a b" <https://a.example/ A@1> <https://a.example/ A@3> Stop"#,
    ),
    (
        "invalid annotations",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\",\"annotations\":null}}]}\n\ndata: {\"choices\":[{\"delta\":{\"annotations\":[]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"annotations\":{\"url\":1}}}]}\n\ndata: {\"choices\":[{\"delta\":{\"annotations\":[7,{\"type\":\"file\",\"file\":{}},{\"url_citation\":{\"title\":\"T\"}},{\"url_citation\":{\"url\":\"javascript:alert(1)\"}},{\"url_citation\":{\"url\":\"nowhere\"}},{\"url_citation\":{\"url\":\"file:///etc/passwd\"}}]}}]}\n\ndata: [DONE]\n\n",
        r#""a" Stop"#,
    ),
    (
        "a list of URLs in every chunk",
        "data: {\"citations\":[\"https://a.example/\",\"https://b.example/\"],\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"citations\":[\"https://a.example/\",\"https://b.example/\"],\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\ndata: {\"citations\":[\"https://a.example/\",7,\"https://c.example/\"],\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
        r#""ab" <https://a.example/ a.example@> <https://b.example/ b.example@> <https://c.example/ c.example@> Stop"#,
    ),
    (
        "annotations and a call in a response that is not streamed",
        "{\"choices\":[{\"message\":{\"content\":\"a\",\"annotations\":[{\"type\":\"url_citation\",\"url_citation\":{\"url\":\"https://a.example/\",\"title\":\"A\",\"start_index\":0,\"end_index\":1}}],\"tool_calls\":[{\"id\":\"x\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}",
        r#""a" <https://a.example/ A@1> f({}) ToolCalls"#,
    ),
    // JSON instead of a stream.
    (
        "a response that is not streamed",
        "\n{\n \"choices\": [\n  {\"message\": {\"role\": \"assistant\", \"content\": \"a\\nb\"}, \"finish_reason\": \"stop\"}\n ],\r\n \"usage\": {\"prompt_tokens\": 1, \"completion_tokens\": 2}\n}\n",
        r#""a\nb" 1+2 Stop"#,
    ),
    (
        "calls in a response that is not streamed",
        "{\"choices\":[{\"message\":{\"content\":null,\"tool_calls\":[{\"id\":\"x\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},{\"id\":\"y\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}",
        r#""" f({}) f({}) ToolCalls"#,
    ),
    ("an error object", "{\"error\":{\"message\":\"no\",\"code\":400}}", r#""" refused 400"#),
    ("a response that is not streamed, cut", "{\"choices\":[{\"message\":{\"content\":\"a", r#""" broken"#),
    ("an object that is no response", "{\"hello\":1}", r#""" broken"#),
];

#[tokio::test]
async fn quirks_split_at_every_byte() {
    for (name, body, expected) in QUIRKS {
        let body = Bytes::from_static(body.as_bytes());
        for cut in 0..=body.len() {
            let response = decode_parts(vec![body.slice(..cut), body.slice(cut..)]).await;
            assert_eq!(response.summary(), *expected, "{name}, cut at {cut}: {:?}", response.error);
        }
    }
}

#[tokio::test]
async fn a_missing_or_duplicate_id_is_replaced() {
    let call = |id: &str| format!("{{{id}\"function\":{{\"name\":\"f\",\"arguments\":\"{{}}\"}}}}");
    for ids in [["", ""], ["\"id\":\"\",", "\"id\":null,"], ["\"index\":0,\"id\":\"x\",", "\"index\":1,\"id\":\"x\","]]
    {
        let calls = ids.map(call).join(",");
        let body = format!("data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{calls}]}}}}]}}\n\ndata: [DONE]\n\n");
        let response = decode_parts(vec![body.into()]).await;
        assert_eq!(response.calls.len(), 2, "{ids:?}");
        assert!(is_generated_id(&response.calls[1].id), "{ids:?}");
        assert_ne!(response.calls[0].id, response.calls[1].id);
    }
}

#[tokio::test]
async fn citations_are_limited() {
    let cite = |name: &str| {
        let title = "T".repeat(10_000);
        format!("{{\"url_citation\":{{\"url\":\"https://{name}.example/\",\"title\":\"{title}\"}}}}")
    };
    let mut all: Vec<String> = vec![cite(&"x".repeat(3_000))];
    all.extend((0..100).map(|number| cite(&format!("s{number}"))));
    let body =
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"a\",\"annotations\":[{}]}}}}]}}\n\n", all.join(","));
    let response = decode_parts(vec![body.into(), "data: [DONE]\n\n".into()]).await;
    assert_eq!((response.text().as_str(), response.citations.len()), ("a", 64));
    assert_eq!(response.citations[0].url, "https://s0.example/", "a URL that is too long is left out");
    assert_eq!(response.citations[0].title.len(), 300);
}

#[tokio::test]
async fn invalid_utf8_is_an_error() {
    let body = b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"\xff\"}}]}\n\n";
    assert_eq!(decode_parts(vec![Bytes::from_static(body)]).await.summary(), r#""a" broken"#);
}

#[tokio::test]
async fn quirks_over_http() {
    for (name, body, expected) in QUIRKS {
        let server = Server::with_script(ok(body)).await;
        assert_eq!(Response::collect(server.model().stream(prompt())).await.summary(), *expected, "{name}");
    }
}

/// Decodes a body that arrives in `parts`.
pub(crate) async fn decode_parts(parts: Vec<Bytes>) -> Response {
    Response::collect(decode(stream::iter(parts.into_iter().map(Ok::<_, Infallible>)), Duration::from_secs(20))).await
}
