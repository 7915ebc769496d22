//! What operators read about all users. Each query reads one page, in the order of an index.

use super::db::Store;
use super::error::StoreResult;
use super::query::RunQueryDsl;
use super::rows::{AuditRow, FeedbackRow, ItemRow, RunRow, ServiceKeyRow, ThreadRow, UserRow};
use super::truncate_page;
use super::unit::read;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Text;
use std::collections::HashMap;
use threadline_schema::chatkit::FeedbackKind;
use threadline_schema::db::tables::{
    audit_log, feedback, foreign_identities, items, runs, service_keys, threads, user_roles, users,
};
use threadline_schema::db::text::TextList;
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{AuditId, ItemId, RunId, ServiceKeyId, ThreadId, UserId};

/// The last character of Unicode: no address that begins with a text is after the text and this one.
const LAST_CHARACTER: char = '\u{10FFFF}';

/// A user with what operators see besides the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedUser {
    /// The account.
    pub user: UserRow,
    /// Email address: of the account, or else as the identity provider says.
    pub email: Option<String>,
    /// Roles, sorted.
    pub roles: Vec<String>,
    /// The budget class: as the operator has given it, or else as the identity provider says.
    pub budget_class: Option<String>,
}

/// A run that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRun {
    /// The run.
    pub run: RunRow,
    /// Its thread.
    pub thread: ThreadRow,
    /// The email address of its user.
    pub email: Option<String>,
}

/// What an identity provider says about a user: email, roles, budget class.
type ForeignParts = (UserId, Option<String>, TextList, Option<String>);

/// Reads a page of users. `$query` selects rows of users; the rest is read by their ids.
macro_rules! listed_users {
    ($c:ident, $rows:expr) => {{
        let rows: Vec<UserRow> = $rows;
        let ids: Vec<UserId> = rows.iter().map(|row| row.id).collect();
        let foreign: Vec<ForeignParts> = foreign_identities::table
            .filter(foreign_identities::user_id.eq_any(&ids))
            .select((
                foreign_identities::user_id,
                foreign_identities::email,
                foreign_identities::roles,
                foreign_identities::budget_class,
            ))
            .load($c)
            .await?;
        let given: Vec<(UserId, String)> = user_roles::table
            .filter(user_roles::user_id.eq_any(&ids))
            .select((user_roles::user_id, user_roles::role))
            .load($c)
            .await?;
        list_users(rows, foreign, given)
    }};
}

