//! What is held of budgets by work that has no row of an active run: transcriptions, and runs that were deleted with
//! their threads.
//!
//! Whoever deletes a row books its work, in one transaction. So the work is booked once, however often that is tried,
//! and the row of a process that has died is booked by another.

use super::db::Store;
use super::error::StoreResult;
use super::query::{FixedDsl, RunQueryDsl};
use super::rows::{HoldRow, RunRow};
use super::unit::{change, read, steps, tx};
use super::usage::{Charge, Held, Reservation, UsageSteps, bounded, day_of};
use super::usage_sums::ModelUse;
use diesel::prelude::*;
use threadline_schema::db::tables::{budget_holds, runs};
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{HoldId, ProcessId, ThreadId, UserId};

/// Work that holds a part of budgets, and is not a run.
#[derive(Debug, Clone, Copy)]
pub struct NewHold {
    /// Id.
    pub id: HoldId,
    /// The user who is charged.
    pub user_id: UserId,
    /// The process that does the work.
    pub owner: ProcessId,
    /// Until when the process is believed to be alive.
    pub lease_expires_at: UtcTime,
    /// When the work begins: its day is charged.
    pub at: UtcTime,
    /// What is charged if the process dies.
    pub charge: Charge,
}

/// Work that nobody does any more, and that is not booked.
#[derive(Debug, Clone)]
pub enum Unbooked {
    /// That of these processes.
    Of(Vec<ProcessId>),
    /// That of processes other than `me` whose leases expired before `now`.
    Expired {
        /// This process.
        me: ProcessId,
        /// The time.
        now: UtcTime,
    },
    /// All. For a process that starts, and has the database to itself.
    All,
}

steps! {
    trait HoldSteps {
        /// Deletes the active run of a thread, if there is one, and keeps what it holds of budgets: the process that
        /// executes it books what it has used.
        fn keep_holds(c, user_id: UserId, thread_id: ThreadId) -> () {
            let of_thread = runs::table.filter(runs::thread_id.eq(thread_id).and(runs::user_id.eq(user_id)));
            let active: Vec<RunRow> = diesel::delete(of_thread.filter(runs::finished_at.is_null()))
                .returning(RunRow::as_returning())
                .get_results(c)
                .await?;
            for run in active {
                let row = HoldRow {
                    id: run.id.into(),
                    user_id,
                    owner: run.owner,
                    lease_expires_at: run.lease_expires_at,
                    day: day_of(run.created_at),
                    runs: 1,
                    tokens: run.held_tokens,
                    micros: run.held_micros,
                    scopes: run.budget_scopes,
                    used: run.used,
                    prompt_tokens: run.held_tokens,
                    cost_micros: (run.held_micros > 0).then_some(run.held_micros),
                };
                diesel::insert_into(budget_holds::table).values(row).execute(c).await?;
            }
            Ok(())
        }
    }
}

impl Store {
    /// Takes a part of the budgets of a day, for work that is not a run. Without a reservation nothing is held, and the
    /// work is recorded all the same: it is charged if its process dies.
    ///
    /// # Errors
    /// [`StoreError::LimitReached`](super::StoreError::LimitReached) if less is left.
    pub async fn budget_hold(&self, hold: NewHold, reservation: Option<Reservation>) -> StoreResult<()> {
        let NewHold { id, user_id, owner, lease_expires_at, at, charge } = hold;
        let day = day_of(at);
        tx!(self, |c| {
            if let Some(reservation) = &reservation {
                c.hold_budget(user_id, day, reservation).await?;
            }
            let reservation = reservation.unwrap_or_default();
            let row = HoldRow {
                id,
                user_id,
                owner,
                lease_expires_at,
                day,
                runs: 0,
                tokens: reservation.tokens,
                micros: reservation.micros,
                scopes: reservation.scopes(),
                used: None,
                prompt_tokens: bounded(charge.prompt_tokens.saturating_add(charge.completion_tokens)),
                cost_micros: charge.cost_micros,
            };
            diesel::insert_into(budget_holds::table).values(row).execute(c).await?;
            Ok(())
        })
    }

    /// Books what work of `owner` has used, and releases what it held. Returns whether it did; otherwise the work is
    /// booked already. Can be repeated.
    ///
    /// # Errors
    /// Only if the database fails; nothing is booked then.
    pub async fn budget_hold_settle(
        &self,
        id: HoldId,
        owner: ProcessId,
        charge: Charge,
        uses: Vec<ModelUse>,
    ) -> StoreResult<bool> {
        tx!(self, |c| {
            let row = diesel::delete(budget_holds::table.find(id).filter(budget_holds::owner.eq(owner)))
                .returning(HoldRow::as_returning())
                .get_result::<HoldRow>(c)
                .await
                .optional()?;
            let Some(HoldRow { user_id, day, runs, tokens, micros, scopes, .. }) = row else { return Ok(false) };
            c.book_late(user_id, day, runs, charge, uses, Held { tokens, micros, scopes }).await?;
            Ok(true)
        })
    }

    /// Renews the leases of what `owner` holds.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn budget_holds_renew(&self, owner: ProcessId, until: UtcTime) -> StoreResult<()> {
        change!(self, |c| {
            diesel::update(budget_holds::table.filter(budget_holds::owner.eq(owner)))
                .set(budget_holds::lease_expires_at.eq(until))
                .fixed()
                .execute(c)
                .await?;
            Ok(())
        })
    }

    /// Returns up to `limit` rows of work that nobody does any more.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn budget_holds_unbooked(&self, whose: Unbooked, limit: u32) -> StoreResult<Vec<HoldRow>> {
        read!(self, |c| {
            let rows = budget_holds::table.select(HoldRow::as_select()).limit(i64::from(limit)).into_boxed();
            let rows = match whose {
                Unbooked::Of(owners) => rows.filter(budget_holds::owner.eq_any(owners)),
                Unbooked::Expired { me, now } => {
                    rows.filter(budget_holds::owner.ne(me).and(budget_holds::lease_expires_at.lt(now)))
                }
                Unbooked::All => rows,
            };
            Ok(rows.load(c).await?)
        })
    }
}
