//! The audit log: who did what for which user.

use super::db::Store;
use super::error::StoreResult;
use super::query::RunQueryDsl;
use super::rows::AuditRow;
use super::unit::{change, read, tx};
use diesel::prelude::*;
use threadline_schema::db::tables::audit_log;
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::UserId;

/// Returns the actor of what a user has done.
pub fn user_actor(user_id: UserId) -> String {
    format!("user:{user_id}")
}

impl Store {
    /// Appends entries, all or none.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn audit_append(&self, entries: Vec<AuditRow>) -> StoreResult<()> {
        tx!(self, |c| {
            for entry in entries {
                diesel::insert_into(audit_log::table).values(entry).execute(c).await?;
            }
            Ok(())
        })
    }

    /// Returns the newest entries, newest first, at most `limit`.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn audit_newest(&self, limit: u32) -> StoreResult<Vec<AuditRow>> {
        read!(self, |c| {
            Ok(audit_log::table
                .order((audit_log::at.desc(), audit_log::id.desc()))
                .select(AuditRow::as_select())
                .limit(i64::from(limit))
                .load(c)
                .await?)
        })
    }

    /// Deletes the entries from before a time.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn audit_trim(&self, before: UtcTime) -> StoreResult<usize> {
        change!(self, |c| { Ok(diesel::delete(audit_log::table.filter(audit_log::at.lt(before))).execute(c).await?) })
    }
}
