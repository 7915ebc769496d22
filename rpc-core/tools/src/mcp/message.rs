//! Reads the messages of a server, more liberally than the types of `rmcp`.
//!
//! `rmcp` reads a result as the first of its types that fits, and refuses a message whose types it does not know: one
//! malformed tool would hide a server, and a result that it cannot read would look like a lost one. So the transports
//! read messages here. Results and errors reach [`read_answer`] as the JSON that the server sent.

use crate::json_rpc::{Refusal, integer, take_error};
use rmcp::model::{
    CustomResult, ErrorCode, ErrorData, Implementation, InitializeResult, ProtocolVersion, RequestId,
    ServerCapabilities, ServerJsonRpcMessage, ServerResult,
};
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};
use threadline_model::openai::repair_json;

/// Maximum size of one message, in bytes. The rest of a longer one is not read.
pub(super) const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// Members of the object that carries an answer through `rmcp`, which has no type of results with them.
const RESULT: &str = "threadline/result";
const ERROR: &str = "threadline/error";
/// Codes by which a server refuses `initialize` because its version of the protocol does not have it: an unknown
/// method, an invalid request or invalid params, and an unsupported version. If the reason is another one, it refuses
/// the next request too, and says so again.
const NO_INITIALIZE: &[i64] = &[-32601, -32600, -32602, -32022];
/// How many places in a line are tried as the start of a message.
const MAX_STARTS: usize = 8;

/// What is known about the messages to be read.
#[derive(Debug, Clone, Default)]
pub(super) struct Expected {
    /// The request `initialize`: `rmcp` reads its result itself.
    pub(super) initialize: Option<RequestId>,
    /// The only request that can be answered here. An answer without an id is the one to this request.
    pub(super) only: Option<RequestId>,
}

/// The answer to a request.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// The result, whatever it is.
    Result(Value),
    /// The server refused the request, in its own words.
    Refused(Refusal),
}

/// Reads the messages in a text: one, several in a row, or a batch. `None` if there is no message in it.
///
/// Words in front of a message, which a program has printed without a line break, are skipped. What is not JSON, but
/// nearly, is repaired: an answer means that the call was made, and its outcome must not look unknown.
pub(super) fn read_messages(text: &[u8], expected: &Expected) -> Option<Vec<ServerJsonRpcMessage>> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    read_json(text, expected).or_else(|| {
        let text = String::from_utf8_lossy(text);
        let text = without_trailing_commas(&repair_json(&text).unwrap_or_else(|| text.into_owned()));
        read_json(text.as_bytes(), expected)
            .or_else(|| read_broken_result(&text, expected).map(|message| vec![message]))
    })
}

fn read_json(text: &[u8], expected: &Expected) -> Option<Vec<ServerJsonRpcMessage>> {
    let starts = text.iter().enumerate().filter(|(_, byte)| matches!(byte, b'{' | b'[')).map(|(index, _)| index);
    for start in starts.take(MAX_STARTS) {
        let values = serde_json::Deserializer::from_slice(text.get(start..)?).into_iter::<Value>();
        let values = values.map_while(Result::ok).flat_map(|value| match value {
            Value::Array(batch) => batch,
            value => vec![value],
        });
        let values = values.filter(|value| start == 0 || is_plain_message(value));
        let messages: Vec<_> = values.filter_map(|value| read_message(value, expected)).collect();
        if !messages.is_empty() {
            return Some(messages);
        }
    }
    None
}

/// Returns a text without commas in front of the end of a list or of an object, which JSON does not allow.
fn without_trailing_commas(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut is_in_string, mut is_escaped, mut comma) = (false, false, None);
    for char in json.chars() {
        match char {
            _ if is_in_string => {
                is_in_string = char != '"' || is_escaped;
                is_escaped = char == '\\' && !is_escaped;
            }
            ',' => comma = Some(out.len()),
            '}' | ']' => {
                if let Some(comma) = comma.take() {
                    out.remove(comma);
                }
            }
            _ if char.is_ascii_whitespace() => {}
            _ => {
                is_in_string = char == '"';
                comma = None;
            }
        }
        out.push(char);
    }
    out
}

/// Reads an answer that is no JSON: its result is the text that stands there. What is cut off at its end is no answer.
fn read_broken_result(text: &str, expected: &Expected) -> Option<ServerJsonRpcMessage> {
    let text = text.trim();
    // JSON that holds no message is noise.
    if !text.starts_with('{') || !text.ends_with('}') || serde_json::from_str::<IgnoredAny>(text).is_ok() {
        return None;
    }
    let (before, result) = text.split_once("\"result\"")?;
    if before.contains("\"method\"") {
        return None;
    }
    let id = id_of_cut_message(text.as_bytes(), text.as_bytes()).or_else(|| expected.only.clone())?;
    if expected.initialize.as_ref() == Some(&id) {
        return None;
    }
    let result = result.trim_start().strip_prefix(':')?.trim();
    let result = result.strip_suffix('}').unwrap_or(result).trim_end();
    Some(carry(id, RESULT, json!({"content": result})))
}

