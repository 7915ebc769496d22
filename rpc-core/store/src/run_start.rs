//! Starts runs: the input and the run are stored in one transaction.

use super::db::Store;
use super::error::{Conflict, Entity, StoreError, StoreResult};
use super::idempotency::{IdempotencyKey, IdempotencySteps, Replay};
use super::query::{FixedDsl, RunQueryDsl};
use super::rows::{NewItem, RunRow, ThreadRow};
use super::thread_writes::{FirstTry, ThreadWrites};
use super::threads::closed_error;
use super::tool_approvals::ToolApprovalSteps;
use super::unit::{change, steps, tx};
use super::usage::{Reservation, UsageSteps};
use diesel::dsl::case_when;
use diesel::prelude::*;
use threadline_schema::db::tables::{attachments, items, runs, threads, users};
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{AttachmentId, ItemId, ProcessId, RunId, ThreadId, UserId};
use threadline_schema::items::ItemKind;
use threadline_schema::runs::RunStatus;
use threadline_schema::threads::ThreadState;

/// What starts a run.
#[derive(Debug, Clone)]
pub enum RunInput {
    /// A new message of the user.
    Message(NewMessage),
    /// A message of the user that is answered again. Its old answer is deleted when the run completes.
    Retry(ItemId),
    /// An action of a widget, which is not an item.
    Action,
    /// The answer to a tool call that waited for it: output of a client tool, or structured input.
    Answer {
        /// The visible item that asked for the answer. It belongs to the new run from now on.
        item: ItemRewrite,
        /// The call, whose body gets the result, or the approval.
        call: ItemRewrite,
        /// Whether the new run makes the call. Then the call belongs to it from now on.
        makes_call: bool,
        /// A tool whose calls the user approves for the rest of the thread.
        approved_tool: Option<String>,
    },
}

/// A new message of the user.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// The message.
    pub item: NewItem,
    /// Title of the thread if this is its first message and the user has set none; `None` keeps the title.
    pub title: Option<String>,
    /// The attachments of the message.
    pub attachments: Vec<AttachmentId>,
}

/// A new body for an item, if its body is still as it was read.
#[derive(Debug, Clone)]
pub struct ItemRewrite {
    /// The item.
    pub id: ItemId,
    /// The body as it was read.
    pub old: String,
    /// The new body.
    pub new: String,
}

/// A run to start.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Id.
    pub id: RunId,
    /// The process that executes it.
    pub owner: ProcessId,
    /// Until when the owner is believed to be alive.
    pub lease_expires_at: UtcTime,
    /// Time of creation.
    pub created_at: UtcTime,
    /// What it reserves of its user's budget; `None` without a budget.
    pub reservation: Option<Reservation>,
    /// The request that started it, for a process that continues it. JSON.
    pub request: Option<String>,
}

/// A run that has been started.
#[derive(Debug, Clone)]
pub struct RunStarted {
    /// The thread, with the input.
    pub thread: ThreadRow,
    /// Whether the input is the first message of the thread, and the user has set no title.
    pub is_first_message: bool,
    /// The run.
    pub run: RunRow,
    /// Whether an earlier request with the same idempotency key has started it.
    pub replayed: bool,
}

impl RunStarted {
    /// Returns what an earlier request has started.
    ///
    /// # Errors
    /// [`Conflict::KeyReused`] if it has started no run, so it was another request.
    pub(super) fn replayed((thread, run): Replay) -> StoreResult<Self> {
        let run = run.ok_or(Conflict::KeyReused)?;
        Ok(Self { thread, is_first_message: false, run, replayed: true })
    }
}

