//! Erases accounts whose erasure was requested: conversations, files, tasks, and the account last. Each step can be
//! repeated, so a process that dies loses nothing, and two that do the same do no harm.

use crate::attachments::Attachments;
use crate::auth::foreign::identity_hash;
use crate::auth::login_guard;
use crate::error::Error;
use crate::store::{AccessChange, Clock, ErasedHashes, Store};
use async_recursion::async_recursion as boxed;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use threadline_engine::Engine;
use threadline_runtime::{Supervisor, TaskKind};
use threadline_schema::ErrorCode;
use threadline_schema::error::Chain;
use threadline_schema::ids::{ThreadId, UserId};
use tokio::sync::Notify;

/// Poll interval for requests that another process, or a command, has made.
const POLL_EVERY: Duration = Duration::from_secs(2);
/// Maximum number of accounts in one pass.
const ACCOUNTS: u32 = 10;
/// Rows of one transaction: small, so that other transactions do not wait.
const BATCH: u32 = 50;

/// Attempts to empty SQLite's log after an erasure, and the pause between two: a reader can block one.
const LOG_ATTEMPTS: u32 = 20;
const LOG_PAUSE: Duration = Duration::from_millis(250);

/// Deletes a thread, and stops its active run first.
type DeleteThread = Box<dyn Fn(UserId, ThreadId) -> BoxFuture<'static, Result<(), Error>> + Send + Sync>;

/// Erases accounts.
pub struct Erasure {
    store: Store,
    clock: Arc<Clock>,
    attachments: Arc<Attachments>,
    delete_thread: DeleteThread,
    requested: Notify,
}

impl Erasure {
    /// Creates it for a server, which stops active runs.
    pub(crate) fn in_server(store: Store, clock: Arc<Clock>, attachments: Arc<Attachments>, engine: Engine) -> Self {
        let delete_thread: DeleteThread = Box::new(move |user_id, thread_id| {
            let engine = engine.clone();
            Box::pin(async move { Ok(engine.delete_thread(user_id, thread_id).await?) })
        });
        Self { store, clock, attachments, delete_thread, requested: Notify::new() }
    }

    /// Creates it for a command. A run that is active in a server finds that it is gone.
    pub(crate) fn in_command(store: Store, clock: Arc<Clock>, attachments: Arc<Attachments>) -> Self {
        let threads = store.clone();
        let delete_thread: DeleteThread = Box::new(move |user_id, thread_id| {
            let store = threads.clone();
            Box::pin(async move { Ok(store.thread_delete(user_id, thread_id).await?) })
        });
        Self { store, clock, attachments, delete_thread, requested: Notify::new() }
    }

    /// Starts the job that erases the accounts whose erasure is requested.
    pub(crate) fn spawn(self: &Arc<Self>, supervisor: &Supervisor) {
        let this = self.clone();
        supervisor.spawn(TaskKind::Erasure, async move {
            // A process that has died may have come no further.
            this.empty_log().await;
            loop {
                this.erase_requested().await;
                tokio::select! {
                    () = this.requested.notified() => {}
                    () = tokio::time::sleep(POLL_EVERY) => {}
                }
            }
        });
    }

    /// Wakes the job: a request was made.
    pub(crate) fn wake(&self) {
        self.requested.notify_one();
    }

    async fn erase_requested(&self) {
        let users = match self.store.erasures(ACCOUNTS).await {
            Ok(users) => users,
            Err(error) => return tracing::warn!(error = %Chain(&error), "accounts to erase cannot be listed"),
        };
        for user_id in users {
            match self.erase(user_id).await {
                Ok(()) => tracing::info!(%user_id, "an account was erased"),
                Err(error) => {
                    let (public, cause) = error.into_parts();
                    let error = cause.unwrap_or_else(|| public.to_string());
                    tracing::warn!(%user_id, error, "an account cannot be erased yet");
                }
            }
        }
    }

    /// Erases an account whose erasure is requested. Can be repeated at any step.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the database or the storage cannot be reached.
    #[boxed]
    pub async fn erase(&self, user_id: UserId) -> Result<(), Error> {
        // The files first: with the rows of a thread, their ids would go. The bytes of each before its row, because the
        // row is how a process that continues after a crash finds them. A row without bytes gives access to nothing.
        loop {
            let attachments = self.store.export_attachments(user_id, None, BATCH).await?;
            if attachments.is_empty() {
                break;
            }
            let ids: Vec<_> = attachments.into_iter().map(|attachment| attachment.id).collect();
            for id in &ids {
                self.attachments.erase_bytes(*id).await?;
            }
            self.store.erase_attachments(user_id, ids).await?;
        }
        self.store.erase_locks(user_id).await?;
        loop {
            let threads = self.store.export_threads(user_id, None, BATCH).await?;
            if threads.is_empty() {
                break;
            }
            for thread in threads {
                match (self.delete_thread)(user_id, thread.id).await {
                    // Another process was first.
                    Err(error) if error.public().code == ErrorCode::ThreadNotFound => {}
                    deleted => deleted?,
                }
            }
        }
        while self.store.erase_tasks(user_id, BATCH).await? > 0 {}
        let account = self.store.user_by_id(user_id).await?;
        let identity = self.store.foreign_identity_of(user_id).await?;
        // What is not the user's, and names the user: also by an id that is written in another way.
        let name = identity.as_ref().map(|identity| format!("{}|{}", identity.issuer, identity.subject));
        let is_gone = |user: &str| user.parse() == Ok(user_id) || name.as_deref() == Some(user);
        let change = || AccessChange { id: self.clock.new_id(), at: self.clock.now() };
        self.store.service_keys_forget(is_gone, change).await?;
        if let Some(email) = account.as_ref().and_then(|account| account.own_email()) {
            self.store.invitations_forget(email.to_owned()).await?;
        }
        let hashes = ErasedHashes {
            identity: identity.map(|identity| identity_hash(&identity.issuer, &identity.subject)),
            email: account.as_ref().and_then(|account| account.own_email()).map(login_guard::hash_of),
        };
        self.store.erase_account(user_id, hashes, change()).await?;
        self.empty_log().await;
        Ok(())
    }

    /// Takes what was deleted out of the database's files too. It is not an error if that is not possible now: later
    /// writes overwrite it.
    async fn empty_log(&self) {
        for _ in 0..LOG_ATTEMPTS {
            match self.store.empty_log().await {
                Ok(true) => return,
                Ok(false) => tokio::time::sleep(LOG_PAUSE).await,
                Err(error) => {
                    return tracing::warn!(error = %Chain(&error), "the log of the database cannot be emptied");
                }
            }
        }
        tracing::info!("the log of the database could not be emptied, because it is always in use");
    }
}
