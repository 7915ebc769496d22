//! Invitations: permissions to register an account.

use super::db::Store;
use super::error::{Entity, StoreError, StoreResult};
use super::query::RunQueryDsl;
use super::rows::{InvitationRow, UserRow};
use super::unit::{change, read, steps, tx};
use super::users::UserSteps;
use diesel::prelude::*;
use threadline_schema::db::tables::invitations;
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{InvitationId, UserId};

steps! {
    trait InvitationSteps {
        /// Uses an invitation once, for this email address. Condition and change are one statement: two registrations
        /// cannot both have the last use.
        ///
        /// # Errors
        /// [`StoreError::InvitationInvalid`].
        fn use_invitation(c, code_hash: &str, email: &str, now: UtcTime) -> () {
            let valid = invitations::code_hash
                .eq(code_hash)
                .and(invitations::uses_left.gt(0))
                .and(invitations::expires_at.gt(now))
                .and(invitations::email.is_null().or(invitations::email.eq(email)));
            let used = diesel::update(invitations::table.filter(valid))
                .set(invitations::uses_left.eq(invitations::uses_left - 1))
                .execute(c)
                .await?;
            if used == 1 { Ok(()) } else { Err(StoreError::InvitationInvalid) }
        }
    }
}

impl Store {
    /// Stores an invitation.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn invitation_create(&self, invitation: InvitationRow) -> StoreResult<()> {
        change!(self, |c| {
            diesel::insert_into(invitations::table).values(invitation).execute(c).await?;
            Ok(())
        })
    }

    /// Deletes the invitations that are for this email address alone.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn invitations_forget(&self, email: String) -> StoreResult<usize> {
        change!(self, |c| {
            Ok(diesel::delete(invitations::table.filter(invitations::email.eq(Some(email)))).execute(c).await?)
        })
    }

    /// Returns the newest invitations, at most `limit`.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn invitations(&self, limit: u32) -> StoreResult<Vec<InvitationRow>> {
        read!(self, |c| {
            Ok(invitations::table
                .order((invitations::created_at.desc(), invitations::id.desc()))
                .select(InvitationRow::as_select())
                .limit(i64::from(limit))
                .load(c)
                .await?)
        })
    }

    /// Deletes an invitation.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn invitation_delete(&self, id: InvitationId) -> StoreResult<()> {
        change!(self, |c| {
            match diesel::delete(invitations::table.find(id)).execute(c).await? {
                0 => Err(StoreError::NotFound(Entity::Invitation)),
                _ => Ok(()),
            }
        })
    }

    /// Checks whether an invitation can be used now, without using it.
    ///
    /// # Errors
    /// [`StoreError::InvitationInvalid`].
    pub async fn invitation_check(&self, code_hash: String, email: String, now: UtcTime) -> StoreResult<()> {
        read!(self, |c| {
            let invitation: Option<InvitationRow> = invitations::table
                .filter(invitations::code_hash.eq(code_hash))
                .select(InvitationRow::as_select())
                .first(c)
                .await
                .optional()?;
            let is_valid = invitation.is_some_and(|row| {
                row.uses_left > 0 && row.expires_at > now && row.email.is_none_or(|only| only == email)
            });
            if is_valid { Ok(()) } else { Err(StoreError::InvitationInvalid) }
        })
    }

    /// Creates an account, and uses an invitation for it, in one transaction.
    ///
    /// # Errors
    /// [`StoreError::InvitationInvalid`], [`StoreError::EmailTaken`]. The invitation is not used then.
    pub async fn user_create_invited(
        &self,
        id: UserId,
        email: String,
        password_hash: String,
        now: UtcTime,
        code_hash: String,
    ) -> StoreResult<UserRow> {
        tx!(self, |c| {
            c.use_invitation(&code_hash, &email, now).await?;
            c.insert_user(UserRow::new(id, email, password_hash, now)).await
        })
    }
}
