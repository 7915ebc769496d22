//! Service keys, as the operator creates and revokes them.

use super::Accounts;
use crate::auth::grant::{MethodScope, UserScope};
use crate::auth::{secret_code, service_keys};
use crate::config::check_class_name;
use crate::error::Error;
use crate::store::rows::{AuditRow, ServiceKeyRow};
use async_recursion::async_recursion as boxed;
use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;
use threadline_schema::ErrorCode;
use threadline_schema::db::text::TextList;
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{ClientTokenId, ServiceKeyId};

/// Maximum number of characters of a name.
const NAME_CHARS: usize = 100;

/// A service key to create.
#[derive(Debug, Clone)]
pub struct NewServiceKey {
    /// Its name, in lists and in the audit log.
    pub name: String,
    /// The methods that it may call: `threads.create`, `threads.*`, `*`.
    pub methods: Vec<String>,
    /// The users that it may act for: an id, `ISSUER|SUBJECT`, `ISSUER|*`, `*`.
    pub users: Vec<String>,
    /// Calls per minute, of all users together; `None` for no limit.
    pub requests_per_minute: Option<u32>,
    /// The budget class of what it starts; `None` for that of the user.
    pub budget_class: Option<String>,
    /// How long it is valid; `None` until it is revoked.
    pub lifetime: Option<Duration>,
}

impl Accounts {
    /// Creates a service key. Returns it with its text, which is stored nowhere.
    ///
    /// # Errors
    /// `INVALID_REQUEST` for a name, a method or a user that cannot be; `CONFLICT` if another key has the name.
    #[boxed]
    pub async fn create_key(&self, new: NewServiceKey) -> Result<(ServiceKeyRow, SecretString), Error> {
        self.create_key_with_id(self.clock.new_id(), new).await
    }

    /// Creates a service key with an id that the caller has recorded.
    ///
    /// # Errors
    /// As for [`create_key`](Self::create_key).
    pub(crate) async fn create_key_with_id(
        &self,
        id: ServiceKeyId,
        new: NewServiceKey,
    ) -> Result<(ServiceKeyRow, SecretString), Error> {
        let NewServiceKey { name, methods, users, requests_per_minute, budget_class, lifetime } = new;
        let name = name.trim().to_owned();
        if !(1..=NAME_CHARS).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            return Err(Error::invalid(format!("A name has 1 to {NAME_CHARS} characters, on one line.")));
        }
        MethodScope::new(methods.clone()).check().map_err(Error::invalid)?;
        UserScope::new(users.clone()).check().map_err(Error::invalid)?;
        budget_class.as_deref().map_or(Ok(()), check_class_name).map_err(Error::invalid)?;
        let key = secret_code::generate(service_keys::PREFIX);
        let now = self.clock.now();
        let expires_at =
            lifetime.and_then(|lifetime| now.utc().checked_add_signed(TimeDelta::from_std(lifetime).ok()?));
        let row = ServiceKeyRow {
            id,
            name,
            key_hash: secret_code::hash(key.expose_secret()),
            methods: TextList(methods),
            users: TextList(users),
            requests_per_minute: requests_per_minute.map(i64::from),
            created_at: now,
            expires_at: expires_at.map(Into::into),
            revoked_at: None,
            last_used_at: None,
            budget_class,
        };
        self.store.service_key_create(row.clone()).await?;
        Ok((row, key))
    }

    /// Returns all service keys, by name.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the database cannot be reached.
    #[boxed]
    pub async fn keys(&self) -> Result<Vec<ServiceKeyRow>, Error> {
        Ok(self.store.service_keys().await?)
    }

    /// Revokes a service key, which is named by its name or id. It, and the client tokens that were created with it,
    /// stop to work within half a second.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    #[boxed]
    pub async fn revoke_key(&self, name_or_id: &str) -> Result<ServiceKeyRow, Error> {
        let id: Option<ServiceKeyId> = name_or_id.parse().ok();
        let keys = self.store.service_keys().await?;
        let found = keys.into_iter().find(|key| key.name == name_or_id || Some(key.id) == id);
        let Some(key) = found else {
            let message = format!("There is no key {name_or_id:?}. `threadline key list` lists them.");
            return Err(Error::new(ErrorCode::NotFound, message));
        };
        Ok(self.store.service_key_revoke(key.id, self.change()).await?)
    }

    /// Cancels a client token, which would expire at `expires_at`. Returns the time of that.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the database cannot be reached.
    pub(crate) async fn cancel_client_token(&self, id: ClientTokenId, expires_at: UtcTime) -> Result<UtcTime, Error> {
        let change = self.change();
        self.store.client_token_cancel(id, expires_at, change).await?;
        Ok(change.at)
    }

    /// Returns the newest entries of the audit log, newest first.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the database cannot be reached.
    #[boxed]
    pub async fn audit(&self, limit: u32) -> Result<Vec<AuditRow>, Error> {
        Ok(self.store.audit_newest(limit).await?)
    }
}
