//! Accounts.

use super::db::Store;
use super::error::{StoreError, StoreResult};
use super::query::RunQueryDsl;
use super::rows::UserRow;
use super::unit::{change, read, steps};
use diesel::prelude::*;
use threadline_schema::db::tables::users;
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::UserId;

impl UserRow {
    /// Returns the row of a new account.
    pub(super) fn new(id: UserId, email: String, password_hash: String, now: UtcTime) -> Self {
        Self {
            id,
            email,
            password_hash,
            session_count: 0,
            created_at: now,
            attachment_bytes: 0,
            token_generation: 0,
            tokens_after: None,
            disabled_at: None,
        }
    }
}

steps! {
    trait UserSteps {
        /// Stores an account.
        ///
        /// # Errors
        /// [`StoreError::EmailTaken`].
        fn insert_user(c, user: UserRow) -> UserRow {
            diesel::insert_into(users::table)
                .values(user)
                .on_conflict_do_nothing()
                .returning(UserRow::as_returning())
                .get_result(c)
                .await
                .optional()?
                .ok_or(StoreError::EmailTaken)
        }
    }
}

impl Store {
    /// Makes an account. The email is taken as it is: normalise it before. `id` and `now` come from the [`Clock`](crate::Clock).
    ///
    /// # Errors
    /// [`StoreError::EmailTaken`] when the email has one.
    pub async fn user_create(
        &self,
        id: UserId,
        email: String,
        password_hash: String,
        now: UtcTime,
    ) -> StoreResult<UserRow> {
        change!(self, |c| { c.insert_user(UserRow::new(id, email, password_hash, now)).await })
    }

    /// Returns the account with this email.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn user_by_email(&self, email: String) -> StoreResult<Option<UserRow>> {
        read!(self, |c| {
            Ok(users::table.filter(users::email.eq(email)).select(UserRow::as_select()).first(c).await.optional()?)
        })
    }

    /// Returns the account with this id.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn user_by_id(&self, id: UserId) -> StoreResult<Option<UserRow>> {
        read!(self, |c| { Ok(users::table.find(id).select(UserRow::as_select()).first(c).await.optional()?) })
    }
}
