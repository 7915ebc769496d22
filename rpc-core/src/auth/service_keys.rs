//! Keys of internal services: `Authorization: Bearer tl_...`. A service acts for a user whom it names with each call.

use super::grant::{Grant, KeyInUse, MethodScope, UserScope, split_reference};
use super::secret_code;
use super::standings::Standings;
use super::token::Identity;
use crate::error::Error;
use crate::store::rows::ServiceKeyRow;
use crate::store::{Clock, Store};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};
use threadline_schema::db::types::UtcTime;
use threadline_schema::head::network_of;
use threadline_schema::ids::{ServiceKeyId, UserId};
use threadline_schema::{ErrorCode, RpcError};

/// Begin of each key.
pub(crate) const PREFIX: &str = "tl_";
/// Maximum number of keys, and users that services act for, that are kept.
const MAX_KNOWN: usize = 10_000;
/// How often the last use of a key is written down.
const NOTE_USE_EVERY: Duration = Duration::from_secs(60);
/// How long the account of a named user is remembered.
const USER_TTL: Duration = Duration::from_secs(60);
/// Maximum number of addresses whose lookups are counted.
const MAX_ADDRESSES: usize = 10_000;
/// Maximum number of lookups of unknown keys per second and address: a client that sends invented keys must not keep
/// the database busy, and must not keep others from it.
const LOOKUPS_PER_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(19);
/// Maximum number of bytes of an issuer: an index of PostgreSQL takes 2,700 bytes of issuer and subject together.
const ISSUER_BYTES: usize = 1_000;
/// Maximum number of bytes of a subject.
const SUBJECT_BYTES: usize = 255;

/// What is wrong with a user that is named in another way.
const NO_REFERENCE: &str = "The user must be an id, or `ISSUER|SUBJECT`.";

/// A key that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceKey {
    pub(crate) id: ServiceKeyId,
    pub(crate) users: UserScope,
    pub(crate) grant: Arc<Grant>,
    expires_at: Option<UtcTime>,
}

/// Finds keys, and the users that services act for.
pub(crate) struct ServiceKeys {
    store: Store,
    clock: Arc<Clock>,
    standings: Arc<Standings>,
    /// By hash of the key. A key never changes its hash.
    ids: quick_cache::sync::Cache<String, ServiceKeyId>,
    /// By network of the client.
    lookups: quick_cache::sync::Cache<IpAddr, Arc<DefaultDirectRateLimiter>>,
    used: quick_cache::sync::Cache<ServiceKeyId, Instant>,
    /// Accounts by `ISSUER|SUBJECT`.
    accounts: quick_cache::sync::Cache<String, (UserId, Instant)>,
}

/// The user whom a service has named.
pub(crate) enum NamedUser {
    /// There is an account, and the service may act for it.
    Known(Identity),
    /// The service may act for the user, who has no account yet.
    New(NewUser),
    /// The service may not act for the user, or there is none. With the account that it has asked for, if there is one.
    Refused(RpcError, Option<UserId>),
}

/// A user of a provider without an account.
#[derive(Debug, Clone)]
pub(crate) struct NewUser {
    pub(crate) key: Arc<ServiceKey>,
    /// `ISSUER|SUBJECT`.
    reference: String,
}

/// Why there is no id for a key.
enum NotFound {
    Unknown,
    Because(Error),
}

impl ServiceKey {
    /// Reads a row; `None` if the key is revoked.
    pub(crate) fn of_row(row: ServiceKeyRow) -> Option<Self> {
        if row.revoked_at.is_some() {
            return None;
        }
        let requests_per_minute =
            row.requests_per_minute.and_then(|limit| u32::try_from(limit).ok()).and_then(NonZeroU32::new);
        let grant = Grant {
            key_id: Some(row.id),
            service_key: Some(KeyInUse { id: row.id, name: row.name.into(), requests_per_minute }),
            token_id: None,
            methods: MethodScope::new(row.methods.0),
            agent: None,
        };
        Some(Self {
            id: row.id,
            users: UserScope::new(row.users.0),
            grant: Arc::new(grant),
            expires_at: row.expires_at,
        })
    }