steps! {
    trait RunStartSteps {
        /// Prepares a thread for a new run and locks it: allocates a position, counts `messages`, and sets the title if
        /// the thread has no message yet and the user has set none.
        ///
        /// The run has a position among the items even if its input is not an item. The positions order the runs.
        ///
        /// # Errors
        /// [`StoreError::NotFound`], [`StoreError::Forbidden`], or [`StoreError::Closed`] if the thread takes no input.
        fn prepare_thread(
            c,
            user_id: UserId,
            thread_id: ThreadId,
            messages: i64,
            title: Option<String>,
            now: UtcTime,
        ) -> ThreadRow {
            let has_title = threads::title_is_set.eq(true).or(threads::message_count.gt(0));
            let active = threads::user_id.eq(user_id).and(threads::status.eq(ThreadState::Active));
            let prepared: Option<ThreadRow> = diesel::update(threads::table.find(thread_id).filter(active))
                .set((
                    threads::next_position.eq(threads::next_position + 1),
                    threads::message_count.eq(threads::message_count + messages),
                    threads::updated_at.eq(now),
                    title.map(|title| threads::title.eq(case_when(has_title, threads::title).otherwise(title))),
                ))
                .returning(ThreadRow::as_returning())
                .fixed()
                .get_result(c)
                .await
                .optional()?;
            match prepared {
                Some(thread) => Ok(thread),
                None => {
                    let thread = threads::table.find(thread_id).select(ThreadRow::as_select());
                    Err(closed_error(thread.first(c).await.optional()?, user_id))
                }
            }
        }

        /// Inserts a run. A unique index decides which of several runs in a thread is first, also between processes.
        ///
        /// # Errors
        /// [`StoreError::Busy`] if the thread has an active run.
        fn insert_run(c, run: RunRow) -> RunRow {
            diesel::insert_into(runs::table)
                .values(run)
                .on_conflict_do_nothing()
                .returning(RunRow::as_returning())
                .get_result(c)
                .await
                .optional()?
                .ok_or(StoreError::Busy)
        }

        /// Stores a new message as the input of a run: inserts its item and takes its attachments.
        ///
        /// # Errors
        /// [`Conflict::AttachmentUsed`] unless each attachment is uploaded, the user's, and free or of this thread
        /// already.
        fn insert_message(c, thread: &ThreadRow, run: &RunRow, message: NewMessage) -> () {
            let NewMessage { item, attachments: ids, .. } = message;
            let item = item.at(run.position, thread.id, Some(run.id));
            diesel::insert_into(items::table).values(item).execute(c).await?;
            if ids.is_empty() {
                return Ok(());
            }
            let free = attachments::thread_id.is_null().or(attachments::thread_id.eq(thread.id));
            let taken = diesel::update(attachments::table.filter(attachments::id.eq_any(&ids)))
                .filter(attachments::user_id.eq(thread.user_id).and(attachments::ready).and(free))
                .set(attachments::thread_id.eq(Some(thread.id)))
                .execute(c)
                .await?;
            if taken == ids.len() { Ok(()) } else { Err(Conflict::AttachmentUsed.into()) }
        }

        /// Checks that an item is a visible message of the user.
        ///
        /// # Errors
        /// [`StoreError::NotFound`] if the thread has no such visible item, [`Conflict::NotAMessage`] if it is another
        /// kind.
        fn check_user_message(c, thread_id: ThreadId, id: ItemId) -> () {
            let visible = items::table.find(id).filter(items::thread_id.eq(thread_id).and(items::hidden.eq(false)));
            let kind: Option<ItemKind> = visible.select(items::kind).first(c).await.optional()?;
            match kind {
                None => Err(StoreError::NotFound(Entity::Item)),
                Some(ItemKind::UserMessage) => Ok(()),
                Some(_) => Err(Conflict::NotAMessage.into()),
            }
        }

        /// Replaces the body of an item, and ties the item to a run if `run_id` is given.
        ///
        /// # Errors
        /// [`Conflict::AnsweredAlready`] if the body has changed since it was read, or the item does not exist.
        fn rewrite_item(c, thread_id: ThreadId, rewrite: ItemRewrite, run_id: Option<RunId>) -> () {
            let ItemRewrite { id, old, new } = rewrite;
            let as_read = items::table.find(id).filter(items::thread_id.eq(thread_id).and(items::body.eq(old)));
            let changed = diesel::update(as_read)
                .set((items::body.eq(new), run_id.map(|id| items::run_id.eq(id))))
                .fixed()
                .execute(c)
                .await?;
            if changed == 0 { Err(Conflict::AnsweredAlready.into()) } else { Ok(()) }
        }

        /// Moves an archived thread back into its user's list, whatever the limit, unless it is temporary. The
        /// transaction has locked the thread, so no other archives or counts it.
        fn unarchive(c, thread: &mut ThreadRow) -> () {
            if thread.archived && !thread.temporary {
                diesel::update(threads::table.find(thread.id)).set(threads::archived.eq(false)).fixed().execute(c).await?;
                diesel::update(users::table.find(thread.user_id))
                    .set(users::session_count.eq(users::session_count + 1))
                    .fixed()
                    .execute(c)
                    .await?;
                thread.archived = false;
            }
            Ok(())
        }
    }
}

