//! Accounts.

use super::db::Store;
use super::error::{Entity, OrNotFound, StoreError, StoreResult};
use super::query::RunQueryDsl;
use super::rows::UserRow;
use super::unit::{change, read, steps};
use diesel::prelude::*;
use std::collections::HashMap;
use threadline_schema::db::tables::{foreign_identities, service_keys, users};
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{ServiceKeyId, UserId};

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
            budget_class: None,
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
    /// Makes an account. The email is taken as it is: normalise it before. `id` and `now` come from the
    /// [`Clock`](crate::Clock).
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

    /// Returns the name of the budget class of what a user starts: that of the service key, or the one that the
    /// operator has given to the user, or that of the identity provider.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn budget_class(&self, user_id: UserId, key_id: Option<ServiceKeyId>) -> StoreResult<Option<String>> {
        read!(self, |c| {
            if let Some(key_id) = key_id {
                let of_key: Option<Option<String>> =
                    service_keys::table.find(key_id).select(service_keys::budget_class).first(c).await.optional()?;
                if let Some(class) = of_key.flatten() {
                    return Ok(Some(class));
                }
            }
            let of_user: Option<Option<String>> =
                users::table.find(user_id).select(users::budget_class).first(c).await.optional()?;
            if let Some(class) = of_user.flatten() {
                return Ok(Some(class));
            }
            let of_identity: Option<Option<String>> = foreign_identities::table
                .filter(foreign_identities::user_id.eq(user_id))
                .select(foreign_identities::budget_class)
                .first(c)
                .await
                .optional()?;
            Ok(of_identity.flatten())
        })
    }

    /// Returns the budget classes of users, of those that have one: as the operator has given it, or as the identity
    /// provider says.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn budget_classes(&self, ids: Vec<UserId>) -> StoreResult<HashMap<UserId, String>> {
        read!(self, |c| {
            let of_identities: Vec<(UserId, Option<String>)> = foreign_identities::table
                .filter(foreign_identities::user_id.eq_any(&ids))
                .select((foreign_identities::user_id, foreign_identities::budget_class))
                .load(c)
                .await?;
            let of_users: Vec<(UserId, Option<String>)> =
                users::table.filter(users::id.eq_any(&ids)).select((users::id, users::budget_class)).load(c).await?;
            let both = of_identities.into_iter().chain(of_users);
            Ok(both.filter_map(|(id, class)| Some((id, class?))).collect())
        })
    }

    /// Gives a budget class to a user, or takes it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn user_set_budget_class(&self, id: UserId, class: Option<String>) -> StoreResult<UserRow> {
        change!(self, |c| {
            diesel::update(users::table.find(id))
                .set(users::budget_class.eq(class))
                .returning(UserRow::as_returning())
                .get_result(c)
                .await
                .or_not_found(Entity::User)
        })
    }
}
