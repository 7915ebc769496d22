//! `threads.*`: conversations. REST calls a thread a *session*; the id is the same.

use crate::chatkit::{Action, StructuredInputSubmission, ThreadItem, ThreadStatus, UserMessageInput};
use crate::event::ThreadEvent;
use crate::ids::{ItemId, RunId, ThreadId, UserId};
use crate::page::{Order, Page, Raw};
use crate::runs::{Run, ToolCallRecord};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use std::str::FromStr;

/// A conversation of one user: the thread of ChatKit, with additional members.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Thread {
    /// Id of the thread.
    pub id: ThreadId,
    /// Title. It begins as the first message; the user can change it.
    pub title: String,
    /// Time of creation.
    pub created_at: DateTime<Utc>,
    /// Whether the thread accepts messages.
    pub status: ThreadStatus,
    /// Data that an integration stores with the thread.
    pub metadata: Map<String, Value>,
    /// A page of items; empty in lists and in events.
    pub items: Page<Raw<ThreadItem>>,
    /// Id of the user who owns the thread.
    pub user_id: UserId,
    /// Time of the last message or change.
    pub updated_at: DateTime<Utc>,
    /// Number of user and assistant messages.
    pub message_count: i64,
    /// Whether the thread is listed nowhere, and deleted some hours after its last use. Absent for other threads.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub temporary: bool,
    /// Tool calls that led to the messages of this page. Present only with `include_tool_calls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ToolCallRecord>>,
}

/// Whether a thread accepts messages, as stored in the database. On the wire it is a
/// [`ThreadStatus`] with a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "db",
    derive(diesel::expression::AsExpression, diesel::deserialize::FromSqlRow),
    diesel(sql_type = diesel::sql_types::Text)
)]
pub enum ThreadState {
    /// The thread accepts messages.
    Active,
    /// The thread accepts no messages for now.
    Locked,
    /// The thread never accepts messages again.
    Closed,
}

impl ThreadState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Active, Self::Locked, Self::Closed];

    /// Returns the name in the database and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Locked => "locked",
            Self::Closed => "closed",
        }
    }

    /// Returns the state with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// Params of `threads.create`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThreadsCreateParams {
    /// The first message. If present, a run starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<UserMessageInput>,
    /// Name of the agent in the agents file. Default: the default agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub agent: Option<String>,
    /// Whether the thread is temporary: it is listed nowhere, does not count towards the limit of threads, and is
    /// deleted some hours after its last use (`system.limits`). A user has as many of them as of other threads; one
    /// more deletes the one that was not used for the longest time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub temporary: bool,
    /// Idempotency key, at most 255 characters. A second request with the same key creates nothing and gets the same
    /// reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[ -~]+$"))]
    pub idempotency_key: Option<String>,
    /// Cursor of the last event that the caller has of a run which this same request has started: that run is returned
    /// again, and no other is started. Ignored with an idempotency key, and if the run is of another request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event_id: Option<String>,
}

/// A new thread, and the run that its first message started.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ThreadCreated {
    /// The thread.
    pub thread: Thread,
    /// The run, if there was a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
}

/// Params of `threads.get_by_id`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThreadsGetByIdParams {
    /// The thread.
    pub thread_id: ThreadId,
    /// Maximum number of items on the page, 1 to 1000. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<u32>,
    /// Order of the items. Default: oldest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// The `after` of the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"))]
    pub after: Option<String>,
    /// Whether to include the tool calls that led to the messages.
    #[serde(default)]
    pub include_tool_calls: bool,
}

/// Params of `threads.list`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThreadsListParams {
    /// Maximum number of threads on the page, 1 to 100. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u32>,
    /// Order by `updated_at`. Default: newest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// The `after` of the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(
        pattern = r"^([0-9]{1,16}_)?[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
    ))]
    pub after: Option<String>,
}

/// A page of threads, and the number of all threads.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ThreadPage {
    /// The threads.
    pub data: Vec<Thread>,
    /// Whether there is a next page.
    pub has_more: bool,
    /// Cursor of the next page: send it as `after`. Absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Number of threads of the user that are not archived.
    pub total: i64,
}

/// Params of `threads.update`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThreadsUpdateParams {
    /// The thread.
    pub thread_id: ThreadId,
    /// The new title, 1 to 200 characters. It stays until it is changed again.
    #[schemars(length(min = 1, max = 200), regex(pattern = r"\S"))]
    pub title: String,
}

/// Params of methods that act on one thread.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThreadRef {
    /// The thread.
    pub thread_id: ThreadId,
}

/// Params of `threads.add_user_message`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddUserMessageParams {
    /// The thread.
    pub thread_id: ThreadId,
    /// The message.
    pub input: UserMessageInput,
    /// Idempotency key, at most 255 characters. A second request with the same key creates nothing and gets the same
    /// reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[ -~]+$"))]
    pub idempotency_key: Option<String>,
    /// Cursor of the last event that the caller has of a run which this same request has started: that run is returned
    /// again, and no other is started. Ignored with an idempotency key, and if the run is of another request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event_id: Option<String>,
}

