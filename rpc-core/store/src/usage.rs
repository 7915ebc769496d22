//! Usage of each user per day, and what active runs have reserved of the day's budget: that of the user, and those that
//! all users share.
//!
//! The transactions that start and end a run keep the budget, so it holds across replicas and crashes: a run starts
//! only if its reservation fits, and the process that ends it releases the reservation. `budget_holds.rs` has what is
//! held without a row of an active run.

use super::db::Store;
use super::error::{Conflict, Limit, StoreError, StoreResult};
use super::query::{FixedDsl, RunQueryDsl};
use super::rows::{BudgetRow, FencingToken, RunRow, UsageRow};
use super::truncate_page;
use super::unit::{read, steps, tx};
use super::usage_sums::{Booking, BookingWrites, ModelUse};
use diesel::prelude::*;
use threadline_schema::db::tables::{anonymous_usage, budget_days, runs, usage_days, users};
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::UserId;

/// Seconds per day.
const DAY: i64 = 86_400;

/// The largest number that a column gets. Sums stop there instead of failing: a model server may report any number, and
/// that must not keep a run, or a later run of the same user, from ending. Three columns add up to less than an i64.
pub(super) const MAX: i64 = i64::MAX / 4;

/// The part of a budget that a run reserves, and the budget.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reservation {
    /// Tokens.
    pub tokens: i64,
    /// Millionths of the currency.
    pub micros: i64,
    /// The budget in tokens per day.
    pub limit_tokens: i64,
    /// The budget in millionths of the currency per day.
    pub limit_micros: i64,
    /// Budgets that all users share, in the order of their scopes: rows are locked in this order.
    pub shared: Vec<SharedBudget>,
}

/// A budget that all users share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedBudget {
    /// `all`, `agent:NAME` or `class:NAME`.
    pub scope: String,
    /// The budget in tokens per day.
    pub limit_tokens: i64,
    /// The budget in millionths of the currency per day.
    pub limit_micros: i64,
}

impl Reservation {
    /// Returns the scopes of the shared budgets, a scope per line.
    pub(super) fn scopes(&self) -> String {
        self.shared.iter().map(|budget| budget.scope.as_str()).collect::<Vec<_>>().join("\n")
    }
}

/// What a run, a title or a summary is booked with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Charge {
    /// Input tokens.
    pub prompt_tokens: i64,
    /// Output tokens.
    pub completion_tokens: i64,
    /// Their cost in millionths of the currency; `None` if it is not known.
    pub cost_micros: Option<i64>,
}

/// What a run holds of its user's budget, and of shared ones, while it is active.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Tokens.
    pub tokens: i64,
    /// Millionths of the currency.
    pub micros: i64,
    /// The shared budgets that hold as much, a scope per line.
    pub scopes: String,
}

/// Returns the UTC day of a time, counted from 1970-01-01.
pub fn day_of(at: UtcTime) -> i64 {
    at.utc().timestamp().div_euclid(DAY)
}

impl Charge {
    /// Returns the charge with numbers that the columns can hold.
    pub(crate) fn bounded(self) -> Self {
        Self {
            prompt_tokens: bounded(self.prompt_tokens),
            completion_tokens: bounded(self.completion_tokens),
            cost_micros: self.cost_micros.map(bounded),
        }
    }
}

/// Returns the nearest number that can be added to a column.
pub(super) fn bounded(number: i64) -> i64 {
    number.clamp(0, MAX)
}

/// A column plus a bounded number, at most [`MAX`]. The number in the column may come from an older release.
macro_rules! plus {
    ($column:expr, $number:expr) => {{
        let number = bounded($number);
        let max = MAX.into_sql::<diesel::sql_types::BigInt>();
        diesel::dsl::case_when($column.gt(MAX - number), max).otherwise($column + number)
    }};
}
pub(super) use plus;

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