/// Whether an object behind other words is a message for us: it says so, and it is not a request, which a program that
/// logs what it receives prints too.
fn is_plain_message(value: &Value) -> bool {
    value.get("jsonrpc").is_some() && (value.get("method").is_none() || value.get("id").is_none())
}

fn read_message(value: Value, expected: &Expected) -> Option<ServerJsonRpcMessage> {
    let Value::Object(mut members) = value else { return None };
    if members.get("method").is_some_and(Value::is_string) {
        if members.get("id").is_some_and(Value::is_null) {
            members.remove("id");
        }
        members.insert("jsonrpc".to_owned(), json!("2.0"));
        return serde_json::from_value(Value::Object(members)).ok();
    }
    let id = members.remove("id").and_then(|id| request_id(&id)).or_else(|| expected.only.clone());
    let is_initialize = id.is_some() && id == expected.initialize;
    if let Some(error) = take_error(&mut members) {
        let refusal = Refusal::read(error);
        return Some(match id {
            Some(id) if !is_initialize => refused(id, &refusal),
            Some(id) if NO_INITIALIZE.contains(&refusal.code) => {
                let result = ServerResult::InitializeResult(without_initialize());
                ServerJsonRpcMessage::response(result, id)
            }
            id => {
                let code = ErrorCode(i32::try_from(refusal.code).unwrap_or(ErrorCode::INTERNAL_ERROR.0));
                ServerJsonRpcMessage::error(ErrorData::new(code, refusal.message, None), id)
            }
        });
    }
    let result = members.remove("result")?;
    let id = id?;
    if is_initialize {
        return Some(ServerJsonRpcMessage::response(ServerResult::InitializeResult(initialize_result(&result)), id));
    }
    Some(carry(id, RESULT, result))
}

/// Returns the message that a request was refused.
pub(super) fn refused(id: RequestId, Refusal { code, message }: &Refusal) -> ServerJsonRpcMessage {
    carry(id, ERROR, json!({"code": code, "message": message}))
}

/// Returns the refusal in an answer, if it is one.
pub(super) fn refusal_in(message: &ServerJsonRpcMessage) -> Option<Refusal> {
    let ServerJsonRpcMessage::Response(response) = message else { return None };
    let ServerResult::CustomResult(CustomResult(Value::Object(members))) = &response.result else { return None };
    members.get(ERROR).cloned().map(Refusal::read)
}

/// Returns the message that a request was answered with more than can be read.
pub(super) fn too_long(id: RequestId) -> ServerJsonRpcMessage {
    let error = format!("The result is longer than {MAX_MESSAGE_BYTES} bytes and was not read. Ask for less.");
    carry(id, RESULT, json!({"structuredContent": {"error": error}}))
}

fn carry(id: RequestId, member: &str, value: Value) -> ServerJsonRpcMessage {
    let members = Map::from_iter([(member.to_owned(), value)]);
    ServerJsonRpcMessage::response(ServerResult::CustomResult(CustomResult(Value::Object(members))), id)
}

/// Returns the answer that `rmcp` has passed on.
pub(super) fn read_answer(result: ServerResult) -> Answer {
    let value = match result {
        ServerResult::CustomResult(CustomResult(Value::Object(mut members))) if members.len() == 1 => {
            if let Some(error) = members.remove(ERROR) {
                return Answer::Refused(Refusal::read(error));
            }
            members.remove(RESULT).unwrap_or(Value::Object(members))
        }
        // Serialising such a value cannot fail.
        result => serde_json::to_value(result).unwrap_or_default(),
    };
    Answer::Result(value)
}

/// Returns the id of an answer. Our ids are integers.
fn request_id(id: &Value) -> Option<RequestId> {
    match (integer(id), id) {
        (Some(id), _) => Some(RequestId::Number(id)),
        (None, Value::String(text)) => Some(RequestId::String(text.as_str().into())),
        _ => None,
    }
}

