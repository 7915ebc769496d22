//! Usage in sums, for the console: of all users per day, agent and model, and of each user per month. They change in
//! the transaction that books the usage, so the console never adds up the rows of all users.

use super::advisory_lock::{AdvisoryLock, Job};
use super::db::Store;
use super::error::StoreResult;
use super::query::{FixedDsl, RunQueryDsl};
use super::rows::{MonthRow, UsageRow};
use super::truncate_page;
use super::unit::{LiteConn, PgConn, read, tx};
use super::usage::{Charge, MAX, bounded, plus};
use chrono::{DateTime, Datelike, Months, NaiveDate, TimeDelta};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text};
use std::collections::BTreeMap;
use std::sync::Arc;
use threadline_schema::db::tables::{anonymous_usage, usage_days, usage_months, usage_sums};
use threadline_schema::db::types::sql::Id;
use threadline_schema::ids::UserId;

/// Rows that share the writes of a day, agent and model on PostgreSQL: as many runs can end without waiting for each
/// other.
const SLOTS: u64 = 16;

/// The one statement by which PostgreSQL books usage. Each part reads the one before, so that all transactions lock
/// rows in the same order.
const BOOK: &str = "\
WITH booked AS (\
INSERT INTO usage_days (user_id, day, runs, unpriced_runs, prompt_tokens, completion_tokens, cost_micros, held_tokens, \
held_micros) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0) \
ON CONFLICT (user_id, day) DO UPDATE SET runs = usage_days.runs + $3, unpriced_runs = usage_days.unpriced_runs + $4, \
prompt_tokens = CASE WHEN usage_days.prompt_tokens > $10 - $5 THEN $10 ELSE usage_days.prompt_tokens + $5 END, \
completion_tokens = CASE WHEN usage_days.completion_tokens > $10 - $6 THEN $10 ELSE usage_days.completion_tokens + $6 END, \
cost_micros = CASE WHEN usage_days.cost_micros > $10 - $7 THEN $10 ELSE usage_days.cost_micros + $7 END, \
held_tokens = usage_days.held_tokens - $8, held_micros = usage_days.held_micros - $9 \
RETURNING user_id, CASE WHEN $3 + $5 + $6 > 0 AND runs = $3 AND prompt_tokens = $5 AND completion_tokens = $6 \
THEN 1 ELSE 0 END AS is_first), \
in_month AS (\
INSERT INTO usage_months (month, user_id, runs, unpriced_runs, tokens, cost_micros) \
SELECT $11, user_id, $3, $4, $12, $7 FROM booked \
ON CONFLICT (user_id, month) DO UPDATE SET runs = usage_months.runs + $3, \
unpriced_runs = usage_months.unpriced_runs + $4, \
tokens = CASE WHEN usage_months.tokens > $10 - $12 THEN $10 ELSE usage_months.tokens + $12 END, \
cost_micros = CASE WHEN usage_months.cost_micros > $10 - $7 THEN $10 ELSE usage_months.cost_micros + $7 END \
RETURNING user_id) \
INSERT INTO usage_sums (day, agent, model, slot, users, runs, unpriced_runs, prompt_tokens, completion_tokens, cost_micros) \
SELECT $2, part.agent, part.model, $13, part.answers * booked.is_first, part.answers * $3, part.answers * $4, \
part.prompt_tokens, part.completion_tokens, part.cost_micros \
FROM booked CROSS JOIN in_month CROSS JOIN unnest($14, $15, $16, $17, $18, $19) \
AS part (agent, model, answers, prompt_tokens, completion_tokens, cost_micros) \
ORDER BY part.agent, part.model \
ON CONFLICT (day, agent, model, slot) DO UPDATE SET users = usage_sums.users + excluded.users, \
runs = usage_sums.runs + excluded.runs, unpriced_runs = usage_sums.unpriced_runs + excluded.unpriced_runs, \
prompt_tokens = CASE WHEN usage_sums.prompt_tokens > $10 - excluded.prompt_tokens THEN $10 \
ELSE usage_sums.prompt_tokens + excluded.prompt_tokens END, \
completion_tokens = CASE WHEN usage_sums.completion_tokens > $10 - excluded.completion_tokens THEN $10 \
ELSE usage_sums.completion_tokens + excluded.completion_tokens END, \
cost_micros = CASE WHEN usage_sums.cost_micros > $10 - excluded.cost_micros THEN $10 \
ELSE usage_sums.cost_micros + excluded.cost_micros END";

