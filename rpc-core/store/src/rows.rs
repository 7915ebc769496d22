//! Rows as they are stored. Every column of a table is a field of its row.

pub use super::logged_events::{EPOCH_EVENTS, LoggedBody, LoggedEvents, ROW_BYTES};
use super::usage::{Held, SharedBudget};
use diesel::prelude::*;
use threadline_schema::chatkit::FeedbackKind;
use threadline_schema::db::tables::{
    access_changes, attachments, audit_log, budget_days, budget_holds, feedback, foreign_identities, idempotency_keys,
    invitations, items, processes, run_events, runs, service_keys, tasks, thread_summaries, threads, usage_days,
    usage_months, user_roles, users,
};
use threadline_schema::db::text::TextList;
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{
    AccessChangeId, AccessSubjectId, AttachmentId, AuditId, HoldId, InvitationId, ItemId, ProcessId, RunId,
    ServiceKeyId, SummaryJobId, TaskId, ThreadId, UploadId, UserId,
};
use threadline_schema::items::ItemKind;
use threadline_schema::runs::{FinishReason, RunStatus};
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
        /// Email address in lower case.
        email: String,
        /// argon2id hash as a PHC string.
        password_hash: String,
        /// Number of threads that are not archived.
        session_count: i64,
        /// Time of creation.
        created_at: UtcTime,
        /// Bytes of its attachments, counting those that are not uploaded yet with their announced size.
        attachment_bytes: i64,
        /// Generation of its tokens.
        token_generation: i64,
        /// When all its tokens were last ended.
        tokens_after: Option<UtcTime>,
        /// When it was disabled; `None` if it is not.
        disabled_at: Option<UtcTime>,
        /// The budget class that the operator has given to it.
        budget_class: Option<String>,
    }

    /// The record of a change of access.
    AccessChangeRow in access_changes {
        /// Id.
        id: AccessChangeId,
        /// Whose access has changed.
        subject_id: AccessSubjectId,
        /// Time of the change.
        changed_at: UtcTime,
    }

    /// A role that the operator has given to a user.
    UserRoleRow in user_roles {
        /// The user.
        user_id: UserId,
        /// Name of the role.
        role: String,
        /// Since when the user has it.
        granted_at: UtcTime,
    }

    /// A user of an identity provider.
    ForeignIdentityRow in foreign_identities {
        /// The provider.
        issuer: String,
        /// What the provider calls the user.
        subject: String,
        /// The account.
        user_id: UserId,
        /// Email address, as the provider says.
        email: Option<String>,
        /// Roles, as the provider says.
        roles: TextList,
        /// When the user was first seen.
        created_at: UtcTime,
        /// Budget class, as the provider says.
        budget_class: Option<String>,
    }

    /// A key of an internal service.
    ServiceKeyRow in service_keys {
        /// Id.
        id: ServiceKeyId,
        /// Its unique name.
        name: String,
        /// SHA-256 of the key, in hex.
        key_hash: String,
        /// The methods that it may call.
        methods: TextList,
        /// The users that it may act for.
        users: TextList,
        /// Calls per minute; `None` for no limit of its own.
        requests_per_minute: Option<i64>,
        /// Time of creation.
        created_at: UtcTime,
        /// From when on it is refused; `None` for never.
        expires_at: Option<UtcTime>,
        /// When it was revoked; `None` if it is not.
        revoked_at: Option<UtcTime>,
        /// When it was last used, to the minute.
        last_used_at: Option<UtcTime>,
        /// The budget class of what it starts.
        budget_class: Option<String>,
    }

    /// An entry of the audit log.
    AuditRow in audit_log {
        /// Id.
        id: AuditId,
        /// Time.
        at: UtcTime,
        /// Who acted: `key:NAME`, or `operator`.
        actor: String,
        /// The service key.
        key_id: Option<ServiceKeyId>,
        /// For whom.
        user_id: Option<UserId>,
        /// Name of the method or command.
        action: String,
        /// `allowed`, or the code of the error with which it was refused.
        outcome: String,
        /// Identifies the request in the log.
        request_id: Option<String>,
        /// Address of the client.
        address: Option<String>,
    }

    /// A permission to register an account.
    InvitationRow in invitations {
        /// Id.
        id: InvitationId,
        /// SHA-256 of the code, in hex.
        code_hash: String,
        /// The only email address that may use it; `None` for any.
        email: Option<String>,
        /// How many accounts can still be registered with it.
        uses_left: i64,
        /// Time of creation.
        created_at: UtcTime,
        /// From when on it is refused.
        expires_at: UtcTime,
    }

    /// What models read in place of the oldest turns of a thread.
    ThreadSummaryRow in thread_summaries {
        /// The thread.
        thread_id: ThreadId,
        /// Position of the last item in the summary; -1 if there is no summary yet.
        through_position: i64,
        /// The summary.
        text: String,
        /// The job that writes the next summary.
        job_id: Option<SummaryJobId>,
        /// No other job begins before this time: while one is at work, and for a while after one has failed.
        next_job_at: UtcTime,
        /// Time of the last change of the text.
        updated_at: UtcTime,
    }

    /// A thread.
    #[derive(QueryableByName)]
    ThreadRow in threads {
        /// Id.
        id: ThreadId,
        /// The owner.
        user_id: UserId,
        /// Title.
        title: String,
        /// Whether the user chose the title.
        title_is_set: bool,
        /// Whether it takes input.
        status: ThreadState,
        /// The reason for a lock or closure, for the user.
        status_reason: Option<String>,
        /// Archived: not listed, and not counted towards the limit.
        archived: bool,
        /// JSON object.
        metadata: String,
        /// Number of visible user and assistant messages.
        message_count: i64,
        /// Position of the next item.
        next_position: i64,
        /// Time of creation.
        created_at: UtcTime,
        /// Time of the last use.
        updated_at: UtcTime,
        /// Temporary: deleted some hours after its last use.
        temporary: bool,
    }

    /// An item of a thread.
    ItemRow in items {
        /// Id.
        id: ItemId,
        /// Its thread.
        thread_id: ThreadId,
        /// The run that wrote it, or that answers it.
        run_id: Option<RunId>,
        /// Position in the thread, from 0.
        position: i64,
        /// Kind.
        kind: ItemKind,
        /// Whether it is hidden from clients.
        hidden: bool,
        /// The item as JSON.
        body: String,
        /// Time of creation.
        created_at: UtcTime,
    }

    /// A run.
    RunRow in runs {
        /// Id.
        id: RunId,
        /// Its thread.
        thread_id: ThreadId,
        /// The owner of the thread.
        user_id: UserId,
        /// Position of the message that it answers, or a position of its own. Orders the runs of a thread.
        position: i64,
        /// Status.
        status: RunStatus,
        /// The process that executes it.
        owner: ProcessId,
        /// Counts the owners, from 1.
        epoch: i64,
        /// Until when the owner is believed to be alive.
        lease_expires_at: UtcTime,
        /// Sequence number of its terminal event; 0 while it is active.
        last_seq: i64,
        /// Error code of a failed run.
        error_code: Option<String>,
        /// Error message of a failed run, for the user.
        error_message: Option<String>,
        /// How its answer ended.
        finish_reason: Option<FinishReason>,
        /// Input tokens.
        prompt_tokens: i64,
        /// Output tokens.
        completion_tokens: i64,
        /// Its last assistant message.
        message_id: Option<ItemId>,
        /// Whether its events are still stored.
        log_kept: bool,
        /// Time of the user's cancel request.
        cancel_requested_at: Option<UtcTime>,
        /// The message that it answers again.
        retry_of: Option<ItemId>,
        /// Time of creation.
        created_at: UtcTime,
        /// Time of its end.
        finished_at: Option<UtcTime>,
        /// Tokens that it holds of its user's budget while it is active.
        held_tokens: i64,
        /// Millionths of the currency that it holds of its user's budget while it is active.
        held_micros: i64,
        /// Its cost in millionths of the currency, if it is known.
        cost_micros: Option<i64>,
        /// The shared budgets that hold as much, a scope per line.
        budget_scopes: String,
        /// JSON: the request that started it, while it is active.
        request: Option<String>,
        /// JSON: what it had used when its last step was stored, while it is active.
        used: Option<String>,
    }

    /// One event of a run, or several consecutive text deltas.
    EventRow in run_events {
        /// The run.
        run_id: RunId,
        /// Sequence number of the first event.
        first_seq: i64,
        /// Sequence number of the last event.
        last_seq: i64,
        /// The event as JSON. Several deltas are joined to one.
        event: String,
        /// Of several deltas: the length of each in bytes of its JSON string without the quotes, separated by commas.
        cuts: Option<String>,
    }

    /// A request with an idempotency key, and what it has made.
    IdempotencyKeyRow in idempotency_keys {
        /// The user.
        user_id: UserId,
        /// The key.
        key: String,
        /// SHA-256 of what was submitted, in hex.
        fingerprint: String,
        /// The thread that it created or changed.
        thread_id: ThreadId,
        /// The run that it started.
        run_id: Option<RunId>,
        /// Time of creation.
        created_at: UtcTime,
    }

    /// A task of a to-do list.
    TaskRow in tasks {
        /// Id.
        id: TaskId,
        /// The owner.
        user_id: UserId,
        /// Title.
        title: String,
        /// Description.
        description: Option<String>,
        /// Priority.
        priority: Priority,
        /// Tags.
        tags: TextList,
        /// Whether it is completed.
        completed: bool,
        /// Time of creation.
        created_at: UtcTime,
        /// Time of the last change.
        updated_at: UtcTime,
        /// Time of completion.
        completed_at: Option<UtcTime>,
    }

    /// Usage of a user on one day.
    UsageRow in usage_days {
        /// The user.
        user_id: UserId,
        /// Days since 1970-01-01, UTC.
        day: i64,
        /// Number of runs that have ended.
        runs: i64,
        /// Number of those whose cost is not known.
        unpriced_runs: i64,
        /// Input tokens.
        prompt_tokens: i64,
        /// Output tokens.
        completion_tokens: i64,
        /// Cost in millionths of the currency.
        cost_micros: i64,
        /// Tokens that active runs hold.
        held_tokens: i64,
        /// Millionths of the currency that active runs hold.
        held_micros: i64,
    }

    /// A process that serves the database.
    ProcessRow in processes {
        /// Id.
        id: ProcessId,
        /// Whether it holds its advisory lock.
        holds_lock: bool,
        /// When it last wrote this row.
        seen_at: UtcTime,
        /// How often runs were taken from it.
        fence: i64,
        /// Whether it reads segments.
        reads_segments: bool,
        /// Name of its machine.
        host: Option<String>,
        /// Where it listens.
        address: Option<String>,
        /// Its version.
        version: Option<String>,
        /// When it started.
        started_at: Option<UtcTime>,
        /// Since when it accepts no new runs.
        draining_since: Option<UtcTime>,
    }

    /// Usage of a user in one month.
    MonthRow in usage_months {
        /// Months since January 1970, UTC.
        month: i64,
        /// The user.
        user_id: UserId,
        /// Number of runs that have ended.
        runs: i64,
        /// Number of those whose cost is not known.
        unpriced_runs: i64,
        /// Tokens, input and output.
        tokens: i64,
        /// Cost in millionths of the currency.
        cost_micros: i64,
    }

    /// Use of a shared budget on one day.
    BudgetRow in budget_days {
        /// `all`, or `agent:NAME`.
        scope: String,
        /// Days since 1970-01-01, UTC.
        day: i64,
        /// Tokens, input and output.
        tokens: i64,
        /// Cost in millionths of the currency.
        cost_micros: i64,
        /// Tokens that active runs hold.
        held_tokens: i64,
        /// Millionths of the currency that active runs hold.
        held_micros: i64,
    }

    /// What work holds of budgets that has no row of an active run.
    HoldRow in budget_holds {
        /// Id.
        id: HoldId,
        /// The user who is charged.
        user_id: UserId,
        /// The process that does the work.
        owner: ProcessId,
        /// Until when the process is believed to be alive.
        lease_expires_at: UtcTime,
        /// The day that holds it, in days since 1970-01-01 UTC.
        day: i64,
        /// 1 for a run, and 0 for other work.
        runs: i64,
        /// Tokens.
        tokens: i64,
        /// Millionths of the currency.
        micros: i64,
        /// The shared budgets that hold as much, a scope per line.
        scopes: String,
        /// JSON: what the run had used when its last step was stored.
        used: Option<String>,
        /// Input tokens that are charged if the process dies and it is not known what was used.
        prompt_tokens: i64,
        /// Their cost in millionths of the currency, if it is known.
        cost_micros: Option<i64>,
    }

    /// Feedback of a user on an item.
    FeedbackRow in feedback {
        /// The item.
        item_id: ItemId,
        /// The user.
        user_id: UserId,
        /// The item's thread.
        thread_id: ThreadId,
        /// Positive or negative.
        kind: FeedbackKind,
        /// Time of the feedback.
        created_at: UtcTime,
    }

    /// An attachment.
    AttachmentRow in attachments {
        /// Id.
        id: AttachmentId,
        /// The owner.
        user_id: UserId,
        /// The thread of the message that it belongs to.
        thread_id: Option<ThreadId>,
        /// File name on the user's machine.
        name: String,
        /// Media type, as announced; checked after the upload.
        mime_type: String,
        /// Size in bytes, as announced; checked after the upload.
        size: i64,
        /// Whether it is uploaded and checked.
        ready: bool,
        /// The upload in progress.
        upload_id: Option<UploadId>,
        /// Bytes of that upload that are stored.
        received: i64,
        /// Time of the announcement.
        created_at: UtcTime,
    }
}