/// Reads the result of `initialize`. What is missing or of another type has no effect: only the tools are used.
fn initialize_result(result: &Value) -> InitializeResult {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let capabilities = result.get("capabilities").cloned();
    let capabilities = capabilities.and_then(|value| serde_json::from_value::<ServerCapabilities>(value).ok());
    let info = result.get("serverInfo");
    let info = Implementation::new(
        text(info.and_then(|info| info.get("name"))),
        text(info.and_then(|info| info.get("version"))),
    );
    let version: Option<ProtocolVersion> =
        result.get("protocolVersion").and_then(|version| serde_json::from_value(version.clone()).ok());
    // A server that answers `initialize` speaks a version that has it, whatever it says.
    let version = version.filter(ProtocolVersion::has_initialize).unwrap_or(ProtocolVersion::LATEST_WITH_INITIALIZE);
    InitializeResult::new(capabilities.unwrap_or_default()).with_server_info(info).with_protocol_version(version)
}

/// Returns the result of `initialize` for a server that does not know this method. With this version, `rmcp` tells the
/// server with each request what `initialize` would have told it.
fn without_initialize() -> InitializeResult {
    InitializeResult::new(ServerCapabilities::default()).with_protocol_version(ProtocolVersion::NO_INITIALIZE)
}

/// Returns the id of a response of which only the start and the end are known.
pub(super) fn id_of_cut_message(start: &[u8], end: &[u8]) -> Option<RequestId> {
    let start = String::from_utf8_lossy(start);
    let end = String::from_utf8_lossy(end);
    let before_result = start.split("\"result\"").next().unwrap_or_default();
    if before_result.contains("\"method\"") {
        return None;
    }
    let in_front = before_result.len() < start.len();
    let at_start = in_front.then(|| before_result.rsplit_once("\"id\"")).flatten().map(|(_, rest)| rest);
    // At the end only if it is the last member of the outermost object.
    let at_end = end.trim_end().strip_suffix('}').and_then(|rest| rest.rsplit_once("\"id\"")).map(|(_, rest)| rest);
    let value = |rest: &str| {
        let rest = rest.trim_start().strip_prefix(':')?.trim().trim_end_matches(',').trim();
        serde_json::from_str(rest).ok().and_then(|id| request_id(&id))
    };
    let until_comma = |rest: &str| rest.split(',').next().unwrap_or_default().to_owned();
    at_start.and_then(|rest| value(&until_comma(rest))).or_else(|| at_end.and_then(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(id: i64) -> RequestId {
        RequestId::Number(id)
    }

    /// The answers in a text, each with its id.
    fn answers(text: &str, expected: &Expected) -> Vec<(RequestId, Answer)> {
        let messages = read_messages(text.as_bytes(), expected).unwrap_or_default();
        messages
            .into_iter()
            .filter_map(ServerJsonRpcMessage::into_response)
            .map(|(result, id)| (id, read_answer(result)))
            .collect()
    }

    #[test]
    fn every_result_is_an_answer() {
        for result in [
            "null",
            "7",
            "\"done\"",
            "[]",
            "{}",
            r#"{"tools":[{}]}"#,
            r#"{"resultType":"complete"}"#,
            r#"{"content":{}}"#,
        ] {
            let value: Value = serde_json::from_str(result).unwrap();
            for text in [
                format!(r#"{{"jsonrpc":"2.0","id":3,"result":{result}}}"#),
                format!(r#"{{"id":"3","result":{result},"error":null}}"#),
                format!(r#"{{"id":3.0,"result":{result}}}"#),
                format!(r#"{{"id":3,"result":{result},"error":{{}}}}"#),
                format!(r#"{{"id":3,"error":"","result":{result}}}"#),
                format!(r#"Loading... {{1}} {{"jsonrpc":"2.0","id":3,"result":{result}}} done"#),
                format!("\u{feff}[{{\"id\":3,\"result\":{result}}}]\r"),
            ] {
                let answers = answers(&text, &Expected::default());
                assert_eq!(answers, [(number(3), Answer::Result(value.clone()))], "{text}");
            }
        }
        let two = answers(r#"{"id":1,"result":1}{"id":2,"result":2}"#, &Expected::default());
        assert_eq!(two.len(), 2);
    }

    #[test]
    fn answers_survive_the_way_through_rmcp() {
        for text in [r#"{"id":1,"result":{"content":[]}}"#, r#"{"id":1,"error":{"code":-32602,"message":"no"}}"#] {
            let message = read_messages(text.as_bytes(), &Expected::default()).unwrap().remove(0);
            let again: ServerJsonRpcMessage = serde_json::from_str(&serde_json::to_string(&message).unwrap()).unwrap();
            let read = |message: ServerJsonRpcMessage| read_answer(message.into_response().unwrap().0);
            assert_eq!(read(message), read(again), "an event of a stream is read again by rmcp");
        }
    }

    #[test]
    fn errors_keep_the_words_of_the_server() {
        for (error, code, message) in [
            (r#"{"code":-32602,"message":"no such order"}"#, -32602, "no such order"),
            (r#"{"code":"-1","message":"no"}"#, -1, "no"),
            (r#"{"reason":"no"}"#, -32603, r#"{"reason":"no"}"#),
            (r#""no""#, -32603, "no"),
            (
                r#"{"code":-32602,"message":"Invalid params","data":"q is no date"}"#,
                -32602,
                "Invalid params (q is no date)",
            ),
            (r#"{"code":-32602,"message":"q is no date","data":"q is no date"}"#, -32602, "q is no date"),
        ] {
            let text = format!(r#"{{"id":1,"result":null,"error":{error}}}"#);
            let refusal = Refusal { code, message: message.to_owned() };
            assert_eq!(answers(&text, &Expected::default()), [(number(1), Answer::Refused(refusal))], "{text}");
        }
    }

    #[test]
    fn an_answer_without_an_id_belongs_to_the_only_request() {
        let only = Expected { only: Some(number(5)), ..Expected::default() };
        for id in ["", r#""id":null,"#] {
            let text = format!(r#"{{{id}"result":1}}"#);
            assert_eq!(answers(&text, &only), [(number(5), Answer::Result(json!(1)))]);
            assert!(answers(&text, &Expected::default()).is_empty());
        }
    }

    #[test]
    fn what_is_nearly_json_is_read() {
        let read = |text: &[u8]| {
            let messages = read_messages(text, &Expected::default()).unwrap_or_default();
            let mut answers = messages.into_iter().filter_map(ServerJsonRpcMessage::into_response);
            let (result, id) = answers.next().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(text)));
            assert_eq!(id, number(3));
            read_answer(result)
        };
        let cases: [(&[u8], Value); 7] = [
            (b"[NaN,Infinity]", json!([null, null])),
            (br#""half \ud83d pair""#, json!("half \u{fffd} pair")),
            (b"\"a\tb\"", json!("a\tb")),
            (b"\"caf\xe9\"", json!("caf\u{fffd}")),
            (br#"[1, 2, ]"#, json!([1, 2])),
            (br#"{"a": ",]", }"#, json!({"a": ",]"})),
            (br#"{"a": 'b'}"#, json!({"content": "{\"a\": 'b'}"})),
        ];
        for (result, value) in cases {
            let text = [&br#"{"jsonrpc":"2.0","id":3,"result":"#[..], result, &b"}"[..]].concat();
            assert_eq!(read(&text), Answer::Result(value));
        }
    }

    #[test]
    fn noise_is_no_message() {
        for text in [
            "",
            "Server started on port 3000",
            "[info] {ready}",
            "{}",
            "[]",
            "7",
            r#"{"jsonrpc":"2.0"}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":[{"id":2,"result":1}, cut"#,
            r#"got {"jsonrpc":"2.0","id":1,"method":"ping"}"#,
            r#"{"event":"a","id":1,"of":{"result":2}}"#,
            r#"{'jsonrpc':"2.0","id":1,"method":"ping","params":{"result":1}}"#,
        ] {
            assert!(read_messages(text.as_bytes(), &Expected::default()).is_none(), "{text}");
        }
    }

    #[test]
    fn an_initialize_result_needs_nothing() {
        let expected = Expected { initialize: Some(number(0)), ..Expected::default() };
        for (result, version) in [
            (
                r#"{"protocolVersion":"2024-11-05","capabilities":{},"serverInfo":{"name":"a","version":"1"}}"#,
                "2024-11-05",
            ),
            (r#"{"protocolVersion":"2099-01-01","capabilities":[],"serverInfo":"a"}"#, "2025-11-25"),
            (r#"{"protocolVersion":1}"#, "2025-11-25"),
            ("{}", "2025-11-25"),
            ("null", "2025-11-25"),
        ] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":0,"result":{result}}}"#);
            let message = read_messages(text.as_bytes(), &expected).unwrap().remove(0);
            let Some((ServerResult::InitializeResult(read), _)) = message.into_response() else { panic!("{result}") };
            assert_eq!(read.protocol_version.as_str(), version);
        }
    }

    #[test]
    fn a_cut_answer_still_has_its_id() {
        let id = |start: &str, end: &str| id_of_cut_message(start.as_bytes(), end.as_bytes());
        assert_eq!(id(r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"id":9,"#, "]}}"), Some(number(7)));
        assert_eq!(id(r#"{"result":{"content":[{"id":9,"#, r#"]},"id": "7"}"#), Some(number(7)));
        assert_eq!(id(r#"{"result":{"content":[{"id":9,"#, r#"{"id":9}]}}"#), None);
        assert_eq!(id(r#"{"jsonrpc":"2.0","method":"log","params":{"#, r#""id":9}"#), None);
        assert_eq!(id("xxxxx", "xxxx"), None);
    }
}
