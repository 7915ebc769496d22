//! What begins a turn: a new thread, a new message, and the run that answers it.

use super::db::Store;
use super::error::{Conflict, Entity, Limit, StoreError, StoreResult};
use super::idempotency::{IdempotencyKey, claim_key, replay};
use super::not_taken;
use super::rows::{IdempotencyKeyRow, NewItem, RunRow, ThreadRow};
use super::unit::tx;
use super::usage::{Reservation, day_of, reserve_budget};
use diesel::dsl::case_when;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use threadline_schema::db::tables::{attachments, idempotency_keys, items, runs, threads, users};
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{AttachmentId, ProcessId, RunId, ThreadId, UserId};
use threadline_schema::runs::RunStatus;
use threadline_schema::threads::ThreadState;

/// A message, and the run that is to answer it.
#[derive(Debug, Clone)]
pub struct NewMessageRun {
    /// The message.
    pub message: NewItem,
    /// Title for the thread, if this is its first message and its user has set none; `None` leaves it as it is.
    pub title: Option<String>,
    /// Id of the run.
    pub run_id: RunId,
    /// The process that answers.
    pub owner: ProcessId,
    /// Until when that process is believed to live.
    pub lease_expires_at: UtcTime,
    /// What the run is to hold of its user's budget, if there is one.
    pub reservation: Option<Reservation>,
    /// The attachments that the message takes.
    pub attachments: Vec<AttachmentId>,
}

/// A run that begins without a new message.
#[derive(Debug, Clone, Copy)]
pub struct NewRun {
    /// Id.
    pub id: RunId,
    /// The process that answers.
    pub owner: ProcessId,
    /// Until when that process is believed to live.
    pub lease_expires_at: UtcTime,
    /// When it is made.
    pub created_at: UtcTime,
    /// What it is to hold of its user's budget, if there is one.
    pub reservation: Option<Reservation>,
}

