//! How often models and tools have failed, per hour.

use super::db::Store;
use super::error::StoreResult;
use super::query::{FixedDsl, RunQueryDsl};
use super::unit::{LiteConn, PgConn, change, read, tx};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text};
use threadline_schema::db::tables::error_hours;
use threadline_schema::db::types::UtcTime;

/// Maximum number of rows of a report.
const MAX_ROWS: i64 = 500;

/// In the order of the key, so that processes lock rows in the same order.
const ADD: &str = "\
INSERT INTO error_hours (hour, kind, name, code, count) \
SELECT $1, part.kind, part.name, part.code, part.count FROM unnest($2, $3, $4, $5) AS part (kind, name, code, count) \
ORDER BY part.kind, part.name, part.code \
ON CONFLICT (hour, kind, name, code) DO UPDATE SET count = error_hours.count + excluded.count";

/// How often a part has failed with an error code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorCount {
    /// `model` or `tool`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The error code.
    pub code: String,
    /// How often.
    pub count: i64,
}

/// Returns the hour of a time, counted from 1970-01-01 UTC.
pub fn hour_of(at: UtcTime) -> i64 {
    at.utc().timestamp().div_euclid(3_600)
}

trait ErrorWrites {
    fn add_errors(&mut self, hour: i64, counts: Vec<ErrorCount>) -> impl Future<Output = StoreResult<()>> + Send;
}

impl ErrorWrites for PgConn {
    async fn add_errors(&mut self, hour: i64, counts: Vec<ErrorCount>) -> StoreResult<()> {
        let texts = |of: fn(&ErrorCount) -> &str| counts.iter().map(of).collect::<Vec<_>>();
        diesel::sql_query(ADD)
            .bind::<BigInt, _>(hour)
            .bind::<Array<Text>, _>(texts(|part| &part.kind))
            .bind::<Array<Text>, _>(texts(|part| &part.name))
            .bind::<Array<Text>, _>(texts(|part| &part.code))
            .bind::<Array<BigInt>, _>(counts.iter().map(|part| part.count).collect::<Vec<_>>())
            .fixed()
            .execute(self)
            .await?;
        Ok(())
    }
}

impl ErrorWrites for LiteConn {
    async fn add_errors(&mut self, hour: i64, counts: Vec<ErrorCount>) -> StoreResult<()> {
        for ErrorCount { kind, name, code, count } in counts {
            diesel::insert_into(error_hours::table)
                .values((
                    error_hours::hour.eq(hour),
                    error_hours::kind.eq(kind),
                    error_hours::name.eq(name),
                    error_hours::code.eq(code),
                    error_hours::count.eq(count),
                ))
                .on_conflict((error_hours::hour, error_hours::kind, error_hours::name, error_hours::code))
                .do_update()
                .set(error_hours::count.eq(error_hours::count + count))
                .fixed()
                .execute(self)
                .await?;
        }
        Ok(())
    }
}

impl Store {
    /// Adds to the counts of an hour. Each kind, name and code comes once.
    ///
    /// # Errors
    /// Only if the database fails; nothing is added then.
    pub async fn errors_add(&self, hour: i64, counts: Vec<ErrorCount>) -> StoreResult<()> {
        tx!(self, |c| { c.add_errors(hour, counts).await })
    }

    /// Returns how often each part has failed since an hour, by error code, the most frequent first, with the last
    /// hour.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn errors_since(&self, hour: i64) -> StoreResult<Vec<(ErrorCount, i64)>> {
        read!(self, |c| {
            let rows: Vec<(String, String, String, i64, i64)> = error_hours::table
                .filter(error_hours::hour.ge(hour))
                .group_by((error_hours::kind, error_hours::name, error_hours::code))
                .order((sql::<BigInt>("4").desc(), error_hours::kind.asc(), error_hours::name.asc()))
                .limit(MAX_ROWS)
                .select((
                    error_hours::kind,
                    error_hours::name,
                    error_hours::code,
                    sql::<BigInt>("CAST(SUM(count) AS BIGINT)"),
                    sql::<BigInt>("MAX(hour)"),
                ))
                .load(c)
                .await?;
            let counted = |(kind, name, code, count, last)| (ErrorCount { kind, name, code, count }, last);
            Ok(rows.into_iter().map(counted).collect())
        })
    }

    /// Returns how many failures each hour since one has had, oldest first, without the hours of none.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn errors_by_hour(&self, hour: i64) -> StoreResult<Vec<(i64, i64)>> {
        read!(self, |c| {
            Ok(error_hours::table
                .filter(error_hours::hour.ge(hour))
                .group_by(error_hours::hour)
                .order(error_hours::hour.asc())
                .select((error_hours::hour, sql::<BigInt>("CAST(SUM(count) AS BIGINT)")))
                .load(c)
                .await?)
        })
    }

    /// Deletes the counts of hours before one. Returns how many rows.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn errors_trim(&self, before: i64) -> StoreResult<usize> {
        change!(self, |c| {
            Ok(diesel::delete(error_hours::table.filter(error_hours::hour.lt(before))).execute(c).await?)
        })
    }
}
