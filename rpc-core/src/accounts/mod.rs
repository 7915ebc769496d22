//! Accounts, for the methods and for the commands of the operator: each rule is here once.

mod erasure;
mod export;
mod invitations;
mod roles;
mod service_keys;

pub use erasure::Erasure;
pub use export::AccountExport;
pub use invitations::NewInvitation;
pub use roles::check_role;
pub use service_keys::NewServiceKey;

use crate::auth::email;
use crate::auth::password::{self, Passwords};
use crate::auth::standing::Issued;
use crate::error::Error;
use crate::store::rows::UserRow;
use crate::store::{AccessChange, Clock, Store, StoreError};
use async_recursion::async_recursion as boxed;
use std::sync::Arc;
use threadline_schema::ErrorCode;
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::UserId;

/// Creates and changes accounts. Clones share everything.
#[derive(Clone)]
pub struct Accounts {
    store: Store,
    clock: Arc<Clock>,
    passwords: Passwords,
}

impl Accounts {
    /// Creates it on a database.
    pub fn new(store: Store, clock: Arc<Clock>) -> Self {
        Self { store, clock, passwords: Passwords::new() }
    }

    pub(crate) fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// Creates an account with a password.
    ///
    /// # Errors
    /// `INVALID_REQUEST` for an email or a password that cannot be used, `EMAIL_TAKEN`.
    #[boxed]
    pub async fn create(&self, email: &str, password: String) -> Result<UserRow, Error> {
        let email = email::normalize(email)?;
        let hash = self.hash(password).await?;
        Ok(self.store.user_create(self.clock.new_id(), email, hash, self.clock.now()).await?)
    }

    /// Returns the account with this email address, however it is written; `None` also if it is not an address.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the database cannot be reached.
    #[boxed]
    pub async fn find_by_email(&self, text: &str) -> Result<Option<UserRow>, Error> {
        let Ok(normalized) = email::normalize(text) else { return Ok(None) };
        let legacy = email::legacy(text);
        let found = self.store.user_by_email(normalized.clone()).await?;
        match found {
            None if legacy != normalized => Ok(self.store.user_by_email(legacy).await?),
            found => Ok(found),
        }
    }

    /// Returns the account with this id or email address.
    ///
    /// # Errors
    /// `NOT_FOUND`, `SERVICE_UNAVAILABLE`.
    #[boxed]
    pub async fn find(&self, id_or_email: &str) -> Result<UserRow, Error> {
        let found = match id_or_email.trim().parse::<UserId>() {
            Ok(id) => self.store.user_by_id(id).await?,
            Err(_) => self.find_by_email(id_or_email).await?,
        };
        found.ok_or_else(|| {
            let message = format!("There is no user {id_or_email:?}. `threadline user list` lists them.");
            Error::new(ErrorCode::NotFound, message)
        })
    }