steps! {
    trait UsageSteps {
        /// Reserves a part of the budget of the day on which a run was created. Condition and change are one statement:
        /// two concurrent runs cannot both get the last part.
        ///
        /// # Errors
        /// [`StoreError::LimitReached`] if less than the reservation is left.
        fn reserve_budget(c, run: &RunRow, reservation: Option<Reservation>) -> () {
            let Some(reservation) = reservation else { return Ok(()) };
            c.hold_budget(run.user_id, day_of(run.created_at), &reservation).await
        }

        /// Takes a part of the budgets of a day.
        ///
        /// # Errors
        /// [`StoreError::LimitReached`] if less is left.
        fn hold_budget(c, user_id: UserId, day: i64, reservation: &Reservation) -> () {
            diesel::insert_into(usage_days::table)
                .values(UsageRow::unused(user_id, day))
                .on_conflict_do_nothing()
                .execute(c)
                .await?;
            let tokens = plus!(usage_days::prompt_tokens, 0)
                + plus!(usage_days::completion_tokens, 0)
                + usage_days::held_tokens;
            let micros = plus!(usage_days::cost_micros, 0) + usage_days::held_micros;
            let reserved = diesel::update(usage_days::table.find((user_id, day)))
                .filter(tokens.le(reservation.limit_tokens.saturating_sub(reservation.tokens)))
                .filter(micros.le(reservation.limit_micros.saturating_sub(reservation.micros)))
                .set((
                    usage_days::held_tokens.eq(plus!(usage_days::held_tokens, reservation.tokens)),
                    usage_days::held_micros.eq(plus!(usage_days::held_micros, reservation.micros)),
                ))
                .fixed()
                .execute(c)
                .await?;
            if reserved == 0 {
                return Err(StoreError::LimitReached(Limit::DailyBudget));
            }
            for budget in &reservation.shared {
                c.hold_shared_budget(day, budget, reservation.tokens, reservation.micros).await?;
            }
            Ok(())
        }

        /// Takes a part of a shared budget.
        ///
        /// # Errors
        /// [`StoreError::LimitReached`] if less is left.
        fn hold_shared_budget(c, day: i64, budget: &SharedBudget, tokens: i64, micros: i64) -> () {
            let unused = BudgetRow {
                scope: budget.scope.clone(),
                day,
                tokens: 0,
                cost_micros: 0,
                held_tokens: 0,
                held_micros: 0,
            };
            diesel::insert_into(budget_days::table).values(unused).on_conflict_do_nothing().execute(c).await?;
            let used_tokens = plus!(budget_days::tokens, 0) + budget_days::held_tokens;
            let used_micros = plus!(budget_days::cost_micros, 0) + budget_days::held_micros;
            let held = diesel::update(budget_days::table.find((&budget.scope, day)))
                .filter(used_tokens.le(budget.limit_tokens.saturating_sub(tokens)))
                .filter(used_micros.le(budget.limit_micros.saturating_sub(micros)))
                .set((
                    budget_days::held_tokens.eq(plus!(budget_days::held_tokens, tokens)),
                    budget_days::held_micros.eq(plus!(budget_days::held_micros, micros)),
                ))
                .execute(c)
                .await?;
            if held == 0 { Err(StoreError::LimitReached(Limit::SharedBudget)) } else { Ok(()) }
        }

        /// Books a charge on shared budgets, and releases what was held of them.
        fn book_shared(c, day: i64, charge: Charge, held: Held) -> () {
            let Charge { prompt_tokens, completion_tokens, cost_micros } = charge.bounded();
            let (tokens, cost) = (bounded(prompt_tokens.saturating_add(completion_tokens)), cost_micros.unwrap_or_default());
            for scope in held.scopes.lines() {
                diesel::update(budget_days::table.find((scope, day)))
                    .set((
                        budget_days::tokens.eq(plus!(budget_days::tokens, tokens)),
                        budget_days::cost_micros.eq(plus!(budget_days::cost_micros, cost)),
                        budget_days::held_tokens.eq(budget_days::held_tokens - held.tokens),
                        budget_days::held_micros.eq(budget_days::held_micros - held.micros),
                    ))
                    .execute(c)
                    .await?;
            }
            Ok(())
        }

        /// Books what a run has used on the day on which it was created, and releases its reservation.
        fn settle(c, user_id: UserId, created_at: UtcTime, charge: Charge, uses: Vec<ModelUse>, held: Held) -> () {
            c.book(user_id, day_of(created_at), 1, charge, uses, held).await
        }

        /// Books a charge on a day, releases what was held, and counts `runs` runs that have ended.
        fn book(c, user_id: UserId, day: i64, runs: i64, charge: Charge, uses: Vec<ModelUse>, held: Held) -> () {
            c.write_booking(Booking::new(user_id, day, runs, charge, uses), held.tokens, held.micros).await?;
            c.book_shared(day, charge, held).await
        }

        /// Does what `book` does, also for a user who may have been erased: then the usage goes to the sums without a
        /// user.
        fn book_late(
            c,
            user_id: UserId,
            day: i64,
            runs: i64,
            charge: Charge,
            uses: Vec<ModelUse>,
            held: Held,
        ) -> () {
            let user: Option<UserId> = users::table.find(user_id).select(users::id).first(c).await.optional()?;
            if user.is_some() {
                return c.book(user_id, day, runs, charge, uses, held).await;
            }
            let used = Booking::new(user_id, day, runs, charge, uses).usage();
            // A booking of nothing makes no row.
            if used != UsageRow::unused(user_id, day) {
                c.add_anonymous(used).await?;
            }
            c.book_shared(day, charge, held).await
        }

        /// Adds usage to the sums without a user.
        fn add_anonymous(c, used: UsageRow) -> () {
            let UsageRow { day, runs, unpriced_runs, prompt_tokens, completion_tokens, cost_micros, .. } = used;
            diesel::insert_into(anonymous_usage::table)
                .values((
                    anonymous_usage::day.eq(day),
                    anonymous_usage::runs.eq(runs),
                    anonymous_usage::unpriced_runs.eq(unpriced_runs),
                    anonymous_usage::prompt_tokens.eq(prompt_tokens),
                    anonymous_usage::completion_tokens.eq(completion_tokens),
                    anonymous_usage::cost_micros.eq(cost_micros),
                ))
                .on_conflict(anonymous_usage::day)
                .do_update()
                .set((
                    anonymous_usage::runs.eq(anonymous_usage::runs + runs),
                    anonymous_usage::unpriced_runs.eq(anonymous_usage::unpriced_runs + unpriced_runs),
                    anonymous_usage::prompt_tokens.eq(plus!(anonymous_usage::prompt_tokens, prompt_tokens)),
                    anonymous_usage::completion_tokens.eq(plus!(anonymous_usage::completion_tokens, completion_tokens)),
                    anonymous_usage::cost_micros.eq(plus!(anonymous_usage::cost_micros, cost_micros)),
                ))
                .execute(c)
                .await?;
            Ok(())
        }
    }
}