/// Params of `threads.retry_after_item`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryAfterItemParams {
    /// The thread.
    pub thread_id: ThreadId,
    /// The user message to answer again.
    pub item_id: ItemId,
    /// Idempotency key, at most 255 characters. A second request with the same key starts nothing and gets the same
    /// reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[ -~]+$"))]
    pub idempotency_key: Option<String>,
    /// Cursor of the last event that the caller has of a run which this same request has started: that run is returned
    /// again, and no other is started. Ignored with an idempotency key, and if the run is of another request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event_id: Option<String>,
}

/// Params of `threads.add_client_tool_output`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddClientToolOutputParams {
    /// The thread.
    pub thread_id: ThreadId,
    /// Output of the tool: any JSON of at most 32768 bytes. Default: null.
    #[serde(default)]
    pub result: Value,
    /// Idempotency key, at most 255 characters. A second request with the same key starts nothing and gets the same
    /// reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[ -~]+$"))]
    pub idempotency_key: Option<String>,
    /// Cursor of the last event that the caller has of a run which this same request has started: that run is returned
    /// again, and no other is started. Ignored with an idempotency key, and if the run is of another request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event_id: Option<String>,
}

/// Params of `threads.add_structured_input`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddStructuredInputParams {
    /// The thread.
    pub thread_id: ThreadId,
    /// The item with the questions: a pending item of type `structured_input`.
    pub item_id: ItemId,
    /// The answers. A question without an answer is skipped. An item with an `approval` takes the answers `decision`
    /// (`approve`, `approve_always`, `edit` or `refuse`), `arguments` and `reason`; anything else refuses the call.
    pub input: StructuredInputSubmission,
    /// Idempotency key, at most 255 characters. A second request with the same key starts nothing and gets the same
    /// reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[ -~]+$"))]
    pub idempotency_key: Option<String>,
    /// Cursor of the last event that the caller has of a run which this same request has started: that run is returned
    /// again, and no other is started. Ignored with an idempotency key, and if the run is of another request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event_id: Option<String>,
}

/// Params of `threads.custom_action`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomActionParams {
    /// The thread.
    pub thread_id: ThreadId,
    /// The widget item that the action belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_id: Option<ItemId>,
    /// The action, as the widget declares it.
    pub action: Action,
    /// Idempotency key, at most 255 characters. A second request with the same key does nothing and gets the same
    /// reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[ -~]+$"))]
    pub idempotency_key: Option<String>,
    /// Cursor of the last event that the caller has of a run which this same request has started: that run is returned
    /// again, and no other is started. Ignored with an idempotency key, and if the run is of another request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event_id: Option<String>,
}

/// Params of `threads.sync_custom_action`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyncCustomActionParams {
    /// The thread.
    pub thread_id: ThreadId,
    /// The widget item that the action belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_id: Option<ItemId>,
    /// The action, as the widget declares it.
    pub action: Action,
}

/// Result of `threads.sync_custom_action`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct SyncCustomActionResponse {
    /// The widget item of the action, if the action changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_item: Option<ThreadItem>,
}

/// Params of `threads.subscribe`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThreadsSubscribeParams {
    /// The thread.
    pub thread_id: ThreadId,
    /// Cursor `run_id:seq` of the last event that the subscriber has; `0` for all events. Default: the active run from
    /// its first event, and everything after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(
        pattern = r"^(0|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}:[0-9]{1,19})$"
    ))]
    pub after: Option<String>,
    /// Whether to send the thread with its newest items first, as `thread.snapshot`.
    #[serde(default)]
    pub snapshot: bool,
}

/// A position in the events of the runs of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventCursor {
    /// Before the first event of the first run. Written `0`.
    Beginning,
    /// After event number `seq` of this run; 0 is before its first event. Written `run_id:seq`.
    Event {
        /// The run.
        run_id: RunId,
        /// Number of the event.
        seq: u64,
    },
}

impl EventCursor {
    /// Returns the run that a cursor names, also if its number is larger than that of any event can be.
    pub fn run_of(cursor: &str) -> Option<RunId> {
        let (run_id, seq) = cursor.trim().split_once(':')?;
        let is_number = !seq.is_empty() && seq.bytes().all(|byte| byte.is_ascii_digit());
        run_id.parse().ok().filter(|_| is_number)
    }
}

impl fmt::Display for EventCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beginning => f.write_str("0"),
            Self::Event { run_id, seq } => write!(f, "{run_id}:{seq}"),
        }
    }
}

/// The text is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidCursor;

