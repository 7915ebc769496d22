//! `threads.*`: conversations. REST calls a thread a session; the ids are the same.

use crate::chatkit::{Action, StructuredInputSubmission, ThreadItem, ThreadStatus, UserMessageInput};
use crate::event::ThreadEvent;
use crate::page::{Order, Page, Raw};
use crate::runs::{Run, ToolCallRecord};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// A conversation of one user: ChatKit's thread, and what a list of conversations shows beside it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Thread {
    /// Id of the thread.
    pub id: Uuid,
    /// Its title; the first message until the user sets one.
    pub title: String,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// Whether it takes messages.
    pub status: ThreadStatus,
    /// Whatever an integration keeps with the thread.
    pub metadata: Map<String, Value>,
    /// A page of items; empty in lists and in events.
    pub items: Page<Raw<ThreadItem>>,
    /// Whose it is.
    pub user_id: Uuid,
    /// When something was last said or changed.
    pub updated_at: DateTime<Utc>,
    /// User and assistant messages in it.
    pub message_count: i64,
    /// Tool calls made on the way to the messages of this page, which ChatKit itself does not show; only when
    /// `include_tool_calls` asked for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ToolCallRecord>>,
}

/// Whether a thread takes messages, as the database names it. On the wire it is a
/// [`ThreadStatus`](crate::chatkit::ThreadStatus), with the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "db",
    derive(diesel::expression::AsExpression, diesel::deserialize::FromSqlRow),
    diesel(sql_type = diesel::sql_types::Text)
)]
pub enum ThreadState {
    /// It takes messages.
    Active,
    /// It takes no messages at the moment.
    Locked,
    /// It takes no messages any more.
    Closed,
}

impl ThreadState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Active, Self::Locked, Self::Closed];

    /// The name in the database and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Locked => "locked",
            Self::Closed => "closed",
        }
    }

    /// The state called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// Params of `threads.create`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThreadsCreateParams {
    /// The first message. With it a run starts at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<UserMessageInput>,
    /// The agent that answers in it, by its name in the agents file; the default one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Names this submission: a retry with the same key creates nothing new. At most 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// A new thread, and the run that answers its first message.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ThreadCreated {
    /// The thread.
    pub thread: Thread,
    /// The run, when there was a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
}

/// Params of `threads.get_by_id`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThreadsGetByIdParams {
    /// The thread.
    pub thread_id: Uuid,
    /// Items on the page, 1 to 1000; 20 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Order of the items; oldest first when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// `after` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Also give the raw tool calls behind the messages.
    #[serde(default)]
    pub include_tool_calls: bool,
}

/// Params of `threads.list`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThreadsListParams {
    /// Threads on the page, 1 to 100; 20 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// By `updated_at`; newest first when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// `after` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A page of threads, and how many there are in all.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ThreadPage {
    /// The rows.
    pub data: Vec<Thread>,
    /// Whether more rows follow.
    pub has_more: bool,
    /// Where the next page begins: pass it as `after`. Absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Threads of the user that are not archived.
    pub total: i64,
}

/// Params of `threads.update`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThreadsUpdateParams {
    /// The thread.
    pub thread_id: Uuid,
    /// The new title, 1 to 200 characters; it is kept from then on.
    pub title: String,
}

/// Params that name a thread.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThreadRef {
    /// The thread.
    pub thread_id: Uuid,
}

/// Params of `threads.add_user_message`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddUserMessageParams {
    /// The thread.
    pub thread_id: Uuid,
    /// The message.
    pub input: UserMessageInput,
    /// Names this submission: a retry with the same key creates nothing new. At most 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// Params of `threads.retry_after_item`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryAfterItemParams {
    /// The thread.
    pub thread_id: Uuid,
    /// The message of the user that is to be answered again.
    pub item_id: Uuid,
    /// Names this submission: a retry with the same key starts nothing new. At most 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// Params of `threads.add_client_tool_output`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddClientToolOutputParams {
    /// The thread.
    pub thread_id: Uuid,
    /// What the tool answered: any JSON, of at most 32768 bytes. Null when absent: not every tool has something to say.
    #[serde(default)]
    pub result: Value,
    /// Names this submission: a retry with the same key starts nothing new. At most 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// Params of `threads.add_structured_input`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddStructuredInputParams {
    /// The thread.
    pub thread_id: Uuid,
    /// The questions: a pending item of type `structured_input`.
    pub item_id: Uuid,
    /// The answers. A question without one is skipped.
    pub input: StructuredInputSubmission,
    /// Names this submission: a retry with the same key starts nothing new. At most 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// Params of `threads.custom_action`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomActionParams {
    /// The thread.
    pub thread_id: Uuid,
    /// The widget that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_id: Option<Uuid>,
    /// What is to be done, as the widget declares it.
    pub action: Action,
    /// Names this submission: a retry with the same key does nothing new. At most 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// Params of `threads.sync_custom_action`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyncCustomActionParams {
    /// The thread.
    pub thread_id: Uuid,
    /// The widget that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_id: Option<Uuid>,
    /// What is to be done, as the widget declares it.
    pub action: Action,
}

/// What `threads.sync_custom_action` answers.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct SyncCustomActionResponse {
    /// The widget that was used, if it looks another now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_item: Option<ThreadItem>,
}

/// Params of `threads.subscribe`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThreadsSubscribeParams {
    /// The thread.
    pub thread_id: Uuid,
    /// The last event the subscriber has, as the cursor `run_id:seq`; `0` for all there ever were. Absent: the run that
    /// is answering now, from its beginning, and what comes after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Begin with one `thread.snapshot`: the thread with its newest items.
    #[serde(default)]
    pub snapshot: bool,
}

