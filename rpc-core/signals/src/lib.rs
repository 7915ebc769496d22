//! Signals between the processes on one database, so that they rarely need to poll.
//!
//! Signals are sent at best effort: a lost signal costs time, and never an event. So no function here blocks or fails.
//! While no server carries signals, they are dropped. A process that waits for a signal also polls the database.
//!
//! A process sends the growth of a run only if another process follows that run. A follower announces itself at the
//! start and then at an interval. Without an announcement for some time, the run counts as not followed.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests make times and ids of their own, and await what they spawn")
)]

mod followers;
mod message;
mod outage;
mod outbox;
mod postgres;
mod redis;
mod redis_carrier;
#[cfg(feature = "simulation")]
pub mod simulation;
#[cfg(test)]
mod tests;

pub use self::message::Grown;
pub use self::redis::{Redis, RedisConfig, RedisUrlError};

use self::followers::{Followers, Mailbox};
use self::message::Signal;
use self::outbox::Outbox;
use async_recursion::async_recursion as boxed;
use std::sync::Arc;
use std::time::Duration;
use threadline_runtime::{Supervisor, TaskKind};
use threadline_schema::ids::{AccessSubjectId, ItemId, RunId, ThreadId};
use threadline_store::config::DatabaseConfig;
use threadline_store::rows::EventRow;
use threadline_store::{Listener, StoreResult};
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// Commands that wait for a slow receiver. If there are more, the receiver gets an error that says that it has missed
/// some.
const COMMANDS_WAITING: usize = 1_024;
/// How often a process announces the runs that it follows.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(10);
/// After this time a new follower is woken to read the log: the run may have grown before the other processes knew of
/// the follower.
const FIRST_LOOK: Duration = Duration::from_millis(200);

/// A signal of another process that is not the growth of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// A run has started in a thread.
    Began {
        /// The thread.
        thread_id: ThreadId,
        /// The run.
        run_id: RunId,
    },
    /// A thread has changed, for example its title, or one of its items.
    Changed {
        /// The thread.
        thread_id: ThreadId,
        /// The item; `None` if the thread itself has changed.
        item_id: Option<ItemId>,
    },
    /// The user has cancelled a run.
    Cancel {
        /// The run.
        run_id: RunId,
    },
}

/// Sends signals to the other processes on this database, and receives theirs.
pub struct Signals {
    shared: Arc<Shared>,
    carrier: Option<AbortOnDropHandle<Option<()>>>,
}

/// What the carrier of the signals and its users share.
struct Shared {
    /// Id in the signals of this process, by which it recognises and ignores them. Random for each process.
    sender_id: Uuid,
    outbox: Outbox,
    followers: Followers,
    commands: broadcast::Sender<Command>,
    access: broadcast::Sender<AccessSubjectId>,
}

/// Tells the other processes whose access has changed, and hears it from them.
pub struct AccessSignals {
    shared: Arc<Shared>,
}

/// What other processes say about access.
pub struct AccessFeed {
    received: broadcast::Receiver<AccessSubjectId>,
}

impl AccessSignals {
    /// Tells whose access has changed.
    pub fn changed(&self, subject_id: AccessSubjectId) {
        self.shared.outbox.send(Signal::Access { subject_id });
    }

    /// Returns what other processes say from now on.
    pub fn subscribe(&self) -> AccessFeed {
        AccessFeed { received: self.shared.access.subscribe() }
    }
}

