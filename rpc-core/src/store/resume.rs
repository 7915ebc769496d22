//! Turns that begin without a new message of the user.

use super::db::Store;
use super::error::{Conflict, StoreError, StoreResult};
use super::refusal;
use super::rows::{RunRow, ThreadRow};
use super::submissions::{Submission, claim_key};
use super::turns::{NewRun, TurnStarted, insert_run, replay, unarchive};
use super::unit::tx;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use threadline_schema::db::tables::{items, runs, submissions, threads, users};
use threadline_schema::db::types::Guid;

impl Store {
    /// Begins a run that answers a message again. Nothing is removed yet: that is done by the run's successful end.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`], [`StoreError::Busy`] when the thread has an active run,
    /// [`StoreError::ItemNotFound`] when the thread has no such item that is visible, [`Conflict::NotAMessage`] when it is
    /// none of the user's messages, [`Conflict::ThreadClosed`], [`Conflict::KeyReused`].
    pub async fn turn_retry(
        &self,
        user_id: Guid,
        thread_id: Guid,
        message: Guid,
        run: NewRun,
        submission: Option<Submission>,
    ) -> StoreResult<TurnStarted> {
        tx!(self, |c| {
            if let Some(submission) = submission {
                let row = submission.row(user_id, thread_id, Some(run.id), run.created_at);
                if let Some(earlier) = claim_key!(c, row) {
                    let (thread, run) = replay!(c, earlier);
                    let run = run.ok_or(Conflict::KeyReused)?;
                    return Ok(TurnStarted { thread, title_changed: false, run, replayed: true });
                }
            }
            let thread = diesel::update(
                threads::table.find(thread_id).filter(threads::user_id.eq(user_id).and(threads::status.eq("active"))),
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
                return Err(refusal!(c, threads, thread_id, user_id).unwrap_or(Conflict::ThreadClosed.into()));
            };
            unarchive!(c, thread);
            let kind: Option<String> = items::table
                .find(message)
                .filter(items::thread_id.eq(thread_id).and(items::hidden.eq(false)))
                .select(items::kind)
                .first(c)
                .await
                .optional()?;
            match kind.as_deref() {
                None => return Err(StoreError::ItemNotFound),
                Some(crate::wire::USER_MESSAGE) => {}
                Some(_) => return Err(Conflict::NotAMessage.into()),
            }
            let run = insert_run!(c, RunRow { retry_of: Some(message), ..run.at(&thread, thread.next_position - 1) });
            Ok(TurnStarted { thread, title_changed: false, run, replayed: false })
        })
    }
}
