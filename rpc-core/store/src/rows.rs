//! Rows as they are stored. Every column of a table is a field of its row.

use diesel::prelude::*;
use threadline_schema::chatkit::FeedbackKind;
use threadline_schema::db::tables::{
    attachments, feedback, idempotency_keys, items, run_events, runs, tasks, threads, usage_days, users,
};
use threadline_schema::db::text::TextList;
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{AttachmentId, ItemId, ProcessId, RunId, TaskId, ThreadId, UploadId, UserId};
use threadline_schema::items::ItemKind;
use threadline_schema::runs::RunStatus;
use threadline_schema::tasks::Priority;
use threadline_schema::threads::ThreadState;

/// Declares rows that are read and inserted alike.
macro_rules! rows {
    ($( $(#[$meta:meta])* $name:ident in $table:ident { $( $(#[$field_meta:meta])* $field:ident: $type:ty, )+ } )+) => {
        $(
            $(#[$meta])*
            #[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
            #[diesel(table_name = $table, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
            // NULL where there is nothing, instead of leaving the column out: one statement to prepare, not many.
            #[diesel(treat_none_as_default_value = false)]
            pub struct $name {
                $( $(#[$field_meta])* pub $field: $type, )+
            }
        )+
    };
}

rows! {
    /// An account.
    UserRow in users {
        /// Id.
        id: UserId,
        /// Lower-cased.
        email: String,
        /// argon2id, in PHC string form.
        password_hash: String,
        /// Threads that are not archived.
        session_count: i64,
        /// When it was made.
        created_at: UtcTime,
        /// What its attachments come to once they are all uploaded.
        attachment_bytes: i64,
    }

    /// A conversation.
    ThreadRow in threads {
        /// Id.
        id: ThreadId,
        /// Whose it is.
        user_id: UserId,
        /// Title.
        title: String,
        /// Whether the user chose the title.
        title_is_set: bool,
        /// `active`, `locked` or `closed`.
        status: ThreadState,
        /// Why it is locked or closed, for the user.
        status_reason: Option<String>,
        /// Out of the list and out of the limit.
        archived: bool,
        /// JSON object.
        metadata: String,
        /// User and assistant messages in it.
        message_count: i64,
        /// Position of the next item.
        next_position: i64,
        /// When it was made.
        created_at: UtcTime,
        /// When something was last said or changed.
        updated_at: UtcTime,
    }

    /// An entry of a thread.
    ItemRow in items {
        /// Id.
        id: ItemId,
        /// Its thread.
        thread_id: ThreadId,
        /// The run it belongs to: the one that wrote it, or that answers it.
        run_id: Option<RunId>,
        /// Place in the thread, from 0.
        position: i64,
        /// `user_message`, `assistant_message`, ...
        kind: ItemKind,
        /// Whether clients never see it.
        hidden: bool,
        /// JSON.
        body: String,
        /// When it was made.
        created_at: UtcTime,
    }

    /// A turn of the assistant.
    RunRow in runs {
        /// Id.
        id: RunId,
        /// The thread it answers in.
        thread_id: ThreadId,
        /// Whose thread that is.
        user_id: UserId,
        /// Place in the thread of the message it answers, or one of its own.
        position: i64,
        /// Where it stands.
        status: RunStatus,
        /// The process that answers.
        owner: ProcessId,
        /// Counts changes of owner, from 1.
        epoch: i64,
        /// Until when the owner is believed to live.
        lease_expires_at: UtcTime,
        /// Number of its last event; known once it has ended.
        last_seq: i64,
        /// Why it failed: a name of the error table.
        error_code: Option<String>,
        /// Why it failed, in a sentence for the caller.
        error_message: Option<String>,
        /// Tokens read.
        prompt_tokens: i64,
        /// Tokens written.
        completion_tokens: i64,
        /// The last assistant message it wrote.
        message_id: Option<ItemId>,
        /// Whether its events are still in the log.
        log_kept: bool,
        /// When its user asked for its end.
        cancel_requested_at: Option<UtcTime>,
        /// The message that it answers again.
        retry_of: Option<ItemId>,
        /// When it was made.
        created_at: UtcTime,
        /// When it ended.
        finished_at: Option<UtcTime>,
        /// Tokens it holds of its user's budget while it goes on.
        held_tokens: i64,
        /// Money it holds of its user's budget while it goes on.
        held_micros: i64,
        /// What it cost.
        cost_micros: Option<i64>,
    }

    /// Events of a run: one, or several neighbouring text deltas.
    EventRow in run_events {
        /// The run.
        run_id: RunId,
        /// Number of the first.
        first_seq: i64,
        /// Number of the last.
        last_seq: i64,
        /// JSON; of several deltas the one that they make together.
        event: String,
        /// Of several deltas: how many bytes of JSON each has between its quotes, with commas between them.
        cuts: Option<String>,
    }

    /// A request that named itself, and what it made.
    IdempotencyKeyRow in idempotency_keys {
        /// Who submitted.
        user_id: UserId,
        /// The name.
        key: String,
        /// SHA-256 of what was submitted, in hex.
        fingerprint: String,
        /// The thread it made or spoke in.
        thread_id: ThreadId,
        /// The run it started.
        run_id: Option<RunId>,
        /// When it was made.
        created_at: UtcTime,
    }

    /// Something to do.
    TaskRow in tasks {
        /// Id.
        id: TaskId,
        /// Whose it is.
        user_id: UserId,
        /// What is to be done.
        title: String,
        /// More about it.
        description: Option<String>,
        /// How urgent it is.
        priority: Priority,
        /// Words to find it by.
        tags: TextList,
        /// Whether it is done.
        completed: bool,
        /// When it was made.
        created_at: UtcTime,
        /// When it last changed.
        updated_at: UtcTime,
        /// When it was done.
        completed_at: Option<UtcTime>,
    }

    /// What a user has used on a day.
    UsageRow in usage_days {
        /// The user.
        user_id: UserId,
        /// Days since 1970-01-01, UTC.
        day: i64,
        /// Runs that have ended.
        runs: i64,
        /// Those whose cost is not known.
        unpriced_runs: i64,
        /// Tokens read.
        prompt_tokens: i64,
        /// Tokens written.
        completion_tokens: i64,
        /// Millionths of the currency.
        cost_micros: i64,
        /// Tokens that runs hold which go on.
        held_tokens: i64,
        /// Money that runs hold which go on.
        held_micros: i64,
    }

    /// What a user thinks of an item.
    FeedbackRow in feedback {
        /// The item.
        item_id: ItemId,
        /// Who thinks so.
        user_id: UserId,
        /// The item's thread.
        thread_id: ThreadId,
        /// What is thought of it.
        kind: FeedbackKind,
        /// When it was last said.
        created_at: UtcTime,
    }

    /// A file that goes with a message.
    AttachmentRow in attachments {
        /// Id.
        id: AttachmentId,
        /// Whose it is.
        user_id: UserId,
        /// The thread of the message that has taken it.
        thread_id: Option<ThreadId>,
        /// Name, as its user's machine has it.
        name: String,
        /// Type, as announced and checked.
        mime_type: String,
        /// Bytes, as announced and checked.
        size: i64,
        /// Whether it has been uploaded and looked at.
        ready: bool,
        /// The upload that is under way.
        upload_id: Option<UploadId>,
        /// Bytes of that upload so far.
        received: i64,
        /// When it was announced.
        created_at: UtcTime,
    }
}

/// The right to write for a run: it ends when the run does, or when another process takes the run over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FencingToken {
    /// The run.
    pub run_id: RunId,
    /// Its thread.
    pub thread_id: ThreadId,
    /// The epoch under which the process owns the run.
    pub epoch: i64,
}

impl RunRow {
    /// The token of whoever owned the run when the row was read.
    pub fn fencing_token(&self) -> FencingToken {
        FencingToken { run_id: self.id, thread_id: self.thread_id, epoch: self.epoch }
    }
}

/// An item to append. Its thread, run and position are decided where it is appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewItem {
    /// Id.
    pub id: ItemId,
    /// `user_message`, `assistant_message`, `workflow`, `tool_call`, `sdk_hidden_context`, ...
    pub kind: ItemKind,
    /// Whether clients never see it.
    pub hidden: bool,
    /// JSON.
    pub body: String,
    /// When it was made.
    pub created_at: UtcTime,
}

impl NewItem {
    /// What it adds to `message_count`: what users and assistants say counts, workflows and notes do not.
    pub(super) fn messages(&self) -> i64 {
        i64::from(!self.hidden && self.kind.is_message())
    }

    /// The row it becomes.
    pub fn at(self, position: i64, thread_id: ThreadId, run_id: Option<RunId>) -> ItemRow {
        let Self { id, kind, hidden, body, created_at } = self;
        ItemRow { id, thread_id, run_id, position, kind, hidden, body, created_at }
    }
}