impl FromStr for EventCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        match text.trim().split_once(':') {
            None if text.trim() == "0" => Ok(Self::Beginning),
            None => Err(InvalidCursor),
            Some((run_id, seq)) => Ok(Self::Event {
                run_id: run_id.parse().map_err(|_| InvalidCursor)?,
                seq: seq.parse().map_err(|_| InvalidCursor)?,
            }),
        }
    }
}

/// Payload of a notification of `threads.subscribe`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ThreadNotification {
    /// The run of the event; absent for side events, which belong to no run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// Sequence number of the event in its run, from 1. `run_id:seq` is the cursor to resume from. 0 for side events,
    /// which have no cursor.
    pub seq: u64,
    /// The event.
    pub event: Raw<ThreadEvent>,
}

/// An empty result.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
pub struct Done {}

crate::methods! {
    /// Create a conversation, with or without a first message.
    ///
    /// With `input`, a run starts and is returned with the thread. Read its events with `runs.subscribe`.
    /// Fails with `SESSION_LIMIT` if the user has the maximum number of conversations.
    ThreadsCreate = "threads.create" (User): ThreadsCreateParams => ThreadCreated;
    /// Get a conversation with a page of its items.
    ThreadsGetById = "threads.get_by_id" (User): ThreadsGetByIdParams => Thread;
    /// List the conversations of the user, last used first.
    ThreadsList = "threads.list" (User): ThreadsListParams => ThreadPage;
    /// Rename a conversation.
    ///
    /// A title that the user has set is never replaced by a generated one.
    ThreadsUpdate = "threads.update" (User): ThreadsUpdateParams => Thread;
    /// Delete a conversation with its items, runs and events.
    ///
    /// An active run of the conversation is cancelled first.
    ThreadsDelete = "threads.delete" (User): ThreadRef => Done;
    /// Send a message and start the run that answers it.
    ///
    /// Message and run are stored before the call returns. Read the events of the run with `runs.subscribe`. Fails with
    /// `THREAD_BUSY` if the thread has an active run.
    ThreadsAddUserMessage = "threads.add_user_message" (User): AddUserMessageParams => Run;
    /// Answer a user message again.
    ///
    /// The model sees the conversation up to that message only. When the run completes, all items after the message
    /// that are not of this run are removed at once, with one `thread.item.removed` each. If the run fails, is
    /// cancelled or interrupted, the old answer stays and the items of the run are removed. Tools that the run called
    /// have still taken effect.
    ThreadsRetryAfterItem = "threads.retry_after_item" (User): RetryAfterItemParams => Run;
    /// Send the output of a client tool and start a run that continues with it.
    ///
    /// The newest item of the conversation must be a pending `client_tool_call`. It becomes completed.
    ThreadsAddClientToolOutput = "threads.add_client_tool_output" (User): AddClientToolOutputParams => Run;
    /// Answer the questions of a structured input and start a run that continues with the answers.
    ///
    /// The item becomes `answered` or `skipped`. A question takes one value, or several if it allows that. Values that
    /// are not among its options are accepted.
    ThreadsAddStructuredInput = "threads.add_structured_input" (User): AddStructuredInputParams => Run;
    /// Run the action of a widget, as a run with events.
    ///
    /// `tasks.complete` with `{"task_id"}` completes a task. Any other type is the name of a tool that the agents file
    /// allows users to call; the payload is its arguments. The model is not called. Changes of the widget arrive as
    /// updates of its item and as `thread.item.replaced`.
    ThreadsCustomAction = "threads.custom_action" (User): CustomActionParams => Run;
    /// Run the action of a widget and wait for it, without a run.
    ThreadsSyncCustomAction = "threads.sync_custom_action" (User): SyncCustomActionParams => SyncCustomActionResponse;
    /// Subscribe to the events of a conversation, across its runs.
    ///
    /// Each notification `thread.event` has `run_id`, `seq` and `event`. Without `after`, the events start with the
    /// first event of the active run; with it, after that event. All later runs follow completely and in order,
    /// whichever client or process starts them. With `snapshot`, the thread with its newest items comes first. The
    /// snapshot, and changes of the thread or of a widget outside of runs (`thread.updated`, `thread.item.replaced`),
    /// have `seq` 0. The subscription does not end with a run. It ends with `thread.deleted`, or with an `error` when
    /// the token expires. WebSocket only.
    ThreadsSubscribe = "threads.subscribe" (User) as "thread.event" until "threads.unsubscribe": ThreadsSubscribeParams => ThreadNotification;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_parsed_back() {
        let run_id = RunId::random();
        for cursor in
            [EventCursor::Beginning, EventCursor::Event { run_id, seq: 0 }, EventCursor::Event { run_id, seq: 7 }]
        {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for wrong in ["", "1", "x", "0:1", &format!("{run_id}"), &format!("{run_id}:"), &format!("{run_id}:-1")] {
            assert_eq!(wrong.parse::<EventCursor>(), Err(InvalidCursor), "{wrong}");
        }
    }
}
