//! Runs: how they stand, how they end, and who may end them.

use super::advisory_lock::{AdvisoryLock, Job};
use super::db::Store;
use super::error::{Conflict, Entity, OrNotFound, StoreError, StoreResult};
use super::items::{allocate_positions, complete_items, insert_items};
use super::log::insert_events;
use super::retries::{drop_answer, replace_answer};
use super::rows::{EventRow, FencingToken, NewItem, RunRow};
use super::unit::{change, read, tx};
use super::usage::{Charge, day_of, settle};
use diesel::prelude::*;
use diesel::upsert::excluded;
use diesel_async::RunQueryDsl;
use threadline_schema::db::tables::{items, run_events, runs, threads};
use threadline_schema::db::types::UtcTime;
use threadline_schema::error::Failure;
use threadline_schema::ids::{ItemId, ProcessId, RunId, ThreadId, UserId};
use threadline_schema::runs::{RunStatus, Usage};

/// How a run ended.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// A final status.
    pub status: RunStatus,
    /// Why it failed.
    pub error: Option<Failure>,
    /// What it used, over all calls of the model.
    pub usage: Usage,
    /// What its user is charged.
    pub charge: Charge,
    /// Number of its last event, the one that says how it ended.
    pub last_seq: i64,
    /// The last assistant message it wrote.
    pub message_id: Option<ItemId>,
    /// Tool calls whose results are not stored yet: each item, and its whole body.
    pub results: Vec<(ItemId, String)>,
    /// When it ended.
    pub finished_at: UtcTime,
    /// The events that are not in the log yet, the last one included.
    pub events: Vec<EventRow>,
}

impl Store {
    /// A run.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`].
    pub async fn run_get(&self, user_id: UserId, id: RunId) -> StoreResult<RunRow> {
        read!(self, |c| {
            let run: RunRow =
                runs::table.find(id).select(RunRow::as_select()).first(c).await.or_not_found(Entity::Run)?;
            if run.user_id == user_id { Ok(run) } else { Err(StoreError::Forbidden(Entity::Run)) }
        })
    }

    /// Whether there is such a run.
    ///
    /// # Errors
    /// Only when the database fails.
    pub async fn run_exists(&self, id: RunId) -> StoreResult<bool> {
        read!(self, |c| {
            let found: Option<RunId> = runs::table.find(id).select(runs::id).first(c).await.optional()?;
            Ok(found.is_some())
        })
    }

    /// The run that is answering in a thread.
    ///
    /// # Errors
    /// Only when the database fails.
    pub async fn active_run(&self, thread_id: ThreadId) -> StoreResult<Option<RunRow>> {
        read!(self, |c| {
            let active = runs::table.filter(runs::thread_id.eq(thread_id).and(runs::finished_at.is_null()));
            Ok(active.select(RunRow::as_select()).first(c).await.optional()?)
        })
    }

    /// Ends a run: its status, its last items and events, the results of its tool calls, and the thread's counters, all of
    /// it or nothing. Of a run that answered a message again, the old answer goes with it, or the new one if it did not
    /// complete.
    ///
    /// # Errors
    /// [`Conflict::RunSuperseded`] when the token does not hold any more, [`StoreError::NotFound`] when the thread is
    /// gone, and the run with it.
    pub async fn run_finish(&self, token: FencingToken, end: RunEnd, new: Vec<NewItem>) -> StoreResult<RunRow> {
        let (error_code, error_message) = match end.error {
            Some(Failure { code, message }) => (Some(code.name()), Some(message)),
            None => (None, None),
        };
        let tokens = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let (prompt_tokens, completion_tokens) = (tokens(end.usage.prompt_tokens), tokens(end.usage.completion_tokens));
        tx!(self, |c| {
            let first = allocate_positions!(c, token.thread_id, &new, end.finished_at);
            let run = diesel::update(runs::table.find(token.run_id))
                .filter(runs::thread_id.eq(token.thread_id).and(runs::epoch.eq(token.epoch)))
                .filter(runs::finished_at.is_null())
                .set((
                    runs::status.eq(end.status),
                    runs::error_code.eq(error_code),
                    runs::error_message.eq(error_message),
                    runs::prompt_tokens.eq(prompt_tokens),
                    runs::completion_tokens.eq(completion_tokens),
                    runs::last_seq.eq(end.last_seq),
                    runs::message_id.eq(end.message_id),
                    runs::finished_at.eq(end.finished_at),
                    runs::cost_micros.eq(end.charge.cost_micros),
                ))
                .returning(RunRow::as_returning())
                .get_result::<RunRow>(c)
                .await
                .optional()?
                .ok_or(Conflict::RunSuperseded)?;
            insert_items!(c, token, first, new);
            complete_items!(c, token, end.results);
            match run.retry_of {
                Some(message) if run.status == RunStatus::Completed => replace_answer!(c, &run, message),
                Some(_) => drop_answer!(c, run),
                None => {}
            }
            insert_events!(c, &end.events);
            settle!(c, run.user_id, day_of(run.created_at), end.charge, (run.held_tokens, run.held_micros));
            Ok(run)
        })
    }