/// The part of a charge that one model has used for one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelUse {
    /// Name of the agent.
    pub agent: Arc<str>,
    /// Name of the model.
    pub model: Arc<str>,
    /// Input tokens.
    pub prompt_tokens: i64,
    /// Output tokens.
    pub completion_tokens: i64,
    /// Their cost in millionths of the currency; 0 if it is not known.
    pub cost_micros: i64,
}

/// What all users have used on one day with one model for one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageSum {
    /// Days since 1970-01-01, UTC.
    pub day: i64,
    /// Name of the agent; empty if it is not known.
    pub agent: String,
    /// Name of the model; empty if it is not known.
    pub model: String,
    /// Accounts whose first usage of the day this was.
    pub users: i64,
    /// Runs that have ended with an answer of this model.
    pub runs: i64,
    /// Those whose cost is not known.
    pub unpriced_runs: i64,
    /// Input tokens.
    pub prompt_tokens: i64,
    /// Output tokens.
    pub completion_tokens: i64,
    /// Millionths of the currency.
    pub cost_micros: i64,
}

/// What is booked for a user, once.
pub(super) struct Booking {
    user_id: UserId,
    day: i64,
    runs: i64,
    unpriced_runs: i64,
    prompt_tokens: i64,
    completion_tokens: i64,
    cost_micros: i64,
    parts: Vec<Part>,
}

/// What is booked for an agent and a model.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    agent: Arc<str>,
    model: Arc<str>,
    /// 1 of the model that has written the answer, for which the run is counted, and 0 of the others.
    answers: i64,
    prompt_tokens: i64,
    completion_tokens: i64,
    cost_micros: i64,
}

impl Booking {
    /// `uses` are parts of the charge, that of the model which has written the answer last. It also gets what is in the
    /// charge and in none of them.
    pub(super) fn new(user_id: UserId, day: i64, runs: i64, charge: Charge, uses: Vec<ModelUse>) -> Self {
        let Charge { prompt_tokens, completion_tokens, cost_micros } = charge.bounded();
        let has_no_price = cost_micros.is_none() && (prompt_tokens, completion_tokens) != (0, 0);
        let cost_micros = cost_micros.unwrap_or_default();
        Self {
            user_id,
            day,
            runs,
            unpriced_runs: if has_no_price { runs } else { 0 },
            prompt_tokens,
            completion_tokens,
            cost_micros,
            parts: parts(prompt_tokens, completion_tokens, cost_micros, uses),
        }
    }

    /// Returns the row of a user and day with nothing but this.
    pub(super) fn usage(&self) -> UsageRow {
        UsageRow {
            runs: self.runs,
            unpriced_runs: self.unpriced_runs,
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.completion_tokens,
            cost_micros: self.cost_micros,
            ..UsageRow::unused(self.user_id, self.day)
        }
    }

    fn tokens(&self) -> i64 {
        bounded(self.prompt_tokens.saturating_add(self.completion_tokens))
    }
}