    /// Returns what a call with it is counted and recorded as.
    pub(crate) fn in_use(&self) -> Option<&KeyInUse> {
        self.grant.service_key.as_ref()
    }

    /// Returns the methods that it may call.
    pub(crate) fn methods(&self) -> &MethodScope {
        &self.grant.methods
    }

    /// Returns whether the key has expired.
    pub(crate) fn has_expired(&self, now: UtcTime) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

impl ServiceKeys {
    pub(crate) fn new(store: Store, clock: Arc<Clock>, standings: Arc<Standings>) -> Self {
        Self {
            store,
            clock,
            standings,
            ids: quick_cache::sync::Cache::new(MAX_KNOWN),
            lookups: quick_cache::sync::Cache::new(MAX_ADDRESSES),
            used: quick_cache::sync::Cache::new(MAX_KNOWN),
            accounts: quick_cache::sync::Cache::new(MAX_KNOWN),
        }
    }

    /// Returns the key with this text; `None` if it does not exist, is revoked or has expired.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the key is not known and the database cannot be reached, `RATE_LIMITED` if the client
    /// at this address has tried many keys that are not known.
    pub(crate) async fn find(&self, text: &str, address: IpAddr) -> Result<Option<Arc<ServiceKey>>, Error> {
        let hash = secret_code::hash(text);
        // One lookup for all calls that wait for the same key, so that the first calls of a busy service count once.
        let id = self.ids.get_or_insert_async(&hash, async {
            self.count_lookup(address).map_err(NotFound::Because)?;
            let found = self.store.service_key_by_hash(hash.clone()).await;
            let row = found.map_err(|error| NotFound::Because(error.into()))?.ok_or(NotFound::Unknown)?;
            Ok(row.id)
        });
        let id = match id.await {
            Ok(id) => id,
            Err(NotFound::Unknown) => return Ok(None),
            Err(NotFound::Because(error)) => return Err(error),
        };
        let now = self.clock.now();
        let key = self.standings.key(id).await?.filter(|key| !key.has_expired(now));
        if let Some(key) = &key {
            self.note_use(key.id, now).await;
        }
        Ok(key)
    }

    /// Finds the user for whom a service acts: by id, or as `ISSUER|SUBJECT`. Creates no account.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the database cannot be reached.
    pub(crate) async fn find_user(&self, key: &Arc<ServiceKey>, reference: &str) -> Result<NamedUser, Error> {
        let user_id = if let Ok(id) = reference.parse::<UserId>() {
            if !key.users.allows_id(id) {
                let identity = self.store.foreign_identity_of(id).await?;
                if !identity.is_some_and(|identity| key.users.allows_foreign(&identity.issuer, &identity.subject)) {
                    return self.refuse(forbidden(), Some(id)).await;
                }
            }
            id
        } else if let Some((issuer, subject)) = split_reference(reference) {
            if let Err(error) = check_reference(issuer, subject) {
                return self.refuse(error, None).await;
            }
            if !key.users.allows_foreign(issuer, subject) {
                // For the audit log.
                let asked = self.store.foreign_identity(issuer.to_owned(), subject.to_owned()).await?;
                return self.refuse(forbidden(), asked.map(|asked| asked.user_id)).await;
            }
            match self.foreign_account(reference, issuer, subject).await? {
                Some(id) => id,
                None => return Ok(NamedUser::New(NewUser { key: key.clone(), reference: reference.to_owned() })),
            }
        } else {
            return self.refuse(RpcError::new(ErrorCode::InvalidRequest, NO_REFERENCE), None).await;
        };
        self.act_for(key, user_id).await
    }

