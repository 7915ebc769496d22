//! Erasure of accounts. It is requested in one transaction, which also refuses all tokens, and done in small steps that
//! can be repeated: any process that finds the request continues it, also after a crash.

use super::account_access::{AccessChange, AccessSteps};
use super::audit_log::user_actor;
use super::db::Store;
use super::error::{Entity, OrNotFound, StoreResult};
use super::query::RunQueryDsl;
use super::rows::UsageRow;
use super::unit::{change, read, tx};
use super::usage::UsageSteps;
use diesel::prelude::*;
use threadline_schema::db::tables::{
    account_erasures, attachments, audit_log, erased_identities, feedback, idempotency_keys, login_failures, tasks,
    threads, usage_days, users,
};
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{AttachmentId, TaskId, UserId};
use threadline_schema::threads::ThreadState;

/// The actor of entries of the audit log whose user is erased.
const ERASED_ACTOR: &str = "user";

/// Hashes by which an erased user is still found.
#[derive(Debug, Clone, Default)]
pub struct ErasedHashes {
    /// Of issuer and subject, of a provider's user. It is kept for some days, so that tokens from before are refused.
    pub identity: Option<String>,
    /// Of the email, under which failed logins are counted. It is deleted.
    pub email: Option<String>,
}

impl Store {
    /// Requests the erasure of an account, and disables it. Its tokens were issued `until` this time. Requesting it
    /// twice does no harm.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](crate::StoreError::NotFound).
    pub async fn erasure_request(&self, user_id: UserId, until: UtcTime, change: AccessChange) -> StoreResult<()> {
        tx!(self, |c| {
            let until = c.tokens_end_until(user_id, until).await?;
            diesel::update(users::table.find(user_id))
                .set((
                    users::disabled_at.eq(Some(change.at)),
                    users::token_generation.eq(users::token_generation + 1),
                    users::tokens_after.eq(Some(until)),
                ))
                .returning(users::id)
                .get_result::<UserId>(c)
                .await
                .or_not_found(Entity::User)?;
            diesel::insert_into(account_erasures::table)
                .values((account_erasures::user_id.eq(user_id), account_erasures::requested_at.eq(change.at)))
                .on_conflict_do_nothing()
                .execute(c)
                .await?;
            c.record_access_change(change, user_id.into()).await
        })
    }