/// Divides numbers among models. Their sum stays the same.
fn parts(prompt_tokens: i64, completion_tokens: i64, cost_micros: i64, uses: Vec<ModelUse>) -> Vec<Part> {
    let answered: (Arc<str>, Arc<str>) =
        uses.last().map_or_else(|| ("".into(), "".into()), |last| (last.agent.clone(), last.model.clone()));
    let mut left = [prompt_tokens, completion_tokens, cost_micros];
    let mut of_models: BTreeMap<(Arc<str>, Arc<str>), [i64; 3]> = BTreeMap::new();
    for ModelUse { agent, model, prompt_tokens, completion_tokens, cost_micros } in uses {
        let numbers = of_models.entry((agent, model)).or_default();
        for ((number, left), used) in
            numbers.iter_mut().zip(&mut left).zip([prompt_tokens, completion_tokens, cost_micros])
        {
            let taken = used.clamp(0, *left);
            *number += taken;
            *left -= taken;
        }
    }
    let rest = of_models.entry(answered.clone()).or_default();
    for (number, left) in rest.iter_mut().zip(left) {
        *number += left;
    }
    let parts = of_models.into_iter().map(|(key, [prompt_tokens, completion_tokens, cost_micros])| {
        let answers = i64::from(key == answered);
        let (agent, model) = key;
        Part { agent, model, answers, prompt_tokens, completion_tokens, cost_micros }
    });
    parts.collect()
}

/// Returns the month of a day: both count from January 1970.
pub fn month_of(day: i64) -> i64 {
    date(day).map_or(0, |date| (i64::from(date.year()) - 1970) * 12 + i64::from(date.month0()))
}

/// Returns the first and the last day of a month.
fn days_of(month: i64) -> Option<(i64, i64)> {
    let first = epoch().checked_add_months(Months::new(u32::try_from(month).ok()?))?;
    let next = first.checked_add_months(Months::new(1))?;
    Some(((first - epoch()).num_days(), (next - epoch()).num_days() - 1))
}

fn date(day: i64) -> Option<NaiveDate> {
    epoch().checked_add_signed(TimeDelta::try_days(day)?)
}

fn epoch() -> NaiveDate {
    DateTime::UNIX_EPOCH.date_naive()
}

/// Writes what is booked.
pub(super) trait BookingWrites {
    /// Adds to the sums of user and day, user and month, and agent, model and day. Releases what the user's day holds.
    fn write_booking(
        &mut self,
        booking: Booking,
        held_tokens: i64,
        held_micros: i64,
    ) -> impl Future<Output = StoreResult<()>> + Send;
}

impl BookingWrites for PgConn {
    async fn write_booking(&mut self, booking: Booking, held_tokens: i64, held_micros: i64) -> StoreResult<()> {
        let (_, random) = booking.user_id.as_uuid().as_u64_pair();
        let slot = i64::try_from(random % SLOTS).unwrap_or_default();
        let parts = &booking.parts;
        let texts = |of: fn(&Part) -> &str| parts.iter().map(of).collect::<Vec<_>>();
        let numbers = |of: fn(&Part) -> i64| parts.iter().map(of).collect::<Vec<_>>();
        diesel::sql_query(BOOK)
            .bind::<Id, _>(booking.user_id)
            .bind::<BigInt, _>(booking.day)
            .bind::<BigInt, _>(booking.runs)
            .bind::<BigInt, _>(booking.unpriced_runs)
            .bind::<BigInt, _>(booking.prompt_tokens)
            .bind::<BigInt, _>(booking.completion_tokens)
            .bind::<BigInt, _>(booking.cost_micros)
            .bind::<BigInt, _>(held_tokens)
            .bind::<BigInt, _>(held_micros)
            .bind::<BigInt, _>(MAX)
            .bind::<BigInt, _>(month_of(booking.day))
            .bind::<BigInt, _>(booking.tokens())
            .bind::<BigInt, _>(slot)
            .bind::<Array<Text>, _>(texts(|part| &part.agent))
            .bind::<Array<Text>, _>(texts(|part| &part.model))
            .bind::<Array<BigInt>, _>(numbers(|part| part.answers))
            .bind::<Array<BigInt>, _>(numbers(|part| part.prompt_tokens))
            .bind::<Array<BigInt>, _>(numbers(|part| part.completion_tokens))
            .bind::<Array<BigInt>, _>(numbers(|part| part.cost_micros))
            .fixed()
            .execute(self)
            .await?;
        Ok(())
    }
}

