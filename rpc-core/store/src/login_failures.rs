//! Failed logins by email, which all replicas count together.

use super::db::Store;
use super::error::StoreResult;
use super::query::RunQueryDsl;
use super::unit::{change, tx};
use chrono::TimeDelta;
use diesel::dsl::case_when;
use diesel::prelude::*;
use threadline_schema::db::tables::login_failures;
use threadline_schema::db::types::UtcTime;

/// Failures in a row that are free.
const FREE_FAILURES: i64 = 10;
/// Pause after the first failure that is not free. It doubles with each further one.
const FIRST_PAUSE: TimeDelta = TimeDelta::seconds(60);
/// Longest pause.
const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(1);
/// After so much time without an attempt, failures are forgotten.
const FORGET_AFTER: TimeDelta = TimeDelta::hours(24);

impl Store {
    /// Counts an attempt to log in as a failure, before it is known whether it is one: attempts at the same time all
    /// count. Returns until when no login may be tried, if that is not now.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn login_begin(&self, email_hash: String, now: UtcTime) -> StoreResult<Option<UtcTime>> {
        let forgotten = UtcTime::from(now.utc() - FORGET_AFTER);
        tx!(self, |c| {
            let fresh = (
                login_failures::email_hash.eq(&email_hash),
                login_failures::failures.eq(0_i64),
                login_failures::last_at.eq(now),
                login_failures::blocked_until.eq(now),
            );
            diesel::insert_into(login_failures::table).values(fresh).on_conflict_do_nothing().execute(c).await?;
            let free = login_failures::table.find(&email_hash).filter(login_failures::blocked_until.le(now));
            let one = 1_i64.into_sql::<diesel::sql_types::BigInt>();
            let counted = case_when(login_failures::last_at.lt(forgotten), one).otherwise(login_failures::failures + 1);
            let failures: Option<i64> = diesel::update(free)
                .set((login_failures::failures.eq(counted), login_failures::last_at.eq(now)))
                .returning(login_failures::failures)
                .get_result(c)
                .await
                .optional()?;
            let row = login_failures::table.find(&email_hash);
            match failures.map(pause_after) {
                None => Ok(Some(row.select(login_failures::blocked_until).first(c).await?)),
                Some(None) => Ok(None),
                Some(Some(pause)) => {
                    let until = UtcTime::from(now.utc() + pause);
                    diesel::update(row).set(login_failures::blocked_until.eq(until)).execute(c).await?;
                    Ok(None)
                }
            }
        })
    }

    /// Forgets the failures of an email, after a login that succeeded.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn login_succeeded(&self, email_hash: String) -> StoreResult<()> {
        change!(self, |c| {
            diesel::delete(login_failures::table.find(email_hash)).execute(c).await?;
            Ok(())
        })
    }

    /// Removes the failures that are forgotten. Returns how many emails they were of.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn login_failures_forget(&self, now: UtcTime) -> StoreResult<usize> {
        let forgotten = UtcTime::from(now.utc() - FORGET_AFTER);
        change!(self, |c| {
            let old = login_failures::table.filter(login_failures::last_at.lt(forgotten));
            Ok(diesel::delete(old).execute(c).await?)
        })
    }
}

/// Returns how long to wait after this number of failures in a row.
fn pause_after(failures: i64) -> Option<TimeDelta> {
    let beyond = u32::try_from(failures.checked_sub(FREE_FAILURES).filter(|beyond| *beyond >= 0)?).unwrap_or(u32::MAX);
    let factor = 1_i32.checked_shl(beyond).filter(|factor| *factor > 0).unwrap_or(i32::MAX);
    Some(FIRST_PAUSE.checked_mul(factor).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_an_hour() {
        assert_eq!((pause_after(1), pause_after(9)), (None, None));
        let minutes = |failures| pause_after(failures).map(|pause| pause.num_minutes());
        assert_eq!(minutes(10), Some(1));
        assert_eq!(minutes(12), Some(4));
        for many in [16, 40, 50, i64::MAX] {
            assert_eq!(minutes(many), Some(60), "{many}");
        }
    }
}
