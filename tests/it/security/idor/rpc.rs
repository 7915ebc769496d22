//! The matrix over JSON-RPC: HTTP, WebSockets, and the entries of batches on both.

use super::possessions::Possessions;
use super::{Caller, Case, END_THE_CALLER, Refusal, cases, check};
use crate::rpc::Wire;
use crate::security::by_schema::Schemas;
use crate::support::App;
use futures::future::join_all;
use serde_json::{Value, json};
use threadline_schema::auth::AuthMe;
use threadline_schema::{Access, Kind, MethodInfo, RpcMethod, rpc};

/// Entries of a batch, which are fewer than `MAX_BATCH_ENTRIES`.
const ENTRIES: usize = 40;

/// Makes each call of each caller over each transport. Returns how many calls that were.
pub(super) async fn call_all(
    app: &App,
    schemas: &Schemas,
    callers: &[Caller],
    ada: &Possessions,
    eve: &Possessions,
) -> usize {
    let of_callers = callers.iter().map(|caller| async move {
        let calls = calls_of(schemas, caller, ada, eve);
        // A caller with an invalid token gets no WebSocket. A caller that may call nothing shows that over one port.
        let transports: &[usize] = match caller.refusal {
            _ if caller.is_no_token => &[0],
            // The gateway alone has no JSON-RPC.
            Refusal::OfIds if !app.split => &[0, 1, 2, 3],
            Refusal::OfIds => &[0, 1],
            Refusal::OfEach(_) => &[0, 1],
        };
        let mut made = 0;
        for transport in transports {
            // Each when it is its turn: a socket without an authenticated call is closed after a while.
            let (name, mut wire) = wire(app, caller, *transport).await;
            for (method, case) in &calls {
                let answer = ask(&mut wire, &call(caller, method.name, case)).await;
                judge(caller, method, case, ada, &answer, name, false);
            }
            for some in calls.chunks(ENTRIES) {
                let batch: Vec<Value> = some.iter().map(|(method, case)| call(caller, method.name, case)).collect();
                let answers = ask(&mut wire, &json!(batch)).await;
                let answers = answers.as_array().unwrap_or_else(|| panic!("{name}: no batch: {answers}"));
                assert_eq!(answers.len(), some.len(), "{name}");
                for ((method, case), answer) in some.iter().zip(answers) {
                    judge(caller, method, case, ada, answer, &format!("{name}, batch"), true);
                }
            }
            made += 2 * calls.len();
        }
        made
    });
    join_all(of_callers).await.into_iter().sum()
}

async fn wire(app: &App, caller: &Caller, transport: usize) -> (&'static str, Wire) {
    if caller.is_no_token {
        return ("POST", Wire::Post(caller.client.clone()));
    }
    Wire::of(app, caller.client.token.as_deref(), transport).await
}

fn calls_of(
    schemas: &Schemas,
    caller: &Caller,
    ada: &Possessions,
    eve: &Possessions,
) -> Vec<(&'static MethodInfo, Case)> {
    let mut calls = Vec::new();
    for method in rpc::all() {
        if matches!(method.access, Access::Public | Access::Probe) {
            continue;
        }
        let is_own = caller.refusal == Refusal::OfIds;
        let mut of_method = cases(schemas, &schemas.params(method.name), ada, eve);
        if is_own && END_THE_CALLER.contains(&method.name) {
            // Another user's client token is not one's own.
            of_method.retain(|case| case.params.get("client_token").is_some());
        }
        if !is_own {
            of_method.truncate(1);
        }
        let is_free = method.name == AuthMe::NAME && caller.name.ends_with("without the scope");
        calls.extend(of_method.into_iter().filter(|_| !is_free).map(|case| (method, case)));
    }
    calls
}

fn call(caller: &Caller, method: &str, case: &Case) -> Value {
    let mut params = case.params.clone();
    if let Some(user) = &caller.acts_for {
        params["_meta"] = json!({"user": user});
    }
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

/// Sends a call or a batch. Returns its answer, not what an open subscription says.
async fn ask(wire: &mut Wire, message: &Value) -> Value {
    let mut answer = wire.ask(message).await;
    while answer.is_object() && answer.get("id").is_none() {
        let Wire::Socket(socket) = wire else { panic!("no answer: {answer}") };
        answer = socket.receive().await.expect("an answer");
    }
    answer
}

fn judge(
    caller: &Caller,
    method: &MethodInfo,
    case: &Case,
    ada: &Possessions,
    answer: &Value,
    wire: &str,
    in_batch: bool,
) {
    let code = answer["error"]["data"]["code"].as_str();
    let is_subscription = matches!(method.kind, Kind::Subscription { .. });
    let cannot_stream = is_subscription && (in_batch || wire.starts_with("POST"));
    if cannot_stream && caller.refusal == Refusal::OfIds {
        assert_eq!(code, Some("INVALID_REQUEST"), "{}: {}: {answer}", caller.name, method.name);
        return;
    }
    if method.access == Access::Admin && caller.refusal == Refusal::OfIds {
        assert_eq!(code, Some("FORBIDDEN"), "{}: {}: {answer}", caller.name, method.name);
    }
    check(caller, case, ada, code, &answer.to_string(), &format!("{} over {wire}", method.name));
}