/// A place in the events of a thread's runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// Before the first event of the first run. Written `0`.
    Beginning,
    /// Behind event number `seq` of this run; 0 is before its first. Written `run_id:seq`.
    Event {
        /// The run.
        run_id: Uuid,
        /// Number of the event.
        seq: u64,
    },
}

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beginning => f.write_str("0"),
            Self::Event { run_id, seq } => write!(f, "{run_id}:{seq}"),
        }
    }
}

/// The text is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoCursor;

impl FromStr for Since {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        match text.trim().split_once(':') {
            None if text.trim() == "0" => Ok(Self::Beginning),
            None => Err(NoCursor),
            Some((run_id, seq)) => Ok(Self::Event {
                run_id: run_id.parse().map_err(|_| NoCursor)?,
                seq: seq.parse().map_err(|_| NoCursor)?,
            }),
        }
    }
}

/// What each notification of `threads.subscribe` carries.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ThreadNotification {
    /// The run whose event it is; absent for what is no event of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<Uuid>,
    /// Number of the event in its run, from 1: `run_id:seq` is the cursor to go on from. 0 for what is no event of a
    /// run and moves no cursor.
    pub seq: u64,
    /// The event.
    pub event: Raw<ThreadEvent>,
}

/// An answer with nothing in it.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
pub struct Done {}

crate::methods! {
    /// Create a conversation, with or without a first message.
    ///
    /// With `input` a run starts and is returned beside the thread; subscribe to it with `runs.subscribe`.
    /// A user may have a limited number of conversations (`SESSION_LIMIT`).
    ThreadsCreate = "threads.create" (User): ThreadsCreateParams => ThreadCreated;
    /// A conversation with a page of its items.
    ThreadsGetById = "threads.get_by_id" (User): ThreadsGetByIdParams => Thread;
    /// The user's conversations, last used first.
    ThreadsList = "threads.list" (User): ThreadsListParams => ThreadPage;
    /// Rename a conversation.
    ///
    /// A title the user has set is not replaced by the first message any more.
    ThreadsUpdate = "threads.update" (User): ThreadsUpdateParams => Thread;
    /// Delete a conversation with its items, runs and events.
    ///
    /// A run that is still answering in it is cancelled first.
    ThreadsDelete = "threads.delete" (User): ThreadRef => Done;
    /// Say something, and start the run that answers it.
    ///
    /// The message and the run are stored before this returns. The answer is read with `runs.subscribe`. A thread
    /// answers one message at a time; a second one gets `THREAD_BUSY`.
    ThreadsAddUserMessage = "threads.add_user_message" (User): AddUserMessageParams => Run;
    /// Answer a message of the user again.
    ///
    /// The assistant is asked as if nothing had followed that message. When the new answer is whole, everything that
    /// stood behind the message is removed in the same moment, which `thread.item.removed` tells of each item. If the
    /// run fails, is cancelled or interrupted, the old answer stays and the new one is removed instead; tools that it
    /// called have acted all the same.
    ThreadsRetryAfterItem = "threads.retry_after_item" (User): RetryAfterItemParams => Run;
    /// Give the output of the client's tool that a conversation waits for, and go on with it.
    ///
    /// The newest item of the conversation must be a pending `client_tool_call`; it is completed, and a run starts that
    /// goes on with its output.
    ThreadsAddClientToolOutput = "threads.add_client_tool_output" (User): AddClientToolOutputParams => Run;
    /// Answer the questions that a conversation waits for, and go on.
    ///
    /// The item becomes `answered` or `skipped`, and a run starts that goes on with the answers. A question takes one
    /// value, or several where it says so; values that are none of its options are taken too.
    ThreadsAddStructuredInput = "threads.add_structured_input" (User): AddStructuredInputParams => Run;
    /// Use a widget: have its action carried out, in a run that can be followed.
    ///
    /// `tasks.complete` with `{"task_id"}` completes a task; any other names a tool that the agents file lets users call,
    /// and its payload is the arguments. The model is not asked. An update of the widget that was used and
    /// `thread.item.replaced` tell what is new in it.
    ThreadsCustomAction = "threads.custom_action" (User): CustomActionParams => Run;
    /// Use a widget: have its action carried out at once, without a run.
    ThreadsSyncCustomAction = "threads.sync_custom_action" (User): SyncCustomActionParams => SyncCustomActionResponse;
    /// Follow a conversation across its runs, from now or from a cursor.
    ///
    /// Each notification `thread.event` carries `run_id`, `seq` and `event`. Without `after` it begins with the run
    /// that is answering, from its first event; with it, right behind that event. Every later run follows whole and in
    /// order, whoever started it and wherever. With `snapshot` the thread and its newest items come first, with `seq` 0,
    /// as have `thread.updated` and `thread.item.replaced` where the thread or a widget was changed outside of runs. The end
    /// of a run is not the end of the subscription: that is `thread.deleted`, or an `error` when the token has expired.
    /// WebSocket only.
    ThreadsSubscribe = "threads.subscribe" (User) as "thread.event" until "threads.unsubscribe": ThreadsSubscribeParams => ThreadNotification;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let run_id = Uuid::now_v7();
        for place in [Since::Beginning, Since::Event { run_id, seq: 0 }, Since::Event { run_id, seq: 7 }] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for wrong in ["", "1", "x", "0:1", &format!("{run_id}"), &format!("{run_id}:"), &format!("{run_id}:-1")] {
            assert_eq!(wrong.parse::<Since>(), Err(NoCursor), "{wrong}");
        }
    }
}