impl Store {
    /// Returns what a user has used on each day from `first` to `last`, newest first, without the days of no use. Days
    /// are counted from 1970-01-01 UTC.
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

    /// Returns a page of the users who have used or hold at least these tokens or millionths of the currency on a
    /// day, in the order of their ids, and whether more follow. `after` is the last of the page before.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn usage_from(
        &self,
        day: i64,
        tokens: i64,
        micros: i64,
        after: Option<UserId>,
        limit: u32,
    ) -> StoreResult<(Vec<UsageRow>, bool)> {
        read!(self, |c| {
            let used_tokens =
                plus!(usage_days::prompt_tokens, 0) + plus!(usage_days::completion_tokens, 0) + usage_days::held_tokens;
            let used_micros = plus!(usage_days::cost_micros, 0) + usage_days::held_micros;
            let mut query = usage_days::table
                .filter(usage_days::day.eq(day))
                .filter(used_tokens.ge(tokens).or(used_micros.ge(micros)))
                .order(usage_days::user_id.asc())
                .limit(i64::from(limit) + 1)
                .select(UsageRow::as_select())
                .into_boxed();
            if let Some(after) = after {
                query = query.filter(usage_days::user_id.gt(after));
            }
            Ok(truncate_page(query.load::<UsageRow>(c).await?, limit))
        })
    }

    /// Books an additional charge of a run that was created at `created_at` and has been settled.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn usage_add(
        &self,
        user_id: UserId,
        created_at: UtcTime,
        charge: Charge,
        uses: Vec<ModelUse>,
        scopes: String,
    ) -> StoreResult<()> {
        let held = Held { scopes, ..Held::default() };
        tx!(self, |c| { c.book_late(user_id, day_of(created_at), 0, charge, uses, held).await })
    }

    /// Raises what an active run holds to at least the amounts of `reservation`. Returns what it holds then.
    ///
    /// # Errors
    /// [`StoreError::LimitReached`] if less is left, [`Conflict::RunSuperseded`] if the token is not current.
    pub async fn budget_top_up(&self, token: FencingToken, reservation: Reservation) -> StoreResult<Held> {
        tx!(self, |c| {
            // The update changes nothing. It locks the run, whose end releases what it holds.
            let current = runs::table.find(token.run_id).filter(runs::epoch.eq(token.epoch));
            let run: RunRow = diesel::update(current.filter(runs::finished_at.is_null()))
                .set(runs::epoch.eq(token.epoch))
                .returning(RunRow::as_returning())
                .get_result(c)
                .await
                .optional()?
                .ok_or(Conflict::RunSuperseded)?;
            let tokens = reservation.tokens.max(run.held_tokens);
            let micros = reservation.micros.max(run.held_micros);
            let more = Reservation {
                tokens: tokens - run.held_tokens,
                micros: micros - run.held_micros,
                shared: run.shared_budgets(&reservation.shared),
                ..reservation
            };
            c.hold_budget(run.user_id, day_of(run.created_at), &more).await?;
            diesel::update(runs::table.find(token.run_id))
                .set((runs::held_tokens.eq(tokens), runs::held_micros.eq(micros)))
                .execute(c)
                .await?;
            Ok(Held { tokens, micros, scopes: run.budget_scopes })
        })
    }

    /// Returns what was used of the shared budgets on a day.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn shared_budgets(&self, day: i64) -> StoreResult<Vec<BudgetRow>> {
        read!(self, |c| {
            Ok(budget_days::table.filter(budget_days::day.eq(day)).select(BudgetRow::as_select()).load(c).await?)
        })
    }
}
