//! Invitations: an account can be registered with their code, for some time.

use super::Accounts;
use crate::auth::{email, secret_code};
use crate::error::Error;
use crate::store::rows::{InvitationRow, UserRow};
use async_recursion::async_recursion as boxed;
use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;
use threadline_schema::ids::InvitationId;

/// Begin of each code.
const PREFIX: &str = "tli_";

/// An invitation to create.
#[derive(Debug, Clone)]
pub struct NewInvitation {
    /// The only email address that may use it; `None` for any.
    pub email: Option<String>,
    /// How many accounts can be registered with it.
    pub uses: u32,
    /// How long it can be used.
    pub lifetime: Duration,
}

impl Accounts {
    /// Creates an invitation. Returns it with its code, which is stored nowhere.
    ///
    /// # Errors
    /// `INVALID_REQUEST` if the email address is not valid.
    #[boxed]
    pub async fn invite(&self, new: NewInvitation) -> Result<(InvitationRow, SecretString), Error> {
        let email = new.email.as_deref().map(email::normalize).transpose()?;
        let code = secret_code::generate(PREFIX);
        let now = self.clock.now();
        let lifetime = TimeDelta::from_std(new.lifetime).unwrap_or(TimeDelta::MAX);
        let expires_at = now.utc().checked_add_signed(lifetime).unwrap_or(chrono::DateTime::<chrono::Utc>::MAX_UTC);
        let row = InvitationRow {
            id: self.clock.new_id(),
            code_hash: secret_code::hash(code.expose_secret()),
            email,
            uses_left: i64::from(new.uses),
            created_at: now,
            expires_at: expires_at.into(),
        };
        self.store.invitation_create(row.clone()).await?;
        Ok((row, code))
    }

    /// Returns the newest invitations, at most `limit`.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the database cannot be reached.
    #[boxed]
    pub async fn invitations(&self, limit: u32) -> Result<Vec<InvitationRow>, Error> {
        Ok(self.store.invitations(limit).await?)
    }

    /// Deletes an invitation. Its code is not accepted any more.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    #[boxed]
    pub async fn revoke_invitation(&self, id: InvitationId) -> Result<(), Error> {
        Ok(self.store.invitation_delete(id).await?)
    }

    /// Creates an account with an invitation.
    ///
    /// # Errors
    /// Those of [`create`](Accounts::create), and `INVITATION_REQUIRED` if the invitation cannot be used.
    pub(crate) async fn create_invited(&self, email: &str, password: String, code: &str) -> Result<UserRow, Error> {
        let email = email::normalize(email)?;
        let code_hash = secret_code::hash(code.trim());
        // Before the password is hashed, which is expensive: a client without an invitation must not cause that.
        self.store.invitation_check(code_hash.clone(), email.clone(), self.clock.now()).await?;
        let hash = self.hash(password).await?;
        let (id, now) = (self.clock.new_id(), self.clock.now());
        Ok(self.store.user_create_invited(id, email, hash, now, code_hash).await?)
    }
}