impl BookingWrites for LiteConn {
    async fn write_booking(&mut self, booking: Booking, held_tokens: i64, held_micros: i64) -> StoreResult<()> {
        let (tokens, row) = (booking.tokens(), booking.usage());
        let Booking { user_id, day, runs, unpriced_runs, prompt_tokens, completion_tokens, cost_micros, parts } =
            booking;
        let booked = diesel::insert_into(usage_days::table)
            .values(row)
            .on_conflict((usage_days::user_id, usage_days::day))
            .do_update()
            .set((
                usage_days::runs.eq(usage_days::runs + runs),
                usage_days::unpriced_runs.eq(usage_days::unpriced_runs + unpriced_runs),
                usage_days::prompt_tokens.eq(plus!(usage_days::prompt_tokens, prompt_tokens)),
                usage_days::completion_tokens.eq(plus!(usage_days::completion_tokens, completion_tokens)),
                usage_days::cost_micros.eq(plus!(usage_days::cost_micros, cost_micros)),
                usage_days::held_tokens.eq(usage_days::held_tokens - held_tokens),
                usage_days::held_micros.eq(usage_days::held_micros - held_micros),
            ))
            .returning(UsageRow::as_returning())
            .fixed()
            .get_result::<UsageRow>(self)
            .await?;
        let is_first = (runs, prompt_tokens, completion_tokens) != (0, 0, 0)
            && (booked.runs, booked.prompt_tokens, booked.completion_tokens)
                == (runs, prompt_tokens, completion_tokens);
        let month = month_of(day);
        diesel::insert_into(usage_months::table)
            .values(MonthRow { month, user_id, runs, unpriced_runs, tokens, cost_micros })
            .on_conflict((usage_months::user_id, usage_months::month))
            .do_update()
            .set((
                usage_months::runs.eq(usage_months::runs + runs),
                usage_months::unpriced_runs.eq(usage_months::unpriced_runs + unpriced_runs),
                usage_months::tokens.eq(plus!(usage_months::tokens, tokens)),
                usage_months::cost_micros.eq(plus!(usage_months::cost_micros, cost_micros)),
            ))
            .fixed()
            .execute(self)
            .await?;
        for part in parts {
            let users = part.answers * i64::from(is_first);
            let (runs, unpriced_runs) = (part.answers * runs, part.answers * unpriced_runs);
            diesel::insert_into(usage_sums::table)
                .values((
                    usage_sums::day.eq(day),
                    usage_sums::agent.eq(&*part.agent),
                    usage_sums::model.eq(&*part.model),
                    usage_sums::slot.eq(0_i64),
                    usage_sums::users.eq(users),
                    usage_sums::runs.eq(runs),
                    usage_sums::unpriced_runs.eq(unpriced_runs),
                    usage_sums::prompt_tokens.eq(part.prompt_tokens),
                    usage_sums::completion_tokens.eq(part.completion_tokens),
                    usage_sums::cost_micros.eq(part.cost_micros),
                ))
                .on_conflict((usage_sums::day, usage_sums::agent, usage_sums::model, usage_sums::slot))
                .do_update()
                .set((
                    usage_sums::users.eq(usage_sums::users + users),
                    usage_sums::runs.eq(usage_sums::runs + runs),
                    usage_sums::unpriced_runs.eq(usage_sums::unpriced_runs + unpriced_runs),
                    usage_sums::prompt_tokens.eq(plus!(usage_sums::prompt_tokens, part.prompt_tokens)),
                    usage_sums::completion_tokens.eq(plus!(usage_sums::completion_tokens, part.completion_tokens)),
                    usage_sums::cost_micros.eq(plus!(usage_sums::cost_micros, part.cost_micros)),
                ))
                .fixed()
                .execute(self)
                .await?;
        }
        Ok(())
    }
}

type Sums = (i64, i64, i64, i64, i64, i64);