/// Identifies a period in which one process owns a run. Each write of the run names it. A write with a token that is
/// not current changes nothing: the run has ended, or another process has taken it over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FencingToken {
    /// The run.
    pub run_id: RunId,
    /// Its thread.
    pub thread_id: ThreadId,
    /// The epoch of the owner.
    pub epoch: i64,
}

impl RunRow {
    /// Returns what the run holds of its user's budget, and of shared ones, while it is active.
    pub fn held(&self) -> Held {
        Held { tokens: self.held_tokens, micros: self.held_micros, scopes: self.budget_scopes.clone() }
    }

    /// Returns the shared budgets that hold what the run holds, with their present limits. One without a limit now
    /// still holds it: the end of the run releases it there.
    pub(super) fn shared_budgets(&self, limited: &[SharedBudget]) -> Vec<SharedBudget> {
        let budget = |scope: &str| match limited.iter().find(|budget| budget.scope == scope) {
            Some(budget) => budget.clone(),
            None => SharedBudget { scope: scope.to_owned(), limit_tokens: i64::MAX, limit_micros: i64::MAX },
        };
        self.budget_scopes.lines().map(budget).collect()
    }

    /// Returns the fencing token of the owner that the row names.
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
    /// Whether it is hidden from clients.
    pub hidden: bool,
    /// JSON.
    pub body: String,
    /// Time of creation.
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
