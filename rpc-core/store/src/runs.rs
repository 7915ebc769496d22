//! Runs: reading, ending, cancel requests, leases and takeover.

use super::advisory_lock::{AdvisoryLock, Job};
use super::db::Store;
use super::error::{Conflict, Entity, OrNotFound, StoreError, StoreResult};
use super::items::ItemSteps;
use super::log::LogSteps;
use super::number::to_signed;
use super::query::{FixedDsl, RunQueryDsl};
use super::retries::RetrySteps;
use super::row_locks::RowLocks;
use super::rows::{EventRow, FencingToken, NewItem, RunRow};
use super::segments::{SegmentSteps, Taken};
use super::unit::{change, read, steps, tx};
use super::usage::{Charge, UsageSteps, bounded};
use super::usage_sums::ModelUse;
use diesel::prelude::*;
use threadline_schema::db::tables::runs;
use threadline_schema::db::types::UtcTime;
use threadline_schema::error::Failure;
use threadline_schema::ids::{ItemId, ProcessId, RunId, ThreadId, UserId};
use threadline_schema::runs::{FinishReason, RunStatus, Usage};

/// The end of a run.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// The final status.
    pub status: RunStatus,
    /// The error of a failed run.
    pub error: Option<Failure>,
    /// How its answer ended.
    pub finish_reason: Option<FinishReason>,
    /// Tokens of all turns.
    pub usage: Usage,
    /// What its user is charged.
    pub charge: Charge,
    /// The parts of the charge that models have used, that of the one which has written the answer last.
    pub uses: Vec<ModelUse>,
    /// Sequence number of the terminal event.
    pub last_seq: i64,
    /// Its last assistant message.
    pub message_id: Option<ItemId>,
    /// Tool calls whose results are not stored yet: pairs of the item and its whole new body.
    pub results: Vec<(ItemId, String)>,
    /// Time of the end.
    pub finished_at: UtcTime,
    /// The events that are not stored yet, with the terminal event.
    pub events: Vec<EventRow>,
}

/// What a process stores when it continues a run that it has taken over.
#[derive(Debug, Clone)]
pub struct RunContinuation {
    /// Items that were complete and not stored.
    pub append: Vec<NewItem>,
    /// Tool calls that the former owner had not begun: pairs of the item and its whole new body.
    pub results: Vec<(ItemId, String)>,
    /// The first events of the new owner.
    pub events: Vec<EventRow>,
    /// The time.
    pub now: UtcTime,
}

steps! {
    trait TakeSteps {
        /// Takes over runs whose owners seem to be gone: those of `found` that no other transaction has locked, and
        /// whose leases are as they were when they were found. Their owner renews or ends the others just now. `found`
        /// has the runs, their owners and their leases.
        fn take_runs(
            c,
            found: Vec<(RunId, ProcessId, UtcTime)>,
            owner: ProcessId,
            now: UtcTime,
            until: UtcTime,
        ) -> Vec<RunRow> {
            let Some(newest_lease) = found.iter().map(|(_, _, lease)| *lease).max() else { return Ok(Vec::new()) };
            let locked = c.lock_available_runs(found.iter().map(|(run, _, _)| *run).collect()).await?;
            // An owner may have renewed its leases between the two statements.
            let is_left = runs::finished_at.is_null().and(runs::lease_expires_at.le(newest_lease));
            let taken: Vec<RunRow> = diesel::update(runs::table.filter(runs::id.eq_any(locked)).filter(is_left))
                .set((runs::owner.eq(owner), runs::epoch.eq(runs::epoch + 1), runs::lease_expires_at.eq(until)))
                .returning(RunRow::as_returning())
                .get_results(c)
                .await?;
            let former_owners = found.into_iter().filter_map(|(run_id, former_owner, _)| {
                let run = taken.iter().find(|run| run.id == run_id)?;
                Some(Taken { run_id, former_owner, former_epoch: run.epoch - 1 })
            });
            c.take_segments(&former_owners.collect::<Vec<_>>(), now).await?;
            Ok(taken)
        }
    }
}

impl Store {
    /// Returns a run.
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