impl Store {
    /// Returns what all users have used from day `first` to `last`, newest day first, by agent and model. A sum stops
    /// at 2·10^18.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn usage_sums(&self, first: i64, last: i64) -> StoreResult<Vec<UsageSum>> {
        let [users, runs, unpriced_runs, prompt_tokens, completion_tokens, cost_micros] =
            ["users", "runs", "unpriced_runs", "prompt_tokens", "completion_tokens", "cost_micros"]
                .map(|column| self.sum_of(column));
        read!(self, |c| {
            let rows: Vec<(i64, String, String, Sums)> = usage_sums::table
                .filter(usage_sums::day.between(first, last))
                .group_by((usage_sums::day, usage_sums::agent, usage_sums::model))
                .order((usage_sums::day.desc(), usage_sums::agent.asc(), usage_sums::model.asc()))
                .select((
                    usage_sums::day,
                    usage_sums::agent,
                    usage_sums::model,
                    (
                        sql::<BigInt>(&users),
                        sql::<BigInt>(&runs),
                        sql::<BigInt>(&unpriced_runs),
                        sql::<BigInt>(&prompt_tokens),
                        sql::<BigInt>(&completion_tokens),
                        sql::<BigInt>(&cost_micros),
                    ),
                ))
                .load(c)
                .await?;
            let sum = |(day, agent, model, sums): (i64, String, String, Sums)| {
                let (users, runs, unpriced_runs, prompt_tokens, completion_tokens, cost_micros) = sums;
                UsageSum {
                    day,
                    agent,
                    model,
                    users,
                    runs,
                    unpriced_runs,
                    prompt_tokens,
                    completion_tokens,
                    cost_micros,
                }
            };
            Ok(rows.into_iter().map(sum).collect())
        })
    }

    /// Returns a page of the users with usage in a month, the most expensive first, those of the same cost by their
    /// tokens, and whether more follow. `after` is cost, tokens and user of the last of the page before.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn usage_top_users(
        &self,
        month: i64,
        after: Option<(i64, i64, UserId)>,
        limit: u32,
    ) -> StoreResult<(Vec<MonthRow>, bool)> {
        read!(self, |c| {
            let mut query = usage_months::table
                .filter(usage_months::month.eq(month))
                .order((usage_months::cost_micros.desc(), usage_months::tokens.desc(), usage_months::user_id.desc()))
                .limit(i64::from(limit) + 1)
                .select(MonthRow::as_select())
                .into_boxed();
            if let Some((cost, tokens, user_id)) = after {
                // The first condition is the range of the index.
                let same_tokens = usage_months::tokens.eq(tokens).and(usage_months::user_id.lt(user_id));
                query = query
                    .filter(usage_months::cost_micros.le(cost))
                    .filter(usage_months::cost_micros.lt(cost).or(usage_months::tokens.lt(tokens)).or(same_tokens));
            }
            Ok(truncate_page(query.load::<MonthRow>(c).await?, limit))
        })
    }

    /// Adds to the sums of a day, and of its month, what is in the rows of users and not in the sums: processes of the
    /// release before, which may run beside this one during an upgrade or after a rollback, do not know the sums. One
    /// process at a time does it.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn usage_sums_catch_up(&self, day: i64) -> StoreResult<()> {
        let sums = ["runs", "unpriced_runs", "prompt_tokens", "completion_tokens", "cost_micros"]
            .map(|column| self.sum_of(column));
        let users = self.sum_of("users");
        let months = self.months_catch_up(day);
        tx!(self, |c| {
            if !c.try_lock(Job::SumUsage).await? {
                return Ok(());
            }
            // In this order: what moves from one table to the next between two queries is missed, and not counted
            // twice.
            let [runs, unpriced_runs, prompt_tokens, completion_tokens, cost_micros] = &sums;
            let erased: Vec<(i64, i64, i64, i64, i64)> = anonymous_usage::table
                .filter(anonymous_usage::day.eq(day))
                .select((
                    anonymous_usage::runs,
                    anonymous_usage::unpriced_runs,
                    anonymous_usage::prompt_tokens,
                    anonymous_usage::completion_tokens,
                    anonymous_usage::cost_micros,
                ))
                .load(c)
                .await?;
            let booked: Vec<Sums> = usage_days::table
                .filter(usage_days::day.eq(day))
                .group_by(usage_days::day)
                .select((
                    sql::<BigInt>("COUNT(*)"),
                    sql::<BigInt>(runs),
                    sql::<BigInt>(unpriced_runs),
                    sql::<BigInt>(prompt_tokens),
                    sql::<BigInt>(completion_tokens),
                    sql::<BigInt>(cost_micros),
                ))
                .load(c)
                .await?;
            let known: Vec<Sums> = usage_sums::table
                .filter(usage_sums::day.eq(day))
                .group_by(usage_sums::day)
                .select((
                    sql::<BigInt>(&users),
                    sql::<BigInt>(runs),
                    sql::<BigInt>(unpriced_runs),
                    sql::<BigInt>(prompt_tokens),
                    sql::<BigInt>(completion_tokens),
                    sql::<BigInt>(cost_micros),
                ))
                .load(c)
                .await?;
            let all = |rows: Vec<Sums>| rows.into_iter().next().map_or([0; 6], |(a, b, c, d, e, f)| [a, b, c, d, e, f]);
            let erased = erased.into_iter().next().map_or([0; 6], |(b, c, d, e, f)| [0, b, c, d, e, f]);
            let (booked, known) = (all(booked), all(known));
            let mut missing = [0; 6];
            for (((missing, booked), erased), known) in missing.iter_mut().zip(booked).zip(erased).zip(known) {
                *missing = booked.saturating_add(erased).saturating_sub(known).clamp(0, MAX);
            }
            if missing != [0; 6] {
                let [users, runs, unpriced_runs, prompt_tokens, completion_tokens, cost_micros] = missing;
                diesel::insert_into(usage_sums::table)
                    .values((
                        usage_sums::day.eq(day),
                        usage_sums::agent.eq(""),
                        usage_sums::model.eq(""),
                        usage_sums::slot.eq(0_i64),
                        usage_sums::users.eq(users),
                        usage_sums::runs.eq(runs),
                        usage_sums::unpriced_runs.eq(unpriced_runs),
                        usage_sums::prompt_tokens.eq(prompt_tokens),
                        usage_sums::completion_tokens.eq(completion_tokens),
                        usage_sums::cost_micros.eq(cost_micros),
                    ))
                    .on_conflict((usage_sums::day, usage_sums::agent, usage_sums::model, usage_sums::slot))
                    .do_update()
                    .set((
                        usage_sums::users.eq(usage_sums::users + users),
                        usage_sums::runs.eq(usage_sums::runs + runs),
                        usage_sums::unpriced_runs.eq(usage_sums::unpriced_runs + unpriced_runs),
                        usage_sums::prompt_tokens.eq(plus!(usage_sums::prompt_tokens, prompt_tokens)),
                        usage_sums::completion_tokens.eq(plus!(usage_sums::completion_tokens, completion_tokens)),
                        usage_sums::cost_micros.eq(plus!(usage_sums::cost_micros, cost_micros)),
                    ))
                    .execute(c)
                    .await?;
            }
            if let Some(months) = months {
                diesel::sql_query(months).execute(c).await?;
            }
            Ok(())
        })
    }

    /// Returns the statement that adds to the month of a day what its users have used and is not in the sums. It reads
    /// both from one snapshot, and adds, so what is booked meanwhile is not lost.
    fn months_catch_up(&self, day: i64) -> Option<String> {
        let month = month_of(day);
        let (first, last) = days_of(month)?;
        let more = if self.is_postgres() { "GREATEST" } else { "MAX" };
        let [runs, unpriced, prompt, completion, cost] =
            ["runs", "unpriced_runs", "prompt_tokens", "completion_tokens", "cost_micros"]
                .map(|column| self.sum_of(column));
        let missing = |column: &str| format!("{more}(booked.{column} - COALESCE(known.{column}, 0), 0)");
        let [missing_runs, missing_unpriced, missing_tokens, missing_cost] =
            ["runs", "unpriced_runs", "tokens", "cost_micros"].map(missing);
        Some(format!(
            "INSERT INTO usage_months (month, user_id, runs, unpriced_runs, tokens, cost_micros) \
             SELECT {month}, booked.user_id, {missing_runs}, {missing_unpriced}, {missing_tokens}, {missing_cost} \
             FROM (SELECT user_id, {runs} AS runs, {unpriced} AS unpriced_runs, {prompt} + {completion} AS tokens, \
             {cost} AS cost_micros FROM usage_days WHERE day BETWEEN {first} AND {last} \
             AND user_id IN (SELECT user_id FROM usage_days WHERE day = {day}) GROUP BY user_id) AS booked \
             LEFT JOIN usage_months AS known ON known.month = {month} AND known.user_id = booked.user_id \
             WHERE booked.runs > COALESCE(known.runs, 0) OR booked.tokens > COALESCE(known.tokens, 0) \
             OR booked.cost_micros > COALESCE(known.cost_micros, 0) \
             ON CONFLICT (user_id, month) DO UPDATE SET runs = usage_months.runs + excluded.runs, \
             unpriced_runs = usage_months.unpriced_runs + excluded.unpriced_runs, \
             tokens = usage_months.tokens + excluded.tokens, \
             cost_micros = usage_months.cost_micros + excluded.cost_micros"
        ))
    }

    /// Returns the sum of a column that does not fail when it is larger than a column. SQLite sums as floating point
    /// then.
    fn sum_of(&self, column: &str) -> String {
        if self.is_postgres() {
            format!("CAST(LEAST(SUM({column}), {MAX}) AS BIGINT)")
        } else {
            format!("CAST(MIN(TOTAL({column}), {MAX}) AS INTEGER)")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(model: &str, prompt_tokens: i64, cost_micros: i64) -> ModelUse {
        ModelUse { agent: "a".into(), model: model.into(), prompt_tokens, completion_tokens: 1, cost_micros }
    }

    #[test]
    fn the_parts_of_a_charge_are_the_charge() {
        let shares = |uses: Vec<ModelUse>| {
            let parts = parts(10, 5, 100, uses);
            assert_eq!(parts.iter().map(|part| part.answers).sum::<i64>(), 1);
            for (of, sum) in [(0, 10), (1, 5), (2, 100)] {
                let number = |part: &Part| [part.prompt_tokens, part.completion_tokens, part.cost_micros][of];
                assert_eq!(parts.iter().map(number).sum::<i64>(), sum);
            }
            let share = |part: Part| (part.model.to_string(), part.answers, part.prompt_tokens, part.cost_micros);
            parts.into_iter().map(share).collect::<Vec<_>>()
        };
        let of = |model: &str, answers, prompt, cost| (model.to_owned(), answers, prompt, cost);
        assert_eq!(shares(vec![]), [of("", 1, 10, 100)], "nobody knows which model it was");
        assert_eq!(shares(vec![used("x", 3, 40), used("b", 2, 10)]), [of("b", 1, 7, 60), of("x", 0, 3, 40)]);
        assert_eq!(shares(vec![used("x", 30, 400), used("x", 2, 10)]), [of("x", 1, 10, 100)]);
    }

    #[test]
    fn days_have_months() {
        assert_eq!((month_of(0), month_of(30), month_of(31), month_of(20_000)), (0, 0, 1, 657));
        assert_eq!(days_of(0), Some((0, 30)));
        assert_eq!(days_of(657), Some((19_997, 20_027)));
        assert_eq!((days_of(-1), days_of(i64::MAX)), (None, None));
    }
}
