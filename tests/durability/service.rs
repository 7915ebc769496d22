//! Shared by the harnesses: starting the service, and the requests of its users.

use crate::model::AnswerPlan;
use crate::reader::{Reader, Transport};
use crate::support::client::try_read;
use crate::support::{App, Client, ENDS_WITH_ITS_PROCESS, Reply, Setup, Upstream};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

/// Removes the limits that are not tested here.
pub fn unlimited(setup: Setup, upstream: &Upstream) -> Setup {
    setup.upstream(upstream).with("MAX_SESSIONS_PER_USER", 0).with("MAX_STREAMS_PER_USER", 0)
}

/// Starts two processes on one PostgreSQL; `None` when there is no server.
pub async fn pair(upstream: &Upstream, more: &[(&str, String)]) -> Option<[App; 2]> {
    pair_of(unlimited(Setup::postgres().await?, upstream), more).await
}

/// The same, with runs that end with their process.
pub async fn pair_that_interrupts(upstream: &Upstream) -> Option<[App; 2]> {
    pair_of(unlimited(Setup::postgres().await?, upstream).agents(ENDS_WITH_ITS_PROCESS), &[]).await
}

async fn pair_of(mut setup: Setup, more: &[(&str, String)]) -> Option<[App; 2]> {
    for (name, value) in more {
        setup = setup.with(name, value);
    }
    let one = setup.start().await;
    let other = one.again().start().await;
    Some([one, other])
}

/// Sends a message with an idempotency key over JSON-RPC, which responds when it is stored. `None` without a response.
pub async fn submit(user: &Client, session: Uuid, plan: &AnswerPlan, key: &str) -> Option<Result<Uuid, Value>> {
    let input = json!({"content": [{"type": "input_text", "text": plan.message()}]});
    let params = json!({"thread_id": session, "input": input, "idempotency_key": key});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "threads.add_user_message", "params": params});
    let answer = try_read(user.rpc_request(body.to_string())).await.ok()?.body;
    Some(match answer["result"]["id"].as_str() {
        Some(run) => Ok(run.parse().unwrap()),
        None => Err(answer["error"].clone()),
    })
}

/// Starts a run. Returns its id.
pub async fn begin(user: &Client, session: Uuid, plan: &AnswerPlan) -> Uuid {
    submit(user, session, plan, &plan.tag).await.expect("an answer").expect("a run")
}

/// Returns all items of a session.
pub async fn items(user: &Client, session: Uuid) -> Vec<Value> {
    let mut items = Vec::new();
    let base = format!("/api/v1/chatkit/sessions/{session}/items?limit=100&order=asc");
    let mut path = base.clone();
    loop {
        let page = user.get(&path).await;
        items.extend(page.data().as_array().unwrap().iter().cloned());
        match page.body["meta"]["after"].as_str() {
            Some(after) => path = format!("{base}&after={after}"),
            None => return items,
        }
    }
}

/// Reads all events of a run through one transport.
pub async fn whole(transport: Transport, user: &Client, session: Uuid, run: Uuid) -> Reader {
    let mut reader = Reader::new(session, run);
    assert!(reader.follow(transport, user).await, "run {run}: the stream broke off at {}", reader.at());
    reader
}

/// Cancels a run.
pub async fn cancel(user: &Client, run: Uuid) -> Option<Reply> {
    let request = user.request(Method::POST, &format!("/api/v1/chatkit/runs/{run}/cancel")).json(&json!({}));
    try_read(request).await.ok()
}

/// Returns the text of an item.
pub fn text(item: &Value) -> String {
    let parts = item["content"].as_array().into_iter().flatten();
    parts.filter_map(|part| part["text"].as_str()).collect()
}
