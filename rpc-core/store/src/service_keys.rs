//! Keys of internal services, and client tokens that were cancelled.

use super::account_access::{AccessChange, AccessSteps};
use super::db::Store;
use super::error::{Conflict, Entity, OrNotFound, StoreResult};
use super::query::RunQueryDsl;
use super::rows::ServiceKeyRow;
use super::unit::{change, read, tx};
use diesel::prelude::*;
use threadline_schema::db::tables::{cancelled_tokens, service_keys};
use threadline_schema::db::text::TextList;
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{ClientTokenId, ServiceKeyId};

impl Store {
    /// Stores a key.
    ///
    /// # Errors
    /// [`Conflict::NameTaken`].
    pub async fn service_key_create(&self, key: ServiceKeyRow) -> StoreResult<()> {
        change!(self, |c| {
            let created =
                diesel::insert_into(service_keys::table).values(key).on_conflict_do_nothing().execute(c).await?;
            if created == 1 { Ok(()) } else { Err(Conflict::NameTaken.into()) }
        })
    }

    /// Returns all keys, by name.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn service_keys(&self) -> StoreResult<Vec<ServiceKeyRow>> {
        read!(self, |c| {
            Ok(service_keys::table.order(service_keys::name.asc()).select(ServiceKeyRow::as_select()).load(c).await?)
        })
    }

    /// Returns the key with this hash.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn service_key_by_hash(&self, hash: String) -> StoreResult<Option<ServiceKeyRow>> {
        read!(self, |c| {
            Ok(service_keys::table
                .filter(service_keys::key_hash.eq(hash))
                .select(ServiceKeyRow::as_select())
                .first(c)
                .await
                .optional()?)
        })
    }

    /// Returns the key with this id.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn service_key(&self, id: ServiceKeyId) -> StoreResult<Option<ServiceKeyRow>> {
        read!(self, |c| {
            Ok(service_keys::table.find(id).select(ServiceKeyRow::as_select()).first(c).await.optional()?)
        })
    }

    /// Revokes a key for good.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](crate::StoreError::NotFound).
    pub async fn service_key_revoke(&self, id: ServiceKeyId, change: AccessChange) -> StoreResult<ServiceKeyRow> {
        tx!(self, |c| {
            let key = diesel::update(service_keys::table.find(id))
                .set(service_keys::revoked_at.eq(Some(change.at)))
                .returning(ServiceKeyRow::as_returning())
                .get_result(c)
                .await
                .or_not_found(Entity::ServiceKey)?;
            c.record_access_change(change, id.into()).await?;
            Ok(key)
        })
    }

    /// Takes the users out of a key's list whom `is_gone` finds. Each change gets its record from `change`. Returns how
    /// many keys named one.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn service_keys_forget(
        &self,
        is_gone: impl Fn(&str) -> bool,
        change: impl Fn() -> AccessChange,
    ) -> StoreResult<usize> {
        let mut changed = 0;
        for key in self.service_keys().await? {
            let kept: Vec<String> = key.users.0.iter().filter(|user| !is_gone(user)).cloned().collect();
            if kept.len() < key.users.0.len() {
                self.service_key_set_users(key.id, TextList(kept), change()).await?;
                changed += 1;
            }
        }
        Ok(changed)
    }

    async fn service_key_set_users(&self, id: ServiceKeyId, users: TextList, change: AccessChange) -> StoreResult<()> {
        tx!(self, |c| {
            diesel::update(service_keys::table.find(id)).set(service_keys::users.eq(users)).execute(c).await?;
            c.record_access_change(change, id.into()).await
        })
    }

    /// Notes that a key was used.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn service_key_used(&self, id: ServiceKeyId, at: UtcTime) -> StoreResult<()> {
        change!(self, |c| {
            diesel::update(service_keys::table.find(id))
                .set(service_keys::last_used_at.eq(Some(at)))
                .execute(c)
                .await?;
            Ok(())
        })
    }

    /// Cancels a client token, which would expire at `expires_at`.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn client_token_cancel(
        &self,
        id: ClientTokenId,
        expires_at: UtcTime,
        change: AccessChange,
    ) -> StoreResult<()> {
        tx!(self, |c| {
            diesel::insert_into(cancelled_tokens::table)
                .values((cancelled_tokens::id.eq(id), cancelled_tokens::expires_at.eq(expires_at)))
                .on_conflict_do_nothing()
                .execute(c)
                .await?;
            c.record_access_change(change, id.into()).await
        })
    }

    /// Returns the cancelled client tokens that would still be valid.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn cancelled_client_tokens(&self, now: UtcTime) -> StoreResult<Vec<ClientTokenId>> {
        read!(self, |c| {
            Ok(cancelled_tokens::table
                .filter(cancelled_tokens::expires_at.gt(now))
                .select(cancelled_tokens::id)
                .load(c)
                .await?)
        })
    }

    /// Returns whether a client token is cancelled.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn client_token_is_cancelled(&self, id: ClientTokenId) -> StoreResult<bool> {
        read!(self, |c| {
            let found: Option<ClientTokenId> =
                cancelled_tokens::table.find(id).select(cancelled_tokens::id).first(c).await.optional()?;
            Ok(found.is_some())
        })
    }

    /// Deletes the records of cancelled client tokens that have expired.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn cancelled_client_tokens_trim(&self, before: UtcTime) -> StoreResult<usize> {
        change!(self, |c| {
            let old = cancelled_tokens::table.filter(cancelled_tokens::expires_at.lt(before));
            Ok(diesel::delete(old).execute(c).await?)
        })
    }
}
