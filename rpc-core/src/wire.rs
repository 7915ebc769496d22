//! Rows -> wire types, by hand: what is stored and what is sent may change apart from each other.

pub(crate) use threadline_schema::tool_result::{
    NOT_DONE_RESULT, NOT_MADE_RESULT, UNKNOWN_OUTCOME as UNKNOWN_TASK, UNKNOWN_RESULT,
};

use crate::error::Error;
use crate::store::rows::{FeedbackRow, ItemRow, RunRow, TaskRow, ThreadRow, UserRow};
use serde::{Deserialize, Serialize};
use threadline_schema::ErrorCode;
use threadline_schema::auth::User;
use threadline_schema::chatkit::ThreadStatus;
use threadline_schema::error::Failure;
use threadline_schema::ids::ItemId;
use threadline_schema::items::Feedback;
use threadline_schema::page::{Page, Raw};
use threadline_schema::runs::{Run, ToolCallRecord, Usage};
use threadline_schema::tasks::Task;
use threadline_schema::threads::Thread;
use uuid::Uuid;

/// Kind of a user's message.
pub(crate) const USER_MESSAGE: &str = "user_message";
/// Kind of an assistant's message.
pub(crate) const ASSISTANT_MESSAGE: &str = "assistant_message";
/// Kind of a workflow.
pub(crate) const WORKFLOW: &str = "workflow";
/// Kind of a call of a tool on the client.
pub(crate) const CLIENT_TOOL_CALL: &str = "client_tool_call";
/// Kind of a widget.
pub(crate) const WIDGET: &str = "widget";
/// Kind of questions to the user.
pub(crate) const STRUCTURED_INPUT: &str = "structured_input";
/// Kind of a note to the model.
pub(crate) const HIDDEN_CONTEXT: &str = "sdk_hidden_context";
/// Kind of a raw tool call. Its body is a [`ToolCallBody`]; all other bodies are ChatKit items.
pub(crate) const TOOL_CALL: &str = "tool_call";

/// A tool call as it is stored: before it acts without a result, and once it has ended with one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ToolCallBody {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) arguments: String,
    /// JSON text. Absent while the call is in flight; when its run ends it has one, be it [`UNKNOWN_RESULT`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<String>,
    /// Which answer of the model asked for it: calls of one answer were made side by side.
    pub(crate) round: u32,
    /// The item that shows what it waits for, where the client or the user gives its result: its run ends without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) waits_for: Option<Uuid>,
}

pub(crate) fn user(row: &UserRow) -> User {
    User { id: row.id.0, email: row.email.clone(), created_at: row.created_at.utc() }
}

pub(crate) fn thread(row: &ThreadRow) -> Result<Thread, Error> {
    let reason = row.status_reason.clone();
    let status = match row.status.as_str() {
        "active" => ThreadStatus::Active,
        "locked" => ThreadStatus::Locked { reason },
        "closed" => ThreadStatus::Closed { reason },
        other => return Err(Error::internal(format!("thread {} has the unknown status {other}", row.id.0))),
    };
    Ok(Thread {
        id: row.id.0,
        title: row.title.clone(),
        created_at: row.created_at.utc(),
        status,
        metadata: serde_json::from_str(&row.metadata)?,
        items: Page::default(),
        user_id: row.user_id.0,
        updated_at: row.updated_at.utc(),
        message_count: row.message_count,
        tool_calls: None,
    })
}

pub(crate) fn run(row: &RunRow) -> Run {
    let error = row.error_code.as_deref().map(|code| Failure {
        code: ErrorCode::from_name(code).unwrap_or(ErrorCode::InternalError),
        message: row.error_message.clone().unwrap_or_default(),
    });
    let usage =
        Usage { prompt_tokens: unsigned(row.prompt_tokens), completion_tokens: unsigned(row.completion_tokens) };
    Run {
        id: row.id.0,
        thread_id: row.thread_id.0,
        status: row.status,
        created_at: row.created_at.utc(),
        finished_at: row.finished_at.map(|at| at.utc()),
        last_seq: unsigned(row.last_seq),
        retry_of: row.retry_of.map(|id| id.0),
        error,
        usage: (usage != Usage::default()).then_some(usage),
        cost_micros: row.cost_micros.map(unsigned),
        message_id: row.message_id.map(|id| id.0),
        tool_calls: None,
    }
}

/// The tool calls among these items, each with the message it led to: the next of the assistant in the same run.
/// `None` when there are none.
pub(crate) fn tool_calls(items: &[ItemRow]) -> Result<Option<Vec<ToolCallRecord>>, Error> {
    let mut calls = Vec::new();
    for (index, item) in items.iter().enumerate() {
        if item.kind != TOOL_CALL {
            continue;
        }
        let body: ToolCallBody = serde_json::from_str(&item.body)?;
        let led_to =
            items.iter().skip(index).find(|later| later.run_id == item.run_id && later.kind == ASSISTANT_MESSAGE);
        calls.push(ToolCallRecord {
            id: body.id,
            name: body.name,
            arguments: body.arguments,
            result: body.result,
            run_id: item.run_id.map_or(Uuid::nil(), |run| run.0),
            message_id: led_to.map(|message| message.id.0),
            created_at: item.created_at.utc(),
        });
    }
    Ok((!calls.is_empty()).then_some(calls))
}

/// Gives items the bodies that they are about to have in the database.
pub(crate) fn rewrite(items: &mut [ItemRow], bodies: &[(ItemId, String)]) {
    for item in items {
        if let Some((_, body)) = bodies.iter().find(|(id, _)| *id == item.id) {
            item.body.clone_from(body);
        }
    }
}

/// A page of items as clients see them.
pub(crate) fn item_page<T>(rows: Vec<ItemRow>, has_more: bool) -> Result<Page<Raw<T>>, Error> {
    let after = rows.last().filter(|_| has_more).map(|row| row.id.0.to_string());
    let data = rows.into_iter().map(|row| Raw::from_json(row.body)).collect::<Result<_, _>>()?;
    Ok(Page { data, has_more, after })
}

pub(crate) fn feedback(row: FeedbackRow) -> Feedback {
    Feedback { item_id: row.item_id.0, thread_id: row.thread_id.0, kind: row.kind, created_at: row.created_at.utc() }
}

pub(crate) fn task(row: TaskRow) -> Task {
    Task {
        id: row.id.0,
        user_id: row.user_id.0,
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

fn unsigned(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or_default()
}
