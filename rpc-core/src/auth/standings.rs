//! Decides without a query whether a token is still accepted, and ends the open streams of a token that is not any
//! more.
//!
//! The standing of an account or a service key is cached. A transaction that changes it also records the change. Each
//! process reads these records twice a second, and at once when another process signals one. So each process notices a
//! change within half a second, also one by a replica or by a command on another machine.

use super::known::Known;
use super::service_keys::ServiceKey;
use super::standing::Standing;
use super::token::Identity;
use crate::error::Error;
use crate::store::{Clock, Store, StoreError};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use threadline_runtime::{Supervisor, TaskKind};
use threadline_schema::db::types::UtcTime;
use threadline_schema::error::Chain;
use threadline_schema::ids::{AccessChangeId, AccessSubjectId, ClientTokenId, ServiceKeyId, UserId};
use threadline_signals::AccessSignals;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How often the records of changes are read.
const POLL_EVERY: Duration = Duration::from_millis(500);
/// How far before the last read the next one begins: a transaction may commit later than another that began after it.
const OVERLAP: chrono::TimeDelta = chrono::TimeDelta::seconds(15);
/// Longest time without a read after which records may have been deleted that were not read.
const MAX_GAP: chrono::TimeDelta = chrono::TimeDelta::minutes(1);
/// Maximum number of records that one read takes.
const MAX_CHANGES: u32 = 1_000;

/// The standings of accounts, and the open streams that depend on them.
pub(crate) struct Standings {
    store: Store,
    clock: Arc<Clock>,
    signals: AccessSignals,
    known: Known<UserId, Standing>,
    /// Service keys; `None` for one that does not exist or is revoked, which stays so.
    keys: Known<ServiceKeyId, Option<Arc<ServiceKey>>>,
    /// Client tokens that were cancelled and may not have expired.
    cancelled: Mutex<HashSet<ClientTokenId>>,
    watches: Mutex<HashMap<u64, Watched>>,
    next_watch: AtomicU64,
}

/// An open stream.
struct Watched {
    identity: Identity,
    withdrawn: CancellationToken,
}

/// Watches the access of an open stream. Dropping it ends the watch.
pub(crate) struct AccessWatch {
    id: u64,
    withdrawn: CancellationToken,
    standings: Arc<Standings>,
}

impl AccessWatch {
    /// Waits until the token of the stream is not accepted any more. Cancel safe.
    pub(crate) async fn withdrawn(&self) {
        self.withdrawn.cancelled().await;
    }
}

impl Drop for AccessWatch {
    fn drop(&mut self) {
        self.standings.watches.lock().remove(&self.id);
    }
}

impl Standings {
    pub(crate) fn new(store: Store, clock: Arc<Clock>, signals: AccessSignals) -> Arc<Self> {
        Arc::new(Self {
            store,
            clock,
            signals,
            known: Known::new(),
            keys: Known::new(),
            cancelled: Mutex::default(),
            watches: Mutex::default(),
            next_watch: AtomicU64::new(0),
        })
    }