    /// Returns accounts whose erasure is requested, oldest request first.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn erasures(&self, limit: u32) -> StoreResult<Vec<UserId>> {
        read!(self, |c| {
            Ok(account_erasures::table
                .order(account_erasures::requested_at.asc())
                .select(account_erasures::user_id)
                .limit(i64::from(limit))
                .load(c)
                .await?)
        })
    }

    /// Returns whether the erasure of an account is requested.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn is_being_erased(&self, user_id: UserId) -> StoreResult<bool> {
        read!(self, |c| {
            let found: Option<UserId> =
                account_erasures::table.find(user_id).select(account_erasures::user_id).first(c).await.optional()?;
            Ok(found.is_some())
        })
    }

    /// Unlocks the threads of a user, because a user has a right to the erasure, also of locked threads.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn erase_locks(&self, user_id: UserId) -> StoreResult<usize> {
        change!(self, |c| {
            let locked = threads::user_id.eq(user_id).and(threads::status.eq(ThreadState::Locked));
            let unlock = diesel::update(threads::table.filter(locked)).set(threads::status.eq(ThreadState::Closed));
            Ok(unlock.execute(c).await?)
        })
    }

    /// Deletes these attachments of a user, whatever message they belong to.
    ///
    /// # Errors
    /// Only if the database fails; nothing is deleted then.
    pub async fn erase_attachments(&self, user_id: UserId, ids: Vec<AttachmentId>) -> StoreResult<()> {
        change!(self, |c| {
            let of_user = attachments::user_id.eq(user_id).and(attachments::id.eq_any(ids));
            diesel::delete(attachments::table.filter(of_user)).execute(c).await?;
            Ok(())
        })
    }

    /// Deletes up to `limit` tasks of a user. Returns how many.
    ///
    /// # Errors
    /// Only if the database fails; nothing is deleted then.
    pub async fn erase_tasks(&self, user_id: UserId, limit: u32) -> StoreResult<usize> {
        tx!(self, |c| {
            let ids: Vec<TaskId> = tasks::table
                .filter(tasks::user_id.eq(user_id))
                .select(tasks::id)
                .limit(i64::from(limit))
                .load(c)
                .await?;
            Ok(diesel::delete(tasks::table.filter(tasks::id.eq_any(ids))).execute(c).await?)
        })
    }

    /// Ends an erasure: adds the usage to the sums without a user, takes the user out of the audit log, and deletes the
    /// account with everything that is left. The change is recorded, so that no process takes the account for one that
    /// is still there.
    ///
    /// # Errors
    /// Only if the database fails; nothing is deleted then.
    pub async fn erase_account(&self, user_id: UserId, hashes: ErasedHashes, change: AccessChange) -> StoreResult<()> {
        let ErasedHashes { identity: identity_hash, email: email_hash } = hashes;
        tx!(self, |c| {
            // One statement gives each row to one transaction only, so nothing is counted twice.
            let days: Vec<UsageRow> = diesel::delete(usage_days::table.filter(usage_days::user_id.eq(user_id)))
                .returning(UsageRow::as_returning())
                .get_results(c)
                .await?;
            for day in days {
                c.add_anonymous(day).await?;
            }
            let ended: Option<Option<UtcTime>> =
                users::table.find(user_id).select(users::tokens_after).first(c).await.optional()?;
            // If the account is gone, the transaction that has deleted it has kept the hash.
            if let (Some(identity_hash), Some(ended)) = (identity_hash, ended) {
                let erased_at = ended.map_or(change.at, |ended| ended.max(change.at));
                diesel::insert_into(erased_identities::table)
                    .values((
                        erased_identities::identity_hash.eq(identity_hash),
                        erased_identities::erased_at.eq(erased_at),
                    ))
                    .on_conflict(erased_identities::identity_hash)
                    .do_update()
                    .set(erased_identities::erased_at.eq(erased_at))
                    .execute(c)
                    .await?;
            }
            if let Some(email_hash) = email_hash {
                diesel::delete(login_failures::table.find(email_hash)).execute(c).await?;
            }
            let of_user = audit_log::table.filter(audit_log::user_id.eq(Some(user_id)));
            diesel::update(of_user).set(audit_log::user_id.eq(None::<UserId>)).execute(c).await?;
            // What an operator has done is told without who it was.
            diesel::update(audit_log::table.filter(audit_log::actor.eq(user_actor(user_id))))
                .set((audit_log::actor.eq(ERASED_ACTOR), audit_log::address.eq(None::<String>)))
                .execute(c)
                .await?;
            // These have no foreign key to the user.
            diesel::delete(idempotency_keys::table.filter(idempotency_keys::user_id.eq(user_id))).execute(c).await?;
            diesel::delete(feedback::table.filter(feedback::user_id.eq(user_id))).execute(c).await?;
            // The rest goes by the cascade, and with it the request.
            diesel::delete(users::table.find(user_id)).execute(c).await?;
            c.record_access_change(change, user_id.into()).await
        })
    }

    /// Returns when the account of a provider's user was erased, if tokens from before may still be valid.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn identity_erased_at(&self, identity_hash: String) -> StoreResult<Option<UtcTime>> {
        read!(self, |c| {
            Ok(erased_identities::table
                .find(identity_hash)
                .select(erased_identities::erased_at)
                .first(c)
                .await
                .optional()?)
        })
    }

    /// Forgets erased identities from before a time.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn erased_identities_trim(&self, before: UtcTime) -> StoreResult<usize> {
        change!(self, |c| {
            let old = erased_identities::table.filter(erased_identities::erased_at.lt(before));
            Ok(diesel::delete(old).execute(c).await?)
        })
    }
}