    /// Creates the account of a user whom a service has named.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the database cannot be reached.
    pub(crate) async fn create_user(&self, new: &NewUser) -> Result<NamedUser, Error> {
        let NewUser { key, reference } = new;
        let Some((issuer, subject)) = split_reference(reference) else {
            return self.refuse(RpcError::new(ErrorCode::InvalidRequest, NO_REFERENCE), None).await;
        };
        let (issuer, subject) = (issuer.to_owned(), subject.to_owned());
        let (new_id, now) = (self.clock.new_id(), self.clock.now());
        let id = self.store.foreign_user_named(issuer, subject, new_id, now).await?;
        self.accounts.insert(reference.clone(), (id, Instant::now()));
        self.act_for(key, id).await
    }

    /// Returns the identity with which a service acts for a user.
    async fn act_for(&self, key: &ServiceKey, user_id: UserId) -> Result<NamedUser, Error> {
        let until = key.expires_at.map(UtcTime::utc);
        let identity = Identity::of_service(user_id, until, self.clock.now().utc()).with_grant(key.grant.clone());
        if self.standings.admits(&identity).await? {
            return Ok(NamedUser::Known(identity));
        }
        self.refuse(forbidden(), Some(user_id)).await
    }

    async fn refuse(&self, error: RpcError, asked: Option<UserId>) -> Result<NamedUser, Error> {
        let asked = match asked {
            // The id of somebody who was erased, or who never was, is not kept. A cache may not know that yet.
            Some(id) => self.store.user_access(id).await?.map(|_| id),
            None => None,
        };
        Ok(NamedUser::Refused(error, asked))
    }

    /// Returns the account of a provider's user; `None` if there is none yet.
    async fn foreign_account(&self, reference: &str, issuer: &str, subject: &str) -> Result<Option<UserId>, Error> {
        if let Some((id, seen)) = self.accounts.get(reference)
            && seen.elapsed() < USER_TTL
            // Who was erased is a new user with the next call.
            && self.standings.get(id).await?.is_some()
        {
            return Ok(Some(id));
        }
        let found = self.store.foreign_identity(issuer.to_owned(), subject.to_owned()).await?;
        let id = found.map(|found| found.user_id);
        if let Some(id) = id {
            self.accounts.insert(reference.to_owned(), (id, Instant::now()));
        }
        Ok(id)
    }

    /// Counts a lookup of an unknown key.
    fn count_lookup(&self, address: IpAddr) -> Result<(), Error> {
        let network = network_of(address);
        let limiter = self.lookups.get(&network).unwrap_or_else(|| {
            let limiter = Arc::new(RateLimiter::direct(Quota::per_second(LOOKUPS_PER_SECOND)));
            self.lookups.insert(network, limiter.clone());
            limiter
        });
        if limiter.check().is_ok() {
            return Ok(());
        }
        metrics::counter!("threadline_rate_limited_total", "scope" => "unknown_key").increment(1);
        let message = "Too many unknown keys are tried from your address. Please wait a second.";
        Err(RpcError::new(ErrorCode::RateLimited, message).with("retry_after", 1).into())
    }

    async fn note_use(&self, id: ServiceKeyId, now: UtcTime) {
        if self.used.get(&id).is_some_and(|at| at.elapsed() < NOTE_USE_EVERY) {
            return;
        }
        self.used.insert(id, Instant::now());
        if let Err(error) = self.store.service_key_used(id, now).await {
            tracing::warn!(%error, "the use of a service key was not written down");
        }
    }
}

/// The error for a user for whom a service may not act, and for one that does not exist: a service that may not act for
/// a user learns nothing about it.
fn forbidden() -> RpcError {
    RpcError::new(ErrorCode::Forbidden, "This key may not act for this user, or there is no such user.")
}

/// Checks that a database can store the names of an issuer and a subject.
fn check_reference(issuer: &str, subject: &str) -> Result<(), RpcError> {
    let has_nul = issuer.contains('\0') || subject.contains('\0');
    if issuer.len() <= ISSUER_BYTES && subject.len() <= SUBJECT_BYTES && !has_nul {
        return Ok(());
    }
    let message = format!(
        "The issuer of a user has at most {ISSUER_BYTES} bytes, the subject {SUBJECT_BYTES}, and neither a NUL."
    );
    Err(RpcError::new(ErrorCode::InvalidRequest, message))
}
