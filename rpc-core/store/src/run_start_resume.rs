//! Turns that begin without a new message of the user.

use super::db::Store;
use super::error::{Conflict, Entity, StoreError, StoreResult};
use super::idempotency::{IdempotencyKey, claim_key, replay};
use super::not_taken;
use super::rows::{RunRow, ThreadRow};
use super::run_start::{NewRun, RunStarted, insert_run, unarchive};
use super::unit::tx;
use super::usage::{day_of, reserve_budget};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use threadline_schema::db::tables::{idempotency_keys, items, runs, threads, users};
use threadline_schema::ids::{ItemId, ThreadId, UserId};
use threadline_schema::items::ItemKind;
use threadline_schema::threads::ThreadState;

/// What begins the turn.
#[derive(Debug, Clone)]
pub enum RunInput {
    /// A message of the user's that is to be answered again. Nothing is removed yet: that is done by the run's
    /// successful end.
    Retry(ItemId),
    /// Something the user does that is no message.
    Action,
    /// The answer to a call that waited for it.
    Answer {
        /// The item that showed what the call waited for. It is the new run's from now on.
        item: ItemRewrite,
        /// The call, which has a result now.
        call: ItemRewrite,
    },
}

/// An item that becomes another, unless somebody was quicker.
#[derive(Debug, Clone)]
pub struct ItemRewrite {
    /// The item.
    pub id: ItemId,
    /// Its body as it was read.
    pub old: String,
    /// Its body from now on.
    pub new: String,
}

impl Store {
    /// Begins a run: all that belongs to its beginning, or nothing.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`], [`StoreError::Busy`] when the thread has an active run,
    /// [`StoreError::NotFound`] when the thread has no such item that is visible, [`Conflict::NotAMessage`] when it is
    /// none of the user's messages, [`Conflict::AnsweredAlready`], [`StoreError::Closed`], [`Conflict::KeyReused`].
    pub async fn run_start(
        &self,
        user_id: UserId,
        thread_id: ThreadId,
        input: RunInput,
        run: NewRun,
        idempotency_key: Option<IdempotencyKey>,
    ) -> StoreResult<RunStarted> {
        tx!(self, |c| {
            if let Some(idempotency_key) = idempotency_key {
                let row = idempotency_key.row(user_id, thread_id, Some(run.id), run.created_at);
                if let Some(earlier) = claim_key!(c, row) {
                    return RunStarted::again(replay!(c, earlier));
                }
            }
            let thread = diesel::update(
                threads::table
                    .find(thread_id)
                    .filter(threads::user_id.eq(user_id).and(threads::status.eq(ThreadState::Active))),
            )
            .set((
                // The run has a place among the items, though no item is there: runs of a thread follow each other.
                threads::next_position.eq(threads::next_position + 1),
                threads::updated_at.eq(run.created_at),
            ))
            .returning(ThreadRow::as_returning())
            .get_result(c)
            .await
            .optional()?;
            let Some(mut thread) = thread else {
                return Err(not_taken!(c, thread_id, user_id));
            };
            unarchive!(c, thread);
            let retry_of = match &input {
                RunInput::Retry(message) => Some(*message),
                RunInput::Answer { .. } | RunInput::Action => None,
            };
            let reservation = run.reservation;
            let run = insert_run!(c, RunRow { retry_of, ..run.at(&thread, thread.next_position - 1) }, reservation);
            match input {
                RunInput::Action => {}
                RunInput::Retry(message) => {
                    let kind: Option<ItemKind> = items::table
                        .find(message)
                        .filter(items::thread_id.eq(thread_id).and(items::hidden.eq(false)))
                        .select(items::kind)
                        .first(c)
                        .await
                        .optional()?;
                    match kind {
                        None => return Err(StoreError::NotFound(Entity::Item)),
                        Some(ItemKind::UserMessage) => {}
                        Some(_) => return Err(Conflict::NotAMessage.into()),
                    }
                }
                RunInput::Answer { item, call } => {
                    for (rewrite, run_id) in [(item, Some(run.id)), (call, None)] {
                        let as_read = items::table.find(rewrite.id).filter(items::body.eq(rewrite.old));
                        let changed = diesel::update(as_read.filter(items::thread_id.eq(thread_id)))
                            .set((items::body.eq(rewrite.new), run_id.map(|id| items::run_id.eq(id))))
                            .execute(c)
                            .await?;
                        if changed == 0 {
                            return Err(Conflict::AnsweredAlready.into());
                        }
                    }
                }
            }
            Ok(RunStarted { thread, is_first_message: false, run, replayed: false })
        })
    }
}