    /// Reads which client tokens are cancelled, and starts the task that notices changes.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub(crate) async fn start(self: &Arc<Self>, supervisor: &Supervisor) -> Result<(), StoreError> {
        let since = self.clock.now();
        let cancelled = self.store.cancelled_client_tokens(since).await?;
        self.cancelled.lock().extend(cancelled);
        supervisor.spawn(TaskKind::AccessChanges, self.clone().notice_changes(since));
        Ok(())
    }

    /// Returns a service key; `None` if there is no such key, or it is revoked.
    ///
    /// # Errors
    /// If it is not known and the database cannot be reached.
    pub(crate) async fn key(&self, id: ServiceKeyId) -> Result<Option<Arc<ServiceKey>>, StoreError> {
        let read =
            || async move { Ok(Some(self.store.service_key(id).await?.and_then(ServiceKey::of_row).map(Arc::new))) };
        Ok(self.keys.get(id, read).await?.flatten())
    }

    /// Returns the standing of an account; `None` if it does not exist.
    ///
    /// # Errors
    /// If it is not known and the database cannot be reached.
    pub(crate) async fn get(&self, user_id: UserId) -> Result<Option<Standing>, StoreError> {
        let read = || async move { Ok(self.store.user_access(user_id).await?.map(Standing::new)) };
        self.known.get(user_id, read).await
    }

    /// Returns whether a verified token is accepted.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    pub(crate) async fn admits(&self, identity: &Identity) -> Result<bool, StoreError> {
        if let Some(grant) = &identity.grant {
            if grant.token_id.is_some_and(|id| self.cancelled.lock().contains(&id)) {
                return Ok(false);
            }
            if let Some(id) = grant.key_id {
                let now = self.clock.now();
                if self.key(id).await?.is_none_or(|key| key.has_expired(now)) {
                    return Ok(false);
                }
            }
        }
        Ok(self.get(identity.user_id).await?.is_some_and(|standing| standing.admits(identity)))
    }

    /// Watches the access of a stream that is about to open.
    ///
    /// # Errors
    /// `UNAUTHORIZED` if its token is not accepted any more, `SERVICE_UNAVAILABLE` if the database cannot be reached.
    pub(crate) async fn watch(self: &Arc<Self>, identity: Identity) -> Result<AccessWatch, Error> {
        let id = self.next_watch.fetch_add(1, Ordering::Relaxed);
        let withdrawn = CancellationToken::new();
        self.watches.lock().insert(id, Watched { identity: identity.clone(), withdrawn: withdrawn.clone() });
        let watch = AccessWatch { id, withdrawn, standings: self.clone() };
        // After the insert: a change between the authentication of the call and now would go unnoticed otherwise.
        if self.admits(&identity).await? { Ok(watch) } else { Err(Error::unauthorized()) }
    }

    /// Applies a change that this process has committed, and tells the others.
    pub(crate) async fn announce(&self, subject_id: AccessSubjectId) {
        self.signals.changed(subject_id);
        if let Err(error) = self.apply(subject_id).await {
            // The poll finds the record of the change.
            tracing::warn!(error = %Chain(&error), "streams could not be checked after a change of access");
        }
    }

    /// Forgets what is known about an account, and ends the streams whose tokens are not accepted any more.
    async fn apply(&self, subject_id: AccessSubjectId) -> Result<(), StoreError> {
        // The record does not say what the subject is. An id is used for one thing only.
        let id = *subject_id.as_uuid();
        self.known.forget(UserId::from_uuid(id));
        self.keys.forget(ServiceKeyId::from_uuid(id));
        let token_id = ClientTokenId::from_uuid(id);
        if self.store.client_token_is_cancelled(token_id).await? {
            self.cancelled.lock().insert(token_id);
        }
        let affected: Vec<(Identity, CancellationToken)> = {
            let watches = self.watches.lock();
            let affected = watches.values().filter(|watched| depends_on(&watched.identity, subject_id));
            affected.map(|watched| (watched.identity.clone(), watched.withdrawn.clone())).collect()
        };
        self.end_refused(affected).await
    }

    /// Forgets everything, and ends the streams whose tokens are not accepted any more.
    async fn check_everything(&self) -> Result<(), StoreError> {
        self.known.forget_all();
        self.keys.forget_all();
        let cancelled = self.store.cancelled_client_tokens(self.clock.now()).await?;
        self.cancelled.lock().extend(cancelled);
        let all: Vec<(Identity, CancellationToken)> = {
            let watches = self.watches.lock();
            watches.values().map(|watched| (watched.identity.clone(), watched.withdrawn.clone())).collect()
        };
        self.end_refused(all).await
    }

    async fn end_refused(&self, streams: Vec<(Identity, CancellationToken)>) -> Result<(), StoreError> {
        for (identity, withdrawn) in streams {
            if !self.admits(&identity).await? {
                withdrawn.cancel();
            }
        }
        Ok(())
    }

    async fn notice_changes(self: Arc<Self>, since: UtcTime) {
        let mut ticks = tokio::time::interval(POLL_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut signalled = self.signals.subscribe();
        let mut reader = ChangeReader { since, applied: HashMap::new() };
        let mut is_failing = false;
        loop {
            let subject = tokio::select! {
                _ = ticks.tick() => None,
                subject = signalled.next() => subject,
            };
            let outcome = match subject {
                Some(subject_id) => self.apply(subject_id).await,
                None => reader.read(&self).await,
            };
            match outcome {
                Ok(()) => is_failing = false,
                // What was not applied is read again.
                Err(error) if !is_failing => {
                    is_failing = true;
                    tracing::warn!(error = %Chain(&error), "changes of access cannot be read yet");
                }
                Err(_) => {}
            }
        }
    }
}

/// Whether the access of a token depends on a user, a service key or a client token.
fn depends_on(identity: &Identity, subject_id: AccessSubjectId) -> bool {
    let grant = identity.grant.as_deref();
    AccessSubjectId::from(identity.user_id) == subject_id
        || grant.and_then(|grant| grant.key_id).is_some_and(|id| AccessSubjectId::from(id) == subject_id)
        || grant.and_then(|grant| grant.token_id).is_some_and(|id| AccessSubjectId::from(id) == subject_id)
}

/// Reads the records of changes, and applies each once.
struct ChangeReader {
    /// When the last complete read began.
    since: UtcTime,
    /// Records that were applied and may be read again.
    applied: HashMap<AccessChangeId, UtcTime>,
}

impl ChangeReader {
    async fn read(&mut self, standings: &Standings) -> Result<(), StoreError> {
        let began = standings.clock.now();
        let since: UtcTime = (self.since.utc() - OVERLAP).into();
        if began.utc() - self.since.utc() > MAX_GAP {
            standings.check_everything().await?;
        }
        let rows = standings.store.access_changes(since, MAX_CHANGES).await?;
        let is_complete = u32::try_from(rows.len()).is_ok_and(|count| count < MAX_CHANGES);
        let newest = rows.last().map(|row| row.changed_at);
        let new: Vec<_> = rows.into_iter().filter(|row| !self.applied.contains_key(&row.id)).collect();
        let subjects: HashSet<AccessSubjectId> = new.iter().map(|row| row.subject_id).collect();
        for subject_id in subjects {
            standings.apply(subject_id).await?;
        }
        self.applied.extend(new.into_iter().map(|row| (row.id, row.changed_at)));
        // More than one read can take are read on from the newest, without the overlap's help.
        self.since = if is_complete { began } else { newest.map_or(began, |at| (at.utc() + OVERLAP).into()) };
        let keep_from: UtcTime = (self.since.utc() - OVERLAP * 2).into();
        self.applied.retain(|_, at| *at >= keep_from);
        Ok(())
    }
}
