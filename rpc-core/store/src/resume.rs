//! Turns that begin without a new message of the user.

use super::db::Store;
use super::error::{Conflict, Entity, StoreError, StoreResult};
use super::not_taken;
use super::rows::{RunRow, ThreadRow};
use super::submissions::{Submission, claim_key, replay};
use super::turns::{NewRun, TurnStarted, insert_run, unarchive};
use super::unit::tx;
use super::usage::{day_of, take_hold};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use threadline_schema::db::tables::{items, runs, submissions, threads, users};
use threadline_schema::ids::{ItemId, ThreadId, UserId};
use threadline_schema::items::ItemKind;
use threadline_schema::threads::ThreadState;

/// What begins the turn.
#[derive(Debug, Clone)]
pub enum Opening {
    /// A message of the user's that is to be answered again. Nothing is removed yet: that is done by the run's
    /// successful end.
    Retry(ItemId),
    /// Something the user does that is no message.
    Action,
    /// The answer to a call that waited for it.
    Answer {
        /// The item that showed what the call waited for. It is the new run's from now on.
        item: Rewrite,
        /// The call, which has a result now.
        call: Rewrite,
    },
}

/// An item that becomes another, unless somebody was quicker.
#[derive(Debug, Clone)]
pub struct Rewrite {
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
    pub async fn turn_resume(
        &self,
        user_id: UserId,
        thread_id: ThreadId,
        opening: Opening,
        run: NewRun,
        submission: Option<Submission>,
    ) -> StoreResult<TurnStarted> {
        tx!(self, |c| {
            if let Some(submission) = submission {
                let row = submission.row(user_id, thread_id, Some(run.id), run.created_at);
                if let Some(earlier) = claim_key!(c, row) {
                    return TurnStarted::again(replay!(c, earlier));
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
            let retry_of = match &opening {
                Opening::Retry(message) => Some(*message),
                Opening::Answer { .. } | Opening::Action => None,
            };
            let hold = run.hold;
            let run = insert_run!(c, RunRow { retry_of, ..run.at(&thread, thread.next_position - 1) }, hold);
            match opening {
                Opening::Action => {}
                Opening::Retry(message) => {
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
                Opening::Answer { item, call } => {
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
            Ok(TurnStarted { thread, opens: false, run, replayed: false })
        })
    }
}