impl Store {
    /// Stores the input of a run and the run, or nothing. An archived thread becomes active.
    ///
    /// # Errors
    /// - [`StoreError::NotFound`], [`StoreError::Forbidden`], [`StoreError::Closed`] for the thread
    /// - [`StoreError::Busy`] if the thread has an active run
    /// - [`StoreError::LimitReached`] if the rest of the budget is smaller than the reservation
    /// - [`Conflict::KeyReused`] if another request has used the idempotency key
    /// - [`Conflict::AttachmentUsed`] if an attachment of the message is not free
    /// - [`StoreError::NotFound`] for an item that is not visible, [`Conflict::NotAMessage`],
    ///   [`Conflict::AnsweredAlready`]
    pub async fn run_start(
        &self,
        user_id: UserId,
        thread_id: ThreadId,
        input: RunInput,
        run: NewRun,
        key: Option<IdempotencyKey>,
    ) -> StoreResult<RunStarted> {
        let (messages, title) = match &input {
            RunInput::Message(message) => (message.item.messages(), message.title.clone()),
            RunInput::Retry(_) | RunInput::Action | RunInput::Answer { .. } => (0, None),
        };
        let reservation = run.reservation.clone();
        if let RunInput::Message(NewMessage { item, title, attachments }) = &input
            && self.is_postgres()
            && key.is_none()
            && attachments.is_empty()
            && reservation.is_none()
            && let Some(started) =
                self.start_at_once(user_id, thread_id, item.clone(), title.clone(), run.clone()).await?
        {
            return Ok(started);
        }
        tx!(self, |c| {
            if let Some(key) = key {
                let row = key.row(user_id, thread_id, Some(run.id), run.created_at);
                if let Some(replay) = c.claim_key(row).await? {
                    return RunStarted::replayed(replay);
                }
            }
            let mut thread = c.prepare_thread(user_id, thread_id, messages, title, run.created_at).await?;
            let mut row = run.at(&thread, thread.next_position - 1);
            if let RunInput::Retry(message) = &input {
                row.retry_of = Some(*message);
            }
            let row = c.insert_run(row).await?;
            let is_message = matches!(input, RunInput::Message(_));
            match input {
                RunInput::Message(message) => c.insert_message(&thread, &row, message).await?,
                RunInput::Retry(message) => c.check_user_message(thread_id, message).await?,
                RunInput::Action => {}
                RunInput::Answer { item, call, makes_call, approved_tool } => {
                    c.rewrite_item(thread_id, item, Some(row.id)).await?;
                    c.rewrite_item(thread_id, call, makes_call.then_some(row.id)).await?;
                    if let Some(tool) = approved_tool {
                        c.approve_tool(thread_id, tool, row.created_at).await?;
                    }
                }
            }
            c.unarchive(&mut thread).await?;
            c.reserve_budget(&row, reservation).await?;
            let is_first_message = is_message && thread.message_count == messages && !thread.title_is_set;
            Ok(RunStarted { thread, is_first_message, run: row, replayed: false })
        })
    }

    /// Stores a message and its run in one statement. Returns `None` if the transaction has to say what is the matter.
    async fn start_at_once(
        &self,
        user_id: UserId,
        thread_id: ThreadId,
        item: NewItem,
        title: Option<String>,
        run: NewRun,
    ) -> StoreResult<Option<RunStarted>> {
        change!(self, |c| {
            let messages = item.messages();
            let message = FirstTry { user_id, thread_id, item: &item, title: title.as_deref(), run };
            let started = c.try_start(message).await?;
            Ok(started.map(|(thread, run)| RunStarted {
                is_first_message: thread.message_count == messages && !thread.title_is_set,
                thread,
                run,
                replayed: false,
            }))
        })
    }
}

impl NewRun {
    /// Returns the row of the run.
    pub(super) fn at(&self, thread: &ThreadRow, position: i64) -> RunRow {
        self.row(thread.id, thread.user_id, position)
    }

    /// Returns the row of the run, for a thread that has not been read.
    pub(super) fn row(&self, thread_id: ThreadId, user_id: UserId, position: i64) -> RunRow {
        let Self { id, owner, lease_expires_at, created_at, .. } = *self;
        let reservation = self.reservation.as_ref();
        RunRow {
            id,
            thread_id,
            user_id,
            position,
            status: RunStatus::Running,
            owner,
            epoch: 1,
            lease_expires_at,
            last_seq: 0,
            error_code: None,
            error_message: None,
            finish_reason: None,
            prompt_tokens: 0,
            completion_tokens: 0,
            message_id: None,
            log_kept: true,
            cancel_requested_at: None,
            retry_of: None,
            created_at,
            finished_at: None,
            held_tokens: reservation.map_or(0, |reservation| reservation.tokens),
            held_micros: reservation.map_or(0, |reservation| reservation.micros),
            cost_micros: None,
            request: self.request.clone(),
            used: None,
            budget_scopes: reservation.map(Reservation::scopes).unwrap_or_default(),
        }
    }
}
