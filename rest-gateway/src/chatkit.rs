//! ChatKit's single endpoint: the `type` of a request names what is asked for, `params` says the rest.

mod requests;

pub use requests::REQUESTS;

use crate::answer::Outcome;
use crate::bind::{self, Bound, Members, bind};
use crate::calls;
use crate::fields::{Field, Place, Row, fields};
use crate::head;
use crate::rule::{Does, Then};
use crate::streams;
use crate::upstream::{Call, Upstream};
use http::HeaderMap;
use schemars::SchemaGenerator;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::{Arc, LazyLock};
use threadline_schema::call::{Caller, ClientHints};
use threadline_schema::page::MAX_LIMIT;
use threadline_schema::{ErrorCode, RpcError};

/// Longest part of an unknown type that is repeated in an error.
const SHOWN: usize = 100;

/// The rows of [`REQUESTS`], in its order.
pub(crate) fn requests() -> &'static [Row] {
    static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
        let mut generator = SchemaGenerator::default();
        REQUESTS.iter().map(|rule| Row { rule, fields: fields(rule, &mut generator) }).collect()
    });
    &ROWS
}

/// Answers one request.
pub(crate) async fn answer(upstream: &dyn Upstream, mut caller: Caller, headers: &HeaderMap, body: &[u8]) -> Outcome {
    let (row, params) = match read(headers, body) {
        Ok(Request { row, params, client }) => {
            caller.hints = client;
            (row, params)
        }
        Err(error) => return Err(calls::misread(error, upstream, caller).await.into()),
    };
    let Does::Rpc { method, then } = &row.rule.does else { return Err(unknown("").into()) };
    let call = Call { method: method.name, params, caller };
    match then {
        Then::Reply(reply) => calls::call(row.rule, reply, "", upstream, call).await,
        Then::StreamChatKit { follow, run_id } => {
            streams::start_chatkit(row.rule, follow, *run_id, upstream, call).await
        }
        Then::StreamRun { .. } | Then::Stream | Then::StreamThread | Then::TakeFile(_) | Then::GiveFile => {
            Err(unknown(method.name).into())
        }
    }
}

/// A request as the front ends write it. What else they may add to it is passed over, as by ChatKit's own server.
#[derive(Deserialize)]
struct Sent<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
}

/// A request that can be answered.
struct Request {
    row: &'static Row,
    params: Box<RawValue>,
    client: Option<Arc<ClientHints>>,
}

fn read(headers: &HeaderMap, body: &[u8]) -> Result<Request, RpcError> {
    let text = bind::json_text(body)?;
    let sent: Sent<'_> = serde_json::from_str(text.get())
        .map_err(|_| invalid(r#"The body must look like {"type":"threads.list","params":{}}."#))?;
    let named = |row: &&Row| row.rule.method().is_some_and(|method| method.name == sent.kind);
    let row = requests().iter().find(named).ok_or_else(|| unknown(&sent.kind))?;
    let params = known_members(row, sent.params)?;
    let request = bind::Request { variables: Vec::new(), query: None, headers, body: params.as_bytes() };
    let Bound { params, .. } = bind(row, &request)?;
    let client =
        ClientHints::new(head::languages(headers), sent.metadata).map_err(|error| invalid(error.to_string()))?;
    Ok(Request { row, params, client })
}

/// The members of `params` that the method takes, as JSON. Those it does not know are passed over, as by ChatKit's own
/// server: a front end may be newer than this.
fn known_members(row: &Row, params: Option<&RawValue>) -> Result<String, RpcError> {
    let members = match params {
        Some(params) => serde_json::from_str(params.get()).map_err(|_| invalid("`params` must be a JSON object."))?,
        None => Members(Vec::new()),
    };
    let in_body = |field: &&Field| field.place == Place::Body;
    for field in row.fields.iter().filter(in_body).filter(|field| field.required) {
        if !members.0.iter().any(|(name, value)| *name == field.name && value.get() != "null") {
            return Err(invalid(format!("`params` needs the member {}.", field.name)));
        }
    }
    let mut json = String::from("{");
    for (name, value) in &members.0 {
        let Some(field) = row.fields.iter().filter(in_body).find(|field| field.name == *name) else { continue };
        if json.len() > 1 {
            json.push(',');
        }
        // A name of the schema's, which has nothing to escape.
        json.push_str(&format!("\"{}\":", field.name));
        match value.get().parse::<u64>() {
            // Front ends ask for more than a page holds when they want all there is; `has_more` tells them.
            Ok(limit) if name == "limit" && limit > u64::from(MAX_LIMIT) => json.push_str(&MAX_LIMIT.to_string()),
            _ => json.push_str(value.get()),
        }
    }
    json.push('}');
    Ok(json)
}

fn unknown(kind: &str) -> RpcError {
    let known: Vec<_> = REQUESTS.iter().filter_map(|rule| rule.method()).map(|method| method.name).collect();
    let kind: String = kind.chars().take(SHOWN).collect();
    invalid(format!("The request type {kind:?} is not served; known are {}.", known.join(", ")))
}

fn invalid(message: impl Into<String>) -> RpcError {
    RpcError::new(ErrorCode::InvalidRequest, message)
}

#[cfg(test)]
mod tests;
