//! Converts rows to wire types, by hand: what is stored and what is sent may change independently.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use threadline_schema::ErrorCode;
use threadline_schema::auth::User;
use threadline_schema::call::{ClientHints, RequestContext, TraceHeaders, new_request_id};
use threadline_schema::chatkit::{ApprovalOutcome, ThreadStatus};
use threadline_schema::error::Failure;
use threadline_schema::ids::{ItemId, RunId};
use threadline_schema::items::{Feedback, ItemKind};
use threadline_schema::page::{Page, Raw};
use threadline_schema::runs::{Run, ToolCallRecord, Usage};
use threadline_schema::tasks::Task;
use threadline_schema::threads::{Thread, ThreadState};
use threadline_store::rows::{FeedbackRow, ItemRow, RunRow, TaskRow, ThreadRow, UserRow};
use threadline_store::{StoreError, StoreResult, to_unsigned};
use threadline_trace::Span;

/// A tool call as it is stored: without a result before it runs, and with one after.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ToolCallBody {
    /// Id that the model gave the call.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// JSON text, as the model wrote it.
    pub arguments: String,
    /// JSON text. Absent while the call runs. After the end of the run every call has a result; if it is not known,
    /// [`UNKNOWN_RESULT`](threadline_schema::tool_result::UNKNOWN_RESULT).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// What clients get instead of the result, if that is for the model alone. JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
    /// The turn of the run that asked for the call. Calls of one turn run at the same time.
    #[serde(rename = "round")]
    pub turn: u32,
    /// The item that shows what the call waits for, if the client or the user gives its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<ItemId>,
    /// What the call needs if it is made only with the user's approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<CallApproval>,
    /// What the model's server wants back with the call. Clients never get it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo: Option<Value>,
    /// Whether making the call twice does no harm, as its tool said when the model asked for it: after a crash, a call
    /// that has no result is made again then, and only then.
    #[serde(rename = "idempotent", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_idempotent: bool,
}

/// The approval of a tool call, as it is stored with the call. Clients never write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallApproval {
    /// From then on, the call is refused.
    pub expires_at: DateTime<Utc>,
    /// Whether the approval of this call is one of all later calls of the tool in the thread.
    #[serde(default)]
    pub is_first: bool,
    /// What was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<ApprovalOutcome>,
}

/// An account.
pub fn user(row: &UserRow) -> User {
    User { id: row.id, email: row.own_email().map(str::to_owned), created_at: row.created_at.utc() }
}

/// A thread without its items.
///
/// # Errors
/// When the row holds what no process of ours writes.
pub fn thread(row: &ThreadRow) -> StoreResult<Thread> {
    let reason = row.status_reason.clone();
    let status = match row.status {
        ThreadState::Active => ThreadStatus::Active,
        ThreadState::Locked => ThreadStatus::Locked { reason },
        ThreadState::Closed => ThreadStatus::Closed { reason },
    };
    let metadata = serde_json::from_str(&row.metadata).map_err(|error| corrupt("thread metadata", error))?;
    Ok(Thread {
        id: row.id,
        title: row.title.clone(),
        created_at: row.created_at.utc(),
        status,
        metadata,
        items: Page::default(),
        user_id: row.user_id,
        updated_at: row.updated_at.utc(),
        message_count: row.message_count,
        temporary: row.temporary,
        tool_calls: None,
    })
}

/// A run without its tool calls.
pub fn run(row: &RunRow) -> Run {
    let error = row.error_code.as_deref().map(|code| Failure {
        code: ErrorCode::from_name(code).unwrap_or(ErrorCode::InternalError),
        message: row.error_message.clone().unwrap_or_default(),
    });
    let usage =
        Usage { prompt_tokens: to_unsigned(row.prompt_tokens), completion_tokens: to_unsigned(row.completion_tokens) };
    Run {
        id: row.id,
        thread_id: row.thread_id,
        status: row.status,
        created_at: row.created_at.utc(),
        finished_at: row.finished_at.map(|at| at.utc()),
        last_seq: to_unsigned(row.last_seq),
        retry_of: row.retry_of,
        error,
        finish_reason: row.finish_reason,
        usage: (usage != Usage::default()).then_some(usage),
        cost_micros: row.cost_micros.map(to_unsigned),
        message_id: row.message_id,
        tool_calls: None,
    }
}

