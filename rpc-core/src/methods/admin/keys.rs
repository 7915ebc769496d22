//! Creating and revoking service keys.

use super::{AdminMethods, key};
use crate::accounts::NewServiceKey;
use crate::error::Error;
use crate::rpc::call::CallContext;
use secrecy::ExposeSecret;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::admin::{
    AdminCreateKey, AdminCreateKeyParams, AdminKey, AdminKeyRef, AdminNewKey, AdminRevokeKey,
};
use threadline_schema::{ErrorCode, RpcMethod};

/// Longest life of a key, in days.
const MAX_DAYS: u32 = 3_650;
/// Maximum number of methods and users that a key can name.
const MAX_METHODS: usize = 100;
const MAX_USERS: usize = 1_000;

impl AdminMethods {
    pub(super) async fn create_key(
        self: Arc<Self>,
        call: CallContext,
        params: AdminCreateKeyParams,
    ) -> Result<AdminNewKey, Error> {
        let AdminCreateKeyParams { name, methods, users, requests_per_minute, budget_class, expires_days } = params;
        if call.identity()?.grant.is_some() {
            let message =
                "Service keys and client tokens create no keys. Use the token of an operator who has signed in.";
            return Err(Error::new(ErrorCode::Forbidden, message));
        }
        // The holder of a key can read what its users have written.
        self.check_may_read_content(&call).await?;
        for (list, length, max) in [("methods", methods.len(), MAX_METHODS), ("users", users.len(), MAX_USERS)] {
            if !(1..=max).contains(&length) {
                return Err(Error::invalid(format!("`{list}` must have 1 to {max} entries; it has {length}.")));
            }
        }
        if requests_per_minute == Some(0) {
            return Err(Error::invalid("`requests_per_minute` must be at least 1. Leave it out for no limit."));
        }
        if let Some(days) = expires_days.filter(|days| !(1..=MAX_DAYS).contains(days)) {
            return Err(Error::invalid(format!("`expires_days` must be 1 to {MAX_DAYS}; it is {days}.")));
        }
        let lifetime = expires_days.map(|days| Duration::from_secs(u64::from(days) * 86_400));
        let id = self.clock.new_id();
        self.record_about_key(&call, AdminCreateKey::NAME, id).await?;
        let new = NewServiceKey { name, methods, users, requests_per_minute, budget_class, lifetime };
        let (row, secret) = self.accounts.create_key_with_id(id, new).await?;
        Ok(AdminNewKey { secret: secret.expose_secret().to_owned(), key: key(row) })
    }

    pub(super) async fn revoke_key(self: Arc<Self>, call: CallContext, params: AdminKeyRef) -> Result<AdminKey, Error> {
        let id = params.key_id;
        if self.store.service_key(id).await?.is_none() {
            return Err(Error::new(ErrorCode::NotFound, "There is no service key with this id."));
        }
        self.record_about_key(&call, AdminRevokeKey::NAME, id).await?;
        let row = self.accounts.revoke_key(&id.to_string()).await?;
        self.standings.announce(id.into()).await;
        Ok(key(row))
    }
}
