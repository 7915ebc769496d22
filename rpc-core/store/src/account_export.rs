//! What is stored about a user, in pages: for an archive of everything.

use super::audit_log::user_actor;
use super::db::Store;
use super::error::StoreResult;
use super::query::RunQueryDsl;
use super::rows::{AttachmentRow, AuditRow, FeedbackRow, ItemRow, RunRow, TaskRow, ThreadRow, UsageRow};
use super::unit::read;
use diesel::prelude::*;
use threadline_schema::db::tables::{attachments, audit_log, feedback, items, runs, tasks, threads, usage_days};
use threadline_schema::ids::{AttachmentId, AuditId, ItemId, TaskId, ThreadId, UserId};

/// A page of a list, in the order of ids or positions. Every id is greater than the nil id.
macro_rules! page {
    ($store:expr, $table:ident, $row:ty, $filter:expr, $order:expr, $limit:expr) => {
        read!($store, |c| {
            Ok($table::table
                .filter($filter)
                .order($order)
                .select(<$row>::as_select())
                .limit(i64::from($limit))
                .load(c)
                .await?)
        })
    };
}

impl Store {
    /// Returns the tasks of a user after one.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn export_tasks(&self, user_id: UserId, after: Option<TaskId>, limit: u32) -> StoreResult<Vec<TaskRow>> {
        let after = after.unwrap_or(TaskId::nil());
        page!(self, tasks, TaskRow, tasks::user_id.eq(user_id).and(tasks::id.gt(after)), tasks::id.asc(), limit)
    }

    /// Returns the threads of a user after one, archived or not.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn export_threads(
        &self,
        user_id: UserId,
        after: Option<ThreadId>,
        limit: u32,
    ) -> StoreResult<Vec<ThreadRow>> {
        let after = after.unwrap_or(ThreadId::nil());
        let rest = threads::user_id.eq(user_id).and(threads::id.gt(after));
        page!(self, threads, ThreadRow, rest, threads::id.asc(), limit)
    }

    /// Returns the items of a thread after a position, hidden ones too.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn export_items(&self, thread_id: ThreadId, after: i64, limit: u32) -> StoreResult<Vec<ItemRow>> {
        let rest = items::thread_id.eq(thread_id).and(items::position.gt(after));
        page!(self, items, ItemRow, rest, items::position.asc(), limit)
    }

    /// Returns the runs of a thread after a position.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn export_runs(&self, thread_id: ThreadId, after: i64, limit: u32) -> StoreResult<Vec<RunRow>> {
        let rest = runs::thread_id.eq(thread_id).and(runs::position.gt(after));
        page!(self, runs, RunRow, rest, runs::position.asc(), limit)
    }

    /// Returns what a user thinks of the items of a thread, after an item.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn export_feedback(
        &self,
        user_id: UserId,
        thread_id: ThreadId,
        after: Option<ItemId>,
        limit: u32,
    ) -> StoreResult<Vec<FeedbackRow>> {
        let after = after.unwrap_or(ItemId::nil());
        let of_user = feedback::thread_id.eq(thread_id).and(feedback::user_id.eq(user_id));
        page!(self, feedback, FeedbackRow, of_user.and(feedback::item_id.gt(after)), feedback::item_id.asc(), limit)
    }

    /// Returns the attachments of a user after one.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn export_attachments(
        &self,
        user_id: UserId,
        after: Option<AttachmentId>,
        limit: u32,
    ) -> StoreResult<Vec<AttachmentRow>> {
        let after = after.unwrap_or(AttachmentId::nil());
        let rest = attachments::user_id.eq(user_id).and(attachments::id.gt(after));
        page!(self, attachments, AttachmentRow, rest, attachments::id.asc(), limit)
    }

    /// Returns the entries of the audit log about a user, and about what the user has done, after one.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn export_audit(
        &self,
        user_id: UserId,
        after: Option<AuditId>,
        limit: u32,
    ) -> StoreResult<Vec<AuditRow>> {
        let after = after.unwrap_or(AuditId::nil());
        let of_user = audit_log::user_id.eq(Some(user_id)).or(audit_log::actor.eq(user_actor(user_id)));
        let rest = of_user.and(audit_log::id.gt(after));
        page!(self, audit_log, AuditRow, rest, audit_log::id.asc(), limit)
    }

    /// Returns the usage of a user on all days.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn export_usage(&self, user_id: UserId) -> StoreResult<Vec<UsageRow>> {
        read!(self, |c| {
            Ok(usage_days::table
                .filter(usage_days::user_id.eq(user_id))
                .order(usage_days::day.asc())
                .select(UsageRow::as_select())
                .load(c)
                .await?)
        })
    }
}