    /// Returns whether a run exists.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn run_exists(&self, id: RunId) -> StoreResult<bool> {
        read!(self, |c| {
            let found: Option<RunId> = runs::table.find(id).select(runs::id).first(c).await.optional()?;
            Ok(found.is_some())
        })
    }

    /// Returns the active run of a thread.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn active_run(&self, thread_id: ThreadId) -> StoreResult<Option<RunRow>> {
        read!(self, |c| {
            let active = runs::table.filter(runs::thread_id.eq(thread_id).and(runs::finished_at.is_null()));
            Ok(active.select(RunRow::as_select()).first(c).await.optional()?)
        })
    }

    /// Ends a run: stores its status, last items and events, the results of its tool calls and its usage, or nothing.
    /// If the run answered a message again, the old answer is deleted, or the new one if the run did not complete.
    ///
    /// # Errors
    /// [`Conflict::RunSuperseded`] if the token is not current, [`StoreError::NotFound`] if the thread has been
    /// deleted, and the run with it.
    pub async fn run_finish(&self, token: FencingToken, end: RunEnd, new: Vec<NewItem>) -> StoreResult<RunRow> {
        let (error_code, error_message) = match end.error {
            Some(Failure { code, message }) => (Some(code.name()), Some(message)),
            None => (None, None),
        };
        let tokens = |count: u64| bounded(to_signed(count));
        let (prompt_tokens, completion_tokens) = (tokens(end.usage.prompt_tokens), tokens(end.usage.completion_tokens));
        tx!(self, |c| {
            let first = c.allocate_positions(token.thread_id, &new, end.finished_at).await?;
            let run = diesel::update(runs::table.find(token.run_id))
                .filter(runs::thread_id.eq(token.thread_id).and(runs::epoch.eq(token.epoch)))
                .filter(runs::finished_at.is_null())
                .set((
                    runs::status.eq(end.status),
                    runs::error_code.eq(error_code),
                    runs::error_message.eq(error_message),
                    runs::finish_reason.eq(end.finish_reason),
                    runs::prompt_tokens.eq(prompt_tokens),
                    runs::completion_tokens.eq(completion_tokens),
                    runs::last_seq.eq(end.last_seq),
                    runs::message_id.eq(end.message_id),
                    runs::finished_at.eq(end.finished_at),
                    runs::cost_micros.eq(end.charge.bounded().cost_micros),
                    runs::request.eq(None::<String>),
                    runs::used.eq(None::<String>),
                ))
                .returning(RunRow::as_returning())
                .fixed()
                .get_result::<RunRow>(c)
                .await
                .optional()?
                .ok_or(Conflict::RunSuperseded)?;
            c.insert_items(token, first, new).await?;
            c.complete_items(token, end.results).await?;
            match run.retry_of {
                Some(message) if run.status == RunStatus::Completed => c.replace_answer(&run, message).await?,
                Some(_) => c.discard_answer(&run).await?,
                None => {}
            }
            c.insert_events(&end.events).await?;
            c.settle(run.user_id, run.created_at, end.charge, end.uses, run.held()).await?;
            Ok(run)
        })
    }

    /// Stores what a process begins with that continues a run, or nothing. The run stays active.
    ///
    /// # Errors
    /// [`Conflict::RunSuperseded`] if the token is not current, [`StoreError::NotFound`] if the thread has been
    /// deleted.
    pub async fn run_continue(&self, token: FencingToken, continuation: RunContinuation) -> StoreResult<()> {
        let RunContinuation { append, results, events, now } = continuation;
        tx!(self, |c| {
            let first = c.allocate_positions(token.thread_id, &append, now).await?;
            c.check_token(token, None).await?;
            c.insert_items(token, first, append).await?;
            c.complete_items(token, results).await?;
            c.insert_events(&events).await
        })
    }

    /// Records a cancel request of the user, for the owner of the run. Changes nothing if the run has ended or a
    /// request is recorded already. Returns the run.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`].
    pub async fn run_request_cancel(&self, user_id: UserId, id: RunId, now: UtcTime) -> StoreResult<RunRow> {
        change!(self, |c| {
            let open = runs::table.find(id).filter(runs::user_id.eq(user_id).and(runs::finished_at.is_null()));
            diesel::update(open.filter(runs::cancel_requested_at.is_null()))
                .set(runs::cancel_requested_at.eq(now))
                .fixed()
                .execute(c)
                .await?;
            let run: RunRow =
                runs::table.find(id).select(RunRow::as_select()).first(c).await.or_not_found(Entity::Run)?;
            if run.user_id == user_id { Ok(run) } else { Err(StoreError::Forbidden(Entity::Run)) }
        })
    }

    /// Returns the active runs of an owner with a cancel request.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn runs_to_cancel(&self, owner: ProcessId) -> StoreResult<Vec<RunId>> {
        read!(self, |c| {
            let asked = runs::finished_at.is_null().and(runs::cancel_requested_at.is_not_null());
            Ok(runs::table.filter(runs::owner.eq(owner).and(asked)).select(runs::id).load(c).await?)
        })
    }

    /// Renews the leases of all active runs of `owner` until `until`, and returns how many these are. Runs that another
    /// process has taken over are not among them.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn leases_renew(&self, owner: ProcessId, until: UtcTime) -> StoreResult<usize> {
        change!(self, |c| {
            Ok(diesel::update(runs::table.filter(runs::owner.eq(owner).and(runs::finished_at.is_null())))
                .set(runs::lease_expires_at.eq(until))
                .fixed()
                .execute(c)
                .await?)
        })
    }

    /// Takes over up to `limit` active runs of other owners whose leases expired before `now`, the oldest leases first.
    /// The fencing tokens of the former owners are not current any more. One process at a time does it; the others get
    /// none.
    ///
    /// Runs that another transaction has locked are left for the next time: their owner renews or ends them just now.
    ///
    /// # Errors
    /// Only if the database fails.
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
            let expired = runs::table
                .filter(runs::finished_at.is_null().and(runs::lease_expires_at.lt(now)).and(runs::owner.ne(owner)))
                .order(runs::lease_expires_at.asc())
                .limit(i64::from(limit))
                .select((runs::id, runs::owner, runs::lease_expires_at))
                .load(c)
                .await?;
            c.take_runs(expired, owner, now, until).await
        })
    }

    /// Takes over up to `limit` active runs of processes that are gone, whatever their leases say. The fencing tokens
    /// of the former owners are not current any more. One process at a time does it; the others get none.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn runs_take_from(
        &self,
        gone: Vec<ProcessId>,
        owner: ProcessId,
        now: UtcTime,
        until: UtcTime,
        limit: u32,
    ) -> StoreResult<Vec<RunRow>> {
        tx!(self, |c| {
            if !c.try_lock(Job::TakeOver).await? {
                return Ok(Vec::new());
            }
            let theirs = runs::table
                .filter(runs::finished_at.is_null().and(runs::owner.eq_any(gone)))
                .limit(i64::from(limit))
                .select((runs::id, runs::owner, runs::lease_expires_at))
                .load(c)
                .await?;
            c.take_runs(theirs, owner, now, until).await
        })
    }

    /// Returns the active runs of an owner.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn runs_owned(&self, owner: ProcessId) -> StoreResult<Vec<RunRow>> {
        read!(self, |c| {
            let owned = runs::table.filter(runs::owner.eq(owner).and(runs::finished_at.is_null()));
            Ok(owned.select(RunRow::as_select()).load(c).await?)
        })
    }

    /// Returns active runs of any owner, the oldest leases first. When a process starts that has an SQLite file to
    /// itself, these are the runs of the process before it.
    ///
    /// # Errors
    /// Only if the database fails.
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

    /// Takes over a run that no task executes, whatever its lease says: the owner may be this process, which renews the
    /// leases of all its runs. Earlier fencing tokens are not current any more. What its former owner has in segments
    /// must have been moved before: see [`segments_settle`](Self::segments_settle).
    ///
    /// # Errors
    /// [`Conflict::RunSuperseded`] if it has ended since it was read, or another process was faster.
    pub async fn run_take_over(&self, found: &RunRow, owner: ProcessId, until: UtcTime) -> StoreResult<RunRow> {
        let (id, epoch) = (found.id, found.epoch);
        change!(self, |c| {
            diesel::update(runs::table.find(id))
                .filter(runs::epoch.eq(epoch).and(runs::finished_at.is_null()))
                .set((runs::owner.eq(owner), runs::epoch.eq(epoch + 1), runs::lease_expires_at.eq(until)))
                .returning(RunRow::as_returning())
                .fixed()
                .get_result(c)
                .await
                .optional()?
                .ok_or(Conflict::RunSuperseded.into())
        })
    }
}