    /// Notes that a user wants a run to end, for its owner to see. Changes nothing about a run that has ended, or is
    /// being ended already. Returns the run as it stands.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`].
    pub async fn run_request_cancel(&self, user_id: UserId, id: RunId, now: UtcTime) -> StoreResult<RunRow> {
        change!(self, |c| {
            let open = runs::table.find(id).filter(runs::user_id.eq(user_id).and(runs::finished_at.is_null()));
            diesel::update(open.filter(runs::cancel_requested_at.is_null()))
                .set(runs::cancel_requested_at.eq(now))
                .execute(c)
                .await?;
            let run: RunRow =
                runs::table.find(id).select(RunRow::as_select()).first(c).await.or_not_found(Entity::Run)?;
            if run.user_id == user_id { Ok(run) } else { Err(StoreError::Forbidden(Entity::Run)) }
        })
    }

    /// Active runs of this owner whose users want them to end.
    ///
    /// # Errors
    /// Only when the database fails.
    pub async fn runs_to_cancel(&self, owner: ProcessId) -> StoreResult<Vec<RunId>> {
        read!(self, |c| {
            let asked = runs::finished_at.is_null().and(runs::cancel_requested_at.is_not_null());
            Ok(runs::table.filter(runs::owner.eq(owner).and(asked)).select(runs::id).load(c).await?)
        })
    }

    /// Says that `owner` lives until `until`, in all its active runs, and returns how many those are. Runs that
    /// another process has taken over are not among them.
    ///
    /// # Errors
    /// Only when the database fails.
    pub async fn leases_renew(&self, owner: ProcessId, until: UtcTime) -> StoreResult<usize> {
        change!(self, |c| {
            Ok(diesel::update(runs::table.filter(runs::owner.eq(owner).and(runs::finished_at.is_null())))
                .set(runs::lease_expires_at.eq(until))
                .execute(c)
                .await?)
        })
    }

    /// Takes over at most `limit` active runs whose owner has not said by `now` that it lives, the longest silent first;
    /// none of the new owner's. Claims of their former owners do not hold from then on. Only one process at a time does
    /// so; the others get none.
    ///
    /// # Errors
    /// Only when the database fails.
    pub async fn runs_take_expired(
        &self,
        owner: ProcessId,
        now: UtcTime,
        until: UtcTime,
        limit: u32,
    ) -> StoreResult<Vec<RunRow>> {
        tx!(self, |c| {
            if !c.try_lock(Job::TakeOver).await? {
                return Ok(Vec::new());
            }
            let expired: Vec<RunId> = runs::table
                .filter(runs::finished_at.is_null().and(runs::lease_expires_at.lt(now)).and(runs::owner.ne(owner)))
                .order(runs::lease_expires_at.asc())
                .limit(i64::from(limit))
                .select(runs::id)
                .load(c)
                .await?;
            // Asked again with the change: an owner that woke up meanwhile has renewed its lease.
            let still = runs::finished_at.is_null().and(runs::lease_expires_at.lt(now));
            Ok(diesel::update(runs::table.filter(runs::id.eq_any(expired)).filter(still))
                .set((runs::owner.eq(owner), runs::epoch.eq(runs::epoch + 1), runs::lease_expires_at.eq(until)))
                .returning(RunRow::as_returning())
                .get_results(c)
                .await?)
        })
    }

    /// Active runs of this owner.
    ///
    /// # Errors
    /// Only when the database fails.
    pub async fn runs_owned(&self, owner: ProcessId) -> StoreResult<Vec<RunRow>> {
        read!(self, |c| {
            let owned = runs::table.filter(runs::owner.eq(owner).and(runs::finished_at.is_null()));
            Ok(owned.select(RunRow::as_select()).load(c).await?)
        })
    }

    /// Active runs of any owner, the longest silent first. A process that has a SQLite file to itself finds here, when
    /// it starts, those that the process before it left behind.
    ///
    /// # Errors
    /// Only when the database fails.
    pub async fn runs_active(&self, limit: u32) -> StoreResult<Vec<RunRow>> {
        read!(self, |c| {
            Ok(runs::table
                .filter(runs::finished_at.is_null())
                .order(runs::lease_expires_at.asc())
                .limit(i64::from(limit))
                .select(RunRow::as_select())
                .load(c)
                .await?)
        })
    }

    /// Takes over a run of which it is known that nobody answers it, whatever its lease says: its owner may be this very
    /// process, which renews the leases of all its runs. Claims made before do not hold from then on.
    ///
    /// # Errors
    /// [`Conflict::RunSuperseded`] when it has ended since, or somebody else was faster.
    pub async fn run_take_over(&self, found: &RunRow, owner: ProcessId, until: UtcTime) -> StoreResult<RunRow> {
        let (id, epoch) = (found.id, found.epoch);
        change!(self, |c| {
            diesel::update(runs::table.find(id))
                .filter(runs::epoch.eq(epoch).and(runs::finished_at.is_null()))
                .set((runs::owner.eq(owner), runs::epoch.eq(epoch + 1), runs::lease_expires_at.eq(until)))
                .returning(RunRow::as_returning())
                .get_result(c)
                .await
                .optional()?
                .ok_or(Conflict::RunSuperseded.into())
        })
    }
}