/// A thread to make.
#[derive(Debug, Clone)]
pub struct NewThread {
    /// Id of the thread.
    pub id: ThreadId,
    /// Whose it will be.
    pub user_id: UserId,
    /// Threads the user may have that are not archived, this one included; `None` is any number.
    pub max_sessions: Option<u32>,
    /// Title, unless there is a first message.
    pub title: String,
    /// JSON object.
    pub metadata: String,
    /// When it is made.
    pub created_at: UtcTime,
    /// The first message.
    pub first_message: Option<NewMessageRun>,
    /// The name of the request, if it has one.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// A thread that was made.
#[derive(Debug, Clone)]
pub struct ThreadCreated {
    /// The thread.
    pub thread: ThreadRow,
    /// The run that answers its first message.
    pub run: Option<RunRow>,
    /// Whether an earlier request of the same name made both, and this one nothing.
    pub replayed: bool,
}

/// A turn that has begun.
#[derive(Debug, Clone)]
pub struct RunStarted {
    /// The thread, with the message.
    pub thread: ThreadRow,
    /// Whether the message is the thread's first, and its user has set no title.
    pub is_first_message: bool,
    /// The run.
    pub run: RunRow,
    /// Whether an earlier request of the same name began it, and this one nothing.
    pub replayed: bool,
}

/// Brings an archived thread back into the list. The transaction has changed the thread, and so has locked its row: nobody
/// archives or counts it at the same time.
macro_rules! unarchive {
    ($c:ident, $thread:ident) => {
        if $thread.archived {
            diesel::update(threads::table.find($thread.id)).set(threads::archived.eq(false)).execute($c).await?;
            diesel::update(users::table.find($thread.user_id))
                .set(users::session_count.eq(users::session_count + 1))
                .execute($c)
                .await?;
            $thread.archived = false;
        }
    };
}

/// Inserts a run, unless its thread has an active one, and holds what it may use of its user's budget. The unique index on
/// active runs decides who is first, also between processes.
macro_rules! insert_run {
    ($c:ident, $run:expr, $reservation:expr) => {{
        let run: $crate::rows::RunRow = diesel::insert_into(runs::table)
            .values($run)
            .on_conflict_do_nothing()
            .returning($crate::rows::RunRow::as_returning())
            .get_result($c)
            .await
            .optional()?
            .ok_or($crate::StoreError::Busy)?;
        if let Some(reservation) = $reservation {
            reserve_budget!($c, run.user_id, day_of(run.created_at), reservation);
        }
        run
    }};
}
pub(super) use {insert_run, unarchive};

/// Ties attachments to the thread of the message that takes them. Each must be its user's, uploaded, and free or of this
/// thread already.
macro_rules! take_attachments {
    ($c:ident, $thread:expr, $ids:expr) => {{
        let ids: &[AttachmentId] = $ids;
        if !ids.is_empty() {
            let free = attachments::thread_id.is_null().or(attachments::thread_id.eq($thread.id));
            let taken = diesel::update(attachments::table.filter(attachments::id.eq_any(ids.to_vec())))
                .filter(attachments::user_id.eq($thread.user_id).and(attachments::ready).and(free))
                .set(attachments::thread_id.eq(Some($thread.id)))
                .execute($c)
                .await?;
            if taken != ids.len() {
                return Err(Conflict::AttachmentUsed.into());
            }
        }
    }};
}

/// Inserts the message at its place, and the run.
macro_rules! begin_turn {
    ($c:ident, $thread:expr, $position:expr, $turn:expr) => {{
        let turn: NewMessageRun = $turn;
        let run = turn.run($thread, $position);
        take_attachments!($c, $thread, &turn.attachments);
        diesel::insert_into(items::table)
            .values(turn.message.at($position, $thread.id, Some(run.id)))
            .execute($c)
            .await?;
        insert_run!($c, run, turn.reservation)
    }};
}

impl Store {
    /// Makes a thread, and begins its first turn if there is a message: all of it or nothing.
    ///
    /// # Errors
    /// [`StoreError::LimitReached`] when the user has `max_sessions` threads or no budget left, [`StoreError::NotFound`]
    /// when there is no such user, [`Conflict::KeyReused`] when the request's name stands for another one,
    /// [`Conflict::AttachmentUsed`] when an attachment is not free.
    pub async fn thread_create(&self, new: NewThread) -> StoreResult<ThreadCreated> {
        tx!(self, |c| {
            if let Some(row) = new.idempotency_key_row()
                && let Some(earlier) = claim_key!(c, row)
            {
                let (thread, run) = replay!(c, earlier);
                return Ok(ThreadCreated { thread, run, replayed: true });
            }
            // The condition and the count are one statement: two requests at once cannot both see the last free place.
            let most = new.max_sessions.map_or(i64::MAX, i64::from);
            let counted = diesel::update(users::table.find(new.user_id).filter(users::session_count.lt(most)))
                .set(users::session_count.eq(users::session_count + 1))
                .execute(c)
                .await?;
            if counted == 0 {
                let user: Option<UserId> =
                    users::table.find(new.user_id).select(users::id).first(c).await.optional()?;
                return Err(if user.is_some() {
                    StoreError::LimitReached(Limit::Threads)
                } else {
                    StoreError::NotFound(Entity::User)
                });
            }
            let thread: ThreadRow = diesel::insert_into(threads::table)
                .values(new.row())
                .returning(ThreadRow::as_returning())
                .get_result(c)
                .await?;
            let run = match new.first_message {
                Some(turn) => Some(begin_turn!(c, &thread, 0, turn)),
                None => None,
            };
            Ok(ThreadCreated { thread, run, replayed: false })
        })
    }

