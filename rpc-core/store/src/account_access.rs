//! Who may use an account: its generation of tokens, and whether it is disabled. Changes are recorded, so that each
//! process learns of them, also of those by commands.

use super::db::Store;
use super::error::{Conflict, Entity, OrNotFound, StoreResult};
use super::query::RunQueryDsl;
use super::rows::{AccessChangeRow, UserRow};
use super::unit::{change, read, steps, tx};
use diesel::prelude::*;
use threadline_schema::db::tables::{access_changes, account_erasures, users};
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{AccessChangeId, AccessSubjectId, UserId};

/// A change of access, and when: its id and time come from the [`Clock`](crate::Clock).
#[derive(Debug, Clone, Copy)]
pub struct AccessChange {
    /// Id of the record.
    pub id: AccessChangeId,
    /// Time of the change.
    pub at: UtcTime,
}

/// What decides whether the tokens of an account are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Queryable)]
pub struct UserAccess {
    /// Generation of tokens: those of an earlier one are refused.
    pub token_generation: i64,
    /// Tokens without a generation are refused if they were issued before this time.
    pub tokens_after: Option<UtcTime>,
    /// When the account was disabled; `None` if it is not.
    pub disabled_at: Option<UtcTime>,
}

steps! {
    trait AccessSteps {
        /// Records that the access of a subject has changed.
        fn record_access_change(c, change: AccessChange, subject_id: AccessSubjectId) -> () {
            let row = AccessChangeRow { id: change.id, subject_id, changed_at: change.at };
            diesel::insert_into(access_changes::table).values(row).execute(c).await?;
            Ok(())
        }

        /// Returns the later one of this time and that until which the tokens of an account have ended already.
        fn tokens_end_until(c, id: UserId, until: UtcTime) -> UtcTime {
            let ended: Option<UtcTime> =
                users::table.find(id).select(users::tokens_after).first(c).await.or_not_found(Entity::User)?;
            Ok(ended.map_or(until, |ended| ended.max(until)))
        }
    }
}

impl Store {
    /// Returns what decides about the tokens of an account; `None` if there is no such account.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn user_access(&self, id: UserId) -> StoreResult<Option<UserAccess>> {
        read!(self, |c| {
            Ok(users::table
                .find(id)
                .select((users::token_generation, users::tokens_after, users::disabled_at))
                .first(c)
                .await
                .optional()?)
        })
    }

    /// Begins a new generation of tokens, so that all tokens of the account are refused. Those without a generation are
    /// refused if they were issued `until` this time.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](crate::StoreError::NotFound).
    pub async fn user_end_tokens(&self, id: UserId, until: UtcTime, change: AccessChange) -> StoreResult<UserRow> {
        tx!(self, |c| {
            let until = c.tokens_end_until(id, until).await?;
            let user = diesel::update(users::table.find(id))
                .set((users::token_generation.eq(users::token_generation + 1), users::tokens_after.eq(Some(until))))
                .returning(UserRow::as_returning())
                .get_result(c)
                .await
                .or_not_found(Entity::User)?;
            c.record_access_change(change, id.into()).await?;
            Ok(user)
        })
    }

    /// Replaces the password of an account, and ends its tokens as [`user_end_tokens`](Self::user_end_tokens) does.
    /// With `old_hash`, only if that is the hash of the current password.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](crate::StoreError::NotFound) if there is no account, or its password is another one.
    pub async fn user_set_password(
        &self,
        id: UserId,
        old_hash: Option<String>,
        new_hash: String,
        until: UtcTime,
        change: AccessChange,
    ) -> StoreResult<UserRow> {
        tx!(self, |c| {
            let current: String =
                users::table.find(id).select(users::password_hash).first(c).await.or_not_found(Entity::User)?;
            let expected = old_hash.unwrap_or(current);
            let until = c.tokens_end_until(id, until).await?;
            let user = diesel::update(users::table.find(id).filter(users::password_hash.eq(expected)))
                .set((
                    users::password_hash.eq(new_hash),
                    users::token_generation.eq(users::token_generation + 1),
                    users::tokens_after.eq(Some(until)),
                ))
                .returning(UserRow::as_returning())
                .get_result(c)
                .await
                .or_not_found(Entity::User)?;
            c.record_access_change(change, id.into()).await?;
            Ok(user)
        })
    }

    /// Disables or enables an account. A disabled one keeps its data, and none of its tokens is accepted.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](crate::StoreError::NotFound), [`Conflict::BeingErased`] for one to enable.
    pub async fn user_set_disabled(&self, id: UserId, disabled: bool, change: AccessChange) -> StoreResult<UserRow> {
        tx!(self, |c| {
            let user = diesel::update(users::table.find(id))
                .set(users::disabled_at.eq(disabled.then_some(change.at)))
                .returning(UserRow::as_returning())
                .get_result(c)
                .await
                .or_not_found(Entity::User)?;
            // After the update, which waits for a request of erasure that is about to commit.
            let erasure = account_erasures::table.find(id).select(account_erasures::user_id);
            if !disabled && erasure.first::<UserId>(c).await.optional()?.is_some() {
                return Err(Conflict::BeingErased.into());
            }
            c.record_access_change(change, id.into()).await?;
            Ok(user)
        })
    }

    /// Returns up to `limit` accounts, in the order of their creation, after the one with the id `after`.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn users_page(&self, after: Option<UserId>, limit: u32) -> StoreResult<Vec<UserRow>> {
        read!(self, |c| {
            let after = after.unwrap_or(UserId::nil());
            // Ids are in the order of time.
            Ok(users::table
                .filter(users::id.gt(after))
                .order(users::id.asc())
                .select(UserRow::as_select())
                .limit(i64::from(limit))
                .load(c)
                .await?)
        })
    }

    /// Returns the changes of access since a time, oldest first, at most `limit`.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn access_changes(&self, since: UtcTime, limit: u32) -> StoreResult<Vec<AccessChangeRow>> {
        read!(self, |c| {
            Ok(access_changes::table
                .filter(access_changes::changed_at.ge(since))
                .order(access_changes::changed_at.asc())
                .select(AccessChangeRow::as_select())
                .limit(i64::from(limit))
                .load(c)
                .await?)
        })
    }

    /// Deletes the records of changes before a time.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn access_changes_trim(&self, before: UtcTime) -> StoreResult<usize> {
        change!(self, |c| {
            let old = access_changes::table.filter(access_changes::changed_at.lt(before));
            Ok(diesel::delete(old).execute(c).await?)
        })
    }
}