/// The tool calls among these items, each with the message it led to: the next assistant message of the same run.
/// `None` when there are none.
///
/// # Errors
/// When a stored call cannot be read.
pub fn tool_calls(items: &[ItemRow]) -> StoreResult<Option<Vec<ToolCallRecord>>> {
    let mut calls = Vec::new();
    for (index, item) in items.iter().enumerate() {
        if item.kind != ItemKind::ToolCall {
            continue;
        }
        let body: ToolCallBody = serde_json::from_str(&item.body).map_err(|error| corrupt("tool call", error))?;
        let message = items
            .iter()
            .skip(index)
            .find(|later| later.run_id == item.run_id && later.kind == ItemKind::AssistantMessage);
        calls.push(ToolCallRecord {
            id: body.id,
            name: body.name,
            arguments: body.arguments,
            result: body.shown.or(body.result),
            run_id: item.run_id.unwrap_or(RunId::nil()),
            message_id: message.map(|message| message.id),
            created_at: item.created_at.utc(),
        });
    }
    Ok((!calls.is_empty()).then_some(calls))
}

/// Replaces the bodies of items by those that they are about to have in the database.
pub fn replace_bodies(items: &mut [ItemRow], bodies: &[(ItemId, String)]) {
    for item in items {
        if let Some((_, body)) = bodies.iter().find(|(id, _)| *id == item.id) {
            item.body.clone_from(body);
        }
    }
}

/// A page of items as clients see them.
///
/// # Errors
/// When a stored body is not JSON.
pub fn item_page<T>(rows: Vec<ItemRow>, has_more: bool) -> StoreResult<Page<Raw<T>>> {
    let after = rows.last().filter(|_| has_more).map(|row| row.id.to_string());
    let data = rows.into_iter().map(|row| Raw::from_json(row.body)).collect::<Result<_, _>>();
    Ok(Page { data: data.map_err(|error| corrupt("item", error))?, has_more, after })
}

/// A user's feedback on an item.
pub fn feedback(row: FeedbackRow) -> Feedback {
    Feedback { item_id: row.item_id, thread_id: row.thread_id, kind: row.kind, created_at: row.created_at.utc() }
}

/// A task of the to-do list.
pub fn task(row: TaskRow) -> Task {
    Task {
        id: row.id,
        user_id: row.user_id,
        title: row.title,
        description: row.description,
        priority: row.priority,
        tags: row.tags.0,
        completed: row.completed,
        created_at: row.created_at.utc(),
        updated_at: row.updated_at.utc(),
        completed_at: row.completed_at.map(|at| at.utc()),
    }
}

/// The request that started a run, as it is stored with the run.
#[derive(Serialize, Deserialize)]
struct StoredRequest {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    languages: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<Box<str>>,
    /// The span that the run belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tracestate: Option<String>,
}

/// Returns the JSON of a request that is stored with the run that it starts.
pub(crate) fn stored_request(context: &RequestContext) -> Option<String> {
    let ClientHints { languages, metadata } = context.hints.as_deref().cloned().unwrap_or_default();
    let trace = Span::current().headers();
    let traceparent = trace.as_ref().map(|trace| trace.traceparent().to_owned());
    let tracestate = trace.as_ref().and_then(TraceHeaders::tracestate).map(str::to_owned);
    let request = StoredRequest { id: context.request_id.to_string(), languages, metadata, traceparent, tracestate };
    // Made of texts, which can always be serialised.
    serde_json::to_string(&request).ok()
}

/// Returns the request that started a run, from what is stored with it. A run of an earlier release has nothing stored.
pub(crate) fn request_context(stored: Option<&str>) -> RequestContext {
    let request = stored.and_then(|json| serde_json::from_str::<StoredRequest>(json).ok());
    let Some(StoredRequest { id, languages, metadata, traceparent, tracestate }) = request else {
        return RequestContext { request_id: new_request_id(), hints: None, trace: None };
    };
    let trace = traceparent.and_then(|parent| TraceHeaders::new(&parent, tracestate.as_deref()));
    let hints = ClientHints { languages, metadata };
    let hints = (hints != ClientHints::default()).then(|| Arc::new(hints));
    RequestContext { request_id: id.into(), hints, trace: trace.map(Arc::new) }
}

fn corrupt(what: &str, error: serde_json::Error) -> StoreError {
    StoreError::corrupt(format!("{what}: {error}"))
}
