//! What users have used, day by day, and what their runs hold of the day's budget.
//!
//! A budget is kept in the transactions that begin and end a run, so it holds across replicas and crashes: a run begins
//! only if what it may use is free, and gives back what it did not use when it ends, whoever ends it.

use super::db::Store;
use super::error::StoreResult;
use super::rows::UsageRow;
use super::unit::{change, read};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use threadline_schema::db::tables::usage_days;
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::UserId;

/// Seconds of a day.
const DAY: i64 = 86_400;

/// What a run is to hold of its user's budget, and what the budget is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// Tokens.
    pub tokens: i64,
    /// Millionths of the currency.
    pub micros: i64,
    /// Tokens a day, at most.
    pub limit_tokens: i64,
    /// Millionths of the currency a day, at most.
    pub limit_micros: i64,
}

/// What a run used, for its user's account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Charge {
    /// Tokens read.
    pub prompt_tokens: i64,
    /// Tokens written.
    pub completion_tokens: i64,
    /// What they cost, in millionths of the currency; `None` when nobody knows.
    pub cost_micros: Option<i64>,
}

/// The day (UTC) of a point in time, counted from 1970-01-01.
pub fn day_of(at: UtcTime) -> i64 {
    at.utc().timestamp().div_euclid(DAY)
}

impl UsageRow {
    /// A day on which nothing was used.
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

/// Holds a part of the day's budget for a run that begins, if so much is left: one statement decides, so two runs at once
/// cannot both take the last of it.
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
pub(super) use reserve_budget;

/// Books what a run used on the day it began, and gives back what it held.
macro_rules! settle {
    ($c:ident, $user_id:expr, $day:expr, $charge:expr, $held:expr) => {
        $crate::usage::book!($c, $user_id, $day, 1_i64, $charge, $held)
    };
}

/// Books what was used on a day, by so many runs that have ended with it.
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
pub(super) use {book, settle};

impl Store {
    /// What a user has used on each day from `first` to `last`, newest first; days without use are not among them.
    ///
    /// # Errors
    /// Only when the database fails.
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

    /// Books what was used for a run that began then and has been settled already.
    ///
    /// # Errors
    /// Only when the database fails.
    pub async fn usage_add(&self, user_id: UserId, began: UtcTime, charge: Charge) -> StoreResult<()> {
        change!(self, |c| {
            book!(c, user_id, day_of(began), 0, charge, (0, 0));
            Ok(())
        })
    }

    /// Books what a run used that went with its thread before it had ended: `held` is what it held, in tokens and in
    /// money.
    ///
    /// # Errors
    /// Only when the database fails.
    pub async fn usage_settle(
        &self,
        user_id: UserId,
        began: UtcTime,
        charge: Charge,
        held: (i64, i64),
    ) -> StoreResult<()> {
        change!(self, |c| {
            settle!(c, user_id, day_of(began), charge, held);
            Ok(())
        })
    }
}