impl AccessFeed {
    /// Waits for the next word: whose access has changed; `None` if words were missed. Cancel safe.
    #[boxed]
    pub async fn next(&mut self) -> Option<AccessSubjectId> {
        match self.received.recv().await {
            Ok(subject_id) => Some(subject_id),
            Err(broadcast::error::RecvError::Lagged(_)) => None,
            // The sender is gone, so no change comes any more.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

impl Signals {
    /// Starts to connect, and returns at once. Redis carries the signals if it is configured, otherwise LISTEN and
    /// NOTIFY. Nothing carries signals on SQLite, which has one process.
    ///
    /// # Errors
    /// If the URL of the database is invalid.
    pub fn open(database: &DatabaseConfig, redis: Option<&Redis>, supervisor: &Supervisor) -> StoreResult<Self> {
        let shared = Arc::new(Shared {
            sender_id: Uuid::new_v4(),
            outbox: Outbox::default(),
            followers: Followers::default(),
            commands: broadcast::Sender::new(COMMANDS_WAITING),
            access: broadcast::Sender::new(COMMANDS_WAITING),
        });
        let carrier = Listener::of(database)?.map(|listener| {
            let (shared, redis) = (shared.clone(), redis.cloned());
            AbortOnDropHandle::new(supervisor.spawn_with_result(TaskKind::SignalCarrier, async move {
                let carry = async {
                    match redis {
                        Some(redis) => redis_carrier::carry(&shared, redis).await,
                        None => postgres::carry(&shared, listener).await,
                    }
                };
                tokio::join!(carry, shared.keep_announcing());
            }))
        });
        Ok(Self { shared, carrier })
    }

    /// Returns the part that is about access.
    pub fn access(&self) -> AccessSignals {
        AccessSignals { shared: self.shared.clone() }
    }

    /// Returns whether other processes can exist. If they cannot, nothing needs to be polled for them either.
    pub fn has_carrier(&self) -> bool {
        self.carrier.is_some()
    }

    /// Returns whether another process follows a run. Otherwise [`grown`](Self::grown) sends nothing.
    pub fn is_followed(&self, run_id: RunId) -> bool {
        self.shared.outbox.is_followed(run_id)
    }

    /// Sends that the log of a run has grown by these committed rows. Over Redis, the signal contains the rows.
    pub fn grown(&self, run_id: RunId, last_seq: u64, ended: bool, rows: &[EventRow]) {
        self.shared.outbox.grown(run_id, last_seq, ended, rows);
    }

    /// Sends that a run has started in a thread.
    pub fn began(&self, thread_id: ThreadId, run_id: RunId) {
        self.shared.outbox.send(Signal::Began { thread_id, run_id });
    }

    /// Sends that a thread has changed, or one of its items.
    pub fn changed(&self, thread_id: ThreadId, item_id: Option<ItemId>) {
        self.shared.outbox.send(Signal::Changed { thread_id, item_id });
    }

    /// Sends that the user has cancelled a run that another process executes.
    pub fn cancel(&self, run_id: RunId) {
        self.shared.outbox.send(Signal::Cancel { run_id });
    }

    /// Follows a run of another process, until the follower is dropped.
    pub fn follow(&self, run_id: RunId) -> Follower {
        let (mailbox, first) = self.shared.followers.add(run_id);
        if first {
            self.shared.outbox.send(Signal::Follow { run_id });
        }
        Follower { run_id, mailbox, shared: self.shared.clone(), first_look: Some(Instant::now() + FIRST_LOOK) }
    }

    /// Returns a receiver of the commands that other processes send from now on.
    pub fn commands(&self) -> broadcast::Receiver<Command> {
        self.shared.commands.subscribe()
    }
}

/// Receives the growth of a run that another process executes.
pub struct Follower {
    run_id: RunId,
    mailbox: Arc<Mailbox>,
    shared: Arc<Shared>,
    first_look: Option<Instant>,
}

impl Follower {
    /// Waits until the run has grown, or may have grown: then it returns the default [`Grown`]. Merges all signals
    /// since the last call. Dropping the future loses nothing.
    #[boxed]
    pub async fn next(&mut self) -> Grown {
        loop {
            if let Some(grown) = self.mailbox.take() {
                return grown;
            }
            match self.first_look {
                Some(at) => tokio::select! {
                    biased;
                    () = self.mailbox.filled() => {}
                    () = tokio::time::sleep_until(at) => {
                        self.first_look = None;
                        return Grown::default();
                    }
                },
                None => self.mailbox.filled().await,
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.shared.followers.remove(self.run_id, &self.mailbox);
    }
}

impl Shared {
    /// Is called when a connection that sends and receives is open.
    fn connected(&self) {
        self.outbox.open();
        self.announce();
        self.followers.wake_all();
    }

    /// Announces the runs that this process follows.
    fn announce(&self) {
        for run_id in self.followers.runs() {
            self.outbox.send(Signal::Follow { run_id });
        }
    }

    /// Repeats the announcements of this process, and removes the expired announcements of others.
    async fn keep_announcing(&self) {
        loop {
            tokio::time::sleep(ANNOUNCE_EVERY).await;
            self.announce();
            self.outbox.remove_expired();
        }
    }

    /// Handles a text with signals of another process.
    fn receive(&self, text: &str) {
        for signal in message::decode_signals(self.sender_id, text) {
            match signal {
                // Sending fails if there is no receiver of commands, which is not an error.
                Signal::Began { thread_id, run_id } => drop(self.commands.send(Command::Began { thread_id, run_id })),
                Signal::Changed { thread_id, item_id } => {
                    drop(self.commands.send(Command::Changed { thread_id, item_id }));
                }
                Signal::Cancel { run_id } => drop(self.commands.send(Command::Cancel { run_id })),
                Signal::Access { subject_id } => drop(self.access.send(subject_id)),
                Signal::Follow { run_id } => self.outbox.note_follower(run_id),
                Signal::Grown { run_id, last_seq, ended } => {
                    self.followers.deliver(run_id, Grown { last_seq, ended, rows: Vec::new() });
                }
            }
        }
    }
}
