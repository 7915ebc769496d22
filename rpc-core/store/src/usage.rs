//! Usage of each user per day, and what active runs have reserved of the day's budget.
//!
//! The transactions that start and end a run keep the budget, so it holds across replicas and crashes: a run starts only
//! if its reservation fits, and the process that ends it releases the reservation.

use super::db::Store;
use super::error::StoreResult;
use super::rows::{RunRow, UsageRow};
use super::unit::{change, read, steps};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use threadline_schema::db::tables::usage_days;
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::UserId;

/// Seconds per day.
const DAY: i64 = 86_400;

/// The part of a budget that a run reserves, and the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// Tokens.
    pub tokens: i64,
    /// Millionths of the currency.
    pub micros: i64,
    /// The budget in tokens per day.
    pub limit_tokens: i64,
    /// The budget in millionths of the currency per day.
    pub limit_micros: i64,
}

/// What a run or a title is booked with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Charge {
    /// Input tokens.
    pub prompt_tokens: i64,
    /// Output tokens.
    pub completion_tokens: i64,
    /// Their cost in millionths of the currency; `None` if it is not known.
    pub cost_micros: Option<i64>,
}

/// What a run holds of its user's budget while it is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Tokens.
    pub tokens: i64,
    /// Millionths of the currency.
    pub micros: i64,
}

/// Returns the UTC day of a time, counted from 1970-01-01.
pub fn day_of(at: UtcTime) -> i64 {
    at.utc().timestamp().div_euclid(DAY)
}

impl UsageRow {
    /// Returns the row of a day without use.
    pub fn unused(user_id: UserId, day: i64) -> Self {
        Self {
            user_id,
            day,
            runs: 0,
            unpriced_runs: 0,
            prompt_tokens: 0,
            completion_tokens: 0,
            cost_micros: 0,
            held_tokens: 0,
            held_micros: 0,
        }
    }
}

macro_rules! reserve_budget {
    ($c:ident, $user_id:expr, $day:expr, $reservation:expr) => {{
        use threadline_schema::db::tables::usage_days;
        let reservation: $crate::Reservation = $reservation;
        diesel::insert_into(usage_days::table)
            .values($crate::rows::UsageRow::unused($user_id, $day))
            .on_conflict_do_nothing()
            .execute($c)
            .await?;
        let tokens = usage_days::prompt_tokens + usage_days::completion_tokens + usage_days::held_tokens;
        let micros = usage_days::cost_micros + usage_days::held_micros;
        let held = diesel::update(usage_days::table.find(($user_id, $day)))
            .filter(tokens.le(reservation.limit_tokens.saturating_sub(reservation.tokens)))
            .filter(micros.le(reservation.limit_micros.saturating_sub(reservation.micros)))
            .set((
                usage_days::held_tokens.eq(usage_days::held_tokens + reservation.tokens),
                usage_days::held_micros.eq(usage_days::held_micros + reservation.micros),
            ))
            .execute($c)
            .await?;
        if held == 0 {
            return Err($crate::StoreError::LimitReached($crate::Limit::DailyBudget));
        }
    }};
}

macro_rules! settle {
    ($c:ident, $user_id:expr, $day:expr, $charge:expr, $held:expr) => {
        $crate::usage::book!($c, $user_id, $day, 1_i64, $charge, $held)
    };
}

/// Books a charge on a day, and counts `$runs` runs that have ended with it.
macro_rules! book {
    ($c:ident, $user_id:expr, $day:expr, $runs:expr, $charge:expr, $held:expr) => {{
        use threadline_schema::db::tables::usage_days;
        let runs: i64 = $runs;
        let charge: $crate::Charge = $charge;
        let (held_tokens, held_micros): (i64, i64) = $held;
        let has_no_price = charge.cost_micros.is_none() && charge.prompt_tokens + charge.completion_tokens > 0;
        let unpriced = if has_no_price { runs } else { 0 };
        let cost = charge.cost_micros.unwrap_or_default();
        diesel::insert_into(usage_days::table)
            .values($crate::rows::UsageRow {
                runs,
                unpriced_runs: unpriced,
                prompt_tokens: charge.prompt_tokens,
                completion_tokens: charge.completion_tokens,
                cost_micros: cost,
                ..$crate::rows::UsageRow::unused($user_id, $day)
            })
            .on_conflict((usage_days::user_id, usage_days::day))
            .do_update()
            .set((
                usage_days::runs.eq(usage_days::runs + runs),
                usage_days::unpriced_runs.eq(usage_days::unpriced_runs + unpriced),
                usage_days::prompt_tokens.eq(usage_days::prompt_tokens + charge.prompt_tokens),
                usage_days::completion_tokens.eq(usage_days::completion_tokens + charge.completion_tokens),
                usage_days::cost_micros.eq(usage_days::cost_micros + cost),
                usage_days::held_tokens.eq(usage_days::held_tokens - held_tokens),
                usage_days::held_micros.eq(usage_days::held_micros - held_micros),
            ))
            .execute($c)
            .await?;
    }};
}
use book;

steps! {
    trait UsageSteps {
        /// Reserves a part of the budget of the day on which a run was created. Condition and change are one statement: two
        /// concurrent runs cannot both get the last part.
        ///
        /// # Errors
        /// [`StoreError::LimitReached`](super::StoreError::LimitReached) if less than the reservation is left.
        fn reserve_budget(c, run: &RunRow, reservation: Option<Reservation>) -> () {
            if let Some(reservation) = reservation {
                reserve_budget!(c, run.user_id, day_of(run.created_at), reservation);
            }
            Ok(())
        }

        /// Books what a run has used on the day on which it was created, and releases its reservation.
        fn settle(c, user_id: UserId, created_at: UtcTime, charge: Charge, held: Held) -> () {
            settle!(c, user_id, day_of(created_at), charge, (held.tokens, held.micros));
            Ok(())
        }
    }
}

impl Store {
    /// Returns what a user has used on each day from `first` to `last`, newest first, without the days of no use. Days are
    /// counted from 1970-01-01 UTC.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn usage(&self, user_id: UserId, first: i64, last: i64) -> StoreResult<Vec<UsageRow>> {
        read!(self, |c| {
            Ok(usage_days::table
                .filter(usage_days::user_id.eq(user_id).and(usage_days::day.between(first, last)))
                .order(usage_days::day.desc())
                .select(UsageRow::as_select())
                .load(c)
                .await?)
        })
    }

    /// Books an additional charge of a run that was created at `created_at` and has been settled.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn usage_add(&self, user_id: UserId, created_at: UtcTime, charge: Charge) -> StoreResult<()> {
        change!(self, |c| {
            book!(c, user_id, day_of(created_at), 0, charge, (0, 0));
            Ok(())
        })
    }

    /// Books what a run has used that was deleted with its thread before it ended, and releases its reservation.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn usage_settle(
        &self,
        user_id: UserId,
        created_at: UtcTime,
        charge: Charge,
        held: Held,
    ) -> StoreResult<()> {
        change!(self, |c| { c.settle(user_id, created_at, charge, held).await })
    }
}
