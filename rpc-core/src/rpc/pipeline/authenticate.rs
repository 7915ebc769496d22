//! Who makes a call: the user of a token, or the holder of a capability.

use crate::attachments::{self, Attachments, Capability};
use crate::auth::token::{Identity, Tokens};
use crate::error::Error;
use crate::rpc::call::{Call, Principal};
use crate::store::Store;
use serde::Deserialize;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};
use threadline_schema::Access;
use threadline_schema::ids::UserId;

/// How long a user that was found in the database is assumed to exist. A token outlives the deletion of its user by
/// this much.
const KNOWN_USER_TTL: Duration = Duration::from_secs(60);
/// Most users in the cache of known users; about 64 bytes each.
const MAX_KNOWN_USERS: usize = 10_000;

/// Verifies tokens and capabilities.
pub(crate) struct Authenticator {
    tokens: Arc<Tokens>,
    attachments: Arc<Attachments>,
    store: Store,
    /// Users that exist, and when the database said so.
    known_users: quick_cache::sync::Cache<UserId, Instant>,
}

/// What a call shows as proof of who makes it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Credentials {
    /// No token, or an invalid one.
    None,
    /// A valid token of an existing user.
    Token(Identity),
    /// A valid capability.
    Capability(Capability),
    /// A capability that this service did not sign, or that has expired.
    InvalidCapability,
}

impl Credentials {
    pub(super) fn user_id(&self) -> Option<UserId> {
        match self {
            Self::None | Self::InvalidCapability => None,
            Self::Token(identity) => Some(identity.user_id),
            Self::Capability(capability) => Some(capability.user_id),
        }
    }

    /// Decides whether a method with this access may be called.
    ///
    /// # Errors
    /// `UNAUTHORIZED`.
    pub(super) fn authorize(self, access: Access) -> Result<Principal, Error> {
        match (self, access) {
            (Self::Token(identity), _) => Ok(Principal::User(identity)),
            (Self::Capability(capability), _) => Ok(Principal::Capability(capability)),
            (Self::InvalidCapability, _) => Err(attachments::invalid_capability().into()),
            (Self::None, Access::User | Access::Signed) => Err(Error::unauthorized()),
            (Self::None, Access::Public | Access::Probe) => Ok(Principal::Anonymous),
        }
    }
}

impl Authenticator {
    pub(crate) fn new(tokens: Arc<Tokens>, attachments: Arc<Attachments>, store: Store) -> Self {
        Self { tokens, attachments, store, known_users: quick_cache::sync::Cache::new(MAX_KNOWN_USERS) }
    }

    /// Verifies the capability among the params if there is one, else the token.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the database cannot be reached. Invalid credentials are no error here: they are counted
    /// first.
    pub(super) async fn authenticate(&self, call: &Call<'_>, signed: &SignedParams<'_>) -> Result<Credentials, Error> {
        if let Some(token) = &signed.token {
            let capability = self.attachments.verify_capability(token);
            return Ok(capability.map_or(Credentials::InvalidCapability, Credentials::Capability));
        }
        let token = call.connection.caller.token.as_deref();
        match token.and_then(|token| self.tokens.verify(token)) {
            Some(identity) if self.user_exists(identity.user_id).await? => Ok(Credentials::Token(identity)),
            _ => Ok(Credentials::None),
        }
    }

    /// Whether the user still exists. Asks the database once per user and [`KNOWN_USER_TTL`].
    async fn user_exists(&self, user_id: UserId) -> Result<bool, Error> {
        if self.known_users.get(&user_id).is_some_and(|seen| seen.elapsed() < KNOWN_USER_TTL) {
            return Ok(true);
        }
        let exists = self.store.user_by_id(user_id).await?.is_some();
        if exists {
            self.known_users.insert(user_id, Instant::now());
        }
        Ok(exists)
    }
}

/// The params of a method with [`Access::Signed`] that decide how it is authenticated and counted.
#[derive(Deserialize, Default)]
pub(super) struct SignedParams<'a> {
    /// The capability.
    #[serde(borrow, default)]
    token: Option<Cow<'a, str>>,
    /// Where the piece of the file begins, in bytes. From 0 on, a new file counts as a request.
    #[serde(default)]
    pub(super) offset: u64,
}

impl<'a> SignedParams<'a> {
    /// Reads them; the defaults if the params are invalid, because the method reports that.
    pub(super) fn parse(call: &'a Call<'_>) -> Self {
        call.params.as_deref().and_then(|params| serde_json::from_str(params).ok()).unwrap_or_default()
    }
}