impl Store {
    /// Returns a page of accounts, newest first, and whether more follow. `after` is the last of the page before.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn console_users(&self, after: Option<UserId>, limit: u32) -> StoreResult<(Vec<ListedUser>, bool)> {
        read!(self, |c| {
            let mut query = users::table
                .order(users::id.desc())
                .limit(i64::from(limit) + 1)
                .select(UserRow::as_select())
                .into_boxed();
            if let Some(after) = after {
                query = query.filter(users::id.lt(after));
            }
            let (rows, has_more) = truncate_page(query.load::<UserRow>(c).await?, limit);
            Ok((listed_users!(c, rows), has_more))
        })
    }

    /// Returns a page of the accounts whose normalised email begins with `prefix`, in the order of the bytes of the
    /// emails, and whether more follow. `after` is the last of the page before; without it, or if it is gone, the page
    /// is the first.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn console_users_by_email(
        &self,
        prefix: String,
        after: Option<UserId>,
        limit: u32,
    ) -> StoreResult<(Vec<ListedUser>, bool)> {
        // The order of a collation is not that of prefixes. There is an index in the order of bytes on both databases.
        let column = if self.is_postgres() { r#"email COLLATE "C""# } else { "email" };
        let end = format!("{prefix}{LAST_CHARACTER}");
        read!(self, |c| {
            let mut first = prefix;
            let mut last_seen: Option<String> = None;
            if let Some(after) = after {
                last_seen = users::table.find(after).select(users::email).first(c).await.optional()?;
            }
            if let Some(email) = &last_seen {
                first.clone_from(email);
            }
            let rows: Vec<UserRow> = users::table
                .filter(sql::<Text>(column).ge(first))
                .filter(sql::<Text>(column).lt(end))
                .order(sql::<Text>(column).asc())
                // Of the first row, which may be the last of the page before.
                .limit(i64::from(limit) + 2)
                .select(UserRow::as_select())
                .load(c)
                .await?;
            let rows: Vec<UserRow> = rows.into_iter().filter(|row| last_seen.as_ref() != Some(&row.email)).collect();
            let (rows, has_more) = truncate_page(rows, limit);
            Ok((listed_users!(c, rows), has_more))
        })
    }

    /// Returns an account as operators see it.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn console_user(&self, id: UserId) -> StoreResult<Option<ListedUser>> {
        read!(self, |c| {
            let row: Option<UserRow> = users::table.find(id).select(UserRow::as_select()).first(c).await.optional()?;
            Ok(listed_users!(c, row.into_iter().collect()).pop())
        })
    }

    /// Returns a page of the runs that have not ended, newest first, and whether more follow. `after` is the last of
    /// the page before; it may have ended since.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn console_runs(&self, after: Option<RunId>, limit: u32) -> StoreResult<(Vec<ListedRun>, bool)> {
        read!(self, |c| {
            let mut query = runs::table
                .inner_join(threads::table)
                .filter(runs::finished_at.is_null())
                .order(runs::id.desc())
                .limit(i64::from(limit) + 1)
                .select((RunRow::as_select(), ThreadRow::as_select()))
                .into_boxed();
            if let Some(after) = after {
                query = query.filter(runs::id.lt(after));
            }
            let (rows, has_more) = truncate_page(query.load::<(RunRow, ThreadRow)>(c).await?, limit);
            let ids: Vec<UserId> = rows.iter().map(|(run, _)| run.user_id).collect();
            let accounts: Vec<UserRow> =
                users::table.filter(users::id.eq_any(&ids)).select(UserRow::as_select()).load(c).await?;
            let users = listed_users!(c, accounts);
            let emails: HashMap<UserId, Option<String>> =
                users.into_iter().map(|listed| (listed.user.id, listed.email)).collect();
            let listed = |(run, thread): (RunRow, ThreadRow)| {
                let email = emails.get(&run.user_id).cloned().flatten();
                ListedRun { run, thread, email }
            };
            Ok((rows.into_iter().map(listed).collect(), has_more))
        })
    }

    /// Returns the user of a run.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn console_user_of_run(&self, run_id: RunId) -> StoreResult<Option<UserId>> {
        read!(self, |c| { Ok(runs::table.find(run_id).select(runs::user_id).first(c).await.optional()?) })
    }

    /// Returns the user of a thread.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn console_user_of_thread(&self, id: ThreadId) -> StoreResult<Option<UserId>> {
        read!(self, |c| { Ok(threads::table.find(id).select(threads::user_id).first(c).await.optional()?) })
    }

    /// Returns the email addresses of users, of those that have one.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn console_emails(&self, ids: Vec<UserId>) -> StoreResult<HashMap<UserId, String>> {
        read!(self, |c| {
            let rows: Vec<UserRow> =
                users::table.filter(users::id.eq_any(&ids)).select(UserRow::as_select()).load(c).await?;
            let listed = listed_users!(c, rows);
            Ok(listed.into_iter().filter_map(|listed| Some((listed.user.id, listed.email?))).collect())
        })
    }

    /// Returns a page of all feedback, newest first, and whether more follows. `after` is the position of the last of
    /// the page before.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn console_feedback(
        &self,
        kind: Option<FeedbackKind>,
        after: Option<(UtcTime, ItemId)>,
        limit: u32,
    ) -> StoreResult<(Vec<FeedbackRow>, bool)> {
        read!(self, |c| {
            let mut query = feedback::table
                .order((feedback::created_at.desc(), feedback::item_id.desc()))
                .limit(i64::from(limit) + 1)
                .select(FeedbackRow::as_select())
                .into_boxed();
            if let Some(kind) = kind {
                query = query.filter(feedback::kind.eq(kind));
            }
            if let Some((at, item_id)) = after {
                // The first condition is the range of the index.
                query = query
                    .filter(feedback::created_at.le(at))
                    .filter(feedback::created_at.lt(at).or(feedback::item_id.lt(item_id)));
            }
            Ok(truncate_page(query.load::<FeedbackRow>(c).await?, limit))
        })
    }

    /// Returns the visible items with these ids, in no order.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn console_items(&self, ids: Vec<ItemId>) -> StoreResult<Vec<ItemRow>> {
        read!(self, |c| {
            Ok(items::table
                .filter(items::id.eq_any(&ids))
                .filter(items::hidden.eq(false))
                .select(ItemRow::as_select())
                .load(c)
                .await?)
        })
    }

    /// Returns a page of the service keys, newest first, and whether more follow. `after` is the last of the page
    /// before.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn console_keys(
        &self,
        after: Option<ServiceKeyId>,
        limit: u32,
    ) -> StoreResult<(Vec<ServiceKeyRow>, bool)> {
        read!(self, |c| {
            let mut query = service_keys::table
                .order(service_keys::id.desc())
                .limit(i64::from(limit) + 1)
                .select(ServiceKeyRow::as_select())
                .into_boxed();
            if let Some(after) = after {
                query = query.filter(service_keys::id.lt(after));
            }
            Ok(truncate_page(query.load::<ServiceKeyRow>(c).await?, limit))
        })
    }

    /// Returns a page of the audit log, or of its entries about one user, newest first, and whether more follow.
    /// `after` is the position of the last of the page before.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn console_audit(
        &self,
        user_id: Option<UserId>,
        after: Option<(UtcTime, AuditId)>,
        limit: u32,
    ) -> StoreResult<(Vec<AuditRow>, bool)> {
        read!(self, |c| {
            let mut query = audit_log::table
                .order((audit_log::at.desc(), audit_log::id.desc()))
                .limit(i64::from(limit) + 1)
                .select(AuditRow::as_select())
                .into_boxed();
            if let Some(user_id) = user_id {
                query = query.filter(audit_log::user_id.eq(Some(user_id)));
            }
            if let Some((at, id)) = after {
                query = query.filter(audit_log::at.le(at)).filter(audit_log::at.lt(at).or(audit_log::id.lt(id)));
            }
            Ok(truncate_page(query.load::<AuditRow>(c).await?, limit))
        })
    }
}

/// Adds emails and roles to accounts.
fn list_users(rows: Vec<UserRow>, foreign: Vec<ForeignParts>, given: Vec<(UserId, String)>) -> Vec<ListedUser> {
    let mut roles: HashMap<UserId, Vec<String>> = HashMap::new();
    let mut emails: HashMap<UserId, String> = HashMap::new();
    let mut classes: HashMap<UserId, String> = HashMap::new();
    for (id, email, named, class) in foreign {
        classes.extend(class.map(|class| (id, class)));
        roles.entry(id).or_default().extend(named.0);
        emails.extend(email.map(|email| (id, email)));
    }
    for (id, role) in given {
        roles.entry(id).or_default().push(role);
    }
    let listed = |user: UserRow| {
        let mut roles = roles.remove(&user.id).unwrap_or_default();
        roles.sort();
        roles.dedup();
        let email = user.own_email().map(str::to_owned).or_else(|| emails.remove(&user.id));
        let budget_class = user.budget_class.clone().or_else(|| classes.remove(&user.id));
        ListedUser { user, email, roles, budget_class }
    };
    rows.into_iter().map(listed).collect()
}