    /// Returns up to `limit` accounts, oldest first, after the one with the id `after`.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE`.
    #[boxed]
    pub async fn page(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserRow>, Error> {
        Ok(self.store.users_page(after, limit).await?)
    }

    /// Disables or enables an account. Its tokens stop and start to work within half a second, and the streams of a
    /// disabled one end.
    ///
    /// # Errors
    /// `UNAUTHORIZED` if the account is gone, `CONFLICT` to enable one that is being erased, `SERVICE_UNAVAILABLE`.
    #[boxed]
    pub async fn set_disabled(&self, id: UserId, disabled: bool) -> Result<UserRow, Error> {
        Ok(self.store.user_set_disabled(id, disabled, self.change()).await?)
    }

    /// Sets the password of an account, and ends its tokens.
    ///
    /// # Errors
    /// `INVALID_REQUEST` for a password that cannot be used and for an account that has none, `UNAUTHORIZED` if the
    /// account is gone.
    #[boxed]
    pub async fn reset_password(&self, id: UserId, password: String) -> Result<UserRow, Error> {
        let row = self.store.user_by_id(id).await?.ok_or_else(Error::unauthorized)?;
        if !row.has_password() {
            return Err(no_password());
        }
        let hash = self.hash(password).await?;
        let change = self.change();
        Ok(self.store.user_set_password(id, None, hash, Issued::until(None, change.at), change).await?)
    }

    /// Replaces the password of an account by its user, and ends its tokens. `by` is the user's token.
    ///
    /// # Errors
    /// `INVALID_CREDENTIALS` if the current password is another, `INVALID_REQUEST` for a new one that cannot be used.
    pub(crate) async fn change_password(
        &self,
        id: UserId,
        current: String,
        new: String,
        by: Issued,
    ) -> Result<UserRow, Error> {
        let wrong = || Error::new(ErrorCode::InvalidCredentials, "The current password is wrong.");
        // What is wrong with the new one is not a failed attempt at the current one.
        check_length(&new)?;
        if current.chars().count() > *password::LENGTH.end() {
            return Err(wrong());
        }
        let row = self.store.user_by_id(id).await?.ok_or_else(Error::unauthorized)?;
        if !row.has_password() {
            return Err(no_password());
        }
        let old_hash = row.password_hash;
        if !self.passwords.verify(current, Some(old_hash.clone())).await.map_err(Error::internal)? {
            return Err(wrong());
        }
        let hash = self.hash(new).await?;
        let change = self.change();
        let until = Issued::until(Some(by), change.at);
        match self.store.user_set_password(id, Some(old_hash), hash, until, change).await {
            // Another call has changed it meanwhile.
            Err(StoreError::NotFound(_)) => Err(wrong()),
            changed => Ok(changed?),
        }
    }

    /// Ends all tokens of an account. `by` is the caller's token; `None` for an operator. Returns the time from before
    /// which they are refused.
    ///
    /// # Errors
    /// `UNAUTHORIZED` if the account is gone.
    #[boxed]
    pub async fn end_tokens(&self, id: UserId, by: Option<Issued>) -> Result<UtcTime, Error> {
        let change = self.change();
        let until = Issued::until(by, change.at);
        self.store.user_end_tokens(id, until, change).await?;
        Ok(until)
    }

    /// Requests the erasure of an account, and refuses its tokens. `by` is the token of who requests it; `None` for an
    /// operator. Whether the caller may do that is for the caller to check.
    ///
    /// # Errors
    /// `UNAUTHORIZED` if the account is gone.
    #[boxed]
    pub async fn request_erasure(&self, id: UserId, by: Option<Issued>) -> Result<UtcTime, Error> {
        let change = self.change();
        self.store.erasure_request(id, Issued::until(by, change.at), change).await?;
        Ok(change.at)
    }

    /// Checks the password of an account that has one. An account without a password has nothing to check.
    ///
    /// # Errors
    /// `INVALID_CREDENTIALS`, `UNAUTHORIZED` if the account is gone.
    pub(crate) async fn check_password(&self, id: UserId, password: Option<String>) -> Result<(), Error> {
        let wrong =
            || Error::new(ErrorCode::InvalidCredentials, "Send the right password of the account as `password`.");
        let row = self.store.user_by_id(id).await?.ok_or_else(Error::unauthorized)?;
        if !row.has_password() {
            return Ok(());
        }
        let password =
            password.filter(|password| password.chars().count() <= *password::LENGTH.end()).ok_or_else(wrong)?;
        let right = self.passwords.verify(password, Some(row.password_hash)).await.map_err(Error::internal)?;
        if right { Ok(()) } else { Err(wrong()) }
    }

    fn change(&self) -> AccessChange {
        AccessChange { id: self.clock.new_id(), at: self.clock.now() }
    }

    async fn hash(&self, password: String) -> Result<String, Error> {
        check_length(&password)?;
        self.passwords.hash(password).await.map_err(Error::internal)
    }
}

fn no_password() -> Error {
    Error::invalid("This account has no password: its user logs in at the identity provider.")
}

/// Checks the length of a new password.
///
/// # Errors
/// `INVALID_REQUEST`.
pub(crate) fn check_length(password: &str) -> Result<(), Error> {
    if password::LENGTH.contains(&password.chars().count()) {
        return Ok(());
    }
    let (min, max) = (password::LENGTH.start(), password::LENGTH.end());
    Err(Error::invalid(format!("A password has {min} to {max} characters.")))
}