    /// Adds a message to a thread and begins the run that answers it: all of it or nothing. An archived thread comes
    /// back into the list, whatever the limit.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`], [`StoreError::Busy`] when the thread has an active run,
    /// [`StoreError::Closed`], [`Conflict::KeyReused`], [`StoreError::LimitReached`], [`Conflict::AttachmentUsed`] when an
    /// attachment is not free.
    pub async fn run_start_with_message(
        &self,
        user_id: UserId,
        thread_id: ThreadId,
        turn: NewMessageRun,
        idempotency_key: Option<IdempotencyKey>,
    ) -> StoreResult<RunStarted> {
        tx!(self, |c| {
            if let Some(idempotency_key) = idempotency_key {
                let row = idempotency_key.row(user_id, thread_id, Some(turn.run_id), turn.message.created_at);
                if let Some(earlier) = claim_key!(c, row) {
                    return RunStarted::again(replay!(c, earlier));
                }
            }
            let titled = threads::title_is_set.eq(true).or(threads::message_count.gt(0));
            let thread = diesel::update(
                threads::table
                    .find(thread_id)
                    .filter(threads::user_id.eq(user_id).and(threads::status.eq(ThreadState::Active))),
            )
            .set((
                threads::next_position.eq(threads::next_position + 1),
                threads::message_count.eq(threads::message_count + turn.message.messages()),
                threads::updated_at.eq(turn.message.created_at),
                turn.title.clone().map(|title| threads::title.eq(case_when(titled, threads::title).otherwise(title))),
            ))
            .returning(ThreadRow::as_returning())
            .get_result(c)
            .await
            .optional()?;
            let Some(mut thread) = thread else {
                return Err(not_taken!(c, thread_id, user_id));
            };
            unarchive!(c, thread);
            let first = thread.message_count == turn.message.messages();
            let is_first_message = first && !thread.title_is_set;
            let run = begin_turn!(c, &thread, thread.next_position - 1, turn);
            Ok(RunStarted { thread, is_first_message, run, replayed: false })
        })
    }
}

impl RunStarted {
    /// What an earlier request of the same name began. One without a run was another request.
    pub(super) fn again((thread, run): (ThreadRow, Option<RunRow>)) -> StoreResult<Self> {
        let run = run.ok_or(Conflict::KeyReused)?;
        Ok(Self { thread, is_first_message: false, run, replayed: true })
    }
}

impl NewThread {
    fn idempotency_key_row(&self) -> Option<IdempotencyKeyRow> {
        let run_id = self.first_message.as_ref().map(|turn| turn.run_id);
        let idempotency_key = self.idempotency_key.clone()?;
        Some(idempotency_key.row(self.user_id, self.id, run_id, self.created_at))
    }

    fn row(&self) -> ThreadRow {
        ThreadRow {
            id: self.id,
            user_id: self.user_id,
            title: self.first_message.as_ref().and_then(|turn| turn.title.as_ref()).unwrap_or(&self.title).clone(),
            title_is_set: false,
            status: ThreadState::Active,
            status_reason: None,
            archived: false,
            metadata: self.metadata.clone(),
            message_count: self.first_message.as_ref().map_or(0, |turn| turn.message.messages()),
            next_position: i64::from(self.first_message.is_some()),
            created_at: self.created_at,
            updated_at: self.created_at,
        }
    }
}

impl NewMessageRun {
    fn run(&self, thread: &ThreadRow, position: i64) -> RunRow {
        let Self { run_id: id, owner, lease_expires_at, reservation, .. } = *self;
        NewRun { id, owner, lease_expires_at, created_at: self.message.created_at, reservation }.at(thread, position)
    }
}

impl NewRun {
    /// The row it becomes.
    pub(super) fn at(self, thread: &ThreadRow, position: i64) -> RunRow {
        let Self { id, owner, lease_expires_at, created_at, reservation } = self;
        RunRow {
            id,
            thread_id: thread.id,
            user_id: thread.user_id,
            position,
            status: RunStatus::Running,
            owner,
            epoch: 1,
            lease_expires_at,
            last_seq: 0,
            error_code: None,
            error_message: None,
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
        }
    }
}
